"""What a thread leaves on disk, so that another process can go on with it.

Threads are named by a keyed tag, and each entry is one sealed row of its user's book. Rows are written
before their use is answered for, and what lets bytes leave (a floor, a spent name) is on the disk itself
first: it outlives kill -9 and a power cut.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cogenesis_langchain.crypto import Cipher
from cogenesis_langchain.errors import VaultError
from cogenesis_langchain.placeholders import Table
from cogenesis_langchain.types import Level, Route, Step
from cogenesis_langchain.vault.book import (
    FLOOR,
    INSERT,
    PLACEHOLDER,
    PURPOSE,
    SPENT,
    TEXT,
    Book,
    opened,
    sealed,
    this_hour,
)

_SET = INSERT + " ON CONFLICT (scope, kind, mark) DO UPDATE SET sealed = excluded.sealed, at = excluded.at"


class KeptShelf:
    """What one thread owns, in its user's book. What was read or written stays in memory for the run."""

    def __init__(self, book: Book, thread: str) -> None:
        self.runs = 0
        self._book = book
        self._thread = thread
        self._lock = threading.RLock()
        self._texts: dict[str, str] = {}
        self._table: KeptTable | None = None

    def put(self, text: str) -> str:
        """Keeps `text`; the same text has the same handle in every process."""
        with self._lock, self._book.writing() as (db, cipher):
            scope, mark = self._scope(cipher), cipher.tag(f"{self._thread}\0{text}", PURPOSE)
            same = "SELECT name FROM entries WHERE scope = ? AND kind = ? AND mark = ?"
            found = db.execute(same, (scope, TEXT, mark)).fetchone()
            handle = found[0] if found else f"vault:{secrets.token_hex(16)}"
            if not found:
                self._insert(db, cipher, TEXT, mark, handle, text)
            self._texts[handle] = text
            return handle

    def get(self, handle: str) -> str | None:
        """The text behind `handle`; None if this thread owns no such handle."""
        with self._lock:
            if (text := self._texts.get(handle)) is not None:
                return text
            with self._book.reading() as (db, cipher):
                scope = self._scope(cipher)
                sql = "SELECT mark, sealed FROM entries WHERE scope = ? AND kind = ? AND name = ?"
                found = db.execute(sql, (scope, TEXT, handle)).fetchone()
                if not found:
                    return None
                self._texts[handle] = opened(cipher, found[1], scope, TEXT, found[0], handle)
            return self._texts[handle]

    def alias(self, name: str) -> str:
        """What stands for `name`, in every process: a keyed tag."""
        with self._book.reading() as (_, cipher):
            return cipher.tag(f"{self._thread}\0{name}", f"{PURPOSE}-alias")[:32]

    def table(self) -> Table:
        """The placeholder table, with what other processes have issued meanwhile."""
        with self._lock:
            if self._table is None or self._table.broken:
                self._table = KeptTable(self)
            self._table.refresh()
            return self._table

    def floor(self) -> Step | None:
        """The most private step of this thread, whichever process took it."""
        with self._book.reading() as (db, cipher):
            return self._floor(db, cipher)

    def raise_floor(self, step: Step) -> Step:
        """As the vault's; on the disk before it returns."""
        before = self.floor()
        if before is not None and step.rank <= before.rank:
            return before
        with self._book.writing(durable=True) as (db, cipher):
            before = self._floor(db, cipher)
            if before is not None and step.rank <= before.rank:
                return before
            place = (self._scope(cipher), FLOOR, "", "")
            told = json.dumps([step.route.value, step.level and step.level.value])
            db.execute(_SET, (*place, sealed(cipher, told.encode(), *place), this_hour()))
            return step

    def spend(self, name: str) -> bool:
        """As the vault's, over all processes; on the disk before it returns."""
        with self._book.writing(durable=True) as (db, cipher):
            place = (self._scope(cipher), SPENT, cipher.tag(f"{self._thread}\0{name}", PURPOSE), "")
            row = (*place, sealed(cipher, b"", *place), this_hour())
            return db.execute(INSERT + " ON CONFLICT DO NOTHING", row).rowcount == 1

    def forget(self) -> None:
        """Deletes everything of this thread, floor and spent names included."""
        with self._lock, self._book.writing() as (db, cipher):
            db.execute("DELETE FROM entries WHERE scope = ?", (self._scope(cipher),))
            self._texts, self._table = {}, None

    @contextmanager
    def issuing(self) -> Iterator[Callable[[str, str], int]]:
        """Alone among all processes: a function that keeps a placeholder and its value, and gives its row."""
        with self._book.writing() as (db, cipher):

            def keep(placeholder: str, value: str) -> int:
                mark = cipher.tag(f"{self._thread}\0{placeholder}", PURPOSE)
                return self._insert(db, cipher, PLACEHOLDER, mark, "", json.dumps([placeholder, value]))

            yield keep

    def issued_after(self, seq: int) -> list[tuple[int, str, str]]:
        """(row, placeholder, value) of what was issued later than row `seq`, oldest first."""
        with self._book.reading() as (db, cipher):
            scope = self._scope(cipher)
            sql = (
                "SELECT seq, mark, sealed FROM entries WHERE scope = ? AND kind = ? AND seq > ? ORDER BY seq"
            )
            rows = db.execute(sql, (scope, PLACEHOLDER, seq)).fetchall()
            texts = [(n, opened(cipher, blob, scope, PLACEHOLDER, mark, "")) for n, mark, blob in rows]
        return [(n, *json.loads(text)) for n, text in texts]

    def _scope(self, cipher: Cipher) -> str:
        return cipher.tag(self._thread, f"{PURPOSE}-scope")[:32]

    def _floor(self, db: sqlite3.Connection, cipher: Cipher) -> Step | None:
        place = (self._scope(cipher), FLOOR, "", "")
        found = db.execute("SELECT sealed FROM entries WHERE scope = ? AND kind = ?", place[:2]).fetchone()
        if not found:
            return None
        route, level = json.loads(opened(cipher, found[0], *place))
        return Step(Route(route), Level(level) if level else None)

    def _insert(
        self, db: sqlite3.Connection, cipher: Cipher, kind: str, mark: str, name: str, text: str
    ) -> int:
        place = (self._scope(cipher), kind, mark, name)
        data = text.encode("utf-8", "surrogatepass")
        return int(db.execute(INSERT, (*place, sealed(cipher, data, *place), this_hour())).lastrowid or 0)


class KeptTable(Table):
    """A table whose placeholders are on disk before they are used, one numbering over all processes."""

    def __init__(self, shelf: KeptShelf) -> None:
        super().__init__()
        self.broken = False
        """Whether the disk refused what memory holds: then it is read anew."""
        self._shelf = shelf
        self._seen = 0
        self._turn = threading.RLock()

    def refresh(self) -> None:
        """Takes over what was issued since, here or elsewhere."""
        with self._turn:
            later = self._shelf.issued_after(self._seen)
            try:
                self.adopt((placeholder, value) for _, placeholder, value in later)
            except ValueError as error:
                raise VaultError(f"the kept placeholders of this thread are damaged: {error}") from None
            self._seen = max([self._seen, *(seq for seq, _, _ in later)])

    def placeholder(self, value: str, type: str) -> str:
        """As every table's."""
        if (known := self.find(value)) is not None:
            return known
        with self._turn:
            try:
                with self._shelf.issuing() as keep:
                    self.refresh()
                    before = self.issued
                    found = super().placeholder(value, type)
                    for new in sorted(self.issued - before):
                        self._seen = keep(new, str(self.value(new)))
            except BaseException:
                self.broken = True
                raise
        return found
