from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr

from cogenesis_langchain import config as configs
from cogenesis_langchain import yaml_lines
from cogenesis_langchain.config import PRESETS, Config, json_schema, load, preset_text
from cogenesis_langchain.endpoints import check_endpoint, is_loopback, origin
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.models import cache_dir
from cogenesis_langchain.sections import EnvironmentKey
from cogenesis_langchain.types import All, Any_, Compare, Level, Match, Not, Route, Step

DESIGN = """\
version: 1
models:
  cloud: {base_url: "https://api.openai.com/v1", model: gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}
  local: {provider: llama_cpp, model: qwen2.5-coder-1.5b-instruct}
privacy:
  mode: enforce
  tier: balanced
  known_values: {min_length: 3, ignore: [Springfield]}
  gate: {min_score: 0.5, on_hit: local}
  ledger: {max_bits_per_day: 60, max_requests_per_day: 20}
  trusted_endpoints: ["http://127.0.0.1:8080"]
presidio: {}
store: {path: ~/.local/share/cogenesis}
routing:
  default: {route: local}
  decisions:
    - name: secrets
      priority: 100
      rules: {any: [{entity: [API_KEY, CREDIT_CARD]}, {tag: legal-hold}]}
      action: {route: local}
    - name: personal-writing
      priority: 50
      rules: {all: [{kind: [invitation, email, speech]}, {not: {length: {gt: 4000}}}]}
      action: {route: sketch, level: topic, ask: false}
      on_failure: [{level: kind}, {route: local}]
    - name: declared-public
      priority: 10
      rules: {all: [{label: public}, {spans: 0}, {known_values: 0}]}
      action: {route: cloud}
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.delenv("COGENESIS_CONFIG", raising=False)


def write(folder: Path, text: str) -> Path:
    """A policy file in `folder`."""
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(source: Any, **options: Any) -> str:
    """What `load` says against `source`."""
    with pytest.raises(ConfigError) as caught:
        load(source, **options)
    assert caught.value.__cause__ is None
    return str(caught.value)


def decision(**changes: Any) -> dict[str, Any]:
    """A config with one valid decision, changed."""
    one = {"name": "one", "priority": 1, "rules": {"length": {"gt": 1}}, "action": {"route": "sketch"}}
    return {"routing": {"decisions": [one | changes]}}


LIMIT = {"max_requests_per_day": 3}
CAPPED = {"privacy": {"ledger": {"max_bits_per_day": 60}}}
CAPPED_LOW = {"privacy": {"ledger": {"max_bits_per_day": 40}}}
LIVE = {"fuse": {"live": {"allow": True}}}
STAND_IN = {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1"}
TRUSTED = {"models": {"cloud": STAND_IN}, "privacy": {"trusted_endpoints": ["http://127.0.0.1:9"]}}
SERVED = {"models": {"local": STAND_IN}}


def test_the_design_file_reads_as_written(tmp_path: Path) -> None:
    """The example of the documentation loads, and its rules come out as conditions and steps."""
    policy = load(write(tmp_path, DESIGN)).policy()
    assert [rule.name for rule in policy.rules] == ["secrets", "personal-writing", "declared-public"]
    secrets, writing, public = policy.rules
    assert secrets.when == Any_((Match("entity", ("API_KEY", "CREDIT_CARD")), Match("tag", ("legal-hold",))))
    assert writing.when == All(
        (Match("kind", ("invitation", "email", "speech")), Not(Compare("length", gt=4000)))
    )
    assert writing.on_failure == (Step(Route.SKETCH, Level.KIND), Step(Route.LOCAL))
    assert public.when == All(
        (Match("label", ("public",)), Compare("spans", gte=0, lte=0), Compare("known_values", gte=0, lte=0))
    )
    assert policy.default == Step(Route.LOCAL)
    assert not policy.observe


def test_rules_come_highest_priority_first() -> None:
    """The order of the file does not matter."""
    low = decision(name="low", priority=1)["routing"]["decisions"][0]
    high = decision(name="high", priority=2, rules={"turns": {"gt": 3}})["routing"]["decisions"][0]
    policy = load({"routing": {"decisions": [low, high]}}).policy()
    assert [rule.name for rule in policy.rules] == ["high", "low"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("tier: balanced", "teir: balanced", ":7: key 'privacy.teir': unknown; did you mean 'tier'?"),
        (
            "tier: balanced",
            "tier: balancd",
            ":7: key 'privacy.tier': must be fast or balanced or thorough; did",
        ),
        (
            "kind: [inv",
            "knd: [inv",
            ":23: key 'routing.decisions[1].rules.all[0].knd': unknown; did you mean",
        ),
        ("email, sp", "emial, sp", ".kind[1]': 'emial' is no kind of the vocabulary; did you mean 'email'?"),
        (
            "gt: 4000",
            "gtt: 4000",
            ":23: key 'routing.decisions[1].rules.all[1].not.length.gtt': unknown; did",
        ),
        ("gt: 4000", "gt: many", ".length.gt': must be a number"),
        ("{spans: 0}", "{spans: none}", ".spans': must be a number or bounds such as {gt: 3}"),
        ("{spans: 0}", "{spans: true}", ".spans': must be a number or bounds"),
        ("{spans: 0}", "{spans: .nan}", ".spans': must be a number or bounds"),
        ("{spans: 0}", "{spans: []}", ".spans': must name at least one number"),
        ("{spans: 0}", "{spans: {}}", ".spans': must name at least one of gt, gte, lt, lte"),
        ("tag: legal-hold", "tag: 42", ".tag': must be text; put it in quotes"),
        ("tag: legal-hold", "tag: []", ".tag': must name at least one value"),
        ("{any: [{entity", "{any: {entity", "no valid YAML"),
        ("{label: public}, ", "{}, ", "rules.all[0]': must be a condition"),
        ("{label: public}, ", "{label: public, turns: 1}, ", "one condition each: put label, turns"),
        ("route: cloud", "route: clout", ":29: key 'routing.decisions[2].action.route': must be cloud or"),
        ("route: cloud", "route: cloud, level: kind", ".action': route cloud has no level"),
        ("route: cloud", "route: local, ask: true", ".action': route local sends nothing"),
        ("ask: false", "ask: perhaps", ".ask': must be true or false"),
        (
            "priority: 10\n",
            "priority: 50\n",
            "[2].priority': rule 'personal-writing' has the same priority 50",
        ),
        ("name: secrets", "name: declared-public", "name': 'declared-public' stands twice"),
        (
            "{level: kind}, ",
            "{route: mask}, ",
            ":25: key 'routing.decisions[1].on_failure[0]': mask is not more",
        ),
        ("{level: kind}, ", "{}, ", ".on_failure[0]': needs route or level"),
        (
            "[{level: kind}, ",
            "[{route: mask, level: kind}, ",
            ".on_failure[0].level': route mask has no level",
        ),
        (
            "{not: {length: {gt: 4000}}}",
            "{length: {gt: 9, lt: 5}}",
            ":23: key 'routing.decisions[1].rules': can",
        ),
        (
            "default: {route: local}",
            "default: {route: cloud}",
            ":15: key 'routing.default': cloud needs an exp",
        ),
        ("version: 1", "version: 2", ":1: key 'version': must be 1"),
        ("  tier: balanced", "  tier: fast\n  tier: balanced", ":8: key 'privacy.tier': stands twice"),
        ("store: {path", "stor: {path", ":13: key 'stor': unknown; did you mean 'store'?"),
        ("https://api.openai.com", "http://api.openai.com", ".base_url': plain http is accepted on loopback"),
        ("https://api.openai.com", "https://u:p@api.openai.com", ".base_url': must not hold a user name"),
        ("min_length: 3", "min_length: three", ".min_length': must be a valid integer"),
        ("ignore: [Springfield]", "ignore: Springfield", ".ignore': must be a list"),
        (
            "OPENAI_API_KEY",
            "COGENESIS_TEST_UNSET",
            ":3: key 'models.cloud.api_key': environment variable COGEN",
        ),
        (
            "model: gpt-4o-mini",
            "model: os.environ/COGENESIS_UNSET",
            ":3: key 'models.cloud.model': environment v",
        ),
        ("presidio: {}", "presidio: 3", ":12: key 'presidio': must be Presidio's own YAML"),
        ("      action: {route: cloud}\n", "", ":26: key 'routing.decisions[2].action': is missing"),
    ],
)
def test_faults_name_file_line_key_and_the_fix(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """Every kind of fault is found, with the line it stands on and what to write instead."""
    assert old in DESIGN
    path = write(tmp_path, DESIGN.replace(old, new, 1))
    message = complaint(path)
    assert message.startswith(f"{path}:")
    assert expected in message


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """One run of the check shows everything, so a file is mended in one go."""
    text = DESIGN.replace("tier:", "teir:").replace("spans: 0", "spams: 0").replace("store:", "stor:")
    lines = complaint(write(tmp_path, text)).splitlines()
    assert [int(line.split(":")[1]) for line in lines] == [7, 13, 28]


def test_a_key_in_the_file_is_refused_and_never_repeated(tmp_path: Path) -> None:
    """A literal key is an error that names the fix; the key is in no message."""
    path = write(tmp_path, DESIGN.replace("os.environ/OPENAI_API_KEY", "sk-literal-123"))
    message = complaint(path)
    assert "write os.environ/NAME" in message
    assert "sk-literal" not in message


def test_private_values_of_the_file_are_in_no_message_and_no_repr() -> None:
    """What `known_values` lists and what the environment holds is printed nowhere."""
    source = {
        "privacy": {"known_values": {"add": ["Quellhofstrasse 9"], "ignore": ["Springfield"]}},
        "models": {"cloud": {"api_key": "os.environ/OPENAI_API_KEY"}},
    }
    config = load(source)
    shown = repr(config) + str(config) + repr(config.privacy) + repr(config.models)
    for hidden in ("Quellhof", "Springfield", "test-key"):
        assert hidden not in shown
    broken = copy.deepcopy(source)
    broken["privacy"]["known_values"]["add"] = ["Quellhofstrasse 9", 3]  # type: ignore[index]
    broken["privacy"]["tier"] = {"Quellhofstrasse 9": 1}
    assert "Quellhof" not in complaint(broken)


def test_nothing_that_is_shown_or_kept_of_a_key_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """repr, str, pickle, copies and their attributes hold the variable's name only."""
    monkeypatch.setenv("MY_KEY", "sk-canary")
    key = EnvironmentKey("os.environ/MY_KEY")
    again = pickle.loads(pickle.dumps(key))
    for shown in (key, copy.deepcopy(key), again):
        assert shown.get_secret_value() == "sk-canary"
        texts = [repr(shown), str(shown), f"{shown}", repr(vars(shown)), repr(pickle.dumps(shown))]
        assert not any("canary" in text for text in texts)
        assert "MY_KEY" in repr(shown)


