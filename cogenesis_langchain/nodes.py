"""Thin nodes: read state, call one room, return an update. Every failure moves right.

The order of the methods is the order of a request. A node never raises for a broken detector, store,
receipt book or cloud: it records why, and the request stays on this machine. It raises only where the
local model cannot write either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.types import interrupt

from cogenesis_langchain import route as routing
from cogenesis_langchain.bodies import generic
from cogenesis_langchain.deciding import decide_now, settle
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import (
    CoGenesisError,
    DetectorError,
    ModelError,
    StoreError,
    VaultError,
    WriterError,
)
from cogenesis_langchain.gate.remains import remains
from cogenesis_langchain.gate.shape import parse
from cogenesis_langchain.interning import by_others
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.masking import cloud_messages, prepare_masked
from cogenesis_langchain.request import (
    NOT_SENT,
    Request,
    Run,
    Update,
    approval,
    clock,
    turns,
    why,
)
from cogenesis_langchain.state import RUN_FIELDS, RouterState, check_owner, names
from cogenesis_langchain.types import ContextType, PrivateSpan, Route, Sendable

CHECKPOINTER = "__pregel_checkpointer"  # LangGraph's key in config["configurable"]
RECALL: dict[ContextType, int] = {"writing": 2, "device": 3, "note": 3}
"""How many items of each type are read for one request; the profile is read whole."""
_OF_OTHERS = "a text by others holds known values of the user outside its own masks: local"
_CUT = "of a known value that is cut over messages the masks leave a piece standing: local"


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
        owner = self.engine.vault.owner(request.scope)
        check_owner(state, owner)
        texts = request.texts()
        signals: dict[str, Any] = {"length": sum(map(len, texts)), "turns": turns(state["messages"])}
        update: Update = {**RUN_FIELDS, "owner": owner, "signals": signals, "timings": timings}
        with clock(timings, "detect_ms"):
            try:
                spans = self._spans(request)
            except (DetectorError, StoreError) as error:
                return update | {"warnings": [f"{error}; nothing is sent"]}
        signals["spans"] = len(spans)
        signals["known_values"] = sum(span.source == "known" for span in spans)
        signals["entities"] = sorted({span.type for span in spans})
        return update | {"spans": [span.as_dict() for span in spans]}

    def _spans(self, request: Request) -> list[PrivateSpan]:
        """Texts of others are read before the store is: in them known values only count, and mask nothing."""
        detect, texts = functools.partial(self._detect, request), request.texts()
        others = {n: detect(texts[n], message=n) for n, m in enumerate(request.messages()) if by_others(m)}
        known = request.known()
        return [
            span
            for n, text in enumerate(texts)
            for span in (
                (*others[n], *known.find(text, message=n))
                if n in others
                else detect(text, known=known, message=n)
            )
        ]

    def _detect(
        self, request: Request, text: str, *, known: KnownValues | None = None, message: int = 0
    ) -> list[PrivateSpan]:
        """What the detector finds and the policy does not call a false alarm."""
        return self.engine.allowed.keep(text, request.detector.detect(text, known=known, message=message))

    def recall(self, state: RouterState, runtime: Run) -> Update:
        """The user's profile, and the writings, device records and notes nearest to the request."""
        request = self._request(state, runtime)
        timings, signals = dict(state["timings"]), dict(state["signals"])
        update: Update = {"timings": timings, "signals": signals}
        with clock(timings, "recall_ms"):
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
        """Whether a rule reads kind or topic, or this request's route may; never for what cannot be sent."""
        signals, policy = state["signals"], self.engine.policy
        if not signals.get("context_known") or "spans" not in signals or not self.engine.has_cloud:
            return False
        caller = runtime.context.route
        if caller and not Route(caller).sends:
            return False
        if routing.needed_signals(policy) & {"kind", "topic"}:
            return True
        decision, _ = decide_now(self._request(state, runtime))
        return any(step.route in routing.LEVELLED for step in (decision.step, *decision.on_failure))

    def generalize(self, state: RouterState, runtime: Run) -> Update:
        """Kind and topic from the closed lists, from the current instruction alone."""
        timings = dict(state["timings"])
        try:
            with clock(timings, "generalize_ms"):
                task = self.engine.generic_task(self._request(state, runtime).instruction())
        except (WriterError, ModelError) as error:  # the text may still be written, and here
            return {"timings": timings, "warnings": [*state["warnings"], f"{error}; nothing is sent"]}
        told = {"kind": task.kind, "topic": task.topic}
        signals = state["signals"] | {"kind": task.kind or "", "topic": task.topic or ""}
        return {"task": told, "signals": signals, "timings": timings}

    # --- the decision ------------------------------------------------------------------------------

    def decide(self, state: RouterState, runtime: Run) -> Update:
        """What the policy allows, never to the left of where this thread has been."""
        request = self._request(state, runtime)
        decision, book, told = settle(request)
        warnings = [*state["warnings"], *told]
        if state["signals"].get("context_known") is False and not warnings:
            warnings.append(
                "this user has no stored context, so nothing is sent; add some: cogenesis context add --user"
            )
        step = decision.step
        placed: Update = {}
        if not runtime.context.dry_run:
            self.engine.vault.raise_floor(request.scope, step)
        if step.route is Route.CLOUD or not runtime.context.dry_run:
            placed = {"placed": names(request.state)}
        return placed | {
            "route": step.route.value,
            "level": step.level.value if step.level else None,
            "asked": book,
            "rule": decision.rule,
            "ask": decision.ask,
            "reasons": list(decision.reasons),
            "warnings": warnings,
            "on_failure": [[s.route.value, s.level and s.level.value] for s in decision.on_failure],
        }

    # --- what would leave, byte for byte -------------------------------------------------------------

    def generic(self, state: RouterState, runtime: Run) -> Update:
        """The generic task as the body that asks for a sketch or a draft, or begins form live."""
        return generic(self._request(state, runtime))

    def mask(self, state: RouterState, runtime: Run) -> Update:
        """The whole thread with placeholders; for texts of others the store may only veto."""
        request = self._request(state, runtime)
        try:
            outbound = prepare_masked(
                request.messages(),
                [PrivateSpan(**span) for span in state["spans"]],
                self.engine.vault.table(request.scope),
                prepare=functools.partial(self.engine.cloud.prepare, stream=True),
                look=functools.partial(self._detect, request),
                min_score=self.engine.cloud.rules.min_score,
            )
            _, *texts = parse(outbound.body.encode()).texts
            before, known = request.texts(), request.known()
            whole = "\n".join(before), "\n".join(texts)  # the gate reads it too, for whole values
            rows = zip(request.messages(), before, texts, strict=True)
            reason = ""
            if any(remains(known, b, a) for m, b, a in rows if by_others(m)):
                reason = _OF_OTHERS
            elif not known.hits(whole[1]) and remains(known, *whole):
                reason = _CUT
            if reason:
                request.vetoed(reason)
                return request.stay(reason)
        except (*NOT_SENT, VaultError) as error:
            return request.stay(why(error))
        return request.prepared(outbound)

    def cloud(self, state: RouterState, runtime: Run) -> Update:
        """The thread as it is: an explicit rule allows it for text that the caller labelled public."""
        request = self._request(state, runtime)
        try:
            said = cloud_messages(request.messages(), lambda _, text: Sendable(text, "public"))
            outbound = self.engine.cloud.prepare(said, stream=True)
        except NOT_SENT as error:
            return request.stay(why(error))
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
        self.engine.vault.spend(request.scope, approval(shown["id"]))
        return {"ask": True}  # other bytes, after a failure, are asked for anew


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


def _overlap(asked: str, stored: str) -> float:
    """Share of the request's content words (4 letters and more) that stand in the user's store, 0 to 1."""
    words = {word for word in asked.casefold().split() if len(word) > 3 and word.isalpha()}
    return len(words & set(stored.casefold().split())) / len(words) if words else 0.0
