"""The ledger: what is charged, who is told apart, and that nobody gets past a cap."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from cogenesis_langchain import audit as audit_room
from cogenesis_langchain import ledger as ledger_room
from cogenesis_langchain.audit import Audit
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import AuditError, LedgerError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.ledger import Spent
from cogenesis_langchain.settings import LedgerConfig
from cogenesis_langchain.state import RouterContext, RunContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.telling import Telling
from cogenesis_langchain.testing import FakeDetector, FakeWriter, RecordingCloud, Reply
from cogenesis_langchain.types import (
    ContextItem,
    GenericTask,
    KnownValue,
    Level,
    Outbound,
    PrivateSpan,
    Route,
    Step,
)
from tests.conftest import INSTRUCTION, USER, routed

OUT = Outbound("http://127.0.0.1:1/v1/chat/completions", '{"messages":[]}')
KEY = SecretStr("sk-canary-5Hx2Pw8Kd1")
TASK = GenericTask("invitation", "birthday")
TOPIC = "celebration"
"""A word of the topic that goes out for INSTRUCTION."""
EngineMaker = Callable[..., Engine]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("cogenesis_langchain.cloud._WAIT_S", 0.001)


def log(tmp_path: Path, **caps: Any) -> Audit:
    """A log whose caps are given."""
    return Audit(tmp_path / "audit", caps=LedgerConfig(**caps))


def tell(audit: Audit, about: str = "", *, status: str = "sent", **changes: Any) -> str:
    """One request at `topic`, worth ten bits, and how it ended; its receipt's id."""
    plain: dict[str, Any] = {"route": "sketch", "level": "topic", "bits": 10.0, "user": USER}
    made = audit.intent(OUT, **(plain | changes), about=about)
    audit.outcome(made.id, status)  # type: ignore[arg-type]
    return made.id


def spent(audit: Audit) -> Spent:
    """What the one account was charged."""
    (account,) = audit.ledger(USER)
    assert account.spent == account.today
    return account.spent


# --- what is charged ---------------------------------------------------------------------------------


def test_requests_add_up(tmp_path: Path) -> None:
    """Over threads and restarts: another Audit on the same folder goes on counting."""
    tell(log(tmp_path))
    tell(log(tmp_path), bits=3.0, level="kind")
    assert spent(log(tmp_path)) == Spent(2, 13.0)


def test_a_retry_is_a_request_and_tells_nothing_new(tmp_path: Path) -> None:
    """The same prepared bytes are charged once, and another body anew."""
    audit = log(tmp_path)
    for _ in range(3):
        tell(audit, "one")
    tell(audit, "two")
    assert spent(audit) == Spent(4, 20.0)


def test_other_bytes_under_the_same_name_are_charged(tmp_path: Path) -> None:
    """A run that was taken up again and tells something else pays for both, at the cap as well."""
    audit, other = log(tmp_path, max_bits_per_day=25), Outbound(OUT.endpoint, '{"messages":[1]}')
    tell(audit, "one")
    audit.intent(other, route="sketch", level="topic", bits=10.0, user=USER, about="one")
    assert spent(audit) == Spent(2, 20.0)
    with pytest.raises(LedgerError, match="max_bits"):
        audit.intent(Outbound(OUT.endpoint, "{}"), route="sketch", bits=10.0, user=USER, about="one")
    tell(audit, "one")
    assert spent(audit) == Spent(3, 20.0)


def test_what_never_left_is_free(tmp_path: Path) -> None:
    """`failed` says that no connection came about; what has no end on record may have left."""
    audit = log(tmp_path)
    tell(audit, "one", status="failed")
    assert audit.ledger(USER) == []
    audit.intent(OUT, route="sketch", bits=10.0, user=USER, about="two")
    assert spent(audit) == Spent(1, 10.0)


