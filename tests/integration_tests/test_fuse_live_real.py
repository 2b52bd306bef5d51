"""What must hold for form `live` with a real model: two sequences in one context, a budget between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cogenesis_langchain import models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.errors import ModelMissingError
from cogenesis_langchain.fuse.live import Live, fuse_live
from cogenesis_langchain.fuse.sampling import Sampler
from cogenesis_langchain.fusion.combiners import combiner
from cogenesis_langchain.types import Draft, TokenTrace, TopLogprobs
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Prompt, Turn

pytestmark = pytest.mark.integration
NAME = "smollm2-135m-instruct"
TASK = (Turn("system", ("You write short texts.",)), Turn("user", ("Write an email about gardens.",)))
OWN = (
    Turn("system", ("You write short texts.",)),
    Turn("user", ("I am Ada Quill of Port Lyre and I keep bees. ", "Write an email about my bees.")),
)


@pytest.fixture(scope="module")
def writer() -> Iterator[LlamaCppWriter]:
    """The small model."""
    try:
        path = models.locate(NAME)
    except ModelMissingError:
        models.pull([NAME])
        path = models.locate(NAME)
    with LlamaCppWriter(path, template("chatml"), n_ctx=512) as made:
        yield made


def asked(text: str, nats: float) -> Draft:
    """A cloud with one word to say."""
    return Draft((TopLogprobs(b" the", -1.0, (b" the", b" a"), (-1.0, -2.0)),))


def written(writer: LlamaCppWriter, prompt: Prompt, nats: float) -> list[TokenTrace]:
    """The trace of 16 tokens, with the shadow after TASK."""
    trace: list[TokenTrace] = []
    with writer.steps(prompt, scope="dana", shadow=TASK) as steps:
        mixed = combiner("mean", control=steps.vocabulary.tokens.control)
        live = Live(nats / 40, nats)
        taste, public = Sampler(0.7, 1), Sampler(0.7, 1)
        uniform = np.random.default_rng(1).random
        pieces = fuse_live(
            steps, asked, mixed, live, taste, lambda _: False, max_tokens=16, public_taste=public,
            trace=trace, uniform=uniform,
        )  # fmt: skip
        assert "".join(pieces)
    return trace


def test_where_the_prompts_are_the_same_the_shadow_is_the_text(writer: LlamaCppWriter) -> None:
    """Both sequences then expect the same, so following costs next to nothing."""
    trace = written(writer, TASK, 8.0)
    assert [one.shadow for one in trace] == [one.piece for one in trace]


def test_another_prompt_parts_them_as_far_as_the_budget_says(writer: LlamaCppWriter) -> None:
    """Next to no budget: the shadow is about the task; much of it: it follows the text."""
    little, much = written(writer, OWN, 1e-6), written(writer, OWN, 2000.0)
    apart, together = (sum(one.shadow == one.piece for one in trace) for trace in (little, much))
    assert together >= apart + 4
