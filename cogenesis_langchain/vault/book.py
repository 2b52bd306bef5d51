"""The file of one user's threads: SQLite, every row sealed with the user's key and bound to its place.

What stays visible: how many threads and entries a user has, their sizes, and their times to the hour. What
is not covered: somebody who can write the file and puts an older copy of it back.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cogenesis_langchain.crypto import Cipher, Keys, pseudonym
from cogenesis_langchain.errors import CryptoError, VaultError
from cogenesis_langchain.files import cause_of, make_folder, wipe

PURPOSE = "vault"
TEXT, PLACEHOLDER, FLOOR, SPENT = "text", "placeholder", "floor", "spent"
_CHECK = ("", "check", "", "")
INSERT = "INSERT INTO entries (scope, kind, mark, name, sealed, at) VALUES (?, ?, ?, ?, ?, ?)"
_WAIT_S = 15.0
_HOUR, _DAY = 3600, 86_400
_FIX = "put the user's key back, or purge the user (`cogenesis context purge`)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, scope TEXT NOT NULL, kind TEXT NOT NULL, mark TEXT NOT NULL,
    name TEXT NOT NULL, sealed BLOB NOT NULL, at INTEGER NOT NULL, UNIQUE (scope, kind, mark)
);
CREATE INDEX IF NOT EXISTS by_name ON entries (scope, kind, name);
"""
_SIZES = """
SELECT scope, MAX(at), SUM(LENGTH(sealed)) FROM entries WHERE kind IN ('text', 'placeholder')
GROUP BY scope ORDER BY MAX(at) DESC
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long texts are kept: days since a thread was last used, and bytes for each user.

    Over the bytes, the threads that rested longest go first, and none that was used within a day. Floors
    and spent names (some 100 bytes each) stay, so that a thread never moves left, however old it is.
    """

    days: int = 90
    bytes: int = 256 << 20


class Book:
    """The file of one user. Safe for threads and processes; one connection, opened at first use.

    Everything raises VaultError where the file or the key does not serve; it never quotes what is in it.
    """

    def __init__(self, folder: Path, user: str, keys: Callable[[], Keys], bounds: Bounds) -> None:
        self._path = folder / f"{pseudonym(user)}.sqlite3"
        self._user = user
        self._keys = keys
        self._bounds = bounds
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._opened: tuple[object, ...] = ()
        self._pruned = 0.0

    def __repr__(self) -> str:
        return "Book()"

    @property
    def exists(self) -> bool:
        """Whether the user has a file at all."""
        return self._path.exists()

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, Cipher]]:
        """The connection, and the cipher of its rows."""
        with self._lock, vault_errors():
            yield self._ready()

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[tuple[sqlite3.Connection, Cipher]]:
        """The same, alone among all processes; what is written holds whole or not at all.

        With `durable` it outlives a power cut, and so does all that was written before it.
        """
        with self.reading() as (db, cipher):
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db, cipher
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def destroy(self) -> bool:
        """Deletes the file; False if there was none."""
        with self._lock, vault_errors():
            self.close()
            there = self._path.exists()
            for suffix in ("", "-wal", "-shm"):
                wipe(self._path.with_name(self._path.name + suffix))
            return there

    def _ready(self) -> tuple[sqlite3.Connection, Cipher]:
        """The open file and its cipher: both anew after a purge, another key, or a fork."""
        try:
            file = self._path.stat().st_ino
        except FileNotFoundError:
            file = 0
        cipher = self._keys().find(self._user) if file else self._keys().cipher(self._user)
        if cipher is None:
            raise VaultError(
                f"the key of what this user's threads keep is gone, or store.encrypt was false then: {_FIX}"
            )
        if self._db is None or self._opened != (os.getpid(), file, cipher):
            self._db = None if self._opened[:1] != (os.getpid(),) else self._db
            self.close()
            self._db = self._open(cipher)
            self._opened = (os.getpid(), self._path.stat().st_ino, cipher)
        if time.time() - self._pruned > _DAY:
            self._prune(self._db)
        return self._db, cipher

    def _open(self, cipher: Cipher) -> sqlite3.Connection:
        make_folder(self._path.parent)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite would ask the umask
        db = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum = FULL")  # counts for a new file only
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA secure_delete = ON")
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._check(db, cipher)
        except BaseException:
            db.close()
            raise
        return db

    def _check(self, db: sqlite3.Connection, cipher: Cipher) -> None:
        """A file of another key is told apart here, before its threads merely seem to be gone."""
        db.execute(INSERT + " ON CONFLICT DO NOTHING", (*_CHECK, sealed(cipher, b"", *_CHECK), 0))
        opened(cipher, db.execute("SELECT sealed FROM entries WHERE kind = 'check'").fetchone()[0], *_CHECK)

    def _prune(self, db: sqlite3.Connection) -> None:
        now, total = time.time(), 0
        self._pruned = now
        for scope, last, size in db.execute(_SIZES).fetchall():
            total += size
            rested = now - last
            if rested > self._bounds.days * _DAY or (rested > _DAY and total > self._bounds.bytes):
                kinds = (scope, TEXT, PLACEHOLDER)
                db.execute("DELETE FROM entries WHERE scope = ? AND kind IN (?, ?)", kinds)


def sealed(cipher: Cipher, data: bytes, *place: str) -> bytes:
    """Bytes that open only at the place (scope, kind, mark, name) they were sealed for."""
    return cipher.seal(data, PURPOSE, "\0".join(place).encode())


def opened(cipher: Cipher, data: bytes, *place: str) -> str:
    """The text that was sealed for this place. Raises CryptoError."""
    return cipher.open(bytes(data), PURPOSE, "\0".join(place).encode()).decode("utf-8", "surrogatepass")


def this_hour() -> int:
    """Seconds since 1970, to the hour: no finer time of an entry is kept."""
    return int(time.time()) // _HOUR * _HOUR


@contextmanager
def vault_errors() -> Iterator[None]:
    """Whatever key, disk or SQLite do wrong becomes a VaultError that names cause and fix."""
    try:
        yield
    except CryptoError as error:
        raise VaultError(f"what this user's threads keep cannot be opened: {error}; {_FIX}") from None
    except sqlite3.OperationalError as error:
        words = str(error)
        if "locked" in words or "busy" in words:
            raise VaultError("another process holds what this user's threads keep: try again") from None
        cause = "the disk is full" if "full" in words else "SQLite failed"
        raise VaultError(f"the vault cannot be used: {cause}; check the store's folder") from None
    except sqlite3.DatabaseError:
        raise VaultError(f"the file of this user's threads is damaged: put back a copy, or {_FIX}") from None
    except OSError as error:
        raise VaultError(f"the vault cannot be used: {cause_of(error)}; check the store's folder") from None
