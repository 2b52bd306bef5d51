"""`cogenesis write`: a text in the person's own voice."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    FormOption,
    JsonOption,
    LabelOption,
    LevelOption,
    RouteOption,
    TraceOption,
    UserOption,
    check_target,
    err,
    in_form,
    load_engine,
    print_json,
    read_text,
)
from cogenesis_langchain.commands.running import Listener, placed, record, router_for, run, write_trace
from cogenesis_langchain.errors import InputError

MAY_HAVE_LEFT = ("sent", "unresolved")
"""Receipts of what reached the cloud, or may have."""
ASKED = "the caller asks for"
"""How reasons begin that say what became of --route, --form and --level."""


class _Screen(Listener):
    """Stages as a spinner on stderr, the text on stdout as it is written."""

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._status = err.status("starting", spinner="dots")
        self._status.start()
        self.wrote = False

    def stage(self, name: str) -> None:
        self._status.update(name)

    def token(self, text: str) -> None:
        if not self._stream:
            return
        self._status.stop()
        self.wrote = True
        sys.stdout.write(text)
        sys.stdout.flush()

    def approve(self, shown: dict[str, Any]) -> bool:
        self._status.stop()
        return super().approve(shown)

    def close(self) -> None:
        self._status.stop()


def write(
    text: Annotated[str, typer.Argument(help="What to write, in your own words; - reads stdin.")],
    user: UserOption,
    config: ConfigOption = None,
    route: RouteOption = None,
    level: LevelOption = None,
    form: FormOption = None,
    label: LabelOption = None,
    trace: TraceOption = None,
    as_json: JsonOption = False,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Print the text at once at the end.")
    ] = False,
) -> None:
    """Write a text as USER: the cloud may sketch a generic task, the local model writes with your context.

    With --route fuse both models say what comes next at each word: the cloud in a draft of a generic task,
    the local model with your context.

    The text goes to stdout, everything else to stderr. To see first what would leave: `cogenesis explain`.
    """
    from cogenesis_langchain.state import RouterContext

    instruction = read_text(text)
    if not instruction.strip():
        raise InputError("the request is empty: say what should be written")
    meant = in_form(route, form)
    if trace is not None:
        check_target(trace)
    engine = load_engine(config)
    engine.warm_in_background()
    router = router_for(engine)
    screen = _Screen(stream=not (as_json or no_stream))
    try:
        context = RouterContext(user_id=user, route=meant, level=level, label=label)
        state = run(router, instruction, context, screen)
    finally:
        screen.close()
        engine.close()
    found = record(state)
    if as_json:
        print_json(found)
    else:
        sys.stdout.write("\n" if screen.wrote else f"{found['text']}\n")
        sys.stdout.flush()
        refused = meant is not None and found["route"] != meant
        unmet = [reason for reason in found["reasons"] if refused and reason.startswith(ASKED)]
        for warning in [*unmet, *found["warnings"]]:
            err.print(f"note: {warning}", style="yellow", markup=False)
        sent = sum(receipt["status"] in MAY_HAVE_LEFT for receipt in found["receipts"])
        where = "see `cogenesis receipts`" if sent else "nothing of it left this machine"
        err.print(f"route {placed(found)}; {sent} request(s) sent; {where}", style="dim", markup=False)
    paged = trace is None or write_trace(trace, state, instruction)
    if found["route"] == "block":
        raise typer.Exit(6)
    if not paged:
        raise typer.Exit(InputError.exit_code)
