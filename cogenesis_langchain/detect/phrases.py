"""Rare phrases of a context item: wordings that give somebody away though no detector names them. Pure.

A simple first form, by shape alone: titles and names of two or more capitalised words inside a sentence,
quoted words, and, in what the user says about themselves, pairs of neighbouring words neither of which is
common. Whole phrases are looked for later, so a pair rarely hits by accident.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cogenesis_langchain.types import ContextItem

MAX_PHRASES = 300
"""Of one context item: bounds what one long text adds to the matcher."""

_NAME = r"[A-Z][\w'’&-]{1,24}"
_CAPITALISED = re.compile(rf"(?<=[a-z,;] ){_NAME}(?: (?:of|the|and|de|van|von|&) {_NAME}| {_NAME}){{1,4}}")
_QUOTED = re.compile(r"[\"“«]([^\"“”«»\n]{4,60})[\"”»]")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_SHORTEST = 4


def rare_phrases(item: ContextItem, is_common: Callable[[str], bool]) -> Iterator[str]:
    """At most MAX_PHRASES distinct phrases of `item`, as they stand in its text."""
    seen: set[str] = set()
    for phrase in _all(item, is_common):
        key = phrase.casefold()
        if key in seen:
            continue
        seen.add(key)
        yield phrase
        if len(seen) == MAX_PHRASES:
            return


def _all(item: ContextItem, is_common: Callable[[str], bool]) -> Iterator[str]:
    for match in _CAPITALISED.finditer(item.text):
        if not is_common(match[0]):
            yield match[0]
    for match in _QUOTED.finditer(item.text):
        if 2 <= len(match[1].split()) <= 6 and not is_common(match[1]):
            yield match[1]
    if item.type != "writing":
        yield from _rare_pairs(item.text, is_common)


def _rare_pairs(text: str, is_common: Callable[[str], bool]) -> Iterator[str]:
    """Two words with one space between them, both at least four letters long and neither common."""
    before: re.Match[str] | None = None
    for word in _WORD.finditer(text):
        rare = len(word[0]) >= _SHORTEST and not is_common_form(word[0], is_common)
        if rare and before is not None and text[before.end() : word.start()] == " ":
            yield text[before.start() : word.end()]
        before = word if rare else None


def is_common_form(word: str, is_common: Callable[[str], bool]) -> bool:
    """Whether the word, or what it is a plain plural or verb form of, is common."""
    stems = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ed"))
    more = (
        word.removesuffix("d"),
        word.removesuffix("ing"),
        word.removesuffix("ing") + "e",
        word.removesuffix("ly"),
    )
    return any(is_common(stem) for stem in (*stems, *more) if len(stem) > 1)
