"""What models find, made exact: line by line, without edges that are no part of a name, without mistakes.

spaCy and Rampart err in different ways, so plain words that only one of them takes for a person do not count.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cogenesis_langchain.detect.lexicon import WORD, Lexicon, is_modern
from cogenesis_langchain.detect.rampart import HINT
from cogenesis_langchain.detect.rampart import SOURCE as RAMPART
from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.types import PrivateSpan

NAMES = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "NRP"})
"""Types that models give to names."""

_EDGES = " \t\r\n.,;:!?\"'`“”‘’«»()[]{}<>*_#|/\\-–—•"
# One line of what a model found: group 1 is what is left without an article before and a genitive after.
_LINE = re.compile(rf"[{re.escape(_EDGES)}]*(?:(?:[Tt]he|[Aa]n?) )?([^\n\r]+?)(?:['’]s)?(?=[\n\r]|\Z)")
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Sir|Madam)\b\.?(?=[ \t]{1,2}\Z)", re.IGNORECASE)
_SURE_SCORE = 0.8  # from which Rampart is believed that a plain word in lower case is a name
_SURE_SMALL_SCORE = 0.99  # and from which such a word may stop a request
_SENTENCE = re.compile(r"(?:\A|[.!?:\n])[\s\"'“‘>*-]{0,4}\Z")
# A line that names a trade, under a line that is a name: the head of a letter, a signature.
_JOB = re.compile(
    r"[ \t]{0,2}\n[ \t>]{0,4}((?:[A-Za-z][a-z'’-]{1,20},?\ (?:and\ |of\ )?){0,4}[A-Za-z]?[a-z'’-]{0,20}"
    r"(?:[^aeiou]er|eer|ier|tor|sor|ist|ian|ant|clerk|nurse|chef|aide|agent|officer|engineer|teacher|driver"
    r"|director|president|pilot|surgeon|architect|attorney|executive|representative|secretary|analyst))"
    r"[ \t]{0,2}(?=[\r\n])"
)
_LINE_START = re.compile(r"(?:\A|\n)[ \t>]{0,4}\Z")
_HINT_SCORE = 0.4  # of what tells little alone or may be a mistake: it stops no request


def refined(
    text: str, spans: Sequence[PrivateSpan], plain: Lexicon | None, *, doubted: bool
) -> Iterator[PrivateSpan]:
    """The spans of models, refined, with the titles before persons; others as they are. May overlap.

    `doubted`: Rampart has read the text, so what it knows nothing of may be a mistake.
    """
    hints = sorted((s.start, s.end) for s in spans if s.type == HINT or s.source == RAMPART)
    starts = [start for start, _ in hints]
    for span in spans:
        if span.type == HINT:
            continue
        if span.type not in NAMES:
            yield span
            continue
        at = bisect_left(starts, span.end)
        agreed = not doubted or span.source == RAMPART or (at > 0 and hints[at - 1][1] > span.start)
        for part in _lines(text, span, plain):
            if _is_mistake(text, part, plain, agreed):
                continue
            yield replace(part, score=_HINT_SCORE) if _is_doubtful(text, part, plain) else part
            if part.type == "PERSON" and (title := _TITLE.search(text, max(part.start - 8, 0), part.start)):
                yield replace(part, type="TITLE", start=title.start(), end=title.end(), score=_HINT_SCORE)
            if part.type == "PERSON" and (job := _job(text, part)):
                yield replace(part, type="TITLE", start=job.start(1), end=job.end(1), score=_HINT_SCORE)


def _job(text: str, person: PrivateSpan) -> re.Match[str] | None:
    """The trade named on the line below, if the person has a line of their own."""
    if not _LINE_START.search(text, max(person.start - 6, 0), person.start):
        return None
    return _JOB.match(text, person.end)


def _lines(text: str, span: PrivateSpan, plain: Lexicon | None) -> Iterator[PrivateSpan]:
    """The span line by line, without articles, punctuation and plain small words around it."""
    for line in _LINE.finditer(text, span.start, span.end):
        start, end = line.span(1)
        end = start + len(text[start:end].rstrip(_EDGES))
        if plain is not None and any(char.isupper() for char in text[start:end]):
            start, end = _without_small_words(text, start, end, plain)
        if start < end:
            yield replace(span, start=start, end=end)


def _without_small_words(text: str, start: int, end: int, plain: Lexicon) -> tuple[int, int]:
    """The stretch from its first to its last word that could be part of a name: "Nora shouted" -> "Nora"."""
    kept = [w for w in WORD.finditer(text, start, end) if not (w[0].islower() and w[0] in plain)]
    if not kept:
        return start, end
    first = WORD.search(text, start, end)
    begin = start if first and first.start() == kept[0].start() else kept[0].start()
    tail = text[kept[-1].end() : end]
    return begin, kept[-1].end() if WORD.search(tail) else end


def _is_mistake(text: str, span: PrivateSpan, plain: Lexicon | None, agreed: bool) -> bool:
    """Whether a model took a plain word for a name: "SSN" for a company, "mandolin" for a person."""
    inside = text[span.start : span.end]
    if sum(char.isalpha() for char in inside) < 2 and sum(char.isdigit() for char in inside) < 4:
        return True
    common = is_common(inside)
    if common and (inside.islower() or span.type == "ORGANIZATION" or text[span.end : span.end + 1] == ":"):
        return True
    if (inside.isupper() or inside.islower()) and is_modern(inside):  # also Rampart errs: IBAN, triathlon
        return True
    if plain is None or (span.source == RAMPART and span.score >= _SURE_SCORE):
        return False
    if span.type == "ORGANIZATION" and is_modern(inside):
        return True
    if span.type == "PERSON" and not agreed and plain.holds_all(inside):
        return True
    return inside.islower() and span.type != "LOCATION" and plain.holds_all(inside)


def _is_doubtful(text: str, span: PrivateSpan, plain: Lexicon | None) -> bool:
    """Whether Rampart, not sure, takes plain words for a name that do not look like one.

    They are hidden where a mask is made, but stop no request: "the canteen", "Persuade my parents".
    """
    if plain is None or span.source != RAMPART or span.score >= _SURE_SMALL_SCORE:
        return False
    inside = text[span.start : span.end]
    first = " " not in inside and _SENTENCE.search(text, max(span.start - 6, 0), span.start)
    return bool(inside.islower() or (first and inside[1:].islower())) and plain.holds_all(inside)
