"""How often kind and topic are chosen right on labelled requests, and what choosing costs.

What goes out is a group of fine entries, so an answer is right when the chosen group holds one of the
accepted names; no topic is right where the labels accept that none fits, and only there. Time is measured
against 20 tokens decoded by the same model in the same run, which whatever else the machine does slows
down alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.closed_lists import Embeds, Vocabulary
from cogenesis_langchain.evals.labelled import SPLITS, Labelled
from cogenesis_langchain.generalize import Chooses, generalize
from cogenesis_langchain.types import GenericTask, Level

if TYPE_CHECKING:
    from cogenesis_langchain.writer.parts import Prompt

TOKENS = 20
"""Tokens of the yardstick."""
_EVERY = 5  # requests between two yardsticks


@dataclass(slots=True)
class Hits:
    """Counts over the requests of one split."""

    rows: int = 0
    kind: int = 0
    topic: int = 0
    both: int = 0

    def add(self, kind: bool, topic: bool) -> None:
        """One request, and what of it was right."""
        self.rows += 1
        self.kind += kind
        self.topic += topic
        self.both += kind and topic

    def as_dict(self) -> dict[str, Any]:
        """Shares between 0 and 1."""
        shares = {name: round(getattr(self, name) / self.rows, 4) for name in ("kind", "topic", "both")}
        return {"rows": self.rows} | shares


@dataclass(slots=True)
class Accuracy:
    """What one size of the lists comes to. Seconds are wall-clock."""

    vocabulary: Vocabulary
    splits: dict[str, Hits] = field(default_factory=dict)
    styles: dict[str, Hits] = field(default_factory=dict)
    asked: int = 0
    seconds: list[float] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    wrong: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Requests that were chosen for."""
        return len(self.seconds)

    def as_dict(self) -> dict[str, Any]:
        """JSON form. `ratio`: seconds of choosing over seconds of 20 tokens; None without a yardstick.

        `wrong` names requests of the split `tune` alone: the held ones are counted and never shown.
        """
        lists = self.vocabulary
        unit = statistics.median(self.yardstick) if self.yardstick else None
        return {
            "size": lists.size,
            "kinds": len(lists.kinds),
            "topics": len(lists.topics),
            "bits_kind": _rounded(lists.bits(Level.KIND)),
            "bits_topic": _rounded(lists.bits(Level.TOPIC)),
            "splits": {name: self.splits[name].as_dict() for name in SPLITS if name in self.splits},
            "styles": {name: hits.as_dict() for name, hits in sorted(self.styles.items())},
            "asked": round(self.asked / self.rows, 4),
            "ratio_median": _rounded(unit and statistics.median(self.seconds) / unit),
            "ratio_mean": _rounded(unit and statistics.fmean(self.seconds) / unit),
            "wrong": self.wrong,
        }


def measure(
    rows: Sequence[Labelled],
    vocabulary: Vocabulary,
    embedder: Embeds,
    writer: Chooses,
    decode: Callable[[], float] | None = None,
) -> Iterator[Accuracy]:
    """The figures so far, after each request.

    `decode` gives the seconds of `TOKENS` decoded tokens (see `yardstick`). Raises what `generalize` raises.
    """
    found, counting = Accuracy(vocabulary), _Counting(writer)
    for number, row in enumerate(rows):
        if decode is not None and number % _EVERY == 0:
            found.yardstick.append(decode())
        begun = time.perf_counter()
        task = generalize(row.instruction, vocabulary, embedder, counting)
        found.seconds.append(time.perf_counter() - begun)
        found.asked = counting.asked
        _score(found, row, task)
        yield found


def yardstick(writer: Any) -> Callable[[], float] | None:
    """Seconds of `TOKENS` tokens decoded by `writer` after a short prompt; None for one on a server."""
    from cogenesis_langchain.writer.parts import Turn

    bare = getattr(writer, "bare_loop", None)
    if bare is None:
        return None
    prompt: Prompt = (Turn("user", ("Write a short note about the weather.",)),)

    def decode() -> float:
        loop = bare(prompt, TOKENS)
        next(loop)  # the prompt is read
        begun = time.perf_counter()
        for _ in loop:
            pass
        return time.perf_counter() - begun

    return decode


def right(task: GenericTask, row: Labelled, vocabulary: Vocabulary) -> tuple[bool, bool]:
    """Whether the kind and the topic of `task` hold a name that `row` accepts."""
    topics = {None if name is None else vocabulary.topic_of[name] for name in row.topics}
    return task.kind in {vocabulary.kind_of[name] for name in row.kinds}, task.topic in topics


def _score(found: Accuracy, row: Labelled, task: GenericTask) -> None:
    kind, topic = right(task, row, found.vocabulary)
    found.splits.setdefault(row.split, Hits()).add(kind, topic)
    if row.style:
        found.styles.setdefault(row.style, Hits()).add(kind, topic)
    if row.split == SPLITS[0] and not (kind and topic):
        found.wrong.append({"id": row.id, "kind": task.kind, "topic": task.topic, "right": [kind, topic]})


class _Counting:
    """A writer that counts how often it is asked."""

    def __init__(self, writer: Chooses) -> None:
        self._writer = writer
        self.asked = 0

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """As the writer's."""
        self.asked += 1
        return self._writer.choose(prompt, options, scope=scope)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
