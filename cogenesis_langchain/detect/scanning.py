"""What a pattern is, and how many of them read a text quickly. Pure.

Four habits make them fast and keep them linear on text made to be slow:
- a pattern with `hints` is tried only where one of these strings stands in the text;
- a pattern for something with digits reads only what is around digits, one for codes only words with digits;
- expressions begin with a character (class) and look back behind it, so that `re` can skip to it;
- every repetition is bounded or possessive, and no two neighbouring ones accept the same character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cogenesis_langchain.types import PrivateSpan

SOURCE = "pattern"

Where = Literal["text", "digits", "words", "signs"]
"""What a pattern reads: all; from 48 characters before a digit to 24 behind one; long words with a digit;
from 64 characters before an @ to 400 behind one."""

_RUN = re.compile(r"[0-9](?:[^0-9]{0,72}[0-9])*+")
_BEFORE, _BEHIND = 48, 24
_SIGNS = re.compile(r"@(?:[^@]{0,464}@)*+")
_BEFORE_SIGN, _BEHIND_SIGN = 64, 400
_SHORTEST = 7  # characters of a word that can be a code
_WORD = re.compile(rf"\S{{{_SHORTEST},}}+")
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to look for. Group 1 of the expression, where there is one, is the private part.

    hints: lower-case strings without any of which it cannot match; () for none.
    check: whether the private part, as the text spells it, is really one.
    lower: the expression is in small letters and reads the text in small letters.
    """

    type: str
    score: float
    expression: re.Pattern[str]
    hints: tuple[str, ...] = ()
    check: Callable[[str], bool] | None = None
    lower: bool = False
    where: Where = "text"


def pattern(
    type: str,
    score: float,
    expression: str,
    hints: tuple[str, ...] = (),
    *,
    check: Callable[[str], bool] | None = None,
    lower: bool = False,
    where: Where = "text",
    flags: re.RegexFlag = re.ASCII,
) -> Pattern:
    """A pattern from a verbose expression."""
    return Pattern(type, score, re.compile(expression, flags | re.VERBOSE), hints, check, lower, where)


class Text:
    """A text as the patterns read it: as it is, in small letters, and where its digits are.

    No character moves: offsets in `lower` are those in `text`.
    """

    __slots__ = ("digits", "longest", "lower", "signs", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.lower = text.lower()
        if len(self.lower) != len(text):  # a capital dotted I becomes two characters
            self.lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        self.digits = _around(_RUN, text, _BEFORE, _BEHIND)
        self.signs = _around(_SIGNS, text, _BEFORE_SIGN, _BEHIND_SIGN)
        self.longest = max(map(len, text.split()), default=0)
        self.words = []
        if self.digits and self.longest >= _SHORTEST:
            spans = (word.span() for word in _WORD.finditer(text))
            self.words = [span for span in spans if _DIGIT.search(text, *span)]

    def has(self, hints: Iterable[str]) -> bool:
        """Whether any of the hints stands in the text."""
        lower = self.lower
        for hint in hints:  # noqa: SIM110  # asked some hundred times a text: a generator costs twice as much
            if hint in lower:
                return True
        return False

    def matches(
        self, expression: re.Pattern[str], where: Where = "text", *, lower: bool = False
    ) -> Iterator[re.Match[str]]:
        """Where the expression matches in what it reads."""
        text = self.lower if lower else self.text
        if where == "text":
            yield from expression.finditer(text)
            return
        for start, end in getattr(self, where):
            yield from expression.finditer(text, start, end)

    def __repr__(self) -> str:
        return f"Text({len(self.text)} characters)"


def _around(runs: re.Pattern[str], text: str, before: int, behind: int) -> list[tuple[int, int]]:
    """Each run with some characters before and behind it."""
    return [(max(run.start() - before, 0), min(run.end() + behind, len(text))) for run in runs.finditer(text)]


def scan(patterns: Sequence[Pattern], text: Text) -> Iterator[PrivateSpan]:
    """What the patterns find, in no order; spans may overlap."""
    for p in patterns:
        if p.hints and not text.has(p.hints):
            continue
        group = 1 if p.expression.groups else 0
        for match in text.matches(p.expression, p.where, lower=p.lower):
            start, end = match.span(group)
            if start < end and (p.check is None or p.check(text.text[start:end])):
                yield PrivateSpan(p.type, start, end, p.score, SOURCE)
