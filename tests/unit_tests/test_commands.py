"""The command line over fakes and a real loopback server: what it prints, where, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import cogenesis_langchain
from cogenesis_langchain.commands import common, demo, doctor, explain, main, running, write
from cogenesis_langchain.crypto import Keys
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import CloudError, InputError, ModelMissingError
from cogenesis_langchain.store import ContextStore
from cogenesis_langchain.testing import (
    FakeDetector,
    FakeEmbedder,
    FakeWriter,
    RecordingCloud,
    Reply,
    canaries,
    leaked,
)
from cogenesis_langchain.types import Capabilities
from tests.conftest import INSTRUCTION, USER, policy, routed

ROOT = Path(__file__).parents[2]
HEAVY = (
    "chromadb", "huggingface_hub", "langchain_core", "langgraph", "llama_cpp", "numpy", "onnxruntime",
    "openai", "presidio_analyzer", "spacy", "tokenizers", "torch",
)  # fmt: skip
COMMANDS = (
    "", "demo", "write", "explain", "context", "context add", "context list", "context values",
    "context export", "context purge", "ledger", "ledger show", "models", "models list", "models pull",
    "models verify", "receipts",
    "policy", "policy check", "policy schema", "policy test", "doctor", "bench", "bench detect", "bench fuse",
    "bench write", "eval", "eval detection", "eval evasion", "eval fusion", "eval generalize", "eval linkage",
    "train", "train chooser",
    "vocabulary", "vocabulary show", "vocabulary check", "vocabulary suggest",
)  # fmt: skip
FIELDS = {
    "route", "level", "reasons", "spans", "outbound", "sketch", "text", "timings", "receipts", "warnings",
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What a call of `cogenesis` gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one document."""
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def cogenesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`cogenesis ARGUMENTS` in this process, from the entry point on; no file of the user's own is read."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in (*doctor.TRACING, *doctor.REROUTING, "COGENESIS_CONFIG", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["cogenesis", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code: Any = 0
        try:
            main.main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def fakes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Whatever policy the command names, its rooms are fakes and the cloud is the recording one."""
    use(engine, monkeypatch)
    return engine


def use(engine: Engine, monkeypatch: pytest.MonkeyPatch, *, keep_open: bool = True) -> None:
    """Makes the commands work with this engine; a command's end does not cost it its fake writer."""
    for module in (write, explain, demo, doctor):
        monkeypatch.setattr(module, "load_engine", lambda *_args, **_options: engine)
    if keep_open:
        monkeypatch.setattr(engine, "close", lambda: None)


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter in which no socket can be made."""
    blocked = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no sockets here')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
    )
    return subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, cwd=ROOT, check=False
    )


# --- light -----------------------------------------------------------------------------------------


def test_importing_the_package_is_light() -> None:
    """`import cogenesis_langchain` and listing its names loads no model, no framework, and no network."""
    done = python(
        "import sys, cogenesis_langchain\n"
        "dir(cogenesis_langchain)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
        "print(len([m for m in sys.modules if m.startswith('cogenesis_langchain.')]))\n"
    )
    assert done.stdout.split("\n")[:2] == ["[]", "0"], done.stderr


def test_help_of_every_command_is_light() -> None:
    """Every `--help` exits 0, says something, and loads nothing heavy; one interpreter for all of them."""
    done = python(
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from cogenesis_langchain.commands.main import app\n"
        f"for name in {COMMANDS!r}:\n"
        "    result = CliRunner().invoke(app, [*name.split(), '--help'])\n"
        "    assert result.exit_code == 0, (name, result.output)\n"
        "    assert 'Usage' in result.output and len(result.output) > 200, name\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_commands_listed_here_are_all_there_are() -> None:
    """A new command must be added to the test of `--help`."""
    names = {command.name for command in main.app.registered_commands}
    names |= {group.name for group in main.app.registered_groups}
    assert names == {command.split()[0] for command in COMMANDS if command}


def test_all_is_the_public_members() -> None:
    """`__all__` is sorted, each name resolves to its home, and nothing public is left out."""
    names = cogenesis_langchain.__all__
    assert list(names) == sorted(names)
    assert set(names) == set(cogenesis_langchain._HOME)
    for name in names:
        found = getattr(cogenesis_langchain, name)
        home = sys.modules[f"cogenesis_langchain.{cogenesis_langchain._HOME[name]}"]
        assert found is getattr(home, name)
    public = {name for name in vars(cogenesis_langchain) if not name.startswith("_")}
    modules = {name for name in public if f"cogenesis_langchain.{name}" in sys.modules}
    helpers = {"annotations", "import_module", "TYPE_CHECKING"}
    assert public - modules - helpers <= set(names)
    with pytest.raises(AttributeError, match="no_such_name"):
        cogenesis_langchain.no_such_name  # noqa: B018


def test_version(cogenesis: Run) -> None:
    """`--version` prints name and version."""
    assert re.fullmatch(r"cogenesis-langchain \d+\.\d+\.\d+\S*\n", cogenesis("--version").out)


# --- write -----------------------------------------------------------------------------------------


def test_write_prints_the_text_and_nothing_else_on_stdout(
    cogenesis: Run, fakes: Engine, cloud: RecordingCloud
) -> None:
    """Streamed and not, stdout is the text; notes go to stderr; only a generic task left."""
    streamed = cogenesis("write", INSTRUCTION, "--user", USER)
    whole = cogenesis("write", INSTRUCTION, "--user", USER, "--no-stream")
    assert (streamed.code, whole.code) == (0, 0)
    assert streamed.out == whole.out
    assert streamed.out.startswith("Here it is:")
    assert "route sketch, level topic; 1 request(s) sent" in streamed.err
    assert len(cloud.bodies) == 2
    assert not leaked(cloud.raw)


def test_write_json_has_every_field(cogenesis: Run, fakes: Engine, cloud: RecordingCloud) -> None:
    """One document with the promised fields, also where a field is empty; bodies as they went."""
    found = cogenesis("write", "-", "--user", USER, "--json", stdin=INSTRUCTION.encode()).json
    assert set(found) == FIELDS
    assert set(found["timings"]) == set(running.TIMINGS)
    assert (found["route"], found["level"]) == ("sketch", "topic")
    assert found["outbound"][0].keys() == {"endpoint", "body"}
    assert found["outbound"][0]["body"].encode() == cloud.bodies[0]
    local = cogenesis("write", INSTRUCTION, "--user", USER, "--json", "--route", "local").json
    assert set(local) == FIELDS
    assert (local["outbound"], local["sketch"], local["receipts"]) == ([], [], [])


def test_write_with_a_dead_cloud_says_so(cogenesis: Run, fakes: Engine, cloud: RecordingCloud) -> None:
    """The text is written locally, exit code 0, and stderr tells why."""
    cloud._default = Reply.error(500)
    done = cogenesis("write", INSTRUCTION, "--user", USER)
    assert done.code == 0
    assert "note:" in done.err
    assert "route local" in done.err


def test_write_in_observe_mode_says_that_nothing_left(
    cogenesis: Run, cloud: RecordingCloud, make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What observe mode built and kept has a receipt too, and is not counted as sent."""
    use(make_engine(privacy={"mode": "observe"}), monkeypatch)
    done = cogenesis("write", INSTRUCTION, "--user", USER)
    assert done.code == 0
    assert "0 request(s) sent; nothing of it left this machine" in done.err
    found = cogenesis("write", INSTRUCTION, "--user", USER, "--json").json
    assert [receipt["status"] for receipt in found["receipts"]] == ["observed"]
    assert cloud.requests == []


