"""`cogenesis demo`: a shipped fictional person asks for an invitation, and you see every byte that leaves."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from cogenesis_langchain.commands.common import (
    ConfigOption,
    FormOption,
    JsonOption,
    RouteOption,
    TraceOption,
    check_target,
    err,
    in_form,
    load_engine,
    out,
    print_json,
)
from cogenesis_langchain.commands.running import TIMINGS, Listener, record, router_for, run, write_trace
from cogenesis_langchain.errors import ConfigError, InputError
from cogenesis_langchain.fusion.records import read_drafts
from cogenesis_langchain.types import Route

PERSON_FILES = ("profile.json", "writings.jsonl", "device.jsonl")
TRACE_FILE = "cogenesis-trace.html"
STAND_IN_MODEL = "qwen2.5-coder-1.5b-instruct"


def person_dir() -> Path:
    """The folder of the shipped fictional person: profile, writings, device records, request."""
    return Path(str(resources.files("cogenesis_langchain") / "demo_person"))


def demo_request() -> dict[str, str]:
    """The fictional person's user id and instruction."""
    found: dict[str, str] = json.loads((person_dir() / "request.json").read_text(encoding="utf-8"))
    return found


def demo_policy(route: Route | None, base_url: str, store: Path, api_key: Any = None) -> dict[str, Any]:
    """The policy of the demo: one rule, one cloud, a store of its own."""
    cloud: dict[str, Any] = {
        "provider": "openai_compatible",
        "model": STAND_IN_MODEL,
        "base_url": base_url,
        "api_key": api_key,
        "timeout_s": 300,  # the stand-in that is always there gives three tokens a second with candidates
    }
    action: dict[str, Any] = {"route": (route or Route.SKETCH).value}
    fuse = {"draft_tokens": 120, "live": {"allow": route is Route.LIVE}}  # nobody is given away by it
    if route is Route.CLOUD:
        rules: dict[str, Any] = {"all": [{"label": "public"}]}
    else:
        rules = {"all": [{"length": {"gt": 0}}]}
    return {
        "version": 1,
        "models": {"cloud": cloud},
        "store": {"path": str(store), "keys": "file"},  # no key of a demo outlives it
        "fuse": fuse,
        "routing": {"decisions": [{"name": "demo", "priority": 1, "rules": rules, "action": action}]},
    }


def demo(
    as_json: JsonOption = False,
    cloud: Annotated[
        bool, typer.Option("--cloud", help="Ask the cloud model of your policy file instead of a stand-in.")
    ] = False,
    route: RouteOption = None,
    form: FormOption = None,
    trace: TraceOption = None,
    config: ConfigOption = None,
) -> None:
    """Run the main job once with a fictional person, and show what was private and what left.

    The cloud is a stand-in: another process on this machine. With --cloud it is the one in your policy file.
    With --route fuse both models write, and a page of who decided each token is made (--trace says where).
    """
    if config and not cloud:
        raise InputError("--config goes with --cloud: the stand-in has a policy of its own")
    route = in_form(route, form)
    if trace is None and route in (Route.FUSE, Route.LIVE):
        trace = Path(TRACE_FILE)
    if trace is not None:
        check_target(trace)
    screen = _Demo(quiet=as_json)
    request = demo_request()
    with ExitStack() as stack:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cogenesis-demo-")))
        engine, where = stack.enter_context(_engine(cloud, route, config, store, screen))
        stack.callback(engine.close)
        screen.asked(request["instruction"], where)
        screen.status("reading the fictional person's context")
        engine.warm_in_background()  # the model reads its fixed frame while the context is taken in
        _add_person(engine, request["user"])
        screen.values(engine.known(request["user"]))
        state = _run(engine, request, route, cloud, screen)
        found = record(state)
        screen.end(found)
        if as_json:
            print_json({"instruction": request["instruction"], "cloud": where, **found})
        if trace is not None and not write_trace(trace, state, request["instruction"]):
            raise typer.Exit(InputError.exit_code)


@contextmanager
def _engine(
    cloud: bool, route: Route | None, config: str | None, store: Path, screen: _Demo
) -> Iterator[Any]:
    """The engine, and where its cloud is. A stand-in lives as long as this context."""
    from cogenesis_langchain.config import load
    from cogenesis_langchain.engine import Engine

    if cloud:
        own = load_engine(config, require_keys=True).config
        if own.models.cloud is None:
            raise ConfigError(f"{own.source} names no cloud model; add models.cloud or leave out --cloud")
        kept = own.store.model_copy(update={"path": store, "server": None, "keys": "file", "keys_path": None})
        yield Engine(own.model_copy(update={"store": kept})), own.models.cloud.base_url
        return
    from pydantic import SecretStr

    from cogenesis_langchain.devserver import stand_in_cloud

    screen.status("starting the stand-in cloud in a process of its own")
    with stand_in_cloud(STAND_IN_MODEL) as server:
        where = f"{server.base_url} (stand-in, {server.engine}, process {server.pid})"
        key = SecretStr(server.api_key) if server.api_key else None
        yield Engine(load(demo_policy(route, server.base_url, store, key))), where


