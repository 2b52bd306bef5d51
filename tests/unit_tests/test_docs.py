"""What docs/ says can be checked: the tests it names exist, its links lead somewhere, its blocks work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cogenesis_langchain.config import load

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_test_exists(page: Path) -> None:
    """A claim whose test was renamed away is a claim without a test."""
    for file, name in _TEST.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), file
        if name:
            text = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {name}\b", text, re.MULTILINE), f"{file}::{name}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    """Relative links name files that are there."""
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_every_claim_of_the_security_page_names_a_test() -> None:
    """Each row of its claim tables ends in at least one test."""
    rows = [line for line in _security().splitlines() if line.startswith("| ") and "Claim" not in line]
    assert len(rows) > 20
    assert [row for row in rows if not _TEST.search(row.split("|")[-2])] == []


def _security() -> str:
    return (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    re.findall(r"```yaml\n(.*?)```", "\n".join(page.read_text("utf-8") for page in PAGES), re.DOTALL),
)
def test_policies_in_the_docs_load(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every YAML block is a policy, or a part of one, without a fault."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
    path = tmp_path / "policy.yaml"
    path.write_text(text if "version:" in text else f"version: 1\n{text}", encoding="utf-8")
    assert load(path).version == 1
