"""One promise of a bench: a ratio taken within one run, and its limit; and what benches measure alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from cogenesis_langchain.commands.common import out, print_json, print_table


@dataclass(frozen=True, slots=True)
class Ratio:
    """One of the promises: `value` against `limit`; `at_least` says which side is good.

    Without a limit nothing is promised: it stands beside one that has one.
    """

    name: str
    value: float
    limit: float | None
    at_least: bool = True
    unit: str = "x"

    @property
    def ok(self) -> bool:
        """Whether the promise is kept, if there is one."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        value, sign = round(self.value, 3), ">=" if self.at_least else "<="
        if self.limit is None:
            return {"name": self.name, "value": value, "limit": None, "ok": None}
        limit = f"{sign} {self.limit} {self.unit}"
        return {"name": self.name, "value": value, "limit": limit, "ok": self.ok}


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
            ratio.name, f"{ratio.value:.3g} {ratio.unit}", row["limit"] or "", style="" if ratio.ok else "red"
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


def speed_of(written: Iterator[str]) -> float:
    """Pieces per second, from the first one on: reading the prompt does not count."""
    times = [time.perf_counter() for _ in written]
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def resident_bytes() -> int:
    """Memory of this process now; 0 where the system does not tell it so."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource

    return pages * resource.getpagesize()
