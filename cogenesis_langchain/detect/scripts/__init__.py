"""Names and addresses in other languages than English, without a model: for the tier `thorough`. Pure.

Each language is read by what its writing marks: capitals (capitals.py), titles, kin, endings and forms of
addresses (marked.py), surnames and forms of addresses where there are no capitals (east.py). A word in
another script inside a line of Latin letters is taken for a name as well. `COVERED` says what is
covered and what is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from cogenesis_langchain.detect.scanning import SOURCE, Text, scan
from cogenesis_langchain.detect.scripts import capitals, east, marked
from cogenesis_langchain.detect.scripts.sober import sobered
from cogenesis_langchain.types import PrivateSpan

__all__ = ["COVERED", "find", "sobered"]

COVERED: dict[str, str] = {
    "French, Spanish, Italian, Portuguese, Romanian, Dutch, Swedish, Danish, Polish, Czech, Turkish": (
        "names inside a sentence, by their capital; streets; postcodes with a town. Not: a single name that "
        "begins a sentence and is none of the common first names; names in small letters"
    ),
    "German": (
        "common first names; names beside a title, kin or another name; towns behind in, aus, nach; streets. "
        "Not: a rare name that stands alone; companies without a legal form"
    ),
    "Russian, Ukrainian, Greek": "as French; patronymics and initials; Russian and Ukrainian streets",
    "Chinese": (
        "names with a common surname where a clause begins, behind words for people, before titles; "
        "addresses of two parts or with a number; companies. Not: rare surnames, names deep in a clause"
    ),
    "Japanese": "names with a common surname or an honorific; addresses; companies. Not: names in kana alone",
    "Korean": (
        "names before a title or with a surname that begins few other words; addresses. Not: foreign names"
    ),
    "Arabic, Hindi": "common names; names beside titles and kin; streets. Not: other names",
    "all others": "only where one to three words stand inside a line of Latin letters",
}
"""Language -> what is found in it, and what is not. Measured by no data set: these are rules of form."""

_CASED = re.compile("[\u0370-\u03ff\u0400-\u04ff]")
_LETTER = "[\u0370-\u10ff\u3041-\ud7a3]"
_FOREIGN = re.compile(f"{_LETTER}++(?:[ ·-]{_LETTER}++)*+")
_NAME_LIKE = re.compile(  # one to three words, or as many characters as a name has where words are not spaced
    "[\u0370-\u10ff]{2,30}+(?:[ -][\u0370-\u10ff]{2,30}+){0,2}|[\u30a1-\u30ff·]{2,10}"
    "|[\u3400-\u9fff]{2,4}|[\uac00-\ud7a3]{2,4}"
)
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LINE = re.compile(r"[^\n]+")


def find(text: str) -> Iterator[PrivateSpan]:
    """What the rules of each language find in `text`, in no order; spans may overlap."""
    if not text.isascii():
        read = Text(text)
        yield from scan(marked.SCRIPTS, read)
        yield from east.find(read)
    whole = capitals.language(text)
    for line in _LINE.finditer(text):
        yield from _in_line(line[0], line.start(), whole)


def _in_line(line: str, offset: int, whole: str) -> Iterator[PrivateSpan]:
    """What is found in one line that begins at `offset` of a text mostly in the language `whole`."""
    lang = capitals.language(line) or whole
    if not line.isascii():
        latin = len(_LATIN.findall(line))
        if len(_CASED.findall(line)) > latin:
            lang = "ru"
        for run in _FOREIGN.finditer(line):
            if latin >= max(10, 2 * len(run[0])) and _NAME_LIKE.fullmatch(run[0]):
                yield PrivateSpan("PROPER_NOUN", offset + run.start(), offset + run.end(), 0.5, SOURCE)
    if lang in ("", "en"):
        return
    yield from capitals.find(line, offset, lang)
    for span in scan(marked.LATIN, Text(line)):
        yield replace(span, start=offset + span.start, end=offset + span.end)
