"""`cogenesis receipts`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.commands import receipts as command
from cogenesis_langchain.types import Outbound, PrivateSpan

BODY = '{"messages":[{"content":"Write an invitation. \\n ü","role":"user"}]}'


class _Engine:
    def __init__(self, audit: Audit) -> None:
        self.audit = audit


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """The log that the command reads."""
    log = Audit(tmp_path / "audit")
    monkeypatch.setattr(command, "load_engine", lambda *_, **__: _Engine(log))
    return log


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    app = typer.Typer()
    app.command()(command.receipts)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def _fill(audit: Audit) -> None:
    made = audit.intent(Outbound("http://x", BODY), route="sketch", level="topic", bits=12.9, user="dana")
    audit.outcome(made.id, "sent")
    audit.hit("http://x", "sketch", "topic", "ravi", [PrivateSpan("PERSON", 0, 3, 1.0, "known")])


def test_empty(audit: Audit) -> None:
    """Where nothing was sent the command says so."""
    assert run() == (0, "Nothing has left this machine.\n")


def test_bodies_are_shown_byte_for_byte(audit: Audit) -> None:
    """The exact body stands in the output, with what it told at most."""
    _fill(audit)
    code, text = run("--verify")
    assert code == 0
    assert f"\n{BODY}\n" in text
    assert "sketch:topic  at most 12.9 bits" in text
    assert "refused" in text
    assert "(PERSON)" in text
    assert "is whole" in text


def test_json(audit: Audit) -> None:
    """The JSON fields are the receipt's, and the body."""
    _fill(audit)
    code, text = run("--json", "--verify", "--user", "dana")
    document = json.loads(text)
    assert code == 0
    assert document["receipts"][0]["body"] == BODY
    expected = {
        "id",
        "time",
        "endpoint",
        "body_sha256",
        "bits",
        "route",
        "level",
        "status",
        "key",
        "attempt",
        "body",
    }
    assert set(document["receipts"][0]) == expected
    assert document["refusals"] == []
    assert document["verify"]["ok"] is True


def test_broken_chain_has_an_exit_code(audit: Audit) -> None:
    """Tampering is reported and ends with exit code 5."""
    _fill(audit)
    with audit._chain.reading() as db:
        db.execute("UPDATE rows SET data = replace(data, 'topic', 'kind') WHERE seq = 1")
    code, text = run("--verify")
    assert code == 5
    assert "row 1 was changed" in text


def test_erased_bodies(audit: Audit) -> None:
    """After erasure the receipt stands without its body."""
    _fill(audit)
    audit.erase("dana")
    assert "(body erased" in run()[1]


def test_an_empty_user_is_not_everybody(audit: Audit) -> None:
    """A variable that a shell did not fill must not show the bodies of all."""
    _fill(audit)
    code, text = run("--user", "")
    assert (code, BODY in text) == (1, False)
