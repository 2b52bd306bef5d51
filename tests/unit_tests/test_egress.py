"""The gate, against real HTTP servers on loopback: what passes, what does not, what is on record."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.egress import AsyncGateTransport, Gate, GateTransport, Permit
from cogenesis_langchain.errors import (
    AuditError,
    CloudError,
    ConfigError,
    DetectorError,
    GateError,
    GateHit,
    InputError,
)
from cogenesis_langchain.gate.permit import Call, passing
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.sections import EnvironmentKey
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.sketch import sketch_messages
from cogenesis_langchain.testing import FakeDetector, RecordingCloud, Reply, canaries, leaked
from cogenesis_langchain.types import CloudMessage, Outbound, Sendable
from tests.conftest import SHORT

TASK = Sendable("Write an invitation about a birthday party.", "generalize")
CANARY = {known.type: known.value for known in canaries()}


@pytest.fixture
def make(audit: Audit) -> Callable[..., Cloud]:
    """Clouds at a base_url; `gate` as in the policy file, further settings as keywords."""

    def build(base_url: str, *, gate: dict[str, Any] | None = None, **settings: Any) -> Cloud:
        values = {"provider": "openai_compatible", "model": "stand-in", "timeout_s": 5, **settings}
        config = CloudModelConfig(base_url=base_url, **values)
        return Cloud(config, audit=audit, gate=GateConfig(**(gate or {})))

    return build


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("cogenesis_langchain.cloud._WAIT_S", 0.001)


def permit(outbound: Outbound, **changes: Any) -> Permit:
    """A permit for exactly `outbound`, with the canaries known."""
    plain = Permit(outbound.sha256, outbound.endpoint, "sketch", KnownValues(canaries()), FakeDetector())
    return replace(plain, user="dana", level="topic", bits=12.9, **changes)


def public(text: str) -> list[CloudMessage]:
    """One message that a caller labelled public."""
    return [CloudMessage("user", (Sendable(text, "public"),))]


def statuses(audit: Audit) -> list[str]:
    """Statuses of all receipts, oldest first."""
    return [entry.receipt.status for entry in audit.receipts()]


class Everything:
    """Collects whatever an error or a log could print."""

    @staticmethod
    def of(error: BaseException) -> str:
        """Traceback, message, repr, and those of every error chained to it."""
        chained = [e for e in (error.__cause__, error.__context__) if e is not None]
        return "".join(traceback.format_exception(error)) + repr(error) + "".join(map(Everything.of, chained))


# --- two phases ---------------------------------------------------------------------------------------


def test_prepare_sends_nothing(server: RecordingCloud, make: Callable[..., Cloud], audit: Audit) -> None:
    """Building the body contacts nobody and leaves no receipt."""
    outbound = make(server.base_url).prepare(sketch_messages(TASK))
    assert TASK.text in outbound.body
    assert server.requests == []
    assert audit.receipts() == []


def test_prepare_needs_no_network(make: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run works with every socket forbidden."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    assert make("https://api.example.com/v1", api_key=EnvironmentKey("os.environ/NO_SUCH")).prepare(
        public("hi")
    )


@pytest.mark.parametrize("stream", [False, True])
def test_exactly_the_prepared_bytes_arrive(
    server: RecordingCloud, make: Callable[..., Cloud], audit: Audit, stream: bool
) -> None:
    """What was shown is what the server reads, byte for byte, sync and async, and the receipt agrees."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(sketch_messages(TASK), stream=stream)
    answers = [cloud.send(outbound, permit(outbound)), asyncio.run(cloud.asend(outbound, permit(outbound)))]
    assert answers == [SHORT, SHORT]
    assert server.bodies == [outbound.body.encode()] * 2
    assert [entry.body for entry in audit.receipts("dana")] == [outbound.body] * 2
    assert statuses(audit) == ["sent", "sent"]


