"""What must hold for the local model's states on disk: a new store on the same folder is a new process."""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.crypto import Keys, pseudonym
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import StoreError, WriterError
from cogenesis_langchain.writer import local as writer_module
from cogenesis_langchain.writer import states as writer_states
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Prompt, Turn
from cogenesis_langchain.writer.states import KeptStates
from tests.unit_tests.test_writer import SPECIAL, FakeLlama

PROFILE = "My name is Quillon Vexmoor and I live at Larkspinner Row. " * 4
TOKENS = list(range(100))
STATE = bytearray(b"what was read of Quillon Vexmoor")
StateMaker = Callable[..., KeptStates]


@pytest.fixture
def states(tmp_path: Path) -> StateMaker:
    """The states on one folder, as each process would open them."""

    def make(**options: Any) -> KeptStates:
        keys = Keys(tmp_path / "keys", backend="file")
        return KeptStates(tmp_path / "state", lambda: keys, **options)

    return make


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, states: StateMaker) -> Callable[..., LlamaCppWriter]:
    """A new writer over the stand-in for llama.cpp, as a new process has it."""
    monkeypatch.setattr(writer_module, "Llama", FakeLlama)

    def make(*, sha256: str = "0" * 64, kept: KeptStates | None = None, **options: Any) -> LlamaCppWriter:
        FakeLlama.made = []
        options = {"n_ctx": 1000} | options
        kept = kept or states()
        return LlamaCppWriter("model.gguf", template("chatml"), states=kept, sha256=sha256, **options)

    return make


def prompt(asked: str, profile: str = PROFILE) -> Prompt:
    """A frame with a profile, then the request of one turn."""
    return (Turn("system", ("frame", profile)), Turn("user", (asked, "write")))


def read(writer: LlamaCppWriter, asked: Prompt, scope: str = "ada") -> int:
    """Tokens that the model had to read for one answer."""
    writer.load()
    fake = FakeLlama.made[0]
    fake.read.clear()
    assert "".join(writer.write(asked, scope=scope)) == "ok."
    live = "".join(chr(t % SPECIAL) for t in fake.state_now)
    assert live.startswith("<|im_start|>system\nframe" + asked[0].parts[1])
    return len(fake.read)


def files(folder: Path) -> list[Path]:
    """The states on disk."""
    return sorted((folder / "state").rglob("*.state"))


def test_the_next_process_does_not_read_the_profile_again(process: Any, tmp_path: Path) -> None:
    """Another request of the same user, in a new process: only what is new is read."""
    first = read(process(), prompt("a letter"))
    second = read(process(), prompt("another letter"))
    assert first - second >= len(PROFILE) - 20
    assert len(files(tmp_path)) == 1
    assert read(process(), prompt("another letter", PROFILE + "I moved to Tidewell.")) < first / 2


def test_warming_keeps_it_too(process: Any) -> None:
    """What was read beside a slow cloud is there for the next process."""
    whole = read(process(), prompt("x"), scope="bo")
    process().warm(prompt("x"), scope="ada")
    assert read(process(), prompt("x")) < whole - len(PROFILE) + 20


@pytest.mark.parametrize("other", [{"sha256": "1" * 64}, {"n_ctx": 900}])
def test_other_models_and_settings_find_nothing(process: Any, other: dict[str, Any]) -> None:
    """A state belongs to one model file and one context size."""
    whole = read(process(), prompt("x"))
    assert read(process(**other), prompt("x")) == whole


def test_a_state_never_serves_another_user(process: Any, tmp_path: Path) -> None:
    """Nor does it when its file is moved into the other's folder, under the name it would have there."""
    whole = read(process(), prompt("x"), scope="ada")
    assert read(process(), prompt("x"), scope="bo") == whole
    ada, bo = (tmp_path / "state" / pseudonym(user) for user in ("ada", "bo"))
    (own,) = bo.glob("*.state")
    (foreign,) = ada.glob("*.state")
    own.write_bytes(foreign.read_bytes())
    assert read(process(), prompt("x"), scope="bo") == whole
    assert read(process(), prompt("x"), scope="ada") < whole


