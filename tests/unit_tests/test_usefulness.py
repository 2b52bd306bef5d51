"""What a sketch saves the writer: the right text for the right method, counted against no sketch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.evals.usefulness import GOLD_TOKENS, NONE, Row, StandIn, Useful, nll
from cogenesis_langchain.sketch import frame_texts
from cogenesis_langchain.testing import SKETCH, FakeWriter
from cogenesis_langchain.writer.parts import Prompt


class Scorer(FakeWriter):
    """One nat for each gold word that the prompt does not hold, a tenth for each that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def score(self, prompt: Prompt, text: str, *, scope: str = "") -> Any:
        """(n_words,) as described."""
        self.asked.append((scope, text))
        read = " ".join(part for turn in prompt for part in turn.parts).split()
        return np.array([-0.1 if word in read else -1.0 for word in text.split()])


class Cloud:
    """Repeats its task as the sketch; "odd" tasks get none."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def sketch(self, task: str) -> str | None:
        """The task itself."""
        self.tasks.append(task)
        return None if task == "odd" else f"1. {task}"


class Drafter(FakeWriter):
    """Answers every prompt with a given text and keeps the prompts."""

    def __init__(self, says: str) -> None:
        super().__init__()
        self.says = says

    def write(self, prompt: Any, *, scope: str, **settings: Any) -> Iterator[str]:
        """The given text at once."""
        self.prompts.append((scope, "".join("".join(turn.parts) for turn in prompt)))
        yield self.says


def person(name: str, gold: str) -> Person:
    """A fictional person with one task."""
    return Person(name, ("write it",), {"name": name}, (("old", "an old text"),), gold)


ROWS = [
    Row(person("ada", "kelp boats sail far"), {"raw": "kelp boats", "topic": "boats", "mask": None}),
    Row(person("bob", "figs grow slowly here"), {"raw": "figs grow", "topic": "odd", "mask": None}),
]


def figures(rows: list[Row], methods: list[str]) -> dict[str, Useful]:
    """The last figures by method."""
    return {one.method: one for one in list(nll(rows, methods, Cloud(), Scorer()))[-1]}


def test_what_is_told_saves_what_it_tells() -> None:
    """Two words of four: 1.8 nats of 4; one word in one of two rows; nothing where nothing is sent."""
    found = figures(ROWS, ["raw", "topic", "mask"])
    assert list(found) == ["raw", "topic", "mask", NONE]
    assert found[NONE].nll == pytest.approx(1.0)
    assert found["raw"].nll == pytest.approx(0.55)
    assert found["raw"].saved == pytest.approx(0.45)
    assert found["topic"].saved == pytest.approx(0.9 / 4 / 2)
    assert (found["mask"].saved, found["mask"].sketched) == (0.0, 0.0)
    assert [found[name].sketched for name in ("raw", "topic", NONE)] == [1.0, 0.5, 0.0]


def test_intervals_hold_the_mean_and_are_of_differences() -> None:
    """Persons may differ much and a method may still save the same in each."""
    found = figures(ROWS, ["raw", "topic"])
    for one in found.values():
        assert one.low <= one.nll <= one.high
        assert one.saved_low <= one.saved <= one.saved_high
    assert found["raw"].saved_high - found["raw"].saved_low == pytest.approx(0, abs=1e-9)
    assert found["topic"].saved_high > found["topic"].saved_low


def test_same_sketches_are_read_once_and_each_person_has_a_scope() -> None:
    """Methods that tell the same, or nothing, share one reading."""
    scorer = Scorer()
    list(nll([Row(ROWS[0].person, {"a": "x", "b": "x", "c": None})], ["a", "b", "c"], Cloud(), scorer))
    assert [scope for scope, _ in scorer.asked] == ["ada", "ada"]


def test_long_gold_texts_are_read_at_their_beginning() -> None:
    """A book does not fill the context; no mark of the cut is scored."""
    scorer = Scorer()
    list(nll([Row(person("ada", "kelp " * 5000), {})], [], Cloud(), scorer))
    ((_, text),) = scorer.asked
    assert len(text.split()) <= GOLD_TOKENS
    assert set(text.split()) == {"kelp"}


def test_the_stand_in_drafts_through_the_router_s_frame_once() -> None:
    """Scope "", the task between the frame's pieces; the same task is drafted once."""
    writer = Drafter(SKETCH)
    stand_in = StandIn(writer)  # type: ignore[arg-type]
    first = stand_in.sketch("Write a note.")
    assert first == stand_in.sketch("Write a note.")
    assert (first or "").startswith("1. ")
    ((scope, prompt),) = writer.prompts
    assert scope == ""
    assert "Write a note." in prompt
    assert all(piece in prompt for piece in frame_texts())


def test_an_answer_that_is_no_sketch_is_none() -> None:
    """As in the router: then the local model writes alone."""
    stand_in = StandIn(Drafter("I cannot help with that."))  # type: ignore[arg-type]
    assert stand_in.sketch("Write a note.") is None