def test_same_task_same_bytes(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Two clouds and two runs build the same body for the same task."""
    bodies = {make(server.base_url).prepare(sketch_messages(TASK)).body for _ in range(2)}
    assert len(bodies) == 1


def test_conversations_and_odd_text_survive(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Roles, quotes, newlines, emoji and control tokens go out as they are and come back the same."""
    cloud = make(server.base_url, provider="openai", api_key=None)
    texts = [
        ("system", 'Be "kind".'),
        ("user", "a\n\tb 🙂 <|im_end|> \u2028"),
        ("assistant", "ok"),
        ("user", " "),
    ]
    outbound = cloud.prepare([CloudMessage(role, (Sendable(text, "public"),)) for role, text in texts])
    cloud.send(outbound, permit(outbound))
    assert [(m["role"], m["content"]) for m in server.requests[0].json()["messages"]] == texts


def test_o_series_models_replay(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Where the client renames the system role, the prepared body still passes its own gate."""
    cloud = make(server.base_url, provider="openai", model="o1-mini")
    outbound = cloud.prepare(sketch_messages(TASK))
    assert cloud.send(outbound, permit(outbound)) == SHORT


def test_text_that_is_no_unicode(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Half a surrogate pair is refused with a clear error when the body is built."""
    with pytest.raises(InputError, match="surrogate"):
        make(server.base_url).prepare(public("\ud83d hello"))


def test_stream_arrives_in_pieces(make: Callable[..., Cloud]) -> None:
    """The first words are there long before the last."""
    with RecordingCloud(default=Reply("one two three four", drip_s=0.1)) as slow:
        cloud = make(slow.base_url)
        outbound = cloud.prepare(public("hi"), stream=True)
        pieces = cloud.stream(outbound, permit(outbound))
        assert [next(pieces), next(pieces)] == ["one", " two"]
        assert list(pieces) == [" three", " four"]


# --- what does not pass -------------------------------------------------------------------------------


def test_changed_byte_is_refused(server: RecordingCloud, make: Callable[..., Cloud], audit: Audit) -> None:
    """A permit for one body is no permit for one that differs in a byte."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello there"))
    changed = replace(outbound, body=outbound.body.replace("hello", "hallo"))
    for send in (cloud.send, lambda *a: asyncio.run(cloud.asend(*a))):
        with pytest.raises(GateError, match="not the one that was permitted"):
            send(changed, permit(outbound))
    assert server.requests == []
    assert statuses(audit) == []


def test_body_the_client_would_change_is_refused(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Also with a permit for it, a body that the client does not rebuild byte for byte stays here."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello there"))
    spaced = replace(outbound, body=outbound.body.replace('":', '": '))
    with pytest.raises(GateError, match="not the one that was permitted"):
        cloud.send(spaced, permit(spaced))
    for body in ("", "[]", "null", '{"messages": 1}', '{"messages": [{"role": 1}]}'):
        broken = replace(outbound, body=body)
        with pytest.raises(GateError):
            cloud.send(broken, permit(broken))
    assert server.requests == []


def test_permit_for_another_endpoint_is_refused(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """A permit binds to an address as well."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello"))
    with pytest.raises(GateError, match="not the one that was permitted"):
        cloud.send(outbound, permit(replace(outbound, endpoint="http://127.0.0.1:1/v1/chat/completions")))
    assert server.requests == []


