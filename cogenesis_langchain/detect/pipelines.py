"""spaCy's pipelines for Presidio, by path and never downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cogenesis_langchain import models
from cogenesis_langchain.errors import DetectorError

PIPELINE = models.PIPELINE

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
_UNUSED_PIPES = ("parser", "lemmatizer", "senter", "attribute_ruler")


def unused(proper_nouns: bool) -> tuple[str, ...]:
    """The pipes that detection can do without."""
    return _UNUSED_PIPES if proper_nouns else (*_UNUSED_PIPES, "tagger")


def engine(
    conf: Mapping[str, Any] | None,
    languages: Sequence[str],
    unused: Sequence[str] | None,
    spacy_path: Path | None,
) -> Any:
    """Presidio's NLP engine, loaded. Everything it reads must be on this machine already.

    Args:
        conf: Presidio's `nlp_configuration`; None for the default pipeline in each of `languages`.
        languages: codes of two letters.
        unused: pipes of spaCy that are not loaded; None for its bare tokenizer.
        spacy_path: folder of the default pipeline; None asks the model cache.
    """
    from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpEngineProvider, SpacyNlpEngine

    name = conf["nlp_engine_name"] if conf else "spacy"
    if conf and name != "spacy":
        for model in conf["models"]:
            _require_local(model["model_name"], name)
        other = NlpEngineProvider(nlp_configuration=dict(conf)).create_engine()
        other.load()
        return other
    wanted = conf["models"] if conf else [{"lang_code": lang, "model_name": PIPELINE} for lang in languages]
    ner = NerModelConfiguration.from_dict((conf or {}).get("ner_model_configuration") or _NER)
    ready = SpacyNlpEngine(models=wanted, ner_model_configuration=ner)
    ready.nlp = {
        m["lang_code"]: _pipeline(m["lang_code"], m["model_name"], unused, spacy_path) for m in wanted
    }
    return ready


def _pipeline(language: str, name: str, unused: Sequence[str] | None, spacy_path: Path | None) -> Any:
    """A spaCy pipeline without what it need not run; its bare tokenizer where `unused` is None."""
    import spacy

    if unused is None:
        return spacy.blank(language)  # enough to keep Presidio's context words alive
    if name == PIPELINE:
        # Its `tok2vec` serves the tagger alone: `ner` has layers of its own.
        more = ("tok2vec",) if "tagger" in unused else ()
        return spacy.load(spacy_path or models.locate(PIPELINE), exclude=[*unused, *more])
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