def test_what_is_held_back_tells_as_much(tmp_path: Path) -> None:
    """A veto, or a stop at the gate, is charged the bits of what was asked; with a send of the rest, once."""
    audit = log(tmp_path)
    told: dict[str, Any] = {
        "route": "local",
        "level": None,
        "user": USER,
        "reason": "r",
        "endpoint": OUT.endpoint,
    }
    audit.veto(**told, bits=10.0, about="one")
    assert spent(audit) == Spent(0, 10.0)
    audit.veto(**told, bits=10.0, about="two")
    tell(audit, "two")
    assert spent(audit) == Spent(1, 20.0)
    span = PrivateSpan("PERSON", 0, 1, 1.0, "known")
    audit.hit(OUT.endpoint, "sketch", "topic", USER, [span], bits=10.0, about="three")
    assert spent(audit) == Spent(1, 30.0)


def test_routes_without_closed_lists(tmp_path: Path) -> None:
    """Text labelled public costs no bits; mask and free are counted as what no number bounds."""
    audit = log(tmp_path)
    tell(audit, route="cloud", level=None, bits=None)
    tell(audit, route="mask", level=None, bits=None)
    tell(audit, route="sketch", level="free", bits=None)
    assert spent(audit) == Spent(3, 0.0, 2)


def test_accounts_are_told_apart(tmp_path: Path) -> None:
    """By user, endpoint and key: what one provider can link. The key itself is on no disk."""
    audit = log(tmp_path, max_requests_per_day=1)
    tell(audit)
    tell(audit, user="ravi")
    tell(audit, credential=KEY)
    tell(audit, credential=SecretStr("another"))
    audit.intent(Outbound("http://127.0.0.1:2/v1", "{}"), route="sketch", bits=10.0, user=USER)
    with pytest.raises(LedgerError):
        tell(audit, credential=SecretStr(KEY.get_secret_value()))
    assert len(audit.ledger(USER)) == 4
    assert len(audit.ledger()) == 5
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"sk-canary" not in file.read_bytes()
    elsewhere = Audit(tmp_path / "other" / "audit")
    tell(elsewhere, credential=KEY)
    keys = {account.key for account in audit.ledger(USER)}
    assert elsewhere.ledger(USER)[0].key not in keys, "no fingerprint says the same key in two logs"


def test_a_day_is_24_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older charges are shown and no longer count; a clock that was set back frees nothing."""
    audit = log(tmp_path, max_requests_per_day=1)
    for hours, fits in ((49, True), (25, True), (-5, True), (0, False)):
        then = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="milliseconds")
        monkeypatch.setattr(audit_room, "_now", lambda then=then: then)
        assert (
            not audit.over_cap(user=USER, endpoint=OUT.endpoint, credential=None, route="sketch", bits=1)
        ) is fits
        if fits:
            tell(audit)
    (account,) = audit.ledger(USER, days=4)
    assert account.per_day == [0.0, 10.0, 10.0, 10.0]
    assert (account.spent.requests, account.today.requests) == (3, 1)


def test_rows_of_an_earlier_version_count(tmp_path: Path) -> None:
    """They name neither key nor prepared body, so each stands for itself, under no key."""
    audit = log(tmp_path, max_requests_per_day=2)
    with audit._chain.writing() as db:
        for name in ("a", "b"):
            row = {"id": name, "time": audit_room._now(), "endpoint": OUT.endpoint, "body_sha256": "",
                   "bits": 10.0, "route": "sketch", "level": "topic", "status": "unresolved",
                   "user": audit._owner(USER), "attempt": 1, "sealed_sha256": ""}  # fmt: skip
            audit._chain.append(db, "intent", name, row)
    assert spent(audit) == Spent(2, 20.0)
    with pytest.raises(LedgerError):
        tell(audit)


# --- kinds and topics --------------------------------------------------------------------------------


def test_kinds_and_topics_are_sealed_and_go_with_the_user(tmp_path: Path) -> None:
    """No file names them; after an erasure, or without the user's key, the counts stay and they do not."""
    audit = log(tmp_path)
    tell(audit, "one", task=TASK)
    tell(audit, "one", task=TASK)
    tell(audit, "two", task=GenericTask("invitation", None), level="kind")
    (account,) = audit.ledger(USER)
    assert (account.kinds, account.topics) == ({"invitation": 2}, {"birthday": 1}), "a retry tells it once"
    assert account.steps == {"sketch:topic": 2, "sketch:kind": 1}
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"birthday" not in file.read_bytes()
    copy = Audit(tmp_path / "audit", keys=None)
    copy._bodies.keys.destroy(USER)
    for forget in (lambda: None, lambda: audit.erase(USER)):
        forget()
        (account,) = audit.ledger(USER)
        assert (account.kinds, account.topics, account.spent) == ({}, {}, Spent(3, 20.0))
    assert audit.verify().ok