def test_a_blocked_request_exits_6(cogenesis: Run, fakes: Engine, cloud: RecordingCloud) -> None:
    """`block` writes why, sends nothing, and a script sees it by the exit code."""
    done = cogenesis("write", INSTRUCTION, "--user", USER, "--route", "block")
    assert (done.code, cloud.bodies) == (6, [])
    assert "Blocked by the policy" in done.out
    found = cogenesis("write", INSTRUCTION, "--user", USER, "--route", "block", "--json")
    assert (found.code, found.json["route"]) == (6, "block")


def test_write_asks_before_it_sends(
    cogenesis: Run,
    make_engine: Callable[..., Engine],
    cloud: RecordingCloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `ask`, the exact bytes are shown; without a terminal the answer is no; with yes they go."""
    use(make_engine(routing=routed("sketch", ask=True)), monkeypatch)
    done = cogenesis("write", INSTRUCTION, "--user", USER)
    assert (done.code, cloud.bodies) == (0, [])
    assert '"messages"' in done.err
    assert "no terminal to ask on" in done.err
    monkeypatch.setattr(running, "ask_person", lambda _shown: True)
    assert cogenesis("write", INSTRUCTION, "--user", USER, "--json").json["route"] == "sketch"
    assert len(cloud.bodies) == 1


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (("write", "", "--user", USER), b"", "empty"),
        (("write", "-", "--user", USER), b"", "empty"),
        (("write", "-", "--user", USER), b"Dear \xff\xfe", "stdin is no UTF-8 text (byte 5)"),
        (("explain", "-", "--user", USER), b"Dear \xff\xfe", "stdin is no UTF-8 text (byte 5)"),
        (("write", "Dear \udcff", "--user", USER), b"", "the text is no UTF-8 text (byte 5)"),
        (("write", "-", "--user", USER), b"private words " * 80_000, "limits.max_chars"),
        (("explain", "hello"), b"", "--user"),
        (("write", "hello", "--user", " "), b"", "--user is empty"),
        (("explain", "hello", "--user", USER, "--out", "out.jsonl"), b"", "--jsonl IN --out OUT"),
        (("explain", "--jsonl", "in.jsonl"), b"", "--out"),
        (("explain", "--jsonl", "in.jsonl", "--out", "o.jsonl", "--why-blocked"), b"", "--why-blocked"),
        (("explain", "--jsonl", "in.jsonl", "--out", "o.jsonl", "--user", USER), b"", "--user"),
        (("explain", "--jsonl", "in.jsonl", "--out", "."), b"", "is a folder"),
        (("explain", "--jsonl", "missing.jsonl", "--out", "out.jsonl"), b"", "missing.jsonl: cannot be read"),
    ],
)
def test_bad_input_exits_2(
    cogenesis: Run, fakes: Engine, cloud: RecordingCloud, arguments: tuple[str, ...], stdin: bytes, says: str
) -> None:
    """One line on stderr that names cause and fix, or one JSON object; nothing of the input, nothing sent."""
    done = cogenesis(*arguments, stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "Traceback" not in done.err
    assert "private words" not in done.err
    assert cloud.requests == []
    error = cogenesis(*arguments, "--json", stdin=stdin)
    assert error.code == 2
    assert error.json.keys() == {"error"}
    assert error.json["error"]["type"] == "InputError"
    assert says in error.json["error"]["message"]


def test_usage_errors_exit_2(cogenesis: Run) -> None:
    """An unknown option, a missing user, a wrong route."""
    for arguments in (("write", "hello"), ("write", "x", "-u", "y", "--rout", "z"), ("nonsense",)):
        assert cogenesis(*arguments).code == 2
    done = cogenesis("write", "hello", "--user", USER, "--route", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evasion", "--tier", "thorogh"), "--tier thorogh: choose from fast"),
        (("detection", "--tier", "fast", "--out", "."), "is a folder"),
        (("detection", "--tier", "fast", "--out", "no/such/out.jsonl"), "no folder no/such"),
    ],
)
def test_eval_refuses_before_it_works(
    cogenesis: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    """What would fail after minutes, or be taken for something else, fails before a detector is loaded."""

    def loaded(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("a detector was made")

    monkeypatch.setattr("cogenesis_langchain.detect.detector.Detector", loaded)
    done = cogenesis("eval", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_broken_policy_exits_2(cogenesis: Run, tmp_path: Path) -> None:
    """Every command that takes --config names file, line, key and the nearest name."""
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nprivacy: {teir: fast}\n")
    for arguments in (("write", "x", "-u", "y"), ("explain", "x", "-u", "y"), ("receipts",)):
        done = cogenesis(*arguments, "--config", str(path))
        assert done.code == 2
        assert f"{path}:2: key 'privacy.teir': unknown; did you mean 'tier'?" in done.err
    error = cogenesis("write", "x", "-u", "y", "-c", str(path), "--json").json["error"]
    assert error["type"] == "ConfigError"


def test_a_missing_model_exits_3(cogenesis: Run, fakes: Engine) -> None:
    """The message names the command that fetches it."""
    fakes._rooms["writer"] = FakeWriter(error=ModelMissingError("not there; run: cogenesis models pull x"))
    done = cogenesis("write", INSTRUCTION, "--user", USER)
    assert done.code == 3
    assert "cogenesis models pull x" in done.err


def test_each_kind_of_error_has_its_exit_code(
    cogenesis: Run, fakes: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of our own carry their code; an operating-system error is 1 and names the file."""

    def raising(error: BaseException) -> Any:
        def fail(*_args: Any, **_options: Any) -> Any:
            raise error

        return fail

    monkeypatch.setattr(write, "load_engine", raising(CloudError("the cloud is down; try again")))
    assert cogenesis("write", "x", "-u", "y").code == 7
    monkeypatch.setattr(write, "load_engine", raising(OSError(28, "No space left on device", "/somewhere")))
    done = cogenesis("write", "x", "-u", "y")
    assert done.code == 1
    assert "/somewhere: No space left on device" in done.err


def test_a_fault_shows_its_place_and_no_text(
    cogenesis: Run, fakes: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception nobody expected may quote what was asked: its message stays unseen, with --json too."""

    def fail(text: str) -> str:
        raise ValueError(f"cannot read {text!r}")

    monkeypatch.setattr(write, "read_text", fail)
    done = cogenesis("write", INSTRUCTION, "--user", USER)
    assert (done.code, done.out) == (1, "")
    assert "ValueError in test_commands.py, line " in done.err
    assert INSTRUCTION not in done.err
    shown = cogenesis("write", INSTRUCTION, "--user", USER, "--json")
    assert shown.code == 1
    assert "ValueError" in shown.json["error"]["message"]
    assert INSTRUCTION not in shown.out + shown.err


def test_ctrl_c_in_mid_stream_exits_130(cogenesis: Run, fakes: Engine) -> None:
    """What was written so far stays on the screen; one line says that it stopped; no traceback."""

    class Interrupted(FakeWriter):
        def write(self, prompt: Any, **options: Any) -> Iterator[str]:
            for number, word in enumerate(super().write(prompt, **options)):
                if number == 3:
                    raise KeyboardInterrupt
                yield word

    fakes._rooms["writer"] = Interrupted()
    done = cogenesis("write", INSTRUCTION, "--user", USER)
    assert done.code == 130
    assert done.out.startswith("Here it is:")
    assert "stopped" in done.err
    assert "Traceback" not in done.err


def test_a_real_ctrl_c_stops_the_writer_at_once(tmp_path: Path) -> None:
    """SIGINT while the text streams: the process is gone within seconds, not when the text is finished."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from cogenesis_langchain.commands import main, write\n"
        "from cogenesis_langchain.config import load\n"
        "from cogenesis_langchain.engine import Engine\n"
        "from cogenesis_langchain.store import MemoryStore\n"
        "from cogenesis_langchain.testing import *\n"
        "store = MemoryStore(canary_context(), user='dana')\n"
        "config = load({'version': 1, 'store': {'path': sys.argv.pop(1)}})\n"
        "writer = FakeWriter(delay_s=0.5)\n"
        "rooms = {'embedder': FakeEmbedder(), 'detector': FakeDetector(), 'store': store, 'writer': writer}\n"
        "engine = Engine(config, **rooms)\n"
        "write.load_engine = lambda config: engine\n"
        "main.main()\n"
    )
    asked = "please write " * 100  # 100 seconds of writing
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "write", asked, "--user", USER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(4)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        rest, errors = process.communicate(timeout=60)
    assert (first, process.returncode) == (b"Here", 130), errors
    assert time.monotonic() - begun < 50
    assert b"Traceback" not in errors
    assert b"stopped" in errors
    assert len(rest) < 200


# --- explain ---------------------------------------------------------------------------------------


def test_explain_shows_and_sends_nothing(cogenesis: Run, fakes: Engine, cloud: RecordingCloud) -> None:
    """Route, reasons, spans by offset, and the exact body; the cloud is not contacted, nothing is kept."""
    asked = f"{INSTRUCTION} Love, Quillon Vexmoor"
    done = cogenesis("explain", asked, "--user", USER)
    assert done.code == 0
    assert done.out.startswith("route  sketch, level topic\n")
    start = len(INSTRUCTION) + 7
    assert f"characters {start}-{start + 15}: PERSON (" in done.out
    assert f"POST {cloud.base_url}/chat/completions" in done.out
    assert not leaked(done.out)
    found = cogenesis("explain", asked, "--user", USER, "--json").json
    assert set(found) == FIELDS
    assert found["outbound"][0]["body"] in done.out
    assert found["text"] is None
    assert found["receipts"] == []
    assert cloud.requests == []
    sent = cogenesis("write", asked, "--user", USER, "--json").json
    assert sent["outbound"] == found["outbound"]
    assert cloud.bodies == [found["outbound"][0]["body"].encode()]


def test_explain_local_says_that_nothing_leaves(cogenesis: Run, fakes: Engine) -> None:
    """Tightening by --route and --level is shown."""
    assert cogenesis("explain", INSTRUCTION, "-u", USER, "--route", "local").out.endswith("  nothing\n")
    assert "level kind" in cogenesis("explain", INSTRUCTION, "-u", USER, "--level", "kind").out


def lines_of(path: Path) -> list[dict[str, Any]]:
    """A JSONL file, parsed."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def test_explain_jsonl_answers_every_line(
    cogenesis: Run, fakes: Engine, cloud: RecordingCloud, tmp_path: Path
) -> None:
    """One answer per line in order, from that line's own context; ids kept; owner-only; nothing stored."""
    value = canaries()[0].value
    context = [{"type": "profile", "text": f"Name: {value}"}]
    given = [
        {"id": "a", "instruction": INSTRUCTION, "context": context},
        {"id": 7, "instruction": f"Write a poem for {value}.\u2028Please.", "context": context},
        {"instruction": INSTRUCTION, "context": []},
        {"id": "c", "instruction": INSTRUCTION},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in given))
    assert cogenesis("explain", "--jsonl", str(source), "--out", str(target)).code == 0
    found = lines_of(target)
    assert [row["id"] for row in found] == ["a", 7, 5, "c"]
    assert all(set(row) == {"id", "route", "level", "reasons", "spans", "outbound"} for row in found)
    assert [row["route"] for row in found] == ["sketch", "sketch", "local", "local"]
    assert found[1]["spans"][0]["type"] == "PERSON"
    assert not leaked(target.read_text())
    assert cloud.requests == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize("link", [False, True], ids=["a file anyone can read", "a link to another file"])
