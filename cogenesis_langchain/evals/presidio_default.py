"""Presidio as it comes, with the small English pipeline: what everything is measured beside."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from cogenesis_langchain import models
from cogenesis_langchain.detect.pipelines import PIPELINE
from cogenesis_langchain.detect.presidio_engine import keep_offline
from cogenesis_langchain.types import PrivateSpan


class PresidioDefault:
    """Presidio's own configuration: all its recognisers, ORGANIZATION ignored, no threshold.

    Only two things differ from `AnalyzerEngine()`: the pipeline is the pinned one, loaded by path, and no
    recogniser opens a socket.
    """

    @cached_property
    def _engine(self) -> Any:
        import presidio_analyzer as pa
        import spacy
        from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpEngineProvider, SpacyNlpEngine

        shipped = NlpEngineProvider().nlp_configuration["ner_model_configuration"]
        nlp_engine = SpacyNlpEngine(
            models=[{"lang_code": "en", "model_name": PIPELINE}],
            ner_model_configuration=NerModelConfiguration.from_dict(shipped),
        )
        nlp_engine.nlp = {"en": spacy.load(models.locate(PIPELINE))}
        engine = pa.AnalyzerEngine(nlp_engine=nlp_engine)
        keep_offline(engine.registry.recognizers)
        return engine

    def warm(self) -> None:
        """Load everything now."""
        self.detect("Ada Example, ada@example.org, +1 212 555 0142")

    def patterns(self, text: str) -> list[PrivateSpan]:
        """What its recognisers that need no model report: regexes and telephones, without context."""
        found = []
        for recognizer in self._engine.registry.recognizers:
            if type(recognizer).__name__ != "SpacyRecognizer":
                found += recognizer.analyze(text, recognizer.supported_entities, None)
        return [PrivateSpan(r.entity_type, r.start, r.end, r.score, "presidio") for r in found]

    def detect(self, text: str) -> list[PrivateSpan]:
        """Everything Presidio reports for English; spans may overlap."""
        return [
            PrivateSpan(found.entity_type, found.start, found.end, found.score, "presidio")
            for found in self._engine.analyze(text, "en")
        ]
