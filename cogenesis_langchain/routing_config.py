"""The `routing:` section, and what it says as a `Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, WithJsonSchema, model_validator

from cogenesis_langchain import rules
from cogenesis_langchain.faults import Fault, KeyPath
from cogenesis_langchain.route import LEVELLED, problems
from cogenesis_langchain.rules import Closed
from cogenesis_langchain.sections import Name, Section
from cogenesis_langchain.types import Level, Policy, Route, Rule, Step

_DECISIONS: KeyPath = ("routing", "decisions")


def _check_level(route: Route, level: Level | None) -> None:
    if level is not None and route not in LEVELLED:
        raise ValueError(f"route {route} has no level; level belongs to sketch and fuse")


class ActionConfig(Section):
    """Where a request goes. `level` is for sketch and fuse (default topic)."""

    route: Route
    level: Level | None = None
    ask: bool = False
    """Show the outbound bodies first and wait for approval."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _check_level(self.route, self.level)
        if self.ask and not self.route.sends:
            raise ValueError(f"route {self.route} sends nothing, so there is nothing to ask")
        return self


class FallbackConfig(Section):
    """One step of `on_failure`: another route, or the same route at a more private level."""

    route: Route | None = None
    level: Level | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.route is None and self.level is None:
            raise ValueError("needs route or level")
        return self


class DefaultConfig(Section):
    """What happens where no rule matches."""

    route: Route = Route.LOCAL
    level: Level | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _check_level(self.route, self.level)
        return self


class DecisionConfig(Section):
    """One rule; the highest priority that matches wins. `rules` is read by `rules.parse`."""

    name: Name
    priority: int
    rules: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(repr=False)
    """One condition; see `rules.py` for the grammar."""
    action: ActionConfig
    on_failure: tuple[FallbackConfig, ...] = ()


class RoutingConfig(Section):
    """The rules, and what holds where none matches."""

    default: DefaultConfig = DefaultConfig()
    decisions: tuple[DecisionConfig, ...] = ()


def read_policy(
    routing: RoutingConfig, *, observe: bool = False, closed: Closed | None = None
) -> tuple[Policy, list[Fault]]:
    """The rules, highest priority first, and every fault in them: grammar, names, ties, reach, left turns."""
    faults: list[Fault] = []
    read: list[Rule] = []
    at: dict[str, int] = {}
    for index, decision in enumerate(routing.decisions):
        if decision.name in at:
            faults.append(Fault((*_DECISIONS, index, "name"), f"'{decision.name}' stands twice; rename one"))
        at.setdefault(decision.name, index)
        rule = _rule(decision, (*_DECISIONS, index), closed, faults)
        read += [rule] if rule else []
    default = routing.default
    policy = Policy(
        rules=tuple(sorted(read, key=lambda rule: -rule.priority)),
        default=_step(default.route, default.level),
        observe=observe,
    )
    if not faults:
        for problem in problems(policy):
            rule_path = (*_DECISIONS, at[problem.rule]) if problem.rule else ("routing", "default")
            faults.append(Fault((*rule_path, *problem.key), problem.message))
    return policy, faults


def rule_faults(data: Any, closed: Closed | None = None) -> list[Fault]:
    """Faults of `rules:` in a file that is otherwise too broken to be read."""
    routing = data.get("routing") if isinstance(data, Mapping) else None
    decisions = routing.get("decisions") if isinstance(routing, Mapping) else None
    return [
        fault
        for index, decision in enumerate(decisions if isinstance(decisions, list | tuple) else ())
        if isinstance(decision, Mapping) and decision.get("rules") is not None
        for fault in rules.parse(decision["rules"], (*_DECISIONS, index, "rules"), closed)[1]
    ]


def _rule(decision: DecisionConfig, path: KeyPath, closed: Closed | None, faults: list[Fault]) -> Rule | None:
    condition, found = rules.parse(decision.rules, (*path, "rules"), closed)
    faults += found
    steps = [_step(decision.action.route, decision.action.level)]
    for number, fallback in enumerate(decision.on_failure):
        route = fallback.route or steps[-1].route
        if fallback.level is not None and route not in LEVELLED:
            message = f"route {route} has no level; level belongs to sketch and fuse"
            faults.append(Fault((*path, "on_failure", number, "level"), message))
        steps.append(_step(route, fallback.level or steps[-1].level))
    if condition is None:
        return None
    return Rule(
        name=decision.name,
        priority=decision.priority,
        when=condition,
        step=steps[0],
        ask=decision.action.ask,
        on_failure=tuple(steps[1:]),
    )


def _step(route: Route, level: Level | None) -> Step:
    """A level that is left out is `topic`; routes that tell no generic task have none."""
    return Step(route, (level or Level.TOPIC) if route in LEVELLED else None)
