"""Frozen records shared by every room. Imports nothing of ours.

Offsets are characters (Python string indices) of the named message. No record here prints the user's
text: what may hold it is a `Secret`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NoReturn


class Route(StrEnum):
    """Where a request may go, from least to most private (DESIGN rule 6)."""

    CLOUD = "cloud"
    MASK = "mask"
    LIVE = "live"  # form `live` of fusion; FUSE is its form `draft`
    FUSE = "fuse"
    SKETCH = "sketch"
    LOCAL = "local"
    BLOCK = "block"

    @property
    def sends(self) -> bool:
        """Whether a request on this route may leave the machine."""
        return self not in (Route.LOCAL, Route.BLOCK)


class Level(StrEnum):
    """How much of the task the cloud is told, from most to least."""

    FREE = "free"
    TOPIC = "topic"
    KIND = "kind"


_ROUTE_RANK = {
    Route.CLOUD: 0,
    Route.MASK: 1,
    Route.LIVE: 2,
    Route.FUSE: 3,
    Route.SKETCH: 3,
    Route.LOCAL: 4,
    Route.BLOCK: 5,
}
_LEVEL_RANK = {None: 0, Level.FREE: 0, Level.TOPIC: 1, Level.KIND: 2}


@dataclass(frozen=True, slots=True)
class Step:
    """One place on the scale: a route, and a level for the routes that tell a generic task."""

    route: Route
    level: Level | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """Sortable: a larger rank is more private."""
        levelled = self.route in (Route.SKETCH, Route.FUSE, Route.LIVE)
        return _ROUTE_RANK[self.route], _LEVEL_RANK[self.level] if levelled else 0

    def __str__(self) -> str:
        return f"{self.route}:{self.level}" if self.level else str(self.route)


class Secret:
    """Text that must not leave: from the user, the store, or written with context.

    Never prints, formats or pickles its text; `reveal()` is the only way to it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Grep for this name to audit who reads secrets."""
        return self._text

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return f"Secret({len(self._text)} characters)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is never pickled")


@dataclass(frozen=True, slots=True)
class Sendable:
    """Text that may leave, and which source made it so (DESIGN rule 2)."""

    text: str = field(repr=False)
    origin: Literal["frame", "generalize", "rewrite", "hide", "public", "shadow", "trusted"]
    """`shadow`: released by form `live` of fusion; `trusted`: for an endpoint that may read private text."""


@dataclass(frozen=True, slots=True)
class CloudToolCall:
    """One call of a tool as the cloud may see it: an opaque `id`, and arguments as a JSON string."""

    id: str = field(repr=False)
    name: str = field(repr=False)
    arguments: Sendable


@dataclass(frozen=True, slots=True)
class CloudMessage:
    """One message as it may leave. `parts` are joined; `role` is OpenAI's name.

    `tool_calls` belong to the role assistant alone, `tool_call_id` to the role tool alone.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"] = field(repr=False)
    parts: tuple[Sendable, ...] = ()
    tool_calls: tuple[CloudToolCall, ...] = ()
    tool_call_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PrivateSpan:
    """A private stretch of message number `message`: where and what kind, never the text itself."""

    type: str
    start: int
    end: int
    score: float
    source: str
    message: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON form; `message` is left out where there is only one."""
        out: dict[str, Any] = {
            "type": self.type,
            "start": self.start,
            "end": self.end,
            "score": round(self.score, 3),
            "source": self.source,
        }
        return out | ({"message": self.message} if self.message else {})


ContextType = Literal["profile", "writing", "device", "note"]
CONTEXT_TYPES: tuple[ContextType, ...] = ("profile", "writing", "device", "note")


@dataclass(frozen=True, slots=True)
class ContextItem:
    """One piece of a user's private context. `values`: known from its form (fields, mail headers)."""

    type: ContextType
    text: str = field(repr=False)
    title: str = field(default="", repr=False)
    values: tuple[KnownValue, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A value that must never leave. `origin`: declared, field, entity or phrase."""

    value: str = field(repr=False)
    type: str
    origin: Literal["declared", "field", "entity", "phrase"]


@dataclass(frozen=True, slots=True)
class GenericTask:
    """What a request asks for in words from the closed lists; None where nothing fits."""

    kind: str = field(repr=False)
    topic: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sketch:
    """The cloud's outline as data: 4 to 15 short points, no markup, no URLs."""

    points: tuple[str, ...]

    def as_text(self) -> str:
        """Numbered lines, the form the local model reads."""
        return "\n".join(f"{i}. {point}" for i, point in enumerate(self.points, 1))


Finish = Literal["stop", "length"]
"""Why a text ends: its model has finished it, or a limit of tokens cut it."""
Pieces = Generator[str, None, Finish | None]
"""A text as it is written; what it returns is None where nobody knows why it ended."""


def finish_of(reason: object) -> Finish | None:
    """What a server's `finish_reason` says of that."""
    known: tuple[Finish, ...] = ("stop", "length")
    return next((one for one in known if one == reason), None)


@dataclass(frozen=True, slots=True)
class TopLogprobs:
    """One position of a cloud's answer: the token it took, and its likeliest ones, likeliest first.

    Tokens are their bytes, which need be no whole character; log-probabilities are in nats. The list may be
    shorter than what was asked for and need not hold `token`.
    """

    token: bytes = field(repr=False)
    logprob: float
    tokens: tuple[bytes, ...] = field(repr=False)
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A cloud's text, position by position. `ended`: the model finished it, no limit did."""

    positions: tuple[TopLogprobs, ...] = field(repr=False)
    ended: bool = False

    @property
    def text(self) -> bytes:
        """All of it as bytes."""
        return b"".join(position.token for position in self.positions)


Dialect = Literal["vllm", "llama-server", "prefix", "completions"]
"""How an endpoint is asked to go on with a text that it has begun."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint can do for fusion, as a probe saw it.

    `chat_logprobs` and `completions_logprobs`: candidates given per position, 0 is none. `samples`: several
    drafts come of one request. `continuation`: how a half-written answer is continued, None is not at all.
    """

    chat_logprobs: int = 0
    completions_logprobs: int = 0
    samples: bool = False
    continuation: Dialect | None = None


@dataclass(frozen=True, slots=True)
class TokenTrace:
    """Who decided one token of a fused text. `weight`: the cloud's share in the decision, 0 to 1.

    `cloud` is what the cloud found likeliest there, `shadow` what the released prefix got in its place (form
    live); None where there was neither. `held`: a known value, so nothing of it was released.
    """

    piece: bytes = field(repr=False)
    by: Literal["local", "cloud", "fused"]
    weight: float = 0.0
    cloud: bytes | None = field(default=None, repr=False)
    shadow: bytes | None = field(default=None, repr=False)
    held: bool = False


@dataclass(frozen=True, slots=True)
class Outbound:
    """One request as it goes over the wire: `body` is the exact JSON string."""

    endpoint: str
    body: str = field(repr=False)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the UTF-8 body: what an approval and a receipt bind to."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    def as_dict(self) -> dict[str, str]:
        """JSON form."""
        return {"endpoint": self.endpoint, "body": self.body}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What left: `bits` is the upper bound of what the body tells (None: unbounded)."""

    id: str
    time: str
    endpoint: str
    body_sha256: str
    bits: float | None
    route: str
    level: str | None
    status: str = "sent"

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {name: getattr(self, name) for name in self.__slots__}


# --- What `route.decide` reads -------------------------------------------------------------------


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
    default: Step = Step(Route.LOCAL)
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
