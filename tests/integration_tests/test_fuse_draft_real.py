"""What must hold for form `draft` on real models: in step, out of step, and across vocabularies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cogenesis_langchain import models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.commands.bench_fuse import drafted
from cogenesis_langchain.errors import ModelMissingError
from cogenesis_langchain.fuse.draft import fuse_draft
from cogenesis_langchain.fuse.sampling import Sampler
from cogenesis_langchain.fusion.combiners import combiner
from cogenesis_langchain.types import Draft, TokenTrace, TopLogprobs
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Prompt, Turn

pytestmark = pytest.mark.integration
PERSONAL: Prompt = (
    Turn("system", ("You write short texts.",)),
    Turn(
        "user", ("My name is Ada (fictional), I like rain and gardens. ", "Write an invitation to a party.")
    ),
)
GENERIC: Prompt = (
    Turn("system", ("You write short texts.",)),
    Turn("user", ("Write an invitation to a party.",)),
)


def made(name: str) -> LlamaCppWriter:
    """A writer of the catalogue; pulled where it is missing."""
    try:
        path = models.locate(name)
    except ModelMissingError:
        models.pull([name])
        path = models.locate(name)
    return LlamaCppWriter(path, template("chatml"), n_ctx=512)


@pytest.fixture(scope="module")
def writer() -> Iterator[LlamaCppWriter]:
    """SmolLM2, which writes."""
    with made("smollm2-135m-instruct") as one:
        yield one


def draft_of(writer: LlamaCppWriter, prompt: Prompt, n: int) -> Draft:
    """What a model drafts, greedily, with its candidates."""
    with writer.steps(prompt, scope="") as steps:
        return drafted(steps, Sampler(0.0), n)


def fused(writer: LlamaCppWriter, drafts: list[Draft], n: int) -> tuple[str, list[TokenTrace]]:
    """The text that consults the drafts."""
    trace: list[TokenTrace] = []
    with writer.steps(PERSONAL, scope="ada") as steps:
        combine = combiner("mean", control=steps.vocabulary.tokens.control)
        pieces = fuse_draft(steps, drafts, combine, max_tokens=n, temperature=0, trace=trace)
        return "".join(pieces), trace


def test_without_drafts_the_text_is_the_writer_s_own(writer: LlamaCppWriter) -> None:
    """No draft, or one that is never in step: the same greedy text as `write` gives, penalty and all."""
    alone = "".join(writer.write(PERSONAL, scope="ada", max_tokens=12, temperature=0))
    for drafts in ([], [Draft(draft_of(writer, GENERIC, 8).positions[4:])]):
        text, trace = fused(writer, drafts, 12)
        assert text == alone
        assert all(one.by == "local" for one in trace)


def test_a_text_that_follows_its_draft_is_fused_all_the_way(writer: LlamaCppWriter) -> None:
    """The draft of the very text: in step from its first word on, and a cloud of one mind changes nothing."""
    own = draft_of(writer, PERSONAL, 16)
    text, trace = fused(writer, [own], 16)
    assert text.encode() == own.text
    assert [one.by for one in trace] == ["local", *["fused"] * (len(trace) - 1)]
    assert all(one.weight == 0.5 for one in trace[1:])


def test_a_cloud_of_another_vocabulary_is_understood(writer: LlamaCppWriter) -> None:
    """A Qwen drafts, SmolLM2 writes: not the exact path, and yet the draft has a say."""
    with made("qwen2.5-coder-0.5b-instruct") as qwen:
        draft = draft_of(qwen, GENERIC, 4)
        with qwen.steps(GENERIC, scope="") as steps:
            assert steps.vocabulary.exact(draft.positions)
    with writer.steps(GENERIC, scope="") as steps:
        assert not steps.vocabulary.exact(draft.positions)
    (first,) = fused(writer, [], 1)[1]
    begun = TopLogprobs(first.piece, 0.0, (first.piece,), (0.0,))
    _, trace = fused(writer, [Draft((begun, *draft.positions))], 4)
    assert trace[1].by != "local"
    assert trace[1].cloud in draft.positions[0].tokens
