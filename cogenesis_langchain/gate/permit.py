"""Leave to send: what a request needs to pass the gate, and how it gets there. Pure.

A `Call` travels beside the request in a context variable, because the client between `cloud` and `egress`
must have no say in it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from cogenesis_langchain.errors import CloudError, CoGenesisError
from cogenesis_langchain.types import GenericTask, PrivateSpan, Receipt


class Known(Protocol):
    """What the gate needs of `known.KnownValues`."""

    def find(self, text: str) -> list[PrivateSpan]:
        """Spans of known values, in whatever spelling the canonical form undoes."""


class Detects(Protocol):
    """What the gate needs of `detect.Detector`."""

    def detect(self, text: str, *, message: int = 0) -> list[PrivateSpan]:
        """Spans of private text."""


class Tally:
    """How many requests went: of one run, or through one door in the last `window_s` seconds. Thread-safe."""

    def __init__(self, window_s: float = math.inf) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self, limit: int | None) -> bool:
        """Count one more; False, and not counted, where `limit` have gone already. None is no limit."""
        with self._lock:
            now = time.monotonic()
            while self._times and now - self._times[0] >= self._window_s:
                self._times.popleft()
            if limit is not None and len(self._times) >= limit:
                return False
            self._times.append(now)
            return True

    def __len__(self) -> int:
        """Requests counted and not yet out of the window."""
        return len(self._times)


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one body: exactly `body_sha256` to exactly `endpoint`, checked against the rest.

    `issued` are the placeholders that stand in the body for private text. `route`, `level`, `bits`, `user`
    and `task` (what the body tells) are for the receipt; by `about` the ledger knows what is told once.
    `told` hears of each intent that was written; `run` counts what the run that asks has sent. `trusted`: the
    endpoint may read private text, so that no body is searched for it; the gate agrees only where it was
    made for such an endpoint.
    """

    body_sha256: str
    endpoint: str
    route: str
    known: Known = field(repr=False)
    detector: Detects = field(repr=False)
    issued: frozenset[str] = field(default=frozenset(), repr=False)
    level: str | None = None
    bits: float | None = None
    user: str = field(default="", repr=False)
    task: GenericTask | None = field(default=None, repr=False)
    about: str = ""
    told: Callable[[Receipt], None] | None = field(default=None, repr=False)
    run: Tally = field(default_factory=Tally, repr=False)
    trusted: bool = False


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


@contextmanager
def explained() -> Iterator[None]:
    """Our own errors pass; anything else a client may throw says only its kind, as it may quote text."""
    kind = ""
    try:
        yield
    except (CoGenesisError, Prepared):
        raise
    except Exception as error:
        kind = type(error).__name__
    if kind:  # raised out here, so that nothing is chained to it
        raise CloudError(f"the cloud's answer cannot be read as a chat completion ({kind})")


def current() -> Call | None:
    """The call that the running request belongs to."""
    return _call.get()
