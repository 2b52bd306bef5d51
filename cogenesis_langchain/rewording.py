"""The body of level `free`, from the local model's own words; where they may not go, `topic` is next.

The store has one say: it may take the sentence away, and that is a veto like any other. What else takes it
away (no plain sentence, something that the detector finds) follows from the instruction alone.
"""

from __future__ import annotations

from cogenesis_langchain.errors import ModelError, WriterError
from cogenesis_langchain.fusing import body
from cogenesis_langchain.request import NOT_SENT, Request, Update, clock, why
from cogenesis_langchain.rewrite import rewrite, shows
from cogenesis_langchain.types import Level, Step

MIN_SCORE = 0.3
"""Findings from this score on count: these words are in small letters, in which names score low."""
UNUSABLE = "the local model's own words are no plain sentence: kind and topic are told"
FOUND = "the detector finds something in the local model's own words: kind and topic are told"
VETOED = "the local model's own words show a known value of the user: kind and topic are told"


def reworded(request: Request) -> Update:
    """The prepared body at `free`, or the move to `topic` (nothing is prepared then), or to local."""
    engine, timings = request.engine, dict(request.state["timings"])
    step = request.step()
    topic = Step(step.route, Level.TOPIC)
    try:
        with clock(timings, "generalize_ms"):
            sentence = rewrite(request.instruction(), engine.writer, engine.lexicon)
        if sentence is None:
            return request.stay(UNUSABLE, topic) | {"timings": timings}
        spans = engine.allowed.keep(sentence.text, request.detector.detect(sentence.text))
        if any(span.score >= min(engine.cloud.rules.min_score, MIN_SCORE) for span in spans):
            return request.stay(FOUND, topic) | {"timings": timings}
        if shows(request.known(), request.instruction(), sentence.text):
            request.vetoed(VETOED, topic)
            return request.stay(VETOED, topic) | {"timings": timings}
        outbound = body(request, step, sentence)
    except (*NOT_SENT, WriterError, ModelError) as error:
        return request.stay(why(error))
    return {"timings": timings} | request.prepared(outbound)
