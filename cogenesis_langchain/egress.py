"""THE BOUNDARY: the only place where bytes leave for a cloud.

`Gate` is the check. `GateTransport` and `AsyncGateTransport` put it under any httpx client, where the URL,
the headers and the final body of every request pass, retries and streams included; `cloud.Cloud` is the
client above it, `answer` judges what comes back. Read `Permit`, then `Gate.admit`, then the transports.

What is covered: a request leaves only with a `Permit` for exactly its bytes (SHA-256), to exactly the
configured address, with headers made here (nothing that the client or the environment added), as plain
chat messages without a known value anywhere in the body and, outside our pinned prompt frames and the
issued placeholders, without anything the detector finds. Its intent is on disk before the first byte. No
redirect is followed; no proxy, netrc, key log or other variable is obeyed.

What is not covered: what the permitted bytes tell a clever reader, their size and their timing; a known
value in a disguise that `normalize` does not undo; other code of this process that opens a connection of
its own; a server that drips its response headers (each read has a limit, their sum has none).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from cogenesis_langchain.answer import JSON, SSE, accepted, broken, never_left, refusal
from cogenesis_langchain.audit import Audit
from cogenesis_langchain.endpoints import check_endpoint, tls_context
from cogenesis_langchain.errors import CloudError, CoGenesisError, ConfigError, GateError, GateHit
from cogenesis_langchain.frames import without_frames
from cogenesis_langchain.permit import Permit, Prepared, current
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.types import Outbound, PrivateSpan

__all__ = ["AsyncGateTransport", "Gate", "GateTransport", "Permit"]

_CONNECT_S = 10.0
_FIELDS = {"messages", "model", "stream", "temperature", "max_tokens", "max_completion_tokens"}
_ROLES = {"system", "developer", "user", "assistant"}


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A request that may go: made of constants and the permitted bytes, its intent on disk."""

    request: httpx.Request
    receipt_id: str
    deadline: float
    streamed: bool


class Gate:
    """The check for one endpoint. Keeps no state of requests."""

    def __init__(self, config: CloudModelConfig, audit: Audit, max_body_bytes: int = 65_536) -> None:
        self.config, self.audit, self.max_body_bytes = config, audit, max_body_bytes
        self.url = httpx.URL(check_endpoint(config.base_url) + "/chat/completions")
        self.tls = tls_context(str(self.url))

    def admit(self, request: httpx.Request, body: bytes) -> _Ticket:
        """Check everything, then write the intent. Raises Prepared, GateError, GateHit or AuditError."""
        call = current()
        if call is None:
            raise GateError("a request without a permit reached the gate: only Cloud.send may send")
        if request.method != "POST" or request.url != self.url:
            raise GateError("a request to another address than models.cloud.base_url was stopped")
        if len(body) > self.max_body_bytes:
            raise GateError(
                f"{len(body)} bytes are more than privacy.gate.max_body_bytes, {self.max_body_bytes}"
            )
        if call.permit is None:
            call.body = body
            raise Prepared
        streamed = self._check(body, call.permit)
        outgoing = self._rebuild(body, streamed, call.deadline)
        permit = call.permit
        receipt = self.audit.intent(
            Outbound(permit.endpoint, body.decode()),
            route=permit.route,
            level=permit.level,
            bits=permit.bits,
            user=permit.user,
            attempt=call.attempt,
        )
        if permit.told is not None:
            permit.told(receipt)
        return _Ticket(outgoing, receipt.id, call.deadline, streamed)

    def _check(self, body: bytes, permit: Permit) -> bool:
        """Raise unless these are the permitted bytes and they are clean. Whether they ask for a stream."""
        if hashlib.sha256(body).hexdigest() != permit.body_sha256 or permit.endpoint != str(self.url):
            raise GateError("the request is not the one that was permitted: prepare it again")
        payload = _parse(body)
        if payload["model"] != self.config.model:
            raise GateError("the request names another model than models.cloud.model")
        failed, spans = "", []
        try:
            spans = _private(body.decode(), [message["content"] for message in payload["messages"]], permit)
        except CoGenesisError:
            raise
        except Exception as error:
            failed = type(error).__name__
        if failed:  # raised out here, so that nothing is chained to it that may quote the text
            raise GateError(f"the gate's own check failed ({failed}), so nothing was sent")
        if spans:
            self.audit.hit(permit.endpoint, permit.route, permit.level, permit.user, spans)
            raise GateHit("the gate found private values in the last bytes; nothing was sent", spans)
        return payload.get("stream") is True

    def _rebuild(self, body: bytes, streamed: bool, deadline: float) -> httpx.Request:
        """The request as it leaves: address, headers and limits from the configuration alone."""
        headers = {"accept": SSE if streamed else JSON, "accept-encoding": "identity", "content-type": JSON}
        headers["user-agent"] = "cogenesis-langchain"
        if self.config.api_key is not None:
            key = self.config.api_key.get_secret_value()
            if not (key.isascii() and key.isprintable()):
                raise ConfigError("the key of models.cloud holds characters that no key has: set it again")
            headers["authorization"] = f"Bearer {key}"
        left = max(deadline - time.monotonic(), 0.001)
        timeout = {"connect": min(_CONNECT_S, left), "read": left, "write": left, "pool": left}
        return httpx.Request("POST", self.url, headers=headers, content=body, extensions={"timeout": timeout})

    def broke(self, ticket: _Ticket, error: httpx.HTTPError) -> CloudError:
        """Record where nothing left; otherwise the receipt stays unresolved."""
        if never_left(error):
            self.audit.outcome(ticket.receipt_id, "failed")
        return broken(error)

    def judge(self, ticket: _Ticket, response: httpx.Response) -> None:
        """Record that the bytes arrived; raise CloudError unless the answer can be used."""
        self.audit.outcome(ticket.receipt_id, "sent")
        if problem := refusal(
            response, streamed=ticket.streamed, key=getattr(self.config.api_key, "variable", None)
        ):
            raise problem


