"""`cogenesis eval`: the attacks, for anyone to run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cogenesis_langchain.commands.accuracy import generalize
from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    bar,
    check_target,
    print_json,
    print_table,
    write_file,
)
from cogenesis_langchain.commands.evasion import TIERS, evasion
from cogenesis_langchain.commands.fusion import fusion
from cogenesis_langchain.commands.linkage import linkage
from cogenesis_langchain.errors import InputError

app = typer.Typer(
    help="Measure by attack what the parts promise: detection, evasion, fusion, generalising, linkage.\n\n"
    "Every figure in the documentation comes from one of these commands.",
    no_args_is_help=True,
)

DEFAULT = "Presidio"
_COLUMNS = ("leak", "clean", "masked", "recall", "precision", "f2")


@app.command()
def detection(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Texts with private units: PUPA's .csv, presidio-research's .json, or .jsonl with "
            "`text` and `units` or `spans`. Without it: the shipped fictional examples.",
        ),
    ] = None,
    tier: Annotated[
        list[str] | None,
        typer.Option("--tier", help="fast, balanced or thorough; may be repeated. Without it: all three."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="Where the masked texts of one --tier go, a JSON object a line."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first rows.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much of what is private each tier hides, with default Presidio beside it.

    leak: share of the private units that still stand in the text as the mask route would send it. clean:
    share of the texts without any leak. masked: share of the characters that are hidden. Precision and recall
    count spans of which half is right. ms: per 1,000 characters, every detector reading each text in turn.
    """
    tiers = list(dict.fromkeys(tier or TIERS))
    if unknown := [name for name in tiers if name not in TIERS]:
        raise InputError(f"--tier {unknown[0]}: choose from {', '.join(TIERS)}")
    if to is not None and len(tiers) != 1:
        raise InputError("--out holds the texts of one tier: name it with --tier")
    if to is not None:
        check_target(to)
    from cogenesis_langchain.config import load
    from cogenesis_langchain.detect.detector import Detector
    from cogenesis_langchain.evals.detection import Masked, as_found, as_the_mask_route, measure
    from cogenesis_langchain.evals.presidio_default import PresidioDefault
    from cogenesis_langchain.evals.rows import read_rows

    rows = read_rows(data, limit)
    presidio = load(config).presidio or None
    tested: list[tuple[str, Any]] = [(name, Detector(name, presidio=presidio)) for name in tiers]  # type: ignore[arg-type]
    detectors = [(name, detector, as_the_mask_route) for name, detector in tested]
    detectors.append((DEFAULT, PresidioDefault(), as_found))
    for _, detector, _ in detectors:
        detector.warm()
    lines: list[str] = []

    def keep(name: str, masked: Masked) -> None:
        if name != DEFAULT:
            lines.append(json.dumps(masked.as_dict(), ensure_ascii=False))

    with bar() as progress:
        steps = measure(rows, detectors, keep=keep if to else None)
        scores = list(progress.track(steps, total=len(rows), description="detecting"))[-1]
    if to is not None:
        write_file(to, "\n".join(lines) + "\n")
    found = [score.as_dict() for score in scores]
    if as_json:
        print_json({"rows": len(rows), "detectors": found})
    else:
        _show(found)


def _show(found: Sequence[dict[str, Any]]) -> None:
    table = Table(title=f"{found[0]['rows']} texts, {found[0]['units']} private units")
    table.add_column("detector")
    for name in (*_COLUMNS, "ms/1k"):
        table.add_column(name, justify="right")
    for row in found:
        table.add_row(row["detector"], *(f"{row[name]:.3f}" for name in _COLUMNS), f"{row['ms_per_1k']:.1f}")
    print_table(table)


app.command("evasion")(evasion)
app.command("fusion")(fusion)
app.command("generalize")(generalize)
app.command("linkage")(linkage)
