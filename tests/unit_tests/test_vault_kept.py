"""What must hold for threads that are kept on disk: another vault on the same folder is another process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from cogenesis_langchain.crypto import Keys, pseudonym
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import InputError, VaultError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.placeholders import hide, restore
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.types import ContextItem, Level, PrivateSpan, Route, Step
from cogenesis_langchain.vault import book as vault_book
from cogenesis_langchain.vault.book import Bounds
from cogenesis_langchain.vault.vault import Vault
from tests.conftest import INSTRUCTION, USER

A = ("ada", "thread-1")
B = ("bo", "thread-1")
TEXT = "Quillon Vexmoor invites you to Larkspinner Row"
Opener = Callable[..., Vault]


@pytest.fixture
def again(tmp_path: Path) -> Opener:
    """A new vault on the same folder and keys, with a run of `scope` begun."""

    def make(*scopes: tuple[str, str], bounds: Bounds | None = None) -> Vault:
        keys = Keys(tmp_path / "keys", backend="file")
        vault = Vault(tmp_path / "vault", lambda: keys, bounds=bounds)
        for scope in scopes or (A,):
            vault.keep(scope)
        return vault

    return make


def book_of(folder: Path, user: str) -> Path:
    """The file of one user."""
    return folder / "vault" / f"{pseudonym(user)}.sqlite3"


def on_disk(folder: Path) -> bytes:
    """Every byte below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_another_process_reads_what_was_kept(again: Opener) -> None:
    """Texts, placeholders, floor and spent names of a thread are there for the next process."""
    first = again()
    handle = first.put(A, TEXT)
    placeholder = first.table(A).placeholder("Quillon Vexmoor", "PERSON")
    other_form = first.table(A).placeholder("QUILLON VEXMOOR", "PERSON")
    first.raise_floor(A, Step(Route.SKETCH, Level.KIND))
    assert first.spend(A, "one")
    second = again()
    assert second.get(A, handle) == TEXT
    assert second.put(A, TEXT) == handle
    table = second.table(A)
    assert table.value(placeholder) == "Quillon Vexmoor"
    assert table.placeholder("QUILLON VEXMOOR", "PERSON") == other_form
    assert table.placeholder("Bram", "PERSON") not in (placeholder, other_form)
    assert second.floor(A) == Step(Route.SKETCH, Level.KIND)
    assert second.raise_floor(A, Step(Route.CLOUD)) == Step(Route.SKETCH, Level.KIND)
    assert not second.spend(A, "one")
    assert second.spend(A, "two")


def test_an_alias_is_one_for_all_processes_and_tells_nothing(again: Opener, tmp_path: Path) -> None:
    """What an application called a message stands in its checkpoints under a name that only the key gives."""
    other = ("ada", "thread-2")
    first, second = again(A, other, B), again(A)
    alias = first.alias(A, "mail from Bram")
    assert second.alias(A, "mail from Bram") == alias
    assert len({alias, first.alias(other, "mail from Bram"), first.alias(B, "mail from Bram")}) == 3
    elsewhere = Keys(tmp_path / "other-keys", backend="file")
    vault = Vault(tmp_path / "other", lambda: elsewhere)
    vault.keep(A)
    assert vault.alias(A, "mail from Bram") != alias
    memory = Vault()
    assert memory.alias(A, "mail") == memory.alias(A, "mail") != Vault().alias(A, "mail")


@settings(max_examples=40)
@given(text=st.text(max_size=200), value=st.text(min_size=1, max_size=40))
def test_any_text_and_value_survives(again: Opener, text: str, value: str) -> None:
    """Whatever the characters, a new process reads the same text and restores the same value."""
    scope = ("ada", "hypothesis")
    first = again(scope)
    handle = first.put(scope, text)
    hidden = hide(
        text + value, [PrivateSpan("PERSON", len(text), len(text + value), 1, "x")], first.table(scope)
    )
    second = again(scope)
    assert second.get(scope, handle) == text
    assert restore(hidden.text, second.table(scope)) == text + value