def test_no_permit_no_request(server: RecordingCloud, make: Callable[..., Cloud], audit: Audit) -> None:
    """Using the client behind our back, sync or async, reaches the gate and ends there."""
    cloud = make(server.base_url)
    with pytest.raises(GateError, match="without a permit"):
        cloud._client.invoke("hello")
    with pytest.raises(GateError, match="without a permit"):
        asyncio.run(cloud._client.ainvoke("hello"))
    assert server.requests == []
    assert statuses(audit) == []


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "{base}/chat/completions"),
        ("POST", "{base}/embeddings"),
        ("POST", "{base}/chat/completions?x=1"),
        ("POST", "{base}/chat/completions/../../evil"),
        ("POST", "http://127.0.0.1:9/v1/chat/completions"),
        ("POST", "http://localhost.evil.example/v1/chat/completions"),
        ("POST", "https://127.0.0.1/v1/chat/completions"),
    ],
)
def test_other_addresses_are_refused(server: RecordingCloud, audit: Audit, method: str, url: str) -> None:
    """Other method, scheme, host, port, path or query: refused before anything is looked at."""
    gate = Gate(CloudModelConfig(provider="openai_compatible", base_url=server.base_url), audit)
    request = httpx.Request(method, url.format(base=server.base_url), content=b"{}")
    with pytest.raises(GateError, match="another address"), passing(Call()):
        GateTransport(gate).handle_request(request)
    assert server.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b'\xff{"messages": [], "model": "stand-in"}',
        b'{"messages": [], "model": "stand-in"',
        b'{"messages": [], "messages": [], "model": "stand-in"}',
        b'{"model": "stand-in"}',
        b'{"messages": [], "model": "other"}',
        b'{"messages": [], "model": "stand-in", "user": "dana"}',
        b'{"messages": [], "model": "stand-in", "metadata": {"a": "b"}}',
        b'{"messages": [], "model": "stand-in", "temperature": "hot"}',
        b'{"messages": {}, "model": "stand-in"}',
        b'{"messages": ["text"], "model": "stand-in"}',
        b'{"messages": [{"role": "user", "content": "x", "name": "dana"}], "model": "stand-in"}',
        b'{"messages": [{"role": "tool", "content": "x"}], "model": "stand-in"}',
        b'{"messages": [{"role": "user", "content": [{"type": "text"}]}], "model": "stand-in"}',
        b'{"messages": [{"role": ["user"], "content": "x"}], "model": "stand-in"}',
    ],
)
def test_only_plain_chat_messages_pass(server: RecordingCloud, audit: Audit, body: bytes) -> None:
    """Anything but UTF-8 JSON with known fields and text messages is refused, permit or not."""
    import hashlib

    gate = Gate(
        CloudModelConfig(provider="openai_compatible", model="stand-in", base_url=server.base_url), audit
    )
    allowed = replace(permit(Outbound(str(gate.url), "")), body_sha256=hashlib.sha256(body).hexdigest())
    request = httpx.Request("POST", gate.url, content=body)
    with pytest.raises(GateError) as caught, passing(Call(allowed, 1e12)):
        GateTransport(gate).handle_request(request)
    assert "dana" not in Everything.of(caught.value)
    assert server.requests == []


