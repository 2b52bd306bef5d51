from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cogenesis_langchain.crypto import Keys
from cogenesis_langchain.store import ContextStore
from cogenesis_langchain.testing import FakeEmbedder
from cogenesis_langchain.types import ContextItem, KnownValue

pytestmark = pytest.mark.integration

PRELUDE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store_processes import *
store = ContextStore(Path(sys.argv[1]), TextsApart(), wait_s=60)
"""


class TextsApart:
    """An embedder that gives every text a direction of its own: a text is nearest to itself only."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 384) float32, unit norm."""
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
        out = np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds])
        return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


def notes(prefix: str, count: int) -> list[ContextItem]:
    """Items that differ."""
    return [ContextItem("note", f"{prefix} note {i}") for i in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> ContextStore:
    """A store that other processes use too."""
    return ContextStore(tmp_path, TextsApart(), wait_s=60)


def values_of(item: ContextItem) -> list[KnownValue]:
    """One known value for each item."""
    return [KnownValue("value of " + item.text, "NOTE", "field")]


def start(folder: Path, code: str) -> subprocess.Popen[str]:
    """Another Python process that works on the same store."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(folder)], stdout=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed, once it ended well."""
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out


@pytest.mark.parametrize(
    "delay_s", [0.0, 0.11, *(pytest.param(more, marks=pytest.mark.full) for more in (0.05, 0.23))]
)
def test_a_killed_add_loses_nothing_stored(store: ContextStore, tmp_path: Path, delay_s: float) -> None:
    """kill -9 in mid-add: every batch reported as done is there, with its values, and can be searched."""
    code = (
        "store.add('ada', notes('ada', 5000), values_of=values_of, progress=lambda n: print(n, flush=True))"
    )
    process = start(tmp_path, code)
    assert process.stdout is not None
    done = [int(process.stdout.readline()) for _ in range(3)][-1]
    time.sleep(delay_s)
    os.kill(process.pid, signal.SIGKILL)
    done = max([done, *(int(line) for line in process.stdout.read().split() if line)])
    process.wait()
    texts = {item.text for item in store.list("ada")}
    assert {f"ada note {i}" for i in range(done)} <= texts
    assert {f"value of {text}" for text in texts} <= {value.value for value in store.values("ada")}
    for text in sorted(texts)[::7]:
        assert store.search("ada", text, k=1)[0].text == text
    report = store.add("ada", notes("ada", 640), values_of=values_of)
    assert report.skipped >= min(done, 640)
    assert len(store.list("ada")) == max(640, len(texts))
    assert store.purge("ada").checked


def test_two_writers_and_a_reader(store: ContextStore, tmp_path: Path) -> None:
    """Two processes add to one store while this one reads: all complete, nothing is lost or mixed."""
    writers = [
        start(tmp_path, f"store.add('{user}', notes('{user}', 300), values_of=values_of)")
        for user in ("ada", "ben")
    ]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        for user in ("ada", "ben"):
            assert all(user in item.text for item in store.search(user, "note", k=5))
            stored = len(store.list(user))
            assert len(store.values(user)) >= stored, "values are written before their texts"
        reads += 1
    for writer in writers:
        finish(writer)
    assert reads > 0
    for user in ("ada", "ben"):
        assert len(store.list(user)) == len(store.values(user)) == 300
        for i in range(0, 300, 17):
            assert store.search(user, f"{user} note {i}", k=1)[0].text == f"{user} note {i}"


def test_what_another_process_added_is_found_at_once(store: ContextStore, tmp_path: Path) -> None:
    """An open store searches texts that another process added or purged after it was opened."""
    store.add("ada", notes("old", 80), values_of=values_of)
    assert store.search("ada", "umbrella stand", k=1)[0].text.startswith("old")
    code = "store.add('ada', [ContextItem('note', 'umbrella stand')], values_of=values_of)"
    finish(start(tmp_path, code))
    assert store.search("ada", "umbrella stand", k=1)[0].text == "umbrella stand"
    finish(start(tmp_path, "assert store.purge('ada').items == 81"))
    assert not store.has("ada")
    assert store.search("ada", "umbrella stand") == []


def test_a_killed_purge_can_be_finished(store: ContextStore, tmp_path: Path) -> None:
    """kill -9 between deleting and rewriting: the next purge finishes, and no byte is left."""
    secret = "The lighthouse keeper Marigold Fennimore kept ledgers. "
    store.add("ada", [ContextItem("note", secret * (1 + i)) for i in range(40)], values_of=values_of)
    code = """
import os, signal
from cogenesis_langchain.store import disk
disk.rewrite = lambda root: os.kill(os.getpid(), signal.SIGKILL)
store.purge("ada")
"""
    process = start(tmp_path, code)
    process.wait(timeout=300)
    assert process.returncode == -signal.SIGKILL
    store.purge("ada")
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Fennimore" not in left
    assert store.users() == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real Chroma server on loopback."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("chroma")
    args = [command, "run", "--host", "127.0.0.1", "--port", str(port), "--path", tmp_path / "server"]
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "chroma run ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_the_server_form_works_alike(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a Chroma server: same answers, values on the server too, proxies of the environment unused."""
    from cogenesis_langchain.settings import ServerConfig

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    config = ServerConfig(base_url=server)
    store = ContextStore(tmp_path / "one", FakeEmbedder(), server=config)
    assert not store.has("ada")
    items = [ContextItem("note", "umbrella stand", "hall"), ContextItem("profile", "Name: Ada Thornquist")]
    assert store.add("ada", items, values_of=values_of).values == 2
    assert store.add("ada", items, values_of=values_of).skipped == 2
    keys = Keys(tmp_path / "one" / "keys")
    other = ContextStore(tmp_path / "two", FakeEmbedder(), server=config, keys=keys)
    assert other.search("ada", "umbrella stand", k=1)[0].title == "hall"
    assert [item.text for item in other.profile("ada")] == ["Name: Ada Thornquist"]
    assert len(other.values("ada")) == 2
    other.set_value("ada", "Bluebell")
    assert store.remove_value("ada", "Bluebell")
    assert not store.remove_value("ada", "Bluebell")
    assert store.users() == ["ada"]
    assert store.search("ben", "umbrella") == []
    held = b"".join(path.read_bytes() for path in (tmp_path / "server").rglob("*") if path.is_file())
    assert b"umbrella" not in held
    assert b"Thornquist" not in held
    report = store.purge("ada")
    assert (report.items, report.values, report.checked) == (2, 2, False)
    assert not other.has("ada")
    assert other.values("ada") == other.users() == []
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["keys"]


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    """No server: a StoreError that names store.server, not an empty context."""
    from cogenesis_langchain.errors import StoreError
    from cogenesis_langchain.settings import ServerConfig

    store = ContextStore(tmp_path, FakeEmbedder(), server=ServerConfig(base_url="http://127.0.0.1:9"))
    with pytest.raises(StoreError, match=r"store\.server"):
        store.has("ada")
