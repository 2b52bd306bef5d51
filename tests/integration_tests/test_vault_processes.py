"""Threads over several processes: another one resumes, and neither a restart nor kill -9 loosens anything."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

from cogenesis_langchain.config import load
from cogenesis_langchain.crypto import Keys
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import VaultError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import (
    FakeDetector,
    FakeEmbedder,
    FakeWriter,
    RecordingCloud,
    canary_context,
    leaked,
)
from cogenesis_langchain.vault.kept import KeptShelf
from tests.conftest import INSTRUCTION, USER, policy, routed

pytestmark = pytest.mark.integration

ASKED = f"{INSTRUCTION} Love, Quillon Vexmoor, quillon.vexmoor@tidewell.example"
THREAD: Any = {"configurable": {"thread_id": "t"}}
ROOT = Path(__file__).parents[2]


def engine_on(folder: Path, base_url: str, routing: dict[str, Any]) -> Engine:
    """Fakes for the models, and the store folder that all processes share."""
    detector = FakeDetector()
    store = MemoryStore(canary_context(), values_of=detector.extract_values, user=USER)
    settings = load(policy(base_url, folder, routing=routing))
    return Engine(settings, embedder=FakeEmbedder(), detector=detector, store=store, writer=FakeWriter())


def turn(
    folder: Path, base_url: str, routing: dict[str, Any], given: Any, *, die_at_send: bool = False
) -> Any:
    """One turn of the thread in a fresh engine: what this process and the others do."""
    engine = engine_on(folder, base_url, routing)
    if die_at_send:
        engine.cloud.send = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.sqlite")) as saver:
        found = create_privacy_router(engine=engine, user_id=USER, checkpointer=saver).invoke(given, THREAD)
    engine.vault.close()
    return found


def elsewhere(
    folder: Path, base_url: str, routing: dict[str, Any], given: str, *, die: bool = False
) -> dict[str, Any]:
    """The same turn in another process; {} where it was killed, as it should be with `die`."""
    code = (
        f"import json, sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from pathlib import Path; from test_vault_processes import turn\n"
        "folder, url, routing, given, die = json.loads(sys.stdin.read())\n"
        "found = turn(Path(folder), url, routing, given, die_at_send=die)\n"
        "shown = [i.value for i in found.get('__interrupt__', [])]\n"
        "print(json.dumps({'route': found['route'], 'text': found['text'], 'asked': shown}))\n"
    )
    told = json.dumps([str(folder), base_url, routing, given, die])
    done = subprocess.run(
        [sys.executable, "-c", code], input=told, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == (-signal.SIGKILL if die else 0), done.stderr
    return {} if die else json.loads(done.stdout)


def test_another_process_resumes_an_interrupt(tmp_path: Path, cloud: RecordingCloud) -> None:
    """What a person saw in one process is sent, byte for byte and once, by the process that is answered."""
    routing = routed("sketch", ask=True)
    asked = elsewhere(tmp_path, cloud.base_url, routing, ASKED)["asked"][0]
    assert not cloud.requests
    found = turn(
        tmp_path, cloud.base_url, routing, Command(resume={"approve": True, "sha256": asked["sha256"]})
    )
    assert found["route"] == "sketch"
    assert [body.decode() for body in cloud.bodies] == [asked["body"]]
    assert found["messages"][0].text == ASKED
    assert "Quillon Vexmoor" in found["text"]


def test_a_thread_goes_on_in_another_process(tmp_path: Path, cloud: RecordingCloud) -> None:
    """Earlier turns are read there, and a value keeps its placeholder."""
    routing = routed("mask")
    elsewhere(tmp_path, cloud.base_url, routing, ASKED)
    found = turn(tmp_path, cloud.base_url, routing, "Shorter, please. Quillon Vexmoor")
    first, second = (json.loads(body)["messages"] for body in cloud.bodies)
    assert [message.type for message in found["messages"]] == ["human", "ai", "human", "ai"]
    assert found["messages"][0].text == ASKED
    assert first[-1]["content"] in [message["content"] for message in second]
    placeholder = second[-1]["content"].removeprefix("Shorter, please. ")
    assert placeholder.startswith("[[")
    assert placeholder in first[-1]["content"]
    assert not leaked(cloud.raw)


def test_bytes_leave_at_most_once_after_kill_9(tmp_path: Path, cloud: RecordingCloud) -> None:
    """Killed in mid-send: nobody knows whether they left, so the next process does not send them."""
    elsewhere(tmp_path, cloud.base_url, routed("sketch"), ASKED, die=True)
    found = turn(tmp_path, cloud.base_url, routed("sketch"), None)
    assert found["route"] == "local"
    assert any("sent once already" in reason for reason in found["reasons"])
    assert not cloud.requests
    assert "Quillon Vexmoor" in found["text"]


def test_a_thread_stays_right_after_kill_9(tmp_path: Path, cloud: RecordingCloud) -> None:
    """The floor of a killed process holds for the next one: what was sketched once is never masked."""
    elsewhere(tmp_path, cloud.base_url, routed("sketch"), ASKED, die=True)
    found = turn(tmp_path, cloud.base_url, routed("mask"), INSTRUCTION)
    assert found["route"] in ("sketch", "local")
    assert any("has been at sketch" in reason for reason in found["reasons"])
    assert b"[[" not in cloud.raw


def test_without_the_key_nothing_is_read_or_sent(tmp_path: Path, cloud: RecordingCloud) -> None:
    """A destroyed key: the thread is an error that names the way out, and the cloud is not asked."""
    turn(tmp_path, cloud.base_url, routed("local"), ASKED)
    assert Keys(tmp_path / "keys", backend="file").destroy(USER)
    with pytest.raises(VaultError, match="purge"):
        turn(tmp_path, cloud.base_url, routed("sketch"), "And now?")
    assert not cloud.requests


@pytest.mark.parametrize("route", ["sketch", "mask"])
def test_a_vault_that_cannot_write_sends_nothing(
    tmp_path: Path, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """What lets bytes leave must be on the disk first: a disk that is full in that moment stops the send."""

    def full(*_: Any) -> bytes:
        raise sqlite3.OperationalError("database or disk is full")

    spend = KeptShelf.spend

    def spend_on_a_full_disk(shelf: KeptShelf, name: str) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr("cogenesis_langchain.vault.kept.sealed", full)
            return spend(shelf, name)

    monkeypatch.setattr(KeptShelf, "spend", spend_on_a_full_disk)
    with pytest.raises(VaultError, match="disk is full"):
        turn(tmp_path, cloud.base_url, routed(route), ASKED)
    assert not cloud.requests
    monkeypatch.undo()
    assert turn(tmp_path, cloud.base_url, routed(route), ASKED)["route"] == route
    assert len(cloud.requests) == 1
