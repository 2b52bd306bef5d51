"""Whether a text that is being written may stand inside a known value, before all of it is there. Pure.

`KnownValues` finds values that are complete; the gate goes by that. This is for form `live` of fusion, which
must decide at every token whether its shadow may take it over: it may not from the first token of what can
still become a value.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable

from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.known.spellings import spellings
from cogenesis_langchain.normalize.canonical import fold
from cogenesis_langchain.types import KnownValue

_TAIL = 240  # bytes of the text that are looked at
_MOST_WORDS = 12
_CODED = re.compile(
    r"[\d@#/\\_%&=+<>{}]|[a-zß-öø-ÿ][A-ZÀ-ÖØ-Þ]|[A-Z]{2}[a-z]|\w{24}|[a-zA-Z][\u0370-\u058f]|[\u0370-\u058f][a-zA-Z]"
)
"""In a run without spaces: a number, an address, two scripts, or what may be letters in some encoding."""
_SPELT = re.compile(r"(?<!\S)\w(?:\s+\w){2,}\s*\Z")  # letters that stand alone, one after the other
_LONG = 6  # as in `matcher`: several everyday words make a value from this many characters on


class Holding:
    """A function of the text so far: true where it may end inside one of `values`.

    Everyday words that are values count from a capital on, and one alone that merely begins a value does
    not: else every "a" would be held for Anna. What the user declared always counts. A run of letters that is
    no plain word, by digits, signs or capitals inside it, is held whole: a value may be encoded in it.
    """

    def __init__(self, values: Iterable[KnownValue]) -> None:
        words: set[str] = set()
        weak: set[str] = set()
        signs: set[bytes] = set()
        for value in values:
            for spelling in spellings(value):
                parts = fold(spelling.value).split()
                squeezed = "".join(parts)
                alone = len(parts) == 1 or len(squeezed) < _LONG
                if len(squeezed) < 2:
                    signs.add(spelling.value.strip().encode(errors="ignore"))
                elif alone and value.origin != "declared" and is_common(spelling.value):
                    weak.add(squeezed)
                else:
                    words.add(squeezed)
        self._words, self._weak = sorted(words), sorted(weak - words)
        self._signs = tuple(sign for sign in signs if sign and not sign.isalnum())

    def __call__(self, text: bytes) -> bool:
        """Whether `text`, which may end in the middle of a word or a character, is to be held."""
        if self._signs and text.rstrip().endswith(self._signs):
            return True
        tail = text[-_TAIL:].decode(errors="ignore")
        words = fold(tail).split(" ")
        if _SPELT.search(tail) or (tail[-1:].strip() and _CODED.search(tail.split()[-1])):
            return True
        if len(text) > _TAIL:
            del words[0]  # its beginning is cut off
        inside = unicodedata.category(tail[-1])[0] in "LNM" if tail else False
        for size in range(1, min(len(words), _MOST_WORDS) + 1):
            ending = "".join(words[-size:])
            if len(ending) < 2 or (size == 1 and inside and self._only_begins(ending)):
                continue
            if _begins(self._words, ending, whole=inside):
                return True
            if _named(tail, words[-size]) and _begins(self._weak, ending, whole=inside):
                return True
        return False

    def _only_begins(self, word: str) -> bool:
        return is_common(word) and not (_has(self._words, word) or _has(self._weak, word))

    def __repr__(self) -> str:
        return f"Holding({len(self._words) + len(self._weak) + len(self._signs)} values)"


def _begins(words: list[str], ending: str, *, whole: bool) -> bool:
    """Whether `ending` begins one of the sorted words; with `whole` also where it is all of one."""
    at = bisect_left(words, ending)
    if at < len(words) and words[at] == ending:
        if whole:
            return True
        at += 1
    return at < len(words) and words[at].startswith(ending)


def _has(words: list[str], word: str) -> bool:
    at = bisect_left(words, word)
    return at < len(words) and words[at] == word


def _named(tail: str, word: str) -> bool:
    """Whether the last place of `word` (folded) in the text begins with a capital."""
    at = tail.casefold().rfind(word)
    return at >= 0 and tail[at : at + 1].isupper()