def test_the_key_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The config holds the name of the variable; its value follows the environment and is never pickled."""
    cloud = load({"models": {"cloud": {"api_key": "os.environ/OPENAI_API_KEY"}}}).models.cloud
    assert cloud is not None
    assert cloud.api_key is not None
    assert cloud.api_key.get_secret_value() == "test-key"
    assert b"test-key" not in pickle.dumps(cloud)
    assert "test-key" not in cloud.model_dump_json()
    monkeypatch.setenv("OPENAI_API_KEY", "second")
    assert cloud.api_key.get_secret_value() == "second"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert cloud.missing_variable == "OPENAI_API_KEY"
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        cloud.api_key.get_secret_value()


def test_code_may_pass_a_secret_of_its_own() -> None:
    """A SecretStr from a key store is accepted; YAML cannot make one."""
    cloud = load({"models": {"cloud": {"api_key": SecretStr("from-a-store")}}}).models.cloud
    assert cloud is not None
    assert cloud.api_key is not None
    assert cloud.api_key.get_secret_value() == "from-a-store"
    assert cloud.missing_variable is None


def test_an_unset_key_is_an_error_in_a_file_and_a_warning_in_a_preset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Local use needs no account; who names a key of their own is told at once, unless nothing is sent."""
    monkeypatch.delenv("OPENAI_API_KEY")
    own = {"models": {"cloud": {"api_key": "os.environ/OPENAI_API_KEY"}}}
    assert "OPENAI_API_KEY is not set" in complaint(own)
    assert "OPENAI_API_KEY is not set" in complaint("preset:default", require_keys=True)
    assert any("OPENAI_API_KEY" in warning for warning in load("preset:default").warnings)
    assert load(own, require_keys=False).models.cloud is not None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_fit_the_schema(name: str) -> None:
    """Each shipped preset loads without faults and passes the published JSON Schema."""
    config = load(f"preset:{name}", require_keys=True)
    assert config.source == f"preset:{name}"
    jsonschema.validate(yaml_lines.parse(preset_text(name), name).data, json_schema())
    assert config.policy().default == Step(Route.LOCAL)