def test_size_limit(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """A body over privacy.gate.max_body_bytes is refused when it is built."""
    with pytest.raises(GateError, match="max_body_bytes"):
        make(server.base_url, gate={"max_body_bytes": 2000}).prepare(public("x" * 2000))


def test_unpinned_frame_is_refused(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Text may not pass itself off as a prompt of ours."""
    with pytest.raises(GateError, match="frame"):
        make(server.base_url).prepare([CloudMessage("system", (Sendable("not our prompt", "frame"),))])


def test_only_https_off_this_machine(audit: Audit) -> None:
    """Plain http to another machine is refused even if a config object slipped through."""
    config = CloudModelConfig.model_construct(base_url="http://api.example.com/v1", model="m")
    with pytest.raises(ValueError, match="plain http"):
        Gate(config, audit)


# --- private values in the last bytes -----------------------------------------------------------------


@pytest.mark.parametrize("type_", sorted(CANARY))
@pytest.mark.parametrize("change", [str, str.upper, lambda text: "\u200b".join(text)])
def test_known_value_is_a_hit(
    server: RecordingCloud, make: Callable[..., Cloud], audit: Audit, type_: str, change: Callable[[str], str]
) -> None:
    """A known value, in any form the canonical form undoes: nothing leaves, its kind is on record."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public(f"Write to me about {change(CANARY[type_])} please."))
    blind = FakeDetector(patterns={})
    with pytest.raises(GateHit) as caught:
        cloud.send(outbound, permit(outbound, detector=blind))
    assert caught.value.spans
    assert server.requests == []
    assert statuses(audit) == []
    (entry,) = audit.refusals("dana")
    assert {span.source for span in entry.spans} == {"known"}
    on_disk = b"".join(file.read_bytes() for file in audit._chain.folder.parent.rglob("*") if file.is_file())
    assert leaked(on_disk) == []
    assert leaked(Everything.of(caught.value)) == []


def test_known_value_across_messages_is_a_hit(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Cutting a value in two messages does not carry it past the gate."""
    cloud = make(server.base_url)
    messages = [*public("I am Quillon"), *public("Vexmoor, hello")]
    outbound = cloud.prepare(messages)
    with pytest.raises(GateHit):
        cloud.send(outbound, permit(outbound, detector=FakeDetector(patterns={})))
    assert server.requests == []


def test_detection_is_a_hit_with_true_offsets(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """What only the detector knows stops a request too, and the span points into the message."""
    cloud = make(server.base_url)
    task = Sendable("Write to Perdita Snell.", "generalize")
    messages = sketch_messages(task)
    outbound = cloud.prepare(messages)
    with pytest.raises(GateHit) as caught:
        cloud.send(outbound, permit(outbound))
    (span,) = caught.value.spans
    content = json.loads(outbound.body)["messages"][span.message]["content"]
    assert content[span.start : span.end] == "Perdita Snell"
    assert server.requests == []


def test_detector_reads_all_but_frames_and_placeholders(
    server: RecordingCloud, make: Callable[..., Cloud]
) -> None:
    """Our own prompt and issued placeholders are blank to the detector; everything else is not."""
    cloud, detector = make(server.base_url), FakeDetector()
    hidden = Sendable("Write to [[P1]] and [[P2]].", "hide")
    outbound = cloud.prepare(sketch_messages(hidden))
    cloud.send(outbound, permit(outbound, detector=detector, issued=frozenset({"[[P1]]"})))
    assert [" ".join(text.split()) for text in detector.seen] == ["Write to and [[P2]]."]


def test_scores_below_the_minimum_pass(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """privacy.gate.min_score decides what a detection is worth; a known value always counts."""
    cloud = make(server.base_url, gate={"min_score": 0.9})
    outbound = cloud.prepare(public("Write to Perdita Snell."))
    assert cloud.send(outbound, permit(outbound))
    canary = cloud.prepare(public(f"Write to {CANARY['PERSON']}."))
    with pytest.raises(GateHit):
        make(server.base_url, gate={"min_score": 1.0}).send(canary, permit(canary))


@pytest.mark.parametrize("error", [DetectorError("detector down"), ValueError(CANARY["PERSON"])])
def test_broken_detector_stops_the_request(
    server: RecordingCloud, make: Callable[..., Cloud], error: Exception
) -> None:
    """A detector that fails, politely or not, lets nothing through and says nothing of the text."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello"))
    with pytest.raises((GateError, DetectorError)) as caught:
        cloud.send(outbound, permit(outbound, detector=FakeDetector(error=error)))
    assert leaked(Everything.of(caught.value)) == []
    assert server.requests == []


def test_no_detector_no_request(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """A permit without a detector is no permit."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello"))
    with pytest.raises(GateError):
        cloud.send(outbound, permit(outbound, detector=None))
    assert server.requests == []


def test_no_audit_no_request(server: RecordingCloud, make: Callable[..., Cloud], audit: Audit) -> None:
    """Where the intent cannot be put on disk, nothing is sent."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello"))
    cloud.send(outbound, permit(outbound))
    audit._chain.head_path.unlink()
    with pytest.raises(AuditError):
        cloud.send(outbound, permit(outbound))
    with pytest.raises(AuditError):
        asyncio.run(cloud.asend(outbound, permit(outbound)))
    assert len(server.requests) == 1


# --- nothing from client or environment ---------------------------------------------------------------


_ALLOWED = {
    "host",
    "accept",
    "accept-encoding",
    "content-type",
    "content-length",
    "user-agent",
    "authorization",
}


