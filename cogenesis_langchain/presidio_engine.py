"""Presidio and spaCy, loaded once and kept on this machine. The only importer of either.

Pipelines are loaded by path and never downloaded; no recogniser opens a socket. Presidio's own YAML is taken
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogenesis_langchain import models, yaml_lines
from cogenesis_langchain.errors import ConfigError, DetectorError, ModelError
from cogenesis_langchain.known import is_common
from cogenesis_langchain.types import PrivateSpan

PIPELINE = "en_core_web_sm"

_NER = {
    "model_to_presidio_entity_mapping": {
        "PERSON": "PERSON",
        "PER": "PERSON",
        "GPE": "LOCATION",
        "LOC": "LOCATION",
        "FAC": "LOCATION",
        "ORG": "ORGANIZATION",
        "NORP": "NRP",
        "DATE": "DATE_TIME",
        "TIME": "DATE_TIME",
    },
    # Presidio's own list without ORGANIZATION: companies are private here.
    "labels_to_ignore": [
        *("CARDINAL", "EVENT", "LANGUAGE", "LAW", "MONEY", "ORDINAL", "PERCENT", "PRODUCT", "QUANTITY"),
        "WORK_OF_ART",
    ],
}
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
_UNUSED_PIPES = ("parser", "lemmatizer", "senter", "attribute_ruler")
_PROPER_NOUN_TAGS = frozenset({"NNP", "NNPS"})
_LONG_RUN = re.compile(r"\S{40,}")
_NOT_ALNUM = re.compile(r"[\W_]")


@dataclass(slots=True, repr=False)
class Analyzer:
    """Presidio's engine with what it was built from."""

    engine: Any
    languages: Sequence[str]
    entities: Mapping[str, Sequence[str]]
    proper_nouns: bool
    timeout_s: float
    lock: threading.Lock

    def find(self, text: str) -> Iterator[PrivateSpan]:
        """Everything Presidio finds, in every configured language; spans may overlap."""
        for language in self.languages:
            # spaCy's string store is shared; its analysis holds Python's own lock anyway.
            with self.lock:
                begun = time.monotonic()
                artifacts = self._artifacts(text, language)
                results = self.engine.analyze(
                    text, language, entities=list(self.entities[language]), nlp_artifacts=artifacts
                )
                # Presidio skips a pattern that times out and only logs it: that must not pass for "clean".
                if time.monotonic() - begun >= self.timeout_s:
                    raise DetectorError("the patterns took too long on this text; shorten it and retry")
            for result in results:
                yield PrivateSpan(result.entity_type, result.start, result.end, result.score, "presidio")
            if self.proper_nouns:
                yield from _proper_nouns(artifacts.tokens)

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
) -> Analyzer:
    """An analyser ready to use.

    Args:
        ner: whether spaCy looks for names; without it only its tokenizer runs.
        proper_nouns: whether every proper noun is reported.
        presidio: Presidio's configuration, or the path of a YAML file that holds it.
        spacy_path: folder of the default pipeline; None asks the model cache.
        quiet: entities that nothing looks for (looking for URLs costs more than all the rest).

    Raises DetectorError that names the cause and the fix.
    """
    # At level DEBUG Presidio writes words of the text into its log.
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    try:
        conf = _sections(presidio)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions of pipelines and recognisers added by default
            return _build(conf, ner, proper_nouns, spacy_path, quiet)
    except DetectorError:
        raise
    except (ConfigError, ModelError) as error:
        raise DetectorError(f"the detector cannot start: {error}") from None
    except Exception as error:
        # Presidio's ValueErrors speak of the configuration; other errors may show paths or content.
        cause = str(error).splitlines()[0] if isinstance(error, ValueError) else type(error).__name__
        raise DetectorError(
            f"the detector cannot start: {cause}; check the `presidio` part of the policy, "
            f"or run: cogenesis models verify {PIPELINE}"
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
    conf: Mapping[str, Any], ner: bool, proper_nouns: bool, spacy_path: Path | None, quiet: frozenset[str]
) -> Analyzer:
    import presidio_analyzer as pa
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.pattern_recognizer import REGEX_TIMEOUT_SECONDS
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

    unused = None if not ner else _UNUSED_PIPES if proper_nouns else (*_UNUSED_PIPES, "tagger")
    languages = tuple(conf.get("supported_languages") or ["en"])
    nlp_engine = _nlp_engine(
        conf.get("nlp_configuration"), languages, lambda lang, name: _pipeline(lang, name, unused, spacy_path)
    )
    registry = RecognizerRegistryProvider(
        registry_configuration={
            **(conf.get("recognizer_registry") or {}),
            "supported_languages": list(languages),
        },
        nlp_engine=nlp_engine,
    ).create_recognizer_registry()
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
        proper_nouns=proper_nouns,
        timeout_s=REGEX_TIMEOUT_SECONDS,
        lock=threading.Lock(),
    )


def _nlp_engine(
    conf: Mapping[str, Any] | None, languages: Sequence[str], pipeline: Callable[[str, str], Any]
) -> Any:
    """A loaded engine. spaCy pipelines come from `pipeline`; others must be on this machine already."""
    from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpEngineProvider, SpacyNlpEngine

    name = conf["nlp_engine_name"] if conf else "spacy"
    if conf and name != "spacy":
        for model in conf["models"]:
            _require_local(model["model_name"], name)
        engine = NlpEngineProvider(nlp_configuration=dict(conf)).create_engine()
        engine.load()
        return engine
    wanted = conf["models"] if conf else [{"lang_code": lang, "model_name": PIPELINE} for lang in languages]
    ner = NerModelConfiguration.from_dict((conf or {}).get("ner_model_configuration") or _NER)
    engine = SpacyNlpEngine(models=wanted, ner_model_configuration=ner)
    engine.nlp = {m["lang_code"]: pipeline(m["lang_code"], m["model_name"]) for m in wanted}
    return engine


def _pipeline(language: str, name: str, unused: Sequence[str] | None, spacy_path: Path | None) -> Any:
    """A spaCy pipeline without what it need not run; its bare tokenizer where `unused` is None."""
    import spacy

    if unused is None:
        return spacy.blank(language)  # enough to keep Presidio's context words alive
    if name == PIPELINE:
        return spacy.load(spacy_path or models.locate(PIPELINE), exclude=unused)
    if not Path(name).is_dir() and not spacy.util.is_package(name):
        raise DetectorError(
            f"the spaCy pipeline '{name}' is not on this machine, and none is downloaded during a run; "
            f"give its folder as model_name, or leave it out to use {PIPELINE}"
        )
    return spacy.load(name, exclude=unused)


def _require_local(model_name: Any, engine: str) -> None:
    names = model_name.values() if isinstance(model_name, Mapping) else [model_name]
    if engine == "no_op" or all(Path(str(name)).is_dir() for name in names):
        return
    raise DetectorError(
        f"the {engine} engine would download its model; give the folder of a downloaded one as model_name"
    )


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