def test_what_the_presets_promise() -> None:
    """strict tells the kind and asks first, offline has no cloud, observe sends nothing."""
    strict = load("preset:strict").policy()
    sending = [rule for rule in strict.rules if rule.step.route.sends]
    assert sending
    assert all(rule.ask and rule.step == Step(Route.SKETCH, Level.KIND) for rule in sending)
    offline = load("preset:offline")
    assert offline.models.cloud is None
    assert not offline.policy().rules
    assert load("preset:observe").policy().observe
    assert load("preset:observe").routing == load("preset:default").routing


def test_the_schema_accepts_the_design_file_and_refuses_a_misspelt_signal() -> None:
    """An editor with the schema marks what `policy check` would."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    data = yaml_lines.parse(DESIGN, "design").data
    jsonschema.validate(data, schema)
    for old, new in (("kind: [inv", "knd: [inv"), ("tier:", "teir:"), ("gt: 4000", "gtt: 4000")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml_lines.parse(DESIGN.replace(old, new), "design").data, schema)
    assert json.loads(json.dumps(schema)) == schema


def test_where_a_policy_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable comes first, then the user's own file, then the preset `default`."""
    monkeypatch.setattr(configs, "user_file", lambda: tmp_path / "config.yaml")
    assert load(None).source == "preset:default"
    (tmp_path / "config.yaml").write_text("limits: {max_chars: 200}")
    assert load(None).limits.max_chars == 200
    monkeypatch.setenv("COGENESIS_CONFIG", "preset:strict")
    assert load(None).source == "preset:strict"
    monkeypatch.setenv("COGENESIS_CONFIG", str(tmp_path / "gone.yaml"))
    assert "No such file" in complaint(None)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container whose user id is in no table: no traceback, and full paths are all it takes."""

    def nobody(_: object) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "COGENESIS_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("COGENESIS_CACHE", raising=False)
    for source in (None, "preset:default", "~/policy.yaml"):
        assert "set HOME" in complaint(source)
    with pytest.raises(ConfigError, match="COGENESIS_CACHE"):
        cache_dir()
    message = complaint(write(tmp_path, "store:\n  path: ~/data"))
    assert ":2: key 'store.path': no such home directory is known" in message
    assert load(write(tmp_path, f"store: {{path: {tmp_path}}}")).store.path == tmp_path


def test_unknown_presets_and_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset's name without its prefix, or misspelt, is met with the right one."""
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'strict'?" in complaint("preset:strickt")
    assert "did you mean 'preset:strict'?" in complaint("strict")
    assert "cannot be read" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a: [1, 2\nb: 3\n", ":2: no valid YAML"),
        (b"version: 1\n\xff\xfe", ":2: byte 11 is no UTF-8"),
        (b"- 1\n- 2\n", ":1: must be a mapping of keys"),
        (b"just words", ":1: must be a mapping of keys"),
        (b"x: !!python/object/apply:os.system ['true']\n", "no valid YAML"),
        (b"a: &a [*a]\n", "unfolds to more than|nested too deeply|no valid YAML"),
        (b"[" * 1000, "nested too deeply|no valid YAML"),
        (b"a: \x00", "no valid YAML"),
        (b"a: 2024-99-99\n", "no valid YAML"),
        (b"x" * 1_000_001, "is larger than"),
        (b"version: 1\n---\nversion: 1\n", "no valid YAML"),
    ],
)
def test_broken_files_end_in_one_clear_error(tmp_path: Path, raw: bytes, expected: str) -> None:
    """No bytes in a policy file cause anything but a ConfigError that names the file."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(raw)
    message = complaint(path)
    assert message.startswith(str(path))
    assert any(part in message for part in expected.split("|"))


def test_aliases_cannot_blow_up(tmp_path: Path) -> None:
    """A small file that unfolds to billions of entries is refused quickly."""
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "use fewer aliases" in complaint(write(tmp_path, "\n".join(rows)))


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "privacy:\nrouting:\n  decisions:\n"])
def test_empty_files_and_sections_mean_the_defaults(tmp_path: Path, text: str) -> None:
    """Sections that are commented out read as left out: local only, nothing sent."""
    config = load(write(tmp_path, text))
    assert config.models.cloud is None
    assert config.policy().default == Step(Route.LOCAL)


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """A policy file can be moved together with what it names, wherever the program is started."""
    text = (
        "store: {path: data, keys_path: keys}\npresidio: presidio.yaml\n"
        "models: {local: {path: m.gguf, chat_template: chatml}}"
    )
    config = load(write(tmp_path, text))
    assert config.store.path == tmp_path / "data"
    assert config.store.keys_path == tmp_path / "keys"
    assert config.presidio == tmp_path / "presidio.yaml"
    assert config.models.local.path == tmp_path / "m.gguf"
    assert load(write(tmp_path, "store: {path: ~/x}")).store.path == Path.home() / "x"


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ({"provider": "openai_compatible"}, "needs base_url"),
        ({"provider": "openai_compatible", "base_url": "https://gpu.example.com/v1"}, "trusted_endpoints"),
        (
            {
                "provider": "openai_compatible",
                "base_url": "http://127.0.0.1:11434/v1",
                "model": "x:120b-cloud",
            },
            "somebody else's",
        ),
        ({"provider": "openai_compatible", "base_url": "http://127.0.0.1/v1", "path": "x"}, "llama_cpp"),
        ({"base_url": "http://127.0.0.1/v1"}, "belong to provider openai_compatible"),
        ({"path": "x.gguf"}, "path needs chat_template"),
        ({"path": "x.gguf", "chat_template": "chatmi"}, "did you mean 'chatml'?"),
        ({"sha256": "0" * 64}, "describe a file given as path"),
        ({"path": "x.gguf", "chat_template": "chatml", "sha256": "ABC"}, "sha256"),
    ],
)
def test_local_models_that_cannot_be_meant(local: dict[str, Any], expected: str) -> None:
    """Private text goes to this process, to loopback, or to a listed endpoint, and nowhere else."""
    assert expected in complaint({"models": {"local": local}})


def test_trusted_endpoints_cover_one_origin() -> None:
    """Listing an endpoint trusts its scheme, host and port, and no other host of that name's ending."""
    local = {"provider": "openai_compatible", "base_url": "https://gpu.example.com/v1", "model": "m"}
    trust = {"trusted_endpoints": ["https://gpu.example.com"]}
    assert load({"models": {"local": local}, "privacy": trust}).privacy.trusts(
        "https://gpu.example.com:443/x"
    )
    for other in ("https://gpu.example.com.evil.org/v1", "https://gpu.example.com:8443/v1"):
        message = complaint({"models": {"local": local | {"base_url": other}}, "privacy": trust})
        assert "key 'models.local.base_url': private text goes there" in message
    server = {"store": {"server": {"base_url": "https://chroma.example.com"}}}
    assert "key 'store.server.base_url'" in complaint(server)