# --- caps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caps", "fitting", "over"),
    [
        ({"max_requests_per_day": 2}, 2, "privacy.ledger.max_requests_per_day, 2, is reached"),
        ({"max_bits_per_day": 25}, 2, "privacy.ledger.max_bits_per_day, 25, has room for 5.0 more bits"),
        ({"max_bits_per_day": 20}, 2, "privacy.ledger.max_bits_per_day, 20, has room for 0.0 more bits"),
    ],
)
def test_what_does_not_fit_gets_no_intent(
    tmp_path: Path, caps: dict[str, Any], fitting: int, over: str
) -> None:
    """An error names the cap, and the log holds nothing of the request."""
    audit = log(tmp_path, **caps)
    for number in range(fitting):
        tell(audit, str(number))
    with pytest.raises(LedgerError, match=over):
        tell(audit, "more")
    assert len(audit.receipts()) == fitting
    assert audit.verify().ok


def test_a_retry_under_a_cap(tmp_path: Path) -> None:
    """Its bits were charged already, so a cap in bits lets it pass; it is one more request."""
    audit = log(tmp_path, max_bits_per_day=10, max_requests_per_day=2)
    tell(audit, "one")
    tell(audit, "one")
    with pytest.raises(LedgerError, match="max_requests"):
        tell(audit, "one")


def test_the_unbounded_fits_no_cap_in_bits(tmp_path: Path) -> None:
    """Text labelled public is charged none; a cap in requests alone is open to all."""
    bits = log(tmp_path / "bits", max_bits_per_day=1000)
    for route, level in (("mask", None), ("sketch", "free")):
        with pytest.raises(LedgerError, match="no bound"):
            tell(bits, route=route, level=level, bits=None)
    tell(bits, route="cloud", level=None, bits=None)
    tell(log(tmp_path / "requests", max_requests_per_day=1), route="mask", level=None, bits=None)


def test_threads_cannot_both_pass(tmp_path: Path) -> None:
    """What is checked and what is written are one transaction."""
    audit, passed = log(tmp_path, max_bits_per_day=30), list[str]()

    def send() -> None:
        for _ in range(3):
            try:
                passed.append(tell(audit))
            except LedgerError:
                return

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 3
    assert spent(audit) == Spent(3, 30.0)


@pytest.mark.parametrize("change", ["replace(data, '10.0', '0.0')", "replace(data, 'sent', 'failed')"])
def test_a_changed_charge_stops_everything(tmp_path: Path, change: str) -> None:
    """A row made cheaper, or called failed, is no room: nothing is sent, and nothing is shown as true."""
    audit = log(tmp_path, max_bits_per_day=30)
    tell(audit)
    audit.close()
    with sqlite3.connect(audit._chain.db_path) as db:
        db.execute(f"UPDATE rows SET data = {change} WHERE seq < 3")
    db.close()
    tell_me: list[Callable[[], Any]] = [lambda: tell(audit), lambda: audit.ledger(USER)]
    for call in tell_me:
        with pytest.raises(AuditError, match="were changed"):
            call()


