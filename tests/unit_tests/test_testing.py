"""The stand-ins that users get for their own tests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from dataclasses import dataclass
from itertools import pairwise

import httpx
import numpy as np
import pytest

from cogenesis_langchain.testing import (
    SKETCH,
    FakeDetector,
    FakeEmbedder,
    FakeWriter,
    RecordingCloud,
    Reply,
    SocketTap,
    canaries,
    canary_context,
    leaked,
)
from cogenesis_langchain.types import ContextItem, PrivateSpan


@dataclass(frozen=True)
class Turn:
    """A prompt turn as `writer` has it."""

    role: str
    parts: tuple[str, ...]


PROMPT = (Turn("system", ("frame", " profile of Quillon Vexmoor")), Turn("user", ("write", " an invitation")))


def _post(cloud: RecordingCloud, **body: object) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.post(f"{cloud.base_url}/chat/completions", json=body)


def test_recording_keeps_every_byte() -> None:
    """Request line, headers and body are kept as they came."""
    with RecordingCloud() as cloud:
        answer = _post(cloud, messages=[]).json()
        (request,) = cloud.requests
    assert answer["choices"][0]["message"]["content"] == SKETCH
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.json() == {"messages": []}
    assert request.header("Content-Type") == "application/json"
    assert request.raw.endswith(b"\r\n\r\n" + request.body)
    assert cloud.bodies == [request.body]


def test_recording_streams() -> None:
    """A streamed answer is SSE whose deltas join to the text."""
    with RecordingCloud(default="  one two\nthree ") as cloud:
        events = [line[6:] for line in _post(cloud, stream=True).text.splitlines() if line]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == "  one two\nthree "


def test_replies_are_used_in_order() -> None:
    """Scripted answers come first, then the default again and again."""
    with RecordingCloud([Reply.error(429), "first"], default="rest") as cloud:
        answers = [_post(cloud) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 200, 200, 200]
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers[1:]] == [
        "first",
        "rest",
        "rest",
    ]


def test_delay() -> None:
    """A slow cloud is as slow as told."""
    with RecordingCloud(delay_s=0.2) as cloud:
        began = time.monotonic()
        _post(cloud)
        assert time.monotonic() - began >= 0.2


def test_leaving_ends_hanging_answers() -> None:
    """The end of the with block does not wait for a client that hangs."""
    failed: list[Exception] = []

    def knock(cloud: RecordingCloud) -> None:
        try:
            _post(cloud)
        except httpx.HTTPError as error:
            failed.append(error)

    with RecordingCloud(default=Reply(hang=True)) as cloud:
        thread = threading.Thread(target=knock, args=(cloud,))
        thread.start()
        while not cloud.requests:
            time.sleep(0.01)
    thread.join(60)
    assert failed


def test_writer_repeats_its_context() -> None:
    """A canary in the context comes out in the text, so that tests see who else let it out."""
    writer = FakeWriter()
    text = "".join(writer.write(PROMPT, scope="dana"))
    assert text == "".join(FakeWriter().write(PROMPT, scope="dana"))
    assert leaked(text) == ["PERSON"]
    assert "frame" not in text
    assert writer.prompts[0][0] == "dana"
    assert len(list(writer.write(PROMPT, scope="", max_tokens=3))) == 3


def test_writer_stops_when_cancelled() -> None:
    """`cancel` ends a stream between two tokens, and the lock is free again."""
    writer, cancel = FakeWriter(), threading.Event()
    pieces = writer.write(PROMPT, scope="", cancel=cancel)
    next(pieces)
    cancel.set()
    assert list(pieces) == []
    assert list(writer.write(PROMPT, scope=""))


def test_writer_helpers() -> None:
    """Choosing, counting and warming follow the writer's protocol."""
    writer = FakeWriter()
    assert writer.choose(PROMPT, ["a report", "an invitation"]) == "an invitation"
    assert writer.choose(PROMPT, ["x", "y"]) == "x"
    assert writer.count("one two  three") == 3
    writer.warm(PROMPT, scope="dana")
    assert [scope for scope, _ in writer.warmed] == ["dana"]
    with pytest.raises(OSError, match="down"):
        next(FakeWriter(error=OSError("down")).write(PROMPT, scope=""))


def test_embedder_puts_like_beside_like() -> None:
    """Unit vectors of 384 numbers; shared words mean nearness; empty text is no NaN."""
    vectors = FakeEmbedder().embed(["birthday party invitation", "an invitation to a party", "tax form", ""])
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert FakeEmbedder().embed([]).shape == (0, 384)


def test_detector_finds_the_canaries() -> None:
    """Spans are sorted, do not overlap, and join known values in."""
    text = " and ".join(known.value for known in canaries())
    spans = FakeDetector().detect(text)
    assert {span.type for span in spans} == {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "API_KEY"}
    assert all(a.end <= b.start for a, b in pairwise(spans))

    class Known:
        def find(self, text: str) -> list[PrivateSpan]:
            return [PrivateSpan("LOCATION", 0, 5, 1.0, "known")]

    assert FakeDetector(patterns={}).detect("Paris", known=Known(), message=2) == [
        PrivateSpan("LOCATION", 0, 5, 1.0, "known", 2)
    ]
    values = FakeDetector().extract_values(ContextItem("note", "Please call Perdita Snell."))
    assert [(value.value, value.origin) for value in values] == [("Perdita Snell", "entity")]


def test_canaries_are_in_the_context_and_nowhere_else() -> None:
    """The context holds every canary; ordinary text holds none; escapes do not hide one."""
    everything = "\n".join(item.text for item in canary_context())
    assert leaked(everything) == [known.type for known in canaries()]
    assert leaked(SKETCH) == []
    assert leaked(b'{"a": "\\u0051uillon Vexmoor"}') == ["PERSON"]


def test_the_tap_hears_every_client() -> None:
    """Sync, async and bare sockets: whom they contact, which names they look up, what they say."""
    with RecordingCloud() as cloud, SocketTap() as tap:
        url = f"{cloud.base_url}/chat/completions"
        httpx.post(url, json={"a": 1}, trust_env=False)

        async def ask() -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.post(url, json={"b": 2})

        asyncio.run(ask())
        port = int(cloud.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bare:
            bare.sendto(b"datagram", ("127.0.0.1", port))
        assert tap.contacted == [("127.0.0.1", port)] * 3
        assert "127.0.0.1" in tap.looked_up
        assert tap.sent == cloud.raw + b"datagram"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as after:
        after.sendto(b"later", ("127.0.0.1", port))
    assert len(tap.contacted) == 3
    assert "datagram" not in repr(tap)


def test_a_reply_may_echo_or_stream_in_given_pieces() -> None:
    """What a cloud sends back, cut where a test wants it cut."""
    said = {"messages": [{"role": "user", "content": "say [[P1]]"}], "stream": True}
    with RecordingCloud([Reply(deltas=("a[", "[P1", "]] b")), Reply(echo=True)]) as cloud:
        url = f"{cloud.base_url}/chat/completions"
        pieces = httpx.post(url, json=said, trust_env=False).text
        assert [piece in pieces for piece in ('"a["', '"[P1"', '"]] b"')] == [True] * 3
        answer = httpx.post(url, json=said | {"stream": False}, trust_env=False).json()
        assert answer["choices"][0]["message"]["content"] == "say [[P1]]"
