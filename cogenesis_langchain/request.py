"""One request as the nodes see it: the texts behind the handles, and the moves to the right."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime

from cogenesis_langchain import route as routing
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import (
    AuditError,
    ConfigError,
    DetectorError,
    GateError,
    StoreError,
)
from cogenesis_langchain.interning import stored_message, text_of
from cogenesis_langchain.known import KnownValues
from cogenesis_langchain.state import RouterContext, RouterState, RunContext
from cogenesis_langchain.types import Decision, Level, Outbound, Route, Signals, Step
from cogenesis_langchain.writer import Prompt
from cogenesis_langchain.writer_prompt import writing_prompt

Update = dict[str, Any]
EARLIER_TURNS = 6
SKETCH_ROOM = 400  # tokens of n_ctx kept free for a sketch of 15 points


Run = Runtime[RunContext]
EVERYTHING = frozenset(Route)
NOT_SENT = (AuditError, ConfigError, DetectorError, GateError, StoreError, OSError)
"""What breaks before or instead of a send: the request stays local."""


class Request:
    """Reads state through the vault. `context.user_id` and `context.thread` are the vault's scope."""

    def __init__(self, engine: Engine, state: RouterState, context: RunContext) -> None:
        self.engine = engine
        self.state = state
        self.context = context
        self.user = str(context.user_id)
        self.scope = (self.user, context.thread)

    # --- reading -----------------------------------------------------------------------------------

    @cached_property
    def _messages(self) -> list[BaseMessage]:
        return [stored_message(message, self.engine.vault, self.scope) for message in self.state["messages"]]

    def messages(self) -> list[BaseMessage]:
        """The thread as it came in; read from the vault once."""
        return self._messages

    def texts(self) -> list[str]:
        """The text of every message; span offsets count in these."""
        return [text_of(message) for message in self.messages()]

    def instruction(self) -> str:
        """The text of the last human message: what is asked for now."""
        messages = self.messages()
        human = [message for message in messages if isinstance(message, HumanMessage)]
        return text_of((human or messages)[-1])

    def supplied(self) -> str:
        """What the person wrote, whose links may stay."""
        return "\n".join(text_of(m) for m in self.messages() if isinstance(m, HumanMessage))

    def recalled(self) -> dict[str, list[Any]]:
        """What `recall` read: texts under profile, device and note; (title, text) under writing."""
        handle = self.state["context"]
        found: dict[str, list[Any]] = json.loads(self.engine.vault.get(self.scope, handle)) if handle else {}
        return found

    def keep(self, value: Any) -> str:
        """Puts JSON-like private data into the vault; returns its handle."""
        return self.engine.vault.put(self.scope, json.dumps(value, ensure_ascii=False))

    def known(self) -> KnownValues:
        """The matcher of this user's known values."""
        return self.engine.known(self.user)

    def step(self) -> Step:
        """Where the request stands now."""
        return as_step(self.state["route"], self.state["level"])

    def prompt(self, sketch: str | None) -> Prompt:
        """The writer's prompt. Everything before the sketch is the same with and without one."""
        recalled, messages = self.recalled(), self.messages()
        asked = self.instruction()
        earlier = [
            f"{role_of(message)}: {text_of(message)}" for message in messages if text_of(message) != asked
        ]
        local = self.engine.config.models.local
        return writing_prompt(
            profile=recalled.get("profile", []),
            writings=[(title, text) for title, text in recalled.get("writing", [])],
            other=[*recalled.get("device", []), *recalled.get("note", []), *earlier[-EARLIER_TURNS:]],
            instruction=asked,
            sketch=sketch,
            budget_tokens=local.n_ctx - local.max_tokens - SKETCH_ROOM,
            count=self.engine.writer.count,
        )

    # --- moving ------------------------------------------------------------------------------------

    def prepared(self, outbound: Outbound) -> Update:
        """Keeps the exact bytes in the vault. In observe mode that is the end of it."""
        handle = self.engine.vault.put(self.scope, outbound.body)
        entry = {"id": uuid4().hex, "endpoint": outbound.endpoint, "body": handle, "sha256": outbound.sha256}
        update: Update = {"outbound": [*self.state["outbound"], entry]}
        if self.engine.policy.observe and not self.context.dry_run:
            update |= self.stay(f"observe mode: {self.step()} was decided and built, and nothing is sent")
        return update

    def stay(self, reason: str, step: Step | None = None) -> Update:
        """Moves to `step` (default local), for this run and this thread, and says why."""
        step = step or Step(Route.LOCAL)
        if not self.context.dry_run:
            self.engine.vault.raise_floor(self.scope, step)
        return {
            "route": step.route.value,
            "level": step.level.value if step.level else None,
            "ask": self.state["ask"] and step.route.sends,
            "reasons": [*self.state["reasons"], reason],
            "warnings": [*self.state["warnings"], reason],
        }

    def after_failure(self, reason: str, *, cloud_works: bool = True) -> Update:
        """Moves to what the rule's `on_failure` names next, and to local in the end.

        Where the cloud itself failed, the steps that would ask it again are passed over.
        """
        ahead = tuple(as_step(route, level) for route, level in self.state["on_failure"])
        ahead = tuple(step for step in ahead if cloud_works or not step.route.sends)
        current = self.step()
        return self.stay(reason, routing.after_failure(Decision(current, (), on_failure=ahead), current))


