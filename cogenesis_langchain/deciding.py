"""The decision by what is known now, the caps of the ledger included; made again before a send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cogenesis_langchain import route as routing
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.request import NOT_SENT, Request, why
from cogenesis_langchain.state import RouterContext, strays
from cogenesis_langchain.telling import asked
from cogenesis_langchain.types import Decision, Level, Route, Signals, Step

EVERYTHING = frozenset(Route)
_LOCAL = Step(Route.LOCAL)
_OF_STORE = frozenset(("spans", "entity", "known_values", "context_overlap"))
"""Signals of rules into which the user's store goes."""
_BY_RULE = "a rule of the policy counts what of the request is known of the user"
_NOT_ALLOWED = "the caller asks for form live, which the policy does not allow (fuse.live.allow): form draft"
_STRAYS = "the thread holds messages that no decision was about, so its text does not go out as it is: local"


def decide_now(request: Request, signals: Mapping[str, Any] | None = None) -> tuple[Decision, list[str]]:
    """The decision by what is known now (or by `signals`), and what the person is told without asking."""
    found, context = dict(request.state["signals"] if signals is None else signals), request.context
    context_known = bool(found.pop("context_known", False))
    entities = found.pop("entities", None)
    missing = _missing(request.engine, context) if "spans" in found else "detection failed"
    live = request.engine.config.fuse.live.allow
    facts = Signals(
        **found,
        entities=None if entities is None else frozenset(entities),
        user=request.user,
        tags=frozenset(context.tags),
        label=context.label,
    )
    decision = routing.decide(
        facts,
        request.engine.policy,
        context_known=context_known,
        floor=request.engine.vault.floor(request.scope),
        caller=_caller(context, live=live),
        capable=() if missing else EVERYTHING if live else EVERYTHING - {Route.LIVE},
    )
    if context.route == Route.LIVE and not live:
        decision = replace(decision, reasons=(*decision.reasons, _NOT_ALLOWED))
    if decision.step.route is Route.CLOUD and strays(request.state, context):
        reasons = (*decision.reasons, _STRAYS)
        decision = replace(decision, step=Step(Route.LOCAL), reasons=reasons, on_failure=())
    decision, told = _within_caps(request, decision)
    if missing and any("cannot run here" in reason for reason in decision.reasons):
        told.append(f"{missing}: nothing is sent")
    return decision, told


def settle(request: Request) -> tuple[Decision, dict[str, str | None], list[str]]:
    """The decision, what the ledger is to know of it (see `telling.asked`), and what the person is told.

    Where a rule made it more private because of the user's store, that is a veto, and is recorded.
    """
    decision, told = decide_now(request)
    book = asked(decision.step)
    try:
        first = _without_store(request, decision.step)
        if first.route.sends and first.rank < decision.step.rank:
            book = asked(first)
            place = {"route": first.route.value, "level": book["level"], "asked": book}
            wished = Request(request.engine, {**request.state, **place}, request.context)  # type: ignore[typeddict-item]
            wished.vetoed(_BY_RULE, decision.step)
    except NOT_SENT as error:
        told = [*told, f"{why(error)}: {_LOCAL}"]
        decision = replace(decision, step=max(decision.step, _LOCAL, key=lambda step: step.rank), ask=False)
    return decision, book, told


def _without_store(request: Request, step: Step) -> Step:
    """Where the rules would send the request of somebody in whose store nothing of it is found."""
    signals, engine = request.state["signals"], request.engine
    known = signals.get("known_values") or 0
    overlaps = (0.0, 1.0) if "context_overlap" in signals else ()
    if not (known or overlaps) or not routing.needed_signals(engine.policy) & _OF_STORE:
        return step
    if known:
        texts = enumerate(request.texts())
        spans = [
            one
            for n, text in texts
            for one in engine.allowed.keep(text, request.detector.detect(text, message=n))
        ]
        entities = sorted({span.type for span in spans})
        signals = signals | {"spans": len(spans), "entities": entities, "known_values": 0}
    ways = [signals | {"context_overlap": overlap} for overlap in overlaps] or [signals]
    return min((decide_now(request, way)[0].step for way in ways), key=lambda one: one.rank)


def _within_caps(request: Request, decision: Decision) -> tuple[Decision, list[str]]:
    """The first step that still fits: as decided, a lower level, what the rule names next; else local.

    And what to tell of it. How much is left depends on what the provider has seen, and on vetoes, which
    were charged.
    """
    first = decision.step
    if not first.route.sends:
        return decision, []
    lower = [Step(first.route, level) for level in Level] if first.route in routing.LEVELLED else []
    ahead = [step for step in (*lower, *decision.on_failure, _LOCAL) if step.rank > first.rank]
    reason = ""
    try:
        for step in [first, *sorted(dict.fromkeys(ahead), key=lambda step: step.rank)]:
            over = request.over_cap(step) if step.route.sends else ""
            reason = reason or over
            if not over:
                break
    except NOT_SENT as error:
        step, reason = _LOCAL, why(error)
    if step == first:
        return decision, []
    told = f"{reason}: {step}"
    moved = replace(
        decision,
        step=step,
        reasons=(*decision.reasons, told),
        ask=decision.ask and step.route.sends,
        on_failure=tuple(later for later in decision.on_failure if later.rank > step.rank),
    )
    return moved, [told]


def _missing(engine: Engine, context: RouterContext) -> str:
    """Why nothing can be sent at all; empty where something can, or where nothing will be anyway."""
    settings = engine.config.models.cloud
    if not engine.has_cloud:
        return "no cloud model is configured"
    variable = settings.missing_variable if settings else None
    builds_only = context.dry_run or engine.policy.observe
    return f"environment variable {variable} is not set" if variable and not builds_only else ""


def _caller(context: RouterContext, *, live: bool) -> Step | None:
    """What the calling code asks for. A level without a route is a wish for the level alone.

    Form live, where the policy does not allow it, is a wish for form draft; it never tells more than the
    topic, since its bits are counted.
    """
    if not (context.route or context.level):
        return None
    route = Route(context.route or Route.CLOUD)
    route = Route.FUSE if route is Route.LIVE and not live else route
    level = Level(context.level) if context.level else None
    return Step(route, Level.TOPIC if route is Route.LIVE and level is Level.FREE else level)
