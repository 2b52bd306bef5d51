from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromadb.api import fastapi

from cogenesis_langchain.crypto import Keys, pseudonym
from cogenesis_langchain.errors import CryptoError, InputError, StoreBusyError, StoreError
from cogenesis_langchain.store import ContextStore, MemoryStore, StoredValue, chroma
from cogenesis_langchain.testing import FakeEmbedder
from cogenesis_langchain.types import ContextItem, KnownValue

# Fictional people.
ADA = [
    ContextItem("profile", "Name: Ada Thornquist\nTown: Wexcombe Hollow", "about me"),
    ContextItem("writing", "Dear Pemberley, the kayak regatta on Lake Ormswater was a delight.", "regatta"),
    ContextItem("writing", "My sourdough starter is called Bartholomew and it is nine years old.", "bread"),
    ContextItem("note", "Dentist on Tuesday with Doctor Quillfeather."),
]
BEN = [ContextItem("profile", "Name: Ben Ostrander", "about me")]


def fields(item: ContextItem) -> Iterable[KnownValue]:
    """Known values: what follows `Name:`."""
    for line in item.text.splitlines():
        if line.startswith("Name: "):
            yield KnownValue(line[6:], "PERSON", "field")


@pytest.fixture
def store(tmp_path: Path) -> ContextStore:
    """An empty store with a fake embedder."""
    return ContextStore(tmp_path, FakeEmbedder(), wait_s=0.2)


def test_added_items_come_back_as_they_were(store: ContextStore) -> None:
    """Type, title and text survive, in the order they were added."""
    report = store.add("ada", ADA, values_of=fields)
    assert (report.added, report.skipped, report.values) == (4, 0, 1)
    got = store.list("ada")
    assert [(i.type, i.title, i.text) for i in got] == [(i.type, i.title, i.text) for i in ADA]
    assert [i.text for i in store.profile("ada")] == [ADA[0].text]
    assert [i.text for i in store.list("ada", "note")] == [ADA[3].text]


def test_nothing_is_made_by_reading(tmp_path: Path) -> None:
    """Reading an absent store answers `nothing` and leaves no file behind."""
    store = ContextStore(tmp_path / "data", FakeEmbedder())
    assert not store.has("ada")
    assert store.list("ada") == store.profile("ada") == store.search("ada", "x") == store.values("ada") == []
    assert store.users() == []
    assert not (tmp_path / "data").exists()


def test_adding_twice_does_not_duplicate(store: ContextStore) -> None:
    """The same text under the same type is stored once, also when repeated within one call."""
    store.add("ada", ADA, values_of=fields)
    report = store.add("ada", [*ADA, *ADA, ContextItem("note", "new")], values_of=fields)
    assert (report.added, report.skipped, report.values) == (1, 8, 0)
    assert len(store.list("ada")) == 5


def test_one_user_never_sees_another(store: ContextStore) -> None:
    """Lists, search, values and purge stay within the user."""
    store.add("ada", ADA, values_of=fields)
    store.add("ben", BEN, values_of=fields)
    assert [i.text for i in store.search("ben", "kayak regatta", k=10)] == [BEN[0].text]
    assert [v.value for v in store.values("ben")] == ["Ben Ostrander"]
    assert not store.has("Ada")
    store.purge("ada")
    assert store.users() == ["ben"]
    assert [i.text for i in store.list("ben")] == [BEN[0].text]
    assert [v.value for v in store.values("ben")] == ["Ben Ostrander"]


def test_search_finds_the_nearest_of_the_asked_types(store: ContextStore) -> None:
    """Nearest first, at most k, only the types asked for."""
    store.add("ada", ADA, values_of=fields)
    assert store.search("ada", "kayak regatta lake", k=1)[0].title == "regatta"
    assert {i.type for i in store.search("ada", "kayak", k=9, types=["note", "profile"])} == {
        "note",
        "profile",
    }
    assert store.search("ada", "kayak", k=0) == store.search("ada", "kayak", types=[]) == []


