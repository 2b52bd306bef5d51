"""The stand-in cloud with a fake server program: started, found ready, always stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cogenesis_langchain import devserver
from cogenesis_langchain.devserver import stand_in_cloud
from cogenesis_langchain.errors import ModelError, ModelMissingError

FAKE = """
import http.server, json, os, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.headers["authorization"] else 401); self.end_headers()
        self.wfile.write(json.dumps({"env": dict(os.environ), "argv": sys.argv}).encode())
http.server.HTTPServer(("127.0.0.1", port), H).serve_forever()
"""


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file that looks like a GGUF."""
    path = tmp_path / "own.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (7).to_bytes(8, "little") + bytes(2000))
    return path


def program(tmp_path: Path, name: str, code: str) -> Path:
    """An executable that runs `code` with this Python."""
    path = tmp_path / name
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o700)
    return path


def gone(pid: int) -> bool:
    """Whether that process ends within three seconds."""
    for _ in range(60):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def ask(url: str, key: str) -> Any:
    """JSON of a GET."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_server_runs_apart_and_ends(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers on loopback from another process, gets none of our keys, shows its own in no command
    line, and is gone after the block."""
    fake = program(tmp_path, "llama-server", FAKE)
    monkeypatch.setattr(devserver, "_programs", lambda: [fake])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with stand_in_cloud(gguf, threads=1) as cloud:
        assert cloud.base_url.startswith("http://127.0.0.1:")
        assert cloud.pid != os.getpid()
        assert (cloud.engine, cloud.model) == ("llama-server", "own")
        seen = ask(cloud.base_url, cloud.api_key)
        assert "OPENAI_API_KEY" not in seen["env"]
        assert cloud.api_key not in " ".join(seen["argv"])
        assert cloud.api_key not in repr(cloud)
        assert seen["env"]["LLAMA_API_KEY"] == cloud.api_key
    assert gone(cloud.pid)


def test_next_program_is_tried(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that does not run on this machine is passed over; with none left the error says why."""
    broken = program(tmp_path, "broken", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    fake = program(tmp_path, "llama-server", FAKE)
    monkeypatch.setattr(devserver, "_programs", lambda: [broken, fake])
    with stand_in_cloud(gguf) as cloud:
        assert ask(cloud.base_url, "x")
    monkeypatch.setattr(devserver, "_programs", lambda: [broken])
    with pytest.raises(ModelError, match="does not suit this processor"), stand_in_cloud(gguf):
        pass


def test_a_server_that_never_answers_is_stopped(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end, and the process does not stay."""
    hang = program(
        tmp_path,
        "hang",
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    )
    monkeypatch.setattr(devserver, "_programs", lambda: [hang])
    with pytest.raises(ModelError, match="not ready within 1 s"), stand_in_cloud(gguf, timeout_s=1.0):
        pass
    assert gone(int((tmp_path / "pid").read_text()))


def test_an_error_in_the_block_still_stops_it(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of the caller passes through and the server ends."""
    fake = program(tmp_path, "llama-server", FAKE)
    monkeypatch.setattr(devserver, "_programs", lambda: [fake])
    with pytest.raises(ZeroDivisionError), stand_in_cloud(gguf) as cloud:
        1 / 0  # noqa: B018
    assert gone(cloud.pid)


def test_kill_is_a_crash(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `kill` nobody answers, and leaving the block is quiet."""
    fake = program(tmp_path, "llama-server", FAKE)
    monkeypatch.setattr(devserver, "_programs", lambda: [fake])
    with stand_in_cloud(gguf) as cloud:
        cloud.kill()
        assert gone(cloud.pid)


def test_a_killed_guard_leaves_no_server(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the process between us and the server is killed, leaving the block ends the server."""
    fake = program(tmp_path, "llama-server", FAKE)
    monkeypatch.setattr(devserver, "_programs", lambda: [fake])
    guards: list[subprocess.Popen[bytes]] = []
    real = devserver._start

    def start(engine: Any) -> tuple[subprocess.Popen[bytes], int]:
        guard, pid = real(engine)
        guards.append(guard)
        return guard, pid

    monkeypatch.setattr(devserver, "_start", start)
    with stand_in_cloud(gguf) as cloud:
        guards[0].kill()
        assert ask(cloud.base_url, "x")
    assert gone(cloud.pid)


def test_server_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """When the parent is killed outright, its server is not left behind."""
    guard = Path(devserver.__file__).with_name("devserver_guard.py")
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-I', {str(guard)!r}, 'sleep', '60'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(p.stdout.readline().decode(), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_missing_model_is_said_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the model no program is started."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path))
    monkeypatch.setattr(devserver, "_programs", lambda: pytest.fail("started"))
    with pytest.raises(ModelMissingError, match="cogenesis models pull"), stand_in_cloud():
        pass