def test_explain_jsonl_writes_into_a_file_of_its_own(
    cogenesis: Run, fakes: Engine, tmp_path: Path, link: bool
) -> None:
    """What stands under the passing name neither lends its mode to the answers nor leads them elsewhere."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    part, other = tmp_path / "out.jsonl.part", tmp_path / "other"
    source.write_text(json.dumps({"instruction": INSTRUCTION}))
    other.write_text("as it was")
    if link:
        part.symlink_to(other)
    else:
        part.write_text("old")
        part.chmod(0o644)
    assert cogenesis("explain", "--jsonl", str(source), "--out", str(target)).code == 0
    assert other.read_text() == "as it was"
    assert not target.is_symlink()
    assert len(lines_of(target)) == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    part.mkdir()
    assert cogenesis("explain", "--jsonl", str(source), "--out", str(target)).code == 2
    assert part.is_dir()


def test_explain_jsonl_builds_each_room_once(
    cogenesis: Run,
    make_engine: Callable[..., Engine],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Many lines share one local model, whoever needs it first."""
    engine = make_engine()
    del engine._rooms["writer"]
    built: list[FakeWriter] = []

    def build() -> FakeWriter:
        built.append(FakeWriter())
        return built[-1]

    monkeypatch.setattr("cogenesis_langchain.writer.opening.configured", lambda *_: build())
    use(engine, monkeypatch, keep_open=False)
    source = tmp_path / "in.jsonl"
    row = {"instruction": INSTRUCTION, "context": [{"type": "note", "text": "Name: Nobody Inparticular"}]}
    source.write_text(f"{json.dumps(row)}\n" * 3)
    assert cogenesis("explain", "--jsonl", str(source), "--out", str(tmp_path / "out.jsonl")).code == 0
    assert len(built) == 1
    assert built[0].closed