class Warming:
    """Reads the person's context into the local model while the cloud drafts."""

    def __init__(self, request: Request) -> None:
        self._cancel = request.context.cancel
        self._writer, self._scope = request.engine.writer, request.user
        self._prompt = request.prompt(sketch="")

    def start(self) -> None:
        """Returns at once. A failure here is met again, and reported, when the text is written.

        No daemon thread: Python would free the model under it at exit, which aborts the process. The run's
        end sets `cancel`, so exit waits for one chunk at most.
        """
        threading.Thread(target=self._run, daemon=False, name="cogenesis-warming").start()

    def _run(self) -> None:
        try:
            self._writer.warm(self._prompt, scope=self._scope, cancel=self._cancel)
        except Exception:
            return


def as_step(route: str | None, level: str | None) -> Step:
    """State's two strings as a Step."""
    return Step(Route(route or "local"), Level(level) if level else None)


def role_of(message: BaseMessage) -> Literal["system", "user", "assistant"]:
    """OpenAI's role name of a message. Tool results travel as the user's text."""
    if isinstance(message, SystemMessage):
        return "system"
    return "assistant" if isinstance(message, AIMessage) else "user"


def turns(messages: Sequence[BaseMessage]) -> int:
    """How often the person has spoken in this thread, this time included."""
    return sum(isinstance(message, HumanMessage) for message in messages)


# --- deciding, also again before a send -----------------------------------------------------------


def decide_now(request: Request) -> tuple[Decision, str]:
    """The decision by what is known now, and why nothing could be sent at all (empty where it could)."""
    found, context = dict(request.state["signals"]), request.context
    context_known = bool(found.pop("context_known", False))
    entities = found.pop("entities", None)
    missing = _missing(request.engine, context) if "spans" in found else "detection failed"
    signals = Signals(
        **found,
        entities=None if entities is None else frozenset(entities),
        user=request.user,
        tags=frozenset(context.tags),
        label=context.label,
    )
    decision = routing.decide(
        signals,
        request.engine.policy,
        context_known=context_known,
        floor=request.engine.vault.floor(request.scope),
        caller=_caller(context),
        capable=() if missing else EVERYTHING,
    )
    return decision, missing


def _missing(engine: Engine, context: RouterContext) -> str:
    """Why nothing can be sent at all; empty where something can, or where nothing will be anyway."""
    settings = engine.config.models.cloud
    if not engine.has_cloud:
        return "no cloud model is configured"
    variable = settings.missing_variable if settings else None
    builds_only = context.dry_run or engine.policy.observe
    return f"environment variable {variable} is not set" if variable and not builds_only else ""


def _caller(context: RouterContext) -> Step | None:
    """What the calling code asks for. A level without a route is a wish for the level alone."""
    if not (context.route or context.level):
        return None
    return Step(Route(context.route or Route.CLOUD), Level(context.level) if context.level else None)


@contextmanager
def clock(timings: dict[str, float], name: str) -> Iterator[None]:
    """Adds the milliseconds of its body to `timings[name]`."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        timings[name] = timings.get(name, 0.0) + (time.perf_counter() - begun) * 1000


def why(error: BaseException) -> str:
    """Our errors never carry the user's text; an operating-system error may name a path, so only its kind."""
    return f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else str(error)
