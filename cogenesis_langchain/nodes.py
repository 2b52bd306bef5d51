"""Thin nodes: read state, call one room, return an update. Every failure moves right.

The order of the methods is the order of a request. A node never raises for a broken detector, store,
receipt book or cloud: it records why, and the request stays on this machine. It raises only where the
local model cannot write either.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from cogenesis_langchain import route as routing
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import (
    AuditError,
    CloudError,
    CoGenesisError,
    ConfigError,
    DetectorError,
    GateError,
    GateHit,
    ModelError,
    SketchError,
    StoreError,
    WriterError,
)
from cogenesis_langchain.generalize import generalize, task_sentence, veto
from cogenesis_langchain.interning import intern_message
from cogenesis_langchain.links import strip_links
from cogenesis_langchain.permit import Permit
from cogenesis_langchain.placeholders import StreamRestorer, hide, mask_messages
from cogenesis_langchain.preamble import without_preamble
from cogenesis_langchain.request import Request, Update, Warming, role_of, turns
from cogenesis_langchain.sketch import parse_sketch, sketch_messages
from cogenesis_langchain.state import (
    RUN_FIELDS,
    RouterContext,
    RouterState,
    RunContext,
    check_owner,
    owner_of,
)
from cogenesis_langchain.streaming import emit
from cogenesis_langchain.types import (
    ContextType,
    Decision,
    GenericTask,
    KnownValue,
    Level,
    Outbound,
    PrivateSpan,
    Receipt,
    Route,
    Sendable,
    Signals,
    Sketch,
    Step,
)

Run = Runtime[RunContext]
CHECKPOINTER = "__pregel_checkpointer"  # LangGraph's key in config["configurable"]
RECALL: dict[ContextType, int] = {"writing": 2, "device": 3, "note": 3}
"""How many items of each type are read for one request; the profile is read whole."""
_KIND_ONLY = "the topic is a known value of the user: only the kind is told"
_EVERYTHING = frozenset(Route)
NOT_SENT = (AuditError, ConfigError, DetectorError, GateError, StoreError, OSError)
"""What breaks before or instead of a send: the request stays local."""


class Nodes:
    """The nodes of one router, over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _request(self, state: RouterState, runtime: Run) -> Request:
        return Request(self.engine, state, runtime.context)

    # --- what is in the request --------------------------------------------------------------------

    def detect(self, state: RouterState, runtime: Run) -> Update:
        """Private spans in every message of the thread, known values included."""
        request, timings = self._request(state, runtime), dict[str, float]()
        check_owner(state, request.scope)
        texts = request.texts()
        signals: dict[str, Any] = {"length": sum(map(len, texts)), "turns": turns(state["messages"])}
        owner = owner_of(request.scope)
        update: Update = {**RUN_FIELDS, "owner": owner, "signals": signals, "timings": timings}
        with _clock(timings, "detect_ms"):
            try:
                known = request.known()
                spans = [
                    span
                    for number, text in enumerate(texts)
                    for span in self.engine.detector.detect(text, known=known, message=number)
                ]
            except (DetectorError, StoreError) as error:
                return update | {"warnings": [f"{error}; nothing is sent"]}
        signals["spans"] = len(spans)
        signals["known_values"] = sum(span.source == "known" for span in spans)
        signals["entities"] = sorted({span.type for span in spans})
        return update | {"spans": [span.as_dict() for span in spans]}

    def recall(self, state: RouterState, runtime: Run) -> Update:
        """The user's profile, and the writings, device records and notes nearest to the request."""
        request = self._request(state, runtime)
        timings, signals = dict(state["timings"]), dict(state["signals"])
        update: Update = {"timings": timings, "signals": signals}
        with _clock(timings, "recall_ms"):
            try:
                signals["context_known"] = self.engine.store.has(request.user)
                if signals["context_known"]:
                    update["context"] = request.keep(self._recalled(request))
                    if "context_overlap" in routing.needed_signals(self.engine.policy):
                        items = self.engine.store.list(request.user)
                        signals["context_overlap"] = _overlap(
                            request.instruction(), " ".join(item.text for item in items)
                        )
            except StoreError as error:
                signals["context_known"] = False
                update["warnings"] = [*state["warnings"], f"{error}; nothing is sent"]
        return update

    def _recalled(self, request: Request) -> dict[str, list[Any]]:
        store, query = self.engine.store, request.instruction()
        found: dict[str, list[Any]] = {"profile": [item.text for item in store.profile(request.user)]}
        for kind, k in RECALL.items():
            hits = store.search(request.user, query, k=k, types=(kind,))
            # By age, not by rank: an unchanged context then reads as the same tokens.
            items = sorted(hits, key=lambda item: (item.added, item.id))
            found[kind] = [(item.title, item.text) if kind == "writing" else item.text for item in items]
        return found

    def wants_task(self, state: RouterState, runtime: Run) -> bool:
        """Whether a rule reads kind or topic, or a route may need them; never for what cannot be sent."""
        signals, policy = state["signals"], self.engine.policy
        if not signals.get("context_known") or "spans" not in signals or not self.engine.has_cloud:
            return False
        caller = runtime.context.route
        if caller and not Route(caller).sends:
            return False
        steps = [policy.default, *(s for rule in policy.rules for s in (rule.step, *rule.on_failure))]
        reads = routing.needed_signals(policy) & {"kind", "topic"}
        return bool(reads) or any(step.route in (Route.SKETCH, Route.FUSE) for step in steps)

    def generalize(self, state: RouterState, runtime: Run) -> Update:
        """Kind and topic from the closed lists, from the current instruction alone."""
        timings, engine = dict(state["timings"]), self.engine
        try:
            with _clock(timings, "generalize_ms"):
                asked = self._request(state, runtime).instruction()
                task = generalize(asked, engine.vocabulary, engine.embedder, engine.writer)
        except (WriterError, ModelError) as error:  # the text may still be written, and here
            return {"timings": timings, "warnings": [*state["warnings"], f"{error}; nothing is sent"]}
        told = {"kind": task.kind, "topic": task.topic}
        signals = state["signals"] | {"kind": task.kind or "", "topic": task.topic or ""}
        return {"task": told, "signals": signals, "timings": timings}

    # --- the decision ------------------------------------------------------------------------------

    def decide(self, state: RouterState, runtime: Run) -> Update:
        """What the policy allows, never to the left of where this thread has been."""
        request = self._request(state, runtime)
        decision, missing = self._decision(request)
        warnings = list(state["warnings"])
        if missing and any("cannot run here" in reason for reason in decision.reasons):
            warnings.append(f"{missing}: nothing is sent")
        if state["signals"].get("context_known") is False and not warnings:
            warnings.append(
                "this user has no stored context, so nothing is sent; add some: cogenesis context add --user"
            )
        step = decision.step
        if not runtime.context.dry_run:
            self.engine.vault.raise_floor(request.scope, step)
        return {
            "route": step.route.value,
            "level": step.level.value if step.level else None,
            "rule": decision.rule,
            "ask": decision.ask,
            "reasons": list(decision.reasons),
            "warnings": warnings,
            "on_failure": [[s.route.value, s.level and s.level.value] for s in decision.on_failure],
        }

    def _decision(self, request: Request) -> tuple[Decision, str]:
        """The decision by what is known now, and why nothing could be sent at all (empty where it could)."""
        found, context = dict(request.state["signals"]), request.context
        context_known = bool(found.pop("context_known", False))
        entities = found.pop("entities", None)
        missing = self._missing(context) if "spans" in found else "detection failed"
        signals = Signals(
            **found,
            entities=None if entities is None else frozenset(entities),
            user=request.user,
            tags=frozenset(context.tags),
            label=context.label,
        )
        decision = routing.decide(
            signals,
            self.engine.policy,
            context_known=context_known,
            floor=self.engine.vault.floor(request.scope),
            caller=_caller(context),
            capable=() if missing else _EVERYTHING,
        )
        return decision, missing

    def _missing(self, context: RouterContext) -> str:
        """Why nothing can be sent at all; empty where something can, or where nothing will be anyway."""
        settings = self.engine.config.models.cloud
        if not self.engine.has_cloud:
            return "no cloud model is configured"
        variable = settings.missing_variable if settings else None
        builds_only = context.dry_run or self.engine.policy.observe
        return f"environment variable {variable} is not set" if variable and not builds_only else ""

    # --- what would leave, byte for byte -------------------------------------------------------------

    def sketch(self, state: RouterState, runtime: Run) -> Update:
        """The generic task as the body of one request for a sketch; the store may only veto."""
        request = self._request(state, runtime)
        told, level = state["task"], Level(state["level"] or Level.KIND)
        if told is None or told["kind"] is None:
            return request.stay("no kind of text was recognised: local")
        task = GenericTask(told["kind"], told["topic"])
        try:
            self.engine.writer.load()  # a sketch that nobody can write out need not be asked for
            step = veto(task, level, request.known(), self.engine.vocabulary)
            if step.route is not Route.SKETCH or step.level is None:
                why = "the words of the generic task are known values of the user: local"
                if not runtime.context.dry_run:
                    self.engine.audit.veto(route="local", level=None, user=request.user, reason=why)
                return request.stay(why)
            if step.level is not level and not runtime.context.dry_run:
                self.engine.audit.veto(
                    route="sketch", level=step.level.value, user=request.user, reason=_KIND_ONLY
                )
            sentence = task_sentence(task, step.level, self.engine.vocabulary)
            outbound = self.engine.cloud.prepare(sketch_messages(sentence))
        except NOT_SENT as error:
            return request.stay(_why(error))
        update = request.prepared(outbound)
        if step.level is not level and "route" not in update:
            update |= request.stay(_KIND_ONLY, step)
        return update

    def mask(self, state: RouterState, runtime: Run) -> Update:
        """The whole thread with every private span replaced by a placeholder."""
        request = self._request(state, runtime)
        spans = [PrivateSpan(**span) for span in state["spans"]]
        table = self.engine.vault.table(request.scope)
        try:
            hidden = [
                (role_of(message), (hide(text, [s for s in spans if s.message == number], table),))
                for number, (message, text) in enumerate(
                    zip(request.messages(), request.texts(), strict=True)
                )
            ]
            outbound = self.engine.cloud.prepare(mask_messages(hidden), stream=True)
        except NOT_SENT as error:
            return request.stay(_why(error))
        return request.prepared(outbound)

    def cloud(self, state: RouterState, runtime: Run) -> Update:
        """The thread as it is: an explicit rule allows it for text that the caller labelled public."""
        request = self._request(state, runtime)
        try:
            said = [
                (role_of(m), (Sendable(t, "public"),))
                for m, t in zip(request.messages(), request.texts(), strict=True)
            ]
            outbound = self.engine.cloud.prepare(said, stream=True)
        except NOT_SENT as error:
            return request.stay(_why(error))
        return request.prepared(outbound)

    def ask(self, state: RouterState, runtime: Run, config: RunnableConfig) -> Update:
        """Shows the person the exact bytes; the approval binds to their SHA-256."""
        request, shown = self._request(state, runtime), state["outbound"][-1]
        self.engine.vault.get(request.scope, shown["body"])  # only the owner of the bytes may answer for them
        if not config.get("configurable", {}).get(CHECKPOINTER):
            return request.stay("the policy asks first, which needs a checkpointer: local")
        answer = interrupt({"question": "Send exactly this to the cloud?", **shown})
        approved, approves = answer, shown["sha256"]
        if isinstance(answer, dict):
            approved, approves = answer.get("approve"), answer.get("sha256", approves)
        if approved is not True or approves != shown["sha256"]:
            return request.stay("the person did not approve these bytes: local")
        return {"ask": True}  # other bytes, after a failure, are asked for anew

    # --- sending and writing -------------------------------------------------------------------------

    def send(self, state: RouterState, runtime: Run, config: RunnableConfig) -> Update:
        """Sends exactly the prepared bytes. A failure moves right; the local model reads meanwhile."""
        request, timings = self._request(state, runtime), dict(state["timings"])
        shown = state["outbound"][-1]
        outbound = Outbound(shown["endpoint"], self.engine.vault.get(request.scope, shown["body"]))
        if reason := self._forbidden(request, shown["id"]):
            return request.stay(reason)
        told: list[Receipt] = []
        try:
            with _clock(timings, "cloud_ms"):
                permit = self._permit(request, outbound, told)
                if request.step().route is Route.SKETCH:
                    Warming(request).start()
                    points = parse_sketch(self.engine.cloud.send(outbound, permit)).points
                    update: Update = {"sketch": list(points)}
                else:
                    update = self._restored(request, config, outbound, permit, timings)
        except GateHit as hit:
            kinds = ", ".join(sorted({span.type for span in hit.spans})) or "a known value"
            on_hit = Step(Route(self.engine.config.privacy.gate.on_hit))
            update = request.stay(f"the gate found {kinds} in the last bytes and sent nothing", on_hit)
        except SketchError as error:
            update = request.after_failure(_why(error))
        except CloudError as error:
            update = request.after_failure(_why(error), cloud_works=False)
        except NOT_SENT as error:
            update = request.stay(_why(error))
        return update | {"timings": timings, "receipts": [*state["receipts"], *self._receipts(request, told)]}

    def _forbidden(self, request: Request, outbound_id: str) -> str:
        """Why the prepared bytes may not go after all: much may have happened since, a restart included."""
        if request.context.dry_run:
            return "a dry run sends nothing: local"
        now, _ = self._decision(request)
        if now.step.rank > request.step().rank:
            return f"meanwhile only {now.step} is allowed: local"
        if not self.engine.vault.spend(request.scope, outbound_id):
            return "these bytes were sent once already, and are not sent twice: local"
        return ""

    def _permit(self, request: Request, outbound: Outbound, told: list[Receipt]) -> Permit:
        step, known = request.step(), request.known()
        issued: frozenset[str] = frozenset()
        if step.route is Route.MASK:
            table = self.engine.vault.table(request.scope)
            issued = table.issued
            hidden = [KnownValue(value, "HIDDEN", "entity") for value in table.values()]
            known = self.engine.known(request.user, hidden)
        bits = self.engine.vocabulary.bits(step.level) if step.route is Route.SKETCH and step.level else None
        return Permit(
            body_sha256=outbound.sha256,
            endpoint=outbound.endpoint,
            known=known,
            detector=self.engine.detector,
            issued=issued,
            min_score=self.engine.config.privacy.gate.min_score,
            route=step.route.value,
            level=step.level.value if step.level else None,
            bits=bits,
            user=request.user,
            told=told.append,
        )

    def _receipts(self, request: Request, told: list[Receipt]) -> list[dict[str, Any]]:
        """The receipts of this send, one per attempt, with how each attempt ended."""
        if not told:
            return []
        try:
            entries = self.engine.audit.receipts(user=request.user, limit=64)
        except AuditError:
            entries = []
        ended = {entry.receipt.id: entry.receipt for entry in entries}
        return [ended.get(receipt.id, receipt).as_dict() for receipt in told]

    def _restored(
        self,
        request: Request,
        config: RunnableConfig,
        outbound: Outbound,
        permit: Permit,
        timings: dict[str, float],
    ) -> Update:
        """The cloud's own text, its placeholders restored as it streams (routes mask and cloud)."""
        restorer = StreamRestorer(self.engine.vault.table(request.scope))

        def pieces() -> Iterator[str]:
            for delta in self.engine.cloud.stream(outbound, permit):
                if text := restorer.feed(delta):
                    yield text
            if text := restorer.close():
                yield text

        return self._emit(request, strip_links(pieces(), request.supplied()), config, timings)

    def write(self, state: RouterState, runtime: Run, config: RunnableConfig) -> Update:
        """The final text by the local model, from sketch and private context, token by token."""
        request, timings = self._request(state, runtime), dict(state["timings"])
        local = self.engine.config.models.local
        tokens = self.engine.writer.write(
            request.prompt(Sketch(tuple(state["sketch"])).as_text() if state["sketch"] else None),
            scope=request.user,
            max_tokens=local.max_tokens,
            temperature=local.temperature,
            cancel=runtime.context.cancel,
        )
        made: list[float] = []
        pieces = strip_links(without_preamble(_stamped(tokens, made)), request.supplied())
        update = self._emit(request, pieces, config, timings)
        if len(made) > 1:  # counted where the model gives them: links and preambles are held back in between
            timings["tokens_per_s"] = (len(made) - 1) / max(made[-1] - made[0], 1e-9)
        return update

    def _emit(
        self, request: Request, pieces: Iterator[str], config: RunnableConfig, timings: dict[str, float]
    ) -> Update:
        """Streams `pieces` to whoever listens; the whole text goes into the vault."""
        first: list[float] = []

        def timed() -> Iterator[str]:
            for piece in pieces:
                if not first:
                    first.append(time.perf_counter())
                yield piece

        message_id = str(uuid.uuid4())
        prompt = str(request.state["messages"][-1].content)
        text = emit(timed(), handle=prompt, message_id=message_id, config=config)
        if first:
            timings["first_token_ms"] = (first[0] - request.context.started) * 1000
        vault = self.engine.vault
        message = intern_message(AIMessage(content=text, id=message_id), vault, request.scope)
        return {"messages": [message], "text": vault.put(request.scope, text), "timings": timings}

    def block(self, state: RouterState, runtime: Run) -> Update:
        """Nothing is sent and nothing is written; the answer says why."""
        del runtime
        why = f"Blocked by the policy: {state['reasons'][-1]}. Nothing was sent and nothing was written."
        return {"messages": [AIMessage(content=why, id=str(uuid.uuid4()))]}

    def finish(self, state: RouterState, runtime: Run) -> Update:
        """The run's total time; the router has been the only one to see the text."""
        timings = dict(state["timings"])
        timings["total_ms"] = (time.perf_counter() - runtime.context.started) * 1000
        return {"timings": {name: round(value, 2) for name, value in timings.items()}}


