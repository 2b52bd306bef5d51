"""Raw text in, vault handles out, and back: what stands around LangGraph's loop.

A checkpointer stores a graph's raw input before the first node runs, and every tracer sees it. So messages
are interned into the vault before the loop starts, and restored in whatever the loop yields.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
)
from langchain_core.messages.base import message_to_dict
from langchain_core.messages.utils import convert_to_messages
from langchain_core.prompt_values import PromptValue
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from cogenesis_langchain.errors import InputError, VaultError
from cogenesis_langchain.leaves import json_of, leaves
from cogenesis_langchain.vault.vault import Scope, Vault, is_handle

_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MADE_ID = re.compile(
    r"(?:run-|lc_run-|lc_run--|run--)?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:-\d{1,3})?"
)


def to_messages(given: Any) -> list[BaseMessage]:
    """Messages from what a caller or a chain may hand over: state, prompt value, list, message or string.

    Raises InputError, which never quotes the input.
    """
    if isinstance(given, Mapping):
        if "messages" not in given:
            raise InputError('the input needs a "messages" key, or pass a string, messages or a prompt value')
        given = given["messages"]
    if isinstance(given, PromptValue):
        return given.to_messages()
    if isinstance(given, bytes):
        raise InputError("the input is bytes; decode it to text first")
    if isinstance(given, str | BaseMessage):
        given = [given]
    try:
        return convert_to_messages(given)
    except Exception:
        raise InputError(
            "the input holds something that is no message: use strings or chat messages"
        ) from None


Part = str | dict[str, Any] | list[Any]
"""One part of a message: text, or JSON whose leaves are read and replaced one by one."""

SOURCES = ("mail", "document", "tool")
# Blocks that are never sent: a call stands in `tool_calls` too, a model's thoughts are its own.
_SILENT = frozenset({"tool_use", "tool_call", "function_call", "thinking", "reasoning"})


def by_others(message: BaseMessage) -> bool:
    """Whether others wrote the text: results of tools, and what the caller marks as such.

    The mark is `additional_kwargs={"source": "mail"}` (or "document", "tool").
    """
    return isinstance(message, ToolMessage) or message.additional_kwargs.get("source") in SOURCES


def role_of(message: BaseMessage) -> Literal["system", "user", "assistant"]:
    """OpenAI's role name of a message that travels as text."""
    if isinstance(message, SystemMessage):
        return "system"
    return "assistant" if isinstance(message, AIMessage) else "user"


def parts_of(message: BaseMessage) -> list[Part]:
    """The content of a message, then the arguments of each call of a tool. What a tool keeps to itself (its
    artifact) is no part. Raises InputError for images and other media.
    """
    if isinstance(message.content, str):
        text = message.content
    else:
        blocks = [b if isinstance(b, str) else b.get("text") for b in message.content if not _is_silent(b)]
        if any(block is None for block in blocks):
            raise InputError("only text can be routed yet: a message holds an image, a file or another block")
        text = "\n".join(map(str, blocks))
    result = json_of(text) if by_others(message) else None
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return [result if result and any(leaves(result)) else text, *(call["args"] for call in calls)]


def _is_silent(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("type") in _SILENT


def rows_of(message: BaseMessage) -> Iterator[tuple[str, str]]:
    """(leaf, what follows it in `text_of`) of a message, in order."""
    rows: list[tuple[str, str]] = []
    for part in parts_of(message):
        rows += [(part, "\n")] if isinstance(part, str) else leaves(part)
    yield from rows[:-1]
    if rows:
        yield rows[-1][0], ""


def text_of(message: BaseMessage) -> str:
    """The text of a message as a detector reads it: calls of tools and JSON results as `key: value` lines.

    Raises InputError for images and other media.
    """
    return "".join(leaf + after for leaf, after in rows_of(message))


def intern_message(message: BaseMessage, vault: Vault, scope: Scope) -> BaseMessage:
    """A message of the same class whose content is a handle and which carries nothing else."""
    if is_handle(message.content):
        vault.get(scope, str(message.content))  # a handle of another scope is an error, not a text
        return message
    stored = message.model_copy(update={"id": message.id or str(uuid.uuid4())})
    shown = _plain_id(str(stored.id), vault, scope)
    if isinstance(message, RemoveMessage):
        return RemoveMessage(id=shown)
    handle = vault.put(scope, json.dumps(message_to_dict(stored), ensure_ascii=False, default=str))
    if isinstance(message, ToolMessage):
        return ToolMessage(content=handle, id=shown, tool_call_id="-")
    kind = next((k for k in (AIMessage, SystemMessage) if isinstance(message, k)), HumanMessage)
    return kind(content=handle, id=shown)


def intern_messages(messages: Sequence[BaseMessage], vault: Vault, scope: Scope) -> list[BaseMessage]:
    """Messages as handles. Raises InputError for text that is no Unicode, VaultError for foreign handles."""
    for message in messages:
        if any("\ud800" <= c <= "\udfff" for c in text_of(message)):
            raise InputError("the text holds half of a surrogate pair, which is no Unicode: remove it")
    return [intern_message(message, vault, scope) for message in messages]


def _plain_id(given: str, vault: Vault, scope: Scope) -> str:
    """Ids that frameworks make stay; what an application named itself may say something and is renamed."""
    if given == REMOVE_ALL_MESSAGES or _MADE_ID.fullmatch(given):
        return given
    return vault.alias(scope, given)


def stored_message(message: BaseMessage, vault: Vault, scope: Scope) -> BaseMessage:
    """The message as it came in. Raises VaultError where this scope does not own the handle."""
    if not is_handle(message.content):
        return message
    return messages_from_dict([json.loads(vault.get(scope, str(message.content)))])[0]


def plain_answer(resume: Any) -> Any:
    """Of an answer to `ask`, the yes or no and the hash it binds to; keyed by interrupt id where it was."""
    if isinstance(resume, Mapping) and resume and all(_INTERRUPT_ID.fullmatch(str(key)) for key in resume):
        return {key: plain_answer(value) for key, value in resume.items()}
    if isinstance(resume, Mapping):
        named = str(resume.get("sha256", ""))
        return {"approve": resume.get("approve") is True} | (
            {"sha256": named if _SHA256.fullmatch(named) else ""} if "sha256" in resume else {}
        )
    return None if resume is None else resume is True


def reveal(value: Any, vault: Vault, scope: Scope) -> Any:
    """`value` with every handle of this scope replaced by what it stands for, at any depth.

    A handle that the scope does not own stays as it is: it tells nothing.
    """
    if isinstance(value, BaseMessage):
        try:
            return stored_message(value, vault, scope)
        except VaultError:
            return value
    if is_handle(value):
        try:
            return vault.get(scope, value)
        except VaultError:
            return value
    if isinstance(value, Mapping):
        return {key: reveal(item, vault, scope) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(reveal(item, vault, scope) for item in value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return type(value)(reveal(item, vault, scope) for item in value)  # type: ignore[call-arg]
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: reveal(getattr(value, f.name), vault, scope) for f in fields(value) if f.init}
        return replace(value, **changed)
    return value