def test_a_long_log_is_not_read_through(tmp_path: Path) -> None:
    """The check of a cap asks an index for one user's last day."""
    audit = log(tmp_path)
    tell(audit)
    with audit._chain.reading() as db:
        plan = " ".join(map(str, db.execute(f"EXPLAIN QUERY PLAN {ledger_room._OF_USER}", ["u", "t"])))
    assert "SEARCH rows USING INDEX rows_counted (<expr>=? AND <expr>>?)" in plan


# --- the router --------------------------------------------------------------------------------------


def capped(bits: float | None = None, requests: int | None = None) -> dict[str, Any]:
    """A privacy section with caps."""
    return {"ledger": {"max_bits_per_day": bits, "max_requests_per_day": requests}}


def ask(engine: Engine, **context: Any) -> dict[str, Any]:
    """One request in a thread of its own."""
    found: dict[str, Any] = create_privacy_router(engine=engine).invoke(
        INSTRUCTION, context=RouterContext(user_id=USER, **context)
    )
    return found


def holding(value: str) -> MemoryStore:
    """The store of a user of this name, who knows this value."""
    items, known = [ContextItem("note", f"we saw {value} there")], KnownValue(value, "DECLARED", "declared")
    return MemoryStore(items, values_of=lambda _: [known], user=value)


def place(found: dict[str, Any]) -> str:
    """Where a run ended."""
    return f"{found['route']}:{found['level']}" if found["level"] else str(found["route"])


