"""What a recording cloud answers: sketches, drafts with log-probabilities, nonsense as clouds give it. Pure.

Its language model is a toy: words are tokens, each at .6, with 19 others beside it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import Dialect, TopLogprobs

SKETCH = "\n".join(
    f"{number}. {point}"
    for number, point in enumerate(
        (
            "Open with a warm greeting",
            "Say in one sentence why you are writing",
            "Name the occasion and what makes it special",
            "Give the time and the place",
            "Tell what is planned",
            "Add a small personal memory",
            "Say what the reader may bring",
            "Ask for an answer and say by when",
            "Look forward to the meeting",
            "Close with a friendly farewell",
        ),
        1,
    )
)
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+")
_OTHERS = (
    *(",", ".", " and", " the", " a", " to", " of", " in", " is", " for"),
    *(" you", " we", " it", " with", " all", " our", " will", " be", " so", " as"),
)
_COUNTED = ("one", ", two", ", three", ", four", ", five", ", six", ", seven", ", eight", ", nine", ", ten")


@dataclass(frozen=True)
class Reply:
    """One scripted answer.

    `text` is the assistant's text, streamed as SSE where the request says so; `raw` replaces the whole
    body. `delay_s` passes before the first byte, `drip_s` between pieces. `cut_after` drops the connection
    after so many pieces, `done=False` ends a stream politely but without `[DONE]`, `hang` never answers.
    `echo` answers with the request's last message, `deltas` are the pieces of a stream, else its words;
    `finish` is why a stream says that it ends.
    Where a request asks for log-probabilities, words are tokens and `positions` may replace them;
    `samples` are the texts where it asks for several, else all are `text`.
    """

    text: str = SKETCH
    status: int = 200
    raw: bytes | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drip_s: float = 0.0
    cut_after: int | None = None
    done: bool = True
    hang: bool = False
    echo: bool = False
    deltas: tuple[str, ...] = ()
    finish: str = "stop"
    positions: tuple[TopLogprobs, ...] = ()
    samples: tuple[str, ...] = ()

    @classmethod
    def redirect(cls, url: str, status: int = 307) -> Reply:
        """Send the client elsewhere; 307 asks it to post the body again."""
        return cls(status=status, raw=b"", headers={"Location": url})

    @classmethod
    def html(cls, status: int = 200) -> Reply:
        """A captive portal's or proxy's page."""
        page = b"<!doctype html><html><body><h1>Please log in</h1></body></html>"
        return cls(status=status, raw=page, content_type="text/html; charset=utf-8")

    @classmethod
    def garbage(cls) -> Reply:
        """Bytes that claim to be JSON and are not."""
        return cls(raw=b'\xff\xfe{"choices": [', content_type="application/json")

    @classmethod
    def error(cls, status: int) -> Reply:
        """An error in OpenAI's form."""
        body = {"error": {"message": "scripted error", "type": "scripted", "code": None}}
        return cls(status=status, raw=json.dumps(body).encode())


