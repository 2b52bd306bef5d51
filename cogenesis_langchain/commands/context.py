"""`cogenesis context`: what the local model may know about you, and what must never leave."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    UserOption,
    err,
    load_engine,
    out,
    print_json,
    print_table,
    write_file,
)
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.types import CONTEXT_TYPES, ContextType

app = typer.Typer(help="Your private context: add, list, known values, export, purge.", no_args_is_help=True)

DECLARED = "DECLARED"

TypeOption = Annotated[
    str | None,
    typer.Option("--type", "-t", help=f"One of {', '.join(CONTEXT_TYPES)}.", show_default=False),
]


@app.command()
def add(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Text, Markdown, JSON, JSON Lines, mbox or eml; - is standard input.", metavar="FILES|-"
        ),
    ],
    user: UserOption,
    type: TypeOption = None,
    sender: Annotated[
        str | None, typer.Option("--sender", help="Of mail, keep only what this address sent.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store files as private context. Adding again changes nothing; what was interrupted goes on."""
    from cogenesis_langchain.ingest import read_items, read_values

    sources = _sources(files)
    items = list(read_items(sources, type=_type(type), sender=sender))
    declared = list(read_values(sources))
    if not items and not declared:
        raise InputError("nothing to add: the files hold no text")
    engine = load_engine(config)
    for value, enabled in declared:
        engine.store.set_value(user, value.value, type=value.type, enabled=enabled)
    with _bar("adding", len(items), quiet=as_json) as progress:
        report = engine.store.add(user, items, values_of=engine.values_of, progress=progress)
    if as_json:
        print_json({"user": user} | asdict(report))
        return
    out.print(f"{report.added} added, {report.skipped} there already, {report.values} new known values")
    if report.values:
        out.print(f"see and correct them with: cogenesis context values --user {user}", style="dim")


@app.command("list")
def list_items(
    user: UserOption,
    type: TypeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is stored, oldest first."""
    items = load_engine(config).store.list(user, _type(type))
    if as_json:
        print_json({"user": user, "items": [item.as_dict() for item in items]})
        return
    if not items:
        out.print(
            f"nothing stored; add something with: cogenesis context add --user {user} FILES", style="dim"
        )
        return
    rows = [[item.added[:10], item.type, item.title, " ".join(item.text.split())[:200]] for item in items]
    _table(["added", "type", "title", "text"], rows)


@app.command()
def values(
    user: UserOption,
    declare: Annotated[
        list[str] | None, typer.Option("--add", help="This must never leave.", show_default=False)
    ] = None,
    type: Annotated[str, typer.Option("--type", "-t", help="What --add is, for example PERSON.")] = DECLARED,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", help="Forget this value.", show_default=False)
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", help="Not private, now and when it is found again.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show, declare, ignore or forget the known values: what must never leave this machine.

    For example: `cogenesis context values --user me --add "Nora Vexmoor" --type PERSON --ignore Garden`.
    """
    if type != DECLARED and not declare:
        raise InputError("--type says what --add is: name a value with --add")
    store = load_engine(config).store
    for value in declare or ():
        store.set_value(user, value, type=type)
    for value in ignore or ():
        store.set_value(user, value, enabled=False)
    missing = sum(not store.remove_value(user, value) for value in remove or ())
    if missing:
        raise InputError(f"{missing} of the values to remove is not there; values are compared exactly")
    known = store.values(user)
    if as_json:
        entries = [entry.as_dict() for entry in known]
        print_json({"user": user, "values": [{"value": e.pop("known_value")} | e for e in entries]})
        return
    if not known:
        out.print(f"no known values; they come with: cogenesis context add --user {user} FILES", style="dim")
        return
    rows = [[v.value, v.type, v.origin, "must not leave" if v.enabled else "ignored"] for v in known]
    _table(["value", "type", "found as", ""], rows)


@app.command()
def export(
    user: UserOption,
    to: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write, readable by you only.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything stored as JSON Lines, which `add` reads back."""
    entries = list(load_engine(config).store.export(user))
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    if to is not None:
        write_file(to, text)
        if as_json:
            print_json({"user": user, "entries": len(entries), "file": str(to)})
        else:
            out.print(f"{len(entries)} entries written to {to}", markup=False)
    elif as_json:
        print_json({"user": user, "entries": entries})
    else:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()


@app.command()
def purge(
    user: UserOption,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy the key of a user, delete all they left on the disk, and check that it is gone."""
    engine = load_engine(config)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise InputError("purge asks before it deletes; confirm with --yes")
        typer.confirm("Delete all context, threads and kept bodies of this user?", abort=True, err=True)
    told = engine.purge(user)
    if as_json:
        print_json({"user": user} | told)
        return
    out.print(f"{told['items']} items, {told['values']} known values, {told['bodies']} kept bodies deleted")
    if told["threads"]:
        out.print("kept threads deleted")
    if told["key"]:
        out.print("key destroyed: copies of what it sealed cannot be read any more", style="dim")
    if told["checked"]:
        out.print(f"{told['searched']} files searched: none holds a text of this user", style="dim")
    else:
        out.print("the server's own files could not be searched: run `chroma vacuum` there", style="yellow")


def _type(name: str | None) -> ContextType | None:
    for kind in CONTEXT_TYPES:
        if name == kind:
            return kind
    if name is None:
        return None
    raise InputError(f"--type is one of {', '.join(CONTEXT_TYPES)}")


def _sources(files: list[Path]) -> list[Path] | bytes:
    if Path("-") not in files:
        return files
    if len(files) > 1:
        raise InputError("- (standard input) stands alone: add the files in a second call")
    return sys.stdin.buffer.read()


def _table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in row))
    print_table(table)


@contextmanager
def _bar(label: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on stderr, where that is a terminal."""
    if quiet or not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown: Any = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=err, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)
