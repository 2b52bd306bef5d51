"""Presidio, loaded once and kept on this machine, with spaCy's names and Rampart's as its recognisers.

Pipelines are in pipelines.py; no recogniser opens a socket. Presidio's own YAML is taken
unchanged: a whole analyser file, or just its registry part (`recognizers: ...`) or its pipeline part
(`nlp_engine_name: ...`).
"""

from __future__ import annotations

import logging
import re
import threading
import time
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogenesis_langchain import yaml_lines
from cogenesis_langchain.detect import pipelines
from cogenesis_langchain.detect.rampart import HINT, TYPES, Rampart
from cogenesis_langchain.detect.rampart import SOURCE as RAMPART
from cogenesis_langchain.errors import ConfigError, DetectorError, ModelError
from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.types import PrivateSpan

_KEYS = frozenset(
    {
        "supported_languages",
        "default_score_threshold",
        "recognizer_registry",
        "nlp_configuration",
        "context_aware_enhancer",
    }
)
_REGISTRY_KEYS = frozenset({"recognizers", "global_regex_flags", "supported_countries"})
_PIPELINE_KEYS = frozenset({"nlp_engine_name", "models", "ner_model_configuration", "generic_tokenizer"})
_PROPER_NOUN_TAGS = frozenset({"NNP", "NNPS"})
_LONG_RUN = re.compile(r"\S{40,}")
_NOT_ALNUM = re.compile(r"[\W_]")


@dataclass(slots=True, repr=False)
class Analyzer:
    """Presidio's engine with what it was built from."""

    engine: Any
    languages: Sequence[str]
    entities: Mapping[str, Sequence[str]]
    rampart: Sequence[Any]
    proper_nouns: bool
    timeout_s: float
    lock: threading.Lock

    def find(self, text: str) -> Iterator[PrivateSpan]:
        """Everything Presidio finds, in every configured language; spans may overlap."""
        for language in self.languages:
            # spaCy's string store is shared; its analysis holds Python's own lock anyway.
            with self.lock:
                artifacts = self._artifacts(text, language)
                begun = time.monotonic() - self._reading_s()
                results = self.engine.analyze(
                    text, language, entities=list(self.entities[language]), nlp_artifacts=artifacts
                )
                # Presidio skips a pattern that times out and only logs it: that must not pass for "clean".
                if time.monotonic() - self._reading_s() - begun >= self.timeout_s:
                    raise DetectorError("the patterns took too long on this text; shorten it and retry")
            for found in results:
                yield PrivateSpan(found.entity_type, found.start, found.end, found.score, _source(found))
            if self.proper_nouns:
                yield from _proper_nouns(artifacts.tokens)

    def _reading_s(self) -> float:
        """Seconds that Rampart has read so far: its time grows with the text and is no pattern's fault."""
        return float(sum(one.seconds for one in self.rampart))

    def _artifacts(self, text: str, language: str) -> Any:
        artifacts = self.engine.nlp_engine.process_text(_softened(text), language)
        if not any(artifacts.lemmas):
            # Without a lemmatizer Presidio's context words would never match.
            artifacts.lemmas = [token.lower_ for token in artifacts.tokens]
            artifacts.keywords = artifacts.set_keywords(artifacts.nlp_engine, artifacts.lemmas, language)
        artifacts.keywords = frozenset(artifacts.keywords)  # is only ever asked `in`, once per context word
        return artifacts


def _softened(text: str) -> str:
    """`text` for the tokenizer: as long, but without runs of symbols that take it seconds to split."""
    return _LONG_RUN.sub(lambda run: _NOT_ALNUM.sub(" ", run[0]), text)


def _token_at(_word: str, start: int, tokens: Any, starts: Sequence[int]) -> int:
    """Index of the token at character `start`, or of the first one behind it.

    Presidio's own search reads all tokens once per finding, which makes long texts quadratic.
    """
    index = max(bisect_right(starts, start) - 1, 0)
    if start >= starts[index] + len(tokens[index]) and index + 1 < len(starts):
        index += 1
    return index


def _proper_nouns(tokens: Any) -> Iterator[PrivateSpan]:
    for token in tokens:
        if token.tag_ in _PROPER_NOUN_TAGS and len(token.text) > 1 and not is_common(token.text):
            yield PrivateSpan("PROPER_NOUN", token.idx, token.idx + len(token.text), 0.5, "spacy")


def load(
    *,
    ner: bool,
    proper_nouns: bool,
    presidio: Mapping[str, Any] | Path | None = None,
    spacy_path: Path | None = None,
    quiet: frozenset[str] = frozenset(),
    rampart: bool = False,
) -> Analyzer:
    """An analyser ready to use. Of Presidio's own recognisers only those run that the configuration names.

    Args:
        ner: whether spaCy looks for names; without it only its tokenizer runs.
        proper_nouns: whether every proper noun is reported.
        presidio: Presidio's configuration, or the path of a YAML file that holds it.
        spacy_path: folder of the default pipeline; None asks the model cache.
        quiet: entities that nothing looks for (looking for URLs costs more than all the rest).
        rampart: whether Rampart reads English text, too.

    Raises DetectorError that names the cause and the fix.
    """
    # At level DEBUG Presidio writes words of the text into its log.
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    try:
        conf = _sections(presidio)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions of pipelines and recognisers added by default
            return _build(conf, ner, proper_nouns, spacy_path, quiet, rampart)
    except DetectorError:
        raise
    except (ConfigError, ModelError) as error:
        raise DetectorError(f"the detector cannot start: {error}") from None
    except Exception as error:
        # Presidio's ValueErrors speak of the configuration; other errors may show paths or content.
        cause = str(error).splitlines()[0] if isinstance(error, ValueError) else type(error).__name__
        raise DetectorError(
            f"the detector cannot start: {cause}; check the `presidio` part of the policy, "
            f"or run: cogenesis models verify {pipelines.PIPELINE}"
        ) from None


