"""Raw texts of a run, kept under handles; graph state and checkpoints hold only the handles.

Everything belongs to one scope, the pair (user, thread). A handle of another scope is an error, never an
answer, so one user's text cannot be read with another user's run. What a thread owns whose checkpoints
outlive the process lies sealed on disk (`keep`, `vault_kept`); everything else stays in memory.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cogenesis_langchain.errors import VaultError
from cogenesis_langchain.placeholders import Table
from cogenesis_langchain.types import Step
from cogenesis_langchain.vault.book import Book, Bounds
from cogenesis_langchain.vault.kept import KeptShelf

if TYPE_CHECKING:
    from cogenesis_langchain.crypto import Keys

__all__ = ["Bounds", "Scope", "Vault", "is_handle"]

Scope = tuple[str, str]
"""(user, thread)."""

_HANDLE = re.compile(r"vault:[0-9a-f]{32}")
_OPEN_BOOKS = 32  # users whose files stay open


class Shelf(Protocol):
    """What one scope owns."""

    def put(self, text: str) -> str: ...
    def get(self, handle: str) -> str | None: ...
    def alias(self, name: str) -> str: ...
    def table(self) -> Table: ...
    def floor(self) -> Step | None: ...
    def raise_floor(self, step: Step) -> Step: ...
    def spend(self, name: str) -> bool: ...


class MemoryShelf:
    """What a scope owns that ends with the process."""

    __slots__ = ("_aliases", "_floor", "_handles", "_lock", "_spent", "_table", "_texts")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._handles: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._table = Table()
        self._floor: Step | None = None
        self._spent: set[str] = set()

    def put(self, text: str) -> str:
        """Keeps `text`; handles are random, so they tell nothing about it."""
        with self._lock:
            handle = self._handles.get(text)
            if handle is None:
                handle = self._handles[text] = f"vault:{secrets.token_hex(16)}"
                self._texts[handle] = text
            return handle

    def get(self, handle: str) -> str | None:
        """The text behind `handle`, or None."""
        return self._texts.get(handle)

    def alias(self, name: str) -> str:
        """What stands for `name`: random, and the same while this process lives."""
        with self._lock:
            return self._aliases.setdefault(name, secrets.token_hex(16))

    def table(self) -> Table:
        """The placeholder table."""
        return self._table

    def floor(self) -> Step | None:
        """The most private step so far."""
        return self._floor

    def raise_floor(self, step: Step) -> Step:
        """A floor only ever moves to the right."""
        with self._lock:
            if self._floor is None or step.rank > self._floor.rank:
                self._floor = step
            return self._floor

    def spend(self, name: str) -> bool:
        """False if `name` was spent before."""
        with self._lock:
            first = name not in self._spent
            self._spent.add(name)
            return first


def is_handle(text: object) -> bool:
    """Whether `text` is exactly one handle. Says nothing about who owns it."""
    return isinstance(text, str) and _HANDLE.fullmatch(text) is not None


class Vault:
    """Texts, placeholders, floors and spent names of all scopes. Safe to share between threads.

    Args:
        folder: where kept threads lie; None keeps everything in memory.
        keys: the users' keys, asked for at first use; needed with `folder`.
        bounds: how long kept texts stay.
        max_ended: scopes without a future (see `end`) that are still kept in memory, so that the text of a
            finished run without a thread of its own can be read back for a while; older ones are dropped.

    Methods raise VaultError where the disk or a user's key does not serve.
    """

    def __init__(
        self,
        folder: Path | None = None,
        keys: Callable[[], Keys] | None = None,
        *,
        bounds: Bounds | None = None,
        max_ended: int = 256,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._bounds = bounds or Bounds()
        self._lock = threading.RLock()
        self._shelves: dict[Scope, Shelf] = {}
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._ended: OrderedDict[Scope, None] = OrderedDict()
        self._max_ended = max_ended

    def keep(self, scope: Scope) -> None:
        """Say that a run begins whose thread outlives the process: what it owns goes to disk as it comes.

        Each call needs its `end`. Does nothing in a vault without a folder.
        """
        if self._folder is None or self._keys is None:
            return
        with self._lock:
            shelf = self._shelves.get(scope)
            if not isinstance(shelf, KeptShelf):
                floor = shelf.floor() if shelf else None
                shelf = self._shelves[scope] = KeptShelf(self._book(scope[0]), scope[1])
                if floor:
                    shelf.raise_floor(floor)
            shelf.runs += 1

    def put(self, scope: Scope, text: str) -> str:
        """Keep `text`; returns its handle, the same one for the same text in the same scope.

        Handles are random, so they tell nothing about the text.
        """
        return self._shelf(scope).put(text)

    def get(self, scope: Scope, handle: str) -> str:
        """The text behind `handle`. Raises VaultError if this scope does not own it."""
        with self._lock:
            shelf = self._shelves.get(scope)
        text = shelf.get(handle) if shelf else None
        if text is None:
            raise VaultError(
                "this (user, thread) owns no such handle: it belongs to another run, its text was purged or "
                "kept too long ago, or the process that held it has ended; send the message again"
            )
        return text

    def alias(self, scope: Scope, name: str) -> str:
        """32 hex digits that stand for `name` in this scope, always the same, and tell nothing about it."""
        return self._shelf(scope).alias(name)

    def owner(self, scope: Scope) -> str:
        """What a thread's state says of its user: enough to refuse another one, and no user's name."""
        return self.alias(scope, "\0owner")

    def table(self, scope: Scope) -> Table:
        """The placeholder table of this scope, made on first use."""
        return self._shelf(scope).table()

    def floor(self, scope: Scope) -> Step | None:
        """The most private step this thread has taken so far; None before the first."""
        with self._lock:
            shelf = self._shelves.get(scope)
        return shelf.floor() if shelf else None

    def raise_floor(self, scope: Scope, step: Step) -> Step:
        """Record `step`; a floor only ever moves to the right. Returns the floor that now holds."""
        return self._shelf(scope).raise_floor(step)

    def spend(self, scope: Scope, name: str) -> bool:
        """Note that the prepared bytes `name` are being sent; False if they were before (at most once)."""
        return self._shelf(scope).spend(name)

    def end(self, scope: Scope) -> None:
        """Say that a run is over whose scope is on disk, or has no future (it had no thread id).

        The first leaves the memory with its last run. The second stays readable until `max_ended` younger
        ones have ended; using it again revives it.
        """
        with self._lock:
            shelf = self._shelves.get(scope)
            if isinstance(shelf, KeptShelf):
                shelf.runs -= 1
                if shelf.runs <= 0:
                    del self._shelves[scope]
            elif shelf is not None:
                self._ended[scope] = None
                self._ended.move_to_end(scope)
                while len(self._ended) > self._max_ended:
                    oldest, _ = self._ended.popitem(last=False)
                    self._shelves.pop(oldest, None)

    def forget(self, scope: Scope) -> None:
        """Drop everything this scope owns, its placeholder table included, from memory and disk."""
        with self._lock:
            self._shelves.pop(scope, None)
            self._ended.pop(scope, None)
            book = self._book(scope[0]) if self._folder is not None else None
        if book is not None and book.exists:
            KeptShelf(book, scope[1]).forget()

    def purge(self, user: str) -> bool:
        """Drop everything of all threads of `user`; False if nothing was on disk. Can be repeated.

        Destroy the user's key first: then nothing that a disk still holds can be opened.
        """
        with self._lock:
            for scope in [scope for scope in self._shelves if scope[0] == user]:
                self._shelves.pop(scope)
                self._ended.pop(scope, None)
            if self._folder is None:
                return False
            return self._book(user).destroy()

    def close(self) -> None:
        """Close the open files; a later call opens them again."""
        with self._lock:
            for book in self._books.values():
                book.close()

    def _shelf(self, scope: Scope) -> Shelf:
        with self._lock:
            self._ended.pop(scope, None)
            shelf = self._shelves.get(scope)
            if shelf is None:
                shelf = self._shelves[scope] = MemoryShelf()
            return shelf

    def _book(self, user: str) -> Book:
        book = self._books.get(user)
        if book is None:
            if self._folder is None or self._keys is None:
                raise VaultError("this vault keeps nothing on disk")
            book = self._books[user] = Book(self._folder, user, self._keys, self._bounds)
            while len(self._books) > _OPEN_BOOKS:
                self._books.popitem(last=False)[1].close()
        self._books.move_to_end(user)
        return book

    def __len__(self) -> int:
        """The number of scopes that hold something in memory."""
        with self._lock:
            return len(self._shelves)

    def __repr__(self) -> str:
        return f"Vault({len(self)} scopes)"
