"""The gate under fire: calls of tools, limits, rules by endpoint, observe mode, false alarms."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.commands import receipts
from cogenesis_langchain.config import load
from cogenesis_langchain.egress import Gate, GateTransport
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import ConfigError, GateError, GateHit, InputError
from cogenesis_langchain.gate.allow import AllowList
from cogenesis_langchain.gate.findings import private_spans
from cogenesis_langchain.gate.permit import Call, Permit, Tally, passing
from cogenesis_langchain.gate.shape import parse
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.testing import FakeDetector, RecordingCloud, Reply, canaries, leaked
from cogenesis_langchain.types import (
    CloudMessage,
    CloudToolCall,
    KnownValue,
    Outbound,
    PrivateSpan,
    Sendable,
)
from tests.conftest import USER, routed

PERSON = "Quillon Vexmoor"
BLIND = FakeDetector(patterns={})
EngineMaker = Callable[..., Engine]


@pytest.fixture
def make(audit: Audit, server: RecordingCloud) -> Callable[..., Cloud]:
    """Clouds at the recording server, with a `privacy.gate` section as keywords."""

    def build(**gate: Any) -> Cloud:
        config = CloudModelConfig(
            provider="openai_compatible", model="stand-in", base_url=server.base_url, timeout_s=5
        )
        return Cloud(config, audit=audit, gate=GateConfig(**gate))

    return build


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("cogenesis_langchain.cloud._WAIT_S", 0.001)


def permit(outbound: Outbound, **changes: Any) -> Permit:
    """A permit for exactly `outbound`, with the canaries known and a detector that finds nothing."""
    plain: dict[str, Any] = {"route": "mask", "known": KnownValues(canaries()), "detector": BLIND}
    return Permit(outbound.sha256, outbound.endpoint, **(plain | changes))


def hidden(text: str) -> Sendable:
    """Text as the mask route sends it."""
    return Sendable(text, "hide")


def conversation(arguments: str, result: str = "done", name: str = "send_mail") -> list[CloudMessage]:
    """A question, a call of a tool, its answer, and a word of thanks."""
    return [
        CloudMessage("user", (hidden("Please write to [[P1]]."),)),
        CloudMessage("assistant", (), (CloudToolCall("call_1", name, hidden(arguments)),)),
        CloudMessage("tool", (hidden(result),), tool_call_id="call_1"),
        CloudMessage("user", (hidden("Thanks."),)),
    ]


# --- calls of tools -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_tools_arrive_byte_for_byte(
    server: RecordingCloud, make: Callable[..., Cloud], stream: bool
) -> None:
    """What was prepared is what the server reads: call, arguments as a string, answer, content null."""
    cloud = make()
    outbound = cloud.prepare(
        conversation('{"to": "[[P1]]", "n": 2, "ok": true, "é": [null]}', "{}"), stream=stream
    )
    assert cloud.send(outbound, permit(outbound))
    assert asyncio.run(cloud.asend(outbound, permit(outbound)))
    assert server.bodies == [outbound.body.encode()] * 2
    _, call, answer, _ = server.requests[0].json()["messages"]
    function = {"name": "send_mail", "arguments": '{"to": "[[P1]]", "n": 2, "ok": true, "é": [null]}'}
    assert call == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "id": "call_1", "function": function}],
    }
    assert answer == {"role": "tool", "content": "{}", "tool_call_id": "call_1"}


PLACES = {
    "value": conversation('{"to": "Quillon Vexmoor"}'),
    "key": conversation('{"Quillon Vexmoor": 1}'),
    "key and value": conversation('{"Quillon": "Vexmoor"}'),
    "deep inside": conversation('{"a": [{"b": [["x", "quillon_vexmoor"]]}]}'),
    "escaped twice": conversation('{"to": "\\u0051uillon\\u0020Vexmoor"}'),
    "JSON within a string of JSON": conversation('{"body": "{\\"to\\": \\"Qu\\\\u0069llon Vexmoor\\"}"}'),
    "number": conversation('{"phone": 447700900417}'),
    "name of the tool": conversation("{}", name="mail_QuillonVexmoor"),
    "answer": conversation("{}", "sent to Quillon Vexmoor"),
    "answer in JSON": conversation("{}", '{"to": "Quill\\u006fn Vexmoor"}'),
    "key twice in an answer": conversation("{}", '{"to": "Quillon Vexmoor", "to": "nobody"}'),
    "call and answer": conversation('{"first": "Quillon"}', "Vexmoor"),
    "id of a call": [CloudMessage("assistant", (), (CloudToolCall("QuillonVexmoor", "f", hidden("{}")),))],
    "id of an answer": [CloudMessage("tool", (hidden("x"),), tool_call_id="QuillonVexmoor")],
}


@pytest.mark.parametrize("place", sorted(PLACES))
def test_a_known_value_anywhere_in_a_call_is_a_hit(
    server: RecordingCloud, make: Callable[..., Cloud], audit: Audit, place: str
) -> None:
    """Every string and key is read, as it stands and decoded; nothing leaves, the hit is on record."""
    cloud = make()
    outbound = cloud.prepare(PLACES[place])
    with pytest.raises(GateHit) as caught:
        cloud.send(outbound, permit(outbound))
    assert caught.value.spans
    assert server.requests == []
    assert len(audit.refusals()) == 1


LEAF = st.text(max_size=12) | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()
TREE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def planted(tree: Any, path: list[int], value: str) -> Any:
    """`tree` with `value` put in it somewhere: `path` chooses the branches, and key or value."""
    turn = path[0] if path else 0
    if isinstance(tree, dict):
        if not tree or turn % 3 == 0:
            return {**tree, value: "x"}
        key = list(tree)[turn % len(tree)]
        return {**tree, key: planted(tree[key], path[1:], value)}
    if isinstance(tree, list):
        if not tree or turn % 3 == 0:
            return [*tree, value]
        at = turn % len(tree)
        return [*tree[:at], planted(tree[at], path[1:], value), *tree[at + 1 :]]
    return value


@settings(max_examples=60)
@given(
    tree=st.dictionaries(st.text(max_size=6), TREE, max_size=3),
    path=st.lists(st.integers(0, 5), max_size=5),
    ascii_only=st.booleans(),
    result=st.booleans(),
)
def test_wherever_a_value_is_planted_it_is_found(
    tree: dict[str, Any], path: list[int], ascii_only: bool, result: bool
) -> None:
    """In arguments and answers of any shape, escaped or not, the span covers the value exactly."""
    text = json.dumps(planted(tree, path, "Zoë Vexmoor"), ensure_ascii=ascii_only)
    calls = [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}" if result else text}}
    ]
    messages = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": text if result else "", "tool_call_id": "c"},
    ]
    body = json.dumps({"messages": messages, "model": "m"}, ensure_ascii=ascii_only).encode()
    chat = parse(body)
    known = KnownValues([KnownValue("Zoë Vexmoor", "PERSON", "declared")])
    allowed = permit(Outbound("", ""), known=known)
    spans = private_spans(chat, allowed, AllowList(()), 0.5)
    said = [chat.texts[s.message][s.start : s.end] for s in spans if s.message < len(chat.texts)]
    assert "Zoë Vexmoor" in said


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to": "ada\\u0040example.org"}',
        '{"body": "{\\"to\\": \\"ada\\\\u0040example.org\\"}"}',
        '{"ada\\u0040example.org": null}',
    ],
    ids=["value", "JSON in a string", "key"],
)
def test_the_detector_reads_arguments_decoded(
    server: RecordingCloud, make: Callable[..., Cloud], arguments: str
) -> None:
    """An escaped mail address in the arguments is an address, at its place in the message's text."""
    cloud = make()
    outbound = cloud.prepare(conversation(arguments))
    with pytest.raises(GateHit) as caught:
        cloud.send(outbound, permit(outbound, detector=FakeDetector()))
    (span,) = caught.value.spans
    assert (span.type, span.message) == ("EMAIL_ADDRESS", 1)
    assert parse(outbound.body.encode()).texts[1][span.start : span.end] == "ada@example.org"
    assert server.requests == []


