"""What a request body may look like, and every text that a cloud would read in it. Pure.

A body is a plain chat completion request in UTF-8 JSON: known fields, messages of text, calls of tools and
their answers; or one prompt that is to be continued. Anything else is refused, so that nothing in a body
goes unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cogenesis_langchain.errors import GateError

_COUNTS = {"max_tokens", "max_completion_tokens", "top_logprobs", "n"}
_SWITCHES = {"stream", "add_generation_prompt", "continue_final_message"}
_SETTINGS = {"temperature", "logprobs", *_COUNTS, *_SWITCHES}
_MOST = 1_000_000  # of anything that is counted
_PLAIN = {"system", "developer", "user", "assistant"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # OpenAI's rule for names of tools; ours for ids of calls
_NESTED = 4  # how deep JSON that stands in a string of JSON is read as JSON


@dataclass(frozen=True, slots=True)
class Chat:
    """A body that can be read: `texts` is one for each message, `other` what stands around them.

    The text of a message is its content, then the name and arguments of each call. Content or arguments
    that are JSON stand there decoded, as lines of keys and values. `raw`: one prompt instead of messages.
    `continued`: what stands last is a text of the model's own that it is to continue. `listed`: candidates
    with log-probabilities that the answer may hold.
    """

    model: str
    stream: bool
    texts: tuple[str, ...] = field(repr=False)
    other: tuple[str, ...] = field(repr=False)
    raw: bool = False
    continued: bool = False
    listed: int = 0


def parse(body: bytes) -> Chat:
    """Read a body. GateError, which never quotes it, for anything but plain chat messages."""
    payload: Any = None
    with suppress(ValueError, RecursionError):  # the decoder's and the parser's own words quote the text
        payload = json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(payload, dict) or not isinstance(model := payload.pop("model", None), str):
        raise GateError("the body is not a plain chat completion request in UTF-8 JSON")
    raw = "prompt" in payload
    said = payload.pop("prompt" if raw else "messages", None)
    if not (payload.keys() <= _SETTINGS and all(map(_is_setting, payload.keys(), payload.values()))):
        raise GateError("the body holds a setting that the gate does not know, or one of another form")
    if not (
        isinstance(said, str) if raw else isinstance(said, list) and said and all(map(_is_message, said))
    ):
        raise GateError("the body holds something else than plain chat messages and calls of tools")
    messages: list[dict[str, Any]] = [{"role": "assistant", "content": said}] if raw else said
    if any("prefix" in message for message in messages[:-1]):
        raise GateError("only the last message of a body may be one to continue")
    other = [model]
    texts = tuple("\n".join(map(_plain, _strings(message, other))) for message in messages)
    last = messages[-1]
    continued = last["role"] == "assistant" and not last.get("tool_calls")
    stream = payload.get("stream") is True
    return Chat(model, stream, texts, tuple(other), raw, continued, _listed(payload))


def _is_setting(name: str, value: Any) -> bool:
    """Whether a setting has the one form in which it tells nothing but itself."""
    if name in _SWITCHES:
        return isinstance(value, bool)
    if name in _COUNTS:
        return isinstance(value, int) and 0 <= value <= _MOST
    return isinstance(value, int | float) and abs(value) <= _MOST  # nor NaN, which is no JSON


def _listed(settings: dict[str, Any]) -> int:
    """Candidates that may be listed: those of each position of each sample, and the token that was taken."""
    if not settings.get("logprobs"):
        return 0
    each = int(settings.get("top_logprobs", settings["logprobs"])) + 1
    tokens = settings.get("max_tokens", settings.get("max_completion_tokens", 0))
    return int(each * tokens * max(settings.get("n", 1), 1))


def _strings(message: dict[str, Any], ids: list[str]) -> Iterator[str]:
    """Content, names and arguments of a message; its ids go into `ids`."""
    yield message["content"] or ""
    if "tool_call_id" in message:
        ids.append(message["tool_call_id"])
    for call in message.get("tool_calls", ()):
        ids.append(call["id"])
        yield call["function"]["name"]
        yield call["function"]["arguments"]


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    keys, content = message.keys() - {"role", "content"}, message.get("content", 0)
    if message["role"] == "tool":
        return isinstance(content, str) and keys == {"tool_call_id"} and _is_name(message["tool_call_id"])
    if keys == {"tool_calls"} and message["role"] == "assistant":
        calls = message["tool_calls"]
        spoken = content is None or isinstance(content, str)
        return spoken and isinstance(calls, list) and bool(calls) and all(map(_is_call, calls))
    if keys == {"prefix"}:
        return message["role"] == "assistant" and isinstance(content, str) and message["prefix"] is True
    return message["role"] in _PLAIN and isinstance(content, str) and not keys


def _is_call(call: Any) -> bool:
    if not isinstance(call, dict) or call.keys() != {"id", "type", "function"}:
        return False
    function = call["function"]
    if call["type"] != "function" or not isinstance(function, dict) or not _is_name(call["id"]):
        return False
    if function.keys() != {"name", "arguments"} or not _is_name(function["name"]):
        return False
    arguments = function["arguments"]
    return isinstance(arguments, str) and isinstance(_json(arguments), _Pairs)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError  # of two values under one name the gate would read one and the cloud maybe the other
    return dict(pairs)


# --- JSON that stands in a text -------------------------------------------------------------------


class _Pairs(list[tuple[str, Any]]):
    """An object with every entry it has, also those that share a key."""


def _json(text: str) -> Any:
    """The object or list that `text` spells; None where it spells none. Numbers stay as they are written."""
    if text.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(
                text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str
            )
    return None


def _plain(text: str) -> str:
    """A text that is JSON as lines of `key: value`; any other text as it is."""
    value = _json(text)
    return text if value is None else "".join(_leaves(value))


def _leaves(value: Any) -> Iterator[str]:
    """Keys and values in their order, also of JSON within the strings of JSON.

    A stack of our own, because JSON may nest deeper than Python calls.
    """
    left = [(value, _NESTED, "\n")]
    while left:
        value, depth, end = left.pop()
        if isinstance(value, _Pairs):
            for key, inner in reversed(value):
                left += ((inner, depth, "\n"), (key, 0, ": "))
        elif isinstance(value, list):
            left += ((inner, depth, "\n") for inner in reversed(value))
        elif isinstance(value, str):
            inside = _json(value) if depth else None
            if inside is None:
                yield value + end
            else:
                left.append((inside, depth - 1, end))
