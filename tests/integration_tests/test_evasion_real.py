"""`cogenesis eval evasion` with the real detector and embeddings: a drawn part, and (full) everything."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


def attack(*options: str) -> tuple[int, dict[str, dict[str, object]]]:
    """The command's exit code and JSON report."""
    command = [sys.executable, "-m", "cogenesis_langchain.commands.main", "eval", "evasion", "--json"]
    ran = subprocess.run(
        [*command, "--config", "preset:offline", *options], capture_output=True, text=True, check=False
    )
    assert ran.stdout, ran.stderr[-2000:]
    return ran.returncode, json.loads(ran.stdout)


def check(code: int, found: dict[str, dict[str, object]]) -> None:
    """No known value left, and the benign twins did."""
    assert found["known"]["where"] == []
    assert (found["known"]["leaks"], code) == (0, 0)
    assert float(str(found["twins"]["delivered"])) >= 0.9
    assert found["errors"] == {}


def test_a_part_of_the_attack() -> None:
    """Drawn by a fixed seed over all spellings, routes, places and doors."""
    code, found = attack("--limit", "100")
    check(code, found)


@pytest.mark.full
@pytest.mark.parametrize("tier", ["balanced", "fast"])
def test_the_whole_attack(tier: str) -> None:
    """More than 5,000 requests with known values on routes that send, none of which leaves.

    Values that nobody declared are found by a detector or not at all: most of them, in most spellings.
    """
    code, found = attack("--tier", tier)
    check(code, found)
    assert int(str(found["known"]["on_sending_routes"])) >= 5000
    if tier == "balanced":
        covered = found["unknown"]["covered"]
        assert isinstance(covered, dict)
        for spelling in ("as it is", "lower", "UPPER", "zero-width", "confusables", "full-width"):
            assert covered[spelling] >= 0.9, spelling
