"""What the cloud has been told over time, counted from the chained receipts; and caps on it.

An account is one user at one endpoint under one key: what the provider can link. It is charged

- for a request on route `sketch` the bits of the level that the policy asked for, once for each prepared
  body: a retry sends the same bytes and tells nothing new. It still counts as a request of its own, and
  other bytes under the same name (a run that was taken up again in another state) are charged anew;
- for a veto or a stop at the gate the same bits, because what is missing tells something too. So is a rule
  that counts known values or overlap, where it moves a request right that it would not move of somebody
  else. With a send of the same body (a veto that left the kind) they are charged once;
- for `mask` and `free` no number: they have no bound. Under a cap in bits they do not fit;
- in form live of `fuse` the bits of the level and of where the text ends with the first request, those of the
  tokens that were released since with each further one: they are about one body, and add up;
- for `cloud`, whose text the caller labelled public, no bits; nor for form live on a trusted endpoint;
- nothing for a request that never left (`failed`).

A day is the last 24 hours by this machine's clock; what lies in the future counts. What is not covered:
accounts that the provider links by other means (addresses, another key, names of models), and a clock that
somebody sets forward. Rows that are counted are checked against the chain; that none is missing, only
`cogenesis receipts --verify` finds.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cogenesis_langchain.chain import Chain, Row
from cogenesis_langchain.errors import LedgerError
from cogenesis_langchain.settings import LedgerConfig
from cogenesis_langchain.types import GenericTask, Route

CAP = "privacy.ledger"
PROBE = "probe"
"""What is asked of an endpoint itself, with constant words (`capabilities`); no other body is called so."""
_COMPLETIONS = re.compile(r"(?<!/chat)/completions$")  # the other address of the same endpoint
DAY = timedelta(hours=24)

_COUNTED = "kind IN ('intent', 'gate_hit', 'veto')"
# What is no JSON any more belongs to everybody and to all times, so that it is met, and found to be changed.
_USER = "CASE WHEN json_valid(data) THEN json_extract(data, '$.user') ELSE '' END"
_TIME = "CASE WHEN json_valid(data) THEN json_extract(data, '$.time') ELSE '~' END"
SCHEMA = f"CREATE INDEX IF NOT EXISTS rows_counted ON rows ({_USER}, {_TIME}) WHERE {_COUNTED};"
_ROWS = "SELECT seq, kind, id, data, mac FROM rows WHERE"
_OF_USER = f"{_ROWS} {_COUNTED} AND {_USER} IN (?, '') AND {_TIME} > ? ORDER BY seq"
_OF_ALL = f"{_ROWS} {_COUNTED} AND {_TIME} > ? ORDER BY seq"
_OUTCOMES = f"{_ROWS} kind = 'outcome' AND id IN (SELECT value FROM json_each(?))"  # noqa: S608  (all parts are constants)


@dataclass(frozen=True, slots=True)
class Charge:
    """One counted row. `body` names the prepared body it was about; `user` and `key` are fingerprints."""

    id: str
    time: str
    user: str
    endpoint: str
    key: str
    body: str
    route: str
    level: str | None
    bits: float | None
    request: bool
    """Whether bytes left or may have; else a veto, or a stop at the gate."""
    sha256: str = ""
    """Of those bytes."""

    @property
    def step(self) -> str:
        """Route and level as one word."""
        return f"{self.route}:{self.level}" if self.level else self.route

    @property
    def account(self) -> tuple[str, str, str]:
        """(user, endpoint, key)."""
        return self.user, self.endpoint, self.key

    @property
    def charged(self) -> bool:
        """Whether it has a number of bits: what was labelled public has none, nor what no number bounds."""
        return not self.unbounded and not _uncounted(self.route, self.bits)

    @property
    def unbounded(self) -> bool:
        """Whether no number of bits bounds what it told."""
        return self.request and self.bits is None and not _uncounted(self.route, self.bits)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one account was charged: `bits` is an upper bound of what all but the `unbounded` ones told."""

    requests: int = 0
    bits: float = 0.0
    unbounded: int = 0


