"""The cases of `cogenesis policy test`: requests, where they must go, what must not stand in the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from cogenesis_langchain import yaml_lines
from cogenesis_langchain.advice import faults_of
from cogenesis_langchain.errors import CoGenesisError, ConfigError, InputError
from cogenesis_langchain.gate.shape import parse
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.sections import Name, Section
from cogenesis_langchain.types import ContextItem, ContextType, GenericTask, KnownValue, Level, Route

Text = Annotated[str, Field(min_length=1, max_length=100_000)]


class MessageCase(Section):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text = Field(repr=False)


class ContextCase(Section):
    """One piece of the private context that the case's user has."""

    type: ContextType = "note"
    text: Text = Field(repr=False)


class TaskCase(Section):
    """Kind and topic of the request, given here so that no model is needed to find them."""

    kind: Name
    topic: Name | None = None


class ExpectCase(Section):
    """Where the request must end."""

    route: Route
    level: Level | None = None


class Case(Section):
    """One request and what must become of it. Without `context` the user is unknown, which means local."""

    name: Name
    input: Text | None = Field(default=None, repr=False)
    messages: tuple[MessageCase, ...] = Field(default=(), repr=False)
    user: Name = "somebody"
    context: tuple[ContextCase, ...] = Field(default=(), repr=False)
    label: Name | None = None
    tags: tuple[Name, ...] = ()
    task: TaskCase | None = None
    expect: ExpectCase | None = None
    forbid: tuple[Text, ...] = Field(default=(), repr=False)
    """What must not stand in the bytes that would leave, in any spelling."""
    sends: bool | None = None
    """Whether anything would leave."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.input is None) == (not self.messages):
            raise ValueError("needs either input or messages")
        if self.expect is None and not self.forbid and self.sends is None:
            raise ValueError("expects nothing: give expect, forbid or sends")
        return self


class Cases(Section):
    """A whole file of cases."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one case. `failures` name what differs, and never quote a forbidden text."""

    name: str
    step: str
    sends: bool
    failures: tuple[str, ...]
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "ok": not self.failures,
            "step": self.step,
            "sends": self.sends,
            "failures": list(self.failures),
            "reasons": list(self.reasons),
        }


def read_cases(path: Path) -> tuple[Case, ...]:
    """The cases of a YAML file. ConfigError lists every fault with line and key."""
    document = yaml_lines.read(path)
    faults = list(document.faults)
    cases: Cases | None = None
    try:
        cases = Cases.model_validate(document.data)
    except ValidationError as error:
        faults += faults_of(error, Cases)
    if faults or cases is None:
        raise ConfigError(yaml_lines.report(document, faults)) from None
    return cases.cases


def run_case(engine: Any, case: Case) -> Outcome:
    """A dry run of one case, in a store that holds its context and nothing else. Contacts no cloud."""
    try:
        state = _dry_run(engine, case)
    except CoGenesisError as error:
        return Outcome(case.name, "-", False, (f"cannot run: {error}",))
    bodies = [outbound["body"] for outbound in state["outbound"]]
    step = f"{state['route']}:{state['level']}" if state["level"] else str(state["route"])
    failures = [*_wrong_place(case, state), *_wrong_bytes(case, bodies)]
    if case.sends is not None and case.sends != bool(bodies):
        failures.append("something would leave" if bodies else "nothing would leave")
    reasons = dict.fromkeys((*state["reasons"], *state["warnings"]))
    return Outcome(case.name, step, bool(bodies), tuple(failures), tuple(reasons))


def _dry_run(engine: Any, case: Case) -> dict[str, Any]:
    from cogenesis_langchain.audit import Audit
    from cogenesis_langchain.graph import create_privacy_router
    from cogenesis_langchain.state import RouterContext
    from cogenesis_langchain.store import MemoryStore

    items = [ContextItem(item.type, item.text) for item in case.context]
    rooms: dict[str, Any] = {
        "store": MemoryStore(items, values_of=engine.values_of),
        "audit": Audit(engine.data_dir / "cases"),  # never there: no case stands under what was told before
    }
    if case.task is not None:
        rooms |= {"generalizer": _told(engine, case.task), "writer": _Unused()}
    given = case.input or [message.model_dump() for message in case.messages]
    context = RouterContext(user_id=case.user, label=case.label, tags=case.tags, dry_run=True)
    found: dict[str, Any] = create_privacy_router(engine=engine.with_rooms(**rooms)).invoke(
        given, context=context
    )
    return found


def _told(engine: Any, task: TaskCase) -> Any:
    """The task of the case in the place of a model. InputError where the closed lists do not hold it."""
    lists = engine.vocabulary
    if task.kind not in lists.kinds or (task.topic is not None and task.topic not in lists.topics):
        raise InputError("task names a kind or topic that the closed lists do not hold")
    return lambda _instruction: GenericTask(task.kind, task.topic)


class _Unused:
    """The writer of a dry run whose task is given: nothing is written, so none is loaded."""

    def load(self) -> None:
        """Nothing to load."""


def _wrong_place(case: Case, state: dict[str, Any]) -> list[str]:
    expect = case.expect
    if expect is None:
        return []
    out = [] if state["route"] == expect.route else [f"route {state['route']} instead of {expect.route}"]
    if expect.level is not None and state["level"] != expect.level:
        out.append(f"level {state['level']} instead of {expect.level}")
    return out


def _wrong_bytes(case: Case, bodies: Sequence[str]) -> list[str]:
    texts = ["\n".join([body, *parse(body.encode()).texts]) for body in bodies]
    return [
        f"forbid[{number}] stands in the bytes that would leave"
        for number, forbidden in enumerate(case.forbid)
        if any(_stands_in(forbidden, text) for text in texts)
    ]


def _stands_in(forbidden: str, text: str) -> bool:
    known = KnownValues([KnownValue(forbidden, "FORBIDDEN", "declared")])
    return forbidden.casefold() in text.casefold() or known.hits(text)
