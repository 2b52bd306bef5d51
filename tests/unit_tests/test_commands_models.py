"""`cogenesis models`: JSON fields, exit codes, and what a person reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cogenesis_langchain import models
from cogenesis_langchain.commands.models import app
from cogenesis_langchain.errors import ModelError
from cogenesis_langchain.pull import PullReport


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, with nothing in it."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def test_list_shows_all() -> None:
    """Every catalogue entry is listed, as text and as JSON, with what is here."""
    plain = CliRunner().invoke(app, ["list"])
    assert plain.exit_code == 0
    rows = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(models.catalogue())
    assert all(row["name"] in plain.stdout for row in rows)
    assert not any(row["present"] for row in rows)
    assert sum(row["default"] for row in rows) == 4
    assert {"name", "kind", "size", "licence", "chat_template", "default", "present", "path"} <= set(rows[0])


def test_pull_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came from where is said; `--json` gives the same as data and nothing else on stdout."""

    def pull(names: object, *, progress: object = None) -> list[PullReport]:
        if callable(progress):
            progress(models.Progress("en_core_web_sm", "a", 5, 10))
            progress(models.Progress("en_core_web_sm", message="hub: [x] down; trying the next source"))
        return [
            PullReport("en_core_web_sm", "packages", 12_000_000, 2.0),
            PullReport("all-minilm-l6-v2", "cache", 0, 0.0),
        ]

    monkeypatch.setattr(models, "pull", pull)
    plain = CliRunner().invoke(app, ["pull"])
    assert plain.exit_code == 0, plain.output
    assert "en_core_web_sm: 12 MB from packages in 2 s, verified" in plain.output
    assert "[x] down" in plain.output
    rows = json.loads(CliRunner().invoke(app, ["pull", "--json"]).stdout)
    assert rows[0] | {"path": ""} == {
        "name": "en_core_web_sm",
        "source": "packages",
        "downloaded": 12_000_000,
        "seconds": 2.0,
        "path": "",
    }


def test_verify_ends_with_3_when_wrong() -> None:
    """A damaged model is named with its fix and the exit code is that of ModelError."""
    folder = models.folder("smollm2-135m-instruct")
    folder.mkdir(parents=True)
    (folder / models.entry("smollm2-135m-instruct").files[0].name).write_bytes(b"half")
    done = CliRunner().invoke(app, ["verify", "--json"])
    assert done.exit_code == ModelError.exit_code == 3
    [row] = json.loads(done.stdout)
    assert not row["ok"]
    assert "cogenesis models pull smollm2-135m-instruct" in row["message"]


def test_verify_of_an_empty_cache_says_what_to_do() -> None:
    """With nothing there the command names the next one."""
    assert "cogenesis models pull" in CliRunner().invoke(app, ["verify"]).stdout


def test_unknown_name_is_a_model_error() -> None:
    """A wrong name reaches the command's error handler as ModelError."""
    assert isinstance(CliRunner().invoke(app, ["verify", "nope"]).exception, ModelError)