class Odd:
    """Known values that find something without saying well where."""

    def __init__(self, start: int, end: int) -> None:
        self.place = start, end

    def find(self, text: str) -> list[PrivateSpan]:
        """One span, at a place that may not exist."""
        return [PrivateSpan("PERSON", *self.place, 1.0, "known")]


@pytest.mark.parametrize("place", [(0, 0), (5, 2), (10_000, 10_005)], ids=str)
def test_a_hit_without_a_place_is_a_hit(
    server: RecordingCloud, make: Callable[..., Cloud], place: tuple[int, int]
) -> None:
    """Whatever the matcher says of where: found is found, and nothing leaves."""
    cloud = make()
    outbound = cloud.prepare([CloudMessage("user", (hidden("x"),))])
    with pytest.raises(GateError):
        cloud.send(outbound, permit(outbound, known=Odd(*place)))
    assert server.requests == []


def call(**changes: Any) -> dict[str, Any]:
    """A call of a tool as it stands in a body."""
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}} | changes


def said(**changes: Any) -> dict[str, Any]:
    """An assistant's message that calls a tool."""
    return {"role": "assistant", "content": None, "tool_calls": [call()]} | changes


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None},
        {"role": "user", "content": None},
        {"role": "user", "content": "x", "tool_calls": [call()]},
        {"role": "assistant", "content": "x", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "content": "x", "audio": {"id": "a"}},
        {"role": "tool", "content": "x"},
        {"role": "tool", "content": None, "tool_call_id": "c"},
        {"role": "tool", "content": "x", "tool_call_id": "two words"},
        {"role": "tool", "content": "x", "tool_call_id": 7},
        {"role": "tool", "content": "x", "tool_call_id": "c", "name": "dana"},
        {"role": "function", "content": "x", "name": "f"},
        {"content": "x"},
        said(tool_calls=[]),
        said(tool_calls={}),
        said(tool_calls=["f"]),
        said(name="dana"),
        said(tool_calls=[call(index=0)]),
        said(tool_calls=[call(type="custom")]),
        said(tool_calls=[call(id="x" * 65)]),
        said(tool_calls=[call(function={"name": "f"})]),
        said(tool_calls=[call(function={"name": "two words", "arguments": "{}"})]),
        said(tool_calls=[call(function={"name": "f", "arguments": {}})]),
        said(tool_calls=[call(function={"name": "f", "arguments": "[]"})]),
        said(tool_calls=[call(function={"name": "f", "arguments": "{'a': 1}"})]),
        said(tool_calls=[call(function={"name": "f", "arguments": "{}", "strict": True})]),
    ],
    ids=lambda message: json.dumps(message)[:70],
)
def test_other_shapes_are_refused(server: RecordingCloud, audit: Audit, message: dict[str, Any]) -> None:
    """Whatever a body could hold that the gate does not read is refused, permit or not."""
    body = json.dumps({"messages": [message], "model": "stand-in"}).encode()
    with pytest.raises(GateError, match="holds something else"):
        knock(server, audit, body)
    assert server.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"role": "user", "content": "x"}], "model": "stand-in", "tools": []}',
        b'{"messages": [{"role": "user", "content": "x"}], "model": "stand-in", "tool_choice": "auto"}',
        b'{"messages": [{"role": "user", "content": "x"}], "model": "stand-in", "response_format": {}}',
        b'{"messages": [], "model": "stand-in"}',
        b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b', "model": "stand-in"}',
        b'{"messages": [{"role": "user", "role": "tool", "content": "x"}], "model": "stand-in"}',
    ],
    ids=["tools", "tool_choice", "response_format", "no message", "nested deeply", "two roles"],
)
def test_other_bodies_are_refused(server: RecordingCloud, audit: Audit, body: bytes) -> None:
    """Definitions of tools and whatever else a later version may send are not read, so they do not pass."""
    with pytest.raises(GateError):
        knock(server, audit, body, max_body_bytes=1_000_000)
    assert server.requests == []


