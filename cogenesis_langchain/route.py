"""(signals, policy, thread label) -> Decision. Pure.

Whatever follows a rule's own step only moves right, towards more private: the thread's floor, the
caller's wish, a route that cannot run, a failure. Reasons name rules and signals, never their values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from cogenesis_langchain.logic import holds, names, satisfiable, unknown
from cogenesis_langchain.types import (
    Decision,
    Level,
    Match,
    Not,
    Policy,
    Route,
    Rule,
    Signals,
    Step,
)

LOCAL = Step(Route.LOCAL)
LEVELLED = (Route.SKETCH, Route.FUSE, Route.LIVE)
"""Routes that tell a generic task."""

_IS_PUBLIC = Match("label", ("public",))

Capable = Callable[[Step], bool] | Collection[Route]


def decide(
    signals: Signals,
    policy: Policy,
    *,
    context_known: bool,
    floor: Step | None = None,
    caller: Step | None = None,
    capable: Capable | None = None,
) -> Decision:
    """Where a request goes, and why.

    Args:
        signals: facts about the request; None is unknown, and a rule that needs it means local.
        policy: the rules; the highest priority that matches wins.
        context_known: whether the user is known and their store holds anything; if not, local.
        floor: the most private step of this thread so far.
        caller: what the calling code asks for; may tighten, never loosen, and choose between routes that
            are equally private. A level on a route that has none counts for itself: at most so much may be
            told, so `mask` and `cloud` become `sketch`.
        capable: what can run at all, as a set of routes or a test of one step. Local always can.
    """
    reasons: list[str] = []
    rule, step = _matching(signals, policy, reasons)
    step = _guarded(step, signals, context_known, reasons)
    if floor is not None and floor.rank > step.rank:
        reasons.append(f"this thread has been at {floor} and stays there")
        step = floor
    if caller is not None:
        step = _tightened(step, _wish(caller, step), reasons)
    step = _levelled(step)
    ahead = tuple(_ahead(rule.on_failure, step)) if rule else ()
    while capable is not None and step.route.sends and not _can(step, capable):
        following = _next(ahead, step)
        reasons.append(f"{step} cannot run here: {following}")
        step = following
    return Decision(
        step=step,
        reasons=tuple(reasons),
        rule=rule.name if rule else None,
        ask=bool(rule and rule.ask and step.route.sends),
        on_failure=tuple(_ahead(ahead, step)),
    )


def after_failure(decision: Decision, current: Step) -> Step:
    """The step after `current` failed: never leftwards, and local in the end (block stays block)."""
    return _next(decision.on_failure, current)


def needed_signals(policy: Policy) -> frozenset[str]:
    """Names of the signals that some rule reads: what need not be computed is not."""
    return frozenset(name for rule in policy.rules for name in names(rule.when))


def _matching(signals: Signals, policy: Policy, reasons: list[str]) -> tuple[Rule | None, Step]:
    # Ties are errors of `problems`; a policy built in code that has one gets the more private rule.
    for rule in sorted(policy.rules, key=lambda rule: (rule.priority, rule.step.rank), reverse=True):
        matches = holds(rule.when, signals)
        if matches is None:
            missing = ", ".join(unknown(rule.when, signals)) or "a signal"
            reasons.append(f"rule '{rule.name}' needs {missing}, which is not known: local")
            return None, LOCAL
        if matches:
            read = ", ".join(dict.fromkeys(names(rule.when)))
            reasons.append(f"rule '{rule.name}' (priority {rule.priority}) matches on {read}: {rule.step}")
            return rule, rule.step
    reasons.append(f"no rule matches: default {policy.default}")
    if policy.default.route is Route.CLOUD:
        reasons.append("cloud needs an explicit rule: local")
        return None, LOCAL
    return None, policy.default


def _guarded(step: Step, signals: Signals, context_known: bool, reasons: list[str]) -> Step:
    """What holds whatever a rule says."""
    if step.route.sends and not context_known:
        reasons.append("the user is unknown or has no context, so nothing could be checked: local")
        return LOCAL
    if step.route is Route.CLOUD and signals.label != "public":
        reasons.append("cloud sends the text itself, which the caller did not label public: local")
        return LOCAL
    return step


def _wish(caller: Step, step: Step) -> Step:
    """What the caller asks for as one step on the scale."""
    if caller.level is None or caller.route in LEVELLED:
        return caller
    told = Step(step.route if step.route in LEVELLED else Route.SKETCH, caller.level)
    return told if told.rank > caller.rank else Step(caller.route)


def _tightened(step: Step, wish: Step, reasons: list[str]) -> Step:
    if wish.route is not step.route and Step(wish.route).rank == Step(step.route).rank:
        reasons.append(f"the caller asks for {wish.route}, which is as private as {step.route}")
        step = Step(wish.route, step.level)
    if wish.rank > step.rank:
        reasons.append(f"the caller asks for {wish}, which is more private than {step}")
        return wish if wish.level or wish.route not in LEVELLED else Step(wish.route, step.level)
    if wish.rank < step.rank and not (wish.route is step.route and wish.level is None):
        reasons.append(f"the caller asks for {wish}, which is less private: stays {step}")
    return step


def _levelled(step: Step) -> Step:
    return Step(step.route, Level.TOPIC) if step.route in LEVELLED and step.level is None else step


def _can(step: Step, capable: Capable) -> bool:
    return capable(step) if callable(capable) else step.route in capable


def _ahead(steps: tuple[Step, ...], current: Step) -> Iterator[Step]:
    """What is left of a fallback chain, once the run stands at `current`."""
    for step in map(_levelled, steps):
        if step != current and step.rank >= current.rank:
            yield step


def _next(chain: tuple[Step, ...], current: Step) -> Step:
    if current.rank >= LOCAL.rank:
        return current
    done = chain.index(current) + 1 if current in chain else 0
    return next(_ahead(chain[done:], current), LOCAL)


# --- What is wrong with a policy before any request comes ----------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of one rule (None: of the default). `key` is its path within the rule."""

    rule: str | None
    message: str
    key: tuple[str | int, ...] = ()


