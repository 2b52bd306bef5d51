"""Text to private spans, in three tiers.

fast: known values, our own patterns, Presidio's pattern recognisers. balanced: and spaCy's entities,
organisations included, and every further occurrence of what was found. thorough: and every proper noun.
Anything that goes wrong is a DetectorError, and then nothing is sent.

Presidio itself is in presidio_engine.py.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cogenesis_langchain import patterns
from cogenesis_langchain.errors import DetectorError
from cogenesis_langchain.known import SOURCE as KNOWN
from cogenesis_langchain.known import KnownValues, is_common, merged
from cogenesis_langchain.normalize import squeeze
from cogenesis_langchain.phrases import is_common_form, rare_phrases
from cogenesis_langchain.types import ContextItem, KnownValue, PrivateSpan

if TYPE_CHECKING:
    from cogenesis_langchain.presidio_engine import Analyzer

Tier = Literal["fast", "balanced", "thorough"]

QUIET: tuple[str, ...] = ("DATE_TIME", "URL", "NRP")
"""Labels that are nearly always false alarms, off unless asked for."""

MAX_CHARS = 1_000_000

_FROM_NER = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "NRP"})
_EDGES = " \t\r\n.,;:!?\"'`“”‘’«»()[]{}<>*_#|/\\-–—"
# One line of what spaCy found: group 1 is what is left without an article before and a genitive after.
_LINE = re.compile(rf"[{re.escape(_EDGES)}]*(?:(?:[Tt]he|[Aa]n?) )?([^\n\r]+?)(?:['’]s)?(?=[\n\r]|\Z)")
_TRUSTED_SCORE = 0.5  # from which a finding makes a known value, or is looked for in the rest of the text


class Finder(Protocol):
    """What `detect` needs of `known.KnownValues`."""

    def find(self, text: str) -> list[PrivateSpan]:
        """Spans of known values."""


class Detector:
    """Finds private spans. Loads lazily, once; safe to share between threads.

    Args:
        tier: how hard to look.
        presidio: Presidio's own configuration, or the path of a YAML file that holds it.
        spacy_path: folder of the spaCy pipeline; None asks the model cache for `en_core_web_sm`.
        quiet: labels that are not reported.
        min_score: findings below are dropped; Presidio gives .01 to any word that could be a licence number.

    Raises DetectorError from every method if a pipeline is missing, the configuration is wrong, or the
    analysis fails.
    """

    def __init__(
        self,
        tier: Tier = "balanced",
        *,
        presidio: Mapping[str, Any] | Path | None = None,
        spacy_path: Path | None = None,
        quiet: Sequence[str] = QUIET,
        min_score: float = 0.3,
    ) -> None:
        self.tier: Tier = tier
        self._presidio = presidio
        self._spacy_path = spacy_path
        self._quiet = frozenset(quiet)
        self._min_score = min_score
        self._lock = threading.Lock()
        self._loaded: Analyzer | None = None

    def warm(self) -> None:
        """Load everything now: a second or three, so that the first request need not wait."""
        # A name, a mail address and a telephone number, because their tables are read on first use.
        self.detect("Ada Example, ada@example.org, +1 212 555 0142")

    def detect(self, text: str, *, known: Finder | None = None, message: int = 0) -> list[PrivateSpan]:
        """Private spans of `text`, sorted and not overlapping; `message` is only written into them.

        Where findings overlap they become one span that covers all of them (see `known.merged`).
        """
        if len(text) > MAX_CHARS:
            raise DetectorError(
                f"{len(text)} characters are too many to check (limit {MAX_CHARS}); send them in parts"
            )
        try:
            found = [s for s in self._found(text) if s.type not in self._quiet and s.score >= self._min_score]
            if known is not None:
                found += known.find(text)
            spans = merged(found)
            if self.tier != "fast":
                spans = merged([*spans, *_propagated(text, spans)])
        except DetectorError:
            raise
        except Exception as error:  # the cause may quote the text, so only its kind is told
            raise DetectorError(f"detection failed ({type(error).__name__}); nothing may be sent") from None
        return [replace(span, message=message) for span in spans]

    def extract_values(self, item: ContextItem) -> list[KnownValue]:
        """What of a context item must never leave: the entities and the rare phrases found in it."""
        values: dict[str, KnownValue] = {}
        for span in self.detect(item.text):
            value = item.text[span.start : span.end]
            if span.score >= _TRUSTED_SCORE and not _is_noise(value, span.type):
                values.setdefault(squeeze(value), KnownValue(value, span.type, "entity"))
        for phrase in rare_phrases(item, is_common):
            values.setdefault(squeeze(phrase), KnownValue(phrase, "PHRASE", "phrase"))
        return [value for key, value in values.items() if len(key) > 1]

    def _found(self, text: str) -> Iterator[PrivateSpan]:
        yield from patterns.find(text)
        for span in self._analyzer().find(text):
            yield from _trimmed(text, span)

    def _analyzer(self) -> Analyzer:
        with self._lock:
            if self._loaded is None:
                from cogenesis_langchain.presidio_engine import load

                self._loaded = load(
                    ner=self.tier != "fast",
                    proper_nouns=self.tier == "thorough",
                    presidio=self._presidio,
                    spacy_path=self._spacy_path,
                    quiet=self._quiet,
                )
            return self._loaded

    def __repr__(self) -> str:
        return f"Detector({self.tier!r})"


# --- spans ----------------------------------------------------------------------------------------


def _trimmed(text: str, span: PrivateSpan) -> Iterator[PrivateSpan]:
    """The span line by line, without articles and punctuation around it, and without plain mistakes."""
    if span.type not in _FROM_NER:
        yield span
        return
    for line in _LINE.finditer(text, span.start, span.end):
        start, end = line.span(1)
        end = start + len(text[start:end].rstrip(_EDGES))
        inside = text[start:end]
        if inside and not (is_common(inside) and (inside.islower() or span.type == "ORGANIZATION")):
            yield replace(span, start=start, end=end)


def _is_noise(value: str, type: str) -> bool:
    """Whether a finding is good enough to hide, yet not to be looked for in everything from now on."""
    if type in _FROM_NER and " " not in value:
        return value.islower() or is_common_form(value, is_common)
    return type == "PROPER_NOUN" or is_common(value)


def _propagated(text: str, spans: Sequence[PrivateSpan]) -> list[PrivateSpan]:
    """A string found private once is private everywhere in the text, parts of a name included.

    Takes merged spans; gives those that none of them covers yet.
    """
    once = {
        (text[s.start : s.end], s.type)
        for s in spans
        if s.source != KNOWN and s.type in _FROM_NER and s.score >= _TRUSTED_SCORE
    }
    if not once:
        return []
    values = KnownValues(KnownValue(value, kind, "entity") for value, kind in sorted(once))
    starts = [s.start for s in spans]
    again = []
    for span in values.find(text):
        before = bisect_right(starts, span.start) - 1
        if before < 0 or span.end > spans[before].end:
            again.append(replace(span, score=min(span.score, 0.85), source="propagated"))
    return again
