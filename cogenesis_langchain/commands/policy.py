"""`cogenesis policy check|schema|test`: the policy file before it is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cogenesis_langchain.commands.common import err, out, print_json, print_table
from cogenesis_langchain.errors import ConfigError

if TYPE_CHECKING:
    from cogenesis_langchain.commands.policy_cases import Outcome

app = typer.Typer(
    help="Check a policy file, test it on cases, or print its JSON Schema.", no_args_is_help=True
)


class Tier(StrEnum):
    """How hard to look."""

    FAST = "fast"
    BALANCED = "balanced"
    THOROUGH = "thorough"


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


@app.command("test")
def try_cases(
    file: Annotated[str, typer.Argument(help="A policy file or preset:NAME.")],
    cases: Annotated[Path, typer.Argument(help="A YAML file of cases; see examples/policy_cases.yaml.")],
    tier: Annotated[
        Tier | None,
        typer.Option("--tier", help="Look with another tier than the policy's; fast needs no model."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Try requests on a policy: where each must go, and what must not stand in the bytes. For your own CI.

    Every case is a dry run with a context of its own, held in memory; the gate looks at the bytes as it
    would before a send. No cloud is contacted and no key is needed. Exit code 1 where a case fails.

    A file of one case, whose context is what the user has stored:

    `cases: [{name: a card stays, user: me, input: "My card is 4111 1111 1111 1111", context: [{type: note,
    text: "..."}], expect: {route: local}, forbid: ["4111 1111 1111 1111"]}]`
    """
    from rich.progress import track

    from cogenesis_langchain.commands.policy_cases import read_cases, run_case
    from cogenesis_langchain.config import load
    from cogenesis_langchain.engine import Engine

    read = read_cases(cases)
    config = load(file, require_keys=False)
    if tier is not None:
        privacy = config.privacy.model_copy(update={"tier": tier.value})
        config = config.model_copy(update={"privacy": privacy})
    engine = Engine(config)
    try:
        steps = track(read, description="testing", console=err, transient=True, disable=not err.is_terminal)
        outcomes = [run_case(engine, case) for case in steps]
    finally:
        engine.close()
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    if as_json:
        print_json({"ok": not failed, "cases": [outcome.as_dict() for outcome in outcomes]})
    else:
        _show_outcomes(outcomes)
        out.print(f"{len(outcomes) - failed} of {len(outcomes)} cases as expected")
    if failed:
        raise typer.Exit(1)


def _show_outcomes(outcomes: Sequence[Outcome]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("case", "goes to", "leaves", "result"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        result = "; ".join(outcome.failures) or "ok"
        table.add_row(*map(Text, (outcome.name, outcome.step, "yes" if outcome.sends else "no", result)))
        if outcome.failures:
            for reason in outcome.reasons:
                table.add_row("", "", "", Text(f"- {reason}", style="dim"))
    print_table(table)


def _say(report: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    typer.echo(json.dumps(report, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))
