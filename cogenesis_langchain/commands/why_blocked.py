"""`cogenesis explain --why-blocked`: the private spans that keep a request here, and what would free it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cogenesis_langchain import route as routing
from cogenesis_langchain.commands.running import Listener
from cogenesis_langchain.gate.shape import parse
from cogenesis_langchain.interning import text_of
from cogenesis_langchain.known.matcher import SOURCE as KNOWN
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.types import Decision, Policy, PrivateSpan, Signals

if TYPE_CHECKING:
    from cogenesis_langchain.engine import Engine

State = Mapping[str, Any]

HIDDEN = "..."
"""What stands for a private stretch where the output is not the user's own terminal."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One span that keeps a request here: where, what, which check, and the stretch itself.

    `ignore` and `allow` are what the policy would have to name to let the stretch pass.
    """

    span: PrivateSpan
    check: str
    stretch: str = field(repr=False)
    ignore: tuple[str, ...] = field(default=(), repr=False)
    allow: tuple[str, ...] = field(default=(), repr=False)

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
            "allow": self._yaml(show=show),
        }

    def _yaml(self, *, show: bool) -> str:
        """One line of the policy file, in YAML's flow style."""
        lists = {"known_values: {ignore": self.ignore, "gate: {allow": self.allow}
        parts = [
            f"{key}: {json.dumps(texts if show else [HIDDEN], ensure_ascii=False)}}}"
            for key, texts in lists.items()
            if texts
        ]
        return f"privacy: {{{', '.join(parts)}}}"


class Watcher(Listener):
    """Keeps what the nodes found out on the way to their decision."""

    def __init__(self) -> None:
        self.signals: dict[str, Any] = {}

    def node(self, name: str, update: dict[str, Any]) -> None:  # noqa: ARG002  (of any node)
        """Each node's signals come with all those before."""
        self.signals |= update.get("signals") or {}


def blockers(engine: Engine, state: State, signals: State, context: RouterContext) -> list[Blocker]:
    """Every span that keeps a dry run further to the right than it would be without: by a rule, at the gate.

    `state` is the dry run's, `signals` those of its `Watcher`.
    """
    texts = [text_of(message) for message in state["messages"]]
    spans = [PrivateSpan(**span) for span in state["spans"]]
    found = [
        _blocker(engine, context, texts[span.message], span, check)
        for span, check in _by_rules(spans, signals, engine.policy, context)
    ]
    for stopped in state["stopped"]:
        *sent, around = (*parse(stopped["body"].encode()).texts, "")
        for span in (PrivateSpan(**span) for span in stopped["spans"]):
            kind = "a known value" if span.source == KNOWN else "the detector's finding"
            text = sent[span.message] if span.message < len(sent) else around
            found.append(_blocker(engine, context, text, span, f"the gate: {kind} in the last bytes"))
    return found


def _blocker(engine: Engine, context: RouterContext, text: str, span: PrivateSpan, check: str) -> Blocker:
    stretch = text[span.start : span.end]
    if span.source != KNOWN:
        return Blocker(span, check, stretch, allow=(stretch,))
    ignore = tuple(dict.fromkeys(_known_in(stretch, engine.known(str(context.user_id)))))
    alone = engine.allowed.keep(text, engine.detector.detect(text))
    under = [text[s.start : s.end] for s in alone if s.start < span.end and span.start < s.end]
    return Blocker(span, check, stretch, ignore, tuple(dict.fromkeys(under)))


def _known_in(stretch: str, known: KnownValues) -> Iterator[str]:
    """All that a policy must ignore to let the stretch pass: without the whole of a name its parts count."""
    ignored = [stretch]
    while ignored:
        yield from ignored
        known = KnownValues(known.values, min_length=known.min_length, ignore=(*known.ignore, *ignored))
        left = [stretch[span.start : span.end] for span in known.find(stretch)]
        ignored = [part for part in left if part not in ignored]


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
    def by(decision: Decision) -> str:
        return (
            f"{decision.step} by rule '{decision.rule}'" if decision.rule else f"{decision.step} by no rule"
        )

    return f"with it the policy chooses {by(with_it)}, without it {by(without)}"
