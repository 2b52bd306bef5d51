"""`cogenesis receipts`: what left this machine, byte for byte, and whether the log of it is whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    load_engine,
    named,
    out,
    print_json,
)
from cogenesis_langchain.errors import AuditError

if TYPE_CHECKING:
    from cogenesis_langchain.audit import Entry, VerifyReport


def receipts(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the whole chain; exit code 5 where it is broken.")
    ] = False,
    user: Annotated[
        str | None, typer.Option("--user", "-u", callback=named, help="Only this user's receipts.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The last so many.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was sent to a cloud, with the exact bodies, and what was stopped at the gate.

    `sent` reached the cloud, `failed` and `refused` did not leave, `unresolved` may have left. `observed` is
    what observe mode built and kept here, and why the gate would have stopped it.
    """
    audit = load_engine(config).audit
    sent, refused = audit.receipts(user, limit), audit.refusals(user, limit)
    observed = audit.observations(user, limit)
    report: VerifyReport | None = audit.verify() if verify else None
    if as_json:
        document: dict[str, Any] = {
            "receipts": [entry.as_dict() for entry in sent],
            "refusals": [entry.as_dict() for entry in refused],
            "observed": [entry.as_dict() for entry in observed],
        }
        print_json(document | ({"verify": report.as_dict()} if report else {}))
    else:
        _show(sent, [*refused, *observed], report)
    if report is not None and not report.ok:
        raise typer.Exit(AuditError.exit_code)


def _show(sent: list[Entry], kept: list[Entry], report: VerifyReport | None) -> None:
    if not sent:
        out.print("Nothing has left this machine.", markup=False)
    for entry in sent:
        receipt = entry.receipt
        told = "unbounded" if receipt.bits is None else f"at most {receipt.bits:.1f} bits"
        step = f"{receipt.route}:{receipt.level}" if receipt.level else receipt.route
        out.print(f"{receipt.time}  {receipt.status}  {step}  {told}  {receipt.endpoint}", markup=False)
        key = f"key {entry.key[:8]}" if entry.key else "no key"
        shown = f"  id {receipt.id}  attempt {entry.attempt}  {key}  sha256 {receipt.body_sha256}"
        out.print(shown, markup=False)
        sys.stdout.write(
            "  (body erased, or without its key)\n\n" if entry.body is None else f"{_shown(entry.body)}\n\n"
        )
    for entry in kept:
        kinds = ", ".join(sorted({span.type for span in entry.spans}))
        why = f"{entry.reason} ({kinds})" if kinds else entry.reason or "would have been sent"
        receipt = entry.receipt
        out.print(f"{receipt.time}  {receipt.status}  {receipt.route}  {why}: nothing left", markup=False)
    if report is not None:
        for problem in report.problems:
            out.print(f"broken: {problem}", style="bold red", markup=False)
        verdict = "whole" if report.ok else "not whole: do not rely on it, and see who could write there"
        out.print(f"The log of {report.rows} rows is {verdict}. Head: {report.head}", markup=False)


def _shown(body: str) -> str:
    """The body as it went; on a terminal, characters that would steer it appear as JSON escapes."""
    if not sys.stdout.isatty():
        return body
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in body)
