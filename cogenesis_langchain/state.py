"""What a run carries: `RouterState` (in checkpoints, so handles only) and `RouterContext` (never written).

Every text in `RouterState` that came from the user, the store, or was written with context is a vault
handle. What stands there readable is what the cloud may know anyway (kind, topic, sketch), or counts,
offsets, names of rules and times.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.gate.permit import Tally
from cogenesis_langchain.types import Level, PrivateSpan, Route, Step


@dataclass(frozen=True, slots=True)
class RouterContext:
    """Who asks, and how much tighter than the policy: pass it as `context=`.

    `route` and `level` may only tighten what the policy decides. `label` and `tags` are signals for the
    policy's rules, set by the calling code, never from text. `dry_run` decides and builds, sends and writes
    nothing.
    """

    user_id: str | None = None
    route: Route | str | None = None
    level: Level | str | None = None
    label: str | None = None
    tags: frozenset[str] | tuple[str, ...] | str = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for a route or level that does not exist."""
        for name, kind in (("route", Route), ("level", Level)):
            value = getattr(self, name)
            if value is not None and value not in set(kind):
                raise InputError(f"there is no {name} of that name; it is one of {', '.join(kind)}")
        tags = (self.tags,) if isinstance(self.tags, str) else self.tags
        object.__setattr__(self, "tags", frozenset(tags))

    def __repr__(self) -> str:
        user = "set" if self.user_id else None
        return f"RouterContext(user_id={user}, route={self.route}, level={self.level})"


@dataclass(frozen=True, slots=True, repr=False)
class RunContext(RouterContext):
    """What the router makes of a caller's context for one run; callers never make one.

    `thread` is the vault's scope, `started` a `time.perf_counter()` moment, `cancel` the stop sign, `sends`
    the count of its requests, `seen` what models found in its texts (see `Detector.once`), `given` the
    handles of the messages it came with.
    """

    thread: str = ""
    started: float = 0.0
    cancel: threading.Event = field(default_factory=threading.Event)
    sends: Tally = field(default_factory=Tally)
    seen: dict[str, tuple[PrivateSpan, ...]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)


_FROM_CALLERS = ("user_id", "route", "level", "label", "tags", "dry_run")
"""What is read from a context object that is not ours."""


def resolve_context(given: Any, default: RouterContext) -> RouterContext:
    """The run's context: `given` (ours, a mapping, a parent graph's own object, None) over `default`.

    The user of the run wins over the one named at construction; of two routes or levels the more private
    one holds. Raises InputError where no user id can be found: it is never guessed from message text.
    """
    if isinstance(given, Mapping):
        found = {name: given[name] for name in _FROM_CALLERS if name in given}
    else:
        found = {name: getattr(given, name) for name in _FROM_CALLERS if hasattr(given, name)}
    wish = RouterContext(**found)
    user_id = wish.user_id or default.user_id
    if not user_id:
        raise InputError(
            "no user: pass context=RouterContext(user_id=...) to the call, "
            "or create_privacy_router(config, user_id=...)"
        )
    routes = [Route(route) for route in (wish.route, default.route) if route]
    levels = [Level(level) for level in (wish.level, default.level) if level]
    return RouterContext(
        user_id=str(user_id),
        route=max(routes, key=lambda route: Step(route).rank, default=None),
        level=max(levels, key=lambda level: Step(Route.SKETCH, level).rank, default=None),
        label=_stricter_label(wish.label, default.label),
        tags=frozenset(wish.tags) | frozenset(default.tags),
        dry_run=bool(wish.dry_run or default.dry_run),
    )


def _stricter_label(of_run: str | None, of_router: str | None) -> str | None:
    """One of two labels: `public` frees text, so it never wins over another; else the router's own holds."""
    if of_run and of_router and of_router == "public":
        return of_run
    return of_router or of_run


class RouterState(TypedDict, total=False):
    """The graph's state. `messages`, `context`, `drafts`, `trace` and `text` hold vault handles until the
    router restores them.

    `placed` names the messages that a decision of this thread was about. `asked` is the level that the
    decision asked for, which a veto may lessen, and an id by which the ledger charges it once.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    owner: str
    placed: list[str]
    route: str
    level: str | None
    asked: dict[str, str | None]
    reasons: list[str]
    rule: str | None
    ask: bool
    on_failure: list[list[str | None]]
    spans: list[dict[str, Any]]
    signals: dict[str, Any]
    task: dict[str, str | None] | None
    context: str | None
    outbound: list[dict[str, Any]]
    stopped: list[dict[str, Any]]
    sketch: list[str]
    drafts: str | None
    trace: str | None
    text: str | None
    finish_reason: str | None
    timings: dict[str, float]
    receipts: list[dict[str, Any]]
    warnings: list[str]


class RouterInput(TypedDict):
    """What goes in: messages; also a plain string, a list of messages or a prompt value."""

    messages: Annotated[list[AnyMessage], add_messages]


class RouterOutput(TypedDict, total=False):
    """What comes out, in the names that `cogenesis write --json` prints.

    `trace` is there after route fuse: JSON, who decided each token (`types.TokenTrace`).
    """

    messages: Annotated[list[AnyMessage], add_messages]
    route: str
    level: str | None
    reasons: list[str]
    spans: list[dict[str, Any]]
    outbound: list[dict[str, Any]]
    stopped: list[dict[str, Any]]
    sketch: list[str]
    trace: str | None
    text: str | None
    timings: dict[str, float]
    receipts: list[dict[str, Any]]
    warnings: list[str]


def check_owner(state: Mapping[str, Any], owner: str) -> None:
    """Raises InputError where `state` is of a thread that another user began (see `Vault.owner`)."""
    if state.get("owner") not in (None, owner):
        raise InputError(
            "this thread belongs to another user, or what it held was purged: use a thread_id of your own"
        )


def names(state: RouterState) -> list[str]:
    """A name for each message and what it says: a message that is changed has another one."""
    return [_name(str(message.content)) for message in state["messages"]]


def strays(state: RouterState, run: RunContext) -> bool:
    """Whether the thread holds what neither this run brought nor an earlier decision was about.

    An earlier run may have been a dry one, or was stopped before it decided: its text is in the thread, and
    nobody has said what may become of it.
    """
    placed = {*state.get("placed", ()), *map(_name, run.given)}
    return not placed.issuperset(names(state))


def _name(handle: str) -> str:
    return hashlib.sha256(handle.encode()).hexdigest()[:16]


RUN_FIELDS: dict[str, Any] = {
    "route": Route.LOCAL.value,
    "level": None,
    "asked": {},
    "reasons": [],
    "rule": None,
    "ask": False,
    "on_failure": [],
    "spans": [],
    "signals": {},
    "task": None,
    "context": None,
    "outbound": [],
    "stopped": [],
    "sketch": [],
    "drafts": None,
    "trace": None,
    "text": None,
    "finish_reason": None,
    "timings": {},
    "receipts": [],
    "warnings": [],
}
"""What each run starts from, so that nothing of a thread's last turn is taken for this one's."""
