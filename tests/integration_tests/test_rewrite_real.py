"""Level `free` with the model that users have: plain sentences, the same ones whatever was read before."""

from __future__ import annotations

import pytest

from cogenesis_langchain import models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.detect import lexicon
from cogenesis_langchain.errors import ModelMissingError
from cogenesis_langchain.rewrite import rewrite
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Turn

pytestmark = pytest.mark.integration
NAME = "qwen2.5-coder-1.5b-instruct"
ASKED = (
    "Please write an invitation to my birthday party on Saturday at our house. Love, Quillon Vexmoor",
    "Draft a complaint to Brambleholt Kelpworks because parcel KV-2291 came three weeks late.",
)


def test_sentences_are_plain_and_come_from_the_instruction_alone() -> None:
    """No name, number or employer in them; reading somebody's context in between changes nothing."""
    try:
        path = models.locate(NAME)
    except ModelMissingError:
        models.pull([NAME])
        path = models.locate(NAME)
    words = lexicon.load()
    with LlamaCppWriter(path, template("chatml"), n_ctx=2048) as writer:
        first = [rewrite(text, writer, words) for text in ASKED]
        context = (Turn("system", ("I am Quillon Vexmoor and I love kelp.",)), Turn("user", ("Who am I?",)))
        "".join(writer.write(context, scope="quillon", max_tokens=4, temperature=0))
        assert rewrite(ASKED[0], writer, words) == first[0]
    told = [sentence.text for sentence in first if sentence is not None]
    assert told
    for word in ("quillon", "vexmoor", "brambleholt", "kelpworks", "2291"):
        assert word not in " ".join(told).casefold()
