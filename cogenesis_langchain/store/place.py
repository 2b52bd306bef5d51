"""Where entries lie: files of this machine or a Chroma server. Users go by pseudonyms, entries are opaque."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.errors import StoreError
from cogenesis_langchain.store import chroma as chroma_
from cogenesis_langchain.store import disk
from cogenesis_langchain.store.chroma import Chroma, chroma_errors
from cogenesis_langchain.store.values import LocalValues, ServerValues, ValueBook, sqlite_errors

if TYPE_CHECKING:
    from chromadb import Collection

    from cogenesis_langchain.settings import ServerConfig

Row = tuple[str, Any]
"""(id, metadata) of one item; `entries` knows what stands in it."""
_IN_THE_CLEAR = ("type", "added", "seq")


class Place:
    """One collection of items for each user, and the book of their known values.

    Args:
        root: the store's folder, made at the first write; unused with a server.
        server: a Chroma server instead of files.
        wait_s: seconds to wait for another process that is writing.
    """

    def __init__(self, root: Path, server: ServerConfig | None, wait_s: float) -> None:
        self.root = root
        self.server = server
        self.wait_s = wait_s
        self.chroma = Chroma(None, server) if server else chroma_.on_disk(root)
        self._local = LocalValues(root / "values.sqlite3")
        self.values: ValueBook = ServerValues(self.chroma) if server else self._local

    def __repr__(self) -> str:
        return "server" if self.server else str(self.root)

    @contextmanager
    def reading(self, name: str) -> Iterator[Collection | None]:
        """The user's collection as the last finished write left it, or None."""
        with self.chroma.lock, chroma_errors("reading the store"):
            if self.server:
                yield self.chroma.collection(f"u-{name}")
            elif self._ready():
                self._freshen()
                yield self.chroma.collection(f"u-{name}")
            else:
                yield None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone among writers of all processes; what was half done is visible to the next one."""
        if self.server:
            with self.chroma.lock:
                yield
            return
        disk.prepare(self.root)
        with sqlite_errors("writing the store"), disk.write_lock(self.root, self.wait_s), self.chroma.lock:
            self._freshen()
            self._local.begin()
            yield
            self.chroma.seen = self._local.end()
            disk.tighten(self.root)

    def check_values(self, name: str) -> None:
        """StoreError if known values are lost while texts remain: all of them, or this user's.

        A user's entry in the book is written before their first text, and goes after their last one.
        """
        if not self.server and self._on_disk() and not self._local.generation():
            raise StoreError(
                f"{self._local.path} is gone or empty: put it back, or delete {self.root} and add again"
            )
        if name in self.values.users():
            return
        with self.reading(name) as collection:
            texts = collection.count() if collection is not None else 0
        if texts and name not in self.values.users():  # asked again: a first write may have come between
            raise StoreError(
                "the known values of this user are lost, and texts of theirs are not: put the store back as "
                "it was, or run `cogenesis context purge` and add the context again"
            )

    def rows(self, name: str, type: str | None = None) -> list[Row]:
        """The user's items, or those of one type, oldest first."""
        collection = self.chroma.collection(f"u-{name}") if self.server or self._on_disk() else None
        if collection is None:
            return []
        with chroma_errors("reading the store"):
            got = collection.get(where={"type": type} if type else None, include=["metadatas"])
        found: list[Row] = list(zip(got["ids"], got["metadatas"] or (), strict=True))
        return sorted(found, key=lambda row: row[1].get("seq", 0))

    def write(self, name: str, rows: Sequence[Row], vectors: Any) -> None:
        """Add or replace items, inside `writing`; `vectors` is (n, d) float32 of unit norm."""
        collection = self.chroma.make(f"u-{name}")
        if not self.server:
            disk.block_index(self.root)
        with chroma_errors("writing the store"):
            collection.upsert(
                ids=[key for key, _ in rows], embeddings=vectors, metadatas=[meta for _, meta in rows]
            )

    def drop(self, name: str) -> None:
        """Delete items, values and name of a user, inside `writing`, and free the files of their bytes."""
        if self.server or self._on_disk():
            self.chroma.drop(f"u-{name}")
        if not self.server:
            self.chroma.close()
            disk.rewrite(self.root)
        self.values.drop(name)

    def strings(self, name: str) -> list[str]:
        """What the files hold of a user, as it stands there."""
        cells = [str(c) for _, meta in self.rows(name) for k, c in meta.items() if k not in _IN_THE_CLEAR]
        return [*cells, *(entry for _, entry in self.values.all(name)), self.values.users().get(name, "")]

    def strings_without(self, name: str) -> list[str]:
        """What the files hold when this user is gone: others' strings, and the databases' own words."""
        others = [other for other in self.values.users() if other != name]
        return [*(text for other in others for text in self.strings(other)), *disk.own_words(self.root)]

    def _on_disk(self) -> bool:
        with sqlite_errors("reading the store"):
            return (self.root / disk.CHROMA_FILE).exists()

    def _ready(self) -> bool:
        """Whether a first write was finished; before that another process may still be making the tables."""
        return self._on_disk() and self._local.generation() != 1

    def _freshen(self) -> None:
        """Open Chroma again if another process wrote: its index in memory does not follow the disk."""
        generation = self._local.generation()
        if generation % 2 or self.chroma.seen != generation:
            self.chroma.close()
            self.chroma.seen = generation