def test_a_chroma_server_gives_host_port_and_tls() -> None:
    """The store gets what its client needs from one URL."""
    server = load({"store": {"server": {"base_url": "http://localhost:8000"}}}).store.server
    assert server is not None
    assert (server.host, server.port, server.ssl) == ("localhost", 8000, False)


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://a.example",
        "https://",
        "https://a b.example",
        "https://a.example/v1?key=1",
        "https://a.example/#x",
        "https://a.example:99999",
        "http://127.0.0.1.example.com",
        "http://0.0.0.0:80",
        "http://localhost.example.com",
        "https://ex\u0430mple.com",
        "https://[::1",
        "https://user@a.example",
        "http://a.example\\@127.0.0.1",
        "http://2130706433/",
    ],
)
def test_odd_addresses_are_refused(url: str) -> None:
    """No address that two programs could read in two ways is accepted."""
    with pytest.raises(ValueError, match=r"must|plain http"):
        check_endpoint(url)


def test_addresses_are_compared_by_origin() -> None:
    """Default ports, letter case and paths do not make another endpoint."""
    assert origin("HTTPS://API.Example.com/v1") == origin("https://api.example.com:443")
    assert is_loopback("http://[::1]:8080/v1")
    assert is_loopback("http://127.9.9.9")
    assert check_endpoint("http://localhost:8080/v1/") == "http://localhost:8080/v1"


