"""The entries of each user's known values: in a small SQLite file beside Chroma, or on the Chroma server.

They are what must never leave, so they are written before the text they come from, and losing them must
not go unnoticed. Here they are opaque; `entries` seals and opens them. Users go by their pseudonyms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from cogenesis_langchain.errors import StoreBusyError, StoreError
from cogenesis_langchain.files import cause_of
from cogenesis_langchain.store.chroma import Chroma, chroma_errors
from cogenesis_langchain.store.records import StoredValue
from cogenesis_langchain.types import KnownValue

_STRONGEST_FIRST = ("declared", "field", "entity", "phrase")
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    user TEXT NOT NULL, id TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (user, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, n INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES ('generation', 0);
COMMIT;
"""
_OF_USER = "SELECT id, entry FROM entries WHERE user = ? ORDER BY id"
_IS_MADE = "SELECT 1 FROM sqlite_master WHERE name = 'state'"

Rows = Iterable[tuple[str, str]]  # (id, entry)


class ValueBook(Protocol):
    """Where the entries are kept."""

    def all(self, user: str) -> list[tuple[str, str]]:
        """(id, entry) of every value of the user."""

    def write(self, user: str, name: str, rows: Rows) -> None:
        """Add or replace entries; the user's sealed `name` is kept even without any."""

    def remove(self, user: str, key: str) -> bool:
        """Forget one value; whether it was there."""

    def users(self) -> dict[str, str]:
        """Pseudonym -> sealed name of all users."""

    def drop(self, user: str) -> None:
        """Forget the user."""


def merged(stored: Iterable[StoredValue], found: Iterable[KnownValue]) -> list[StoredValue]:
    """What has to be written: new values, and old ones now known from a stronger source."""
    known = {value.value: value for value in stored}
    changed: dict[str, StoredValue] = {}
    for value in found:
        old = known.get(value.value)
        if not value.value.strip() or (old and _rank(old.origin) <= _rank(value.origin)):
            continue
        enabled = old.enabled if old else True
        known[value.value] = changed[value.value] = StoredValue(
            value.value, value.type, value.origin, enabled
        )
    return list(changed.values())


def _rank(origin: str) -> int:
    return _STRONGEST_FIRST.index(origin)


class LocalValues:
    """SQLite in one file, a connection for each call: safe with threads and with other processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self, user: str) -> list[tuple[str, str]]:
        """(id, entry) of every value of the user."""
        return [(key, entry) for key, entry in self._read(_OF_USER, user)]

    def write(self, user: str, name: str, rows: Rows) -> None:
        """Add or replace entries in one transaction."""
        with self.change() as db:
            db.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (user, name))
            db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", [(user, *row) for row in rows])

    def remove(self, user: str, key: str) -> bool:
        """Forget one value."""
        with self.change() as db:
            return db.execute("DELETE FROM entries WHERE user = ? AND id = ?", (user, key)).rowcount > 0

    def users(self) -> dict[str, str]:
        """Pseudonym -> sealed name of all users."""
        return dict(self._read("SELECT id, name FROM users"))

    def drop(self, user: str) -> None:
        """Forget the user, and rewrite the file so that nothing of them stays in free pages."""
        with self.change() as db:
            db.execute("DELETE FROM entries WHERE user = ?", (user,))
            db.execute("DELETE FROM users WHERE id = ?", (user,))
        vacuum(self.path)

    def generation(self) -> int:
        """Goes up by two with each write to the store; odd while one is going on, or was killed."""
        rows = self._read("SELECT n FROM state WHERE key = 'generation'")
        return int(rows[0][0]) if rows else 0

    def begin(self) -> None:
        """Mark a write as going on."""
        with self.change() as db:
            db.execute("UPDATE state SET n = (n | 1) + 2 * (n & 1)")

    def end(self) -> int:
        """Mark it as done; the new generation."""
        with self.change() as db:
            db.execute("UPDATE state SET n = (n | 1) + 1")
        return self.generation()

    def _read(self, sql: str, *given: str) -> list[tuple[Any, ...]]:
        with sqlite_errors("reading the known values"), ExitStack() as opened:
            if not self.path.exists():
                return []
            db = opened.enter_context(closing(_open(self.path)))
            if not db.execute(_IS_MADE).fetchone():
                return []  # another process is making the file
            return db.execute(sql, given).fetchall()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction; the file is made if it is missing."""
        with sqlite_errors("writing the known values"), closing(_open(self.path)) as db:
            if not db.execute(_IS_MADE).fetchone():
                db.executescript(_SCHEMA)
                self.path.chmod(0o600)
            with db:
                yield db


