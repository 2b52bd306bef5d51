"""The head is read only as it was written, weighs groups, and leaves users' additions a fair chance."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cogenesis_langchain import chooser, models
from cogenesis_langchain.chooser import Head, Shares, card, read_heads, shares, shipped_heads, write_heads
from cogenesis_langchain.closed_lists import Vocabulary, shipped
from cogenesis_langchain.commands.main import app
from cogenesis_langchain.errors import InputError, ModelCorruptError
from cogenesis_langchain.evals import fitting
from cogenesis_langchain.evals.labelled import Labelled, read_labelled
from cogenesis_langchain.testing import FakeEmbedder

DATA = files("cogenesis_langchain").joinpath("vocabulary", "chooser.npz").read_bytes()


class Named(FakeEmbedder):
    """Fake vectors that say they are of the model of the shipped head."""

    model = models.EMBEDDER


def test_the_shipped_file_fits_the_shipped_lists() -> None:
    """Its classes are the fine entries in order, its card names the model, and it stays small."""
    heads = shipped_heads()
    assert heads["kinds"].names == tuple(shipped("full").kinds)
    assert heads["topics"].names == tuple(shipped("full").topics)
    assert card()["model"] == models.EMBEDDER
    assert len(DATA) < 200_000


def test_another_file_is_refused() -> None:
    """One changed byte, another shape, another list or a pickle is an error, not another choice."""
    with pytest.raises(ModelCorruptError, match="describes"):
        read_heads(DATA[:-1] + bytes([DATA[-1] ^ 1]), card())
    small = {key: Head(head.names, head.weights[:-1]) for key, head in shipped_heads().items()}
    data, _ = write_heads(small, {})
    with pytest.raises(ModelCorruptError, match="does not fit"):
        read_heads(data, {**card(), "sha256": chooser.hashlib.sha256(data).hexdigest()})
    with pytest.raises(ModelCorruptError, match="does not fit"):
        read_heads(DATA, {**card(), "kinds": card()["kinds"][::-1]})
    to = io.BytesIO()
    np.savez(to, kinds=np.array([{}], dtype=object), topics=np.array([{}], dtype=object))
    with pytest.raises(ModelCorruptError):
        read_heads(to.getvalue(), {**card(), "sha256": chooser.hashlib.sha256(to.getvalue()).hexdigest()})


@pytest.mark.parametrize("embedder", [FakeEmbedder(), Named()])
def test_shares_are_probabilities(embedder: FakeEmbedder) -> None:
    """With the head and without it, also where users added entries."""
    lists = Vocabulary.load({"haiku": "seventeen syllables"}, {"falconry": "birds of prey"})
    for found in shares("a haiku on falconry and a poem", lists, embedder):
        assert sum(found.entries.values()) + found.none == pytest.approx(1, abs=1e-4)
        assert min(found.entries.values()) >= 0


@pytest.mark.parametrize("embedder", [FakeEmbedder(), Named()])
def test_additions_can_be_chosen(embedder: FakeEmbedder) -> None:
    """An entry without coefficients wins where it is named, and not where another one is."""
    lists = Vocabulary.load({}, {"falconry": "hawks and falcons that hunt for people"})
    for text, wins in (
        ("a falconry story, falconry with hawks", True),
        ("a birthday party invitation", False),
    ):
        _, topics = shares(text, lists, embedder)
        assert (max(topics.entries, key=topics.entries.__getitem__) == "falconry") is wins


def test_what_a_group_holds_adds_up() -> None:
    """Three unlikely entries of one group can be likelier than one likely entry of another."""
    found = Shares({"a": 0.4, "b": 0.25, "c": 0.25}, 0.1)
    ranked = found.groups({"a": "x", "b": "y", "c": "y"})
    assert [name for name, _ in ranked] == ["y", "x", None]
    assert ranked[0][1] == 0.5


def test_the_head_is_for_vectors_of_its_model_alone() -> None:
    """Coefficients of one model say nothing of another's vectors."""
    text = "something for the garden"
    assert shares(text, shipped(), FakeEmbedder()) != shares(text, shipped(), Named())


def test_fitting_learns_and_repeats() -> None:
    """What nobody can guess from the names is learnt from the rows, and the bytes are the same again."""
    lists, embedder = shipped("full"), FakeEmbedder()
    rows = [
        Labelled(f"{word}{n}", f"{word} number {n}", (kind,), ("pets",))
        for word, kind in (("blorp", "recipe"), ("quax", "obituary"))
        for n in range(12)
    ]
    queries = embedder.embed([row.instruction for row in rows])
    made = []
    for _ in range(2):
        given = fitting.material(rows, queries, embedder, lists, "kinds")
        made.append(fitting.fit(given, 8.0))
    assert np.array_equal(made[0].weights, made[1].weights)
    for word, kind in (("blorp", "recipe"), ("quax", "obituary")):
        query = embedder.embed([f"{word} number 99"])[0]
        logs = made[0].log_shares(query, np.zeros(len(made[0].names), dtype=np.float32))
        assert made[0].names[int(logs.argmax())] == kind


def test_training_rows_are_valid_and_apart_from_the_scored_ones() -> None:
    """Every name exists, and no request that is scored was learnt from."""
    path = Path(str(files("cogenesis_langchain").joinpath("evals", "data", "training.jsonl")))
    lists = shipped("full")
    rows = read_labelled(path, lists)
    assert len(rows) >= 1000
    scored = {" ".join(row.instruction.casefold().split()) for row in read_labelled(None, lists)}
    assert not scored & {" ".join(row.instruction.casefold().split()) for row in rows}


def test_the_command_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    """A wrong ending, and rows that only score."""
    held = tmp_path / "held.jsonl"
    held.write_text('{"instruction": "x", "kinds": ["poem"], "topics": ["pets"], "split": "held"}\n')
    for out, says in (("x.txt", "npz"), ("x.npz", "held")):
        found = CliRunner().invoke(
            app, ["train", "chooser", "--data", str(held), "--out", str(tmp_path / out)]
        )
        assert isinstance(found.exception, InputError)
        assert says in str(found.exception)