def knock(server: RecordingCloud, audit: Audit, body: bytes, **gate: Any) -> None:
    """These bytes at the door, with a permit for exactly them."""
    config = CloudModelConfig(provider="openai_compatible", model="stand-in", base_url=server.base_url)
    door = Gate(config, audit, GateConfig(**gate))
    allowed = Permit(
        hashlib.sha256(body).hexdigest(), str(door.url), "mask", KnownValues(canaries()), FakeDetector()
    )
    with passing(Call(allowed, 1e12)):
        GateTransport(door).handle_request(httpx.Request("POST", door.url, content=body))


def test_nested_text_is_read_in_linear_time(make: Callable[..., Cloud]) -> None:
    """A message of brackets is a text like any other: no error, no stack that overflows."""
    cloud = make()
    outbound = cloud.prepare([CloudMessage("user", (hidden("[" * 20_000 + "]" * 20_000),))])
    assert cloud.send(outbound, permit(outbound))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (CloudMessage("user", (hidden("x"),), (CloudToolCall("c", "f", hidden("{}")),)), GateError),
        (CloudMessage("user", (hidden("x"),), tool_call_id="c"), GateError),
        (CloudMessage("tool", (hidden("x"),)), GateError),
        (CloudMessage("assistant", (), (CloudToolCall("c", "f", hidden("[1]")),)), GateError),
        (CloudMessage("assistant", (), (CloudToolCall("c", "f", hidden(PERSON)),)), GateError),
        (CloudMessage("assistant", (), (CloudToolCall("c", "f", hidden('{"a": "\\ud83d"}')),)), InputError),
        (CloudMessage("function", (hidden("x"),)), GateError),  # type: ignore[arg-type]
    ],
    ids=["user calls", "user answers", "answer to nothing", "list", "no JSON", "half a character", "role"],
)
def test_messages_that_are_none_are_refused_when_built(
    make: Callable[..., Cloud], message: CloudMessage, error: type[Exception]
) -> None:
    """Nothing is left out silently: what cannot be sent as it is meant is an error, without its text."""
    with pytest.raises(error) as caught:
        make().prepare([message])
    assert leaked(repr(caught.value) + repr(caught.value.__context__)) == []


