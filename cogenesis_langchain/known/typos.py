"""One letter missing, extra, wrong or in another place: near misses of long words, in linear time.

A word with one such mistake still holds one of its halves as it was. Every half that stands in the text is a
seed; the stretch around it is near if deleting at most one letter from it, and one from the value, makes
them equal (symmetric deletion, after Garbe's SymSpell). All of it is table look-ups, so neither many values
nor hostile text make it slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cogenesis_langchain.known.automaton import finder

SHORTEST = 8
"""Letters from which one of them may be wrong: shorter words have too many neighbours."""


class NearMisses:
    """An immutable matcher of words that are nearly one of `words`, all at least SHORTEST letters long."""

    def __init__(self, words: Iterable[str]) -> None:
        self._neighbours: dict[str, str] = {}
        seeds: dict[str, set[tuple[bool, int]]] = {}
        for word in words:
            half = len(word) // 2  # the letter behind it belongs to no seed: it may change places
            seeds.setdefault(word[:half], set()).add((True, len(word)))
            seeds.setdefault(word[half + 1 :], set()).add((False, len(word)))
            for form in (word, *_shortened(word)):
                self._neighbours.setdefault(form, word)
        self._seeds = finder({seed: (len(seed), tuple(places)) for seed, places in seeds.items()})

    def find(self, text: str, fits: Callable[[int, int], bool]) -> Iterator[tuple[int, int, str]]:
        """(start, end, word) of each stretch of `text` that fits and is nearly, but not exactly, `word`."""
        for last, (size, places) in self._seeds(text):
            for leads, length in places:
                for long in (length - 1, length, length + 1):
                    start = last + 1 - size if leads else last + 1 - long
                    if start < 0 or start + long > len(text) or not fits(start, start + long):
                        continue
                    if word := self._near(text[start : start + long]):
                        yield start, start + long, word

    def _near(self, stretch: str) -> str | None:
        for form in (stretch, *_shortened(stretch)):
            word = self._neighbours.get(form)
            if word is not None and word != stretch:
                return word
        return None


def _shortened(word: str) -> list[str]:
    """`word` with one letter left out, for each letter."""
    return [word[:i] + word[i + 1 :] for i in range(len(word))]