@pytest.fixture
def hostile_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RecordingCloud]:
    """Every variable that could redirect a request or add to it, pointing at a second server."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary")
    netrc.chmod(0o600)
    with RecordingCloud() as trap:
        origin = trap.base_url.removesuffix("/v1")
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_PROXY"):
            monkeypatch.setenv(name, origin)
            monkeypatch.setenv(name.lower(), origin)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("OPENAI_BASE_URL", trap.base_url)
        monkeypatch.setenv("OPENAI_API_BASE", trap.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-environment-canary")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
        monkeypatch.setenv("OPENAI_ORGANIZATION", "org-canary")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "project-canary")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Canary: canary")
        monkeypatch.setenv("LANGSMITH_GATEWAY", "true")
        monkeypatch.setenv("LANGSMITH_GATEWAY_URL", origin)
        monkeypatch.setenv("LANGSMITH_GATEWAY_API_KEY", "canary")
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", origin)
        monkeypatch.setenv("LANGSMITH_API_KEY", "canary")
        monkeypatch.setenv("LC_OUTPUT_VERSION", "responses/v1")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no-such-file"))
        monkeypatch.setenv("NETRC", str(netrc))
        yield trap


@pytest.mark.parametrize("stream", [False, True])
def test_environment_is_ignored(
    server: RecordingCloud,
    make: Callable[..., Cloud],
    hostile_environment: RecordingCloud,
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,
) -> None:
    """Proxies, netrc, base URLs, headers, tracers: neither the address nor a byte of the request changes."""
    monkeypatch.setenv("MY_KEY", "sk-mine")
    cloud = make(server.base_url, api_key=EnvironmentKey("os.environ/MY_KEY"))
    outbound = cloud.prepare(sketch_messages(TASK), stream=stream)
    cloud.send(outbound, permit(outbound))
    asyncio.run(cloud.asend(outbound, permit(outbound)))
    assert hostile_environment.requests == []
    assert b"canary" not in server.raw
    for request in server.requests:
        assert {name.lower() for name, _ in request.headers} <= _ALLOWED
        assert request.header("authorization") == "Bearer sk-mine"
        assert request.header("user-agent") == "cogenesis-langchain"
        assert request.header("host") == server.base_url.split("/")[2]
    for name in [name for name in __import__("os").environ if "OPENAI" in name or "PROXY" in name.upper()]:
        monkeypatch.delenv(name)
    assert make(server.base_url).prepare(sketch_messages(TASK), stream=stream).body == outbound.body


def test_no_session_keys_are_written(audit: Audit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE, which lets a bystander decrypt the traffic, is not obeyed; servers are still checked."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for url in ("https://api.example.com/v1", "http://127.0.0.1:1/v1"):
        key = EnvironmentKey("os.environ/NO_SUCH")
        tls = Gate(CloudModelConfig(base_url=url, model="m", api_key=key), audit).tls
        assert tls.keylog_filename is None
        assert tls.check_hostname
        assert tls.verify_mode is ssl.CERT_REQUIRED
        assert bool(tls.cert_store_stats()["x509_ca"]) == url.startswith("https")
    assert not (tmp_path / "keys").exists()


def test_no_key_no_authorization(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Without a configured key no authorization header leaves at all."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello"))
    cloud.send(outbound, permit(outbound))
    assert server.requests[0].header("authorization") is None


@pytest.mark.parametrize("value", ["", "sk-with\nnewline", "sk-ünicode"])
def test_unusable_key_is_a_config_error(
    server: RecordingCloud,
    make: Callable[..., Cloud],
    audit: Audit,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    """A missing or impossible key is named by its variable's problem, never shown; nothing is sent."""
    monkeypatch.setenv("MY_KEY", value)
    cloud = make(server.base_url, api_key=EnvironmentKey("os.environ/MY_KEY"))
    outbound = cloud.prepare(public("hello"))
    with pytest.raises(ConfigError) as caught:
        cloud.send(outbound, permit(outbound))
    assert not value or value not in Everything.of(caught.value)
    assert server.requests == []
    assert statuses(audit) == []


def test_cookies_do_not_come_back(make: Callable[..., Cloud]) -> None:
    """A cookie that the cloud sets is not sent to it again: requests cannot be linked by it."""
    with RecordingCloud(default=Reply(headers={"Set-Cookie": "id=tracker; Path=/"})) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"))
        for _ in range(2):
            cloud.send(outbound, permit(outbound))
        assert b"tracker" not in server.raw


# --- clouds that misbehave ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("run", ["sync", "async"])
def test_redirects_are_not_followed(make: Callable[..., Cloud], audit: Audit, status: int, run: str) -> None:
    """The second server sees nothing, and the request is not repeated."""
    with RecordingCloud() as elsewhere:
        reply = Reply.redirect(f"{elsewhere.base_url}/chat/completions", status)
        with RecordingCloud(default=reply) as server:
            cloud = make(server.base_url)
            outbound = cloud.prepare(public("hello"))
            with pytest.raises(CloudError, match="never followed"):
                _send(cloud, outbound, run)
            assert len(server.requests) == 1
        assert elsewhere.requests == []
    assert statuses(audit) == ["sent"]


def _send(cloud: Cloud, outbound: Outbound, run: str, **changes: Any) -> str:
    allowed = permit(outbound, **changes)
    return asyncio.run(cloud.asend(outbound, allowed)) if run == "async" else cloud.send(outbound, allowed)


