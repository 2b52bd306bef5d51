"""What must hold for form `live` with a real model: two sequences in one context, a budget between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

from cogenesis_langchain import models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import ModelMissingError
from cogenesis_langchain.fuse.live import Live, fuse_live
from cogenesis_langchain.fuse.sampling import Sampler
from cogenesis_langchain.fusion.combiners import combiner
from cogenesis_langchain.fusion.records import read_traces
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.replies import draft_of
from cogenesis_langchain.testing import RecordingCloud, Reply, leaked
from cogenesis_langchain.types import Capabilities, Draft, TokenTrace, TopLogprobs
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Prompt, Turn
from tests.conftest import INSTRUCTION, USER, routed

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
    with LlamaCppWriter(path, template("chatml"), n_ctx=1024) as made:
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


@pytest.mark.usefixtures("settled")
def test_the_whole_router_writes_a_text_in_form_live(
    writer: LlamaCppWriter, make_engine: Callable[..., Engine], cloud: RecordingCloud
) -> None:
    """Over a socket and through the gate: each body goes on with the shadow, charged within the budget."""
    cloud.script(*[Reply(positions=draft_of(" the garden is in bloom and you are welcome"))] * 60)
    able = Capabilities(chat_logprobs=20, samples=True, continuation="llama-server")
    stand_in = {"provider": "openai_compatible", "model": "stand-in", "base_url": cloud.base_url}
    models = {"cloud": stand_in, "local": {"max_tokens": 32}}
    fuse = {"live": {"allow": True, "nats_per_token": 1, "max_nats": 40}}
    rooms = {"writer": writer, "capabilities": able}
    engine = make_engine(rooms, models=models, routing=routed("fuse", form="live"), fuse=fuse)
    found = create_privacy_router(engine=engine, user_id=USER).invoke(f"{INSTRUCTION} Love, Quillon Vexmoor")
    assert (found["route"], bool(found["text"].strip())) == ("live", True), found["warnings"]
    assert len(cloud.bodies) > 2
    assert not leaked(cloud.raw)
    said = [json.loads(body)["messages"][-1]["content"] for body in cloud.bodies[1:]]
    assert all(later.startswith(earlier) for earlier, later in pairwise(said))
    (account,) = engine.audit.ledger(USER)
    assert account.spent.bits == pytest.approx(sum(receipt["bits"] for receipt in found["receipts"]))
    trace = read_traces(found["trace"])
    assert sum(one.shadow is not None for one in trace) > 8
    assert sum(receipt["bits"] for receipt in found["receipts"][1:]) <= (20 + len(trace)) / np.log(2)
