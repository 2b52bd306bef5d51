"""What a sketch is worth to the local writer: how likely it finds the text that the person would write.

For each method the cloud is told another text about the same request: the request itself, masked or cut, a
sentence, kind and topic, or nothing. A stand-in for the cloud, a model of the catalogue in this process,
drafts a sketch from that text alone, through the frame that the router uses. Then the local model, with the
person's context and that sketch, reads the text that was really written (gold): the fewer nats a token costs
it, the more the sketch helped. `saved` is what the method saves against no sketch at all, in the same rows.

What is not measured: texts that differ from the gold one and are as good. The stand-in is a small model; a
large one drafts better sketches of every method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cogenesis_langchain.errors import SketchError
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.evals.posterior import interval
from cogenesis_langchain.sketch import parse_sketch, sketch_messages
from cogenesis_langchain.types import Sendable
from cogenesis_langchain.writer.parts import Prompt, Turn
from cogenesis_langchain.writer.prompt import CUT, shorten, writing_prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogenesis_langchain.writer.local import LlamaCppWriter

NONE = "none"
"""The method that tells nothing: the local model writes alone."""
CLOUD = "qwen2.5-coder-1.5b-instruct"
WRITER = "qwen2.5-coder-0.5b-instruct"
WRITINGS = 2
GOLD_TOKENS = 200  # of a text that many are read: its beginning is where a sketch helps most
CONTEXT_TOKENS = 1600
SKETCH_TOKENS = 160  # about ten points


class Scores(Protocol):
    """The part of `writer.LlamaCppWriter` that reads the gold texts."""

    def score(self, prompt: Prompt, text: str, *, scope: str = "") -> NDArray[np.float64]:
        """(n_tokens,) Log-probabilities in nats."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...


class Drafts(Protocol):
    """What stands in for the cloud."""

    def sketch(self, task: str) -> str | None:
        """The sketch of a task as numbered lines; None where the answer was none."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """A person with a gold text, and what each method tells the cloud of their first request.

    `told` maps methods to texts; None where that method sends nothing.
    """

    person: Person
    told: Mapping[str, str | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Useful:
    """One method. `nll`: nats per gold token, the mean over persons; `saved`: against no sketch.

    `low` and `high` hold 95 % of bootstrap draws over persons. `sketched`: share of rows with a sketch.
    """

    method: str
    rows: int
    sketched: float
    nll: float
    low: float
    high: float
    saved: float
    saved_low: float
    saved_high: float

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            name: round(value, 4) if isinstance(value := getattr(self, name), float) else value
            for name in self.__slots__
        }


class StandIn:
    """A catalogue model in this process in place of the cloud. The same task gives the same sketch.

    Args:
        writer: the model; None loads `CLOUD` at first use.
    """

    def __init__(self, writer: LlamaCppWriter | None = None) -> None:
        self._writer = writer
        self._made: dict[str, str] = {}

    def sketch(self, task: str) -> str | None:
        """Numbered lines; None where the model's answer is no sketch. Drafted once for each task."""
        if task not in self._made:
            self._made[task] = self._draft(task)
        return self._made[task] or None

    def _draft(self, task: str) -> str:
        if self._writer is None:
            from cogenesis_langchain.writer.opening import of_catalogue

            self._writer = of_catalogue(CLOUD)
        # Some methods tell what the router never would; no byte of it leaves this process.
        messages = sketch_messages(Sendable(task, "public"))
        prompt = tuple(
            Turn("system" if message.role == "system" else "user", tuple(p.text for p in message.parts))
            for message in messages
        )
        answer = "".join(self._writer.write(prompt, scope="", max_tokens=SKETCH_TOKENS, temperature=0))
        try:
            return parse_sketch(answer).as_text()
        except SketchError:
            return ""

    def close(self) -> None:
        """Frees the model."""
        if self._writer is not None:
            self._writer.close()


def nll(rows: Sequence[Row], methods: Sequence[str], cloud: Drafts, writer: Scores) -> Iterator[list[Useful]]:
    """The figures so far, after each row: one of each method, `NONE` last.

    Raises ModelMissingError and WriterError.
    """
    names = [*(method for method in methods if method != NONE), NONE]
    costs: list[list[float]] = []
    sketched: list[list[bool]] = []
    for row in rows:
        sketches = [_sketch(row.told.get(name), cloud) for name in names]
        found = {sketch: _cost(row.person, sketch, writer) for sketch in dict.fromkeys(sketches)}
        costs.append([found[sketch] for sketch in sketches])
        sketched.append([sketch is not None for sketch in sketches])
        yield _figures(names, np.array(costs), np.array(sketched))


def _sketch(told: str | None, cloud: Drafts) -> str | None:
    return None if told is None else cloud.sketch(told)


def _cost(person: Person, sketch: str | None, writer: Scores) -> float:
    """Nats per token of the gold text's beginning, under the person's context and the sketch."""
    prompt = writing_prompt(
        profile=[person.profile],
        writings=person.writings[:WRITINGS],
        other=(),
        instruction=person.tasks[0],
        sketch=sketch,
        budget_tokens=CONTEXT_TOKENS,
        count=writer.count,
    )
    gold = shorten(person.gold, GOLD_TOKENS, writer.count).removesuffix(CUT)
    return -float(writer.score(prompt, gold, scope=person.id).mean())


def _figures(names: Sequence[str], costs: NDArray[np.float64], sketched: NDArray[np.bool_]) -> list[Useful]:
    """`costs` (rows, methods) and `sketched` of the same shape, as one record per method."""
    saved = costs[:, [-1]] - costs  # the last column is without a sketch
    return [
        Useful(
            name,
            len(costs),
            float(sketched[:, i].mean()),
            float(costs[:, i].mean()),
            *interval(costs[:, i], np.arange(len(costs))),
            float(saved[:, i].mean()),
            *interval(saved[:, i], np.arange(len(costs))),
        )
        for i, name in enumerate(names)
    ]
