"""`cogenesis explain --why-blocked`: the private spans that keep a request here, and what would free it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cogenesis_langchain import route as routing
from cogenesis_langchain.commands.running import Listener
from cogenesis_langchain.interning import text_of
from cogenesis_langchain.known import SOURCE as KNOWN
from cogenesis_langchain.shape import parse
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.types import Decision, Policy, PrivateSpan, Signals

State = Mapping[str, Any]

HIDDEN = "..."
"""What stands for a private stretch where the output is not the user's own terminal."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One span that keeps a request here: where, what, which check, and the stretch itself."""

    span: PrivateSpan
    check: str
    stretch: str = field(repr=False)

    @property
    def allow(self) -> str:
        """The YAML that would let this stretch pass, for an eye that may see it."""
        return self._line(self.stretch)

    def as_dict(self, *, show: bool) -> dict[str, Any]:
        """JSON form; `show` says whether the stretch itself may stand in it."""
        return {
            "message": self.span.message,
            "start": self.span.start,
            "end": self.span.end,
            "type": self.span.type,
            "score": round(self.span.score, 3),
            "source": self.span.source,
            "check": self.check,
            "stretch": self.stretch if show else None,
            "allow": self._line(self.stretch if show else HIDDEN),
        }

    def _line(self, stretch: str) -> str:
        section, key = ("known_values", "ignore") if self.span.source == KNOWN else ("gate", "allow")
        return f"privacy: {{{section}: {{{key}: [{json.dumps(stretch, ensure_ascii=False)}]}}}}"


class Watcher(Listener):
    """Keeps what the nodes found out on the way to their decision."""

    def __init__(self) -> None:
        self.signals: dict[str, Any] = {}

    def node(self, name: str, update: dict[str, Any]) -> None:  # noqa: ARG002  (of any node)
        """Each node's signals come with all those before."""
        self.signals |= update.get("signals") or {}


def blockers(state: State, signals: State, policy: Policy, context: RouterContext) -> list[Blocker]:
    """Every span that keeps a dry run further to the right than it would be without: by a rule, at the gate.

    `state` is the dry run's, `signals` those of its `Watcher`, `context` its RouterContext.
    """
    texts = [text_of(message) for message in state["messages"]]
    spans = [PrivateSpan(**span) for span in state["spans"]]
    found = [
        Blocker(span, check, texts[span.message][span.start : span.end])
        for span, check in _by_rules(spans, signals, policy, context)
    ]
    for stopped in state["stopped"]:
        sent = parse(stopped["body"].encode()).texts
        for span in (PrivateSpan(**span) for span in stopped["spans"]):
            stretch = sent[span.message][span.start : span.end] if span.message < len(sent) else ""
            kind = "a known value" if span.source == KNOWN else "the detector's finding"
            found.append(Blocker(span, f"the gate: {kind} in the last bytes", stretch))
    return found


def _by_rules(
    spans: Sequence[PrivateSpan], signals: State, policy: Policy, context: RouterContext
) -> list[tuple[PrivateSpan, str]]:
    """Spans that move the decision to the right alone; all of them where only together they do."""

    def decided(left: Sequence[PrivateSpan]) -> Decision:
        return _decision(left, signals, policy, context)

    free, now = decided([]), decided(spans)
    alone = {_kind(span): decided([span]) for span in spans}
    guilty = [span for span in spans if alone[_kind(span)].step.rank > free.step.rank]
    if not guilty and now.step.rank > free.step.rank:
        guilty, alone = list(spans), dict.fromkeys(alone, now)
    return [(span, _check(alone[_kind(span)], free)) for span in guilty]


def _kind(span: PrivateSpan) -> tuple[str, bool]:
    """All of a span that a rule can see."""
    return span.type, span.source == KNOWN


def _decision(
    left: Sequence[PrivateSpan], signals: State, policy: Policy, context: RouterContext
) -> Decision:
    found = dict(signals)
    known = bool(found.pop("context_known", False))
    found |= {
        "entities": frozenset(span.type for span in left),
        "spans": len(left),
        "known_values": sum(span.source == KNOWN for span in left),
        "user": context.user_id,
        "tags": frozenset(context.tags),
        "label": context.label,
    }
    return routing.decide(Signals(**found), policy, context_known=known)


def _check(with_it: Decision, without: Decision) -> str:
    then = (
        f"rule '{without.rule}' would choose {without.step}"
        if without.rule
        else f"it would be {without.step}"
    )
    now = (
        f"rule '{with_it.rule}' chooses {with_it.step}"
        if with_it.rule
        else f"no rule matches: {with_it.step}"
    )
    return f"{now}; without it {then}"
