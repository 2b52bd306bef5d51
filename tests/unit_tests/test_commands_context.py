from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cogenesis_langchain.commands import context
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import AuditError, InputError
from cogenesis_langchain.ingest import profile_values
from cogenesis_langchain.store import ContextStore
from cogenesis_langchain.testing import FakeEmbedder


class Audit:
    """Remembers whose bodies were erased."""

    def __init__(self) -> None:
        self.erased: list[str] = []

    def erase(self, user: str) -> int:
        """One body for everybody."""
        self.erased.append(user)
        return 1


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine with a real store and no models."""
    store = ContextStore(tmp_path / "data", FakeEmbedder())
    config = load({"version": 1, "store": {"path": str(tmp_path / "data")}})
    engine = Engine(config, store=store, audit=Audit())
    monkeypatch.setattr(engine, "values_of", profile_values)
    monkeypatch.setattr(context, "load_engine", lambda config: engine)
    return engine


def run(*args: str, data: bytes = b"") -> Result:
    """One command; an unexpected exception fails the test."""
    result = CliRunner().invoke(context.app, [*args, "--user", "ada"], input=data)
    if result.exception and not isinstance(result.exception, SystemExit | InputError):
        raise result.exception
    return result


def document(*args: str, data: bytes = b"") -> Any:
    """What a command prints with --json."""
    result = run(*args, "--json", data=data)
    assert result.exit_code == 0
    return json.loads(result.stdout)


PROFILE = b'{"name": "Ada Thornquist", "town": "Wexcombe Hollow"}'


def test_add_list_values(engine: Any, tmp_path: Path) -> None:
    """Files and standard input are stored; list and values show what came of them."""
    path = tmp_path / "letter.md"
    path.write_text("Dear Pemberley, [bold]thank[/bold] you.")
    assert document("add", str(path)) == {"user": "ada", "added": 1, "skipped": 0, "values": 0}
    assert document("add", "-", data=PROFILE) == {"user": "ada", "added": 1, "skipped": 0, "values": 4}
    assert "0 added, 1 there already" in run("add", str(path)).stdout
    items = document("list")["items"]
    assert [item["type"] for item in items] == ["writing", "profile"]
    assert document("list", "--type", "profile")["items"] == items[1:]
    assert "[bold]thank[/bold]" in run("list").stdout
    assert {v["value"] for v in document("values")["values"]} == {
        "Ada Thornquist",
        "Ada",
        "Thornquist",
        "Wexcombe Hollow",
    }
    assert "Wexcombe Hollow" in run("values").stdout


def test_a_type_alone_is_refused(engine: Any) -> None:
    """`--type` without `--add` would look as if it chose what is shown."""
    refused = run("values", "--type", "PERSON").exception
    assert isinstance(refused, InputError)
    assert "--add" in str(refused)


def test_a_pipe_gets_whole_values(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no screen limits the width, nothing that must not leave is cut short."""
    monkeypatch.delenv("COLUMNS", raising=False)
    value = "Thornquist Harbour Lane 12, the yellow house behind the old lighthouse, third floor"
    assert value in run("values", "--add", value).stdout


def test_values_are_edited(engine: Any) -> None:
    """--add, --ignore and --remove change what must not leave; a value that is not there is an error."""
    run("add", "-", data=PROFILE)
    got = document(
        "values", "--add", "Bluebell", "--type", "PERSON", "--ignore", "Ada", "--remove", "Thornquist"
    )
    by_value = {v["value"]: v for v in got["values"]}
    assert by_value["Bluebell"] == {
        "value": "Bluebell",
        "type": "PERSON",
        "origin": "declared",
        "enabled": True,
    }
    assert by_value["Ada"]["enabled"] is False
    assert "Thornquist" not in by_value
    assert "ignored" in run("values").stdout
    failed = run("values", "--remove", "Nobody Known")
    assert isinstance(failed.exception, InputError)
    assert "Nobody" not in str(failed.exception)


def test_export_goes_back_in(engine: Any, tmp_path: Path) -> None:
    """An export is readable by its owner only, and adding it to a purged user restores everything."""
    run("add", "-", data=PROFILE)
    run("values", "--add", "Bluebell", "--ignore", "Ada")
    before = run("export").stdout
    path = tmp_path / "export.jsonl"
    assert document("export", "--out", str(path))["entries"] == 6
    assert path.read_text() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    texts = {i["text"] for i in document("list")["items"]}
    kept = {v["value"]: v["enabled"] for v in document("values")["values"]}
    run("purge", "--yes")
    run("add", str(path))
    assert {i["text"] for i in document("list")["items"]} == texts
    assert {v["value"]: v["enabled"] for v in document("values")["values"]} == kept


def test_purge_asks_and_erases_bodies_too(engine: Any) -> None:
    """Without --yes nothing is deleted; with it the receipts' bodies go too, and the check is told."""
    run("add", "-", data=PROFILE)
    assert isinstance(run("purge").exception, InputError)
    assert engine.store.has("ada")
    assert document("purge", "--yes") == {
        "user": "ada",
        "items": 1,
        "values": 4,
        "searched": 3,
        "checked": True,
        "key": True,
        "threads": False,
        "states": False,
        "bodies": 1,
    }
    assert engine.audit.erased == ["ada"]
    assert "none holds a text" in run("purge", "--yes").stdout
    assert document("list")["items"] == []
    assert "nothing stored" in run("list").stdout
    assert "no known values" in run("values").stdout


def test_purge_goes_on_where_a_part_fails(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that cannot be written is reported, and the key and the context are gone all the same."""

    def broken(user: str) -> int:
        raise AuditError("disk")

    run("add", "-", data=PROFILE)
    monkeypatch.setattr(engine.audit, "erase", broken)
    with pytest.raises(AuditError):
        run("purge", "--yes")
    assert engine.keys.find("ada") is None
    assert not engine.store.has("ada")


@pytest.mark.parametrize(
    ("args", "data", "message"),
    [
        (("add", "-"), b"  ", "nothing to add"),
        (("add", "-", "x.txt"), b"", "stands alone"),
        (("add", "-"), b"\xff", "byte 0 is not UTF-8"),
        (("add", "-", "--type", "diary"), b"x", "profile, writing"),
        (("list", "--type", "diary"), b"", "profile, writing"),
        (("add", "/nowhere/x.txt"), b"", "cannot be read"),
    ],
)
def test_wrong_input_is_named(engine: Any, args: tuple[str, ...], data: bytes, message: str) -> None:
    """Empty input, bad bytes, unknown types and files: an InputError that says what to do."""
    result = run(*args, data=data)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert not engine.store.has("ada")
