"""Messages for a cloud: from `CloudMessage` to OpenAI's form, and from that to what the client takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.errors import GateError, InputError
from cogenesis_langchain.gate.frames import is_frame
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.types import CloudMessage, CloudToolCall, Dialect, Outbound

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

Wire = Mapping[str, Any]
"""One message in OpenAI's form."""


def to_wire(messages: Sequence[CloudMessage], *, trusted: bool = False) -> list[Wire]:
    """The messages in OpenAI's form.

    Raises GateError for a frame part that is no pinned prompt text, for calls that are none and, unless
    the endpoint is `trusted`, for text that only such a one may read; InputError for text that is no Unicode.
    """
    for part in (part for message in messages for part in message.parts):
        if part.origin == "frame" and not is_frame(part.text):
            raise GateError("a prompt frame is not the pinned one: read it, then pin it in frames.py")
        if part.origin == "trusted" and not trusted:
            raise GateError("text for a trusted endpoint stood in a body for another one")
    wires = [_wire(message) for message in messages]
    if any("\ud800" <= c <= "\udfff" for c in json.dumps(wires, ensure_ascii=False)):
        raise InputError("the text holds half of a surrogate pair, which no encoding can carry: remove it")
    return wires


def _wire(message: CloudMessage) -> Wire:
    wire: dict[str, Any] = {"role": message.role, "content": "".join(part.text for part in message.parts)}
    if bool(message.tool_call_id) != (message.role == "tool"):
        raise GateError("a tool_call_id belongs to messages of role tool, and to each of them")
    if message.tool_calls and message.role != "assistant":
        raise GateError("only messages of role assistant hold calls of tools")
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        wire["tool_calls"] = [_call(call) for call in message.tool_calls]
    return wire


def _call(call: CloudToolCall) -> dict[str, Any]:
    arguments: Any = None
    with suppress(ValueError, RecursionError):  # told below, where nothing is chained that quotes the text
        arguments = json.loads(call.arguments.text)
    if not isinstance(arguments, dict):
        raise GateError("the arguments of a tool call are no JSON object")
    # Written out as the client will: escapes of half a character come to light here.
    function = {"name": call.name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}


def to_client(wires: Sequence[Wire]) -> list[BaseMessage]:
    """The messages as langchain-openai's client takes them. GateError for a role it does not know."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    kinds: dict[str, type[BaseMessage]] = {
        "system": SystemMessage,
        "developer": SystemMessage,
        "user": HumanMessage,
    }
    out: list[BaseMessage] = []
    for wire in wires:
        text = wire["content"] or ""
        if wire["role"] == "tool":
            out.append(ToolMessage(content=text, tool_call_id=wire["tool_call_id"]))
        elif wire["role"] == "assistant":
            calls = [
                {
                    "name": call["function"]["name"],
                    "args": json.loads(call["function"]["arguments"]),
                    "id": call["id"],
                    "type": "tool_call",
                }
                for call in wire.get("tool_calls", ())
            ]
            out.append(AIMessage(content=text, tool_calls=calls))
        elif wire["role"] in kinds:
            out.append(kinds[wire["role"]](content=text))
        else:
            raise GateError("a message has another role than system, user, assistant or tool")
    return out


def reread(outbound: Outbound) -> tuple[list[BaseMessage], bool, int]:
    """(messages, stream, max_tokens) of a prepared body; the gate checks that the same bytes come of them."""
    try:
        body = json.loads(outbound.body)
        limit = body["max_tokens"] if "max_tokens" in body else body["max_completion_tokens"]
        return to_client(body["messages"]), bool(body.get("stream")), int(limit)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise GateError("the body is not one that Cloud.prepare made: prepare it again")


# --- bodies that ask for log-probabilities, which the client does not know how to make --------------


def draft_body(
    config: CloudModelConfig, wires: Sequence[Wire], max_tokens: int, logprobs: int, samples: int
) -> dict[str, Any]:
    """Asks for `samples` texts, with `logprobs` candidates at each position."""
    several = {"n": samples} if samples > 1 else {}  # some servers refuse the very field
    return {**_listing(config, max_tokens, logprobs), "messages": [*wires], **several}


def continuation_body(
    config: CloudModelConfig, wires: Sequence[Wire], max_tokens: int, logprobs: int, dialect: Dialect
) -> dict[str, Any]:
    """Asks to go on with the last message where that is the assistant's, in the endpoint's own dialect."""
    body, last = _listing(config, max_tokens, logprobs), wires[-1]
    if dialect == "completions":
        prompt = "\n\n".join(str(wire["content"]) for wire in wires)
        settings = {"model": config.model, "temperature": config.temperature, "max_tokens": max_tokens}
        return {**settings, "prompt": prompt, "logprobs": logprobs}
    if last["role"] == "assistant" and dialect == "vllm":
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    if last["role"] == "assistant" and dialect == "prefix":
        last = {**last, "prefix": True}
    return {**body, "messages": [*wires[:-1], last]}


def longest(outbound: Outbound) -> int:
    """How many tokens a body of these asks for. GateError where it is none of them."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        body = json.loads(outbound.body)
        return int(body["max_tokens"] if "max_tokens" in body else body["max_completion_tokens"])
    raise GateError("the body is not one that Cloud.prepare made: prepare it again")


def _listing(config: CloudModelConfig, max_tokens: int, logprobs: int) -> dict[str, Any]:
    limit = "max_completion_tokens" if config.provider == "openai" else "max_tokens"  # OpenAI's newer name
    settings = {"model": config.model, "temperature": config.temperature, limit: max_tokens}
    return {**settings, "logprobs": True, "top_logprobs": logprobs}
