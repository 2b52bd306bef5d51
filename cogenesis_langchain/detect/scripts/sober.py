"""What English models make of other languages, brought back to what can be a name. Pure.

An English tagger takes most words of a German or Chinese sentence for proper nouns, so whole sentences would
be masked. In a line of another language small letters are no name, nor is a German noun behind an article,
nor a whole clause of Chinese or Japanese; what the rules of this package find stays.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cogenesis_langchain.detect.scripts import capitals
from cogenesis_langchain.detect.scripts.tables import FUNCTION_WORDS, GERMAN_DETERMINERS
from cogenesis_langchain.types import PrivateSpan

SOURCES = frozenset({"spacy", "lexicon"})
"""Whose findings are doubted: those that know English only."""

_CASED = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u052f]")
_CLAUSE = re.compile("[\u3041-\u30ff\u3400-\u9fff]")
_LONGEST_NAME = 6  # characters of a Chinese or Japanese name
_BEFORE = 60  # characters in which the article before a German noun stands
_LINE = re.compile(r"[^\n]+")
_WORD = re.compile(r"[^\W\d_]+")
_ADJECTIVE = re.compile(r"(?:e|en|er|es|em)\Z")


def sobered(text: str, spans: Iterable[PrivateSpan]) -> Iterator[PrivateSpan]:
    """The spans without what the language of their line rules out; a span may come back in parts."""
    whole = capitals.language(text)
    lines: list[tuple[int, int, str]] = []
    if whole != "en" or not text.isascii() or "\n" in text:
        for line in _LINE.finditer(text):
            lang = capitals.language(line[0]) or whole
            if lang not in ("", "en") or _CLAUSE.search(line[0]):
                lines.append((*line.span(), lang))
    starts = [start for start, _, _ in lines]
    for span in spans:
        at = bisect_right(starts, span.start) - 1
        if at < 0 or span.start >= lines[at][1] or span.source not in SOURCES:
            yield span
        else:
            yield from _names(text, span, lines[at][2])


def _names(text: str, span: PrivateSpan, lang: str) -> Iterator[PrivateSpan]:
    found = text[span.start : span.end]
    if not _CASED.search(found):
        if len(_CLAUSE.findall(found)) <= _LONGEST_NAME:
            yield span
        return
    if lang in ("", "en"):
        yield span
        return
    start = end = -1
    for word in _WORD.finditer(text, span.start, span.end):
        if word[0].islower() or not _can_be_name(text, word, lang):
            if start >= 0:
                yield replace(span, start=start, end=end)
            start = -1
            continue
        start, end = (word.start() if start < 0 else start), word.end()
    if start >= 0:
        yield replace(span, start=start, end=end)


def _can_be_name(text: str, word: re.Match[str], lang: str) -> bool:
    lower = word[0].lower()
    if any(lower in known for known in FUNCTION_WORDS.values()):
        return False
    return lang != "de" or not _behind_article(_before(text, word.start()))


def _before(text: str, at: int) -> Sequence[str]:
    """The two words before `at` in the same sentence."""
    sentence = re.split(r"[.!?:;,\n]", text[max(at - _BEFORE, 0) : at])[-1]
    return _WORD.findall(sentence)[-2:]


def _behind_article(before: Sequence[str]) -> bool:
    """Whether a German noun stands behind an article, or behind one with an adjective."""
    if not before:
        return False
    last = before[-1].lower()
    if last in GERMAN_DETERMINERS:
        return True
    adjective = before[-1].islower() and bool(_ADJECTIVE.search(last))
    return adjective and len(before) > 1 and before[-2].lower() in GERMAN_DETERMINERS
