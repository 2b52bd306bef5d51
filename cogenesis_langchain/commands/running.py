"""Runs the router for a command: events for a screen, one record for machines."""

from __future__ import annotations

import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cogenesis_langchain.commands.common import err, write_file
from cogenesis_langchain.errors import InputError

FIELDS = (
    "route",
    "level",
    "reasons",
    "spans",
    "outbound",
    "sketch",
    "text",
    "timings",
    "receipts",
    "warnings",
)
TIMINGS = (
    "detect_ms",
    "recall_ms",
    "generalize_ms",
    "cloud_ms",
    "first_token_ms",
    "total_ms",
    "tokens_per_s",
)
STAGES = {
    "detect": "reading your context",
    "recall": "choosing words for the task",
    "generalize": "deciding",
    "sketch": "waiting for the cloud's sketch",
    "fuse": "waiting for the cloud's draft",
    "live": "writing beside the cloud",
    "mask": "waiting for the cloud",
    "cloud": "waiting for the cloud",
    "send": "writing",
}
"""What happens after each node."""


def record(state: dict[str, Any]) -> dict[str, Any]:
    """The JSON of `demo`, `write` and `explain`; every field is always there."""
    found = {name: state.get(name) for name in FIELDS}
    found["outbound"] = [{"endpoint": o["endpoint"], "body": o["body"]} for o in state.get("outbound") or []]
    timings = state.get("timings") or {}
    found["timings"] = {name: timings.get(name) for name in TIMINGS}
    if found["text"] is None and state.get("route") == "block" and len(state.get("messages") or []) > 1:
        found["text"] = state["messages"][-1].text
    return found


def write_trace(path: Path, state: dict[str, Any], asked: str) -> bool:
    """Makes the page of who decided each token, and says on stderr what came of it.

    False where no file can be made there: the text is written by now, and must not be lost for its page.
    """
    from cogenesis_langchain.commands.trace_page import page
    from cogenesis_langchain.fusion.records import read_traces

    tokens = read_traces(state.get("trace"))
    if not tokens:
        err.print(f"no {path}: the text is not of route fuse", style="dim", markup=False)
        return True
    try:
        write_file(path, page(record(state), tokens, asked=asked))
    except (InputError, OSError) as error:
        why = error if isinstance(error, InputError) else f"{path}: {error.strerror}"
        err.print(f"no page of who decided each token: {why}", style="yellow", markup=False)
        return False
    err.print(f"who decided each token: {path}", style="dim", markup=False)
    return True


def placed(found: dict[str, Any]) -> str:
    """Route and level of a record in words; what no number of bits bounds is named."""
    if not found["level"]:
        return str(found["route"])
    unbounded = " (unbounded: words of the local model's own)" if found["level"] == "free" else ""
    return f"{found['route']}, level {found['level']}{unbounded}"


class Listener:
    """What a screen may want to show, as it happens; each method may be overridden."""

    def stage(self, name: str) -> None:
        """The next step begins."""

    def node(self, name: str, update: dict[str, Any]) -> None:
        """A node has returned."""

    def token(self, text: str) -> None:
        """A piece of the final text."""

    def approve(self, shown: dict[str, Any]) -> bool:
        """Whether these bytes may go; asked only where the policy says `ask`."""
        return ask_person(shown)


def run(router: Any, instruction: str, context: Any, listener: Listener) -> dict[str, Any]:
    """One request through the router, told to `listener` as it happens; returns the final state."""
    with _stopping_at_once(router.engine):
        return _run(router, instruction, context, listener)


@contextmanager
def _stopping_at_once(engine: Any) -> Iterator[None]:
    """Ctrl-C ends the local model's loop too: LangGraph waits for the node, which runs in another thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_signal: Any) -> None:
        engine.stop()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run(router: Any, instruction: str, context: Any, listener: Listener) -> dict[str, Any]:
    from langchain_core.messages import AIMessageChunk
    from langgraph.types import Command

    given: Any = {"messages": [{"role": "user", "content": instruction}]}
    config = {"configurable": {"thread_id": uuid.uuid4().hex}} if router.checkpointer else None
    state: dict[str, Any] = {}
    listener.stage("looking for private words")
    while True:
        question: dict[str, Any] | None = None
        modes = ["updates", "messages", "values"]
        for mode, chunk in router.stream(given, config, context=context, stream_mode=modes):
            if mode == "values":
                state = chunk
            elif mode == "messages":
                if isinstance(chunk[0], AIMessageChunk) and chunk[0].text:
                    listener.token(chunk[0].text)
            elif "__interrupt__" in chunk:
                question = chunk["__interrupt__"][0].value
            else:
                for name, update in chunk.items():
                    listener.node(name, update or {})
                    if name in STAGES:
                        listener.stage(STAGES[name])
        if question is None:
            return state
        answer = {"approve": listener.approve(question), "sha256": question["sha256"]}
        given = Command(resume=answer)


def needs_approval(engine: Any) -> bool:
    """Whether some rule asks first, so that the router needs a checkpointer."""
    return any(rule.ask for rule in engine.policy.rules)


def router_for(engine: Any) -> Any:
    """A router over `engine`; with an in-memory checkpointer where the policy may ask."""
    from langgraph.checkpoint.memory import InMemorySaver

    from cogenesis_langchain.graph import create_privacy_router

    return create_privacy_router(
        engine=engine, checkpointer=InMemorySaver() if needs_approval(engine) else None
    )


def ask_person(shown: dict[str, Any]) -> bool:
    """Shows the exact bytes on stderr and waits for yes or no; without a terminal the answer is no."""
    err.print(f"\nTo {shown['endpoint']}, exactly these bytes (SHA-256 {shown['sha256']}):", markup=False)
    err.print(shown["body"], markup=False)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        err.print("no terminal to ask on, so nothing is sent", style="yellow")
        return False
    err.print("Send them? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