def _add_person(engine: Any, user: str) -> None:
    from cogenesis_langchain.ingest import read_items

    items = list(read_items([person_dir() / name for name in PERSON_FILES]))
    engine.store.add(user, items, values_of=engine.values_of)


def _run(
    engine: Any, request: dict[str, str], route: Route | None, cloud: bool, screen: _Demo
) -> dict[str, Any]:
    from cogenesis_langchain.state import RouterContext

    label = "public" if route is Route.CLOUD else None
    context = RouterContext(user_id=request["user"], route=route if cloud else None, label=label)
    try:
        return run(router_for(engine), request["instruction"], context, screen)
    finally:
        screen.stop()


class _Demo(Listener):
    """The demo's screen: asked, private, decided, sent, sketched, written, receipt."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._spinner = err.status("starting", spinner="dots")
        self._spinner.start()
        self._instruction = ""
        self._writing = False

    def stop(self) -> None:
        self._spinner.stop()

    def status(self, name: str) -> None:
        self._spinner.update(name)

    stage = status

    def _show(self, title: str, body: Any) -> None:
        if not self._quiet:
            out.print(Panel(body, title=title, title_align="left", border_style="dim"), soft_wrap=False)

    def asked(self, instruction: str, where: str) -> None:
        self._instruction = instruction
        cloud = f"The cloud of this run: {where}. "
        cloud += "It is no real cloud: nothing leaves this computer." if "stand-in" in where else ""
        self._show("Asked by a fictional person", Text(f"{instruction}\n\n{cloud}"))

    def values(self, known: Any) -> None:
        self._show("Known values that must never leave", Text(f"{len(known)} found in profile and context"))

    def node(self, name: str, update: dict[str, Any]) -> None:
        if name == "detect":
            text = Text(self._instruction)
            found = []
            for span in update.get("spans", []):
                text.stylize("bold reverse", span["start"], span["end"])
                found.append(f"{span['type']}: {self._instruction[span['start'] : span['end']]}")
            text.append("\n\n" + ("\n".join(found) or "nothing was recognised"))
            self._show("Private in it", text)
        elif name == "decide":
            head = f"route {update['route']}" + (f", level {update['level']}" if update["level"] else "")
            self._show("Decision", Text("\n".join([head, *(f"- {reason}" for reason in update["reasons"])])))
        elif name in ("sketch", "fuse", "live", "mask", "cloud") and update.get("outbound"):
            leaving = update["outbound"][-1]
            self._show(f"Exactly these bytes leave, to {leaving['endpoint']}", Text(leaving["body"]))
        elif name == "send" and update.get("sketch"):
            points = "\n".join(f"{i}. {p}" for i, p in enumerate(update["sketch"], 1))
            self._show("The sketch that came back", Text(points))
        elif name == "send" and update.get("drafts"):
            drafts = [one.text.decode("utf-8", "replace") for one in read_drafts(update["drafts"])]
            self._show("The draft that came back, by somebody who knows nothing", Text("\n\n".join(drafts)))
        if name == "send" and update.get("warnings"):
            self._show("The cloud did not help", Text(update["warnings"][-1]))

    def token(self, text: str) -> None:
        if self._quiet:
            return
        self._spinner.stop()
        if not self._writing:
            self._writing = True
            out.print("\nThe text, as the local model writes it:\n", style="bold")
        sys.stdout.write(text)
        sys.stdout.flush()

    def end(self, found: dict[str, Any]) -> None:
        if self._quiet:
            return
        out.print("\n")
        if found["route"] == Route.LIVE and len(found["outbound"]) > 1:
            number, last = len(found["outbound"]), found["outbound"][-1]["body"]
            self._show(f"The last of {number} bodies that left while it was written", Text(last))
        for receipt in found["receipts"]:
            bits = "unbounded" if receipt["bits"] is None else f"at most {receipt['bits']:.1f} bits"
            line = f"{receipt['id']}  {receipt['status']}  tells {bits}  SHA-256 {receipt['body_sha256']}"
            self._show("Receipt", Text(line))
        if not found["receipts"]:
            self._show("Receipt", Text("none: nothing was sent"))
        times = [f"{name} {found['timings'][name]}" for name in TIMINGS if found["timings"][name] is not None]
        self._show("Timings", Text("  ".join(times)))
