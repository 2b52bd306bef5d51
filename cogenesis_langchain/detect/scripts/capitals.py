"""Names in languages that write them with a capital: French, Turkish, Russian, Greek and their like. Pure.

These languages write common nouns, days and months in small letters, so a capital inside a sentence marks a
name. German writes every noun with one: there a name needs a first name, a title, a word for kin, a second
capital beside it, or a preposition without an article before it ("aus Hamburg").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cogenesis_langchain.detect.scanning import SOURCE
from cogenesis_langchain.detect.scripts.tables import (
    FIRST_NAMES,
    FUNCTION_WORDS,
    GERMAN_NO_NAMES,
    GERMAN_NO_PLACES,
    INTRODUCING,
    NO_NAMES,
    PARTICLES,
)
from cogenesis_langchain.types import PrivateSpan

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_JOINS = re.compile(r"[ \u00a0]|['’]|\.[ ]?")  # what may stand between the words of one name
_OPENS = re.compile(
    r"(?:^|[.!?…:;\n•*>\])]|[-–—]\s)[\s\"'“”„«»‘’¿¡(\[*_-]*\Z"
)  # a sentence begins behind this
_ABSTRACT = re.compile(
    r"(?:ung|heit|keit|schaft|ion|tät|nis|ment|tum|ing|ik|ismus|enz|anz|ur|erei)(?:en|s|e)?\Z"
)
_GERMAN_PLACE_BEFORE = frozenset(["in", "aus", "nach", "bei", "über", "richtung", "nähe"])
_ENGLISH = "en"
_HEADLINE = 0.6  # share of words with a capital from which a capital says nothing


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a line: its place, and whether it has a capital and begins a sentence."""

    text: str
    start: int
    end: int
    capital: bool
    opens: bool

    @property
    def lower(self) -> str:
        return self.text.lower()


def language(text: str) -> str:
    """The language that most of the function words in `text` belong to; "" if they are too few to tell."""
    words = {word.lower() for word in _WORD.findall(text[:2000])}
    counts = {name: len(words & known) for name, known in FUNCTION_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    enough = 1 if best == _ENGLISH else max(2, counts[_ENGLISH] + 1)
    return best if counts[best] >= enough else ""


def find(line: str, offset: int, lang: str) -> Iterator[PrivateSpan]:
    """Names in one line of a text in the language `lang`; `offset` is where the line begins."""
    words = [_word(line, match) for match in _WORD.finditer(line)]
    headline = lang != "de" and len(words) >= 8 and sum(w.capital for w in words) > _HEADLINE * len(words)
    if headline or line.isupper():
        return
    taken = 0
    for i, word in enumerate(words):
        if i < taken or not word.capital or not _may_begin(words, i, lang):
            continue
        last = _run_end(line, words, i, lang)
        person = word.lower in FIRST_NAMES or (i > 0 and words[i - 1].lower in INTRODUCING)
        if _is_name(words, i, last, lang, person):
            taken = last + 1
            kind = "PERSON" if person else "LOCATION" if _behind_place(words, i, lang) else "PROPER_NOUN"
            yield PrivateSpan(kind, offset + word.start, offset + words[last].end, 0.5, SOURCE)


def _word(line: str, match: re.Match[str]) -> _Word:
    text = match[0]
    capital = text[0].isupper() and (len(text) > 1 or line[match.end() : match.end() + 1] == ".")
    opens = bool(_OPENS.search(line, max(match.start() - 6, 0), match.start())) or match.start() == 0
    return _Word(text, match.start(), match.end(), capital, opens)


def _may_begin(words: Sequence[_Word], i: int, lang: str) -> bool:
    """Whether a capitalised word can be the first of a name."""
    lower = words[i].lower
    stop = (
        lower in NO_NAMES or lower in INTRODUCING or any(lower in known for known in FUNCTION_WORDS.values())
    )
    return not stop and not (lang == "de" and lower in GERMAN_NO_NAMES)


def _run_end(line: str, words: Sequence[_Word], first: int, lang: str) -> int:
    """Index of the last word of the name that begins at `first`."""
    last, i = first, first + 1
    while i < len(words) and (gap := _JOINS.fullmatch(line, words[i - 1].end, words[i].start)):
        if (
            "." in gap[0] and len(words[i - 1].text) > 2
        ):  # a sentence ends there; behind one or two letters it may not
            break
        if words[i].capital and (_may_begin(words, i, lang) or words[i].lower in PARTICLES):
            last = i
        elif words[i].lower not in PARTICLES:
            break
        i += 1
    return last


def _is_name(words: Sequence[_Word], first: int, last: int, lang: str, person: bool) -> bool:
    if person:
        return True
    if lang != "de":
        # A single word that begins a sentence has its capital from there.
        return not words[first].opens or last > first
    if _behind_place(words, first, lang):
        return not _ABSTRACT.search(words[first].lower) and words[first].lower not in GERMAN_NO_PLACES
    return last > first and not words[first].opens and not _ABSTRACT.search(words[first].lower)


def _behind_place(words: Sequence[_Word], i: int, lang: str) -> bool:
    return lang == "de" and i > 0 and not words[i].opens and words[i - 1].lower in _GERMAN_PLACE_BEFORE
