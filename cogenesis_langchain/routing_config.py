"""The `routing:` section, and what it says as a `Policy`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator

from cogenesis_langchain import rules
from cogenesis_langchain.faults import Fault, KeyPath
from cogenesis_langchain.route import LEVELLED, problems
from cogenesis_langchain.rules import Closed
from cogenesis_langchain.sections import Name, Section
from cogenesis_langchain.types import Level, Policy, Route, Rule, Step

_DECISIONS: KeyPath = ("routing", "decisions")


_NO_LEVEL = "route {} has no level; level belongs to sketch and fuse"
_NO_FORM = "form belongs to route fuse"
_LIVE_FREE = "form live tells topic or kind; level free belongs to sketch and to form draft"
_LIVE_ASKS = "form live makes its bodies while it writes, so nobody can be asked first; use form draft"

Form = Literal["draft", "live"]


def _checked(route: Route, form: Form | None, level: Level | None) -> Route:
    """The route that is meant. ValueError for a form or a level that it does not have."""
    if form is not None and route is not Route.FUSE:
        raise ValueError(_NO_FORM)
    meant = _formed(route, form)
    if message := _level_fault(meant, level):
        raise ValueError(message)
    return meant


def _level_fault(route: Route, level: Level | None) -> str:
    if level is not None and route not in LEVELLED:
        return _NO_LEVEL.format(route)
    return _LIVE_FREE if route is Route.LIVE and level is Level.FREE else ""


def _formed(route: Route, form: Form | None) -> Route:
    """Route `fuse` in form `live` is a step of its own on the scale; `route: live` says the same."""
    return Route.LIVE if route is Route.FUSE and form == "live" else route


class ActionConfig(Section):
    """Where a request goes. `level` is for sketch and fuse (topic), `form` for fuse alone (draft)."""

    route: Route
    form: Form | None = None
    level: Level | None = None
    ask: bool = False
    """Show the outbound bodies first and wait for approval."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        route = _checked(self.route, self.form, self.level)
        if self.ask and not route.sends:
            raise ValueError(f"route {self.route} sends nothing, so there is nothing to ask")
        if self.ask and route is Route.LIVE:
            raise ValueError(_LIVE_ASKS)
        return self


class FallbackConfig(Section):
    """One step of `on_failure`: another route, or the same route at a more private level."""

    route: Route | None = None
    form: Form | None = None
    level: Level | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.route is None and self.level is None:
            raise ValueError("needs route or level")
        if self.form is not None and self.route is not Route.FUSE:
            raise ValueError(_NO_FORM)
        return self


class DefaultConfig(Section):
    """What happens where no rule matches."""

    route: Route = Route.LOCAL
    form: Form | None = None
    level: Level | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _checked(self.route, self.form, self.level)
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

    def live(self) -> Iterator[KeyPath]:
        """Keys of everything that asks for form live of fuse."""
        if _formed(self.default.route, self.default.form) is Route.LIVE:
            yield "routing", "default"
        for index, decision in enumerate(self.decisions):
            if _formed(decision.action.route, decision.action.form) is Route.LIVE:
                yield *_DECISIONS, index, "action"
            for number, step in enumerate(decision.on_failure):
                if step.route and _formed(step.route, step.form) is Route.LIVE:
                    yield *_DECISIONS, index, "on_failure", number


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
        default=_step(_formed(default.route, default.form), default.level),
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
    steps = [_step(_formed(decision.action.route, decision.action.form), decision.action.level)]
    for number, fallback in enumerate(decision.on_failure):
        route = _formed(fallback.route, fallback.form) if fallback.route else steps[-1].route
        if message := _level_fault(route, fallback.level):
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