@dataclass(slots=True)
class Account:
    """What the cloud could know of one user by one key: the charges of some days, oldest first.

    `per_day` are bits, the last number those of the last 24 hours; kinds and topics are counted as far as
    their user's key is there. `today` is what counts against the caps.
    """

    user: str
    endpoint: str
    key: str
    spent: Spent
    today: Spent
    vetoes: int
    per_day: list[float]
    steps: Counter[str] = field(default_factory=Counter)
    unbounded: Counter[str] = field(default_factory=Counter)
    """Of the steps those whose requests no number bounds; `sketch:topic` is one where free was asked for."""
    kinds: Counter[str] = field(default_factory=Counter, repr=False)
    topics: Counter[str] = field(default_factory=Counter, repr=False)

    def left(self, caps: LedgerConfig) -> dict[str, float | None]:
        """What still fits today, in bits and requests; None where there is no cap."""
        bits, requests = caps.max_bits_per_day, caps.max_requests_per_day
        return {
            "bits": None if bits is None else max(0.0, bits - self.today.bits),
            "requests": None if requests is None else max(0, requests - self.today.requests),
        }


class Ledger:
    """Reads charges from the log and holds them against `caps`. Raises AuditError where a row was changed."""

    def __init__(self, chain: Chain, caps: LedgerConfig) -> None:
        self._chain = chain
        self.caps = caps

    def charges(self, db: sqlite3.Connection, user: str | None = None, days: float = 1.0) -> list[Charge]:
        """The charges of `user` (None: of all) in the last `days`, oldest first."""
        since = (datetime.now(UTC) - days * DAY).isoformat(timespec="milliseconds")
        rows: list[Row] = (
            db.execute(_OF_ALL, [since]) if user is None else db.execute(_OF_USER, [user, since])
        ).fetchall()
        ids = json.dumps([row[2] for row in rows if row[1] == "intent"])
        ends: list[Row] = db.execute(_OUTCOMES, [ids]).fetchall()
        self._chain.vouch(db, rows)
        self._chain.vouch(db, ends)
        try:
            failed = {row[2] for row in ends if json.loads(row[3])["status"] == "failed"}
            return [_charge(row) for row in rows if row[2] not in failed]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._chain.changed() from None

    def over_cap(
        self, charges: Iterable[Charge], *, route: str, bits: float | None, body: str = "", digest: str = ""
    ) -> str:
        """Why one more request does not fit under the caps; empty where it does.

        `charges` are those of its account in the last 24 hours. A probe takes no room: it tells nothing, and
        what is asked for the sake of a text must not keep that text here. `body` names what is to be sent,
        `digest` is the SHA-256 of its bytes as far as they are known.
        """
        charges = [one for one in charges if one.body != PROBE]
        before, caps = spent(charges), self.caps
        if caps.max_requests_per_day is not None and before.requests >= caps.max_requests_per_day:
            return f"{CAP}.max_requests_per_day, {caps.max_requests_per_day}, is reached"
        if caps.max_bits_per_day is None or _uncounted(route, bits):
            return ""
        if bits is None:
            return f"{CAP}.max_bits_per_day is set, and this has no bound in bits"
        same = [(one.sha256, one.bits) for one in charges if one.charged and one.body == body and body]
        told = before.bits - _told(same) + _told([*same, (digest, bits)])
        if told <= caps.max_bits_per_day + 1e-9:
            return ""
        return (
            f"{CAP}.max_bits_per_day, {caps.max_bits_per_day:g}, has room for "
            f"{max(0.0, caps.max_bits_per_day - before.bits):.1f} more bits and this may tell {bits:.1f}"
        )

    def admit(self, db: sqlite3.Connection, row: dict[str, Any]) -> None:
        """Inside the transaction that records the intent `row`: LedgerError where it does not fit."""
        if not self.caps.capped:
            return
        new = _of(row["id"], row, request=True)
        same = [one for one in self.charges(db, new.user) if one.account == new.account]
        if reason := self.over_cap(same, route=new.route, bits=new.bits, body=new.body, digest=new.sha256):
            raise LedgerError(f"{reason}: nothing was sent")


