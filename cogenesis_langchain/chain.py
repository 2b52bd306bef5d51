"""An append-only log in SQLite whose rows are chained by HMAC, and whose head lies in a file of its own.

Each row's HMAC covers the row before it, so an edited, removed or moved row is found; the head (count and
last HMAC, signed too) gives away rows cut off at the end. The log may be ahead of its head, after a crash
between the two writes; it is never behind.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cogenesis_langchain.errors import AuditError
from cogenesis_langchain.files import make_folder, write_whole

START = "0" * 64
_WAIT_S = 10.0
_ROWS = """
CREATE TABLE IF NOT EXISTS rows (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, mac TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rows_id ON rows (id);
"""

Row = tuple[int, str, str, str, str]  # seq, kind, id, data as JSON, mac


class Chain:
    """The log in `folder`; key (FOLDER.key) and head (FOLDER.head) lie beside it, readable by the owner only.

    Safe for threads and processes. Every method raises AuditError where the disk does not obey.
    `schema` adds tables of the caller's own.
    """

    def __init__(self, folder: Path, *, key_path: Path | None = None, schema: str = "") -> None:
        self.folder = folder
        self.key_path = key_path or folder.with_name(folder.name + ".key")
        self.head_path = folder.with_name(folder.name + ".head")
        self.db_path = folder / "receipts.sqlite3"
        self._schema = _ROWS + schema
        self._guard = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._seen: tuple[int, int, int] = 0, 0, 0
        self._key = b""
        self._lock = FileLock(folder / "lock", timeout=_WAIT_S, mode=0o600)
        self._tips: list[tuple[int, str]] = []  # of the transaction under way

    @property
    def exists(self) -> bool:
        """Whether anything was ever recorded."""
        with self._explained():
            return self.db_path.exists()

    def append(self, db: sqlite3.Connection, kind: str, row_id: str, data: Mapping[str, Any]) -> None:
        """Add one row, inside `writing`; AuditError where the log's end is not the one the head knows."""
        last = db.execute("SELECT seq, mac FROM rows ORDER BY seq DESC LIMIT 1").fetchone()
        seq, mac = last or (0, START)
        if not last and not self.head_path.exists():
            self._write_head(0, START)
        head = self._read_head()
        whole = head is not None and (head[0] < seq or head == (seq, mac))
        if not whole or not isinstance(mac, str):
            raise AuditError(
                f"receipts at {self.folder} do not match their head, so nothing is sent: run "
                "`cogenesis receipts --verify`; to begin anew, move the folder, its .head and .key away"
            )
        text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        new = self._mac(mac, seq + 1, kind, row_id, text)
        db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", (seq + 1, kind, row_id, text, new))
        self._tips.append((seq + 1, new))

    def check(self, rows: Sequence[Row]) -> tuple[tuple[int, str], list[str]]:
        """((count, last HMAC), problems) of all `rows`, read together with the head inside `locked`."""
        problems: list[str] = []
        macs = {0: START}
        before = 0
        for seq, kind, row_id, data, mac in rows:
            text = all(isinstance(cell, str) for cell in (kind, row_id, data, mac))
            if seq != before + 1:
                problems.append(f"rows {before + 1} to {seq - 1} are missing")
            elif not text or not _same(self._mac(macs[before], seq, kind, row_id, data), mac):
                problems.append(f"row {seq} was changed")
            macs[seq] = mac if isinstance(mac, str) else START
            before = seq
        head = self._read_head()
        if head is None:
            problems.append("the head file is missing or was changed")
        elif head[0] > before:
            problems.append(f"rows {before + 1} to {head[0]} are missing at the end")
        elif macs.get(head[0]) != head[1]:
            problems.append(f"row {head[0]} is not the one the head was anchored to")
        return (before, macs[before]), problems

    def vouch(self, db: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Raise AuditError unless each of `rows` is as it was written, going by the row before it."""
        for seq, kind, row_id, data, mac in rows:
            before = db.execute("SELECT mac FROM rows WHERE seq = ?", [seq - 1]).fetchone()
            chained = (before[0] if before else None) if seq > 1 else START
            cells = (chained, kind, row_id, data, mac)
            if not all(isinstance(cell, str) for cell in cells) or not _same(
                self._mac(str(chained), seq, kind, row_id, data), mac
            ):
                raise self.changed()

    def sign(self, text: str) -> str:
        """Hex HMAC-SHA256 of `text` under the log's key."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other thread or process changes the log meanwhile."""
        with self._guard, self._explained():
            make_folder(self.folder)
            try:
                with self._lock:  # each thread may take it again
                    yield
            except Timeout:
                raise AuditError(
                    f"another process holds the receipts at {self.folder}: wait, retry"
                ) from None

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when the block ends, and then the head.

        Without `durable` it survives a crash of the process but perhaps not one of the machine, and the head
        waits for the next durable row, because it must never be ahead of the log.
        """
        with self.locked(), self.reading() as db:
            self._tips.clear()
            db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            for tip in self._tips[-1:] if durable else ():
                self._write_head(*tip)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, opened if need be: anew after a fork, and where another file took its place."""
        with self._guard, self._explained():
            if self._db is None or self._seen != self._files():
                if self._seen[0] == os.getpid():  # what a fork brought along belongs to the parent
                    self.close()
                self._key = self._load_key()
                self._db = self._open()
                self._seen = self._files()
            yield self._db

    def changed(self) -> AuditError:
        """The error to raise where a row cannot be read as this log writes it."""
        return AuditError(
            f"receipts at {self.folder} were changed, so nothing is sent: run `cogenesis receipts --verify`"
        )

    def close(self) -> None:
        """Close the database; a later call opens it again."""
        with self._guard:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _files(self) -> tuple[int, int, int]:
        """This process, and which files lie where log and key belong: none is used that was moved away."""
        inodes = [path.stat().st_ino if path.exists() else 0 for path in (self.db_path, self.key_path)]
        return os.getpid(), inodes[0], inodes[1]

    def _mac(self, before: str, seq: int, kind: str, row_id: str, data: str) -> str:
        return self.sign(json.dumps([before, seq, kind, row_id, data]))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if "no such column" in str(error):
                raise AuditError(
                    f"receipts at {self.folder} are of an earlier version, with bodies in the clear, so "
                    "nothing is sent: move the folder, its .head and .key away"
                ) from None
            if "malformed JSON" in str(error) or "decode" in str(error):
                raise self.changed() from None
            cause = getattr(error, "sqlite_errorname", None) or type(error).__name__
            if isinstance(error, OSError) and error.errno:
                cause = os.strerror(error.errno)
            raise AuditError(
                f"receipts at {self.folder} cannot be read or written ({cause}), so nothing is sent: "
                "free disk space, or give this user access"
            ) from None

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.db_path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite's -wal and -shm take its mode
        db = sqlite3.connect(self.db_path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "secure_delete=ON"):
            db.execute(f"PRAGMA {pragma}")
        db.executescript(self._schema)
        return db

    def _load_key(self) -> bytes:
        """The key, made on first use; AuditError where a log exists and its key does not."""
        make_folder(self.folder)
        if not self.key_path.exists():
            if self.head_path.exists():
                raise AuditError(
                    f"the key of the receipts is gone, so nothing is sent: put {self.key_path} back"
                )
            make_folder(self.key_path.parent)
            with self.locked():
                if not self.key_path.exists():  # another process may have been faster
                    write_whole(self.key_path, secrets.token_bytes(32))
        key = self.key_path.read_bytes()
        if len(key) != 32:
            raise AuditError(
                f"the key file {self.key_path} is damaged, so nothing is sent: put the right one back"
            )
        return key

    def _write_head(self, count: int, mac: str) -> None:
        text = f"{count:012d}:{mac}"
        line = f"{text}:{self.sign(text)}\n".encode()
        if not self.head_path.exists():
            write_whole(self.head_path, line)
            return
        file = os.open(self.head_path, os.O_RDWR)
        try:
            os.pwrite(file, line, 0)  # in place and of fixed size: nothing to clean up after a crash
        finally:
            os.close(file)

    def _read_head(self) -> tuple[int, str] | None:
        try:
            text, _, signature = self.head_path.read_text("ascii").strip().rpartition(":")
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        if not hmac.compare_digest(self.sign(text), signature):
            return None
        count, _, mac = text.partition(":")
        return int(count), mac


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())  # as bytes: other characters are no error
