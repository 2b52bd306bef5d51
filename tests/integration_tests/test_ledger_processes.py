"""The ledger over several processes: caps hold for all of them together, and kill -9 takes nothing back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.errors import LedgerError
from cogenesis_langchain.ledger import Spent
from cogenesis_langchain.settings import LedgerConfig
from cogenesis_langchain.testing import (
    FakeDetector,
    FakeEmbedder,
    FakeWriter,
    RecordingCloud,
    Reply,
    canary_context,
)
from cogenesis_langchain.types import GenericTask, Level, Outbound

if TYPE_CHECKING:
    from cogenesis_langchain.engine import Engine

# The graph is loaded where it is run: most of the processes that import this file need the log alone.
pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OUT = Outbound("http://127.0.0.1:1/v1/chat/completions", '{"messages":[]}')
USER = "dana"
ROOM = 7
"""Requests of ten bits that fit."""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs `code` after this file's names."""
    head = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from test_ledger_processes import *\n"
    )
    command = [sys.executable, "-c", head + code, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def log(folder: Path) -> Audit:
    """The log that all processes share."""
    return Audit(folder / "audit", caps=LedgerConfig(max_bits_per_day=10 * ROOM + 5))


def engine_on(settings: dict[str, Any]) -> Engine:
    """A router's rooms, with fakes for the models, on the store folder that `settings` name."""
    from cogenesis_langchain.config import load
    from cogenesis_langchain.engine import Engine
    from cogenesis_langchain.store import MemoryStore

    store = MemoryStore(canary_context(), user=USER)
    rooms = {"embedder": FakeEmbedder(), "detector": FakeDetector(), "store": store, "writer": FakeWriter()}
    return Engine(load(settings), **rooms)


def ask(engine: Engine) -> dict[str, Any]:
    """One request in a thread of its own."""
    from cogenesis_langchain.graph import create_privacy_router
    from tests.conftest import INSTRUCTION

    found: dict[str, Any] = create_privacy_router(engine=engine, user_id=USER).invoke(INSTRUCTION)
    return found


def tell(audit: Audit, about: str = "") -> None:
    """One request of ten bits, whose end nobody records."""
    audit.intent(
        OUT,
        route="sketch",
        level="topic",
        bits=10.0,
        user=USER,
        about=about,
        task=GenericTask("invitation", "birthday"),
    )


def as_many_as_fit(folder: Path) -> int:
    """How many requests this process got through."""
    audit, passed = log(folder), 0
    try:
        while True:
            tell(audit)
            passed += 1
    except LedgerError:
        return passed


def test_processes_share_the_caps(tmp_path: Path) -> None:
    """Three that send as fast as they can get exactly as many through as one may."""
    code = "sys.stdin.readline(); print(as_many_as_fit(Path(sys.argv[1])))"
    workers = [started(code, str(tmp_path)) for _ in range(3)]
    for worker in workers:  # all at once, when each has loaded what it needs
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    done = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 3, done
    assert sum(int(out) for out, _ in done) == ROOM
    (account,) = log(tmp_path).ledger(USER)
    assert account.spent == Spent(ROOM, 10.0 * ROOM)
    assert log(tmp_path).verify().ok


def test_a_kill_between_intent_and_outcome_is_charged(tmp_path: Path) -> None:
    """The bytes may have left, so they count, with kind and topic; the next process goes on from there."""
    code = "tell(log(Path(sys.argv[1])), 'one'); os.kill(os.getpid(), signal.SIGKILL)"
    worker = started(code, str(tmp_path))
    worker.communicate(timeout=300)
    assert worker.returncode == -signal.SIGKILL
    audit = log(tmp_path)
    assert [entry.receipt.status for entry in audit.receipts()] == ["unresolved"]
    (account,) = audit.ledger(USER)
    assert (account.spent, dict(account.topics)) == (Spent(1, 10.0), {"birthday": 1})
    assert as_many_as_fit(tmp_path) == ROOM - 1
    assert audit.verify().ok


def test_a_kill_inside_the_transaction_is_no_charge(tmp_path: Path) -> None:
    """Nothing was committed, so nothing left: the log is whole and the cap as far away as before."""
    code = (
        "from cogenesis_langchain.chain import Chain; audit = log(Path(sys.argv[1])); tell(audit, 'one')\n"
        "kept = Chain.append\n"
        "def die(*given): kept(*given); os.kill(os.getpid(), signal.SIGKILL)\n"
        "Chain.append = die; tell(audit, 'two')"
    )
    worker = started(code, str(tmp_path))
    worker.communicate(timeout=300)
    assert worker.returncode == -signal.SIGKILL
    assert log(tmp_path).ledger(USER)[0].spent == Spent(1, 10.0)
    assert as_many_as_fit(tmp_path) == ROOM - 1
    assert log(tmp_path).verify().ok


def test_a_router_killed_in_the_middle_of_a_send(tmp_path: Path, cloud: RecordingCloud) -> None:
    """The cloud has the bytes and gives no answer: the next process finds them charged, and keeps the cap."""
    from tests.conftest import policy

    cloud.script(Reply(hang=True))
    capped = policy(cloud.base_url, tmp_path, privacy={"ledger": {"max_requests_per_day": 1}})
    worker = started("ask(engine_on(json.loads(sys.argv[1])))", json.dumps(capped))
    try:
        begun = time.monotonic()
        while not cloud.requests:
            assert worker.poll() is None, worker.communicate()  # ended by itself: what it says of why
            assert time.monotonic() < begun + 300, "nothing was sent"
            time.sleep(0.02)
    finally:
        worker.kill()
        worker.communicate(timeout=300)
    engine = engine_on(capped)
    (account,) = engine.audit.ledger(USER)
    assert account.spent == Spent(1, engine.vocabulary.bits(Level.TOPIC) or 0.0)
    assert [entry.receipt.status for entry in engine.audit.receipts()] == ["unresolved"]
    assert ask(engine)["route"] == "local"
    assert len(cloud.requests) == 1


def test_the_command_after_a_kill(tmp_path: Path, cloud: RecordingCloud) -> None:
    """`cogenesis ledger show` counts what a killed process had announced."""
    from tests.conftest import policy

    worker = started("tell(log(Path(sys.argv[1]))); os.kill(os.getpid(), signal.SIGKILL)", str(tmp_path))
    worker.communicate(timeout=300)
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(policy(cloud.base_url, tmp_path)))
    command = [sys.executable, "-m", "cogenesis_langchain.commands.main", "ledger", "show", "--json"]
    done = subprocess.run(
        [*command, "--config", str(file), "--user", USER],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    (account,) = found["accounts"]
    assert (account["user"], account["requests"], account["bits"]) == (USER, 1, 10.0)
    assert account["topics"] == {"birthday": 1}