def _sections(presidio: Mapping[str, Any] | Path | None) -> dict[str, Any]:
    """Presidio's configuration in the form of its whole analyser file."""
    data: Any = yaml_lines.read(presidio).data if isinstance(presidio, Path) else presidio
    if data is not None and not isinstance(data, Mapping):
        raise DetectorError("presidio: Presidio's configuration is a mapping; see its documentation")
    conf = dict(data or {})
    if "recognizers" in conf:  # just the registry part
        conf["recognizer_registry"] = {key: conf.pop(key) for key in _REGISTRY_KEYS & conf.keys()}
    if "nlp_engine_name" in conf:  # just the pipeline part
        conf["nlp_configuration"] = {key: conf.pop(key) for key in _PIPELINE_KEYS & conf.keys()}
    if unknown := sorted(map(str, conf.keys() - _KEYS)):
        raise DetectorError(
            f"presidio: no key {', '.join(unknown)}; Presidio knows {', '.join(sorted(_KEYS))}"
        )
    return conf


def _build(
    conf: Mapping[str, Any],
    ner: bool,
    proper_nouns: bool,
    spacy_path: Path | None,
    quiet: frozenset[str],
    rampart: bool,
) -> Analyzer:
    import presidio_analyzer as pa
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.pattern_recognizer import REGEX_TIMEOUT_SECONDS

    unused = pipelines.unused(proper_nouns) if ner else None
    languages = tuple(conf.get("supported_languages") or ["en"])
    nlp_engine = pipelines.engine(conf.get("nlp_configuration"), languages, unused, spacy_path)
    registry = _registry(conf.get("recognizer_registry") or {}, languages, nlp_engine)
    readers = [_rampart_recognizer(Rampart.default())] if rampart and "en" in languages else []
    for reader in readers:
        registry.add_recognizer(reader)
    keep_offline(registry.recognizers)
    enhancer = LemmaContextAwareEnhancer(**(conf.get("context_aware_enhancer") or {}))
    enhancer._find_index_of_match_token = _token_at
    engine = pa.AnalyzerEngine(
        registry=registry,
        nlp_engine=nlp_engine,
        supported_languages=list(languages),
        default_score_threshold=conf.get("default_score_threshold", 0),
        context_aware_enhancer=enhancer,
    )
    return Analyzer(
        engine=engine,
        languages=languages,
        entities={
            language: sorted(set(engine.get_supported_entities(language)) - quiet) for language in languages
        },
        rampart=readers,
        proper_nouns=proper_nouns,
        timeout_s=REGEX_TIMEOUT_SECONDS,
        lock=threading.Lock(),
    )


def _registry(conf: Mapping[str, Any], languages: Sequence[str], nlp_engine: Any) -> Any:
    """The recognisers that the configuration names, and what turns the pipeline's entities into findings."""
    import presidio_analyzer as pa
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

    if "recognizers" not in conf:
        # Our own patterns look for what Presidio's would, at a fraction of the time.
        registry = pa.RecognizerRegistry(recognizers=[], supported_languages=list(languages))
        registry.add_nlp_recognizer(nlp_engine)
        return registry
    return RecognizerRegistryProvider(
        registry_configuration={**conf, "supported_languages": list(languages)}, nlp_engine=nlp_engine
    ).create_recognizer_registry()


def _rampart_recognizer(model: Rampart) -> Any:
    """Rampart as one of Presidio's recognisers, for English."""
    import presidio_analyzer as pa

    class RampartRecognizer(pa.EntityRecognizer):  # type: ignore[misc]  # Presidio is not typed
        """Gives Rampart's findings under Presidio's names; `seconds` counts what they have cost."""

        seconds = 0.0

        def load(self) -> None:
            """Loaded by the model itself, on first use."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any) -> list[Any]:  # noqa: ARG002 (Presidio's)
            """Findings of the types asked for."""
            begun = time.monotonic()
            found = model.find(text)
            self.seconds += time.monotonic() - begun
            return [pa.RecognizerResult(s.type, s.start, s.end, s.score) for s in found if s.type in entities]

    return RampartRecognizer([*TYPES, HINT], name=RAMPART, supported_language="en")


def _source(result: Any) -> str:
    """Whose finding it is: rampart's, spaCy's, or another recogniser's."""
    name = (result.recognition_metadata or {}).get(result.RECOGNIZER_NAME_KEY, "")
    return RAMPART if name == RAMPART else "spacy" if name == "SpacyRecognizer" else "presidio"


def keep_offline(recognizers: Iterable[Any]) -> None:
    """No recogniser may open a socket: remote ones are refused, the list of mail suffixes is a local one."""
    import presidio_analyzer as pa
    import tldextract
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    extract = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    for recognizer in recognizers:
        if isinstance(recognizer, pa.RemoteRecognizer | pa.LMRecognizer):
            raise DetectorError(
                f"the recogniser {type(recognizer).__name__} sends text to a service; leave it out"
            )
        if isinstance(recognizer, EmailRecognizer):
            # An unknown suffix lowers no score: nora@intranet.local is an address as well.
            recognizer.validate_result = lambda address: extract(address).fqdn != "" or None