def test_nothing_readable_is_on_the_disk(again: Opener, tmp_path: Path) -> None:
    """No byte of folder, log or index tells a text, a value, a thread or a user; files are the owner's."""
    scope = ("user-quillon", "secret-thread")
    vault = again(scope)
    vault.put(scope, TEXT)
    vault.table(scope).placeholder("Quillon Vexmoor", "PERSON")
    vault.raise_floor(scope, Step(Route.LOCAL))
    vault.spend(scope, "body-name")
    data = on_disk(tmp_path)
    for word in ("Quillon", "Larkspinner", "secret-thread", "user-quillon", "body-name", "[[P1]]"):
        assert word.encode() not in data, word
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "vault").rglob("*"))
    assert (tmp_path / "vault").stat().st_mode & 0o077 == 0


def test_runs_without_keep_write_nothing(again: Opener, tmp_path: Path) -> None:
    """A scope that was never said to outlive the process stays in memory, and makes no key."""
    vault = again(A)
    vault.put(B, TEXT)
    vault.table(B).placeholder("Quillon", "PERSON")
    vault.raise_floor(B, Step(Route.LOCAL))
    vault.spend(B, "one")
    assert not (tmp_path / "vault").exists()
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("scope", [("bo", "thread-1"), ("ada", "thread-2")])
def test_a_foreign_handle_is_an_error(again: Opener, scope: tuple[str, str]) -> None:
    """Neither another user nor another thread reads a text, in this process or the next."""
    first = again(A, scope)
    handle = first.put(A, TEXT)
    assert first.put(scope, TEXT) != handle
    for vault in (first, again(scope)):
        with pytest.raises(VaultError) as error:
            vault.get(scope, handle)
        assert "Quillon" not in str(error.value)
        assert not len(vault.table(scope))


def test_a_row_moved_to_another_thread_is_refused(again: Opener, tmp_path: Path) -> None:
    """Who can write the file cannot pass one thread's text, or lower floor, off as another's."""
    vault = again(A, ("ada", "thread-2"))
    handle = vault.put(A, TEXT)
    vault.raise_floor(A, Step(Route.LOCAL))
    vault.put(("ada", "thread-2"), "other")
    vault.raise_floor(("ada", "thread-2"), Step(Route.CLOUD))
    vault.close()
    with closing(sqlite3.connect(book_of(tmp_path, "ada"))) as db, db:
        low = db.execute(
            "SELECT scope, sealed FROM entries WHERE kind = 'floor' ORDER BY seq DESC"
        ).fetchone()
        db.execute("UPDATE entries SET sealed = ? WHERE kind = 'floor' AND scope != ?", (low[1], low[0]))
        db.execute("UPDATE entries SET scope = ? WHERE kind = 'text' AND name = ?", (low[0], handle))
    vault = again(A, ("ada", "thread-2"))
    with pytest.raises(VaultError, match="changed"):
        vault.floor(A)
    with pytest.raises(VaultError, match="changed"):
        vault.get(("ada", "thread-2"), handle)


def test_a_row_in_the_clear_is_refused(again: Opener, tmp_path: Path) -> None:
    """A downgrade to plain text is an error, never an answer."""
    vault = again()
    handle = vault.put(A, TEXT)
    vault.close()
    with closing(sqlite3.connect(book_of(tmp_path, "ada"))) as db, db:
        db.execute("UPDATE entries SET sealed = ? WHERE kind = 'text'", (b"plain words",))
    with pytest.raises(VaultError, match="in the clear") as error:
        again().get(A, handle)
    assert "plain words" not in str(error.value)


def test_a_destroyed_key_ends_everything(again: Opener, tmp_path: Path) -> None:
    """Open or not, no vault reads or writes the thread any more, and the error names the way out."""
    vault = again()
    handle = vault.put(A, TEXT)
    Keys(tmp_path / "keys", backend="file").destroy("ada")
    for one in (vault, again()):
        for use in (lambda v: v.floor(A), lambda v: v.put(A, "x"), lambda v: v.spend(A, "n")):
            with pytest.raises(VaultError, match="purge"):
                use(one)
    with pytest.raises(VaultError, match="key"):
        again().get(A, handle)


