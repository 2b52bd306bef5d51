"""What a copy of the whole data folder would tell: all rooms together, over fakes and a loopback cloud."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from cogenesis_langchain.crypto import Keys
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import CoGenesisError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.store import ContextStore
from cogenesis_langchain.testing import (
    FakeDetector,
    FakeEmbedder,
    RecordingCloud,
    canaries,
    canary_context,
    leaked,
)
from tests.conftest import INSTRUCTION, USER, routed

NAME = f"{USER} of Tidewell"  # a user id that occurs nowhere else
ASKED = f"{INSTRUCTION} Love, Quillon Vexmoor of 14 Larkspinner Row, quillon.vexmoor@tidewell.example"
PRIVATE = ["Larkspinner", "vexmoor", NAME, "birthday party", "rain boots", "Thistledown"]


def everything(folder: Path) -> bytes:
    """All bytes of all files, and their names."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert paths
    return b"\0".join([*(path.read_bytes() for path in paths), *(str(path).encode() for path in paths)])


def told(data: bytes) -> list[str]:
    """What of the person's life can be read in `data`."""
    text = data.decode("utf-8", "replace").casefold()
    return [*leaked(data), *(word for word in PRIVATE if word.casefold() in text)]


def live(make_engine: Callable[..., Engine], folder: Path, *, encrypt: bool = True) -> Engine:
    """An engine whose user added context, asked twice in a thread by masks, and twice by a sketch."""
    for route in ("mask", "sketch"):
        keys = Keys(folder / "keys" if encrypt else None)
        store = ContextStore(folder, FakeEmbedder(), keys=keys)
        section = {"path": str(folder), "encrypt": encrypt}
        engine = make_engine({"store": store}, routing=routed(route), store=section)
        store.add(NAME, canary_context(), values_of=FakeDetector().extract_values)
        store.set_value(NAME, "Operation Thistledown")
        store.search(NAME, "rain boots")
        with SqliteSaver.from_conn_string(str(folder / "checkpoints.sqlite")) as saver:
            router = create_privacy_router(engine=engine, user_id=NAME, checkpointer=saver)
            for _ in range(2):
                found = router.invoke(ASKED, {"configurable": {"thread_id": route}})
                assert found["receipts"][0]["status"] == "sent", found["warnings"]
                assert "Larkspinner" in found["messages"][0].text
        engine.vault.close()
    assert {"context", "audit", "vault"} <= {path.name for path in folder.iterdir()}
    return engine


def test_no_file_of_the_data_folder_tells_anything(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """Context, values, index, threads, checkpoints, receipts, keys and write-ahead logs: no private word."""
    live(make_engine, tmp_path)
    assert told(everything(tmp_path)) == []


def test_the_same_search_finds_all_of_it_in_the_clear(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """The search of the test before can find all of it: without encryption the files are full of it."""
    live(make_engine, tmp_path, encrypt=False)
    found = told(everything(tmp_path))
    assert {value.type for value in canaries()} <= set(found)
    assert set(PRIVATE) <= set(found)
    assert [path.name for path in tmp_path.rglob("*.key")] == ["audit.key"], "the log's own"


def test_purge_is_the_end_of_every_copy(make_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """After a purge the folder holds nothing of the user, and no copy made before can be opened again."""
    used = live(make_engine, tmp_path)
    copied = tmp_path.with_name(tmp_path.name + "-copy")
    shutil.copytree(tmp_path, copied, ignore=shutil.ignore_patterns("keys", "lock"))
    report = used.purge(NAME)
    assert report["key"]
    assert report["checked"]
    assert report["threads"]
    assert (report["items"], report["bodies"]) == (2, 4)
    assert used.store.users() == []  # type: ignore[attr-defined]
    assert [entry.body for entry in used.audit.receipts()] == [None] * 4
    assert used.audit.verify().ok
    assert used.keys.homes() == {"keyring": 0, "file": 0}
    shutil.copytree(tmp_path / "keys", copied / "keys")
    copy = make_engine({"store": ContextStore(copied, FakeEmbedder())}, store={"path": str(copied)})
    for read in (copy.store.list, copy.store.values):
        with pytest.raises(CoGenesisError):
            read(NAME)
    assert [entry.body for entry in copy.audit.receipts()] == [None] * 4
    assert told(everything(copied)) == []


def test_a_purge_spares_the_key_of_a_new_start(make_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Another process may add context while the rest of a purge goes on: that must stay readable."""
    engine = live(make_engine, tmp_path)
    other = ContextStore(tmp_path, FakeEmbedder())
    purge = engine.store.purge  # type: ignore[attr-defined]

    def purge_and_begin(user: str) -> object:
        report = purge(user)
        other.set_value(user, "Operation Larkspur")
        return report

    engine.store.purge = purge_and_begin  # type: ignore[attr-defined]
    assert engine.purge(NAME)["key"]
    assert [value.value for value in other.values(NAME)] == ["Operation Larkspur"]


def test_purge_destroys_the_key_of_earlier_days(make_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Also where encryption was switched off since: a copy made before can be opened by nobody."""
    live(make_engine, tmp_path)
    assert len(list((tmp_path / "keys").glob("*.key"))) == 1
    clear = make_engine(store={"path": str(tmp_path), "encrypt": False})
    clear.purge(NAME)
    assert not list((tmp_path / "keys").glob("*.key"))


@pytest.mark.parametrize("how", ["destroyed", "damaged", "another"])
def test_without_the_right_key_nothing_is_sent(
    make_engine: Callable[..., Engine], cloud: RecordingCloud, tmp_path: Path, how: str
) -> None:
    """What must not leave cannot be read any more, so no request goes out, also in an old thread."""
    engine = live(make_engine, tmp_path)
    sent = len(cloud.requests)
    (path,) = (tmp_path / "keys").glob("*.key")
    if how == "destroyed":
        path.unlink()
    else:
        path.write_bytes(b"damaged" if how == "damaged" else b"file:" + b"07" * 32)
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        router = create_privacy_router(engine=engine, user_id=NAME, checkpointer=saver)
        for thread in ("sketch", "mask", "new"):
            with pytest.raises(CoGenesisError, match=r"key|opened|purge") as error:
                router.invoke(ASKED, {"configurable": {"thread_id": thread}})
            assert not leaked(str(error.value))
    assert len(cloud.requests) == sent
