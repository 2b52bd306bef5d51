"""Receipts of what left: byte for byte, durable before the send, and tamper-evident (see `chain`).

What is covered: edited, removed, reordered and cut-off rows, and bodies that were changed or vanished
without an erasure, are found by `verify()`, which needs no user's key. A row holds no user's name (only its
HMAC) and no private value; bodies are sealed under their user's key. What is not: a row keeps its body's
SHA-256, by which a short body can be guessed, also after its erasure; somebody who holds the key file can
forge; somebody who puts back old copies of log and head together is found only by comparing with a head
noted elsewhere (`VerifyReport.head`).

Statuses of a receipt:

- sent        the bytes reached the endpoint, whatever it answered
- failed      no connection came about: nothing left
- refused     the gate or the store's veto stopped it: nothing left
- observed    observe mode built it and the gate looked at it: nothing left; `reason` is why it never would
- unresolved  the bytes may have left, and no end is on record: a timeout, a cut connection, a crash
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cogenesis_langchain.chain import START, Chain, Row
from cogenesis_langchain.crypto import Keys, pseudonym
from cogenesis_langchain.errors import AuditError, CryptoError
from cogenesis_langchain.receipts import Entry, Status, VerifyReport, check_bodies, entry_of, sha256
from cogenesis_langchain.types import Outbound, PrivateSpan, Receipt

__all__ = ["Audit", "Entry", "Status", "VerifyReport"]

_BODIES = """
CREATE TABLE IF NOT EXISTS bodies (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, key TEXT NOT NULL, sealed TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS bodies_user ON bodies (user, key);
"""
_ENTRIES = """
SELECT r.id, r.data, b.key, b.sealed,
    (SELECT o.data FROM rows o WHERE o.id = r.id AND o.kind = 'outcome' ORDER BY o.seq DESC LIMIT 1)
FROM rows r LEFT JOIN bodies b ON b.id = r.id
WHERE r.kind IN (SELECT value FROM json_each(:kinds))
    AND (:owner IS NULL OR json_extract(r.data, '$.user') = :owner)
ORDER BY r.seq DESC LIMIT :limit
"""
_OUTCOMES = """
SELECT id, data FROM rows WHERE id IN (SELECT value FROM json_each(?)) AND kind = 'outcome' ORDER BY seq
"""


class Audit:
    """The receipts in the folder `path`; the log's key (PATH.key) and head (PATH.head) lie beside it.

    `keys` are the users' own, under which bodies are sealed; None: those in the folder `keys` beside `path`.
    Safe for threads and for several processes. Every method raises AuditError where the log cannot be read
    or written: then nothing may be sent.
    """

    def __init__(self, path: Path, *, key_path: Path | None = None, keys: Keys | None = None) -> None:
        self._keys = keys or Keys(path.with_name("keys"))
        self._chain = Chain(path, key_path=key_path, schema=_BODIES)

    def intent(
        self,
        outbound: Outbound,
        *,
        route: str,
        level: str | None = None,
        bits: float | None = None,
        user: str = "",
        attempt: int = 1,
    ) -> Receipt:
        """Record, on disk, that these bytes are about to leave. The receipt is unresolved until told."""
        told = None if level is None else str(level)
        receipt = Receipt(
            _new_id(), _now(), outbound.endpoint, outbound.sha256, bits, str(route), told, "unresolved"
        )
        with _no_key_no_send():
            sealed = self._keys.cipher(user).seal_text(outbound.body, "receipt", receipt.id.encode())
        with self._chain.writing() as db:
            owner = self._owner(user)
            db.execute("INSERT INTO bodies VALUES (?, ?, ?, ?)", (receipt.id, owner, pseudonym(user), sealed))
            kept = {"user": owner, "attempt": attempt, "sealed_sha256": sha256(sealed)}
            row = receipt.as_dict() | kept
            self._chain.append(db, "intent", receipt.id, row)
        return receipt

    def outcome(self, receipt_id: str, status: Status) -> None:
        """Record how the send named by `receipt_id` ended. Lost with a power cut, it reads `unresolved`."""
        with self._chain.writing(durable=False) as db:
            self._chain.append(db, "outcome", receipt_id, {"time": _now(), "status": status})

    def hit(
        self, endpoint: str, route: str, level: str | None, user: str, spans: Sequence[PrivateSpan]
    ) -> Receipt:
        """Record that the gate stopped a request over private values: where and what kind, never which."""
        return self._refused("gate_hit", endpoint, route, level, user, "private value in the body", spans)

    def veto(self, *, route: str, level: str | None, user: str, reason: str) -> Receipt:
        """Record that the store vetoed telling a task; `reason` must not quote it."""
        return self._refused("veto", "", route, level, user, reason, ())

    def observed(
        self,
        outbound: Outbound,
        *,
        route: str,
        level: str | None,
        bits: float | None,
        user: str,
        reason: str | None = None,
        spans: Sequence[PrivateSpan] = (),
    ) -> Receipt:
        """Record what observe mode did not send: the body's hash alone, and why the gate would stop it."""
        told = None if level is None else str(level)
        receipt = Receipt(
            _new_id(), _now(), outbound.endpoint, outbound.sha256, bits, str(route), told, "observed"
        )
        self._note("observed", receipt, user, reason, spans)
        return receipt

    def receipts(self, user: str | None = None, limit: int | None = None) -> list[Entry]:
        """What left or was about to, oldest first: the last `limit`, of `user` if one is named."""
        return self._entries("intent", user=user, limit=limit)

    def ended(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """The same receipts with how each attempt ended, as far as that is on record; no body is opened."""
        if not self._chain.exists:
            return list(receipts)
        with self._chain.reading() as db:
            rows = db.execute(_OUTCOMES, [json.dumps([receipt.id for receipt in receipts])]).fetchall()
        try:
            outcomes = {row_id: json.loads(data)["status"] for row_id, data in rows}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._chain.changed() from None
        return [replace(receipt, status=outcomes.get(receipt.id, receipt.status)) for receipt in receipts]

    def refusals(self, user: str | None = None, limit: int | None = None) -> list[Entry]:
        """What gate and veto stopped, oldest first; there is no body to show."""
        return self._entries("gate_hit", "veto", user=user, limit=limit)

    def observations(self, user: str | None = None, limit: int | None = None) -> list[Entry]:
        """What observe mode built and kept here, oldest first; there is no body to show."""
        return self._entries("observed", user=user, limit=limit)

    def erase(self, user: str) -> int:
        """Erase the bodies of `user` from the disk; receipts stay, the chain holds. Gives their number."""
        if not self._chain.exists:
            return 0
        with self._chain.writing() as db:
            owner = self._owner(user)
            count = db.execute("DELETE FROM bodies WHERE user = ?", (owner,)).rowcount
            self._chain.append(db, "erased", _new_id(), {"time": _now(), "user": owner, "bodies": count})
        with self._chain.locked(), self._chain.reading() as db:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the write-ahead log held the bodies too
        return count

    def verify(self) -> VerifyReport:
        """Check the whole log; problems name rows by number."""
        if not self._chain.exists:
            gone = ("the log is gone and its head is not",) if self._chain.head_path.exists() else ()
            return VerifyReport(0, f"0:{START}", gone)
        with self._chain.locked(), self._chain.reading() as db:
            rows: list[Row] = db.execute("SELECT seq, kind, id, data, mac FROM rows ORDER BY seq").fetchall()
            bodies = dict(db.execute("SELECT id, sealed FROM bodies").fetchall())
            (count, mac), problems = self._chain.check(rows)
        return VerifyReport(len(rows), f"{count}:{mac}", (*problems, *check_bodies(rows, bodies)))

    def close(self) -> None:
        """Close the database; a later call opens it again."""
        self._chain.close()

    def _owner(self, user: str) -> str:
        return self._chain.sign(f"user:{user}")[:32]

    def _refused(
        self,
        kind: str,
        endpoint: str,
        route: str,
        level: str | None,
        user: str,
        reason: str,
        spans: Sequence[PrivateSpan],
    ) -> Receipt:
        told = None if level is None else str(level)
        receipt = Receipt(_new_id(), _now(), endpoint, "", 0.0, str(route), told, "refused")
        self._note(kind, receipt, user, reason, spans)
        return receipt

    def _note(
        self, kind: str, receipt: Receipt, user: str, reason: str | None, spans: Sequence[PrivateSpan]
    ) -> None:
        shown = [span.as_dict() for span in spans]
        with self._chain.writing() as db:
            extra = {"user": self._owner(user), "reason": reason, "spans": shown}
            self._chain.append(db, kind, receipt.id, {**receipt.as_dict(), **extra})

    def _entries(self, *kinds: str, user: str | None, limit: int | None) -> list[Entry]:
        if not self._chain.exists:
            return []
        with self._chain.reading() as db:
            owner = None if user is None else self._owner(user)
            values = {"kinds": json.dumps(kinds), "owner": owner, "limit": -1 if limit is None else limit}
            rows = db.execute(_ENTRIES, values).fetchall()
        try:
            return [
                entry_of(json.loads(data), self._body(row_id, key, sealed), outcome)
                for row_id, data, key, sealed, outcome in reversed(rows)
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._chain.changed() from None

    def _body(self, row_id: str, key: str | None, sealed: str | None) -> str | None:
        """The body; None where it was erased, or the key it was sealed with was destroyed."""
        if key is None or sealed is None:
            return None
        with _no_key_no_send():
            cipher = self._keys.named(key)
        with suppress(CryptoError):  # of an earlier key of this user; that it was changed, `verify` finds
            return cipher.open_text(sealed, "receipt", row_id.encode()) if cipher else None
        return None


@contextmanager
def _no_key_no_send() -> Iterator[None]:
    try:
        yield
    except CryptoError as error:
        raise AuditError(f"a receipt cannot be sealed or opened, so nothing is sent: {error}") from None


def _new_id() -> str:
    return secrets.token_hex(8)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