def _uncounted(route: str, bits: float | None) -> bool:
    """Whether the policy says that what leaves may be read: labelled public, or for a trusted endpoint."""
    return route == Route.CLOUD or (route == Route.LIVE and bits is None)


def spent(charges: Iterable[Charge]) -> Spent:
    """The sum over charges of one account; what is about one prepared body counts once (see `_told`)."""
    requests, unbounded = 0, set[str]()
    bodies: dict[str, list[tuple[str, float | None]]] = {}
    for one in charges:
        requests += one.request
        if one.unbounded:
            unbounded.add(one.body)
        elif one.charged:
            bodies.setdefault(one.body, []).append((one.sha256, one.bits))
    return Spent(requests, math.fsum(map(_told, bodies.values())), len(unbounded))


def _told(charges: Iterable[tuple[str, float | None]]) -> float:
    """Bits of (SHA-256, bits) about one prepared body: each of its bytes once, vetoes with the send."""
    largest: dict[str, float] = {}
    for digest, bits in charges:
        largest[digest] = max(largest.get(digest, 0.0), bits or 0.0)
    return max(largest.pop("", 0.0), math.fsum(largest.values()))


def accounts(charges: Sequence[Charge], told: Mapping[str, GenericTask], days: int) -> list[Account]:
    """What is known by account, the largest first. `told` is what a request (by its receipt's id) told."""
    now = datetime.now(UTC)
    grouped: dict[tuple[str, str, str], list[Charge]] = {}
    for one in charges:
        grouped.setdefault(one.account, []).append(one)
    found = [_account(own, told, days, now) for own in grouped.values()]
    return sorted(found, key=lambda one: (-one.spent.unbounded, -one.spent.bits, -one.spent.requests))


def _account(own: list[Charge], told: Mapping[str, GenericTask], days: int, now: datetime) -> Account:
    bodies: dict[str, list[Charge]] = {}
    for one in own:
        bodies.setdefault(one.body, []).append(one)
    per_day = [0.0] * days
    for charges in bodies.values():  # at its first send: a retry after midnight tells nothing new
        per_day[-1 - _age(charges[0], now, days)] += spent(charges).bits
    tasks = [next(filter(None, (told.get(one.id) for one in same)), None) for same in bodies.values()]
    return Account(
        *own[0].account,
        spent=spent(own),
        today=spent([one for one in own if _age(one, now, days) == 0]),
        vetoes=sum(not one.request for one in own),
        per_day=per_day,
        steps=Counter(one.step for one in own if one.request),
        unbounded=Counter(one.step for one in own if one.unbounded),
        kinds=Counter(task.kind for task in tasks if task),
        topics=Counter(task.topic for task in tasks if task and task.topic),
    )


def _age(charge: Charge, now: datetime, days: int) -> int:
    """Whole days since the charge, 0 for the last 24 hours and for what lies in the future."""
    return min(max(0, (now - datetime.fromisoformat(charge.time)) // DAY), days - 1)


def _charge(row: Row) -> Charge:
    return _of(row[2], json.loads(row[3]), request=row[1] == "intent")


def _of(row_id: str, data: dict[str, Any], *, request: bool) -> Charge:
    """Rows of an earlier version name neither key nor prepared body: each stands for itself."""
    return Charge(
        id=row_id,
        time=data["time"],
        user=data["user"],
        endpoint=_COMPLETIONS.sub("/chat/completions", data["endpoint"]),
        key=data.get("key", ""),
        body=data.get("about") or row_id,
        route=data["route"],
        level=data["level"],
        bits=data["bits"],
        request=request,
        sha256=data["body_sha256"] if request else "",
    )