def test_another_key_is_told_apart(again: Opener, tmp_path: Path) -> None:
    """A key that was made anew does not make old threads look empty: the floor would be gone."""
    again().raise_floor(A, Step(Route.LOCAL))
    keys = Keys(tmp_path / "keys", backend="file")
    keys.destroy("ada")
    keys.cipher("ada")
    with pytest.raises(VaultError, match="another key"):
        again().floor(A)


def test_purge_removes_all_of_one_user(again: Opener, tmp_path: Path) -> None:
    """File, memory and every thread; another user's thread and another process's view stay right."""
    vault, other = again(A, ("ada", "thread-2"), B), again(A, B)
    handle, kept = vault.put(A, TEXT), vault.put(B, "kept")
    vault.put(("ada", "thread-2"), TEXT)
    other.raise_floor(A, Step(Route.LOCAL))
    assert vault.purge("ada")
    assert not vault.purge("ada")
    assert not list((tmp_path / "vault").glob(f"{pseudonym('ada')}*"))
    with pytest.raises(VaultError):
        vault.get(A, handle)
    with pytest.raises(VaultError):
        other.get(A, handle)
    assert other.floor(A) is None
    assert vault.get(B, kept) == other.get(B, kept) == "kept"


def test_forget_drops_one_thread(again: Opener) -> None:
    """Disk and memory, floor and placeholders; the user's other thread stays."""
    vault = again(A, ("ada", "thread-2"))
    handle, kept = vault.put(A, TEXT), vault.put(("ada", "thread-2"), "kept")
    vault.raise_floor(A, Step(Route.LOCAL))
    vault.table(A).placeholder("Quillon", "PERSON")
    vault.forget(A)
    fresh = again(A, ("ada", "thread-2"))
    with pytest.raises(VaultError):
        fresh.get(A, handle)
    assert fresh.floor(A) is None
    assert not len(fresh.table(A))
    assert fresh.get(("ada", "thread-2"), kept) == "kept"


def test_a_run_leaves_the_memory_with_its_end(again: Opener) -> None:
    """A server of many threads holds only those under way; two runs of one thread do not end each other."""
    vault = again(A)
    vault.keep(A)
    handle = vault.put(A, TEXT)
    vault.end(A)
    assert vault.get(A, handle) == TEXT
    vault.end(A)
    assert len(vault) == 0
    vault.keep(A)
    assert vault.get(A, handle) == TEXT


def test_a_floor_from_memory_is_not_lost(again: Opener) -> None:
    """A thread that first ran without a lasting checkpointer keeps its floor when it gets one."""
    vault = again(B)
    vault.raise_floor(A, Step(Route.LOCAL))
    vault.keep(A)
    assert vault.floor(A) == again(A).floor(A) == Step(Route.LOCAL)


def test_two_open_vaults_number_as_one(again: Opener) -> None:
    """Two processes in one thread never give one placeholder to two values, or two to one."""
    first, second = again(), again()
    tables = first.table(A), second.table(A)
    seen = {tables[i % 2].placeholder(f"value {i % 7} {'x' * (i % 3)}", "PERSON") for i in range(42)}
    for vault in (first, second, again()):
        values = [vault.table(A).value(placeholder) for placeholder in seen]
        assert len(set(values)) == len(seen) == 21
        assert None not in values


def test_threads_of_one_process_agree(again: Opener) -> None:
    """Concurrent puts, spends and placeholders of one kept thread."""
    vault = again()
    handles: list[set[str]] = [set() for _ in range(6)]
    firsts: list[int] = []

    def work(i: int) -> None:
        for n in range(20):
            handles[i].add(vault.put(A, f"text {n % 5}"))
            vault.table(A).placeholder(f"value {n % 5}", "PERSON")
            firsts.append(vault.spend(A, f"name {n}"))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found == handles[0] for found in handles)
    assert len(handles[0]) == len(vault.table(A)) == 5
    assert sum(firsts) == 20