def test_a_cloud_off_this_machine_needs_a_key() -> None:
    """Only loopback goes without."""
    assert "needs api_key" in complaint({"models": {"cloud": {}}})
    stand_in = {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1"}
    assert load({"models": {"cloud": stand_in}}).models.cloud is not None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (decision(action={"route": "mask"}) | CAPPED, "rule 'one': mask has no bound in bits"),
        ({"routing": {"default": {"route": "sketch", "level": "free"}}} | CAPPED, "never fits under"),
        ({"privacy": {"mode": "observe"}}, "sends nothing"),
        (decision(action={"route": "cloud"}), "add {label: public}"),
        (decision(action={"route": "live"}) | LIVE, "65 bits of each text"),
        (
            decision(action={"route": "fuse", "form": "live"}) | LIVE | CAPPED_LOW,
            "the cloud's part ends early",
        ),
        (decision(action={"route": "live"}) | LIVE | {"privacy": {"ledger": LIMIT}}, "part after 3"),
        (decision(action={"route": "live"}) | LIVE | {"privacy": {"ledger": LIMIT}}, "take 27 requests"),
        (decision(action={"route": "live"}) | LIVE | TRUSTED, "sends it requests and texts"),
        ({"fuse": {"combiner_file": "/nowhere/at/all.json"}}, "there is no such file"),
        (decision(action={"route": "fuse"}) | SERVED, "route fuse needs llama_cpp"),
        (decision(), "no cloud model"),
        (decision(rules={"entity": "CREDIT_CRAD"}), "did you mean 'CREDIT_CARD'?"),
    ],
)
def test_warnings_say_what_may_surprise(source: dict[str, Any], expected: str) -> None:
    """A valid policy that may not do what its author thinks is accepted with a warning."""
    assert any(expected in warning for warning in load(source).warnings)