class Counting:
    """Known values that count their searches."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def find(self, text: str) -> list[PrivateSpan]:
        """Nothing, and one more search."""
        self.texts.append(text)
        return []


def test_one_search_and_one_look_at_each_message(make: Callable[..., Cloud]) -> None:
    """However many messages: known values are searched once, and no message is detected in twice."""
    cloud, known, detector = make(), Counting(), FakeDetector(patterns={})
    messages = [CloudMessage("user", (hidden(f"number {n}"),)) for n in range(30)]
    outbound = cloud.prepare(messages)
    cloud.send(outbound, permit(outbound, known=known, detector=detector))
    assert len(known.texts) == 1
    assert detector.seen == [f"number {n}" for n in range(30)]


# --- limits ---------------------------------------------------------------------------------------------


def test_too_many_messages_are_refused_when_built(make: Callable[..., Cloud]) -> None:
    """`max_messages` counts them all."""
    cloud = make(max_messages=2)
    one = CloudMessage("user", (hidden("x"),))
    assert cloud.prepare([one] * 2)
    with pytest.raises(GateError, match="max_messages, 2"):
        cloud.prepare([one] * 3)


@pytest.mark.parametrize("run", ["sync", "async"])
def test_attempts_count_as_requests_of_the_run(audit: Audit, make: Callable[..., Cloud], run: str) -> None:
    """A cloud that is always busy sees no more requests than one run may send."""
    with RecordingCloud(default=Reply.error(503)) as busy:
        config = CloudModelConfig(provider="openai_compatible", model="m", base_url=busy.base_url)
        cloud = Cloud(config, audit=audit, gate=GateConfig(max_requests_per_run=2))
        outbound = cloud.prepare([CloudMessage("user", (hidden("x"),))])
        allowed = permit(outbound, run=Tally())
        with pytest.raises(GateError, match="max_requests_per_run, 2"):
            asyncio.run(cloud.asend(outbound, allowed)) if run == "async" else cloud.send(outbound, allowed)
        assert len(busy.requests) == 2
    assert len(audit.receipts()) == 2


def test_the_minute_counts_all_runs(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """`max_requests_per_minute` is for the process, not for one run."""
    cloud = make(max_requests_per_minute=2)
    outbound = cloud.prepare([CloudMessage("user", (hidden("x"),))])
    cloud.send(outbound, permit(outbound))
    cloud.send(outbound, permit(outbound))
    with pytest.raises(GateError, match="max_requests_per_minute"):
        cloud.send(outbound, permit(outbound))
    assert len(server.requests) == 2


def test_a_minute_passes() -> None:
    """What is older than the window counts no more; what was refused never did."""
    tally = Tally(0.0)
    assert all(tally.take(1) for _ in range(3))
    tally = Tally()
    assert [tally.take(2) for _ in range(4)] == [True, True, False, False]
    assert len(tally) == 2
    assert tally.take(None)


def test_a_run_over_its_limit_is_answered_here(make_engine: EngineMaker) -> None:
    """The limit holds for a whole run of the router, fallbacks included, and each run has its own."""
    with RecordingCloud(default=Reply("This is no sketch.")) as useless:
        models = {
            "cloud": {"provider": "openai_compatible", "model": "stand-in", "base_url": useless.base_url}
        }
        routing = routed("sketch")
        routing["decisions"][0]["on_failure"] = [{"level": "kind"}, {"route": "local"}]
        engine = make_engine(models=models, routing=routing, privacy={"gate": {"max_requests_per_run": 1}})
        router = create_privacy_router(engine=engine, user_id=USER)
        for runs in (1, 2):
            found = router.invoke("Write an invitation to my birthday party.")
            assert (found["route"], len(useless.requests)) == ("local", runs)
            assert any("max_requests_per_run" in reason for reason in found["reasons"])


# --- rules by endpoint ----------------------------------------------------------------------------------

URL = "https://api.example.com/v1"
TIGHT = {
    "min_score": 0.2,
    "on_hit": "block",
    "routes": ["sketch"],
    "max_body_bytes": 4096,
    "max_messages": 3,
    "max_requests_per_run": 1,
    "max_requests_per_minute": 5,
}
LOOSE = {
    "min_score": 0.9,
    "on_hit": "local",
    "routes": ["cloud"],
    "max_body_bytes": 9_000_000,
    "max_messages": 999,
    "max_requests_per_run": 99,
    "max_requests_per_minute": 99,
}


def config_with(**gate: Any) -> dict[str, Any]:
    """A policy whose cloud is at URL."""
    cloud = {"model": "m", "base_url": URL, "api_key": "os.environ/HOME"}
    return {"version": 1, "models": {"cloud": cloud}, "privacy": {"gate": gate}}


def test_an_endpoint_may_be_tighter() -> None:
    """Its own values hold there; what it leaves out is as in privacy.gate; elsewhere nothing changes."""
    gate = load(config_with(max_messages=9, endpoints={URL + "/": TIGHT})).privacy.gate
    there = gate.at(URL)
    assert all(getattr(there, name) == (tuple(v) if name == "routes" else v) for name, v in TIGHT.items())
    assert gate.at("https://other.example/v1") == gate
    partly = load(config_with(max_messages=9, endpoints={URL: {"min_score": 0.1}})).privacy.gate.at(URL)
    assert (partly.min_score, partly.max_messages, partly.on_hit) == (0.1, 9, "local")


@pytest.mark.parametrize("name", sorted(LOOSE))
def test_an_endpoint_is_never_looser(name: str) -> None:
    """Each of its values is refused where the general one is tighter, with the key's whole path."""
    general = {"routes": ["sketch", "mask"], "max_requests_per_minute": 10, "on_hit": "block"}
    with pytest.raises(ConfigError, match="only be tighter") as caught:
        load(config_with(**general, endpoints={URL: {name: LOOSE[name]}}))
    assert f"privacy.gate.endpoints.{URL}.{name}" in str(caught.value)


