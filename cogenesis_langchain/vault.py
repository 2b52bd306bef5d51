"""Raw texts of a run, kept in memory under handles; graph state and checkpoints hold only the handles.

Everything belongs to one scope, the pair (user, thread). A handle of another scope is an error, never an
answer, so one user's text cannot be read with another user's run. Encryption at rest is a later room
behind these same methods.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from cogenesis_langchain.errors import VaultError
from cogenesis_langchain.placeholders import Table
from cogenesis_langchain.types import Step

Scope = tuple[str, str]
"""(user, thread)."""

_HANDLE = re.compile(r"vault:[0-9a-f]{32}")


@dataclass(slots=True, repr=False)
class _Shelf:
    """What one scope owns."""

    texts: dict[str, str] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    table: Table = field(default_factory=Table)
    floor: Step | None = None
    spent: set[str] = field(default_factory=set)


def is_handle(text: object) -> bool:
    """Whether `text` is exactly one handle. Says nothing about who owns it."""
    return isinstance(text, str) and _HANDLE.fullmatch(text) is not None


class Vault:
    """In-memory vault, safe to share between threads.

    `max_ended` is the number of ended scopes (see `end`) that are still kept, so that the text of a
    finished run without a thread of its own can be read back for a while; older ones are dropped whole.
    """

    def __init__(self, *, max_ended: int = 256) -> None:
        self._lock = threading.RLock()
        self._shelves: dict[Scope, _Shelf] = {}
        self._ended: OrderedDict[Scope, None] = OrderedDict()
        self._max_ended = max_ended

    def put(self, scope: Scope, text: str) -> str:
        """Keep `text`; returns its handle, the same one for the same text in the same scope.

        Handles are random, so they tell nothing about the text.
        """
        with self._lock:
            shelf = self._shelf(scope)
            handle = shelf.handles.get(text)
            if handle is None:
                handle = f"vault:{secrets.token_hex(16)}"
                shelf.handles[text] = handle
                shelf.texts[handle] = text
            return handle

    def get(self, scope: Scope, handle: str) -> str:
        """The text behind `handle`. Raises VaultError if this scope does not own it."""
        with self._lock:
            shelf = self._shelves.get(scope)
            text = shelf.texts.get(handle) if shelf else None
        if text is None:
            raise VaultError(
                "this (user, thread) owns no such handle: it belongs to another run, or the process that "
                "held the text has ended; send the message again"
            )
        return text

    def table(self, scope: Scope) -> Table:
        """The placeholder table of this scope, made on first use."""
        with self._lock:
            return self._shelf(scope).table

    def floor(self, scope: Scope) -> Step | None:
        """The most private step this thread has taken so far; None before the first."""
        with self._lock:
            shelf = self._shelves.get(scope)
            return shelf.floor if shelf else None

    def raise_floor(self, scope: Scope, step: Step) -> Step:
        """Record `step`; a floor only ever moves to the right. Returns the floor that now holds."""
        with self._lock:
            shelf = self._shelf(scope)
            if shelf.floor is None or step.rank > shelf.floor.rank:
                shelf.floor = step
            return shelf.floor

    def spend(self, scope: Scope, name: str) -> bool:
        """Note that the prepared bytes `name` are being sent; False if they were before (at most once)."""
        with self._lock:
            spent = self._shelf(scope).spent
            first = name not in spent
            spent.add(name)
            return first

    def end(self, scope: Scope) -> None:
        """Say that a scope without a future (a run that had no thread id) is over.

        It stays readable until `max_ended` younger ones have ended. Using the scope again revives it.
        """
        with self._lock:
            if scope not in self._shelves:
                return
            self._ended[scope] = None
            self._ended.move_to_end(scope)
            while len(self._ended) > self._max_ended:
                oldest, _ = self._ended.popitem(last=False)
                self._shelves.pop(oldest, None)

    def forget(self, scope: Scope) -> None:
        """Drop everything this scope owns, its placeholder table included."""
        with self._lock:
            self._shelves.pop(scope, None)
            self._ended.pop(scope, None)

    def _shelf(self, scope: Scope) -> _Shelf:
        self._ended.pop(scope, None)
        return self._shelves.setdefault(scope, _Shelf())

    def __len__(self) -> int:
        """The number of scopes that hold something."""
        with self._lock:
            return len(self._shelves)

    def __repr__(self) -> str:
        return f"Vault({len(self)} scopes)"
