"""Leave to send: what a request needs to pass the gate, and how it gets there. Pure.

A `Call` travels beside the request in a context variable, because the client between `cloud` and `egress`
must have no say in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from cogenesis_langchain.types import PrivateSpan, Receipt


class Known(Protocol):
    """What the gate needs of `known.KnownValues`."""

    def find(self, text: str) -> list[PrivateSpan]:
        """Spans of known values, in whatever spelling the canonical form undoes."""


class Detects(Protocol):
    """What the gate needs of `detect.Detector`."""

    def detect(self, text: str, *, message: int = 0) -> list[PrivateSpan]:
        """Spans of private text."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one body: exactly `body_sha256` to exactly `endpoint`, checked against the rest.

    `issued` are the placeholders that stand in the body for private text; `min_score` is what a detection
    needs to count. `route`, `level`, `bits` and `user` are for the receipt; `told` hears of
    each intent that was written.
    """

    body_sha256: str
    endpoint: str
    route: str
    known: Known = field(repr=False)
    detector: Detects = field(repr=False)
    issued: frozenset[str] = field(default=frozenset(), repr=False)
    min_score: float = 0.5
    level: str | None = None
    bits: float | None = None
    user: str = field(default="", repr=False)
    told: Callable[[Receipt], None] | None = field(default=None, repr=False)


class Prepared(Exception):
    """Thrown at the door for a call without a permit: the body is recorded in the call, nothing left."""


@dataclass(slots=True)
class Call:
    """One pass through a client: with a permit it sends, without one it only records `body`."""

    permit: Permit | None = None
    deadline: float = 0.0
    attempt: int = 1
    body: bytes = field(default=b"", repr=False)


_call: ContextVar[Call | None] = ContextVar("cogenesis_call", default=None)


@contextmanager
def passing(call: Call) -> Iterator[None]:
    """Requests made inside belong to `call`; outside of it every request is refused."""
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


def current() -> Call | None:
    """The call that the running request belongs to."""
    return _call.get()
