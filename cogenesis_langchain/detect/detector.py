"""Text to private spans, in three tiers.

fast: known values, our own patterns, and the recognisers that the policy's `presidio` part names. balanced:
and spaCy's entities, organisations included, Rampart's, the words that are no English ones, and every further
occurrence of what was found. thorough: and every proper noun, nationalities, names and addresses by script.
Patterns and models read what a person would see (`normalize.readable`); offsets are those of the text given.
Anything that goes wrong is a DetectorError, and then nothing is sent.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cogenesis_langchain.detect import lexicon, patterns, scripts
from cogenesis_langchain.detect.extra import Extra, ExtraDetector
from cogenesis_langchain.detect.phrases import is_common_form, rare_phrases
from cogenesis_langchain.detect.refine import NAMES, refined
from cogenesis_langchain.errors import DetectorError, ModelError
from cogenesis_langchain.known.matcher import SOURCE as KNOWN
from cogenesis_langchain.known.matcher import KnownValues, is_common, merged
from cogenesis_langchain.normalize.canonical import readable, squeeze
from cogenesis_langchain.types import ContextItem, KnownValue, PrivateSpan

if TYPE_CHECKING:
    from cogenesis_langchain.detect.presidio_engine import Analyzer

Tier = Literal["fast", "balanced", "thorough"]

QUIET: tuple[str, ...] = ("DATE_TIME", "URL", "NRP")
"""Labels that are nearly always false alarms, off unless asked for; `thorough` reports NRP."""

MAX_CHARS = 1_000_000

_TRUSTED_SCORE = 0.5  # from which a finding makes a known value, or is looked for in the rest of the text


Seen = MutableMapping[str, tuple[PrivateSpan, ...]]
"""Text -> what patterns and models found in it."""


class Finder(Protocol):
    """What `detect` needs of `known.KnownValues`."""

    def find(self, text: str) -> list[PrivateSpan]:
        """Spans of known values."""


@dataclass(frozen=True, slots=True)
class _Models:
    """What a tier loads: Presidio with its recognisers, and the plain words; None where it needs none."""

    analyzer: Analyzer | None
    lexicon: lexicon.Lexicon | None


class Detector:
    """Finds private spans. Loads lazily, once; safe to share between threads.

    Args:
        tier: how hard to look.
        presidio: Presidio's own configuration, or the path of a YAML file that holds it.
        spacy_path: folder of the spaCy pipeline; None asks the model cache for `en_core_web_sm`.
        rampart: whether Rampart reads the text too, in the tiers that use models.
        quiet: labels that are not reported; None for those of the tier.
        min_score: findings below are dropped.
        extra: detectors of the adopter's own, async or not (see `extra`).

    Raises DetectorError from every method if a pipeline is missing, the configuration is wrong, or the
    analysis fails.
    """

    def __init__(
        self,
        tier: Tier = "balanced",
        *,
        presidio: Mapping[str, Any] | Path | None = None,
        spacy_path: Path | None = None,
        rampart: bool = True,
        quiet: Sequence[str] | None = None,
        min_score: float = 0.3,
        extra: Sequence[ExtraDetector | object] = (),
    ) -> None:
        self.tier: Tier = tier
        self._presidio = presidio
        self._spacy_path = spacy_path
        self._rampart = rampart
        if quiet is None:
            quiet = [label for label in QUIET if tier != "thorough" or label != "NRP"]
        self._quiet = frozenset(quiet)
        self._min_score = min_score
        self._extra = Extra(extra)
        self._lock = threading.Lock()
        self._loaded: _Models | None = None

    def warm(self) -> None:
        """Load everything now: a second or three, so that the first request need not wait."""
        # A name, a mail address and a telephone number, because their tables are read on first use.
        self.detect("Ada Example, ada@example.org, +1 212 555 0142")

    def detect(self, text: str, *, known: Finder | None = None, message: int = 0) -> list[PrivateSpan]:
        """Private spans of `text`, sorted and not overlapping; `message` is only written into them.

        Where findings overlap they become one span that covers all of them (see `known.merged`).
        """
        return self._detect(text, self._own, known, message)

    def once(self, seen: Seen) -> Once:
        """This detector for one run: what it reads goes into `seen`, and is not read again."""
        return Once(self._detect, self._own, seen)

    def _detect(
        self, text: str, own: Callable[[str], Sequence[PrivateSpan]], known: Finder | None, message: int
    ) -> list[PrivateSpan]:
        if len(text) > MAX_CHARS:
            raise DetectorError(
                f"{len(text)} characters are too many to check (limit {MAX_CHARS}); send them in parts"
            )
        try:
            found = [s for s in own(text) if s.type not in self._quiet] + self._extra.find(text)
            found = [span for span in found if span.score >= self._min_score]
            if known is not None:
                found += known.find(text)
            spans = merged(found)
            if self.tier != "fast":
                spans = merged([*spans, *_propagated(text, spans, self._models().lexicon)])
        except DetectorError:
            raise
        except Exception as error:  # the cause may quote the text, so only its kind is told
            raise DetectorError(f"detection failed ({type(error).__name__}); nothing may be sent") from None
        return [replace(span, message=message) for span in spans] if message else spans

    def extract_values(self, item: ContextItem) -> list[KnownValue]:
        """What of a context item must never leave: the entities and the rare phrases found in it."""
        values: dict[str, KnownValue] = {}
        for span in self.detect(item.text):
            value = item.text[span.start : span.end]
            if span.type == lexicon.TYPE and item.type == "writing":
                continue  # what somebody wrote about anything; in what is about them such a word is a fact
            if span.score >= _TRUSTED_SCORE and not _is_noise(value, span.type):
                values.setdefault(squeeze(value), KnownValue(value, span.type, "entity"))
        for phrase in rare_phrases(item, is_common):
            values.setdefault(squeeze(phrase), KnownValue(phrase, "PHRASE", "phrase"))
        return [value for key, value in values.items() if len(key) > 1]

    def _own(self, text: str) -> tuple[PrivateSpan, ...]:
        """What patterns and models find, in no order: a function of the text alone."""
        view = readable(text)
        found = []
        for span in self._read(view.text) if view.text else ():
            start, end = view.span(span.start, span.end)
            moved = start != span.start or end != span.end
            found.append(replace(span, start=start, end=end) if moved else span)
        return tuple(found)

    def _read(self, text: str) -> Iterator[PrivateSpan]:
        """What patterns and models find in text that is not disguised."""
        models = self._models()
        for span in patterns.find(text):
            greeted = _greets_anybody(text, span, models.lexicon)
            yield replace(span, score=lexicon.SMALL_SCORE) if greeted else span
        if self.tier == "thorough":
            yield from scripts.find(text)
            yield from scripts.sobered(text, self._modelled(text, models))
        else:
            yield from self._modelled(text, models)

    def _modelled(self, text: str, models: _Models) -> Iterator[PrivateSpan]:
        if models.analyzer:
            found = list(models.analyzer.find(text))
            yield from refined(text, found, models.lexicon, doubted=bool(models.analyzer.rampart))
        if models.lexicon:
            yield from models.lexicon.rare(text)

    def _models(self) -> _Models:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> _Models:
        ner = self.tier != "fast"
        if not ner and not self._presidio:
            return _Models(None, None)
        from cogenesis_langchain.detect.presidio_engine import load

        analyzer = load(
            ner=ner,
            proper_nouns=self.tier == "thorough",
            presidio=self._presidio,
            spacy_path=self._spacy_path,
            quiet=self._quiet,
            rampart=ner and self._rampart,
        )
        try:
            return _Models(analyzer, lexicon.load(self._spacy_path) if ner else None)
        except ModelError as error:
            raise DetectorError(f"the detector cannot start: {error}") from None

    def __repr__(self) -> str:
        return f"Detector({self.tier!r})"


class Once:
    """A detector for one run, in which the same texts come by several times: asked, masked, at the gate.

    Remembered is only what patterns and models found; known values and the adopter's own detectors look each
    time. It ends with the run, so that no user's request is answered faster for what another one wrote.
    """

    def __init__(
        self,
        detect: Callable[..., list[PrivateSpan]],
        own: Callable[[str], tuple[PrivateSpan, ...]],
        seen: Seen,
    ) -> None:
        self._detect, self._own, self._seen = detect, own, seen

    def detect(self, text: str, *, known: Finder | None = None, message: int = 0) -> list[PrivateSpan]:
        """As `Detector.detect`."""
        return self._detect(text, self._remembered, known, message)

    def _remembered(self, text: str) -> tuple[PrivateSpan, ...]:
        if text not in self._seen:
            self._seen[text] = self._own(text)
        return self._seen[text]

    def __repr__(self) -> str:
        return f"Once({len(self._seen)} texts)"


# --- spans ----------------------------------------------------------------------------------------


def _is_noise(value: str, type: str) -> bool:
    """Whether a finding is good enough to hide, yet not to be looked for in everything from now on."""
    if type in NAMES and " " not in value:
        return value.islower() or is_common_form(value, is_common)
    return type == "PROPER_NOUN" or is_common(value)


def _greets_anybody(text: str, span: PrivateSpan, plain: lexicon.Lexicon | None) -> bool:
    """Whether what follows a greeting or a title is a plain word: "Dear tenants", "Dear diary"."""
    found = text[span.start : span.end]
    return plain is not None and span.type == "PERSON" and found.islower() and plain.holds_all(found)


def _propagated(text: str, spans: Sequence[PrivateSpan], plain: lexicon.Lexicon | None) -> list[PrivateSpan]:
    """A string found private once is private everywhere in the text, parts of a name included.

    Takes merged spans; gives those that none of them covers yet. Plain words count in lower case only where
    they were found so.
    """
    once = {
        (text[s.start : s.end], s.type)
        for s in spans
        if s.source != KNOWN and s.type in NAMES and s.score >= _TRUSTED_SCORE
    }
    if not once:
        return []
    values = KnownValues(KnownValue(value, kind, "entity") for value, kind in sorted(once))
    spellings = {value for value, _ in once}
    starts = [s.start for s in spans]
    again = []
    for span in values.find(text):
        before = bisect_right(starts, span.start) - 1
        if before >= 0 and span.end <= spans[before].end:
            continue
        found = text[span.start : span.end]
        if found in spellings or not found.islower() or plain is None or not plain.holds_all(found):
            again.append(replace(span, score=min(span.score, 0.85), source="propagated"))
    return again