_BAD = {
    "html": (Reply.html(), "no chat completion", 1),
    "html with status 502": (Reply.html(502), "status 502", 3),
    "garbage": (Reply.garbage(), "cannot be read|no chat completion", 1),
    "json of another kind": (Reply(raw=b'{"hello": "world"}'), "cannot be read|empty|no chat completion", 1),
    "json list": (Reply(raw=b"[1, 2]"), "cannot be read|no chat completion", 1),
    "no choices": (Reply(raw=b'{"choices": []}'), "cannot be read|empty|no chat completion", 1),
    "null content": (
        Reply(raw=b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": null}}]}'),
        "empty|no chat completion",
        1,
    ),
    "garbage as a stream": (
        Reply(raw=b'data: {"choices": [\n\ndata: [DONE]\n\n', content_type="text/event-stream"),
        "cannot be read|no chat completion",
        1,
    ),
    "error in a stream": (
        Reply(raw=b'data: {"error": {"message": "no"}}\n\n', content_type="text/event-stream"),
        "cannot be read|no chat completion",
        1,
    ),
    "empty": (Reply(""), "empty", 1),
    "gzip": (Reply(headers={"Content-Encoding": "gzip"}), "no chat completion", 1),
    "400": (Reply.error(400), "status 400", 1),
    "401": (Reply.error(401), "refuses the key", 1),
    "403": (Reply.error(403), "refuses the key", 1),
    "404": (Reply.error(404), "no such address or model", 1),
    "429": (Reply.error(429), "too often", 3),
    "408": (Reply.error(408), "status 408", 1),
    "500": (Reply.error(500), "status 500", 1),
    "503": (Reply.error(503), "status 503", 3),
    "504": (Reply.error(504), "status 504", 3),
}


@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", sorted(_BAD))
def test_bad_answers(make: Callable[..., Cloud], audit: Audit, case: str, stream: bool, run: str) -> None:
    """Each ends in a CloudError that says what to do; only what may pass by itself is sent again."""
    reply, message, attempts = _BAD[case]
    with RecordingCloud(default=reply) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"), stream=stream)
        with pytest.raises(CloudError, match=message) as caught:
            _send(cloud, outbound, run)
        assert len(server.requests) == attempts
    assert caught.value.retryable == (attempts == 3)
    assert statuses(audit) == ["sent"] * attempts
    assert "log in" not in Everything.of(caught.value)


def test_401_names_the_variable(make: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    """The person learns which variable holds the refused key."""
    monkeypatch.setenv("MY_KEY", "sk-old")
    with RecordingCloud(default=Reply.error(401)) as server:
        cloud = make(server.base_url, api_key=EnvironmentKey("os.environ/MY_KEY"))
        outbound = cloud.prepare(public("hello"))
        with pytest.raises(CloudError, match="MY_KEY") as caught:
            cloud.send(outbound, permit(outbound))
        assert "sk-old" not in Everything.of(caught.value)


@pytest.mark.parametrize("run", ["sync", "async"])
def test_each_retry_passes_the_gate(make: Callable[..., Cloud], audit: Audit, run: str) -> None:
    """A second attempt is checked anew and has an intent of its own."""
    detector = FakeDetector()
    with RecordingCloud([Reply.error(429), Reply.error(503)], default=SHORT) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"))
        assert _send(cloud, outbound, run, detector=detector) == SHORT
        assert server.bodies == [outbound.body.encode()] * 3
    assert len(detector.seen) == 3
    assert [entry.attempt for entry in audit.receipts()] == [1, 2, 3]
    assert statuses(audit) == ["sent"] * 3


def test_a_retry_may_be_refused(make: Callable[..., Cloud], audit: Audit) -> None:
    """What the gate learned between two attempts stops the second."""

    class Learning(FakeDetector):
        def detect(self, text: str, **rest: Any) -> Any:
            found = super().detect(text, **rest)
            self.patterns = {"WORD": "hello"}
            return found

    with RecordingCloud(default=Reply.error(503)) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"))
        with pytest.raises(GateHit):
            cloud.send(outbound, permit(outbound, detector=Learning(patterns={})))
        assert len(server.requests) == 1
    assert len(audit.refusals()) == 1


@pytest.mark.parametrize("run", ["sync", "async"])
def test_nobody_listens(make: Callable[..., Cloud], audit: Audit, run: str) -> None:
    """A dead cloud is a retryable CloudError, and the receipts say that nothing left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        cloud = make(f"http://127.0.0.1:{port}/v1")
        outbound = cloud.prepare(public("hello"))
        with pytest.raises(CloudError, match="cannot be reached") as caught:
            _send(cloud, outbound, run)  # while the port is ours nobody else can listen there
    assert caught.value.retryable
    assert statuses(audit) == ["failed"] * 3


@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", [Reply(hang=True), Reply("word " * 1000, drip_s=0.1)], ids=["hang", "drip"])
def test_timeouts(make: Callable[..., Cloud], audit: Audit, reply: Reply, stream: bool, run: str) -> None:
    """A cloud that never answers or only drips ends within timeout_s, all attempts together."""
    import time

    with RecordingCloud(default=reply) as server:
        cloud = make(server.base_url, timeout_s=1)
        cloud.warm()
        outbound = cloud.prepare(public("hello"), stream=stream)
        began = time.monotonic()
        with pytest.raises(CloudError, match="in time"):
            _send(cloud, outbound, run)
        assert time.monotonic() - began < 50
        assert len(server.requests) == 1
    assert statuses(audit) == ["unresolved" if reply.hang else "sent"]


@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize(
    "reply", [Reply(cut_after=4), Reply(done=False)], ids=["connection dropped", "no end marker"]
)
def test_cut_stream(make: Callable[..., Cloud], reply: Reply, run: str) -> None:
    """A stream that ends early is an error, after the words that came, and is not sent again."""
    with RecordingCloud(default=reply) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"), stream=True)
        pieces: list[str] = []

        async def collect() -> None:
            async for piece in cloud.astream(outbound, permit(outbound)):
                pieces.append(piece)

        def read() -> None:
            for piece in cloud.stream(outbound, permit(outbound)):
                pieces.append(piece)  # what came before the error must be kept

        with pytest.raises(CloudError, match=r"cut off|broke"):
            asyncio.run(collect()) if run == "async" else read()
        assert pieces[:2] == ["1.", " Open"]
        assert len(server.requests) == 1


@pytest.mark.parametrize("run", ["sync", "async"])
@pytest.mark.parametrize(
    ("reply", "stream"),
    [
        (Reply(cut_after=3), False),
        (Reply(cut_after=0), True),
        (Reply(raw=b"\n", content_type="text/event-stream"), True),
    ],
    ids=["plain answer dropped", "stream dropped before a word", "stream ends before a word"],
)
def test_cut_answer(make: Callable[..., Cloud], audit: Audit, reply: Reply, stream: bool, run: str) -> None:
    """Once the cloud began to answer it has the body: a cut answer is an error, and no second sending."""
    with RecordingCloud(default=reply) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"), stream=stream)
        with pytest.raises(CloudError, match=r"broke|cut off") as caught:
            _send(cloud, outbound, run)
        assert len(server.requests) == 1
    assert not caught.value.retryable
    assert statuses(audit) == ["sent"]


@pytest.mark.parametrize("stream", [False, True])
def test_endless_answer(make: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """An answer beyond the bound is cut off instead of filling the memory."""
    monkeypatch.setattr("cogenesis_langchain.gate.answer.MAX_ANSWER_BYTES", 10_000)
    with RecordingCloud(default=Reply("word " * 5_000)) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"), stream=stream)
        with pytest.raises(CloudError, match="longer than"):
            cloud.send(outbound, permit(outbound))
        assert len(server.requests) == 1


def test_abandoned_stream_closes_its_connection(make: Callable[..., Cloud]) -> None:
    """Ctrl-C or a caller that stops reading leaves no request running."""
    with RecordingCloud(default=Reply(drip_s=0.05)) as server:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"), stream=True)
        pieces = cloud.stream(outbound, permit(outbound))
        next(pieces)
        pieces.close()
        pool = cloud._sync._transport._inner._pool  # type: ignore[attr-defined]
        assert all(connection.is_idle() or connection.is_closed() for connection in pool.connections)


def test_cancelled_task_closes_its_connection(make: Callable[..., Cloud], audit: Audit) -> None:
    """A cancelled task leaves no connection behind, and the receipt tells the truth."""

    async def cancelled(cloud: Cloud, outbound: Outbound) -> None:
        task = asyncio.create_task(cloud.asend(outbound, permit(outbound)))
        async with asyncio.timeout(60):
            while statuses(audit) != ["sent"]:  # until the answer has begun
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pools = [inner._pool for inner in cloud._async._transport._loops.values()]  # type: ignore[attr-defined]
        assert all(c.is_idle() or c.is_closed() for pool in pools for c in pool.connections)

    with RecordingCloud(default=Reply("word " * 1000, drip_s=0.1)) as server:
        cloud = make(server.base_url)
        asyncio.run(cancelled(cloud, cloud.prepare(public("hello"), stream=True)))
    assert statuses(audit) == ["sent"]


# --- concurrency, logs, repr --------------------------------------------------------------------------


def test_threads_keep_their_own_permits(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Sends at the same time never borrow each other's permit."""
    from concurrent.futures import ThreadPoolExecutor

    cloud = make(server.base_url)
    outbounds = [cloud.prepare(public(f"hello number {n}")) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda out: cloud.send(out, permit(out)), outbounds)) == [SHORT] * 16
    assert sorted(server.bodies) == sorted(out.body.encode() for out in outbounds)


def test_async_tasks_and_loops(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """Tasks of one loop keep their own permits, and a second event loop works as well."""
    cloud = make(server.base_url)
    outbounds = [cloud.prepare(public(f"hello number {n}"), stream=bool(n % 2)) for n in range(8)]

    async def together() -> list[str]:
        return await asyncio.gather(*(cloud.asend(out, permit(out)) for out in outbounds))

    for _ in range(2):
        assert asyncio.run(together()) == [SHORT] * 8
    assert sorted(set(server.bodies)) == sorted(out.body.encode() for out in outbounds)


def test_streams_do_not_leave_a_permit_behind(server: RecordingCloud, make: Callable[..., Cloud]) -> None:
    """While a caller reads a stream, its own requests through the client are still refused."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public("hello"), stream=True)
    pieces = cloud.stream(outbound, permit(outbound))
    next(pieces)
    with pytest.raises(GateError, match="without a permit"):
        cloud._client.invoke("hello")
    pieces.close()


def test_logs_and_reprs_hold_no_text(
    server: RecordingCloud, make: Callable[..., Cloud], caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger at DEBUG, neither a refused text nor a key shows; nor in any repr."""
    from pydantic import SecretStr

    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpcore", "langchain_openai"):
        caplog.set_level(logging.DEBUG, logger=name)
    cloud = make(server.base_url, api_key=SecretStr("sk-canary-key"))
    outbound = cloud.prepare(public(f"I am {CANARY['PERSON']}"))
    allowed = permit(outbound)
    with pytest.raises(GateHit):
        cloud.send(outbound, allowed)
    fine = cloud.prepare(public("hello"))
    cloud.send(fine, permit(fine))
    shown = caplog.text + repr((cloud, outbound, allowed, Call(allowed, body=outbound.body.encode())))
    assert leaked(shown) == []
    assert "sk-canary-key" not in shown


def test_nothing_is_traced(
    server: RecordingCloud, make: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither callbacks, nor LangChain's debug mode, nor a global cache see what goes out."""
    from langchain_core.caches import InMemoryCache
    from langchain_core.globals import set_debug, set_llm_cache

    cache = InMemoryCache()
    set_llm_cache(cache)
    set_debug(True)
    try:
        cloud = make(server.base_url)
        outbound = cloud.prepare(public("hello"))
        cloud.send(outbound, permit(outbound))
    finally:
        set_debug(False)
        set_llm_cache(None)
    assert cache._cache == {}


def test_the_gate_is_what_protects(
    server: RecordingCloud, make: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the check switched off a canary does arrive, so the tests above would notice."""
    cloud = make(server.base_url)
    outbound = cloud.prepare(public(f"I am {CANARY['PERSON']}"))
    monkeypatch.setattr("cogenesis_langchain.egress._private", lambda *_: [])
    cloud.send(outbound, permit(outbound))
    assert leaked(server.raw) == ["PERSON"]


def test_async_transport_checks_too(server: RecordingCloud, audit: Audit) -> None:
    """The asynchronous door refuses what the synchronous one refuses."""
    gate = Gate(CloudModelConfig(provider="openai_compatible", base_url=server.base_url), audit)

    async def knock() -> None:
        async with httpx.AsyncClient(transport=AsyncGateTransport(gate)) as client:
            await client.post(str(gate.url), json={})

    with pytest.raises(GateError, match="without a permit"):
        asyncio.run(knock())
    assert server.requests == []
