"""`cogenesis eval detection` as a person runs it, with the real detectors and the shipped examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands.main import app
from cogenesis_langchain.evals.rows import read_rows

pytestmark = pytest.mark.integration


def test_every_tier_beside_default_presidio() -> None:
    """Harder tiers leak less, and the default one less than Presidio as it comes."""
    done = CliRunner().invoke(app, ["eval", "detection", "--json"])
    assert done.exit_code == 0, done.stderr
    found = {row["detector"]: row for row in json.loads(done.stdout)["detectors"]}
    assert found["thorough"]["leak"] <= found["balanced"]["leak"] < found["fast"]["leak"]
    assert found["balanced"]["leak"] < found["Presidio"]["leak"]
    assert all(row["rows"] == len(read_rows(None)) and row["ms_per_1k"] > 0 for row in found.values())


def test_the_masked_texts_can_be_checked_by_others(tmp_path: Path) -> None:
    """A line for each text: its id, the text as it would leave, how many characters are hidden."""
    to = tmp_path / "masked.jsonl"
    done = CliRunner().invoke(app, ["eval", "detection", "--tier", "balanced", "--out", str(to)])
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(line) for line in to.read_text("utf-8").splitlines()]
    rows = read_rows(None)
    assert [line["id"] for line in lines] == [row.id for row in rows]
    key = next(n for n, row in enumerate(rows) if "ghp_" in row.text)
    assert "ghp_" not in lines[key]["masked"]
    assert lines[key]["masked_chars"] >= 40


def test_out_needs_one_tier(tmp_path: Path) -> None:
    """Two tiers would give two lines for each id."""
    done = CliRunner().invoke(app, ["eval", "detection", "--out", str(tmp_path / "x")])
    assert done.exit_code != 0
    assert not (tmp_path / "x").exists()
