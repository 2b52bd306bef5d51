"""hide() and restore(), exact inverses: private stretches become opaque placeholders and come back.

A placeholder looks like `[[P1]]`: a letter for the type of what it stands for and a number that no other
placeholder of the same table has. The table lives as long as its (user, thread): one value keeps one
placeholder over all messages and turns, and a placeholder never stands for a second value.

Clouds bend placeholders. Restored are also `[[ p1 ]]`, `[[P-1]]`, `[[P 1]]` and the Markdown form
`\\[\\[P1\\]\\]`, wherever the chunks of a stream are cut. A placeholder that this table never issued stays as
it is. Text that already looks like a placeholder is itself hidden, so imitating one pulls nothing out.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence

from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import PrivateSpan, Sendable

_LETTERS = {
    "PERSON": "P",
    "LOCATION": "L",
    "ORGANIZATION": "O",
    "EMAIL_ADDRESS": "E",
    "PHONE_NUMBER": "T",
    "URL": "U",
    "DATE_TIME": "D",
    "CREDIT_CARD": "N",
    "IBAN_CODE": "N",
    "US_SSN": "N",
    "US_BANK_NUMBER": "N",
    "API_KEY": "S",
    "PRIVATE_KEY": "S",
    "PASSWORD": "S",
    "TOKEN": "S",
}
_OTHER = "X"

# One bent or straight placeholder. Its inside holds no bracket, so two matches never overlap, and a
# placeholder set between any two texts is still found as itself. Every repetition is bounded: a stream
# never has to hold back more than one form's length.
_FORM = re.compile(
    r"(?:\[\[|\\\[\\\[)[ \t]{0,2}([A-Za-z])[ \t_-]?([0-9]{1,9})[ \t]{0,2}(?:\]\]|\\\]\\\])",
)
# A tail that may still grow into `_FORM`.
_INSIDE = r"[ \t]{0,2}(?:[A-Za-z](?:[ \t_-]|[ \t_-]?[0-9]{1,9}[ \t]{0,2}(?:\]|\\(?:\](?:\\)?)?)?)?)?"
_TAIL = re.compile(rf"(?:\[(?:\[{_INSIDE})?|\\(?:\[(?:\\(?:\[{_INSIDE})?)?)?)\Z")

PROMPT = "mask.v1.txt"
_SHORTEST_PROPAGATED = 3


class Table:
    """Which placeholder stands for which value, for one (user, thread). Thread-safe; never printed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}

    def placeholder(self, value: str, type: str) -> str:
        """The placeholder of `value`: the one it has, else a new one. `type` only picks the letter."""
        with self._lock:
            known = self._placeholders.get(value)
            if known is None:
                known = f"[[{_LETTERS.get(type, _OTHER)}{len(self._placeholders) + 1}]]"
                self._placeholders[value] = known
                self._values[known] = value
            return known

    def find(self, value: str) -> str | None:
        """The placeholder that `value` has; None if it has none yet."""
        with self._lock:
            return self._placeholders.get(value)

    def adopt(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take over (placeholder, value) pairs that were issued before, oldest first: from disk."""
        with self._lock:
            for placeholder, value in pairs:
                self._placeholders[value] = placeholder
                self._values[placeholder] = value

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
        """Every value that has a placeholder, oldest first. These are secrets."""
        with self._lock:
            return tuple(self._placeholders)

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def __repr__(self) -> str:
        return f"Table({len(self)} placeholders)"


def hide(text: str, spans: Iterable[PrivateSpan], table: Table) -> Sendable:
    """`text` with every span replaced by its placeholder.

    Hidden besides: each further whole-word occurrence of a value the table knows (found private once is
    private everywhere in the thread), and whatever looks like a placeholder already. Overlapping spans
    become one. Raises ValueError if a span does not lie inside `text`.
    """
    found = _merged([(s.start, s.end, s.type) for s in spans], len(text))
    for start, end, kind in found:
        table.placeholder(text[start:end], kind)
    imitations = [(m.start(), m.end(), _OTHER) for m in _FORM.finditer(text)]
    ranges = _merged([*found, *_known_again(text, table), *imitations], len(text))
    pieces: list[str] = []
    at = 0
    for start, end, kind in ranges:
        pieces += (text[at:start], table.placeholder(text[start:end], kind))
        at = end
    return Sendable("".join(pieces) + text[at:], origin="hide")


def restore(text: str, table: Table) -> str:
    """`text` with every issued placeholder, bent or straight, replaced by its value. One pass only."""
    return _FORM.sub(lambda match: _value_of(match, table), text)


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
        for match in _FORM.finditer(text):
            last = match.end()
        tail = _TAIL.search(text, last)
        cut = tail.start() if tail else len(text)
        self._held = text[cut:]
        return restore(text[:cut], self._table)

    def close(self) -> str:
        """The stream has ended: whatever is still held back, as it is."""
        held, self._held = self._held, ""
        return held


def _value_of(match: re.Match[str], table: Table) -> str:
    value = table.value(f"[[{match[1].upper()}{int(match[2])}]]")
    return match[0] if value is None else value


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


def _known_again(text: str, table: Table) -> list[tuple[int, int, str]]:
    """Whole-word occurrences of values that already have a placeholder, longest first."""
    values = [v for v in table.values() if len(v) >= _SHORTEST_PROPAGATED and v in text]
    if not values:
        return []
    choices = [_as_whole_word(v) for v in sorted(values, key=len, reverse=True)]
    return [(m.start(), m.end(), _OTHER) for m in re.finditer("|".join(choices), text)]


def _as_whole_word(value: str) -> str:
    """A pattern for `value`; boundaries are asked for only where it begins or ends with a word character."""
    before = r"(?<!\w)" if re.match(r"\w", value) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", value) else ""
    return before + re.escape(value) + after


def mask_messages(
    hidden: Sequence[tuple[str, tuple[Sendable, ...]]],
) -> list[tuple[str, tuple[Sendable, ...]]]:
    """The hidden thread behind the pinned prompt that tells the cloud what placeholders are."""
    frame = [(role, (Sendable(text, "frame"),)) for role, text in sections(PROMPT)]
    return [*frame, *hidden]
