"""`cogenesis eval fusion` for people: what its JSON holds, as tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from cogenesis_langchain.commands.common import out, print_table


def show(found: dict[str, Any]) -> None:
    """What was measured of it."""
    if found["rows"]:
        _show_rows(found)
    if found["linkage"]:
        _show_linkage(found)
    if found["written"]:
        _show_written(found)


def _show_rows(found: dict[str, Any]) -> None:
    listed = found["k"] or "all"
    title = f"{found['persons']} persons, {found['tokens']} tokens; {listed} candidates of {found['cloud']}"
    table = Table(title=title)
    table.add_column("setting")
    table.add_column("way")
    for name in ("nats/token", "95 %", "gap closed", "95 %", ""):
        table.add_column(name, justify="right" if name else "left")
    for row in found["rows"]:
        gap = row["gap_closed"]
        table.add_row(
            row["setting"],
            row["name"] + (" (never sent)" if row["never_sent"] else ""),
            f"{row['nll']:.3f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            "" if gap is None else f"{gap:.0%}",
            "" if gap is None else f"{row['gap_low']:.0%} to {row['gap_high']:.0%}",
            ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in row["more"].items()),
        )
    print_table(table)
    out.print(
        f"gap closed: of the way from {found['local']} with context to {found['cloud']} with context, "
        "which is never sent and only computed here.",
        style="dim",
    )


def _show_linkage(found: dict[str, Any]) -> None:
    methods = list(dict.fromkeys(one["method"] for one in found["linkage"]))
    shares = list(dict.fromkeys(one["share"] for one in found["linkage"]))
    table = Table(title=f"the writer named among {found['profiles']} profiles, by what had gone up")
    table.add_column("what went up")
    for share in shares:
        table.add_column(f"at {share:.0%}", justify="right")
    for method in methods:
        cells = [
            f"{one['top1']:.0%} ({one['low']:.0%} to {one['high']:.0%})"
            for one in found["linkage"]
            if one["method"] == method
        ]
        table.add_row(method, *cells)
    print_table(table)


def _show_written(found: dict[str, Any]) -> None:
    """What each setting of form live spent on the texts that it wrote."""
    table = Table(title="texts that form live wrote; nats a text, the others per token")
    names = ("charged", "spent", "requests", "released", "same", "cloud heard", "ended by the gate")
    keys = ("charged", "spent", "requests_per_token", "released", "same", "heard", "stopped")
    for name in ("setting", "persons", "tokens", *names):
        table.add_column(name, justify="left" if name == "setting" else "right")
    for row in found["written"]:
        figures = (f"{row[key]:.2f}" for key in keys)
        table.add_row(row["method"], str(row["persons"]), str(row["tokens"]), *figures)
    print_table(table)
    out.print(
        "released: tokens of the shadow; same: the text has them too; ended by the gate: share of texts.",
        style="dim",
    )
