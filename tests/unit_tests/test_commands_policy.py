from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from cogenesis_langchain import yaml_lines
from cogenesis_langchain.commands.policy import app
from cogenesis_langchain.config import preset_text

runner = CliRunner()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")


def test_a_valid_policy_is_shown_in_the_order_it_is_read() -> None:
    """`check` exits 0 and lists the rules, highest priority first, and the default."""
    result = runner.invoke(app, ["check", "preset:default"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split(":")[0].split()[-1] for line in lines[:3]] == [
        "secrets",
        "declared-public",
        "personal-writing",
    ]
    assert lines[-1] == "preset:default: valid"


def test_a_broken_policy_exits_2_and_names_every_line(tmp_path: Path) -> None:
    """`check` names file, line, key and the nearest name, in words and in JSON."""
    path = tmp_path / "policy.yaml"
    path.write_text("privacy:\n  teir: fast\nstor: {}\n")
    result = runner.invoke(app, ["check", str(path)])
    assert result.exit_code == 2
    assert f"error: {path}:2: key 'privacy.teir': unknown; did you mean 'tier'?" in result.output
    result = runner.invoke(app, ["check", str(path), "--json"])
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert len(report["errors"]) == 2


def test_check_wants_the_key_of_a_preset_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What loads with a warning elsewhere is a fault here."""
    monkeypatch.delenv("OPENAI_API_KEY")
    result = runner.invoke(app, ["check", "preset:default"])
    assert result.exit_code == 2
    assert "OPENAI_API_KEY is not set" in result.output


def test_the_schema_is_printed_and_written(tmp_path: Path) -> None:
    """What `schema` prints validates the presets; `--out` writes the same."""
    result = runner.invoke(app, ["schema"])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.validate(yaml_lines.parse(preset_text("strict"), "strict").data, schema)
    out = tmp_path / "schema.json"
    assert runner.invoke(app, ["schema", "--out", str(out)]).exit_code == 0
    assert json.loads(out.read_text()) == schema
