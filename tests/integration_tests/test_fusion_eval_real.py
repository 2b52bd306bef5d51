"""The measurement of fusion with a real model: the readings agree with the writer's, and so does the loop."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cogenesis_langchain import models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.errors import CloudError
from cogenesis_langchain.evals.fused_live import Walks
from cogenesis_langchain.evals.fused_private import Hidden
from cogenesis_langchain.evals.gold import Gold, generic_prompt
from cogenesis_langchain.evals.stand_in import InProcess
from cogenesis_langchain.fuse.asking import Live
from cogenesis_langchain.fusion.combiners import combiner
from cogenesis_langchain.known.holding import Holding
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.types import Draft, KnownValue
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Turn

pytestmark = pytest.mark.integration

MODEL = "smollm2-135m-instruct"
PROMPT = generic_prompt("Write a letter.")
OWN = (Turn("user", ("Write a letter to my friend Quillfeather about our cherry orchard in May.",)),)
TEXT = "Dear friends, I hope this letter finds you well."


NOTHING = Hidden(KnownValues(()), lambda _: False, str)


class Broken(InProcess):
    """A cloud that does not answer."""

    def drafted(self, *_: object, **__: object) -> Draft:
        """Nothing."""
        raise CloudError("no")


@pytest.fixture(scope="module")
def reader() -> InProcess:
    """The small model, which reads."""
    return InProcess(MODEL, n_ctx=512)


def test_readings_the_writer_s_score_and_the_loop_agree(reader: InProcess, tmp_path: Path) -> None:
    """Three ways to the same numbers; after another prompt was read too."""
    tokens = reader.tokens(TEXT)
    rows = np.arange(len(tokens))
    first = reader.logprobs(PROMPT, tokens)[rows, tokens]
    assert np.exp(reader.logprobs(PROMPT, tokens[:2])).sum(axis=1) == pytest.approx(1.0, abs=1e-3)
    reader.drafted(generic_prompt("Write a poem."), "", tokens=3, k=5, rng=None)
    assert reader.logprobs(PROMPT, tokens)[rows, tokens] == pytest.approx(first, abs=0.02)
    file, form = models.locate(MODEL), template(models.entry(MODEL).chat_template or "chatml")
    with LlamaCppWriter(file, form, n_ctx=512) as writer:
        assert writer.score(PROMPT, TEXT) == pytest.approx(first, abs=0.02)
        costs = {"lw": -first.astype(float), "cw": -first.astype(float)}
        text = Gold(0, "", np.array(tokens), costs, [], [])
        broken = Broken(MODEL)
        walks = Walks(tmp_path / "l", lambda: writer, lambda: broken, combiner("mean"), 5)
        walk = walks.along(text, lambda: (dict.fromkeys("w0b", PROMPT), NOTHING), Live())
        assert walk.nll == pytest.approx(-first, abs=0.05)
        assert (len(walk.asked), walk.heard) == (1, 0)


def test_a_text_is_written_beside_a_shadow_within_its_budget(reader: InProcess, tmp_path: Path) -> None:
    """What went up grows and holds no known value; what was spent is within what was charged."""
    file, form = models.locate(MODEL), template(models.entry(MODEL).chat_template or "chatml")
    live = Live(nats_per_token=2.0, max_nats=60.0)
    known = KnownValues([KnownValue("Quillfeather", "SURNAME", "field")])
    private = Hidden(known, Holding(known.values), str)
    with LlamaCppWriter(file, form, n_ctx=512) as writer:
        walks = Walks(tmp_path / "l", lambda: writer, lambda: reader, combiner("mean"), 5)
        walk = walks.written(0, 24, lambda: ({"w": OWN, "0": PROMPT, "b": OWN}, private), live)
    assert 0 < walk.tokens <= 24
    assert walk.text
    assert 0 < walk.spent <= 30.0 + 2.0 * walk.released
    assert 0 < walk.charged <= 30.0 + 2.0 * walk.released
    assert all(later.startswith(earlier) for (_, earlier), (_, later) in pairwise(walk.asked))
    assert not any(known.hits(up) for _, up in walk.asked)


def test_a_draft_lists_what_the_readings_find_likeliest(reader: InProcess) -> None:
    """Greedy drafts follow the likeliest tokens, and a text is continued where it ends."""
    whole = reader.drafted(PROMPT, "", tokens=6, k=5, rng=None)
    said = whole.text.decode()
    tokens = reader.tokens(said)
    logs = reader.logprobs(PROMPT, tokens)
    assert logs.argmax(axis=1).tolist() == tokens
    top = whole.positions[0]
    assert top.tokens[0] == top.token
    assert list(top.logprobs) == pytest.approx(np.sort(logs[0])[::-1][:5], abs=0.02)
    head = whole.positions[0].token.decode() + whole.positions[1].token.decode()
    rest = reader.drafted(PROMPT, head, tokens=4, k=5, rng=None)
    assert head.encode() + rest.text == whole.text
    drawn = [reader.drafted(PROMPT, "", tokens=6, k=5, rng=np.random.default_rng(n)).text for n in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 2