@pytest.mark.parametrize(
    "broken",
    [
        b'{"id": 1, "instruction": "private words"',
        b'["private words"]',
        b'"private words"',
        b'{"id": 1}',
        b'{"instruction": 7}',
        b'{"instruction": "  "}',
        b'{"instruction": "private words", "context": [{"type": "diary", "text": "x"}]}',
        b'{"instruction": "private words", "context": [{"type": "note"}]}',
        b'{"instruction": "private words \\ud800"}',
        b'{"id": "\\ud800", "instruction": "private words"}',
        b'{"instruction": "private words \xff"}',
        b'{"instruction": "' + b"private words " * 10_000 + b'"}',
        b"[" * 100_000,
    ],
)
def test_explain_jsonl_with_a_broken_line(
    cogenesis: Run, fakes: Engine, cloud: RecordingCloud, tmp_path: Path, broken: bytes
) -> None:
    """Exit code 2 and the line's number, none of its text, no half output; an older output stays."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    target.write_text("older")
    good = json.dumps({"instruction": INSTRUCTION}).encode()
    source.write_bytes(good + b"\n\n" + broken + b"\n" + good)
    done = cogenesis("explain", "--jsonl", str(source), "--out", str(target))
    assert done.code == 2
    assert f"{source}, line 3" in done.err
    assert "private words" not in done.err
    assert "Traceback" not in done.err
    assert target.read_text() == "older"
    assert sorted(path.name for path in tmp_path.glob("*jsonl*")) == ["in.jsonl", "out.jsonl"]


def test_explain_jsonl_to_nowhere(cogenesis: Run, fakes: Engine, tmp_path: Path) -> None:
    """A folder that is not there is named before any work is done."""
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"instruction": INSTRUCTION}))
    done = cogenesis("explain", "--jsonl", str(source), "--out", str(tmp_path / "no" / "out.jsonl"))
    assert done.code == 2
    assert "cannot write there" in done.err


def test_explain_jsonl_stopped_half_way(
    cogenesis: Run, fakes: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C after the first line leaves no output and no part of one."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f"{json.dumps({'instruction': INSTRUCTION})}\n" * 3)
    first = explain._one
    calls: list[int] = []

    def one(*args: Any) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return first(*args)

    monkeypatch.setattr(explain, "_one", one)
    assert cogenesis("explain", "--jsonl", str(source), "--out", str(target)).code == 130
    assert [path.name for path in tmp_path.glob("out*")] == []


# --- demo ------------------------------------------------------------------------------------------


def test_demo_over_fakes(
    cogenesis: Run, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The shipped person and request: every panel on screen, every field in JSON, nothing private sent."""
    from cogenesis_langchain.config import load

    count = iter(range(9))

    @contextmanager
    def fake_engine(*_args: Any) -> Iterator[tuple[Engine, str]]:
        store = ContextStore(tmp_path / f"store{next(count)}", FakeEmbedder())
        rooms = {
            "embedder": FakeEmbedder(),
            "detector": FakeDetector(),
            "writer": FakeWriter(),
            "store": store,
        }
        yield Engine(load(policy(cloud.base_url, tmp_path)), **rooms), f"{cloud.base_url} (stand-in, test)"

    monkeypatch.setattr(demo, "_engine", fake_engine)
    shown = cogenesis("demo")
    assert shown.code == 0, shown.err
    for title in (
        "Asked by a fictional person", "It is no real cloud", "Private in it", "Decision",
        "Exactly these bytes", "The sketch that came back", "Receipt", "Timings",
    ):  # fmt: skip
        assert title in shown.out
    done = cogenesis("demo", "--json")
    assert set(done.json) >= FIELDS
    assert (done.json["route"], len(done.json["receipts"])) == ("sketch", 1)
    profile = json.loads((demo.person_dir() / "profile.json").read_text())
    values = [value for value in profile.values() if isinstance(value, str) and value != profile.get("note")]
    sent = b"".join(cloud.bodies).decode().casefold()
    assert not [value for value in values if len(value) > 4 and value.casefold() in sent]


