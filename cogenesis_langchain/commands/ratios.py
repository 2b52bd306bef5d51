"""One promise of a bench: a ratio taken within one run, and its limit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cogenesis_langchain.commands.common import out, print_json, print_table


@dataclass(frozen=True, slots=True)
class Ratio:
    """One of the promises: `value` against `limit`; `at_least` says which side is good."""

    name: str
    value: float
    limit: float
    at_least: bool
    unit: str = "x"

    @property
    def ok(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        sign = ">=" if self.at_least else "<="
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "limit": f"{sign} {self.limit} {self.unit}",
            "ok": self.ok,
        }


def report(
    title: str, ratios: Sequence[Ratio], measured: Mapping[str, float], *, as_json: bool, **head: str
) -> None:
    """What a bench found: a table and what it was taken from, or JSON that begins with `head`."""
    if as_json:
        print_json({**head, "ratios": [ratio.as_dict() for ratio in ratios], "measured": measured})
        return
    _show(title, ratios)
    for name, value in measured.items():
        out.print(f"{name}: {value:g}", style="dim", markup=False)


def _show(title: str, ratios: Sequence[Ratio]) -> None:
    """A table of the ratios; what breaks its promise is red."""
    table = Table("", "measured", "promised", title=title)
    for ratio in ratios:
        row = ratio.as_dict()
        table.add_row(
            ratio.name, f"{ratio.value:.3g} {ratio.unit}", row["limit"], style="" if ratio.ok else "red"
        )
    print_table(table)


def by_turns(works: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Median seconds of processor time of each piece of work, all threads together, taken in turn.

    So whatever else the machine does counts little, and falls on all alike.
    """
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, seconds in zip(works, taken, strict=True):
            begun = time.process_time()
            work()
            seconds.append(time.process_time() - begun)
    return [statistics.median(seconds) for seconds in taken]