def test_values_are_written_before_the_text(store: ContextStore) -> None:
    """If storing the text fails, its known values are there already: never text without its guard."""

    class Broken(FakeEmbedder):
        fail = False

    store.add("ada", BEN, values_of=fields)

    def upsert_fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("Ada Thornquist")

    collection = type(store._place.chroma.collection(store_name("ada")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection, "upsert", upsert_fails)
        with pytest.raises(StoreError) as error:
            store.add("ada", ADA, values_of=fields)
    assert "Thornquist" not in str(error.value)
    assert "Ada Thornquist" in [v.value for v in store.values("ada")]
    assert len(store.list("ada")) == 1
    assert store.add("ada", ADA, values_of=fields).added == 4, "an interrupted add can be repeated"


def store_name(user: str) -> str:
    """The name of a user's collection."""
    return f"u-{pseudonym(user)}"


def test_a_failing_extraction_stores_nothing(store: ContextStore) -> None:
    """No text is kept whose known values could not be found."""

    def broken(item: ContextItem) -> Iterable[KnownValue]:
        raise StoreError("detector down")

    with pytest.raises(StoreError):
        store.add("ada", ADA, values_of=broken)
    assert not store.has("ada")


def test_batches_are_durable_one_by_one(store: ContextStore, tmp_path: Path) -> None:
    """When the third batch fails, the first two are stored; progress said so."""
    items = [ContextItem("note", f"note number {i}") for i in range(150)]
    done: list[int] = []

    def values_of(item: ContextItem) -> Iterable[KnownValue]:
        if item.text.endswith(" 130"):
            raise RuntimeError
        return ()

    with pytest.raises(RuntimeError):
        store.add("ada", items, values_of=values_of, progress=done.append)
    assert done == [64, 128]
    assert len(ContextStore(tmp_path, FakeEmbedder()).list("ada")) == 128


def test_only_the_owner_can_read(store: ContextStore, tmp_path: Path) -> None:
    """0700 on every folder and 0600 on every file, whatever the umask."""
    old = os.umask(0)
    try:
        store.add("ada", ADA, values_of=fields)
        store.search("ada", "kayak")
    finally:
        os.umask(old)
    root = tmp_path / "context"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_folders_above_are_closed_too(tmp_path: Path) -> None:
    """Every folder that is made on the way is 0700, whatever the umask; one that was there stays as it is."""
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    old = os.umask(0)
    try:
        ContextStore(there / "a" / "b", FakeEmbedder(), wait_s=0.2).add("ada", BEN, values_of=fields)
    finally:
        os.umask(old)
    made = [there / "a", there / "a" / "b", there / "a" / "b" / "context"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


def test_a_server_gets_no_session_keys_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client that Chroma makes for a server does not obey SSLKEYLOGFILE."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("httpx.Client", lambda **given: made.append(given))
    with chroma._nothing_from_environment("https://host"):
        fastapi.httpx.Client(timeout=None)
    assert made[0]["verify"].keylog_filename is None
    assert made[0]["verify"].check_hostname
    assert made[0]["trust_env"] is False


def everything(root: Path) -> bytes:
    """All bytes of all files."""
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


WORDS = (b"Thornquist", b"Quillfeather", b"Bartholomew", b"Fennimore", b"Thistledown")


@pytest.mark.parametrize("sealed", [True, False])
def test_purge_leaves_no_byte(tmp_path: Path, sealed: bool) -> None:
    """After a purge no file holds a text, a title, a value, an entry, a vector folder or an indexed word."""
    store = ContextStore(tmp_path, FakeEmbedder(), keys=None if sealed else Keys(None))
    long = "The lighthouse keeper Marigold Fennimore kept nineteen ledgers. " * 200
    store.add("ada", [*ADA, ContextItem("writing", long, "ledger")], values_of=fields)
    store.set_value("ada", "Operation Thistledown")
    before = everything(tmp_path)
    assert all((word in before) is not sealed for word in WORDS), "the search of this test can find them"
    entries = [text[:60].encode() for text in store._place.strings(pseudonym("ada"))]
    assert len(entries) == 8
    assert all(entry in before for entry in entries)
    report = store.purge("ada")
    assert (report.items, report.values, report.checked, report.key) == (5, 2, True, sealed)
    assert report.searched >= 2
    after = everything(tmp_path)
    gone = (*WORDS, *(entry for entry in entries if len(entry) > 8))
    assert not [word for word in gone if word in after or word.lower() in after]
    assert not store.has("ada")
    assert store.values("ada") == store.users() == []
    names = {path.name for path in (tmp_path / "context").iterdir()}
    assert names == {"chroma.sqlite3", "values.sqlite3", "write.lock"}
    with sqlite3.connect(tmp_path / "context" / "chroma.sqlite3") as db:
        db.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab(main, embedding_fulltext_search, 'row')")
        assert db.execute("SELECT count(*) FROM temp.v").fetchone() == (0,)
        blocks = db.execute("SELECT block FROM embedding_fulltext_search_data").fetchall()
        assert sum(len(block) for (block,) in blocks) < 100, "the word index is empty, not marked as deleted"
        assert db.execute("SELECT count(*) FROM embeddings_queue").fetchone() == (0,)


def test_no_file_holds_what_was_added(store: ContextStore, tmp_path: Path) -> None:
    """Texts, titles, values, their types and users' names stand in no file, logs and index included."""
    store.add("quillon", [*ADA, *BEN], values_of=fields)
    store.set_value("quillon", "Operation Thistledown")
    store.search("quillon", "kayak regatta")
    private = [*WORDS[:3], b"Thistledown", b"Ostrander", b"regatta", b"quillon", b"PERSON", b"about me"]
    for held in (everything(tmp_path), store._place.chroma.close() or everything(tmp_path)):
        assert not [word for word in private if word in held or word.lower() in held]
    with sqlite3.connect(tmp_path / "context" / "chroma.sqlite3") as db:
        ids = {row[0] for row in db.execute("SELECT embedding_id FROM embeddings")}
    bare = {hashlib.sha256(f"{i.type}\0{i.text}".encode()).hexdigest()[:32] for i in (*ADA, *BEN)}
    assert len(ids) == 5
    assert not ids & bare, "an id must not tell whether a guessed text is stored"


@pytest.mark.parametrize("sealed", [True, False])
def test_a_guessed_text_cannot_be_compared_with_the_vectors(tmp_path: Path, sealed: bool) -> None:
    """Vectors on disk are turned by a rotation of the user's own: near no guess, alike among themselves."""
    items = [ContextItem("note", f"{a} {b} kayak") for a in ("red", "blue") for b in ("lake", "sea", "pond")]
    store = ContextStore(tmp_path, FakeEmbedder(), keys=None if sealed else Keys(None))
    for user in ("ada", "ben"):
        store.add(user, items, values_of=lambda _: ())
    held = {}
    for user in ("ada", "ben"):
        got = store._place.chroma.collection(store_name(user)).get(include=["embeddings"])  # type: ignore[union-attr]
        order = [item.id for item in store.list(user)]
        held[user] = np.array(got["embeddings"])[[got["ids"].index(key) for key in order]]
    plain = FakeEmbedder().embed([item.text for item in items])
    assert held["ada"] @ held["ada"].T == pytest.approx(plain @ plain.T, abs=1e-5)
    for other in (plain, held["ben"]):
        alike = (held["ada"] * other).sum(axis=1)
        assert (abs(alike) < 0.5).all() if sealed else alike == pytest.approx(1)
    assert [i.text for i in store.search("ada", "blue sea kayak", k=1)] == ["blue sea kayak"]


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    """A copy of the data without its keys is of no use, and the error says so without a text."""
    ContextStore(tmp_path, FakeEmbedder()).add("ada", ADA, values_of=fields)
    thief = ContextStore(tmp_path, FakeEmbedder(), keys=Keys(tmp_path / "other"))
    for read in (thief.list, thief.values, lambda user: thief.search(user, "kayak")):
        with pytest.raises(CryptoError, match="the key of this user is gone"):
            read("ada")
    with pytest.raises(CryptoError):
        thief.add("ada", [ContextItem("note", "new")], values_of=fields)
    with pytest.raises(CryptoError):
        thief.set_value("ada", "Bluebell")
    assert thief.users() == []
    thief._keys.cipher("ada")  # made by another room, or by a newcomer of that name
    for read in (thief.list, thief.values, lambda user: thief.search(user, "kayak")):
        with pytest.raises(CryptoError, match="context purge") as error:
            read("ada")
        assert "Thornquist" not in str(error.value)
    assert thief.purge("ada").items == 4, "what cannot be read can still be deleted"


def test_a_purged_user_is_gone_although_the_rows_were_kept(store: ContextStore, tmp_path: Path) -> None:
    """Whoever copied the folder before the purge has nothing: the key is destroyed, not only the rows."""
    store.add("ada", ADA, values_of=fields)
    store._place.chroma.close()
    shutil.copytree(tmp_path / "context", tmp_path / "copy" / "context")
    store.purge("ada")
    store.add("ada", BEN, values_of=fields)
    copy = ContextStore(tmp_path / "copy", FakeEmbedder(), keys=store._keys)
    for read in (copy.list, copy.values):
        with pytest.raises(CryptoError):
            read("ada")


def _edit(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            assert db.execute(statement).rowcount > 0, statement
    db.close()


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("values", 'UPDATE entries SET entry = \'["Ada", "PERSON", "field", false]\''),
        ("values", "UPDATE entries SET entry = substr(entry, 1, 60) || 'AAAA' || substr(entry, 65)"),
        ("values", "UPDATE entries SET id = substr(id, 2) || 'x'"),
        ("chroma", "UPDATE embedding_metadata SET string_value = '[\"\", \"hello\"]' WHERE key = 'entry'"),
        ("chroma", "UPDATE embedding_metadata SET string_value = 'note' WHERE key = 'type'"),
        ("chroma", "UPDATE embedding_metadata SET int_value = int_value + 1 WHERE key = 'seq'"),
        ("chroma", "UPDATE embedding_metadata SET key = 'text' WHERE key = 'entry'"),
        (
            "chroma",
            "UPDATE embedding_metadata SET string_value = (SELECT string_value FROM embedding_metadata "
            "WHERE key = 'entry' ORDER BY id DESC LIMIT 1) WHERE key = 'entry' AND id = 1",
        ),
    ],
)
def test_entries_in_the_clear_changed_or_moved_are_refused(
    store: ContextStore, tmp_path: Path, file: str, statement: str
) -> None:
    """Nobody without the key can slip a row in, weaken one or put one in another's place."""
    store.add("ada", ADA, values_of=fields)
    store._place.chroma.close()
    _edit(tmp_path / "context" / f"{file}.sqlite3", statement)
    fresh = ContextStore(tmp_path, FakeEmbedder())
    read = fresh.values if file == "values" else fresh.list
    with pytest.raises(CryptoError, match="context purge") as error:
        read("ada")
    assert "Thornquist" not in str(error.value)
    fresh.purge("ada")
    assert fresh.add("ada", ADA, values_of=fields).added == 4


@pytest.mark.parametrize("sealed", [True, False])
def test_the_other_setting_of_encryption_is_refused(tmp_path: Path, sealed: bool) -> None:
    """What was written in the clear is not read as sealed, nor the other way round; purging works in both."""
    kinds = (Keys(tmp_path / "keys"), Keys(None))
    one, two = (ContextStore(tmp_path, FakeEmbedder(), keys=k) for k in (kinds if sealed else kinds[::-1]))
    one.add("ada", ADA, values_of=fields)
    if sealed:
        assert two.has("ada")
    else:
        kinds[0].cipher("ada")
    for read in (two.list, two.values, two.users if sealed else two.list):
        with pytest.raises(CryptoError, match=r"store\.encrypt"):
            read(*(["ada"] if read != two.users else []))
    two.purge("ada")
    assert not one.has("ada")


def test_a_store_in_the_clear_is_not_said_to_have_lost_its_key(tmp_path: Path) -> None:
    """Nobody can put back a key that never was: the way out is told instead, and it works."""
    clear = ContextStore(tmp_path, FakeEmbedder(), keys=Keys(None))
    clear.add("ada", ADA, values_of=fields)
    sealing = ContextStore(tmp_path, FakeEmbedder())
    for call in (sealing.list, sealing.values, lambda user: sealing.set_value(user, "Wexcombe")):
        with pytest.raises(CryptoError, match=r"in the clear.*to export"):
            call("ada")
    kept = list(clear.export("ada"))
    sealing.purge("ada")
    assert sealing.add("ada", ADA, values_of=fields).added == len(kept) - 1


def test_a_store_of_an_earlier_version_is_refused(store: ContextStore, tmp_path: Path) -> None:
    """Values that stand in the clear in an old file are an error that says what to do."""
    store.add("ada", ADA, values_of=fields)
    _edit_schema = "ALTER TABLE entries RENAME TO known_values"
    with sqlite3.connect(tmp_path / "context" / "values.sqlite3") as db:
        db.execute(_edit_schema)
    with pytest.raises(StoreError, match="earlier version"):
        store.values("ada")


def test_purge_keeps_what_others_hold_too(store: ContextStore) -> None:
    """A text that two users have is gone for one, stays for the other, and is no false alarm."""
    store.add("ada", ADA, values_of=fields)
    store.add("ben", ADA, values_of=fields)
    store.purge("ada")
    assert len(store.list("ben")) == 4
    assert [v.value for v in store.values("ben")] == ["Ada Thornquist"]
    assert store.search("ben", "kayak regatta", k=1)[0].title == "regatta"


def test_purge_of_chromas_own_words_is_no_false_alarm(store: ContextStore) -> None:
    """Values that occur in the database's own schema do not fail the check."""
    for value in ("embedding_metadata", "collection", "chroma:document"):
        store.set_value("ada", value)
    store.add("ada", ADA, values_of=fields)
    assert store.purge("ada").values == 4


def test_purge_finds_a_copy(store: ContextStore, tmp_path: Path) -> None:
    """A file that somebody left beside the store is found, named, and its text is not in the message."""
    store.add("ada", ADA, values_of=fields)
    (tmp_path / "context" / "backup.txt").write_text("xx" + ADA[1].text + "yy")
    with pytest.raises(StoreError, match=r"backup\.txt") as error:
        store.purge("ada")
    assert "kayak" not in str(error.value)
    (tmp_path / "context" / "backup.txt").unlink()
    assert store.purge("ada").items == 0


def test_purge_can_be_repeated_and_add_works_after(store: ContextStore) -> None:
    """Purging an unknown or purged user is harmless, and the user can come back."""
    assert store.purge("ada").items == 0
    store.add("ada", ADA, values_of=fields)
    store.purge("ada")
    assert store.purge("ada").items == 0
    assert store.add("ada", ADA, values_of=fields).added == 4
    assert store.search("ada", "my sourdough starter is nine years old", k=1)[0].title == "bread"


def test_values_can_be_edited(store: ContextStore) -> None:
    """Declared, ignored and removed values; an ignored one stays ignored when found again."""
    store.add("ada", ADA, values_of=fields)
    store.set_value("ada", " Bluebell Cottage ", type="LOCATION")
    store.set_value("ada", "Ada Thornquist", enabled=False)
    assert store.values("ada") == [
        StoredValue("Ada Thornquist", "PERSON", "field", False),
        StoredValue("Bluebell Cottage", "LOCATION", "declared", True),
    ]
    again = ContextItem("note", "Name: Ada Thornquist")
    store.add("ada", [again], values_of=fields)
    assert not store.values("ada")[0].enabled
    assert store.remove_value("ada", "Bluebell Cottage")
    assert not store.remove_value("ada", "Bluebell Cottage")
    store.set_value("ada", "Ada Thornquist")
    assert store.values("ada") == [StoredValue("Ada Thornquist", "DECLARED", "declared", True)]
    with pytest.raises(InputError):
        store.set_value("ada", "  ")


def test_a_stronger_source_wins(store: ContextStore) -> None:
    """A phrase that turns out to be a profile field is kept as a field, never the other way round."""
    text = "Name: Ada"
    store.add("ada", [ContextItem("note", "a")], values_of=lambda _: [KnownValue("Ada", "X", "phrase")])
    store.add("ada", [ContextItem("note", text)], values_of=lambda _: [KnownValue("Ada", "Y", "field")])
    store.add("ada", [ContextItem("note", "c")], values_of=lambda _: [KnownValue("Ada", "Z", "entity")])
    assert store.values("ada") == [StoredValue("Ada", "Y", "field", True)]


def test_values_of_the_items_form_are_kept(store: ContextStore) -> None:
    """What ingest knew from an item's form is a known value, whatever `values_of` finds."""
    item = ContextItem("writing", "hello", values=(KnownValue("Rowan Pell", "PERSON", "field"),))
    store.add("ada", [item], values_of=lambda _: ())
    assert [v.value for v in store.values("ada")] == ["Rowan Pell"]


def test_lost_values_are_not_taken_for_none(store: ContextStore, tmp_path: Path) -> None:
    """Texts without their file of known values, or with an empty one, are an error, not an empty list."""
    store.add("ada", ADA, values_of=fields)
    path = tmp_path / "context" / "values.sqlite3"
    path.unlink()
    with pytest.raises(StoreError, match=r"values\.sqlite3"):
        store.values("ada")
    path.touch()
    with pytest.raises(StoreError, match=r"values\.sqlite3"):
        store.values("ada")
    assert len(store.list("ada")) == 4, "the texts can still be exported by hand"


def test_no_write_hides_that_values_are_lost(store: ContextStore, tmp_path: Path) -> None:
    """What makes the file anew, or purges another user, does not turn lost values into none."""
    for user in ("ada", "ben"):
        store.add(user, ADA, values_of=fields)
    path = tmp_path / "context" / "values.sqlite3"
    path.unlink()
    for write in (
        lambda: store.set_value("ada", "Wexcombe"),
        lambda: store.add("ada", BEN, values_of=fields),
        lambda: store.remove_value("ada", "Wexcombe"),
    ):
        with pytest.raises(StoreError, match=r"values\.sqlite3"):
            write()
        assert not path.exists()
    assert store.purge("ada").items == 4, "a purge goes on: it asks for no values"
    with pytest.raises(StoreError, match="are lost"):
        store.values("ben")


def test_one_users_lost_values_are_not_taken_for_none(store: ContextStore, tmp_path: Path) -> None:
    """A user whose entries were taken out of the file is refused; the others are not."""
    for user in ("ada", "ben"):
        store.add(user, ADA, values_of=fields)
    with sqlite3.connect(tmp_path / "context" / "values.sqlite3") as db:
        for table, column in (("users", "id"), ("entries", "user")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (pseudonym("ada"),))
    for read in (store.values, lambda user: store.set_value(user, "Wexcombe")):
        with pytest.raises(StoreError, match="are lost") as error:
            read("ada")
        assert "Wexcombe" not in str(error.value)
    assert len(store.values("ben")) == 1
    assert store.values("carl") == [], "nothing was ever stored of this one"


@pytest.mark.parametrize("name", ["values.sqlite3", "chroma.sqlite3"])
def test_a_damaged_file_is_an_error(store: ContextStore, tmp_path: Path, name: str) -> None:
    """Garbage in either database is a StoreError on reading, never `no context`."""
    store.add("ada", ADA, values_of=fields)
    store._place.chroma.close()
    (tmp_path / "context" / name).write_bytes(b"garbage" * 4000)
    fresh = ContextStore(tmp_path, FakeEmbedder())
    read = fresh.values if name == "values.sqlite3" else fresh.list
    with pytest.raises(StoreError):
        read("ada")


def test_no_index_file_is_ever_written(store: ContextStore, tmp_path: Path) -> None:
    """Chroma fills index files from memory it did not clear: none exists, after adding or after reading."""
    # Each is near the next: where all are equally far apart, Chroma's approximate index may miss one.
    items = [ContextItem("note", " ".join(f"zebra{j}" for j in range(i, i + 6))) for i in range(70)]
    files = {"chroma.sqlite3", "values.sqlite3", "write.lock"}
    for user in ("ada", "ben"):
        store.add(user, items, values_of=lambda _: ())
    for _ in range(2):
        assert store.search("ada", items[42].text, k=1)[0].text == items[42].text
        left = {path for path in (tmp_path / "context").rglob("*") if path.name not in files}
        assert len(left) == 2
        assert all(path.is_file() and path.stat().st_size == 0 for path in left)
        store._place.chroma.close()
    store.purge("ada")
    assert len(list((tmp_path / "context").iterdir())) == len(files) + 1


def test_an_index_folder_of_an_interrupted_add_is_replaced(store: ContextStore, tmp_path: Path) -> None:
    """Where an index folder came to be all the same, the next add removes it and loses nothing."""
    store.add("ada", ADA, values_of=fields)
    store._place.chroma.close()
    (blocker,) = (path for path in (tmp_path / "context").iterdir() if "-" in path.name)
    blocker.unlink()
    store.search("ada", "kayak")
    assert blocker.is_dir(), "Chroma made it again"
    store.add("ada", BEN, values_of=fields)
    assert blocker.is_file()
    assert len(store.list("ada")) == len(store.search("ada", "kayak", k=9)) == 5


def test_a_full_disk_is_named(store: ContextStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC from SQLite or Chroma says that the disk is full, and what to do."""
    store.add("ada", BEN, values_of=fields)
    collection = type(store._place.chroma.collection(store_name("ada")))

    def full(*args: object, **kwargs: object) -> None:
        raise RuntimeError("error returned from database: (code: 13) database or disk is full")

    monkeypatch.setattr(collection, "upsert", full)
    with pytest.raises(StoreError, match="disk is full"):
        store.add("ada", ADA, values_of=fields)
    monkeypatch.undo()
    assert [i.text for i in store.list("ada")] == [BEN[0].text]


def test_a_folder_that_may_not_be_used_is_a_store_error(
    store: ContextStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and writing name the cause, and do not take what they cannot see for nothing."""
    store.add("ada", ADA, values_of=fields)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    for call in (store.values, store.list, store.has, lambda user: store.set_value(user, "Wexcombe")):
        with pytest.raises(StoreError, match=r"(?i)permission"):
            call("ada")
    for call in (store.users, store.locked):
        with pytest.raises(StoreError, match="Permission denied"):
            call()
    monkeypatch.undo()
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    for call in (lambda user: store.set_value(user, "Wexcombe"), store.purge):
        with pytest.raises(StoreError, match="Permission denied"):
            call("ada")


def test_a_store_that_cannot_be_opened_tells_the_first_cause(
    store: ContextStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chroma stumbles over its own half-open client when it is tried again."""
    store.add("ada", ADA, values_of=fields)
    store._place.chroma.close()
    causes = iter([RuntimeError("attempt to write a readonly database"), *[AttributeError("bindings")] * 9])

    def fail(_: Path) -> None:
        raise next(causes)

    monkeypatch.setattr(chroma, "_on_disk", fail)
    monkeypatch.setattr(chroma.time, "sleep", lambda _: None)
    with pytest.raises(StoreError, match="no permission"):
        store.list("ada")


def test_a_link_in_the_store_is_not_followed(store: ContextStore, tmp_path: Path) -> None:
    """Files are closed to others where they lie in the store; what a link leads to is not touched."""
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    outside.chmod(0o644)
    store.add("ada", BEN, values_of=fields)
    (tmp_path / "context" / "link").symlink_to(outside)
    store.add("ada", ADA, values_of=fields)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_a_busy_store_says_so(store: ContextStore, tmp_path: Path) -> None:
    """While another writer holds the lock, writing fails after the wait; reading goes on."""
    from filelock import FileLock

    store.add("ada", BEN, values_of=fields)
    with FileLock(tmp_path / "context" / "write.lock"):
        with pytest.raises(StoreBusyError, match="another process"):
            store.add("ada", ADA, values_of=fields)
        assert store.has("ada")
    assert store.add("ada", ADA, values_of=fields).added == 4


def test_two_stores_on_one_folder_see_each_other(tmp_path: Path) -> None:
    """Two objects in one process share what is written through either, also after a purge."""
    one, two = ContextStore(tmp_path, FakeEmbedder()), ContextStore(tmp_path, FakeEmbedder())
    one.add("ada", ADA, values_of=fields)
    assert two.search("ada", "kayak", k=1)[0].title == "regatta"
    two.add("ada", [ContextItem("note", "umbrella stand")], values_of=fields)
    assert one.search("ada", "umbrella stand", k=1)[0].text == "umbrella stand"
    two.purge("ada")
    assert not one.has("ada")


def test_threads_may_share_a_store(store: ContextStore) -> None:
    """Users added and searched from several threads at once stay apart and complete."""
    errors: list[BaseException] = []

    def work(user: str) -> None:
        try:
            for i in range(5):
                store.add(user, [ContextItem("note", f"{user} note {i}")], values_of=lambda _: ())
                assert all(user in item.text for item in store.search(user, "note", k=9))
        except BaseException as error:
            errors.append(error)

    store._place.wait_s = 30
    threads = [threading.Thread(target=work, args=(f"user{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all(len(store.list(f"user{i}")) == 5 for i in range(4))


@pytest.mark.parametrize("user", ["", "  ", "a\nb", "x" * 300])
def test_unusable_user_ids_are_refused(store: ContextStore, user: str) -> None:
    """An empty, endless or multi-line user id is an InputError everywhere."""
    for call in (store.has, store.list, store.values, store.purge):
        with pytest.raises(InputError):
            call(user)


def test_strange_users_and_texts_survive(store: ContextStore) -> None:
    """Ids and texts in any script are kept as they are; a folder is never made from an id."""
    user = "../../Žofie 蓝 👩‍🚀".replace("\u200d", "")
    text = "Zwölf Boxkämpfer\n\n  «quoted» \u200b 蓝色 \U0001f680 " + "é" * 5000
    store.add(user, [ContextItem("note", text, "títle")], values_of=lambda _: ())
    assert store.list(user)[0].text == text
    assert store.users() == [user]
    assert store.purge(user).items == 1


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d pair", "x" * 1_000_001])
def test_texts_that_cannot_be_kept_are_refused(store: ContextStore, text: str) -> None:
    """NUL, half a surrogate pair and over-long texts are InputErrors that name the item, not its text."""
    with pytest.raises(InputError, match="item 2"):
        store.add("ada", [ContextItem("note", "fine"), ContextItem("note", text)], values_of=lambda _: ())


def test_chroma_takes_nothing_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `.env` in the working directory nor variables can send the store elsewhere."""
    (tmp_path / ".env").write_text("CHROMA_SERVER_HOST=203.0.113.9\nPERSIST_DIRECTORY=/nowhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHROMA_API_IMPL", "chromadb.api.fastapi.FastAPI")
    monkeypatch.setenv("CHROMA_SERVER_HOST", "203.0.113.9")
    monkeypatch.setenv("ANONYMIZED_TELEMETRY", "True")
    store = ContextStore(tmp_path / "data", FakeEmbedder())
    store.add("ada", BEN, values_of=fields)
    settings = store._place.chroma.client.get_settings()
    assert settings.chroma_api_impl.endswith("RustBindingsAPI")
    assert settings.chroma_server_host is None
    assert settings.anonymized_telemetry is False
    assert (tmp_path / "data" / "context" / "chroma.sqlite3").exists()


def test_the_embedder_is_asked_for_at_first_use(tmp_path: Path) -> None:
    """A function may stand for the embedder: listing and purging never need the model."""
    calls: list[int] = []

    def make() -> FakeEmbedder:
        calls.append(1)
        return FakeEmbedder()

    store = ContextStore(tmp_path, make)
    assert store.search("ada", "x") == []
    store.set_value("ada", "Bluebell")
    assert not calls
    store.add("ada", ADA, values_of=fields)
    store.search("ada", "x")
    assert calls == [1]


def test_export_gives_everything(store: ContextStore) -> None:
    """Items in full, then known values."""
    store.add("ada", ADA, values_of=fields)
    out = list(store.export("ada"))
    assert [entry["text"] for entry in out[:4]] == [item.text for item in ADA]
    assert out[4] == {"known_value": "Ada Thornquist", "type": "PERSON", "origin": "field", "enabled": True}


def test_nothing_prints_a_text(store: ContextStore) -> None:
    """`repr` of stores, items, values and reports holds no text of the user."""
    store.add("ada", ADA, values_of=fields)
    memory = MemoryStore(ADA, values_of=fields)
    shown = [store, memory, store.list("ada"), store.values("ada"), memory.list("x"), memory.values("x"), ADA]
    assert "Thornquist" not in repr(shown)
    assert "regatta" not in repr(shown)


def test_an_unusable_folder_names_the_fix(tmp_path: Path) -> None:
    """A file where the folder should be is a StoreError that names store.path."""
    (tmp_path / "data").write_text("I am a file")
    with pytest.raises(StoreError, match=r"store\.path"):
        ContextStore(tmp_path / "data", FakeEmbedder()).add("ada", ADA, values_of=fields)


def test_memory_store_reads_like_the_other(store: ContextStore) -> None:
    """The same items, values and nearest texts as on disk, with or without an embedder."""
    store.add("ada", ADA, values_of=fields)
    for memory in (MemoryStore(ADA, FakeEmbedder(), values_of=fields), MemoryStore(ADA, values_of=fields)):
        assert [i.text for i in memory.list("ada")] == [i.text for i in store.list("ada")]
        assert [i.text for i in memory.profile("ada")] == [i.text for i in store.profile("ada")]
        assert memory.values("ada") == store.values("ada")
        assert memory.search("ada", "kayak regatta", k=1)[0].title == "regatta"
        assert memory.has("ada")
    assert not MemoryStore([]).has("ada")
    mine = MemoryStore(ADA, user="ada")
    assert mine.has("ada")
    assert not mine.has("ben")
    assert mine.list("ben") == mine.values("ben") == mine.search("ben", "kayak") == []


def test_a_store_is_never_pickled_with_its_texts(store: ContextStore) -> None:
    """A store holds locks and cannot be pickled by accident."""
    with pytest.raises(TypeError):
        pickle.dumps(store)
