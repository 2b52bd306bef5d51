"""hide() and restore(), exact inverses: private stretches become opaque placeholders and come back.

A placeholder looks like `[[P1]]`: a letter for the type of what it stands for and a number that no other
value of the same table has. Another spelling of that value (`NORA`, `n o r a`, `Nora's`) is
`[[P1.2]]`: the cloud sees that it is the same, and each spelling comes back as it was. The table lives as
long as its (user, thread): one value keeps one placeholder over all messages, turns and calls of tools, and
a placeholder never stands for a second value.

Clouds bend placeholders. Restored are also `[[ p1 ]]`, `[[P-1]]`, `[[**P1**]]`, `[[P1's]]`, the Markdown
form `\\[\\[P1\\]\\]` and full-width brackets, wherever the chunks of a stream are cut. A placeholder that the
table never issued stays as it is. Text that already looks like a placeholder is itself hidden, and what is
put back is not read again, so imitating a placeholder pulls nothing out.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from cogenesis_langchain.forms import FORM, IMITATION, LONGEST, TAIL, straight, suffix
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.normalize.canonical import squeeze
from cogenesis_langchain.normalize.letters import KINDS
from cogenesis_langchain.types import KnownValue, PrivateSpan, Sendable

_LETTERS = {
    "P": "PERSON NAME USERNAME",
    "L": "LOCATION ADDRESS",
    "O": "ORGANIZATION",
    "E": "EMAIL_ADDRESS",
    "T": "PHONE_NUMBER",
    "U": "URL IP_ADDRESS MAC_ADDRESS",
    "D": "DATE_TIME DATE_OF_BIRTH",
    "N": "CREDIT_CARD IBAN_CODE US_SSN US_BANK_NUMBER US_PASSPORT US_DRIVER_LICENSE CRYPTO VIN",
    "S": "API_KEY PRIVATE_KEY PASSWORD TOKEN SECRET",
}
_LETTER_OF = {type_: letter for letter, types in _LETTERS.items() for type_ in types.split()}
_TYPE_OF = {letter: types.partition(" ")[0] for letter, types in _LETTERS.items()}
_OTHER, _HIDDEN = "X", "HIDDEN"

_SHORTEST_AGAIN = 3  # in bytes: two Latin letters stand in every text, one Chinese character may be a name
_GENITIVE = re.compile(r"(?<=\w)['’][sS]?\Z")


class Table:
    """Which placeholder stands for which value, for one (user, thread). Thread-safe; never printed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._groups: dict[str, list[str]] = {}  # spellings of one value -> their placeholders
        self._last = 0
        self._again: Again | None = None

    def placeholder(self, value: str, type: str) -> str:
        """The placeholder of `value`: the one it has, else a new one. `type` only picks the letter."""
        with self._lock:
            known = self._placeholders.get(value)
            if known is None:
                known = self._next(value, type)
                self._take(known, value)
            return known

    def find(self, value: str) -> str | None:
        """The placeholder that `value` has; None if it has none yet."""
        with self._lock:
            return self._placeholders.get(value)

    def adopt(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take over (placeholder, value) pairs that were issued before, oldest first: from disk."""
        with self._lock:
            for placeholder, value in pairs:
                self._take(placeholder, value)

    def value(self, placeholder: str) -> str | None:
        """What a straight placeholder stands for; None if this table never issued it."""
        with self._lock:
            return self._values.get(placeholder)

    @property
    def issued(self) -> frozenset[str]:
        """Every placeholder given out so far, in its straight form."""
        with self._lock:
            return frozenset(self._values)

    def values(self) -> tuple[str, ...]:
        """Every private value that has a placeholder, oldest first. Imitated placeholders are none."""
        with self._lock:
            return tuple(value for value in self._placeholders if not IMITATION.fullmatch(value))

    def again(self) -> Again:
        """What finds every value of this table again."""
        with self._lock:
            if self._again is None:
                letters = ((value, self._placeholders[value][2]) for value in self.values())
                self._again = Again((value, _TYPE_OF.get(letter, _HIDDEN)) for value, letter in letters)
            return self._again

    def _next(self, value: str, type: str) -> str:
        group = self._groups.get(_key(value))
        if group is None:
            return f"[[{_letter(type)}{self._last + 1}]]"
        return f"{group[0][:-2]}.{len(group) + 1}]]"

    def _take(self, placeholder: str, value: str) -> None:
        if self._values.setdefault(placeholder, value) != value:
            raise ValueError("a placeholder would stand for a second value")
        if self._placeholders.setdefault(value, placeholder) != placeholder:
            raise ValueError("a value would have a second placeholder")
        group = self._groups.setdefault(_key(value), [])
        if placeholder not in group:
            group.append(placeholder)
        self._last = max(self._last, int(re.findall(r"\d+", placeholder)[0]))
        self._again = None

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def __repr__(self) -> str:
        return f"Table({len(self)} placeholders)"


class Again:
    """Finds private values again: found private once is private everywhere in the thread.

    A value is found in any spelling that the canonical form undoes, and by its parts where it is a name or an
    address (see `known`); spelt exactly as before it is found as a whole word, however common it is. One or
    two Latin letters are not looked for. `values` are (value, type) pairs. Immutable.
    """

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        self._values = tuple((v, type) for v, type in values if len(v.encode()) >= _SHORTEST_AGAIN)
        self._known = KnownValues(KnownValue(value, type, "entity") for value, type in self._values)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, type) of each occurrence; they may overlap."""
        found = [(span.start, span.end, span.type) for span in self._known.find(text)]
        exact = [v for v, _ in self._values if v in text]
        if exact:
            words = "|".join(_as_whole_word(v) for v in sorted(exact, key=len, reverse=True))
            found += [(m.start(), m.end(), _HIDDEN) for m in re.finditer(words, text)]
        return found

    def within(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, type) of the whole words that hold a value, spelt exactly as before.

        For texts that a cloud wrote around placeholders: `un[[P1]]ed` comes back as a word that hides its
        value from `find`, and would go out with it in the next turn.
        """
        exact = [re.escape(v) for v, _ in sorted(self._values, key=lambda pair: -len(pair[0])) if v in text]
        found: list[tuple[int, int, str]] = []
        for match in re.finditer("|".join(exact), text) if exact else ():
            start, end = match.span()
            last = found[-1][1] if found else 0
            while start > last and _joins(text[start - 1]):
                start -= 1
            while end < len(text) and _joins(text[end]):
                end += 1
            if end > last:
                found.append((max(start, last), end, _HIDDEN))
        return found

    def __repr__(self) -> str:
        return f"Again({len(self._values)} values)"


def hide(
    text: str,
    spans: Iterable[PrivateSpan],
    table: Table,
    *,
    again: Again | None = None,
    restored: bool = False,
) -> Sendable:
    """`text` with every span replaced by its placeholder.

    Hidden besides: what `again` finds (default: every value of the table, the spans' own included), of a text
    that may have been `restored` also the words it finds values within, and whatever looks like a placeholder
    already. Overlapping spans become one. Raises ValueError if a span does
    not lie inside `text`.
    """
    found = _merged([(s.start, s.end, s.type) for s in spans], len(text))
    if again is None:
        for start, end, kind in found:
            table.placeholder(text[start:end], kind)
        again = table.again()
    found += again.within(text) if restored else ()
    imitations = [(m.start(), m.end(), _HIDDEN) for m in IMITATION.finditer(text)]
    pieces: list[str] = []
    at = 0
    for start, end, kind in _merged([*found, *again.find(text), *imitations], len(text)):
        pieces += (text[at:start], table.placeholder(text[start:end], kind))
        at = end
    return Sendable("".join(pieces) + text[at:], origin="hide")


def restore(text: str, table: Table) -> str:
    """`text` with every issued placeholder, bent or straight, replaced by its value. One pass only."""
    return FORM.sub(lambda match: _value_of(match, table), text)


def restore_json(value: Any, table: Table) -> Any:
    """`restore` in every key and string of JSON-like `value`: the arguments of a tool that is called."""
    if isinstance(value, str):
        return restore(value, table)
    if isinstance(value, dict):
        return {restore_json(key, table): restore_json(item, table) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [restore_json(item, table) for item in value]
    return value


def blanked(text: str, table: Table) -> str:
    """`text` with spaces in place of every issued placeholder: what is left for a detector to read."""
    return FORM.sub(lambda form: " " * len(form[0]) if table.value(form[0]) else form[0], text)


class StreamRestorer:
    """restore() over a stream: every character goes out as soon as it cannot be part of a placeholder.

    The pieces returned by `feed` and the one by `close` together equal `restore` of the whole text,
    wherever it was cut.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._held = ""

    def feed(self, chunk: str) -> str:
        """Take the next piece of the stream; returns what is safe to show now."""
        text = self._held + chunk
        last = 0
        for match in FORM.finditer(text):
            last = match.end()
        tail = TAIL.search(text, max(last, len(text) - LONGEST))
        cut = tail.start() if tail else len(text)
        self._held = text[cut:]
        return restore(text[:cut], self._table)

    def close(self) -> str:
        """The stream has ended: whatever is still held back, as it is."""
        held, self._held = self._held, ""
        return held


def _letter(type: str) -> str:
    kind = type.upper()
    return _LETTER_OF.get(kind) or _LETTER_OF.get(kind.rpartition("_")[2], _OTHER)


def _key(value: str) -> str:
    """Equal for spellings of one value: its canonical form, without the genitive's ending."""
    return squeeze(_GENITIVE.sub("", value)) or f"\0{value}"


def _value_of(form: re.Match[str], table: Table) -> str:
    value = table.value(straight(form))
    return form[0] if value is None else value + suffix(form)


def _merged(ranges: Sequence[tuple[int, int, str]], length: int) -> list[tuple[int, int, str]]:
    """Sorted, without overlaps; of overlapping ranges the longest gives the type."""
    out: list[tuple[int, int, str]] = []
    widest = 0
    for start, end, kind in sorted(ranges):
        if not 0 <= start < end <= length:
            raise ValueError(f"a span of {start}..{end} does not lie in a text of {length} characters")
        if out and start < out[-1][1]:
            before = out[-1]
            kind = kind if end - start > widest else before[2]
            widest = max(widest, end - start)
            out[-1] = (before[0], max(before[1], end), kind)
        else:
            out.append((start, end, kind))
            widest = end - start
    return out


def _joins(char: str) -> bool:
    """Whether a character makes one word with a letter beside it."""
    return KINDS[char][:1] in ("a", "A", "o", "0")


def _as_whole_word(value: str) -> str:
    """A pattern for `value`; boundaries are asked for only where it begins or ends with a word character."""
    before = r"(?<!\w)" if re.match(r"\w", value) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", value) else ""
    return before + re.escape(value) + after
