"""Conditions on signals: do they hold, can they hold. Pure.

Truth has three values: a signal that is None is unknown, and so is a condition that hangs on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from cogenesis_langchain.types import All, Any_, Compare, Condition, Match, Not, Signals

SETS = {"entity": "entities", "tag": "tags"}
WORDS = ("kind", "topic", "user", "label")
COUNTS = ("spans", "known_values", "length", "turns")
NUMBERS = (*COUNTS, "context_overlap")
SIGNALS = (*SETS, *WORDS, *NUMBERS)
"""Names that rules may use; `entity` and `tag` may hold several values at once."""

_STEPS = 5_000
_Literal = tuple[Match | Compare, bool]


def holds(condition: Condition, signals: Signals) -> bool | None:
    """Whether `condition` holds; None where that hangs on a missing signal."""
    if isinstance(condition, Not):
        inner = holds(condition.condition, signals)
        return None if inner is None else not inner
    if isinstance(condition, All | Any_):
        decisive = isinstance(condition, Any_)
        parts = [holds(part, signals) for part in condition.conditions]
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    return _leaf(condition, signals)


def _leaf(leaf: Match | Compare, signals: Signals) -> bool | None:
    value = getattr(signals, SETS.get(leaf.signal, leaf.signal), None)
    if leaf.signal == "label" and value is None:
        return False if isinstance(leaf, Match) else None  # the caller set none: that is known
    if value is None:
        return None
    if isinstance(leaf, Match):
        return not value.isdisjoint(leaf.values) if leaf.signal in SETS else str(value) in leaf.values
    if leaf.signal not in NUMBERS or math.isnan(value):
        return None
    return (
        (leaf.gt is None or value > leaf.gt)
        and (leaf.gte is None or value >= leaf.gte)
        and (leaf.lt is None or value < leaf.lt)
        and (leaf.lte is None or value <= leaf.lte)
    )


def names(condition: Condition) -> Iterator[str]:
    """Signals that `condition` reads, in order, repeated as often as they stand there."""
    if isinstance(condition, Not):
        yield from names(condition.condition)
    elif isinstance(condition, All | Any_):
        for part in condition.conditions:
            yield from names(part)
    else:
        yield condition.signal


def unknown(condition: Condition, signals: Signals) -> tuple[str, ...]:
    """Signals that `condition` reads and that are missing, sorted."""
    missing = {
        name
        for name in names(condition)
        if name != "label" and getattr(signals, SETS.get(name, name), None) is None
    }
    return tuple(sorted(missing))


def satisfiable(conditions: Iterable[Condition]) -> bool:
    """Whether some request could meet all `conditions` at once.

    A tableau with a budget: False is a proof, True may also mean that the budget ran out.
    """
    stack: list[tuple[tuple[tuple[Condition, bool], ...], tuple[_Literal, ...]]]
    stack = [(tuple((condition, True) for condition in conditions), ())]
    for _ in range(_STEPS):
        if not stack:
            return False
        todo, facts = stack.pop()
        if not todo:
            return True
        (condition, wanted), rest = todo[0], todo[1:]
        if isinstance(condition, Not):
            stack.append((((condition.condition, not wanted), *rest), facts))
        elif isinstance(condition, All | Any_):
            parts = tuple((part, wanted) for part in condition.conditions)
            if isinstance(condition, All) == wanted:
                stack.append(((*parts, *rest), facts))
            else:
                stack.extend(((part, *rest), facts) for part in parts)
        elif isinstance(condition, Compare) and not wanted:
            stack.extend((((bound, True), *rest), facts) for bound in _outside(condition))
        elif _consistent(extended := (*facts, (condition, wanted)), condition.signal):
            stack.append((rest, extended))
    return True


def _outside(compare: Compare) -> Iterator[Compare]:
    """The ways to be out of bounds, one bound each."""
    if compare.gt is not None:
        yield Compare(compare.signal, lte=compare.gt)
    if compare.gte is not None:
        yield Compare(compare.signal, lt=compare.gte)
    if compare.lt is not None:
        yield Compare(compare.signal, gte=compare.lt)
    if compare.lte is not None:
        yield Compare(compare.signal, gt=compare.lte)


def _consistent(facts: tuple[_Literal, ...], signal: str) -> bool:
    """Whether one request can have all `facts` about `signal`."""
    about = [(fact, wanted) for fact, wanted in facts if fact.signal == signal]
    matches = [(set(fact.values), wanted) for fact, wanted in about if isinstance(fact, Match)]
    denied = {value for values, wanted in matches if not wanted for value in values}
    given = [values for values, wanted in matches if wanted]
    if signal in SETS:
        return all(values - denied for values in given)
    if given and not set.intersection(*given) - denied:
        return False
    return _interval([fact for fact, _ in about if isinstance(fact, Compare)], whole=signal in COUNTS)


def _interval(bounds: list[Compare], *, whole: bool) -> bool:
    """Whether a number (a count where `whole`, else a share from 0 to 1) can meet all bounds."""
    low, high = (0.0, False), (math.inf if whole else 1.0, False)  # (value, is it excluded)
    for bound in bounds:
        for value, excluded in ((bound.gt, True), (bound.gte, False)):
            if value is not None:
                low = max(low, (value, excluded))
        for value, excluded in ((bound.lt, True), (bound.lte, False)):
            if value is not None:
                high = min(high, (value, excluded), key=lambda pair: (pair[0], not pair[1]))
    if whole:
        least = math.floor(low[0]) + 1 if low[1] else math.ceil(low[0])
        return least < high[0] or (least == high[0] and not high[1])
    return low[0] < high[0] or (low[0] == high[0] and not (low[1] or high[1]))
