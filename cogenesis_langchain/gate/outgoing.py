"""The request as it leaves: nothing of what the client above the gate made but the permitted bytes. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.gate.answer import JSON, SSE
from cogenesis_langchain.gate.shape import Chat

if TYPE_CHECKING:
    from pydantic import SecretStr

_CONNECT_S = 10.0


def outgoing_request(
    url: httpx.URL, api_key: SecretStr | None, body: bytes, chat: Chat, deadline: float
) -> httpx.Request:
    """`body` to `url`, with headers and time limits made here; `deadline` is a `time.monotonic()` moment.

    Raises ConfigError for a key that no header can carry.
    """
    headers = {"accept": SSE if chat.stream else JSON, "accept-encoding": "identity", "content-type": JSON}
    headers["user-agent"] = "cogenesis-langchain"
    if api_key is not None:
        key = api_key.get_secret_value()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("the key of models.cloud holds characters that no key has: set it again")
        headers["authorization"] = f"Bearer {key}"
    left = max(deadline - time.monotonic(), 0.001)
    timeout = {"connect": min(_CONNECT_S, left), "read": left, "write": left, "pool": left}
    return httpx.Request("POST", url, headers=headers, content=body, extensions={"timeout": timeout})
