"""The canonical form of text, with a map of offsets back to the original. Pure, linear time.

Two spellings of one value must become one string: compatibility forms (full width, ligatures), case,
accents, invisible characters, and whatever stands between words. What is kept is letters and digits in
lower case, with one space wherever something else stood or where camelCase changes case.

Escapes (HTML entities, %xx, JSON and \\x escapes) are decoded in a second view, because decoding can also
hide: the path `C:\\nora` holds `\\n`. `views` gives both. Confusables, leet and base64 are later work.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote

_ESCAPE = re.compile(
    r"&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    r"|(?:%[0-9a-fA-F]{2})+"
    r"|(?:\\u[0-9a-fA-F]{4})+"
    r"|\\x[0-9a-fA-F]{2}"
    r"|\\[nrtbf\"\\/]"
)
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_ROUNDS = 3  # how often text may have been escaped on top of itself


@dataclass(frozen=True, slots=True)
class Canonical:
    """Canonical text and where each of its characters came from.

    `text[i]` stands for the original characters `starts[i]` to `ends[i]`.
    """

    text: str = field(repr=False)
    starts: Sequence[int] = field(repr=False)
    ends: Sequence[int] = field(repr=False)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original stretch behind `text[start:end]`. Raises ValueError if that is empty or outside."""
        if not 0 <= start < end <= len(self.text):
            raise ValueError(f"no stretch {start}..{end} in {len(self.text)} canonical characters")
        return self.starts[start], max(self.ends[start:end])

    def __len__(self) -> int:
        return len(self.text)


def canonical(text: str) -> Canonical:
    """The canonical form of `text` as it stands, without decoding escapes."""
    return _fold(text, range(len(text)), range(1, len(text) + 1))


def views(text: str) -> Iterator[Canonical]:
    """Every form in which a value may be read: as it stands, then each round of decoding that changes it."""
    yield canonical(text)
    current: tuple[str, Sequence[int], Sequence[int]] = (text, range(len(text)), range(1, len(text) + 1))
    for _ in range(_ROUNDS):
        decoded = _decode(*current)
        if decoded is None:
            return
        current = decoded
        yield _fold(*current)


def fold(value: str) -> str:
    """The canonical text of a short string, without the map."""
    return canonical(value).text


def squeeze(value: str) -> str:
    """The canonical text without any separator: equal for `Nora Berg`, `nora_berg` and `N o r a B e r g`."""
    return fold(value).replace(" ", "")


@lru_cache(maxsize=8192)
def _letter(char: str) -> tuple[str, bool, bool] | None:
    """(folded letters, is lower case, is upper case); "" folded for a separator; None if it is dropped."""
    category = unicodedata.category(char)
    if category[0] == "M" or category == "Cf":
        return None
    if "\uac00" <= char <= "\ud7a3":  # a Hangul syllable stays whole: its parts would match across syllables
        return char, False, False
    plain = unicodedata.normalize("NFKD", char)
    folded = "".join(c for c in plain.casefold() if c.isalnum())
    if not folded:
        # Letters that vanish here do not exist; modifier symbols and the like only separate.
        return "", False, False
    return folded, char.islower(), char.isupper()


def _fold(text: str, starts_in: Sequence[int], ends_in: Sequence[int]) -> Canonical:
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    gap = -1  # where a pending separator began; -1: none
    was_lower = False
    for i, char in enumerate(text):
        seen = _letter(char)
        if seen is None:
            if out and gap < 0:  # an accent or an invisible character belongs to the letter before it
                ends[-1] = ends_in[i]
            continue
        folded, lower, upper = seen
        if not folded:
            gap = i if gap < 0 else gap
            was_lower = False
            continue
        if out and (gap >= 0 or (was_lower and upper)):
            out.append(" ")
            at = gap if gap >= 0 else i
            starts.append(starts_in[at])
            ends.append(starts_in[i])
        gap = -1
        was_lower = lower
        for letter in folded:
            out.append(letter)
            starts.append(starts_in[i])
            ends.append(ends_in[i])
    return Canonical("".join(out), starts, ends)


def _decode(
    text: str, starts_in: Sequence[int], ends_in: Sequence[int]
) -> tuple[str, Sequence[int], Sequence[int]] | None:
    """One round of escape decoding; None if nothing changes."""
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    changed = False
    for match in _ESCAPE.finditer(text):
        plain = _plain(match[0])
        if plain == match[0]:
            continue
        changed = True
        out.append(text[at : match.start()])
        starts += starts_in[at : match.start()]
        ends += ends_in[at : match.start()]
        out.append(plain)
        starts += [starts_in[match.start()]] * len(plain)
        ends += [ends_in[match.end() - 1]] * len(plain)
        at = match.end()
    if not changed:
        return None
    out.append(text[at:])
    starts += starts_in[at:]
    ends += ends_in[at:]
    return "".join(out), starts, ends


def _plain(escape: str) -> str:
    """What one escape stands for; itself if it stands for nothing."""
    if escape[0] == "&":
        return html.unescape(escape)
    if escape[0] == "%":
        return unquote(escape, errors="replace")
    if escape[1] == "u":
        units = b"".join(int(u, 16).to_bytes(2, "little") for u in escape.split("\\u")[1:])
        return units.decode("utf-16-le", errors="replace")
    if escape[1] == "x":
        return chr(int(escape[2:], 16))
    return _SIMPLE.get(escape[1], escape[1])
