"""`cogenesis ledger show`."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cogenesis_langchain import audit as audit_room
from cogenesis_langchain.audit import Audit
from cogenesis_langchain.commands import ledger as command
from cogenesis_langchain.config import load
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.types import GenericTask, Outbound

URL = "https://cloud.example/v1/chat/completions"
CAPS = {"max_bits_per_day": 30, "max_requests_per_day": 5}


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """The log that the command reads, of a store that knows dana alone."""
    log = Audit(tmp_path / "audit")
    store = SimpleNamespace(users=lambda: ["dana"])
    config = load({"privacy": {"ledger": CAPS}})
    engine = SimpleNamespace(audit=log, store=store, config=config, close=lambda: None)
    monkeypatch.setattr(command, "load_engine", lambda *_, **__: engine)
    return log


def run(*arguments: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(command.app, ["show", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def tell(audit: Audit, task: GenericTask | None, **changes: Any) -> None:
    """One request that was sent."""
    plain: dict[str, Any] = {"route": "sketch", "level": "topic", "bits": 8.25, "user": "dana", "task": task}
    audit.outcome(audit.intent(Outbound(URL, "{}"), **(plain | changes)).id, "sent")


def fill(audit: Audit) -> None:
    """Three requests, one of them without a bound, and a veto."""
    tell(audit, GenericTask("invitation", "birthday"))
    tell(audit, GenericTask("invitation", "wedding"))
    tell(audit, None, route="mask", level=None, bits=None)
    audit.veto(route="local", level=None, user="dana", reason="r", endpoint=URL, bits=8.25)


def test_nothing_told(audit: Audit) -> None:
    """A log that is not there, and a user who is not in it, are said in a sentence."""
    assert run() == "No cloud was told anything in the last 30 days.\n"
    fill(audit)
    assert run("--user", "ravi", "--days", "2") == "No cloud was told anything of ravi in the last 2 days.\n"


def test_what_the_cloud_could_know(audit: Audit) -> None:
    """Endpoint, key, requests, bits, what has no bound, kinds and topics, and what is left today."""
    fill(audit)
    text = run("--days", "3")
    for line in (
        "What the cloud could know about dana, last 3 days",
        f"  {URL}, no key",
        "  requests    3",
        "  told        at most 24.8 bits, and what no number bounds in 1 of the requests (mask)",
        "  held back   1 by the store's veto or at the gate",
        "  bits a day  ··█  most 24.8",
        f"    invitation  {'█' * command.WIDTH} 2",
        f"    birthday  {'█' * command.WIDTH} 1",
        "  bits today: 5.2 left",
        "  requests today: 2 left",
    ):
        assert line in text.splitlines(), text


def test_what_gave_way_to_a_level_with_a_bound_is_named_unbounded(audit: Audit) -> None:
    """That own words were not usable tells something too, and the reader learns why topic has no bound."""
    tell(audit, GenericTask("invitation", "birthday"), bits=None)
    assert "bounds in 1 of the requests (sketch:topic in place of free)" in run()
    tell(audit, None, level="free", bits=None)
    tell(audit, GenericTask("email", None))
    assert "bounds in 2 of the requests (sketch:topic in place of free, sketch:free)" in run()


def test_json(audit: Audit) -> None:
    """The same for machines, by user; a user whom the store does not know has a fingerprint only."""
    fill(audit)
    tell(audit, GenericTask("email", None), user="ravi")
    (dana,) = json.loads(run("--json", "--user", "dana", "--days", "1"))["accounts"]
    assert (dana["user"], dana["key"], dana["requests"], dana["bits"]) == ("dana", None, 3, 24.75)
    assert (dana["unbounded_requests"], dana["vetoes"]) == (1, 1)
    assert (dana["kinds"], dana["topics"]) == ({"invitation": 2}, {"birthday": 1, "wedding": 1})
    assert dana["steps"] == {"sketch:topic": 2, "mask": 1}
    assert (dana["bits_per_day"], dana["left_today"]) == ([24.75], {"bits": 5.25, "requests": 2})
    found = json.loads(run("--json"))
    assert found["caps"] == CAPS
    assert [account["user"] for account in found["accounts"]] == ["dana", None]
    assert "ravi" not in json.dumps(found)


def test_days_that_are_over(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are shown as far back as asked for, and take nothing of today."""
    then = (datetime.now(UTC) - timedelta(days=2.5)).isoformat(timespec="milliseconds")
    monkeypatch.setattr(audit_room, "_now", lambda: then)
    fill(audit)
    (account,) = json.loads(run("--json", "--days", "4"))["accounts"]
    assert account["bits_per_day"] == [0.0, 24.75, 0.0, 0.0]
    assert account["left_today"] == {"bits": 30.0, "requests": 5}
    assert json.loads(run("--json", "--days", "2"))["accounts"] == []


def test_many_days_fit_on_a_screen(audit: Audit) -> None:
    """Days share a character, and nothing of them is lost."""
    assert command.shortened([1.0, 2.0]) == (1, [1.0, 2.0])
    together, shown = command.shortened([1.0] * 400)
    assert (together, len(shown), shown[0], shown[-1], sum(shown)) == (7, 58, 1.0, 7.0, 400.0)
    fill(audit)
    (line,) = [line for line in run("--days", "3650").splitlines() if "bits in" in line]
    assert line.startswith("  bits in 61 days  ··")
    assert len(line) < 100


def test_an_empty_user_is_not_everybody(audit: Audit) -> None:
    """A variable that a shell did not fill must not show what was told of all."""
    fill(audit)
    result = CliRunner().invoke(command.app, ["show", "--user", " "])
    assert isinstance(result.exception, InputError)
    assert result.output == ""


def test_plots() -> None:
    """The largest value has the longest bar, a day with anything is no empty one, the rest is summed."""
    assert command.sparkline([0.0, 0.001, 4.0, 8.0]) == "·▁▅█"
    many = Counter({f"topic {number:02}": 40 - number for number in range(command.SHOWN + 2)})
    lines = command.bars(many)
    assert len(lines) == command.SHOWN + 1
    assert lines[0] == f"topic 00  {'█' * command.WIDTH} 40"
    assert lines[-1] == "and 2 more, 55 times"
    assert command.bars(Counter()) == ["none, or erased"]
