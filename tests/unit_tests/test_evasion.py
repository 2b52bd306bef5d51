"""`eval evasion` with fakes for the models: the attack itself, and that it would notice a leak.

A drawn subset of the cases; with the real detector and in full it runs in the integration tests.
"""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands.main import app
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals import cases as of_cases
from cogenesis_langchain.evals.cases import DOORS, PLACES, ROUTES, SENDING, Case, cases, messages
from cogenesis_langchain.evals.disguises import DISGUISES
from cogenesis_langchain.evals.evasion import Range, Tally
from cogenesis_langchain.evals.values import read_values, shipped
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.readings import spelled
from cogenesis_langchain.testing import FakeDetector, FakeEmbedder
from cogenesis_langchain.types import KnownValue

KNOWN = [value for value in shipped() if value.known]
ALL = list(cases(KNOWN))


def fire(folder: Path, planned: list[Case], detector: Any = None) -> Tally:
    """Runs the cases with fakes for the models."""
    tally = Tally()
    with Range(folder, detector or FakeDetector(), FakeEmbedder(), shipped()) as shots:
        assert len(list(shots.run(planned, tally))) == len(planned)
    return tally


def test_the_cases_are_many_and_meet_everything() -> None:
    """At least 5,000; each spelling by each route, and each place and door with each of them."""
    assert len(ALL) >= 5000
    assert {(c.spelling, c.route) for c in ALL} == {(s, r) for s in DISGUISES for r in ROUTES}
    for name in ("spelling", "route"):
        for other, options in (("place", PLACES), ("door", DOORS)):
            met = Counter((getattr(c, name), getattr(c, other)) for c in ALL)
            assert all(met[one, option] for one in {getattr(c, name) for c in ALL} for option in options)
    assert len({c.number for c in ALL}) == len(ALL)


def test_a_case_holds_its_value_and_its_twin_does_not() -> None:
    """Otherwise nothing left would mean nothing."""
    for case in ALL[::37]:
        parts = case.value.parts
        said = json.dumps([[m.content, getattr(m, "tool_calls", [])] for m in messages(case)])
        twin = json.dumps([[m.content, getattr(m, "tool_calls", [])] for m in messages(case.twin())])
        assert spelled(said, parts[:1]) or case.place == "cut", case.where()
        assert spelled(twin, parts) == []


def test_no_known_value_leaves_and_twins_arrive(tmp_path: Path) -> None:
    """The attack, drawn over everything: 0 known values on the wire, at least 90% of the twins there."""
    tally = fire(tmp_path, random.Random(3).sample(ALL, 70))
    assert tally.leaks == []
    assert tally.errors == {}
    assert tally.delivered() >= 0.9
    assert tally.requests >= 30


def test_the_attack_notices_a_gate_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation: without the gate's check the same cases do leak by the cloud route."""
    monkeypatch.setattr("cogenesis_langchain.egress._private", lambda *_: [])
    planned = [case for case in ALL if case.route == "cloud"]
    tally = fire(tmp_path, random.Random(3).sample(planned, 25))
    assert len(tally.leaks) >= 20


def test_values_that_nobody_knows_are_counted_apart(tmp_path: Path) -> None:
    """They are no broken promise, and they are not hidden: a blind detector lets them out, and it shows."""
    unseen = [value for value in shipped() if not value.known]
    planned = list(cases(unseen, ["cloud", "local"]))[:20]
    blind = FakeDetector(patterns={"NEVER": r"\Zx"})
    tally = fire(tmp_path, planned, blind)
    assert (tally.leaks, tally.unknown.total()) == ([], 20)
    assert {route for _, route in tally.unknown_leaks if tally.unknown_leaks[_, route]} == {"cloud"}


def test_a_report_shows_where_and_never_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With somebody's own values in --data, the output may be shared."""
    monkeypatch.setattr("cogenesis_langchain.egress._private", lambda *_: [])
    tally = fire(tmp_path, [case for case in ALL if case.route == "cloud"][:5])
    shown = json.dumps(tally.as_dict())
    assert tally.leaks
    assert spelled(shown, [value.text for value in shipped()]) == []


def test_the_units_of_a_file_are_known_values(tmp_path: Path) -> None:
    """In the format of `eval detection`; short ones are left out, repeated ones count once."""
    text = "I am Ottoline Brack, and Bo is there too."
    rows = [{"text": text, "units": ["ottoline brack", "Bo"]}, {"text": text, "units": ["Ottoline Brack"]}]
    path = tmp_path / "units.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [value.text for value in read_values(path)] == ["Ottoline Brack"]
    path.write_text('{"text": "x", "units": []}', encoding="utf-8")
    with pytest.raises(InputError, match="six letters"):
        read_values(path)


@pytest.mark.parametrize("off", [False, True])
def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off: bool) -> None:
    """A JSON report; exit code 0 where nothing known left, 1 where something did."""
    monkeypatch.setattr("cogenesis_langchain.detect.detector.Detector", lambda *_, **__: FakeDetector())
    monkeypatch.setattr("cogenesis_langchain.embed.Embedder.default", FakeEmbedder)
    if off:
        monkeypatch.setattr("cogenesis_langchain.egress._private", lambda *_: [])
    ran = CliRunner().invoke(
        app, ["eval", "evasion", "--limit", "8", "--routes", "cloud", "--config", "preset:offline", "--json"]
    )
    found = json.loads(ran.stdout)
    assert found["known"]["cases"] + found["unknown"]["cases"] == 8
    assert (ran.exit_code, bool(found["known"]["leaks"])) == (int(off), off)
    wrong = CliRunner().invoke(app, ["eval", "evasion", "--routes", "post"])
    assert "post" in str(wrong.exception)


def test_routes_that_send_are_those_of_the_policy() -> None:
    """The command's list, the cases' and the library's agree."""
    from cogenesis_langchain.commands import evasion
    from cogenesis_langchain.types import Route

    assert evasion.ROUTES == of_cases.ROUTES
    assert all(Route(name.partition(":")[0]).sends == (name in SENDING) for name in ROUTES)


@pytest.mark.parametrize("after", ["\nKind regards", "\r\nstand-in", "=\n", "\n\nBest", ""])
def test_an_encoding_that_ends_a_line_is_read(after: str) -> None:
    """Padding before a line break is no soft line break of quoted-printable."""
    known = KnownValues([KnownValue("Ilvara Penhallick", "PERSON", "declared")])
    blob = base64.b64encode(b"Ilvara Penhallick").decode()
    assert blob.endswith("=")
    assert known.hits(f"found: {blob}{after}")
