"""`cogenesis explain --why-blocked`: what keeps a request here, and whether the named YAML frees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from cogenesis_langchain.commands import explain as command
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.testing import FakeDetector, RecordingCloud
from tests.conftest import USER, routed

EngineMaker = Callable[..., Engine]
ASKED = "Three facts about Perdita Snell, please."
PLACE = (ASKED.index("Perdita"), ASKED.index("Perdita") + len("Perdita Snell"))


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def explained(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, *arguments: str, terminal: bool = False
) -> Any:
    """What `explain --why-blocked` says of a public text; JSON is parsed."""
    monkeypatch.setattr(command, "load_engine", lambda *_, **__: engine)
    monkeypatch.setattr(command, "is_own_terminal", lambda: terminal)
    app = typer.Typer()
    app.command()(command.explain)
    arguments = (*arguments, "--user", USER, "--label", "public", "--why-blocked")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.output


def cautious(*more: dict[str, Any]) -> dict[str, Any]:
    """Public texts without any finding may go as they are; `more` are rules above that."""
    routing = routed("cloud")
    routing["decisions"][0]["rules"]["all"] += [{"spans": 0}, {"known_values": 0}]
    routing["decisions"] += more
    return routing


def test_a_span_that_a_rule_sees(
    make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch, cloud: RecordingCloud
) -> None:
    """Place, kind, the rule that would free the text, and the line; nothing is sent."""
    found = explained(monkeypatch, make_engine(routing=cautious()), ASKED, "--json", terminal=True)
    (one,) = found["blocked_by"]
    assert (one["message"], one["start"], one["end"], one["type"]) == (0, *PLACE, "PERSON")
    assert (one["source"], one["score"], one["stretch"]) == ("fake", 0.85, "Perdita Snell")
    assert one["check"] == "with it the policy chooses local by no rule, without it cloud by rule 'cloud'"
    assert cloud.requests == []


def freed(make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch, asked: str, **changes: Any) -> Any:
    """(blockers as shown, blockers once their YAML stands in the policy, route then)."""
    before = explained(monkeypatch, make_engine(**changes), asked, "--json", terminal=True)
    privacy: dict[str, Any] = {"gate": {"allow": []}, "known_values": {"ignore": []}}
    for one in before["blocked_by"]:
        line = yaml.safe_load(one["allow"])["privacy"]
        privacy["gate"]["allow"] += line.get("gate", {}).get("allow", [])
        privacy["known_values"]["ignore"] += line.get("known_values", {}).get("ignore", [])
    after = explained(monkeypatch, make_engine(**changes, privacy=privacy), asked, "--json", terminal=True)
    return before["blocked_by"], after["blocked_by"], after["route"]


@pytest.mark.parametrize(
    ("asked", "section"),
    [(ASKED, "allow"), ("About Quillon Vexmoor.", "ignore"), ("Perdita Snell and quillon_vexmoor", None)],
)
def test_the_named_line_frees_the_request(
    make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch, asked: str, section: str | None
) -> None:
    """Put into the policy, exactly the lines that were named let the same request go."""
    before, after, route = freed(make_engine, monkeypatch, asked, routing=cautious())
    assert before
    assert all(section is None or section in one["allow"] for one in before)
    assert (after, route) == ([], "cloud")


def test_what_only_the_gate_finds(make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that asks for no count lets a value through to the gate, which names itself."""
    engine = make_engine({"detector": FakeDetector(patterns={})}, routing=routed("cloud"))
    found = explained(monkeypatch, engine, "About Quillon Vexmoor.", "--json", terminal=True)
    (one,) = found["blocked_by"]
    assert one["check"] == "the gate: a known value in the last bytes"
    assert (one["stretch"], one["start"], found["route"]) == ("Quillon Vexmoor", 6, "local")
    assert found["outbound"] == []


def test_only_what_keeps_it_here_is_named(make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A span that no rule minds is no cause; one that a rule above names is."""
    rule = {"name": "mail", "priority": 9, "rules": {"entity": "EMAIL_ADDRESS"}, "action": {"route": "local"}}
    routing = routed("mask")
    routing["decisions"].append(rule)
    engine = make_engine(routing=routing)
    found = explained(monkeypatch, engine, "Perdita Snell, ada@example.org", "--json")
    assert [one["type"] for one in found["blocked_by"]] == ["EMAIL_ADDRESS"]
    assert "local by rule 'mail', without it mask by rule 'mask'" in found["blocked_by"][0]["check"]
    engine = make_engine(routing=routed("mask"))
    assert explained(monkeypatch, engine, "Perdita Snell", "--json")["blocked_by"] == []
    assert "no private span" in explained(monkeypatch, engine, "Perdita Snell")


def test_spans_that_count_only_together(make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rule counts, all that it counts are named."""
    many = {"name": "many", "priority": 9, "rules": {"spans": {"gte": 2}}, "action": {"route": "local"}}
    routing = routed("mask")
    routing["decisions"].append(many)
    asked = "Perdita Snell and Ravi Okonedo"
    found = explained(monkeypatch, make_engine(routing=routing), asked, "--json")
    assert [one["start"] for one in found["blocked_by"]] == [0, 18]


@pytest.mark.parametrize("as_json", [False, True])
def test_words_show_on_the_own_terminal_only(
    make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    """In a pipe, a file or a log of a CI stand places and kinds, and a line to be filled in."""
    options = ["--json"] if as_json else []
    for terminal in (True, False):
        engine = make_engine(routing=cautious())
        found = str(explained(monkeypatch, engine, ASKED, *options, terminal=terminal))
        assert ("Perdita Snell" in found) is terminal
        assert str(PLACE[0]) in found
        assert ("..." in found) is not terminal