# --- doctor ----------------------------------------------------------------------------------------


@pytest.fixture
def healthy(fakes: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Models are taken to be there; the other checks look at the real thing."""
    monkeypatch.setattr("cogenesis_langchain.models.locate", lambda name, **_: Path(name))
    return fakes


def checks(done: Done) -> dict[str, list[dict[str, str]]]:
    """Findings by check."""
    found: dict[str, list[dict[str, str]]] = {}
    for finding in done.json:
        assert finding.keys() == {"check", "status", "message", "fix"}
        found.setdefault(finding["check"], []).append(finding)
    return found


def test_doctor_is_content_with_a_healthy_machine(cogenesis: Run, healthy: Engine) -> None:
    """Exit code 0, every check is there, and what needs no fix names none."""
    healthy.data_dir.chmod(0o700)
    done = cogenesis("doctor", "--json")
    assert done.code == 0, done.out
    found = checks(done)
    assert set(found) >= {"policy", "model", "permissions", "tracing", "cloud", "trusted endpoints", "disk"}
    assert all(not f["fix"] for findings in found.values() for f in findings if f["status"] == "ok")
    shown = cogenesis("doctor")
    assert shown.out.count("\n") >= len(done.json)


def test_doctor_asks_the_cloud_only_when_told(cogenesis: Run, healthy: Engine, cloud: RecordingCloud) -> None:
    """What it can do for route fuse is known after --probe; without it nobody is contacted."""
    assert "--probe" in checks(cogenesis("doctor", "--json"))["fusion"][0]["message"]
    assert cloud.bodies == []
    (finding,) = checks(cogenesis("doctor", "--probe", "--json"))["fusion"]
    assert (finding["status"], "20 candidates" in finding["message"]) == ("ok", True)
    assert "form live is not allowed" in finding["message"]  # nobody asked whether it could be
    sent = len(cloud.bodies)
    assert sent
    assert "20 candidates" in checks(cogenesis("doctor", "--json"))["fusion"][0]["message"]
    assert len(cloud.bodies) == sent
    cogenesis("doctor", "--probe", "--json")  # servers change
    assert len(cloud.bodies) == 2 * sent
    healthy._rooms["capabilities"] = Capabilities()
    (finding,) = checks(cogenesis("doctor", "--json"))["fusion"]
    assert finding["status"] == "note"
    assert finding["fix"]


def test_doctor_finds_a_broken_policy(cogenesis: Run, tmp_path: Path) -> None:
    """Exit code 1, the fault with its line, and how to see all of them."""
    path = tmp_path / "policy.yaml"
    path.write_text("routing: {defualt: {route: local}}\n")
    done = cogenesis("doctor", "--config", str(path), "--json")
    assert done.code == 1
    (finding,) = done.json
    assert finding["status"] == "fail"
    assert "did you mean 'default'" in finding["message"]
    assert "policy check" in finding["fix"]


def test_doctor_finds_missing_models(
    cogenesis: Run, fakes: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 1, and the fix is the command that fetches the model."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path / "empty"))
    done = cogenesis("doctor", "--json")
    assert done.code == 1
    fixes = {finding["fix"] for finding in checks(done)["model"]}
    assert {"cogenesis models pull all-minilm-l6-v2", "cogenesis models pull rampart"} <= fixes


def test_doctor_finds_open_files(cogenesis: Run, healthy: Engine) -> None:
    """A context that others can read is a failure with the chmod that ends it; the fix works."""
    (healthy.data_dir / "open.txt").write_text("x")
    (healthy.data_dir / "open.txt").chmod(0o644)
    done = cogenesis("doctor", "--json")
    assert done.code == 1
    (finding,) = checks(done)["permissions"]
    assert finding["status"] == "fail"
    subprocess.run(finding["fix"], shell=True, check=True)
    assert checks(cogenesis("doctor", "--json"))["permissions"][0]["status"] == "ok"


def test_doctor_looks_at_keys_kept_elsewhere(
    cogenesis: Run, healthy: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of keys that others can read is found wherever it is, and so is what the user cannot use."""
    healthy.data_dir.chmod(0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    healthy._rooms["keys"] = Keys(elsewhere, backend="file")
    healthy.keys.cipher("ada")
    assert checks(cogenesis("doctor", "--json"))["permissions"][0]["status"] == "ok"
    elsewhere.chmod(0o755)
    (finding,) = checks(cogenesis("doctor", "--json"))["permissions"]
    assert (finding["status"], str(elsewhere) in finding["fix"]) == ("fail", True)
    elsewhere.chmod(0o700)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith(".key"))
    (finding,) = checks(cogenesis("doctor", "--json"))["permissions"]
    assert (finding["status"], finding["message"]) == ("fail", "you cannot use 1 of the files")


def test_doctor_says_where_the_keys_are(cogenesis: Run, healthy: Engine) -> None:
    """None yet, in files, one that is gone and one that is damaged: each with what to do."""
    store = ContextStore(healthy.data_dir, FakeEmbedder())
    healthy._rooms["store"] = store
    assert checks(cogenesis("doctor", "--json"))["keys"][0]["status"] == "ok"
    store.set_value("ada", "Bluebell")
    (finding,) = checks(cogenesis("doctor", "--json"))["keys"]
    assert (finding["status"], "backups" in finding["fix"]) == ("note", True)
    (path,) = healthy.keys.folder.glob("*.key")
    key = path.read_bytes()
    path.write_bytes(b"damaged")
    (finding,) = checks(cogenesis("doctor", "--json"))["keys"]
    assert (finding["status"], "damaged" in finding["message"]) == ("fail", True)
    path.unlink()
    done = cogenesis("doctor", "--json")
    (finding,) = checks(done)["keys"]
    assert (done.code, finding["status"], "context purge" in finding["fix"]) == (1, "fail", True)
    path.write_bytes(key)
    path.chmod(0o600)
    assert cogenesis("doctor", "--json").code == 0


def test_doctor_finds_tracing_and_detours(
    cogenesis: Run, healthy: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing is noted with the command that ends it; variables that re-route others are named."""
    healthy.data_dir.chmod(0o700)
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    done = cogenesis("doctor", "--json")
    assert done.code == 0
    found = checks(done)
    assert found["tracing"][0] | {"status": "note", "fix": "unset LANGSMITH_TRACING"} == found["tracing"][0]
    assert "OPENAI_BASE_URL" in found["environment"][0]["message"]


def test_doctor_names_a_key_that_is_not_set(
    cogenesis: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the key requests stay local; that is a note, and the variable is named."""
    monkeypatch.setattr("cogenesis_langchain.models.locate", lambda name, **_: Path(name))
    path = tmp_path / "policy.yaml"
    models = {"cloud": {"provider": "openai", "api_key": "os.environ/OPENAI_API_KEY"}}
    path.write_text(yaml.safe_dump({"version": 1, "models": models, "store": {"path": str(tmp_path / "s")}}))
    found = checks(cogenesis("doctor", "--config", str(path), "--json"))
    assert "OPENAI_API_KEY is not set" in found["key"][0]["message"]
    assert found["permissions"][0]["status"] == "ok"


# --- shared ----------------------------------------------------------------------------------------


def test_write_file_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the old file and nothing beside it; a good write is owner-only."""
    path, other = tmp_path / "out.txt", tmp_path / "other"
    other.write_text("as it was")
    other.chmod(0o644)
    path.symlink_to(other)
    common.write_file(path, "first")
    assert other.read_text() == "as it was"
    assert not path.is_symlink()
    other.unlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    for nowhere in (tmp_path, tmp_path / "no" / "out.txt", Path()):
        with pytest.raises(InputError, match=r"name a file|cannot write there"):
            common.write_file(nowhere, "x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        common.write_file(path, "second")
    assert path.read_text() == "first"
    assert [found.name for found in tmp_path.iterdir()] == ["out.txt"]