@pytest.mark.parametrize(
    ("action", "step"),
    [
        ({"route": "fuse"}, Step(Route.FUSE, Level.TOPIC)),
        ({"route": "fuse", "form": "draft", "level": "kind"}, Step(Route.FUSE, Level.KIND)),
        ({"route": "fuse", "form": "live", "level": "kind"}, Step(Route.LIVE, Level.KIND)),
        ({"route": "live"}, Step(Route.LIVE, Level.TOPIC)),
    ],
)
def test_the_forms_of_fuse_are_steps_of_their_own(action: dict[str, Any], step: Step) -> None:
    """In a rule, after a failure and by default."""
    config = load(decision(action=action) | LIVE)
    assert config.policy().rules[0].step == step
    assert load({"routing": {"default": action}} | LIVE).policy().default == step
    after = load(decision(action={"route": "mask"}, on_failure=[action]) | LIVE).policy()
    assert after.rules[0].on_failure == (step,)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (decision(action={"route": "live"}), "fuse.live.allow"),
        (decision(action={"route": "fuse", "form": "live"}), "routing.decisions[0].action"),
        (decision(action={"route": "mask"}, on_failure=[{"route": "live"}]), "on_failure[0]"),
        ({"routing": {"default": {"route": "live"}}}, "routing.default"),
        (decision(action={"route": "live", "ask": True}) | LIVE, "nobody can be asked first"),
        (decision(action={"route": "live", "level": "free"}) | LIVE, "tells topic or kind"),
        (decision(action={"route": "sketch", "form": "live"}), "form belongs to route fuse"),
        (decision(action={"route": "fuse", "form": "lively"}), "'live'"),
        (decision(on_failure=[{"form": "live", "level": "kind"}]), "form belongs to route fuse"),
        ({"fuse": {"combiner": "paper"}}, "needs combiner_file"),
        ({"fuse": {"combiner": "leraned"}}, "did you mean 'learned'?"),
        ({"fuse": {"live": {"max_nats": 0}}}, "fuse.live.max_nats"),
    ],
)
def test_what_fuse_does_not_take(source: dict[str, Any], expected: str) -> None:
    """Form live is switched on apart from being named; what it cannot do is refused with the fix."""
    assert expected in complaint(source)


