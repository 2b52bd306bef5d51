"""The linkage attack with the real detector and embeddings, on a few of the shipped persons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands.main import app

pytestmark = pytest.mark.integration


def test_raw_requests_are_linked_and_names_are_masked(tmp_path: Path) -> None:
    """Attackers find most writers of raw requests; the mask route sends the same rows without the names."""
    config = tmp_path / "policy.yaml"
    config.write_text("version: 1\nprivacy: {tier: fast}\n")
    arguments = ["eval", "linkage", "-c", str(config), "--methods", "raw,mask", "--limit", "5", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--requests", "1"])
    assert result.exit_code == 0, result.output
    raw, mask = json.loads(result.stdout)["methods"]
    assert raw["linkage"][0]["worst"]["top1"] > 0.7
    assert raw["send_rate"] == mask["send_rate"] == 1.0
    assert mask["similarity"] < raw["similarity"] == 1.0
    assert not mask["standing"].get("name")
