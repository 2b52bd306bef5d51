"""Text with a map of offsets back to where it came from, and rewriting that keeps the map. Pure, linear."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mapped:
    """A form of some text, and where each of its characters came from.

    `text[i]` stands for the original characters `starts[i]` to `ends[i]`.
    """

    text: str = field(repr=False)
    starts: Sequence[int] = field(repr=False)
    ends: Sequence[int] = field(repr=False)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original stretch behind `text[start:end]`. Raises ValueError if that is empty or outside."""
        if not 0 <= start < end <= len(self.text):
            raise ValueError(f"no stretch {start}..{end} in {len(self.text)} characters")
        return self.starts[start], max(self.ends[start:end])

    def __len__(self) -> int:
        return len(self.text)


def plain(text: str) -> Mapped:
    """`text` as it stands: the map leads every character to itself."""
    return Mapped(text, range(len(text)), range(1, len(text) + 1))


def rewrite(source: Mapped, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> Mapped:
    """Every match replaced; what a match becomes stands for the whole of it. `source` if nothing changes."""
    text = source.text
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in pattern.finditer(text):
        new = replace(match)
        if new == match[0]:
            continue
        first, last = match.span()
        out += text[at:first], new
        starts += source.starts[at:first]
        ends += source.ends[at:first]
        if new:
            starts += [source.starts[first]] * len(new)
            ends += [source.ends[last - 1]] * len(new)
        elif ends:  # what vanishes belongs to the character before it
            ends[-1] = source.ends[last - 1]
        at = last
    if not at:
        return source
    starts += source.starts[at:]
    ends += source.ends[at:]
    return Mapped("".join([*out, text[at:]]), starts, ends)


def respell(source: Mapped, table: Mapping[str, str]) -> Mapped:
    """Every character replaced by what `table` has for it: "" drops it. `source` if nothing changes."""
    changed = {char: other for char in set(source.text) if (other := table[char]) != char}
    if not changed:
        return source
    if all(len(other) == 1 for other in changed.values()):  # the usual case: no offset moves
        text = source.text.translate({ord(char): other for char, other in changed.items()})
        return Mapped(text, source.starts, source.ends)
    new = [changed.get(char, char) for char in source.text]
    starts: list[int] = []
    ends: list[int] = []
    for letters, start, end in zip(new, source.starts, source.ends, strict=True):
        if len(letters) == 1:
            starts.append(start)
            ends.append(end)
        elif letters:
            starts += [start] * len(letters)
            ends += [end] * len(letters)
        elif ends:  # an accent or an invisible character belongs to the letter before it
            ends[-1] = end
    return Mapped("".join(new), starts, ends)