def test_a_full_day_moves_right(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """From topic to kind where that still fits, then to local; a dry run says the same, and why."""
    lists = make_engine().vocabulary
    topic, kind = lists.bits(Level.TOPIC), lists.bits(Level.KIND)
    assert topic is not None
    assert kind is not None
    engine = make_engine(privacy=capped(bits=topic + kind))
    for expected in ("sketch:topic", "sketch:kind", "local"):
        dry, found = ask(engine, dry_run=True), ask(engine)
        assert place(dry) == place(found) == expected
        named = [reason for reason in found["reasons"] if "privacy.ledger.max_bits_per_day" in reason]
        assert bool(named) is (expected != "sketch:topic")
        assert found["warnings"] == dry["warnings"] == named
        assert found["text"]
    assert [TOPIC.encode() in body for body in cloud.bodies] == [True, False]
    assert spent(engine.audit) == Spent(2, topic + kind)


def test_a_full_count_leaves_no_level(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """A cap in requests is met by no lower level; another user is another account."""
    engine = make_engine(privacy=capped(requests=1))
    assert [place(ask(engine)) for _ in range(2)] == ["sketch:topic", "local"]
    assert len(cloud.requests) == 1


def test_the_unbounded_moves_right_under_a_cap_in_bits(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """What `on_failure` names next is taken where it fits, else local; never the masked text."""
    routing = routed("mask")
    routing["decisions"][0]["on_failure"] = [{"route": "sketch", "level": "kind"}]
    mask = make_engine(privacy=capped(bits=50), routing=routing)
    assert place(ask(mask)) == "sketch:kind"
    alone = make_engine(privacy=capped(bits=50), routing=routed("mask"))
    assert place(ask(alone)) == "local"
    free = make_engine(privacy=capped(bits=50), routing=routed("sketch", level="free"))
    assert place(ask(free)) == "sketch:topic"
    assert len(cloud.requests) == 2
    assert not any(b"party" in body for body in cloud.bodies)


def test_a_cap_that_was_used_up_meanwhile(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decided while there was room, and sent after another process took it: the intent refuses."""
    engine = make_engine(privacy=capped(requests=1))
    tell(engine.audit, credential=None)
    with engine.audit._chain.reading() as db:
        endpoint = engine.cloud.endpoint
        assert db.execute("SELECT count(*) FROM rows").fetchone() == (2,)
    monkeypatch.setattr(Audit, "over_cap", lambda *_, **__: "")
    first, second = ask(engine), ask(engine)
    assert (place(first), place(second)) == ("sketch:topic", "local")
    assert any("max_requests_per_day" in warning for warning in second["warnings"])
    assert len(cloud.requests) == 1
    assert {account.endpoint for account in engine.audit.ledger()} == {endpoint, OUT.endpoint}


def test_a_broken_ledger_sends_nothing(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Where what was told cannot be counted, no cap can be met; the text is written here."""
    engine = make_engine(privacy=capped(bits=100))
    ask(engine)
    with engine.audit._chain.reading() as db:
        db.execute("UPDATE rows SET data = replace(data, '\"bits\":', '\"bits\":0') WHERE seq = 1")
    found, dry = ask(engine), ask(engine, dry_run=True)
    assert place(dry) == "local"
    assert (place(found), bool(found["text"]), len(cloud.requests)) == ("local", True, 1)
    assert any("were changed" in warning for warning in found["warnings"])


def test_retries_on_the_wire(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Two refused attempts and one that is answered: three requests, the bits of one."""
    cloud.script(Reply.error(503), Reply.error(503))
    engine = make_engine()
    assert place(ask(engine)) == "sketch:topic"
    assert spent(engine.audit) == Spent(3, engine.vocabulary.bits(Level.TOPIC) or 0.0)


@pytest.mark.parametrize(("value", "sent"), [(TOPIC, 1), ("invitation", 0)])
def test_a_veto_is_charged_what_was_asked(
    make_engine: EngineMaker, cloud: RecordingCloud, value: str, sent: int
) -> None:
    """The kind that is left tells up to the bits of a topic, and so does nothing at all; a dry run none."""
    known = KnownValue(value, "DECLARED", "declared")
    store = MemoryStore([ContextItem("note", "a note")], values_of=lambda _: [known], user=USER)
    engine = make_engine({"store": store})
    ask(engine, dry_run=True)
    assert engine.audit.ledger() == []
    found = ask(engine)
    topic = engine.vocabulary.bits(Level.TOPIC)
    assert [receipt["bits"] for receipt in found["receipts"]] == [topic] * sent
    assert [entry.receipt.bits for entry in engine.audit.refusals()] == [topic]
    assert spent(engine.audit) == Spent(sent, topic or 0.0)
    assert len(cloud.requests) == sent
    (account,) = engine.audit.ledger()
    assert account.vetoes == 1
    assert not account.topics


def test_a_veto_and_its_send_fit_where_one_of_them_does(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """What the veto was charged is not asked of the kind again, before the send or at it."""
    known = KnownValue(TOPIC, "DECLARED", "declared")
    store = MemoryStore([ContextItem("note", "a note")], values_of=lambda _: [known], user=USER)
    topic = make_engine().vocabulary.bits(Level.TOPIC) or 0.0
    engine = make_engine({"store": store}, privacy=capped(bits=topic))
    assert place(ask(engine)) == "sketch:kind"
    assert spent(engine.audit) == Spent(1, topic)


@pytest.mark.parametrize(("values", "vetoes"), [((), 1), ((TOPIC,), 2)])
def test_a_stop_at_the_gate_is_charged_what_was_asked(
    make_engine: EngineMaker, cloud: RecordingCloud, values: tuple[str, ...], vetoes: int
) -> None:
    """Also after a veto of the topic, and then once for both."""
    known = [KnownValue(value, "DECLARED", "declared") for value in values]
    store = MemoryStore([ContextItem("note", "a note")], values_of=lambda _: known, user=USER)
    engine = make_engine({"store": store, "detector": FakeDetector({"KIND": "invitation"})})
    assert place(ask(engine)) == "local"
    assert spent(engine.audit) == Spent(0, engine.vocabulary.bits(Level.TOPIC) or 0.0)
    (account,) = engine.audit.ledger()
    assert (account.vetoes, cloud.requests) == (vetoes, [])


def test_another_key_is_another_account(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that a request goes under is the one whose cap counts, at the decision and at the send."""
    told = {"provider": "openai_compatible", "model": "stand-in", "base_url": cloud.base_url}
    for key in ("sk-canary-1", "sk-canary-2"):
        monkeypatch.setenv("CLOUD_KEY", key)
        models = {"cloud": told | {"api_key": "os.environ/CLOUD_KEY"}}
        engine = make_engine(models=models, privacy=capped(requests=1))
        assert [place(ask(engine)), place(ask(engine, dry_run=True))] == ["sketch:topic", "local"]
    assert len(cloud.requests) == 2
    assert len({account.key for account in engine.audit.ledger(USER)} - {""}) == 2


@pytest.mark.parametrize("signal", ["known_values", "context_overlap", "spans"])
@pytest.mark.parametrize(
    ("action", "sent"), [({"route": "local"}, 0), ({"route": "sketch", "level": "kind"}, 1)]
)
def test_a_rule_that_counts_what_is_known_is_a_veto(
    make_engine: EngineMaker, cloud: RecordingCloud, signal: str, action: dict[str, str], sent: int
) -> None:
    """It is charged what the same request of somebody else would tell; that one is charged as ever."""
    held = {"name": "held", "priority": 2, "rules": {signal: {"gt": 0}}, "action": action}
    other = {"name": "other", "priority": 1, "rules": {"length": {"gt": 0}}, "action": {"route": "sketch"}}
    topic = make_engine().vocabulary.bits(Level.TOPIC) or 0.0
    for words, vetoes in (("Saturday", 1), ("Herons", 0)):
        rooms = {"store": holding(words), "detector": FakeDetector(patterns={})}
        engine = make_engine(rooms, routing={"decisions": [held, other]}, privacy=capped(bits=topic))
        before = len(cloud.requests)
        for dry in (True, False):
            context = RouterContext(user_id=words, dry_run=dry)
            create_privacy_router(engine=engine).invoke(INSTRUCTION, context=context)
        (account,) = engine.audit.ledger(words)
        assert account.spent == Spent(sent if vetoes else 1, topic)
        assert (account.vetoes, len(cloud.requests) - before) == (vetoes, sent if vetoes else 1)
        again: dict[str, Any] = create_privacy_router(engine=engine).invoke(
            INSTRUCTION, context=RouterContext(user_id=words)
        )
        assert place(again) == "local", "nothing is left"


@pytest.mark.parametrize(("room", "method"), [(Audit, "veto"), (FakeDetector, "detect")])
def test_a_veto_that_cannot_be_recorded_sends_nothing(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch, room: type, method: str
) -> None:
    """A rule left the kind, and the log does not take down why, or nobody can tell what it would be else."""
    known = KnownValue("Saturday", "DECLARED", "declared")
    store = MemoryStore([ContextItem("note", "a note")], values_of=lambda _: [known], user=USER)
    rules = [
        {
            "name": "held",
            "priority": 2,
            "rules": {"known_values": {"gt": 0}},
            "action": {"route": "sketch", "level": "kind"},
        },
        {"name": "other", "priority": 1, "rules": {"length": {"gt": 0}}, "action": {"route": "sketch"}},
    ]

    def broken(self: Any, *_: Any, known: Any = None, **__: Any) -> list[PrivateSpan]:
        if known is not None:  # the request itself is read
            return list(known.find(INSTRUCTION))
        raise AuditError("the disk is full")

    engine = make_engine({"store": store}, routing={"decisions": rules})
    monkeypatch.setattr(room, method, broken)
    found = ask(engine)
    assert (place(found), cloud.requests, bool(found["text"])) == ("local", [], True)
    assert "the disk is full: local" in found["warnings"]


def test_observe_mode_is_charged_nothing(make_engine: EngineMaker) -> None:
    """The cloud sees nothing, and misses nothing."""
    known = KnownValue(TOPIC, "DECLARED", "declared")
    store = MemoryStore([ContextItem("note", "a note")], values_of=lambda _: [known], user=USER)
    engine = make_engine({"store": store}, privacy={"mode": "observe"})
    ask(engine)
    assert [account.spent for account in engine.audit.ledger()] == [Spent(0, 0.0)]


class _Plain(FakeWriter):
    def write(self, prompt: Any, *, scope: str, **settings: Any) -> Any:
        return super().write(prompt, scope=scope, **settings) if scope else iter(["Write a warm invitation."])


@pytest.mark.parametrize(
    ("route", "level"),
    [("sketch", "topic"), ("sketch", "kind"), ("sketch", "free"), ("mask", None), ("cloud", None)],
)
@pytest.mark.parametrize("observe", [False, True])
def test_every_receipt_says_what_the_lists_allow(
    make_engine: EngineMaker, route: str, level: str | None, observe: bool
) -> None:
    """On every route and level: log2 of all sentences and of nothing at all, or no number."""
    action = {"level": level} if level else {}
    privacy = {"mode": "observe"} if observe else {}
    engine = make_engine({"writer": _Plain()}, routing=routed(route, **action), privacy=privacy)
    asked = "Please write an invitation to a party." if route == "cloud" else INSTRUCTION
    found: dict[str, Any] = create_privacy_router(engine=engine).invoke(
        asked, context=RouterContext(user_id=USER, label="public")
    )
    kinds, topics = len(engine.vocabulary.kinds), len(engine.vocabulary.topics)
    allowed = {"topic": math.log2(kinds * topics + kinds + 1), "kind": math.log2(kinds + 1)}.get(level or "")
    (receipt,) = found["receipts"]
    listed = engine.audit.observations() if observe else engine.audit.receipts()
    for bits in (receipt["bits"], listed[0].receipt.bits):
        assert bits == (None if allowed is None else pytest.approx(allowed))
    assert (receipt["route"], receipt["level"]) == (route, level)


def test_a_run_that_is_taken_up_again_pays_for_other_bytes(
    engine: Engine, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an old checkpoint, with a value known since: the kind alone is a second thing that is told."""
    router = create_privacy_router(engine=engine, user_id=USER, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    router.invoke(INSTRUCTION, thread)
    before = next(one.config for one in router.get_state_history(thread) if one.next == ("sketch",))
    since = KnownValues([KnownValue(TOPIC, "DECLARED", "declared")])
    monkeypatch.setattr(engine, "known", lambda *_: since)
    router.invoke(None, before)
    assert len(set(cloud.bodies)) == 2
    assert spent(engine.audit) == Spent(2, 2 * (engine.vocabulary.bits(Level.TOPIC) or 0.0))


@pytest.mark.parametrize(
    ("asked", "now", "charged"),
    [("kind", "topic", "topic"), ("topic", "kind", "topic"), ("free", "topic", "free")],
)
def test_never_less_than_is_told_is_charged(engine: Engine, asked: str, now: str, charged: str) -> None:
    """Of what was asked and what goes, the one that tells more, whatever a checkpoint says."""
    state: Any = {"asked": {"id": "one", "level": asked}, "route": "sketch", "level": now}
    telling = Telling(engine, state, RunContext(user_id=USER))
    assert telling.asked(telling.step()) == Step(Route.SKETCH, Level(charged))


def test_kind_and_topic_reach_the_ledger(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """As they were sent, and no topic at level kind."""
    engine = make_engine()
    ask(engine)
    ask(engine, level="kind")
    (account,) = engine.audit.ledger(USER)
    (kind,) = account.kinds
    (topic,) = account.topics
    assert (account.kinds[kind], account.topics[topic]) == (2, 1)
    said = [json.loads(body)["messages"][-1]["content"] for body in cloud.bodies]
    assert engine.vocabulary.topics[topic].phrase in said[0]
    assert all(engine.vocabulary.kinds[kind].phrase in text for text in said)