def test_no_shipped_policy_allows_form_live() -> None:
    """Strict says so in so many words."""
    assert not any(load(f"preset:{name}").fuse.live.allow for name in PRESETS)
    assert "live: {allow: false}" in preset_text("strict")


def test_a_cap_in_bits_that_every_step_can_meet_is_no_surprise() -> None:
    """Nor is one in requests, whatever the route."""
    for source in (decision() | CAPPED, decision(action={"route": "mask"}) | {"privacy": {"ledger": LIMIT}}):
        assert not any("bits" in warning for warning in load(source).warnings)


def test_entities_of_ones_own_recognisers_are_known() -> None:
    """A rule may name what the user's Presidio section defines."""
    own = {"recognizer_registry": {"recognizers": [{"name": "Staff", "supported_entity": "STAFF_ID"}]}}
    source = decision(rules={"entity": "STAFF_ID"}) | {"presidio": own}
    assert not any("STAFF_ID" in warning for warning in load(source).warnings)


def test_kinds_of_ones_own_may_stand_in_rules() -> None:
    """The vocabulary section extends what rules may name."""
    source = decision(rules={"kind": "haiku-battle"})
    assert "no kind of the vocabulary" in complaint(source)
    load(source | {"vocabulary": {"kinds": {"haiku-battle": "two people trade short poems"}}})


def test_a_config_is_frozen_and_given_back_as_it_is() -> None:
    """`load` of a Config changes nothing, and nothing changes a Config."""
    config = load({})
    assert load(config) is config
    with pytest.raises(ValueError, match="frozen"):
        config.version = 1  # type: ignore[misc]


def test_a_config_built_in_code_is_checked_too() -> None:
    """`policy()` refuses what `load` would have refused."""
    with pytest.raises(ConfigError, match="did you mean 'kind'"):
        Config.model_validate(decision(rules={"knd": "email"})).policy()


def test_an_unknown_local_model_is_named_with_its_neighbour() -> None:
    """A model that the catalogue does not have is said at load, not at the first request."""
    found = load({"version": 1, "models": {"local": {"model": "qwen2.5-coder-1.5b-instrct"}}}).warnings
    assert any("did you mean 'qwen2.5-coder-1.5b-instruct'" in warning for warning in found)