@contextmanager
def _clock(timings: dict[str, float], name: str) -> Iterator[None]:
    """Adds the milliseconds of its body to `timings[name]`."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        timings[name] = timings.get(name, 0.0) + (time.perf_counter() - begun) * 1000


def guarded(node: Callable[..., Update]) -> Callable[..., Update]:
    """The node with foreign exceptions told by their kind alone: their words may quote the user's text.

    LangGraph writes what a node raises into checkpoints and traces.
    """

    @functools.wraps(node)
    def run(*args: Any, **kwargs: Any) -> Update:
        try:
            return node(*args, **kwargs)
        except (CoGenesisError, GraphBubbleUp):
            raise
        except Exception as error:
            kind = type(error).__name__
        raise CoGenesisError(f"the step '{node.__name__}' failed ({kind}); nothing more was sent or written")

    return run


def _stamped(pieces: Iterator[str], times: list[float]) -> Iterator[str]:
    """`pieces`, with the moment of each in `times`; closes them when its reader stops."""
    try:
        for piece in pieces:
            times.append(time.perf_counter())
            yield piece
    finally:
        if close := getattr(pieces, "close", None):
            close()


def _caller(context: RouterContext) -> Step | None:
    """What the calling code asks for. A level without a route is a wish for the level alone."""
    if not (context.route or context.level):
        return None
    return Step(Route(context.route or Route.CLOUD), Level(context.level) if context.level else None)


def _why(error: BaseException) -> str:
    """Our errors never carry the user's text; an operating-system error may name a path, so only its kind."""
    return f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else str(error)


def _overlap(asked: str, stored: str) -> float:
    """Share of the request's content words (4 letters and more) that stand in the user's store, 0 to 1."""
    words = {word for word in asked.casefold().split() if len(word) > 3 and word.isalpha()}
    return len(words & set(stored.casefold().split())) / len(words) if words else 0.0
