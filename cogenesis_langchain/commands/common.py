"""What every command shares: the engine of a config file, output for people and machines, errors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from cogenesis_langchain.errors import CoGenesisError, InputError
from cogenesis_langchain.types import Level, Route

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        help="Policy file, or preset:NAME (default, strict, offline, observe). "
        "Without it: $COGENESIS_CONFIG, your own config.yaml, else preset:default.",
        show_default=False,
    ),
]
LocalModelOption = Annotated[str, typer.Option("--local", help="Catalogue model in place of the local one.")]
CloudModelOption = Annotated[str, typer.Option("--cloud", help="The same in place of the cloud's.")]
GoldTokensOption = Annotated[int, typer.Option("--tokens", min=2, help="Read so much of each real text.")]
GoldContextOption = Annotated[int, typer.Option("--context", min=200, help="Room for the person's context.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]


def named(user: str | None) -> str | None:
    """The user's id, or None where no user was named. Raises InputError for a blank one."""
    if user is not None and not user.strip():
        raise InputError("--user is empty: say whose private context is used, for example --user me")
    return user


UserOption = Annotated[
    str, typer.Option("--user", "-u", callback=named, help="Whose private context is used.")
]
RouteOption = Annotated[
    Route | None,
    typer.Option("--route", help="At least this private: tightens what the policy decides, never loosens."),
]


class Form(StrEnum):
    """The two forms of route fuse."""

    DRAFT = "draft"
    LIVE = "live"


FormOption = Annotated[
    Form | None,
    typer.Option(
        "--form",
        help="Of --route fuse: draft (one request, as private as a sketch; the default), or live (shows the "
        "cloud a blurred shadow of the text; only where the policy sets fuse.live.allow).",
    ),
]
LevelOption = Annotated[
    Level | None,
    typer.Option(
        "--level",
        help="Tell the cloud at most this much: free (words of its own, unbounded), topic, or only the kind.",
    ),
]
TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        help="Write a page (HTML) of who decided each token, and what the cloud saw; it holds your text. "
        "Of route fuse alone.",
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option("--label", help="A label for the policy's rules, e.g. public for text that is no secret."),
]


def in_form(route: Route | None, form: Form | None) -> Route | None:
    """The route that both options mean together. Raises InputError for a form of another route."""
    if form is not None and route is not Route.FUSE:
        raise InputError("--form goes with --route fuse")
    return Route.LIVE if form is Form.LIVE else route


PIPE_WIDTH = 240
"""Characters of a table that no screen limits."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def bar() -> Progress:
    """A progress bar on stderr, so that stdout stays clean for --json."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
    )


def load_engine(config: str | None = None, *, require_keys: bool | None = False) -> Any:
    """The engine of a policy file; its warnings go to stderr. Raises ConfigError."""
    from cogenesis_langchain.config import load
    from cogenesis_langchain.engine import Engine

    loaded = load(config, require_keys=require_keys)
    for warning in loaded.warnings:
        err.print(f"note: {warning}", style="dim", markup=False)
    return Engine(loaded)


def print_table(table: Table, *, figures: bool = False) -> None:
    """A table, on a terminal within its width; in a pipe or a file nothing is cut or wrapped for a screen.

    With `figures` no cell is cut: what is too wide for the screen goes into a second table below.
    """
    limited = out.is_terminal or "COLUMNS" in os.environ
    screen = out if limited else Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH)
    for part in _fitting(table, screen) if figures else [table]:
        screen.print(part)


def _fitting(table: Table, screen: Console) -> Iterator[Table]:
    """The table, or where it is too wide several, each with its first column."""
    first, *rest = table.columns
    chosen = [first]
    title = table.title
    for column in rest:
        wider = _part(table, [*chosen, column], title)
        if (
            len(chosen) > 1
            and screen.measure(wider, options=screen.options.update(max_width=10_000)).maximum > screen.width
        ):
            yield _part(table, chosen, title)
            chosen, title = [first], None
        chosen.append(column)
    yield _part(table, chosen, title)


def _part(table: Table, columns: Sequence[Column], title: Any) -> Table:
    part = Table(
        title=title,
        box=table.box,
        pad_edge=table.pad_edge,
        title_justify=table.title_justify,
        style=table.style,
    )
    for one in columns:
        part.add_column(one.header, justify=one.justify, overflow=one.overflow, no_wrap=one.no_wrap)
    for cells in zip(*(one.cells for one in columns), strict=True):
        part.add_row(*cells)
    return part


def print_json(value: Any) -> None:
    """One JSON document and a newline; never coloured, so that it can be piped."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def read_text(text: str) -> str:
    """The argument itself, or stdin for `-`. Raises InputError for bytes that are no UTF-8."""
    source = "the text" if text != "-" else "stdin"
    try:
        # An argument's undecodable bytes arrive as surrogates; this gives the bytes back.
        data = sys.stdin.buffer.read() if text == "-" else os.fsencode(text)
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is no UTF-8 text (byte {error.start}); convert it first") from None


def check_target(path: Path) -> None:
    """Whether a file could be written there, to know before the work is done. Raises InputError."""
    if not path.name or path.is_dir():
        raise InputError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot write there: there is no folder {path.parent}")


def write_file(path: Path, text: str) -> None:
    """Writes beside and renames, so that a full disk or Ctrl-C leaves no half file. Owner-only.

    Raises InputError where no file can be made there.
    """
    import tempfile

    check_target(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    except OSError as error:
        raise InputError(f"{path}: cannot write there: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def report(error: CoGenesisError | OSError, *, as_json: bool) -> int:
    """Prints an error for people or machines; returns the exit code."""
    if isinstance(error, CoGenesisError):
        message = str(error)
    else:
        message = ": ".join(filter(None, [error.filename and str(error.filename), error.strerror]))
        message = message or type(error).__name__
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": message}})
    else:
        err.print("error: ", style="bold red", end="")
        err.print(message, markup=False)
    return getattr(error, "exit_code", 1)
