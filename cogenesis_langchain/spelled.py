"""Numbers in words, and words spelled letter by letter: they say what digits and names say. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+")
_NUMBERS = frozenset(
    _WORD.findall(
        """zero nought oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
        hundred thousand million billion double triple first second third fourth fifth sixth seventh eighth
        ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth
        nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth hundredth"""
    )
)
_BETWEEN = "and"  # a hundred and one
_SHORTENED = re.compile(r"\bone['’]s\b|(?<=\w)['’](?:s|t|d|m|re|ve|ll)\b")  # one's first, I'd
_ARTICLES = "ai"  # words of one letter


def spelled(text: str) -> bool:
    """Whether two numbers in words follow each other, or letters that stand alone do."""
    words = _WORD.findall(_SHORTENED.sub("", text.casefold()))
    return _numbers(words) or _letters(words)


def _numbers(words: Sequence[str]) -> bool:
    run = 0
    for word in words:
        if word in _NUMBERS:
            run += 1
        elif word != _BETWEEN:
            run = 0
        if run > 1:
            return True
    return False


def _letters(words: Sequence[str]) -> bool:
    """Three letters in a row, or two that are no words themselves: "a t-shirt" has one."""
    alone = " ".join(word if len(word) == 1 else "," for word in words).split(",")
    runs = [run.replace(" ", "") for run in alone]
    return any(len(run) > 2 or len(run.strip(_ARTICLES)) > 1 for run in runs)
