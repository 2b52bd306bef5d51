"""`cogenesis eval evasion`: private values in every spelling, by every route, counted on the wire."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cogenesis_langchain.commands.common import ConfigOption, JsonOption, bar, out, print_json, print_table
from cogenesis_langchain.errors import InputError

ROUTES = ("cloud", "mask", "sketch:topic", "sketch:kind", "fuse:topic", "live:topic", "local", "block")
TIERS = ("fast", "balanced", "thorough")
LEAKED = 1
"""Exit code where a known value reached the wire."""


def evasion(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Take the private units of this file (as `eval detection` reads it) for known values. "
            "Without it: the shipped fictional persons.",
        ),
    ] = None,
    routes: Annotated[
        str,
        typer.Option("--routes", help=f"Of {', '.join(ROUTES)}.", show_default=False),
    ] = ",".join(ROUTES),
    tier: Annotated[str | None, typer.Option("--tier", help="fast, balanced or thorough.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only so many cases, drawn by a fixed seed.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try to get private values past the router in 23 spellings; count what a socket recorded.

    The detector, the graph, the gate and the HTTP to a server in this process are the real ones; the local
    writer is a fake, as what it writes is never sent. A twin is the same request without the value, which
    must reach the cloud. Known values are promised to stay here; unknown ones are found by the detector or
    not at all. Exit code 1 where a known value left.
    """
    from cogenesis_langchain.config import load
    from cogenesis_langchain.detect.detector import Detector
    from cogenesis_langchain.embed import Embedder
    from cogenesis_langchain.evals.cases import cases
    from cogenesis_langchain.evals.evasion import Range, Tally
    from cogenesis_langchain.evals.values import read_values, shipped

    chosen = [name.strip() for name in routes.split(",")]
    if unknown := [name for name in chosen if name not in ROUTES]:
        raise InputError(f"--routes: there is no route {unknown[0]}; choose from {', '.join(ROUTES)}")
    if tier is not None and tier not in TIERS:
        raise InputError(f"--tier {tier}: choose from {', '.join(TIERS)}")
    settings = load(config)
    detector = Detector(tier or settings.privacy.tier, presidio=settings.presidio or None)  # type: ignore[arg-type]
    detector.warm()
    values = shipped() if data is None else read_values(data)
    known, unseen = [v for v in values if v.known], [v for v in values if not v.known]
    planned = list(cases(known, chosen))
    for route, some in (("cloud", unseen[::2]), ("mask", unseen[1::2])):
        planned += cases(some, [route] if route in chosen else [])
    if limit is not None and limit < len(planned):
        planned = random.Random(limit).sample(planned, limit)  # noqa: S311 - no secret is made
    tally = Tally()
    with (
        tempfile.TemporaryDirectory(prefix="cogenesis-evasion-") as folder,
        Range(Path(folder), detector, Embedder.default(), values) as shots,
        bar() as progress,
    ):
        for _ in progress.track(shots.run(planned, tally), total=len(planned), description="requests"):
            pass
        if limit is None:
            for value in progress.track(unseen, description="unknown values"):
                shots.look(value, tally)
    found = tally.as_dict()
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found["known"]["leaks"]:
        raise typer.Exit(LEAKED)


def _show(found: dict[str, Any]) -> None:
    from cogenesis_langchain.evals.disguises import DISGUISES, HELD_BACK

    known, unknown, twins = found["known"], found["unknown"], found["twins"]
    table = Table(title=f"{known['cases']} requests with known values, {unknown['cases']} with others")
    table.add_column("spelling")
    for name in ("known: left", "of", "unknown: left", "of", "covered by the detector"):
        table.add_column(name, justify="right")
    for name in DISGUISES:
        if name not in known["by_spelling"] and name not in unknown["by_spelling"]:
            continue
        left, of = known["by_spelling"].get(name, (0, 0))
        unknown_left, unknown_of = unknown["by_spelling"].get(name, (0, 0))
        covered = unknown["covered"].get(name)
        shown = "" if covered is None else f"{covered:.0%}"
        table.add_row(
            name + (" *" if name in HELD_BACK else ""),
            *map(str, (left, of, unknown_left, unknown_of)),
            shown,
            style="red" if left else "",
        )
    print_table(table)
    out.print("* held back while the normaliser was made", style="dim")
    for route, (left, of) in known["by_route"].items():
        sent = twins["by_route"].get(route)
        came = "" if sent is None else f", benign twins delivered {sent:.1%}"
        out.print(f"{route}: {left} of {of} known values left{came}", markup=False)
    out.print(
        f"known values that left: {known['leaks']} of {known['cases']}; "
        f"benign twins delivered: {twins['delivered']:.1%} of {twins['cases']}",
        style="bold",
        markup=False,
    )
    for leak in known["where"][:20]:
        out.print("  left: " + ", ".join(f"{name} {value}" for name, value in leak.items()), markup=False)