class ServerValues:
    """The same on a Chroma server: one collection for each user, one record for each value."""

    def __init__(self, chroma: Chroma) -> None:
        self._chroma = chroma

    def all(self, user: str) -> list[tuple[str, str]]:
        """(id, entry) of every value of the user."""
        with self._chroma.lock:
            collection = self._chroma.collection(f"v-{user}")
            if collection is None:
                return []
            with chroma_errors("reading the known values"):
                got = collection.get(include=["metadatas"])
        return [
            (key, str(meta.get("entry", "")))
            for key, meta in zip(got["ids"], got["metadatas"] or (), strict=True)
        ]

    def write(self, user: str, name: str, rows: Rows) -> None:
        """Add or replace entries."""
        rows = list(rows)
        with self._chroma.lock:
            collection = self._chroma.make(f"v-{user}", {"user": name})
            if rows:
                with chroma_errors("writing the known values"):
                    collection.upsert(
                        ids=[key for key, _ in rows],
                        embeddings=[cast(Sequence[float], [1.0]) for _ in rows],
                        metadatas=[{"entry": entry} for _, entry in rows],
                    )

    def remove(self, user: str, key: str) -> bool:
        """Forget one value."""
        with self._chroma.lock:
            collection = self._chroma.collection(f"v-{user}")
            if collection is None:
                return False
            with chroma_errors("writing the known values"):
                there = bool(collection.get(ids=[key], include=[])["ids"])
                if there:
                    collection.delete(ids=[key])
                return there

    def users(self) -> dict[str, str]:
        """Pseudonym -> sealed name of all users."""
        with self._chroma.lock:
            found = self._chroma.named("v-")
        return {c.name.removeprefix("v-"): str((c.metadata or {}).get("user", "")) for c in found}

    def drop(self, user: str) -> None:
        """Forget the user."""
        with self._chroma.lock:
            self._chroma.drop(f"v-{user}")


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_WAIT_S)
    db.execute("PRAGMA secure_delete = ON")
    return db


_WAIT_S = 15.0


def vacuum(path: Path, *first: Callable[[sqlite3.Connection], None]) -> None:
    """Rewrite a database so that deleted rows are gone; `first` is done before."""
    with sqlite_errors("purging"), closing(_open(path)) as db:
        db.execute("PRAGMA temp_store = MEMORY")  # the copy VACUUM makes must not land in /tmp
        for step in first:
            step(db)
            db.commit()
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def sqlite_errors(what: str) -> Iterator[None]:
    """Turn an error of SQLite or of the disk into a StoreError without the statement's values."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise StoreBusyError(f"{what}: another process holds the store; try again later") from None
        if "no such table" in text:
            raise StoreError(
                f"{what}: an earlier version wrote this store, in the clear: delete its folder `context` "
                "and add the context again"
            ) from None
        if "full" in text:
            raise StoreError(f"{what}: the disk is full; free some space and repeat the command") from None
        raise StoreError(f"{what}: SQLite failed; check the store's folder (`cogenesis doctor`)") from None
    except sqlite3.DatabaseError:
        raise StoreError(f"{what}: the file is damaged; put back a copy or start anew") from None
    except OSError as error:
        raise StoreError(f"{what}: {cause_of(error)}; give this user access to the store's folder") from None
