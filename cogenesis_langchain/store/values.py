"""The known values of each user: in a small SQLite file beside Chroma, or on the Chroma server.

They are what must never leave, so they are written before the text they come from, and losing them must
not go unnoticed. Values are compared exactly; how they are found in text is the business of `known`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from cogenesis_langchain.errors import StoreBusyError, StoreError
from cogenesis_langchain.store.chroma import Chroma, chroma_errors
from cogenesis_langchain.store.records import Origin, StoredValue, user_hash
from cogenesis_langchain.types import KnownValue

_STRONGEST_FIRST = ("declared", "field", "entity", "phrase")
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS known_values (
    user TEXT NOT NULL, value TEXT NOT NULL, type TEXT NOT NULL, origin TEXT NOT NULL,
    enabled INTEGER NOT NULL, PRIMARY KEY (user, value)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, n INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES ('generation', 0);
COMMIT;
"""
_IS_MADE = "SELECT 1 FROM sqlite_master WHERE name = 'state'"


class ValueBook(Protocol):
    """Where known values are kept."""

    def all(self, user: str) -> list[StoredValue]:
        """Every value of the user, sorted."""

    def write(self, user: str, values: Iterable[StoredValue]) -> None:
        """Add or replace values; the user is remembered even without any."""

    def remove(self, user: str, value: str) -> bool:
        """Forget one value; whether it was there."""

    def users(self) -> list[str]:
        """Names of all users, sorted."""

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

    def all(self, user: str) -> list[StoredValue]:
        """Every value of the user, sorted."""
        sql = "SELECT value, type, origin, enabled FROM known_values WHERE user = ? ORDER BY value"
        rows = self._read(sql, user_hash(user))
        return [StoredValue(v, t, cast(Origin, o), bool(e)) for v, t, o, e in rows]

    def write(self, user: str, values: Iterable[StoredValue]) -> None:
        """Add or replace values in one transaction."""
        key = user_hash(user)
        rows = [(key, v.value, v.type, v.origin, int(v.enabled)) for v in values]
        with self.change() as db:
            db.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (key, user))
            db.executemany("INSERT OR REPLACE INTO known_values VALUES (?, ?, ?, ?, ?)", rows)

    def remove(self, user: str, value: str) -> bool:
        """Forget one value."""
        with self.change() as db:
            sql = "DELETE FROM known_values WHERE user = ? AND value = ?"
            return db.execute(sql, (user_hash(user), value)).rowcount > 0

    def users(self) -> list[str]:
        """Names of all users, sorted."""
        return [name for (name,) in self._read("SELECT name FROM users ORDER BY name")]

    def drop(self, user: str) -> None:
        """Forget the user, and rewrite the file so that nothing of them stays in free pages."""
        with self.change() as db:
            db.execute("DELETE FROM known_values WHERE user = ?", (user_hash(user),))
            db.execute("DELETE FROM users WHERE id = ?", (user_hash(user),))
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
        if not self.path.exists():
            return []
        with sqlite_errors("reading the known values"), closing(_open(self.path)) as db:
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

    def all(self, user: str) -> list[StoredValue]:
        """Every value of the user, sorted."""
        with self._chroma.lock:
            collection = self._chroma.collection(_values_name(user))
            if collection is None:
                return []
            with chroma_errors("reading the known values"):
                got = collection.get(include=["documents", "metadatas"])
        out = [
            StoredValue(text, str(meta["type"]), cast(Origin, meta["origin"]), bool(meta["enabled"]))
            for text, meta in zip(got["documents"] or (), got["metadatas"] or (), strict=True)
        ]
        return sorted(out, key=lambda value: value.value)

    def write(self, user: str, values: Iterable[StoredValue]) -> None:
        """Add or replace values."""
        values = list(values)
        with self._chroma.lock:
            collection = self._chroma.make(_values_name(user), {"user": user})
            if values:
                with chroma_errors("writing the known values"):
                    collection.upsert(
                        ids=[_value_id(v.value) for v in values],
                        documents=[v.value for v in values],
                        embeddings=[cast(Sequence[float], [1.0]) for _ in values],
                        metadatas=[
                            {"type": v.type, "origin": v.origin, "enabled": v.enabled} for v in values
                        ],
                    )

    def remove(self, user: str, value: str) -> bool:
        """Forget one value."""
        with self._chroma.lock:
            collection = self._chroma.collection(_values_name(user))
            if collection is None:
                return False
            with chroma_errors("writing the known values"):
                there = bool(collection.get(ids=[_value_id(value)], include=[])["ids"])
                if there:
                    collection.delete(ids=[_value_id(value)])
                return there

    def users(self) -> list[str]:
        """Names of all users, sorted."""
        with self._chroma.lock:
            return sorted(str((c.metadata or {}).get("user", "")) for c in self._chroma.named("v-"))

    def drop(self, user: str) -> None:
        """Forget the user."""
        with self._chroma.lock:
            self._chroma.drop(_values_name(user))


def _values_name(user: str) -> str:
    return f"v-{user_hash(user)}"


def _value_id(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:32]


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
    """Turn an SQLite error into a StoreError without the statement's values."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise StoreBusyError(f"{what}: another process holds the store; try again later") from None
        if "full" in text:
            raise StoreError(f"{what}: the disk is full; free some space and repeat the command") from None
        raise StoreError(f"{what}: SQLite failed; check the store's folder (`cogenesis doctor`)") from None
    except sqlite3.DatabaseError:
        raise StoreError(f"{what}: the file is damaged; put back a copy or start anew") from None
