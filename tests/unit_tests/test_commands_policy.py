from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from cogenesis_langchain import yaml_lines
from cogenesis_langchain.audit import Audit
from cogenesis_langchain.commands.policy import app
from cogenesis_langchain.config import preset_text
from cogenesis_langchain.errors import ConfigError, ModelMissingError
from cogenesis_langchain.types import Outbound

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


# --- test -------------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = "models:\n  cloud: {provider: openai_compatible, model: m, base_url: 'http://127.0.0.1:9/v1'}\n"
MASKS = (
    MODELS + "privacy: {tier: fast, known_values: {add: [Vexmoor]}}\n"
    "routing:\n  decisions:\n"
    "    - {name: all, priority: 1, rules: {length: {gt: 0}}, action: {route: mask}}\n"
)
ITEM = "context: [{type: note, text: 'something'}]"


def tried(tmp_path: Path, cases: str, *options: str, policy: str = MASKS) -> Any:
    """`cogenesis policy test` on these cases."""
    (tmp_path / "policy.yaml").write_text(policy + f"store: {{path: {tmp_path / 'store'}}}\n")
    (tmp_path / "cases.yaml").write_text("cases:\n" + cases)
    arguments = ["test", str(tmp_path / "policy.yaml"), str(tmp_path / "cases.yaml"), *options]
    return runner.invoke(app, arguments, env={"COLUMNS": "200"})


@pytest.mark.usefixtures("no_models")
def test_the_example_holds_without_model_key_or_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What examples/ shows is true of the shipped policy; nothing but the code itself is needed."""
    monkeypatch.delenv("OPENAI_API_KEY")
    files = [str(EXAMPLES / "mask_policy.yaml"), str(EXAMPLES / "policy_cases.yaml")]
    result = runner.invoke(app, ["test", *files, "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0, report
    assert report["ok"]
    assert {case["step"].partition(":")[0] for case in report["cases"]} == {
        "cloud",
        "mask",
        "sketch",
        "local",
    }


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model file is there, and no socket opens."""

    def missing(name: str, *_: object, **__: object) -> Path:
        raise ModelMissingError(f"{name} is not there")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("cogenesis_langchain.models.locate", missing)
    monkeypatch.setattr(socket.socket, "connect", forbidden)


def test_what_differs_is_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    """Route, forbidden text (by number, never by its words) and whether anything leaves."""
    result = tried(
        tmp_path,
        f"  - {{name: a, input: 'Hello there', {ITEM}, expect: {{route: local}}, sends: false}}\n"
        f"  - {{name: b, input: 'the tidewell plan', {ITEM}, forbid: [unicorn, 'TIDE WELL']}}\n"
        f"  - {{name: c, input: 'the tidewell plan', {ITEM}, forbid: [unicorn], sends: true}}\n",
        "--json",
    )
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert [case["failures"] for case in report["cases"]] == [
        ["route mask instead of local", "something would leave"],
        ["forbid[1] stands in the bytes that would leave"],
        [],
    ]


def test_the_gate_looks_before_a_case_is_judged(tmp_path: Path) -> None:
    """What the gate would stop does not leave in a case either: a value that no mask covers."""
    case = "  - {name: a, input: 'about vexmoor', label: public, context: [{text: x}], sends: false}\n"
    policy = MASKS.replace("length: {gt: 0}", "label: public").replace("route: mask", "route: cloud")
    result = tried(tmp_path, case, policy=policy)
    assert (result.exit_code, "local" in result.output) == (0, True)
    without = tried(tmp_path, case, policy=policy.replace("{add: [Vexmoor]}", "{add: []}"))
    assert "something would leave" in without.output


def test_nothing_is_kept(tmp_path: Path) -> None:
    """The context of a case is in memory alone: the store's folder is not even made."""
    tried(tmp_path, f"  - {{name: a, input: Hello, {ITEM}, sends: true}}\n")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("cases", "line", "said"),
    [
        ("  - {name: a, input: x}\n", 2, "expects nothing"),
        ("  - {name: a, sends: true}\n", 2, "either input or messages"),
        ("  - name: a\n    input: x\n    sends: true\n    forbids: [x]\n", 5, "did you mean 'forbid'"),
        ("  - name: a\n    input: x\n    expect: {route: clod}\n", 4, "did you mean 'cloud'"),
        ("  - {name: a, input: x, sends: true, context: [{type: letter, text: x}]}\n", 2, "profile"),
    ],
)
def test_faults_of_a_case_file_have_line_and_key(tmp_path: Path, cases: str, line: int, said: str) -> None:
    """A typo is no passed test."""
    result = tried(tmp_path, cases)
    assert isinstance(result.exception, ConfigError)
    assert f"cases.yaml:{line}: key 'cases[0]" in str(result.exception)
    assert said in str(result.exception)
    assert "empty" not in str(result.exception)


def test_what_was_told_before_changes_no_case(tmp_path: Path) -> None:
    """A test of a policy says the same on every day, whatever its user's ledger holds by now."""
    audit = Audit(tmp_path / "store" / "audit")
    url = "http://127.0.0.1:9/v1/chat/completions"
    audit.intent(Outbound(url, "{}"), route="mask", user="somebody")
    policy = MASKS.replace("fast,", "fast, ledger: {max_requests_per_day: 1},")
    result = tried(tmp_path, f"  - {{name: a, input: x, {ITEM}, sends: true}}\n", policy=policy)
    assert result.exit_code == 0, result.output


def test_a_file_without_cases_is_no_passed_test(tmp_path: Path) -> None:
    """Nothing tried is nothing shown, and the fault says so in words."""
    path = tmp_path / "cases.yaml"
    path.write_text("cases: []\n")
    result = runner.invoke(app, ["test", "preset:default", str(path)])
    assert "key 'cases': must not be empty" in str(result.exception)


def test_a_task_that_no_list_holds_is_no_passed_test(tmp_path: Path) -> None:
    """`task` stands for what a model would find, so it comes from the closed lists."""
    policy = MASKS.replace("route: mask", "route: sketch")
    case = f"  - {{name: a, input: x, {ITEM}, task: {{kind: ransom-note}}, sends: false}}\n"
    result = tried(tmp_path, case, policy=policy)
    assert result.exit_code == 1
    assert "closed lists" in result.output
