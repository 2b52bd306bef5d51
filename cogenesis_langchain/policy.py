"""What `route.decide` reads and says, as frozen records: signals, conditions, rules, a decision."""

from __future__ import annotations

from dataclasses import dataclass, field

from cogenesis_langchain.types import Route, Step

LOCAL = Step(Route.LOCAL)
"""Where nothing leaves."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Facts about one request. None means unknown, and unknown means local."""

    entities: frozenset[str] | None = None
    spans: int | None = None
    known_values: int | None = None
    kind: str | None = None
    topic: str | None = None
    length: int | None = None
    context_overlap: float | None = None
    turns: int | None = None
    user: str | None = field(default=None, repr=False)
    tags: frozenset[str] = frozenset()
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """True where the signal equals (or holds) any of `values`."""

    signal: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """A number within bounds; an omitted bound does not count."""

    signal: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition = Match | Compare | All | Any_ | Not


@dataclass(frozen=True, slots=True)
class Rule:
    """One routing decision of the policy file."""

    name: str
    priority: int
    when: Condition
    step: Step
    ask: bool = False
    on_failure: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """The routing part of the config, highest priority first."""

    rules: tuple[Rule, ...] = ()
    default: Step = LOCAL
    observe: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step that the file names, those after a failure included."""
        named = (step for rule in self.rules for step in (rule.step, *rule.on_failure))
        return (*named, self.default)


@dataclass(frozen=True, slots=True)
class Decision:
    """What `route.decide` chose and why. Reasons never quote the request."""

    step: Step
    reasons: tuple[str, ...]
    rule: str | None = None
    ask: bool = False
    on_failure: tuple[Step, ...] = ()
