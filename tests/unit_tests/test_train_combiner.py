"""Fitting a combiner: it learns what can be learnt, the same way each time, and a killed run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands.main import app
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals import fusion_features, fusion_paper, gold
from cogenesis_langchain.evals.fusion import forced
from cogenesis_langchain.evals.fusion_features import (
    GENERIC,
    PLAIN,
    Lesson,
    elsewhere,
    fitted,
    halves,
    lessons,
    unseen,
)
from cogenesis_langchain.evals.gold import SOURCES, Gold
from cogenesis_langchain.fake_steps import FakeSteps
from cogenesis_langchain.fusion import learned, paper
from cogenesis_langchain.fusion.combiners import Facts, combiner
from cogenesis_langchain.fusion.distributions import Vocabulary, log_softmax

N, U = 16, 30
PIECES = [bytes([97 + n % 26]) for n in range(100)]


def text(number: int) -> Gold:
    """At every other token the cloud is sure and right while the local model is lost, else the other way."""
    rng = np.random.default_rng(number)
    ids = [np.sort(rng.choice(100, U, replace=False)).astype(np.int32) for _ in range(N)]
    columns = rng.integers(U, size=N)
    logs = []
    for at, column in enumerate(columns):
        sure, lost = np.zeros(U + 1), rng.normal(size=U + 1)
        sure[column] = 6.0
        cloud, local = (sure, lost) if at % 2 else (lost, sure)
        rows = {"lw": local, "l0": lost, "cg": cloud, "cb": cloud, "lb": lost}
        logs.append(np.stack([log_softmax(rows[name].astype(np.float32)) for name in SOURCES]))
    tokens = np.array([one[column] for one, column in zip(ids, columns, strict=True)], dtype=np.int64)
    rows = np.array([kept[:, column] for kept, column in zip(logs, columns, strict=True)])
    nll = {name: -rows[:, place] for place, name in enumerate(SOURCES)}
    return Gold(
        number, "Write a letter.", tokens, nll | {"cw": nll["cg"]}, ids, [one.astype(float) for one in logs]
    )


@pytest.fixture(scope="module")
def given() -> list[Lesson]:
    """Of four texts."""
    return list(lessons([text(n) for n in range(4)], PIECES))


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for toys."""
    monkeypatch.setattr(fusion_features, "_ROUNDS", 40)
    monkeypatch.setattr(fusion_paper, "ROUNDS", 3)


def test_the_gate_learns_whom_to_believe(given: list[Lesson]) -> None:
    """On persons it has not seen, the mixture costs far less than the local model; twice the same fit."""
    seen, held = next(halves(given))
    assert len(held) == 2
    assert not {id(one) for one in held} & {id(one) for one in seen}
    for name, row in unseen(seen, held).items():
        local, fused = row.mean(axis=0)
        assert fused < 0.7 * local, name
    gates = fitted(seen)
    for left, right in zip(fitted(seen).generic, gates.generic, strict=True):
        assert np.array_equal(left, right)


def test_what_is_fitted_is_what_runs(given: list[Lesson], tmp_path: Path) -> None:
    """The combiner made of the written coefficients gives each gold token the cost that fitting reckoned."""
    one, gates = text(1), fitted(given)
    file = tmp_path / "combiner.json"
    file.write_text(learned.write(gates, {"name": "toy"}), encoding="utf-8")
    runs = combiner("learned", path=file)
    for variant in (GENERIC[0], PLAIN[1]):
        reckoned = given[1].same[variant]
        gate = gates.generic if variant.generic else gates.plain
        wanted = fusion_features.nll(gate, [reckoned])
        for at in range(0, N, 5):
            generic = one.at(at, "l0").astype(np.float32) if variant.generic else None
            listed = fusion_features.likeliest(one.at(at, variant.cloud), variant.k)
            fused = runs.fuse(
                one.at(at, "lw").astype(np.float32), listed, generic, Facts(at, kept=one.ids[at])
            )
            column = int(np.searchsorted(one.ids[at], one.tokens[at]))
            assert -fused.logprobs[column] == pytest.approx(wanted[at], abs=2e-3)


def test_a_cloud_at_another_place_is_taught_to_count_less(given: list[Lesson]) -> None:
    """The gates for a text that has parted from the cloud's lean on the local model."""
    gates = fitted(given)
    parted = [lesson.apart[PLAIN[0]] for lesson in given]
    assert (
        fusion_features.nll(gates.plain_apart, parted).mean()
        < fusion_features.nll(gates.plain, parted).mean()
    )


def test_agreement_is_counted_in_bytes_before_the_token() -> None:
    """Of each token but the first the place that agrees best, and any; the last scalar tells how far."""
    one = text(1)
    found = elsewhere(one, PLAIN[0], [b"x"] * N)
    assert len(found.seen) == 2 * (N - 1)
    assert found.seen[:, -1].max() > np.log2(N - 1) / 2 - 0.1  # all x: nearly everything agrees
    apart = elsewhere(one, PLAIN[0], [b"%04d" % n for n in range(N)])
    assert apart.seen[:, -1].max() < np.log2(5) / 2


