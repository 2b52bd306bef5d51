"""`cogenesis vocabulary` with the real dictionary, detector and embedder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands.main import app

pytestmark = pytest.mark.integration

FINE = ("night shifts", "divorce", "adoption", "house music", "trains", "wine")
SINGLING_OUT = (
    "rosalind", "rose miller", "paris", "einstein", "harvard", "berlin wall",  # names in small letters
    "falconry", "beekeeping", "numismatics",  # rare
    "dogs", "computers", "genealogy",  # told already
)  # fmt: skip


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """One with a store of its own and a value that must never leave."""
    path = tmp_path / "policy.yaml"
    path.write_text(f"version: 1\nstore: {{path: {tmp_path}, keys: file}}\n")
    return str(path)


def test_names_rare_words_and_twins_are_refused_and_common_words_are_not(policy: str) -> None:
    """The sentence with a refused name never goes out; what is left says little of anybody."""
    options = [part for name in (*FINE, *SINGLING_OUT) for part in ("--topic", name)]
    done = CliRunner().invoke(app, ["vocabulary", "check", policy, *options, "--json"])
    found = {one["name"]: one for one in json.loads(done.stdout)["additions"]}
    assert done.exit_code == 2
    assert {name for name, one in found.items() if one["ok"]} == set(FINE)
    assert all(found[name]["bits"] > 0 for name in FINE)


def test_topics_are_suggested_where_the_lists_fit_badly(policy: str, tmp_path: Path) -> None:
    """Three requests about stamps; nothing of those about what the lists have."""
    data = tmp_path / "mine.txt"
    data.write_text(
        "Write what is special about the old stamps in the blue box\n"
        "A text for the back of a frame with three stamps\n"
        "Something on why nobody licks stamps now\n"
        "An invitation to my wedding\nA letter to my landlord about the boiler\n"
    )
    done = CliRunner().invoke(app, ["vocabulary", "suggest", "--data", str(data), "-c", policy, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(one["name"], one["requests"]) for one in found["topics"]] == [("stamps", 3)]
    assert found["fit_badly"] == 3