def _parse(body: bytes) -> dict[str, Any]:
    """The body as plain chat messages; GateError for anything else: tools, parts, fields unknown here."""
    payload: Any = None
    with suppress(ValueError):  # both the decoder's and the parser's, which quote the text
        payload = json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(payload, dict) or not {"messages", "model"} <= payload.keys() <= _FIELDS:
        raise GateError("the body is not a plain chat completion request in UTF-8 JSON")
    messages = payload["messages"]
    numbers = (payload[name] for name in payload.keys() - {"messages", "model"})
    plain = isinstance(messages, list) and all(isinstance(number, int | float) for number in numbers)
    if not plain or not all(_is_plain(message) for message in messages):
        raise GateError("the body holds something else than plain chat messages")
    return payload


def _is_plain(message: Any) -> bool:
    texts = isinstance(message, dict) and all(isinstance(value, str) for value in message.values())
    return texts and message.keys() == {"role", "content"} and message["role"] in _ROLES


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError  # of two values under one name the gate would read one and the cloud maybe the other
    return dict(pairs)


def _private(body: str, contents: Sequence[str], permit: Permit) -> list[PrivateSpan]:
    """What must not leave. Offsets are those of the message's content, or of the body for what it spans."""
    known = permit.known.find(body) or permit.known.find("\n".join(contents))
    if known:
        return [
            replace(s, message=n) for n, text in enumerate(contents) for s in permit.known.find(text)
        ] or known
    found: list[PrivateSpan] = []
    for number, text in enumerate(contents):
        rest = without_frames(text)
        for placeholder in permit.issued:
            rest = rest.replace(placeholder, " " * len(placeholder))
        if rest.strip():
            found += permit.detector.detect(rest, message=number)
    return [span for span in found if span.score >= permit.min_score]


class GateTransport(httpx.BaseTransport):
    """The gate under a synchronous client."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._inner = httpx.HTTPTransport(verify=gate.tls, trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send what the gate admits; give back what it accepts."""
        ticket = self._gate.admit(request, request.read())
        try:
            response = self._inner.handle_request(ticket.request)
        except httpx.HTTPError as error:
            raise self._gate.broke(ticket, error) from None
        try:
            self._gate.judge(ticket, response)
        except BaseException:
            response.close()
            raise
        return accepted(response, deadline=ticket.deadline, streamed=ticket.streamed)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class AsyncGateTransport(httpx.AsyncBaseTransport):
    """The gate under an asynchronous client. Connections belong to the event loop that opened them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport] = (
            WeakKeyDictionary()
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send what the gate admits; give back what it accepts. Disk and detector wait in a thread."""
        ticket = await asyncio.to_thread(self._gate.admit, request, await request.aread())
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = httpx.AsyncHTTPTransport(verify=self._gate.tls, trust_env=False)
        try:
            response = await self._loops[loop].handle_async_request(ticket.request)
        except httpx.HTTPError as error:
            raise self._gate.broke(ticket, error) from None
        try:
            await asyncio.to_thread(self._gate.judge, ticket, response)
        except BaseException:
            await response.aclose()
            raise
        return accepted(response, deadline=ticket.deadline, streamed=ticket.streamed)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        if inner := self._loops.pop(asyncio.get_running_loop(), None):
            await inner.aclose()