@pytest.mark.parametrize("bounds", [Bounds(days=90), Bounds(days=400, bytes=5000)])
def test_old_texts_go_and_floors_stay(again: Opener, monkeypatch: pytest.MonkeyPatch, bounds: Bounds) -> None:
    """After the days, or over the bytes, texts and placeholders of resting threads go; what limits stays."""
    old, new = ("ada", "old"), ("ada", "new")
    vault = again(old, new)
    handle = vault.put(old, TEXT)
    vault.table(old).placeholder("Quillon", "PERSON")
    vault.raise_floor(old, Step(Route.LOCAL))
    vault.spend(old, "one")
    now = vault_book.time.time
    monkeypatch.setattr(vault_book.time, "time", lambda: now() + 100 * 86_400)
    kept = vault.put(new, "y" * 6000)
    later = again(old, new, bounds=bounds)
    with pytest.raises(VaultError, match="too long ago"):
        later.get(old, handle)
    assert not len(later.table(old))
    assert later.floor(old) == Step(Route.LOCAL)
    assert not later.spend(old, "one")
    assert later.get(new, kept) == "y" * 6000, "a thread in use is never too large"


def test_a_process_that_stays_open_forgets_too(again: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never restarts keeps nothing longer than one that does."""
    old, new = ("ada", "old"), ("ada", "new")
    vault = again(old, new)
    handle = vault.put(old, TEXT)
    vault.end(old)
    now = vault_book.time.time
    monkeypatch.setattr(vault_book.time, "time", lambda: now() + 91 * 86_400)
    vault.keep(old)
    with pytest.raises(VaultError, match="too long ago"):
        vault.get(old, handle)


def test_a_damaged_file_is_a_clear_error(again: Opener, tmp_path: Path) -> None:
    """Garbage, or a folder that cannot be written: VaultError, no traceback of SQLite."""
    vault = again()
    vault.put(A, TEXT)
    vault.close()
    book_of(tmp_path, "ada").write_bytes(b"no database" * 1000)
    with pytest.raises(VaultError, match="damaged"):
        again().floor(A)
    (tmp_path / "vault" / f"{pseudonym('bo')}.sqlite3").mkdir()
    with pytest.raises(VaultError):
        again(B).put(B, "x")


def test_a_failed_write_issues_no_placeholder(again: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk refused is not used: the next try, and the next process, number as if nothing was."""
    vault = again()
    vault.put(A, TEXT)

    def full(*_: object) -> bytes:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("cogenesis_langchain.vault.kept.sealed", full)
    with pytest.raises(VaultError, match="disk is full"):
        vault.table(A).placeholder("Quillon", "PERSON")
    monkeypatch.undo()
    assert vault.table(A).placeholder("Bram", "PERSON") == "[[P1]]"
    assert again().table(A).value("[[P1]]") == "Bram"


def test_nothing_prints_what_it_holds(again: Opener) -> None:
    """repr of vault, shelf, book and table: no text, no user, no thread."""
    vault = again()
    vault.put(A, TEXT)
    shelf = vault._shelves[A]
    shown = " ".join(map(repr, (vault, vault._books["ada"], vault.table(A), Bounds())))
    assert not any(word in shown for word in ("Quillon", "ada", "thread-1"))
    assert "Quillon" not in repr(shelf)


# --- Which runs are kept --------------------------------------------------------------------------


class Lasting(InMemorySaver):
    """Stands for any checkpointer whose checkpoints outlive the process."""


THREAD: Any = {"configurable": {"thread_id": "t"}}


def reopened(engine: Engine) -> Vault:
    """The same folder, as the next process opens it, with a run of the thread begun."""
    vault = Vault(engine.data_dir / "vault", lambda: engine.keys)
    vault.keep((USER, "t"))
    return vault


def test_runs_that_end_with_the_process_leave_nothing(engine: Engine) -> None:
    """No thread, a thread without a checkpointer, or one in memory: no vault and no key on disk."""
    create_privacy_router(engine=engine, user_id=USER).invoke(INSTRUCTION)
    create_privacy_router(engine=engine, user_id=USER).invoke(INSTRUCTION, THREAD)
    create_privacy_router(engine=engine, user_id=USER, checkpointer=InMemorySaver()).invoke(
        INSTRUCTION, THREAD
    )
    assert not (engine.data_dir / "vault").exists()


async def test_every_door_keeps_a_lasting_thread(engine: Engine) -> None:
    """invoke, stream, their async twins, batch and update_state: on disk, and out of memory afterwards."""
    router = create_privacy_router(engine=engine, user_id=USER, checkpointer=Lasting())
    router.invoke(INSTRUCTION, THREAD)
    list(router.stream(INSTRUCTION, THREAD))
    await router.ainvoke(INSTRUCTION, THREAD)
    assert [chunk async for chunk in router.astream(INSTRUCTION, THREAD)]
    router.batch([INSTRUCTION], THREAD)
    router.update_state(THREAD, {"messages": [("user", "Said elsewhere.")]}, as_node="finish")
    handles = [message.content for message in router.get_state(THREAD).values["messages"]]
    assert len(handles) == 11
    assert len(engine.vault) == 0
    vault = reopened(engine)
    texts = [vault.get((USER, "t"), handle) for handle in handles]
    assert "Said elsewhere." in texts[-1]
    assert sum(INSTRUCTION in text for text in texts) >= 5


def test_stopped_and_refused_runs_leave_the_memory(engine: Engine) -> None:
    """A stream that nobody reads to its end, and a request that is no request, end their run too."""
    router = create_privacy_router(engine=engine, user_id=USER, checkpointer=Lasting())
    stream = router.stream(INSTRUCTION, THREAD, stream_mode="messages")
    next(stream)
    assert len(engine.vault) == 1
    stream.close()
    with pytest.raises(InputError):
        router.invoke("  ", THREAD)
    assert len(engine.vault) == 0


def test_a_subgraph_is_kept_with_its_parents_checkpoints(engine: Engine) -> None:
    """A router inside somebody's graph has no checkpointer of its own, but its handles are in theirs."""
    parent = StateGraph(MessagesState)
    parent.add_node("router", create_privacy_router(engine=engine, user_id=USER))
    parent.add_edge(START, "router")
    parent.compile(checkpointer=Lasting()).invoke({"messages": [("user", INSTRUCTION)]}, THREAD)
    assert book_of(engine.data_dir, USER).exists()


def test_two_users_of_one_folder_never_meet(make_engine: Callable[..., Engine]) -> None:
    """50 concurrent runs in lasting threads of the same name: neither file opens the other's texts."""
    items = {"ann": "Name: Ann Greenshoe", "bob": "Name: Bob Yellowhat"}

    class TwoUsers:
        def __init__(self) -> None:
            self.stores = {u: MemoryStore([ContextItem("profile", t)], user=u) for u, t in items.items()}

        def __getattr__(self, name: str) -> Any:
            return lambda user, *args, **kwargs: getattr(self.stores[user], name)(user, *args, **kwargs)

    engine = make_engine({"store": TwoUsers()})
    routers = {
        user: create_privacy_router(engine=engine, user_id=user, checkpointer=Lasting()) for user in items
    }

    def one(number: int) -> tuple[str, str]:
        user = "ann" if number % 2 else "bob"
        thread = {"configurable": {"thread_id": str(number // 10)}}
        return user, str(routers[user].invoke(f"{INSTRUCTION} From {user}.", thread)["messages"])

    with ThreadPoolExecutor(8) as pool:
        for user, said in pool.map(one, range(50)):
            other = "bob" if user == "ann" else "ann"
            assert items[user].removeprefix("Name: ") in said
            assert items[other].removeprefix("Name: ") not in said
            assert f"From {other}." not in said
    assert len(engine.vault) == 0


def test_a_lasting_thread_is_its_users_alone(engine: Engine) -> None:
    """Another user is refused in it, by a mark that no list of user names can be tried against."""
    saver = Lasting()
    mine = create_privacy_router(engine=engine, user_id=USER, checkpointer=saver)
    mine.invoke(INSTRUCTION, THREAD)
    with pytest.raises(InputError, match="another user"):
        create_privacy_router(engine=engine, user_id="eve", checkpointer=saver).invoke(INSTRUCTION, THREAD)
    owner = mine.get_state(THREAD).values["owner"]
    assert owner == reopened(engine).owner((USER, "t"))
    engine.purge(USER)
    with pytest.raises(InputError, match="purged"):
        mine.invoke(INSTRUCTION, THREAD)
    assert reopened(engine).owner((USER, "t")) != owner
