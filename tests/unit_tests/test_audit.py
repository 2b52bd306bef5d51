"""Receipts: durable, tamper-evident, erasable."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.crypto import Keys
from cogenesis_langchain.errors import AuditError
from cogenesis_langchain.types import Outbound, PrivateSpan

BODY = '{"messages":[{"content":"Write an invitation.","role":"user"}]}'
OUT = Outbound("http://127.0.0.1:1/v1/chat/completions", BODY)


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """An empty log."""
    return Audit(tmp_path / "audit")


def _filled(audit: Audit, count: int = 3) -> list[str]:
    ids = []
    for _ in range(count):
        ids.append(audit.intent(OUT, route="sketch", level="topic", bits=12.9, user="dana").id)
        audit.outcome(ids[-1], "sent")
    return ids


def _edit(audit: Audit, *statements: str) -> None:
    audit.close()
    with sqlite3.connect(audit._chain.db_path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_receipt_says_what_left(audit: Audit) -> None:
    """The body comes back byte for byte, with the hash a receipt binds to."""
    made = audit.intent(OUT, route="sketch", level="topic", bits=12.9, user="dana")
    audit.outcome(made.id, "sent")
    (entry,) = audit.receipts()
    assert entry.body == BODY
    assert entry.receipt.body_sha256 == OUT.sha256
    assert (entry.receipt.status, entry.receipt.level, entry.receipt.bits) == ("sent", "topic", 12.9)
    assert audit.verify().ok


def test_how_attempts_ended_is_told_without_opening_a_body(audit: Audit, tmp_path: Path) -> None:
    """In the order asked for; what has no outcome yet, or is no attempt, keeps what it says."""
    first, second, third = (
        audit.intent(OUT, route="sketch", level="topic", bits=12.9, user="dana") for _ in range(3)
    )
    vetoed = audit.veto(route="sketch", level="topic", user="dana", reason="a profile")
    audit.outcome(first.id, "failed")
    audit.outcome(third.id, "sent")
    Keys(tmp_path / "keys").destroy("dana")
    ended = audit.ended([third, vetoed, second, first])
    assert [one.id for one in ended] == [third.id, vetoed.id, second.id, first.id]
    assert [one.status for one in ended] == ["sent", vetoed.status, second.status, "failed"]


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    """Every folder that is made on the way is 0700, whatever the umask; one that was there stays as it is."""
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    old = os.umask(0)
    try:
        _filled(Audit(there / "a" / "b" / "audit"), 1)
    finally:
        os.umask(old)
    made = [there / "a", there / "a" / "b", there / "a" / "b" / "audit"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


def test_intent_without_outcome_is_unresolved(audit: Audit) -> None:
    """A crash between intent and outcome leaves a row that says the bytes may have left."""
    audit.intent(OUT, route="sketch", user="dana")
    again = Audit(audit._chain.folder)
    assert [entry.receipt.status for entry in again.receipts()] == ["unresolved"]


def test_receipts_by_user_and_limit(audit: Audit) -> None:
    """Each user sees their own receipts, the newest of them last."""
    _filled(audit, 2)
    mine = audit.intent(OUT, route="mask", user="ravi")
    assert [entry.receipt.id for entry in audit.receipts("ravi")] == [mine.id]
    assert len(audit.receipts("dana")) == 2
    assert [entry.receipt.id for entry in audit.receipts(limit=1)] == [mine.id]


def test_hits_and_vetoes_hold_no_value(audit: Audit) -> None:
    """A refusal records where and what kind, never which."""
    audit.hit("http://x", "sketch", "topic", "dana", [PrivateSpan("PERSON", 3, 9, 1.0, "known", 1)])
    audit.veto(route="sketch", level="kind", user="dana", reason="the topic is a known value")
    hit, veto = audit.refusals("dana")
    assert hit.spans == (PrivateSpan("PERSON", 3, 9, 1.0, "known", 1),)
    assert (hit.body, hit.receipt.body_sha256, hit.receipt.status) == (None, "", "refused")
    assert veto.reason == "the topic is a known value"
    assert audit.receipts() == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE rows SET data = replace(data, 'topic', 'kind') WHERE seq = 3", "row 3 was changed"),
        ("UPDATE rows SET kind = 'veto' WHERE seq = 1", "row 1 was changed"),
        ("UPDATE rows SET data = 'nonsense' WHERE seq = 2", "row 2 was changed"),
        ("DELETE FROM rows WHERE seq = 3", "rows 3 to 3 are missing"),
        ("DELETE FROM rows WHERE seq >= 4", "rows 4 to 5 are missing at the end"),
        ("DELETE FROM rows", "rows 1 to 5 are missing at the end"),
        ("UPDATE rows SET seq = 99 WHERE seq = 6", "rows 6 to 98 are missing"),
        ("UPDATE bodies SET sealed = 'other'", "the body of row 1 was changed"),
        ("DELETE FROM bodies", "the body of row 1 is missing"),
        ("INSERT INTO bodies VALUES ('x', 'y', 'z', 'w')", "there are bodies without a receipt"),
    ],
)
def test_tampering_is_found(audit: Audit, statement: str, problem: str) -> None:
    """Edited, removed, renumbered and cut-off rows, and changed or vanished bodies, are named."""
    _filled(audit)
    _edit(audit, statement)
    assert problem in audit.verify().problems


@pytest.mark.parametrize("column", ["mac", "data", "id", "kind"])
@pytest.mark.parametrize("value", ["'é'", "x'00ff'", "'{'", "'[]'", "'{}'", f"'{'[' * 100_000}'"])
def test_whatever_a_row_is_changed_to_is_found(audit: Audit, column: str, value: str) -> None:
    """Bytes, letters and JSON that no row holds: a finding, or an AuditError where rows are listed."""
    _filled(audit)
    _edit(audit, f"UPDATE rows SET {column} = {value} WHERE seq = 3")
    assert any("row 3 was changed" in problem for problem in audit.verify().problems)
    for user in (None, "dana"):
        with suppress(AuditError):  # rows that can be read are listed; `verify` is what vouches for them
            assert audit.receipts(user=user)
    _edit(audit, f"UPDATE bodies SET sealed = {value}")
    assert any("the body of row 1 was changed" in problem for problem in audit.verify().problems)


def test_listing_a_changed_row_names_the_command_that_checks(audit: Audit) -> None:
    """Rather than blaming the disk."""
    _filled(audit)
    _edit(audit, "UPDATE rows SET data = '{' WHERE seq = 1")
    for user in (None, "dana"):
        with pytest.raises(AuditError, match="--verify"):
            audit.receipts(user=user)


@pytest.mark.parametrize("gone", ["audit", "audit.key"])
def test_a_log_removed_under_a_running_process_stops_it(audit: Audit, gone: str) -> None:
    """No receipt goes into a file that nobody can find any more: where the log was, nothing is sent."""
    _filled(audit)
    path = audit._chain.folder.with_name(gone)
    path.rename(path.with_name("old"))
    for _ in range(2):
        with pytest.raises(AuditError, match="nothing is sent"):
            _filled(audit)


def test_a_log_may_begin_anew_under_a_running_process(audit: Audit) -> None:
    """As the message says: folder, head and key are moved away, and the next receipt begins another log."""
    _filled(audit)
    for name in ("audit", "audit.head", "audit.key"):
        path = audit._chain.folder.with_name(name)
        path.rename(path.with_name(f"old-{name}"))
    _filled(audit, 2)
    assert audit.verify().ok
    assert len(Audit(audit._chain.folder).receipts()) == 2


@pytest.mark.parametrize("call", ["write", "pwrite", "fsync"])
def test_a_disk_that_was_full_at_the_first_receipt_is_no_tampering(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Key and head are written whole or not at all, so the log begins where there is space again."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with suppress(AuditError):  # not each of these is used for each file
        _filled(audit, 1)
    monkeypatch.undo()
    _filled(audit, 1)
    assert audit.verify().ok
    assert not list(audit._chain.folder.parent.glob("*.tmp"))


def test_a_disk_without_hard_links_will_do(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some shared folders and memory cards."""

    def never(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", never)
    _filled(audit)
    assert audit.verify().ok


def test_swapped_rows_are_found(audit: Audit) -> None:
    """The chain fixes the order."""
    _filled(audit)
    swap = [f"UPDATE rows SET seq = {new} WHERE seq = {old}" for old, new in ((1, 91), (3, 1), (91, 3))]
    _edit(audit, *swap)
    assert not audit.verify().ok


def test_rolled_back_log_refuses_to_go_on(audit: Audit) -> None:
    """A log shorter than its head takes no new intent, so nothing can be sent."""
    _filled(audit)
    _edit(audit, "DELETE FROM rows WHERE seq >= 4")
    with pytest.raises(AuditError, match="do not match their head"):
        audit.intent(OUT, route="sketch")


@pytest.mark.parametrize("how", ["remove", "forge"])
def test_head_cannot_be_removed_or_forged(audit: Audit, how: str) -> None:
    """Without the key nobody writes a head that verifies."""
    _filled(audit)
    head = audit._chain.head_path
    if how == "remove":
        head.unlink()
    else:
        head.write_text(head.read_text().replace("000000000005", "000000000002"))
    assert "the head file is missing or was changed" in audit.verify().problems
    with pytest.raises(AuditError):
        audit.intent(OUT, route="sketch")


def test_removed_folder_is_found(audit: Audit) -> None:
    """The head outlives the log, so a log that is simply gone is missed."""
    _filled(audit)
    audit.close()
    audit._chain.db_path.unlink()
    assert not audit.verify().ok


def test_crash_before_the_head_was_written_is_no_tampering(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log may be ahead of its head by rows that only the key's owner can have made."""
    _filled(audit)
    with monkeypatch.context() as patch:
        patch.setattr(audit._chain, "_write_head", lambda *_: None)
        audit.intent(OUT, route="sketch")
    assert audit.verify().ok
    _filled(audit, 1)
    assert audit.verify().ok


def test_lost_key_is_an_error(audit: Audit) -> None:
    """A new key is never made silently for an old log."""
    _filled(audit)
    audit.close()
    audit._chain.key_path.unlink()
    with pytest.raises(AuditError, match="key of the receipts is gone"):
        audit.intent(OUT, route="sketch")


def test_erase_removes_bodies_and_keeps_the_chain(audit: Audit) -> None:
    """After erasure the user's bodies are in no file, the receipts stand and the chain verifies."""
    canary = "Zyxwhillock"
    audit.intent(Outbound("http://x", f'"{canary}"'), route="mask", user="dana")
    kept = audit.intent(OUT, route="mask", user="ravi")
    assert audit.erase("dana") == 1
    assert audit.verify().ok
    assert [entry.body for entry in audit.receipts()] == [None, BODY]
    assert audit.receipts("ravi")[0].receipt.id == kept.id
    for file in audit._chain.folder.parent.rglob("*"):
        assert not file.is_file() or canary.encode() not in file.read_bytes()


def test_bodies_are_sealed(audit: Audit) -> None:
    """No file holds a body that left, nor the words of it; a key of somebody else opens none."""
    made = audit.intent(OUT, route="sketch", user="dana")
    audit.outcome(made.id, "sent")
    for file in audit._chain.folder.parent.rglob("*"):
        assert not file.is_file() or b"invitation" not in file.read_bytes(), file.name
    thief = Audit(audit._chain.folder, keys=Keys(audit._chain.folder / "other"))
    assert thief.receipts()[0].body is None
    assert thief.verify().ok, "the chain is checked without any user's key"


def test_a_destroyed_key_erases_the_bodies(audit: Audit) -> None:
    """Bodies are gone with the key, before a row is deleted; the receipt stands and the user can go on."""
    audit.intent(OUT, route="sketch", user="dana")
    audit._bodies.keys.destroy("dana")
    assert [entry.body for entry in audit.receipts("dana")] == [None]
    audit.intent(OUT, route="sketch", user="dana")
    assert [entry.body for entry in audit.receipts("dana")] == [None, BODY]
    assert audit.verify().ok


def test_a_sealed_body_moved_to_another_receipt_is_not_shown(audit: Audit) -> None:
    """A body is bound to its receipt: put under another one it neither opens nor verifies."""
    audit.intent(OUT, route="sketch", user="dana")
    audit.intent(Outbound("http://x", '{"other": 1}'), route="sketch", user="dana")
    _edit(audit, "UPDATE bodies SET sealed = (SELECT max(sealed) FROM bodies)")
    assert None in [entry.body for entry in audit.receipts()]
    assert not audit.verify().ok


def test_without_a_key_nothing_is_sent(audit: Audit) -> None:
    """Where the body cannot be sealed there is no intent, and so no send."""
    audit._bodies.keys.cipher("dana")
    (path,) = audit._bodies.keys.folder.glob("*.key")
    path.write_bytes(b"damaged")
    with pytest.raises(AuditError, match="nothing is sent"):
        audit.intent(OUT, route="sketch", user="dana")
    assert audit.receipts() == []


def test_bodies_in_the_clear_of_an_earlier_version_are_refused(audit: Audit) -> None:
    """An old log is not read and not gone on with; the error says what to move away."""
    _filled(audit, 1)
    _edit(audit, "DROP TABLE bodies", "CREATE TABLE bodies (id TEXT PRIMARY KEY, user TEXT, body TEXT)")
    with pytest.raises(AuditError, match="earlier version"):
        audit.intent(OUT, route="sketch", user="dana")
    with pytest.raises(AuditError, match="earlier version"):
        audit.receipts()


def test_encryption_can_be_switched_off(tmp_path: Path) -> None:
    """In the clear the same log works, and neither setting shows what the other one wrote."""
    clear = Audit(tmp_path / "audit", keys=Keys(None))
    clear.intent(OUT, route="sketch", user="dana")
    assert clear.receipts()[0].body == BODY
    assert BODY.encode() in b"".join(f.read_bytes() for f in (tmp_path / "audit").iterdir())
    sealed = Audit(tmp_path / "audit")
    sealed.intent(OUT, route="sketch", user="dana")
    assert [entry.body for entry in sealed.receipts()] == [None, BODY]
    assert [entry.body for entry in clear.receipts()] == [BODY, None]
    assert sealed.verify().ok


def test_users_are_not_named_on_disk(audit: Audit) -> None:
    """A user's name is stored as its HMAC only."""
    audit.intent(OUT, route="sketch", user="quillon-vexmoor")
    for file in audit._chain.folder.parent.rglob("*"):
        assert not file.is_file() or b"quillon-vexmoor" not in file.read_bytes()


def test_files_are_for_the_owner_only(audit: Audit) -> None:
    """Nobody else may read what left, nor the key."""
    _filled(audit)
    for file in audit._chain.folder.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name
    for file in audit._chain.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name


def test_full_disk_is_an_audit_error(audit: Audit) -> None:
    """Where the intent cannot be written, the caller learns it before anything is sent."""
    _filled(audit)
    with audit._chain.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(AuditError, match="FULL"):
        audit.intent(Outbound("http://x", "x" * 100_000), route="sketch")
    assert audit.verify().ok


def test_broken_database_is_an_audit_error(audit: Audit) -> None:
    """Bytes that are no database end in a clear error, not in a traceback of sqlite3."""
    _filled(audit, 1)
    audit.close()
    for file in audit._chain.folder.glob("receipts.sqlite3*"):
        file.write_bytes(b"no database at all, but long enough to be read as one" * 100)
    with pytest.raises(AuditError, match="nothing is sent"):
        audit.intent(OUT, route="sketch")


def test_a_folder_that_may_not_be_read_is_an_audit_error(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an empty log."""
    _filled(audit)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    for call in (audit.receipts, audit.verify, lambda: audit.erase("dana")):
        with pytest.raises(AuditError, match="Permission denied"):
            call()


def test_empty_log(audit: Audit) -> None:
    """Reading what was never written makes no files and finds nothing wrong."""
    assert audit.receipts() == audit.refusals() == []
    assert audit.verify().ok
    assert audit.erase("dana") == 0
    assert not audit._chain.folder.exists()


def test_threads_share_one_log(audit: Audit) -> None:
    """Concurrent sends of one process leave one whole chain."""
    threads = [threading.Thread(target=_filled, args=(audit, 5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = audit.verify()
    assert (report.rows, report.problems) == (40, ())


def _fill_from(folder: str) -> None:
    _filled(Audit(Path(folder)), 5)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_share_one_log(audit: Audit, method: str) -> None:
    """Two processes writing at once leave one whole chain, also when one was forked from the other."""
    if method == "fork":
        _filled(audit, 1)
    context = multiprocessing.get_context(method)
    target: Callable[[str], None] = _fill_from
    workers = [context.Process(target=target, args=(str(audit._chain.folder),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    _filled(audit, 1)
    report = audit.verify()
    assert report.problems == ()
    assert report.rows == (24 if method == "fork" else 22)
