"""`cogenesis explain`: what would happen, and the exact bytes that would leave. Contacts no cloud."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    LabelOption,
    LevelOption,
    RouteOption,
    err,
    load_engine,
    out,
    print_json,
    read_text,
)
from cogenesis_langchain.commands.running import record
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.types import CONTEXT_TYPES, ContextItem

_KEPT = ("route", "level", "reasons", "spans", "outbound")


def explain(
    text: Annotated[str | None, typer.Argument(help="The request; - reads stdin.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Whose private context counts.")] = None,
    config: ConfigOption = None,
    route: RouteOption = None,
    level: LevelOption = None,
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
) -> None:
    """Show route, reasons, private spans and the exact outbound body of a request. Nothing is sent or kept.

    With --jsonl each line brings its own context, which is held in memory only.
    """
    from cogenesis_langchain.state import RouterContext

    options: dict[str, Any] = {"route": route, "level": level, "label": label, "dry_run": True}
    if jsonl is not None:
        if to is None or text is not None:
            raise InputError("--jsonl IN goes with --out OUT and without TEXT")
        _many(load_engine(config), jsonl, to, options)
        return
    if text is None or not user:
        raise InputError("explain needs TEXT and --user, or --jsonl IN --out OUT")
    engine = load_engine(config)
    try:
        found = _dry_run(engine, read_text(text), RouterContext(user_id=user, **options))
    finally:
        engine.close()
    if as_json:
        print_json(found)
    else:
        _show(found)


def _dry_run(engine: Any, instruction: str, context: Any) -> dict[str, Any]:
    from cogenesis_langchain.graph import create_privacy_router

    return record(create_privacy_router(engine=engine).invoke(instruction, context=context))


def _show(found: dict[str, Any]) -> None:
    out.print(
        f"route  {found['route']}" + (f", level {found['level']}" if found["level"] else ""), style="bold"
    )
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


def _many(engine: Any, source: Path, target: Path, options: dict[str, Any]) -> None:
    """One dry run per line; the output appears whole or, after an error or Ctrl-C, not at all."""
    from rich.progress import track

    from cogenesis_langchain.state import RouterContext
    from cogenesis_langchain.store import MemoryStore

    requests = list(_requests(source))
    part = target.with_name(target.name + ".part")
    try:
        with os.fdopen(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            for number, request in enumerate(track(requests, description="explaining", console=err)):
                store = MemoryStore(request["context"], engine.embedder, values_of=engine.values_of)
                context = RouterContext(user_id=f"line-{number}", **options)
                found = _dry_run(engine.with_store(store), request["instruction"], context)
                line = {"id": request["id"], **{name: found[name] for name in _KEPT}}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
        engine.close()


def _requests(source: Path) -> Iterator[dict[str, Any]]:
    """Lines as {"id", "instruction", "context": [ContextItem]}. InputError names the line, never its text."""
    try:
        lines = source.read_bytes().decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: no UTF-8 text (byte {error.start}); convert it first") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            instruction = row["instruction"]
            items = [ContextItem(item["type"], item["text"]) for item in row.get("context", [])]
            good = isinstance(instruction, str) and all(
                item.type in CONTEXT_TYPES and isinstance(item.text, str) for item in items
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            good = False
        if not good:
            raise InputError(
                f'{source}, line {number}: needs {{"id", "instruction", "context": [{{"type", "text"}}]}} '
                f"with type one of {', '.join(CONTEXT_TYPES)}"
            )
        yield {"id": row.get("id", number), "instruction": instruction, "context": items}
