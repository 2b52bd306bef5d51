"""One request as the nodes see it: the texts behind the handles, and the moves to the right."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from cogenesis_langchain import route as routing
from cogenesis_langchain.errors import (
    AuditError,
    CoGenesisError,
    ConfigError,
    DetectorError,
    GateError,
    GateHit,
    StoreError,
)
from cogenesis_langchain.gate.permit import Permit
from cogenesis_langchain.interning import by_others, role_of, stored_message, text_of
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.state import RunContext
from cogenesis_langchain.telling import Telling, as_step, asked
from cogenesis_langchain.types import Decision, KnownValue, Outbound, Receipt, Route, Step
from cogenesis_langchain.writer.parts import Prompt
from cogenesis_langchain.writer.prompt import writing_prompt

if TYPE_CHECKING:
    from cogenesis_langchain.detect.detector import Detector, Once

Update = dict[str, Any]
EARLIER_TURNS = 6
SKETCH_ROOM = 400  # tokens of n_ctx kept free for a sketch of 15 points


Run = Runtime[RunContext]
NOT_SENT = (AuditError, ConfigError, DetectorError, GateError, StoreError, OSError)
"""What breaks before or instead of a send: the request stays local."""


class Request(Telling):
    """Reads state through the vault. `context.user_id` and `context.thread` are the vault's scope."""

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
        """The text of the person's last message: what is asked for now."""
        messages = self.messages()
        human = [m for m in messages if isinstance(m, HumanMessage) and not by_others(m)]
        return text_of((human or messages)[-1])

    def supplied(self) -> str:
        """What the person wrote, whose links may stay."""
        own = (m for m in self.messages() if isinstance(m, HumanMessage) and not by_others(m))
        return "\n".join(map(text_of, own))

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

    @property
    def detector(self) -> Detector | Once:
        """The engine's detector, which reads no text twice in this run."""
        return self.engine.detector_of_a_run(self.context.seen)

    # --- moving ------------------------------------------------------------------------------------

    def prepared(self, outbound: Outbound, step: Step | None = None) -> Update:
        """Keeps the exact bytes in the vault, which are to go at `step` (default: where the request stands).

        Where nothing will be sent (dry run, observe mode) the gate looks at them now, and that is the end.
        """
        entry = self.entry(outbound)
        kept = {"outbound": [*self.state["outbound"], entry]}
        if not (self.context.dry_run or self.engine.policy.observe):
            return kept
        step = step or self.step()
        permit = self.permit(outbound, step)
        refusal = self._examined(outbound, permit)
        if refusal is not None:
            kept = {"stopped": [*self.state["stopped"], entry | stopped(refusal)]}
        if self.context.dry_run:
            return kept if refusal is None else kept | self.refused(refusal)
        return kept | self._observed(outbound, permit, step, refusal)

    def entry(self, outbound: Outbound) -> dict[str, Any]:
        """What the state keeps of bytes that may go: their place, their hash, and a handle."""
        handle = self.engine.vault.put(self.scope, outbound.body)
        return {"id": uuid4().hex, "endpoint": outbound.endpoint, "body": handle, "sha256": outbound.sha256}

    def _examined(self, outbound: Outbound, permit: Permit) -> CoGenesisError | OSError | None:
        """Why the gate would stop these bytes; None where it would not."""
        try:
            self.engine.cloud.examine(outbound, permit)
        except NOT_SENT as error:
            return error
        return None

    def _observed(
        self, outbound: Outbound, permit: Permit, step: Step, refusal: CoGenesisError | OSError | None
    ) -> Update:
        """Records what enforce mode would have done, and moves to local."""
        reason = None if refusal is None else why(refusal)
        would = "the gate would let it through" if reason is None else f"it would be stopped: {reason}"
        update = self.stay(f"observe mode: {step} was decided and built, and nothing is sent; {would}")
        try:
            receipt = self.engine.audit.observed(
                outbound,
                route=permit.route,
                level=permit.level,
                bits=permit.bits,
                user=permit.user,
                reason=reason,
                spans=refusal.spans if isinstance(refusal, GateHit) else (),
            )
        except AuditError as error:
            return update | {"warnings": [*update["warnings"], why(error)]}
        return update | {"receipts": [*self.state["receipts"], receipt.as_dict()]}

    def permit(self, outbound: Outbound, step: Step, told: Callable[[Receipt], None] | None = None) -> Permit:
        """Leave to send `outbound` at `step`; `told` hears of each intent."""
        issued: frozenset[str] = frozenset()
        hidden: list[KnownValue] = []
        trusted = step.route is Route.LIVE and self.trusted
        if step.route is Route.MASK:
            table = self.engine.vault.table(self.scope)
            issued = table.issued
            hidden = [KnownValue(value, "HIDDEN", "entity") for value in table.values()]
        return Permit(
            body_sha256=outbound.sha256,
            endpoint=outbound.endpoint,
            known=self.engine.known(self.user, hidden),
            detector=self.detector,
            issued=issued,
            route=step.route.value,
            level=step.level.value if step.level and not trusted else None,
            bits=self.bits(self.asked(step)),
            user=self.user,
            task=None if trusted else self.told(step),
            about=self.about,
            told=told,
            run=self.context.sends,
            trusted=trusted,
        )

    def refused(self, error: CoGenesisError | OSError) -> Update:
        """Where a request goes that the gate stops: a private value follows `on_hit`, all else is local."""
        if not isinstance(error, GateHit):
            return self.stay(why(error))
        kinds = ", ".join(sorted({span.type for span in error.spans})) or "a known value"
        on_hit = Step(Route(self.engine.cloud.rules.on_hit))
        return self.stay(f"the gate found {kinds} in the last bytes and sent nothing", on_hit)

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
        step = routing.after_failure(Decision(current, (), on_failure=ahead), current)
        return self.stay(reason, step) | {"asked": asked(step)}


def stopped(error: CoGenesisError | OSError) -> dict[str, Any]:
    """What the state says of a body that the gate stopped: why, and where in its texts (see `shape`)."""
    spans = error.spans if isinstance(error, GateHit) else ()
    return {"reason": why(error), "spans": [span.as_dict() for span in spans]}


def approval(outbound_id: str) -> str:
    """Under which name the vault notes that a person approved the prepared bytes."""
    return f"approved:{outbound_id}"


def turns(messages: Sequence[BaseMessage]) -> int:
    """How often the person has spoken in this thread, this time included."""
    return sum(isinstance(message, HumanMessage) for message in messages)


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