def problems(policy: Policy) -> list[Problem]:
    """Ties, unreachable rules, fallbacks that move left, and a default that sends the text itself."""
    found: list[Problem] = []
    if policy.default.route is Route.CLOUD:
        found.append(Problem(None, "cloud needs an explicit rule; the default may be mask or more private"))
    ordered = sorted(policy.rules, key=lambda rule: -rule.priority)
    for position, rule in enumerate(ordered):
        above = ordered[:position]
        tied = next((other for other in above if other.priority == rule.priority), None)
        if tied:
            message = f"rule '{tied.name}' has the same priority {rule.priority}; give each its own"
            found.append(Problem(rule.name, message, ("priority",)))
        found += _unreachable(rule, [other for other in above if other is not tied])
        found += _left_turns(rule)
    return found


def sends_unlabelled(rule: Rule) -> bool:
    """Whether a cloud rule can match a text that the caller did not label public (it then runs local)."""
    return rule.step.route is Route.CLOUD and satisfiable([rule.when, Not(_IS_PUBLIC)])


def _unreachable(rule: Rule, above: list[Rule]) -> Iterator[Problem]:
    if satisfiable([rule.when, *(Not(other.when) for other in above)]):
        return
    if not satisfiable([rule.when]):
        message = "can never match: its conditions contradict each other"
    elif covers := next((other for other in above if not satisfiable([rule.when, Not(other.when)])), None):
        message = f"can never be reached: rule '{covers.name}' (priority {covers.priority}) matches first"
    else:
        message = "can never be reached: one of the rules above always matches first"
    yield Problem(rule.name, message, ("rules",))


def _left_turns(rule: Rule) -> Iterator[Problem]:
    previous = _levelled(rule.step)
    for index, step in enumerate(map(_levelled, rule.on_failure)):
        if step.rank < previous.rank or step == previous:
            message = f"{step} is not more private than {previous}; on_failure only moves right"
            yield Problem(rule.name, message, ("on_failure", index))
        previous = step
