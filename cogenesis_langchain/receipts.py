"""What the log of receipts gives out: entries and the verdict of a check, and how its rows are read.

Statuses of a receipt:

- sent        the bytes reached the endpoint, whatever it answered
- failed      no connection came about: nothing left
- refused     the gate or the store's veto stopped it: nothing left
- observed    observe mode built it and the gate looked at it: nothing left; `reason` is why it never would
- unresolved  the bytes may have left, and no end is on record: a timeout, a cut connection, a crash
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from cogenesis_langchain.chain import Row
from cogenesis_langchain.crypto import Keys
from cogenesis_langchain.errors import AuditError, CryptoError
from cogenesis_langchain.types import GenericTask, PrivateSpan, Receipt

_SEALED = "SELECT id, key, sealed FROM bodies WHERE id IN (SELECT value FROM json_each(?))"

Status = Literal["sent", "failed", "refused", "observed", "unresolved"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One receipt with the exact body; `reason` says why a refused one was refused.

    The body is None once it was erased or its key destroyed, and of what was refused. `key` is a fingerprint
    of the credential it went under; empty where there was none.
    """

    receipt: Receipt
    body: str | None = field(default=None, repr=False)
    attempt: int = 1
    reason: str | None = None
    spans: tuple[PrivateSpan, ...] = ()
    key: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON form: the receipt's fields, then key, attempt and body."""
        extra: dict[str, Any] = {"key": self.key, "attempt": self.attempt, "body": self.body}
        if self.reason:
            extra |= {"reason": self.reason, "spans": [span.as_dict() for span in self.spans]}
        return self.receipt.as_dict() | extra


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Whether the log is whole. `head` (count:HMAC) can be noted elsewhere and compared later."""

    rows: int
    head: str
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"ok": self.ok, "rows": self.rows, "head": self.head, "problems": list(self.problems)}


def entry_of(data: dict[str, Any], body: str | None, outcome: str | None) -> Entry:
    """The entry of a row's data, with how it ended as far as that is on record."""
    fields = {name: data[name] for name in Receipt.__slots__}
    if outcome is not None:
        fields["status"] = json.loads(outcome)["status"]
    spans = tuple(PrivateSpan(**span) for span in data.get("spans", ()))
    attempt, key = data.get("attempt", 1), data.get("key", "")
    return Entry(Receipt(**fields), body, attempt, data.get("reason"), spans, key)


class Bodies:
    """What was sent and told, sealed under each user's key. AuditError where that cannot be done."""

    SCHEMA = """
CREATE TABLE IF NOT EXISTS bodies (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, key TEXT NOT NULL, sealed TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS bodies_user ON bodies (user, key);
"""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def seal(self, user: str, receipt_id: str, task: GenericTask | None, body: str) -> str:
        """A line with the kind and the topic that were told, then the body; bound to its receipt."""
        line = json.dumps([task.kind, task.topic] if task else [])
        with _no_key_no_send():
            return self.keys.cipher(user).seal_text(f"{line}\n{body}", "receipt", receipt_id.encode())

    def open(
        self, receipt_id: str, key: str | None, sealed: str | None
    ) -> tuple[GenericTask | None, str | None]:
        """(task, body); None where it was erased, or the key (named by `key`) was destroyed."""
        if key is None or sealed is None:
            return None, None
        with _no_key_no_send():
            cipher = self.keys.named(key)
        try:
            text = cipher.open_text(sealed, "receipt", receipt_id.encode()) if cipher else None
        except CryptoError:  # of an earlier key of this user; that it was changed, `verify` finds
            return None, None
        if text is None or not text.startswith("["):  # an earlier version sealed the body alone
            return None, text
        line, _, body = text.partition("\n")
        told = json.loads(line)
        return (GenericTask(*told) if told else None), body

    def told(self, db: sqlite3.Connection, ids: Sequence[str]) -> dict[str, GenericTask]:
        """What the requests of these receipts told, as far as their users' keys are there."""
        sealed = db.execute(_SEALED, [json.dumps(ids)]).fetchall()
        return {row[0]: task for row in sealed if (task := self.open(*row)[0])}


@contextmanager
def _no_key_no_send() -> Iterator[None]:
    try:
        yield
    except CryptoError as error:
        raise AuditError(f"a receipt cannot be sealed or opened, so nothing is sent: {error}") from None


def check_bodies(rows: Sequence[Row], bodies: dict[str, str]) -> list[str]:
    """What is wrong with the sealed bodies (id -> body): each is receipted in the log or erased since."""
    erased: dict[str, int] = {}
    intents: dict[str, tuple[int, str, str]] = {}
    for seq, kind, row_id, text, _ in rows:
        try:
            data = json.loads(text)
            if kind == "erased":
                erased[str(data["user"])] = seq
            elif kind == "intent":
                intents[row_id] = seq, str(data["user"]), data["sealed_sha256"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a changed row, which the chain reports
    problems: list[str] = []
    for row_id, (seq, user, digest) in intents.items():
        body = bodies.pop(row_id, None)
        if body is None and erased.get(user, 0) < seq:
            problems.append(f"the body of row {seq} is missing")
        elif body is not None and (not isinstance(body, str) or sha256(body) != digest):
            problems.append(f"the body of row {seq} was changed")
    return [*problems, "there are bodies without a receipt"] if bodies else problems


def sha256(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
