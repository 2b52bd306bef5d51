"""`cogenesis policy check|schema`: the policy file before it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cogenesis_langchain.errors import ConfigError

app = typer.Typer(help="Check a policy file, or print its JSON Schema.", no_args_is_help=True)

_File = Annotated[str | None, typer.Argument(help="A policy file or preset:NAME; by default your own.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def check(file: _File = None, as_json: _Json = False) -> None:
    """Name every fault of a policy file with file, line and key. Exit code 2 where there is one.

    An `api_key` whose environment variable is not set is a fault here, for presets too.
    """
    from cogenesis_langchain.config import load

    try:
        config = load(file, require_keys=True)
    except ConfigError as error:
        faults = str(error).splitlines()
        _say({"ok": False, "errors": faults, "warnings": []}, as_json, [f"error: {line}" for line in faults])
        raise typer.Exit(error.exit_code) from None
    policy = config.policy()
    lines = [f"warning: {config.source}: {warning}" for warning in config.warnings]
    lines += [f"{rule.priority:>6}  {rule.name}: {rule.step}" for rule in policy.rules]
    lines += [f"{'else':>6}  {policy.default}", f"{config.source}: valid"]
    report = {
        "ok": True,
        "source": config.source,
        "errors": [],
        "warnings": list(config.warnings),
        "rules": [{"name": r.name, "priority": r.priority, "step": str(r.step)} for r in policy.rules],
        "default": str(policy.default),
    }
    _say(report, as_json, lines)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead.")] = None,
    as_json: _Json = False,  # noqa: ARG001  (the schema is JSON either way; every command takes the option)
) -> None:
    """Print the JSON Schema of the policy file, for editors."""
    from cogenesis_langchain.config import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or type(error).__name__}") from None
    typer.echo(f"{out}: written. In a policy file: # yaml-language-server: $schema={out}")


def _say(report: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    typer.echo(json.dumps(report, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))