def test_the_papers_network_learns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights move towards fewer nats, rows of tokens not met are dropped, and so it is compared."""
    texts = [text(n) for n in range(2)]
    given = [position for one in texts for position in fusion_paper.positions(one)]
    met = {int(i) for one in given for i in one.ids.ravel()} - {-1}

    def nats(weights: paper.Weights) -> float:
        one, total = paper.Paper(weights), 0.0
        for position in given:
            hidden = weights.first_bias.copy()
            for side in range(2):
                for number, share in zip(position.ids[side], position.shares[side], strict=True):
                    if (place := one._places[side].get(int(number))) is not None:
                        hidden += share * weights.first[side, place]
            hidden = np.maximum(np.maximum(hidden, 0) @ weights.second + weights.second_bias, 0)
            local = 1 / (1 + np.exp(-(hidden @ weights.third[:-1] + weights.third[-1])))
            mixed = log_softmax(local * position.local + (1 - local) * position.cloud)
            total -= float(mixed[position.gold])
        return total / len(given)

    costs = [nats(weights) for weights in fusion_paper.fit(given)]
    weights = list(fusion_paper.fit(given))[-1]
    assert costs[-1] < costs[0]
    assert {int(i) for i in weights.ids.ravel()} - {-1} <= met
    monkeypatch.setattr(paper, "load", lambda path: weights)
    one = combiner("paper", path=Path("weights.npz"))
    *_, (row, *_) = (rows[1:] for rows in forced(texts, [one], 20))  # without the local model's own list
    assert row.nll.mean() == pytest.approx(costs[-1], abs=1e-3)


# --- The command ---------------------------------------------------------------------------------


class Toy:
    """A model over bytes that finds those of its prompt likelier, the larger the surer."""

    asked = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def vocabulary(self) -> Vocabulary:
        """Bytes and an end."""
        return FakeSteps("", None).vocabulary

    def tokens(self, text: str) -> list[int]:
        """Bytes."""
        return list(text.encode())

    def count(self, text: str) -> int:
        """Bytes."""
        return len(text.encode())

    def logprobs(self, prompt: Any, tokens: Any) -> Any:
        """(n, V)."""
        Toy.asked += 1
        said = "".join(part for turn in prompt for part in turn.parts)
        logits = np.zeros((len(tokens), len(self.vocabulary.tokens.pieces)), dtype=np.float32)
        logits[:, sorted(set(said.encode()))] = 2.0
        return np.stack([log_softmax(row) for row in logits])

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def persons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Four fictional persons; the models are toys."""
    monkeypatch.setattr(gold, "WIDTH", 8)
    monkeypatch.setattr(gold, "InProcess", Toy)
    monkeypatch.setattr(gold.Golds, "sentence", lambda *_: "Write a letter.")
    Toy.asked = 0
    rows = [
        {"tasks": ["Write to my aunt."], "gold": f"zebras and {name} jump", "profile": {"Name": name}}
        for name in ("Ada", "Bob", "Cyd", "Dee")
    ]
    file = tmp_path / "persons.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


def train(persons: Path, *more: str) -> Any:
    """The command on four persons, 12 tokens each."""
    given = ["train", "combiner", "--data", str(persons), "--tokens", "12", "--json", *more]
    return CliRunner().invoke(app, given)


def test_the_command_writes_coefficients_that_can_be_used(persons: Path, tmp_path: Path) -> None:
    """Its card names data, rows and models; the file is one that the combiner takes."""
    file = tmp_path / "own.json"
    result = train(persons, "--out", str(file), "--from", "1")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["rows"] == [1, 4]
    card = json.loads(file.read_text(encoding="utf-8"))["card"]
    assert card["data"] == "persons.jsonl"
    assert card["parameters"] == found["parameters"] <= 5000
    assert combiner("learned", path=file).name == "learned"


def test_a_run_that_was_ended_goes_on(persons: Path, tmp_path: Path) -> None:
    """What the models said is read once for each person and never again, also by the other fit."""
    work = tmp_path / "kept"
    assert train(persons, "--out", str(tmp_path / "a.json"), "--work", str(work), "--to", "3").exit_code == 0
    asked = Toy.asked
    assert train(persons, "--out", str(tmp_path / "b.json"), "--work", str(work)).exit_code == 0
    assert Toy.asked - asked == asked / 3
    result = train(persons, "--out", str(tmp_path / "c.npz"), "--work", str(work), "--paper")
    assert result.exit_code == 0, result.output
    assert Toy.asked - asked == asked / 3
    assert combiner("paper", path=tmp_path / "c.npz").name == "paper"


def test_the_command_says_what_it_cannot_use(persons: Path, tmp_path: Path) -> None:
    """A wrong ending, no folder, too few persons: before any work is done."""
    for given, says in (
        (["--out", str(tmp_path / "x.txt")], "json"),
        (["--out", str(tmp_path / "x.json"), "--paper"], "npz"),
        (["--out", str(tmp_path / "none" / "x.json")], "no folder"),
        (["--out", str(tmp_path / "x.json"), "--from", "2"], "persons"),
    ):
        result = train(persons, *given)
        assert isinstance(result.exception, InputError)
        assert says in str(result.exception)
    assert Toy.asked == 0