def test_rules_for_no_endpoint_of_the_file_are_an_error() -> None:
    """A typo in the address would loosen the gate without a word."""
    with pytest.raises(ConfigError, match="no model of this file is there"):
        load(config_with(endpoints={"https://api.exmaple.com/v1": TIGHT}))
    with pytest.raises(ConfigError, match="did you mean 'max_messages'"):
        load(config_with(endpoints={URL: {"max_mesages": 3}}))


def test_routes_that_an_endpoint_does_not_take(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Whatever the rules of routing decide, the gate holds what may go there."""
    cloud = make(endpoints={server.base_url: {"routes": ["sketch"]}})
    outbound = cloud.prepare([CloudMessage("user", (hidden("x"),))])
    assert cloud.send(outbound, permit(outbound, route="sketch"))
    with pytest.raises(GateError, match="no request of route mask"):
        cloud.send(outbound, permit(outbound, route="mask"))
    assert len(server.requests) == 1


def test_the_endpoints_own_score_and_limit_hold(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """A weak finding passes the general rule and not the endpoint's."""
    weak = FakeDetector(score=0.3)
    messages = [CloudMessage("user", (hidden("Write to Perdita Snell."),))]
    general, own = make(), make(endpoints={server.base_url: {"min_score": 0.25}})
    outbound = general.prepare(messages)
    assert general.send(outbound, permit(outbound, detector=weak))
    with pytest.raises(GateHit):
        own.send(outbound, permit(outbound, detector=weak))


# --- observe --------------------------------------------------------------------------------------------

PUBLIC = RouterContext(user_id=USER, label="public")
SPLIT = [
    {"role": "user", "content": "I am Quillon"},
    {"role": "assistant", "content": "Vexmoor, hello"},
    {"role": "user", "content": "And now?"},
]
"""A known value over two messages: no message holds it alone, the body does."""


def test_observe_records_what_would_leave_and_what_would_not(
    make_engine: EngineMaker, cloud: RecordingCloud, tmp_path: Path
) -> None:
    """Both are written down without a body or a value, shown in the state, and nothing leaves."""
    engine = make_engine(
        {"detector": BLIND},
        routing=routed("cloud"),
        privacy={"mode": "observe"},
        store={"path": str(tmp_path)},
    )
    router = create_privacy_router(engine=engine)
    clean = router.invoke("How long do eggs boil?", context=PUBLIC)
    stopped = router.invoke(SPLIT, context=PUBLIC)
    assert cloud.requests == []
    passed, refused = engine.audit.observations(USER)
    assert engine.audit.receipts() == engine.audit.refusals() == []
    assert (passed.receipt.route, passed.receipt.status, passed.reason) == ("cloud", "observed", None)
    assert passed.receipt.body_sha256 == clean["outbound"][0]["sha256"]
    assert "private values" in str(refused.reason)
    assert {(span.type, span.source, span.message) for span in refused.spans} == {
        ("PERSON", "known", 0),
        ("PERSON", "known", 1),
    }
    assert [entry["status"] for entry in clean["receipts"] + stopped["receipts"]] == ["observed"] * 2
    assert (stopped["outbound"], len(stopped["stopped"])) == ([], 1)
    assert any("would let it through" in reason for reason in clean["reasons"])
    assert any("would be stopped" in reason for reason in stopped["reasons"])
    assert (stopped["route"], bool(stopped["text"])) == ("local", True)
    assert engine.audit.verify().ok
    on_disk = b"".join(file.read_bytes() for file in (tmp_path / "audit").rglob("*") if file.is_file())
    assert leaked(on_disk) == []


def test_receipts_show_what_was_observed(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cogenesis receipts` lists them beside what left, for people and for machines."""
    outbound = Outbound("http://x", "{}")
    span = PrivateSpan("PERSON", 0, 3, 1.0, "known")
    told: dict[str, Any] = {"route": "mask", "level": None, "bits": None, "user": USER}
    audit.observed(outbound, **told)
    audit.observed(outbound, **told, reason="a private value", spans=[span])
    monkeypatch.setattr(receipts, "load_engine", lambda *_, **__: SimpleNamespace(audit=audit))
    app = typer.Typer()
    app.command()(receipts.receipts)
    shown = CliRunner().invoke(app, []).output
    assert "Nothing has left this machine." in shown
    assert "observed  mask  would have been sent: nothing left" in shown
    assert "observed  mask  a private value (PERSON): nothing left" in shown
    document = json.loads(CliRunner().invoke(app, ["--json", "--verify"]).stdout)
    assert [entry["status"] for entry in document["observed"]] == ["observed"] * 2
    assert document["observed"][1]["spans"][0]["type"] == "PERSON"
    assert (document["receipts"], document["refusals"], document["verify"]["ok"]) == ([], [], True)


def test_observe_says_so_where_it_cannot_record(make_engine: EngineMaker, tmp_path: Path) -> None:
    """A broken log is a warning: nothing left anyway, and the text is written here."""
    engine = make_engine(
        {"detector": BLIND},
        routing=routed("cloud"),
        privacy={"mode": "observe"},
        store={"path": str(tmp_path)},
    )
    router = create_privacy_router(engine=engine)
    router.invoke("How long do eggs boil?", context=PUBLIC)
    engine.audit._chain.head_path.unlink()
    found = router.invoke("How long do eggs boil?", context=PUBLIC)
    assert any("receipts" in warning for warning in found["warnings"])
    assert found["text"]


def test_a_dry_run_asks_the_gate(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """What would be stopped is no outbound of a dry run; neither log nor thread hear of it."""
    engine = make_engine({"detector": BLIND}, routing=routed("cloud"))
    found = create_privacy_router(engine=engine).invoke(
        SPLIT, context=RouterContext(user_id=USER, label="public", dry_run=True)
    )
    assert (found["route"], found["outbound"]) == ("local", [])
    assert [span["type"] for span in found["stopped"][0]["spans"]] == ["PERSON"] * 2
    assert cloud.requests == []
    assert engine.audit.refusals() == engine.audit.observations() == []


def test_what_the_gate_stopped_is_no_outbound(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The state of a real run tells apart what left from what was stopped, and where in it."""
    engine = make_engine({"detector": BLIND}, routing=routed("cloud"))
    found = create_privacy_router(engine=engine).invoke(SPLIT, context=PUBLIC)
    assert (found["route"], found["outbound"], cloud.requests) == ("local", [], [])
    (stopped,) = found["stopped"]
    texts = parse(stopped["body"].encode()).texts
    spans = [PrivateSpan(**span) for span in stopped["spans"]]
    assert [texts[s.message][s.start : s.end] for s in spans] == ["Quillon", "Vexmoor"]
    assert len(engine.audit.refusals(USER)) == 1


def test_on_hit_may_block(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """An endpoint's own `on_hit` decides what becomes of the request."""
    gate = {"endpoints": {cloud.base_url: {"on_hit": "block"}}}
    engine = make_engine({"detector": BLIND}, routing=routed("cloud"), privacy={"gate": gate})
    found = create_privacy_router(engine=engine).invoke(SPLIT, context=PUBLIC)
    assert (found["route"], found["text"], cloud.requests) == ("block", None, [])


# --- false alarms ---------------------------------------------------------------------------------------

ALARM = "Give me three facts about Perdita Snell, please."


@pytest.mark.parametrize("spelt", ["Perdita Snell", "PERDITA SNELL", "perdita-snell", "perdita\u200bsnell"])
def test_an_allowed_finding_passes_in_any_spelling(
    make_engine: EngineMaker, cloud: RecordingCloud, spelt: str
) -> None:
    """Rules and gate both take it for no finding: the text goes as the rules say."""
    routing = routed("cloud")
    routing["decisions"][0]["rules"]["all"].append({"spans": 0})
    alone, freed = (
        create_privacy_router(engine=make_engine(routing=routing, privacy={"gate": {"allow": allow}}))
        for allow in ([], [spelt])
    )
    assert alone.invoke(ALARM, context=PUBLIC)["route"] == "local"
    assert cloud.requests == []
    found = freed.invoke(ALARM, context=PUBLIC)
    assert (found["route"], found["spans"], len(cloud.requests)) == ("cloud", [], 1)


def test_the_allow_list_is_masked_no_more(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """On the mask route an allowed finding stays readable, another does not."""
    engine = make_engine(routing=routed("mask"), privacy={"gate": {"allow": ["Perdita Snell"]}})
    create_privacy_router(engine=engine).invoke(f"{ALARM} And Ravi Okonedo.", context=PUBLIC)
    (body,) = cloud.bodies
    assert b"Perdita Snell" in body
    assert b"Ravi" not in body


@pytest.mark.parametrize("allow", [PERSON, "Perdita"], ids=["a known value", "a part of a finding"])
def test_the_allow_list_frees_no_more_than_it_says(
    make_engine: EngineMaker, cloud: RecordingCloud, allow: str
) -> None:
    """A known value is never allowed by it, nor a longer finding that holds an allowed text."""
    asked, source = (f"About {PERSON}.", "known") if allow == PERSON else (ALARM, "fake")
    detector = BLIND if allow == PERSON else FakeDetector()
    engine = make_engine(
        {"detector": detector}, routing=routed("cloud"), privacy={"gate": {"allow": [allow]}}
    )
    found = create_privacy_router(engine=engine).invoke(asked, context=PUBLIC)
    assert (found["route"], cloud.requests) == ("local", [])
    assert [span["source"] for span in found["spans"]] == [source]


def test_an_empty_allowance_is_an_error() -> None:
    """A text without a letter would allow nothing, or be taken to allow all."""
    with pytest.raises(ConfigError, match=r"privacy\.gate\.allow'.*without a letter"):
        load({"privacy": {"gate": {"allow": ["..."]}}})


def test_nothing_of_the_lists_is_printed() -> None:
    """Neither a config nor an allow-list says in its repr what it allows."""
    gate = GateConfig(allow=(PERSON,))
    assert leaked(repr(gate) + repr(AllowList(gate.allow))) == []


# --- a thread that was not decided about ------------------------------------------------------------------


def _dry(router: Any, thread: Any) -> None:
    router.invoke("the diary of my mother", thread, context=RouterContext(user_id=USER, dry_run=True))


def _interrupted(router: Any, thread: Any) -> None:
    router.engine.detector.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        router.invoke("the diary of my mother", thread, context=RouterContext(user_id=USER))
    router.engine.detector.error = None


@pytest.mark.parametrize("before", [_dry, _interrupted])
@pytest.mark.parametrize("first", ["", "public"])
def test_a_label_frees_no_text_of_an_earlier_run(
    make_engine: EngineMaker, cloud: RecordingCloud, before: Callable[..., None], first: str
) -> None:
    """What came in with a run that decided nothing was never labelled: a later label is not about it."""
    engine = make_engine({"detector": FakeDetector(patterns={})}, routing=routed("cloud"))
    router = create_privacy_router(engine=engine, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    public = RouterContext(user_id=USER, label="public")
    if first:
        assert router.invoke("a poem about rain", thread, context=public)["route"] == "cloud"
    before(router, thread)
    found = router.invoke("a poem about snow", thread, context=public)
    assert found["route"] == "local"
    assert "no decision was about" in found["reasons"][-1]
    assert not any(b"diary" in body for body in cloud.bodies)


def test_a_public_thread_stays_public(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Answers, asking dryly first, and the next turns are no strays."""
    engine = make_engine({"detector": FakeDetector(patterns={})}, routing=routed("cloud"))
    router = create_privacy_router(engine=engine, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    for number, said in enumerate(("a poem about rain", "shorter", "and longer"), 1):
        dry = RouterContext(user_id=USER, label="public", dry_run=True)
        assert router.invoke(said, thread, context=dry)["route"] == "cloud"
        found = router.invoke(said, thread, context=RouterContext(user_id=USER, label="public"))
        assert found["route"] == "cloud", found["reasons"]
        assert len(cloud.bodies) == number
