"""Receipts of what left: byte for byte, durable before the send, and tamper-evident (see `chain`).

What is covered: edited, removed, reordered and cut-off rows, and bodies that were changed or vanished
without an erasure, are found by `verify()`, which needs no user's key. A row holds no user's name (only its
HMAC) and no private value; bodies are sealed under their user's key. What is not: a row keeps its body's
SHA-256, by which a short body can be guessed, also after its erasure; somebody who holds the key file can
forge; somebody who puts back old copies of log and head together is found only by comparing with a head
noted elsewhere (`VerifyReport.head`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cogenesis_langchain.chain import START, Chain, Row
from cogenesis_langchain.crypto import Keys, pseudonym
from cogenesis_langchain.ledger import SCHEMA, Account, Ledger, accounts
from cogenesis_langchain.receipts import Bodies, Entry, Status, VerifyReport, check_bodies, entry_of, sha256
from cogenesis_langchain.settings import LedgerConfig
from cogenesis_langchain.types import GenericTask, Outbound, PrivateSpan, Receipt

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["Audit", "Entry", "Status", "VerifyReport"]

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
    `caps` hold for every intent (see `ledger`).
    Safe for threads and for several processes. Every method raises AuditError where the log cannot be read
    or written: then nothing may be sent.
    """

    def __init__(
        self,
        path: Path,
        *,
        key_path: Path | None = None,
        keys: Keys | None = None,
        caps: LedgerConfig | None = None,
    ) -> None:
        self._bodies = Bodies(keys or Keys(path.with_name("keys")))
        self._chain = Chain(path, key_path=key_path, schema=Bodies.SCHEMA + SCHEMA)
        self._ledger = Ledger(self._chain, caps or LedgerConfig())

    def intent(
        self,
        outbound: Outbound,
        *,
        route: str,
        level: str | None = None,
        bits: float | None = None,
        user: str = "",
        attempt: int = 1,
        credential: SecretStr | None = None,
        about: str = "",
        task: GenericTask | None = None,
    ) -> Receipt:
        """Record, on disk, that these bytes are about to leave. The receipt is unresolved until told.

        `credential` is what the provider can link requests by, `about` names the prepared body over its
        attempts, `task` is what it tells. LedgerError where it does not fit under the caps, which no other
        process can have used up meanwhile.
        """
        receipt = _receipt(outbound.endpoint, outbound.sha256, bits, route, level, "unresolved")
        sealed = self._bodies.seal(user, receipt.id, task, outbound.body)
        with self._chain.writing() as db:
            whose = {"user": self._owner(user), "key": self._key(credential), "about": about}
            row = receipt.as_dict() | whose | {"attempt": attempt, "sealed_sha256": sha256(sealed)}
            self._ledger.admit(db, row)
            body = (receipt.id, whose["user"], pseudonym(user), sealed)
            db.execute("INSERT INTO bodies VALUES (?, ?, ?, ?)", body)
            self._chain.append(db, "intent", receipt.id, row)
        return receipt

    def outcome(self, receipt_id: str, status: Status) -> None:
        """Record how the send named by `receipt_id` ended. Lost with a power cut, it reads `unresolved`."""
        with self._chain.writing(durable=False) as db:
            self._chain.append(db, "outcome", receipt_id, {"time": _now(), "status": status})

    def hit(
        self,
        endpoint: str,
        route: str,
        level: str | None,
        user: str,
        spans: Sequence[PrivateSpan],
        *,
        bits: float | None = 0.0,
        credential: SecretStr | None = None,
        about: str = "",
    ) -> Receipt:
        """Record that the gate stopped a request over private values: where and what kind, never which.

        The ledger charges `bits`, for what is missing tells something too.
        """
        receipt = _receipt(endpoint, "", bits, route, level, "refused")
        self._note("gate_hit", receipt, user, "private value in the body", spans, credential, about)
        return receipt

    def veto(
        self,
        *,
        route: str,
        level: str | None,
        user: str,
        reason: str,
        endpoint: str = "",
        bits: float | None = 0.0,
        credential: SecretStr | None = None,
        about: str = "",
    ) -> Receipt:
        """Record that the store vetoed telling a task; `reason` must not quote it. Charged as `hit` is."""
        receipt = _receipt(endpoint, "", bits, route, level, "refused")
        self._note("veto", receipt, user, reason, (), credential, about)
        return receipt

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
        receipt = _receipt(outbound.endpoint, outbound.sha256, bits, route, level, "observed")
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

    def over_cap(
        self,
        *,
        user: str,
        endpoint: str,
        credential: SecretStr | None,
        route: str,
        bits: float | None,
        about: str = "",
    ) -> str:
        """Why one more request would not fit under the caps; empty where it would. Records nothing."""
        if not self._chain.exists:
            return self._ledger.over_cap((), route=route, bits=bits)
        with self._chain.reading() as db:
            account = self._owner(user), endpoint, self._key(credential)
            charges = self._ledger.charges(db, account[0])
        same = [charge for charge in charges if charge.account == account]
        return self._ledger.over_cap(same, route=route, bits=bits, body=about)

    def ledger(self, user: str | None = None, days: int = 30) -> list[Account]:
        """What the cloud was told in the last `days`, by account; of `user` if one is named."""
        if not self._chain.exists:
            return []
        with self._chain.reading() as db:
            charges = self._ledger.charges(db, None if user is None else self._owner(user), days)
            told = self._bodies.told(db, [charge.id for charge in charges if charge.request])
        return accounts(charges, told, days)

    def owner(self, user: str) -> str:
        """How `user` is named in the ledger's accounts; empty where there is no log."""
        if not self._chain.exists:
            return ""
        with self._chain.reading():
            return self._owner(user)

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

    def _key(self, credential: SecretStr | None) -> str:
        """A fingerprint by which nobody without the log's key can try credentials; empty for none."""
        return self._chain.sign(f"key:{credential.get_secret_value()}")[:16] if credential else ""

    def _note(
        self,
        kind: str,
        receipt: Receipt,
        user: str,
        reason: str | None,
        spans: Sequence[PrivateSpan],
        credential: SecretStr | None = None,
        about: str = "",
    ) -> None:
        shown = [span.as_dict() for span in spans]
        with self._chain.writing() as db:
            whose = {"user": self._owner(user), "key": self._key(credential), "about": about}
            row = {**receipt.as_dict(), **whose, "reason": reason, "spans": shown}
            self._chain.append(db, kind, receipt.id, row)

    def _entries(self, *kinds: str, user: str | None, limit: int | None) -> list[Entry]:
        if not self._chain.exists:
            return []
        with self._chain.reading() as db:
            owner = None if user is None else self._owner(user)
            values = {"kinds": json.dumps(kinds), "owner": owner, "limit": -1 if limit is None else limit}
            rows = db.execute(_ENTRIES, values).fetchall()
        try:
            return [
                entry_of(json.loads(data), self._bodies.open(row_id, key, sealed)[1], outcome)
                for row_id, data, key, sealed, outcome in reversed(rows)
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._chain.changed() from None


def _receipt(
    endpoint: str, body: str, bits: float | None, route: str, level: str | None, status: Status
) -> Receipt:
    told = None if level is None else str(level)
    return Receipt(_new_id(), _now(), endpoint, body, bits, str(route), told, status)


def _new_id() -> str:
    return secrets.token_hex(8)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
