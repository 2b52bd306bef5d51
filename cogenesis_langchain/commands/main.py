"""`cogenesis`: write as yourself with a large cloud model that never learns who you are."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from cogenesis_langchain.commands import (
    bench,
    context,
    demo,
    doctor,
    eval,
    explain,
    ledger,
    models,
    policy,
    receipts,
    train,
    vocabulary,
    write,
)
from cogenesis_langchain.commands.common import err, report
from cogenesis_langchain.errors import CoGenesisError

INTERRUPTED = 130

app = typer.Typer(
    name="cogenesis",
    help="Write as yourself with a large cloud model that never learns who you are.\n\n"
    "Start with `cogenesis demo`. Then `cogenesis context add --user me mails.mbox`, "
    "`cogenesis explain --user me TEXT` (contacts no cloud), `cogenesis write --user me TEXT`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would print the user's text
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("write")(write.write)
app.command("explain")(explain.explain)
app.add_typer(context.app, name="context")
app.add_typer(models.app, name="models")
app.command("receipts")(receipts.receipts)
app.add_typer(ledger.app, name="ledger")
app.add_typer(policy.app, name="policy")
app.add_typer(vocabulary.app, name="vocabulary")
app.command("doctor")(doctor.doctor)
app.add_typer(eval.app, name="eval")
app.add_typer(bench.app, name="bench")
app.add_typer(train.app, name="train")


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"cogenesis-langchain {version('cogenesis-langchain')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Runs the command. An error is one line and an exit code.

    2 input or policy, 3 local model, 4 store, 5 receipts, 6 gate or blocked, 7 cloud, 130 Ctrl-C, else 1.
    """
    try:
        app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer has caught the KeyboardInterrupt
            err.print("\nstopped; nothing further is sent or written", style="yellow")
        raise
    except (CoGenesisError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # `cogenesis ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        sys.exit(report(error, as_json="--json" in sys.argv))
    except Exception as error:
        # Its message may quote the user's text, so it is not shown; the place is enough to find the fault.
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = CoGenesisError(
            f"a fault of this program: {type(error).__name__} in {Path(place.filename).name}, "
            f"line {place.lineno}; please report it, with the command but not your text"
        )
        sys.exit(report(fault, as_json="--json" in sys.argv))


if __name__ == "__main__":
    main()