def test_a_frame_of_nobody_is_kept_by_warming_alone(process: Any, tmp_path: Path) -> None:
    """In scope "" a warmed frame serves the next process; what was asked behind it is never kept."""
    frame = (Turn("system", ("f" * 200,)), Turn("user", ("the question",)))
    asked = (*frame[:1], Turn("user", ("Quillon's question",)))
    writer = process()
    writer.choose(asked, ["mail", "memo"])
    assert not files(tmp_path)
    writer.forget("")
    writer.warm(frame, scope="")
    assert len(files(tmp_path)) == 1
    fresh = process()
    assert fresh.choose(asked, ["mail", "memo"]) == "memo"
    assert "f" * 10 not in "".join(chr(t % SPECIAL) for t in FakeLlama.made[0].read)
    assert len(files(tmp_path)) == 1


def test_nothing_on_disk_is_readable(states: StateMaker, tmp_path: Path) -> None:
    """Neither tokens nor state nor user; files are the owner's alone."""
    states().put("user-quillon", "layout", TOKENS, lambda: STATE)
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        assert "quillon" not in str(path.relative_to(tmp_path))
    data = files(tmp_path)[0].read_bytes()
    assert b"Quillon" not in data
    assert array("I", TOKENS[:8]).tobytes() not in data
    assert "Quillon" not in repr(states())


@pytest.mark.parametrize("damage", [b"", b"short", b"cogenesis-state-0" + b"x" * 200])
@pytest.mark.parametrize("cut", [0, 200, -1])
def test_damaged_files_are_replaced(states: StateMaker, tmp_path: Path, damage: bytes, cut: int) -> None:
    """Cut, foreign or old: nothing is found, and the next state takes the place."""
    states().put("ada", "layout", TOKENS, lambda: STATE)
    (path,) = files(tmp_path)
    path.write_bytes(damage if cut == 0 else path.read_bytes()[:cut] + damage)
    assert states().best("ada", "layout", TOKENS) == (0, None)
    assert not path.exists()
    states().put("ada", "layout", TOKENS, lambda: STATE)
    assert states().best("ada", "layout", TOKENS) == (100, STATE)


def test_a_state_that_the_model_refuses_is_dropped(process: Any, tmp_path: Path) -> None:
    """Another build may differ in what no version tells: the profile is read, and kept anew."""
    whole = read(process(), prompt("x"))
    (path,) = files(tmp_path)
    before = path.read_bytes()
    writer = process()
    writer.load()
    FakeLlama.made[0].restore = lambda _: (_ for _ in ()).throw(WriterError("cannot be put back"))  # type: ignore[method-assign]
    assert read(writer, prompt("x")) == whole
    assert files(tmp_path) == [path]
    assert path.read_bytes() != before


def test_the_longest_beginning_is_found(states: StateMaker) -> None:
    """Of several states the one that saves most; an exact one only where it is asked for."""
    kept = states()
    kept.put("ada", "layout", TOKENS[:40], lambda: bytearray(b"forty"))
    kept.put("ada", "layout", [*TOKENS[:70], 999, 999], lambda: bytearray(b"seventy"))
    assert kept.best("ada", "layout", TOKENS) == (70, bytearray(b"seventy"))
    assert kept.best("ada", "layout", TOKENS, exact=True) == (0, None)
    assert kept.best("ada", "layout", TOKENS[:40], exact=True) == (40, bytearray(b"forty"))
    assert kept.best("ada", "other layout", TOKENS) == (0, None)


def test_the_least_recently_used_goes_first(states: StateMaker, tmp_path: Path) -> None:
    """Bytes of all users together, and few states of each; what is asked for again counts as used."""
    kept = states(max_bytes=3500)
    for n, user in enumerate(("ada", "bo", "cy")):
        kept.put(user, "layout", [n], lambda: bytearray(1000))
        for path in files(tmp_path):
            os.utime(path, (path.stat().st_atime - 10, path.stat().st_mtime - 10))
    assert kept.best("ada", "layout", [0])[0] == 1
    kept.put("di", "layout", [3], lambda: bytearray(1000))
    found = [kept.best(user, "layout", [n])[0] for n, user in enumerate(("ada", "bo", "cy", "di"))]
    assert found == [1, 0, 1, 1]
    kept.put("ed", "layout", [4], lambda: bytearray(4000))
    assert kept.best("ed", "layout", [4]) == (0, None)
    many = states()
    for n in range(writer_states.PER_SCOPE + 2):
        many.put("flo", "layout", [n], lambda: bytearray(10))
    assert len(list((tmp_path / "state" / pseudonym("flo")).glob("*.state"))) == writer_states.PER_SCOPE


