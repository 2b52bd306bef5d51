"""`cogenesis explain`: what would happen, and the exact bytes that would leave. Contacts no cloud."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    FormOption,
    JsonOption,
    LabelOption,
    LevelOption,
    RouteOption,
    check_target,
    err,
    in_form,
    load_engine,
    out,
    print_json,
    read_text,
)
from cogenesis_langchain.commands.running import Listener, placed, record, run
from cogenesis_langchain.errors import CoGenesisError, InputError
from cogenesis_langchain.types import CONTEXT_TYPES, ContextItem

if TYPE_CHECKING:
    from cogenesis_langchain.commands.why_blocked import Blocker

_KEPT = ("route", "level", "reasons", "spans", "outbound")


def explain(
    text: Annotated[str | None, typer.Argument(help="The request; - reads stdin.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Whose private context counts.")] = None,
    config: ConfigOption = None,
    route: RouteOption = None,
    level: LevelOption = None,
    form: FormOption = None,
    label: LabelOption = None,
    as_json: JsonOption = False,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            "--jsonl",
            help='Many requests, one per line: {"id", "instruction", "context": [{"type", "text"}]}.',
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="Where the answers to --jsonl go.")] = None,
    why_blocked: Annotated[
        bool,
        typer.Option(
            "--why-blocked",
            help="Name each private span that keeps the request here, the rule or check, and the YAML that "
            "would allow it. The words themselves show on your terminal only.",
        ),
    ] = False,
) -> None:
    """Show route, reasons, private spans and the exact outbound body of a request. Nothing is sent or kept.

    The gate checks the body as it would before a send. With --jsonl each line brings its own context, which
    is held in memory only.
    """
    from cogenesis_langchain.commands.why_blocked import Watcher, blockers
    from cogenesis_langchain.state import RouterContext

    options: dict[str, Any] = {"route": in_form(route, form), "level": level, "label": label, "dry_run": True}
    if jsonl is not None:
        if to is None or text is not None or user is not None or why_blocked:
            raise InputError("--jsonl IN goes with --out OUT and without TEXT, --user and --why-blocked")
        check_target(to)
        _many(load_engine(config), jsonl, to, options)
        return
    if text is None or not user or to is not None:
        raise InputError("explain needs TEXT and --user, or --jsonl IN --out OUT")
    instruction = read_text(text)
    engine = load_engine(config)
    context = RouterContext(user_id=user, **options)
    show = is_own_terminal()
    watcher = Watcher()
    try:
        state = _dry_run(engine, instruction, context, watcher)
        blocked = blockers(engine, state, watcher.signals, context) if why_blocked else []
    finally:
        engine.close()
    found = record(state)
    if as_json:
        extra = {"blocked_by": [one.as_dict(show=show) for one in blocked]} if why_blocked else {}
        print_json(found | extra)
        return
    _show(found)
    if why_blocked:
        _show_blockers(blocked, show=show)


def _dry_run(engine: Any, instruction: str, context: Any, listener: Listener) -> dict[str, Any]:
    from cogenesis_langchain.graph import create_privacy_router

    return run(create_privacy_router(engine=engine), instruction, context, listener)


def is_own_terminal() -> bool:
    """Whether what is printed is read by the person who typed the command, and kept nowhere."""
    return sys.stdout.isatty()


def _show_blockers(blocked: list[Blocker], *, show: bool) -> None:
    out.print("kept here by:" if blocked else "kept here by: no private span", style="bold")
    for one in (blocker.as_dict(show=show) for blocker in blocked):
        where = f"message {one['message'] + 1}, characters {one['start']}-{one['end']}"
        stretch = f' "{one["stretch"]}"' if show else ""
        out.print(
            f"  - {where}: {one['type']}{stretch} ({one['source']}, score {one['score']})", markup=False
        )
        out.print(f"      {one['check']}", markup=False)
        out.print(f"      to allow it: {one['allow']}", markup=False)
    if blocked and not show:
        out.print("  (the words themselves are shown on a terminal only)", style="dim")


def _show(found: dict[str, Any]) -> None:
    out.print(f"route  {placed(found)}", style="bold")
    for reason in found["reasons"]:
        out.print(f"  - {reason}", markup=False)
    out.print(f"private spans: {len(found['spans'])}", style="bold")
    for span in found["spans"]:
        out.print(
            f"  - characters {span['start']}-{span['end']}: {span['type']} ({span['source']})", markup=False
        )
    out.print("would leave this machine:", style="bold")
    for outbound in found["outbound"]:
        out.print(f"  POST {outbound['endpoint']}", markup=False)
        out.print(f"  {outbound['body']}", markup=False)
    if not found["outbound"]:
        out.print("  nothing")
    for warning in found["warnings"]:
        err.print(f"note: {warning}", style="yellow", markup=False)


def _many(engine: Any, source: Path, target: Path, options: dict[str, Any]) -> None:
    """One dry run per line; the output appears whole or, after an error or Ctrl-C, not at all."""
    from rich.progress import track

    part = target.with_name(target.name + ".part")
    try:
        requests = list(_requests(source))
        file = _private_file(part)
        try:
            with file:
                for number, request in track(requests, description="explaining", console=err):
                    try:
                        line = _one(engine, request, number, options)
                    except CoGenesisError as error:
                        raise type(error)(f"{source}, line {number}: {error}") from None
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    finally:
        engine.close()


def _one(engine: Any, request: dict[str, Any], number: int, options: dict[str, Any]) -> dict[str, Any]:
    """The answer to one line, from a store that holds its context and nothing else."""
    from cogenesis_langchain.state import RouterContext
    from cogenesis_langchain.store import MemoryStore

    store = MemoryStore(request["context"], engine.embedder, values_of=engine.values_of)
    context = RouterContext(user_id=f"line-{number}", **options)
    found = record(_dry_run(engine.with_rooms(store=store), request["instruction"], context, Listener()))
    return {"id": request["id"], **{name: found[name] for name in _KEPT}}


def _private_file(path: Path) -> IO[str]:
    """Opens a new file that only its owner can read. InputError where that is impossible.

    What stands there goes first: a file would keep its mode, and a link would be followed.
    """
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot write there: {error.strerror}") from None
    return os.fdopen(handle, "w", encoding="utf-8")


def _requests(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, {"id", "instruction", "context": [ContextItem]}). InputError names the line, never its text."""
    try:
        data = source.read_bytes()
        lines = data.decode("utf-8").split("\n")  # splitlines() would also cut at what JSON may hold
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source}, line {at}: no UTF-8 text (byte {error.start}); convert it") from None
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = _request(json.loads(line), number)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(
                f'{source}, line {number}: needs {{"id", "instruction", "context": [{{"type", "text"}}]}} '
                f"with a text to write and types from {', '.join(CONTEXT_TYPES)}"
            ) from None
        yield number, request


def _request(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A checked line. Raises ValueError and its like where something is missing or of another type."""
    instruction = row["instruction"]
    items = [ContextItem(item["type"], item["text"]) for item in row.get("context") or []]
    texts = [instruction, *(item.text for item in items)]
    if not all(isinstance(text, str) for text in texts) or not instruction.strip():
        raise ValueError
    if any(item.type not in CONTEXT_TYPES for item in items):
        raise ValueError
    name = row.get("id", number)
    # Half a surrogate pair, which JSON escapes can spell, is a ValueError.
    "".join([*texts, json.dumps(name, ensure_ascii=False)]).encode()
    return {"id": name, "instruction": instruction, "context": items}
