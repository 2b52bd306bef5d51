"""`cogenesis models`: list, pull and verify the pinned model files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from cogenesis_langchain import models
from cogenesis_langchain.commands.common import print_table
from cogenesis_langchain.errors import ModelCorruptError, ModelError, ModelMissingError

app = typer.Typer(help="Model files: what there is, download, check.", no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", show_default=False, help="As in `cogenesis models list`."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """Show the catalogue and what of it lies in the cache."""
    rows = [_row(entry) for entry in models.catalogue().values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    table = Table("model", "kind", "size", "licence", "here", "", caption=f"cache: {models.cache_dir()}")
    table.columns[0].no_wrap = True
    for row in rows:
        default = "default" if row["default"] else ""
        table.add_row(
            row["name"],
            row["kind"],
            _human(row["size"]),
            row["licence"],
            "yes" if row["present"] else "no",
            ", ".join(filter(None, (default, row["note"]))),
        )
    print_table(table)


@app.command()
def pull(names: Names = None, as_json: Json = False) -> None:
    """Download models (default: what the presets need), resuming what was cut off, and check them."""
    with _shown(not as_json) as progress:
        reports = models.pull(names or (), progress=progress)
    if as_json:
        rows = [report.as_dict() | {"path": str(models.path_of(report.name))} for report in reports]
        typer.echo(json.dumps(rows, indent=2))
        return
    for report in reports:
        came = (
            "already there, verified"
            if report.source == "cache"
            else f"{_human(report.downloaded)} from {report.source} in {report.seconds:.0f} s, verified"
        )
        typer.echo(f"{report.name}: {came}")


@app.command()
def verify(names: Names = None, as_json: Json = False) -> None:
    """Hash model files anew (default: all that are in the cache); ends with 3 if one is wrong."""
    chosen = names or [name for name in models.catalogue() if models.folder(name).exists()]
    rows = [_checked(models.entry(name).name) for name in chosen]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo("no models in the cache; run: cogenesis models pull")
    else:
        for row in rows:
            typer.echo(f"{row['name']}: {row['message']}")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(ModelError.exit_code)


def _row(entry: models.ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "size": entry.size,
        "licence": entry.licence,
        "chat_template": entry.chat_template,
        "default": entry.name in models.DEFAULT_MODELS,
        "present": models.present(entry.name),
        "path": str(models.path_of(entry.name)),
        "note": entry.note,
    }


def _checked(name: str) -> dict[str, Any]:
    try:
        models.verify(name)
    except (ModelMissingError, ModelCorruptError) as error:
        return {"name": name, "ok": False, "message": str(error)}
    return {"name": name, "ok": True, "message": "as pinned"}


@contextmanager
def _shown(wanted: bool) -> Iterator[Callable[[models.Progress], None] | None]:
    """A bar with bytes for each model, on standard error."""
    if not wanted:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}
        files: dict[str, dict[str, tuple[int, int]]] = {}

        def show(step: models.Progress) -> None:
            if step.message:
                bars.console.print(f"{step.name}: {step.message}", markup=False, highlight=False)
                return
            sizes = files.setdefault(step.name, {})
            sizes[step.file] = (step.done, step.total)
            done, total = (sum(column) for column in zip(*sizes.values(), strict=True))
            if step.name not in tasks:
                tasks[step.name] = bars.add_task(step.name, total=total)
            bars.update(tasks[step.name], completed=done, total=total)

        yield show


def _human(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