def test_nothing_is_written_where_none_is_wanted(states: StateMaker, tmp_path: Path) -> None:
    """`state_bytes: 0`: no state, no folder, no key."""
    kept = states(max_bytes=0)
    kept.put("ada", "layout", TOKENS, lambda: STATE)
    assert kept.best("ada", "layout", TOKENS) == (0, None)
    assert not list(tmp_path.iterdir())


def test_without_encryption_no_state_is_kept(tmp_path: Path) -> None:
    """A state that nobody sealed could be anything, and llama.cpp would read it unchecked."""
    keys = Keys(None)
    kept = KeptStates(tmp_path / "state", lambda: keys)
    kept.put("ada", "layout", TOKENS, lambda: STATE)
    assert kept.best("ada", "layout", TOKENS) == (0, None)
    assert not list(tmp_path.iterdir())


def test_drafts_of_a_killed_process_are_cleared(states: StateMaker, tmp_path: Path) -> None:
    """An old half file goes with the next state; one that may still be written stays."""
    states().put("ada", "layout", TOKENS, lambda: STATE)
    old, young = (files(tmp_path)[0].with_name(f"{n}.state.tmp") for n in "01")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    states().put("ada", "layout", TOKENS[:9], lambda: STATE)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_full_disk_does_not_stop_the_writer(
    process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room, or no key: the model reads, and no half file is left."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("cogenesis_langchain.files.os.fdopen", full)
    assert read(process(), prompt("x")) > len(PROFILE)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "state" in str(path)]
    monkeypatch.undo()


def test_a_destroyed_key_makes_states_worthless(process: Any, states: StateMaker, tmp_path: Path) -> None:
    """Without the key, and with a new one, the old file is nothing; it is replaced."""
    whole = read(process(), prompt("x"))
    Keys(tmp_path / "keys", backend="file").destroy("ada")
    assert read(process(), prompt("x")) == whole
    assert read(process(), prompt("x")) < whole


def test_forget_deletes_one_users_states(process: Any, states: StateMaker, tmp_path: Path) -> None:
    """Folder and all; the other user's stay. Through the writer, and without any model."""
    for user in ("ada", "bo"):
        states().put(user, "layout", TOKENS, lambda: STATE)
    process().forget("ada")
    assert [path.parent.name for path in files(tmp_path)] == [pseudonym("bo")]
    assert not states().forget("ada")
    assert states().forget("bo")
    assert not list((tmp_path / "state").iterdir())


def test_states_that_cannot_be_deleted_are_an_error(
    states: StateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge names the folder that is left, and the cause."""
    states().put("ada", "layout", TOKENS, lambda: STATE)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=f"{pseudonym('ada')} cannot be deleted: Permission denied"):
        states().forget("ada")


def test_a_purge_takes_what_was_read(
    monkeypatch: pytest.MonkeyPatch, make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """Of the purged user nothing is left on disk or in the model; the other user's stays."""
    FakeLlama.made = []
    monkeypatch.setattr(writer_module, "Llama", FakeLlama)
    states = KeptStates(tmp_path / "state", lambda: engine.keys)
    writer = LlamaCppWriter("model.gguf", template("chatml"), n_ctx=1000, states=states, sha256="0" * 64)
    engine = make_engine({"writer": writer})
    for user in ("bo", "ada"):
        read(writer, prompt("x"), scope=user)
    assert engine.purge("ada")["states"]
    assert [path.parent.name for path in files(tmp_path)] == [pseudonym("bo")]
    assert not FakeLlama.made[0].state_now
    assert not engine.purge("ada")["states"]