@dataclass(frozen=True)
class Able:
    """What the endpoint can do: candidates per position, several samples, and how it continues a text."""

    listed: int = 20
    samples: bool = True
    continuation: Dialect | None = "llama-server"

    def own(self, request: Mapping[str, Any]) -> Reply | None:
        """What no script answers: an address or a setting that is not known, and our own probe."""
        listed = request.get("top_logprobs", request.get("logprobs", 0)) or 0
        if "prompt" in request and self.continuation != "completions":
            return Reply.error(404)
        if (self.listed and listed > self.listed) or (request.get("n", 1) > 1 and not self.samples):
            return Reply.error(400)
        if not request.get("logprobs") or not _counts(request):
            return None
        begun, known = self._begun(request)
        return Reply(positions=tuple(map(_toy, _COUNTED[6:] if begun and known else _COUNTED)))

    def heard(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request without what an endpoint that gives no log-probabilities passes over."""
        return request if self.listed else {**request, "logprobs": None}

    def answer(self, reply: Reply, request: Mapping[str, Any]) -> Reply:
        """`reply` with the text that goes on where the request's own text breaks off."""
        if not request.get("logprobs") or reply.positions or reply.raw is not None:
            return reply
        begun, known = self._begun(request)
        if not (known and begun):
            return reply
        rest = reply.text.removeprefix(begun)
        if rest == reply.text:
            rest = "".join(_WORD.findall(reply.text)[len(_WORD.findall(begun)) :])
        return replace(reply, text=rest)

    def _begun(self, request: Mapping[str, Any]) -> tuple[str, bool]:
        """The text that is to be continued, and whether this endpoint understands it so."""
        if "prompt" in request:
            return str(request["prompt"]).rpartition("\n\n")[2], True
        last = request["messages"][-1]
        if last["role"] != "assistant":
            return "", False
        asked: Dialect = "llama-server"
        if request.get("continue_final_message"):
            asked = "vllm"
        elif last.get("prefix"):
            asked = "prefix"
        return str(last["content"]), asked == self.continuation


def _counts(request: Mapping[str, Any]) -> bool:
    """Whether this is our own probe, which no script answers."""
    question = sections("probe.v1.txt")[1][1]
    if "prompt" in request:
        return question in str(request["prompt"])
    return any(message.get("content") == question for message in request["messages"])


def _toy(word: str) -> TopLogprobs:
    """The word at .6, others at .2, .1 and so on."""
    tokens = [word, *(other for other in _OTHERS if other != word)][:20]
    numbers = [math.log(0.6 if not rank else 0.4 / 2**rank) for rank in range(len(tokens))]
    return TopLogprobs(word.encode(), numbers[0], tuple(token.encode() for token in tokens), tuple(numbers))


def draft_of(text: str) -> tuple[TopLogprobs, ...]:
    """`text` as the toy model would draft it."""
    return tuple(map(_toy, _WORD.findall(text)))


def wants_stream(body: bytes) -> bool:
    """Whether a request asks for server-sent events."""
    return bool(parsed(body).get("stream"))


def parsed(body: bytes) -> dict[str, Any]:
    """A request's body; empty where it is no JSON object."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def pieces(reply: Reply, request: Mapping[str, Any], *, streamed: bool) -> Iterator[bytes]:
    """The body in pieces: SSE events, or one JSON document cut at its spaces."""
    if reply.raw is not None:
        yield reply.raw
        return
    common = {"id": "chatcmpl-recording", "created": 0, "model": "recording"}
    if request.get("logprobs"):
        document = {**common, "object": "chat.completion", "choices": _choices(reply, request)}
        yield json.dumps(document).encode()
        return
    if not streamed:
        message = {"role": "assistant", "content": "".join(reply.deltas) or reply.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        document = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
        yield from re.findall(rb"\S+\s*", json.dumps(document).encode())
        return
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    words = reply.deltas or _WORD.findall(reply.text)
    deltas += [{"content": word} for word in words]
    for number, delta in enumerate([*deltas, {}]):
        finish = reply.finish if number == len(deltas) else None
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {**common, "object": "chat.completion.chunk", "choices": [choice]}
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    if reply.done:
        yield b"data: [DONE]\n\n"


def _choices(reply: Reply, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples that were asked for, with their candidates, cut where the request says."""
    listed = request.get("top_logprobs", request["logprobs"])
    limit = request.get("max_tokens") or request.get("max_completion_tokens") or len(reply.text)
    choices: list[dict[str, Any]] = []
    for number in range(request.get("n", 1)):
        text = reply.samples[number % len(reply.samples)] if reply.samples else reply.text
        positions = reply.positions or draft_of(text)
        taken, finish = positions[:limit], "stop" if len(positions) <= limit else "length"
        said = b"".join(one.token for one in taken).decode("utf-8", "replace")
        choice: dict[str, Any] = {"index": number, "finish_reason": finish}
        if "prompt" in request:
            choices.append(choice | {"text": said, "logprobs": _old_form(taken, listed)})
        else:
            content = [_entry(one, listed) for one in taken]
            message = {"role": "assistant", "content": said}
            choices.append(choice | {"message": message, "logprobs": {"content": content}})
    return choices


def _entry(position: TopLogprobs, listed: int) -> dict[str, Any]:
    """One position in the form of chat completions."""

    def one(token: bytes, number: float) -> dict[str, Any]:
        return {"token": token.decode("utf-8", "replace"), "logprob": number, "bytes": list(token)}

    pairs = zip(position.tokens, position.logprobs, strict=True)
    top = [one(token, number) for token, number in pairs][:listed]
    return one(position.token, position.logprob) | {"top_logprobs": top}


def _old_form(positions: tuple[TopLogprobs, ...], listed: int) -> dict[str, Any]:
    """Positions in the form of completions, which has no bytes."""
    entries = [_entry(one, listed) for one in positions]
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [
            {one["token"]: one["logprob"] for one in entry["top_logprobs"]} for entry in entries
        ],
    }
