"""THE BOUNDARY: the only place where bytes leave for a cloud.

`Gate` is the check. `GateTransport` and `AsyncGateTransport` put it under any httpx client, where the URL,
the headers and the final body of every request pass, retries and streams included; `cloud.Cloud` is the
client above it, `answer` judges what comes back. Read `Permit`, then `Gate.admit`, then the transports.

What is covered: a request leaves only with a `Permit` for exactly its bytes (SHA-256), to exactly the
configured address (its chat, or its completions for one prompt), with headers made here (nothing that the
client or the environment added), within the limits of `privacy.gate`, as chat messages and calls of tools
(see `shape`) without a known value in any string or key of the body and, outside our pinned prompt frames
and the issued placeholders, without anything the detector finds. A text to continue leaves on route `live`
alone. Its intent, within the caps of `privacy.ledger`, is on disk before the first byte. No redirect is
followed; no proxy, netrc, key log or other variable is obeyed.

What is not covered: what the permitted bytes tell a clever reader, their size and their timing; a known
value in a disguise that `normalize` does not undo; anything in a body for an endpoint that the policy
trusts with private text (`Permit.trusted`); other code of this process that opens a connection of its own;
a server that drips its response headers (each read has a limit, their sum has none).
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import httpx

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.endpoints import check_endpoint, tls_context
from cogenesis_langchain.errors import CloudError, CoGenesisError, GateError, GateHit
from cogenesis_langchain.gate.allow import AllowList
from cogenesis_langchain.gate.answer import accepted, broken, never_left, refusal
from cogenesis_langchain.gate.findings import private_spans as _private
from cogenesis_langchain.gate.outgoing import outgoing_request
from cogenesis_langchain.gate.permit import Permit, Prepared, Tally, current
from cogenesis_langchain.gate.shape import Chat, parse
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.types import Outbound, Route

__all__ = ["AsyncGateTransport", "Gate", "GateTransport", "Permit"]


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A request that may go: made of constants and the permitted bytes, its intent on disk."""

    request: httpx.Request
    receipt_id: str
    deadline: float
    chat: Chat


class Gate:
    """The check for one endpoint, by `rules` (`privacy.gate`). Of requests it keeps only their number.

    `trusted`: the policy trusts the endpoint with private text.
    """

    def __init__(
        self, config: CloudModelConfig, audit: Audit, rules: GateConfig | None = None, trusted: bool = False
    ) -> None:
        self.config, self.audit, self.trusted = config, audit, trusted
        self.rules = (rules or GateConfig()).at(config.base_url)
        base = check_endpoint(config.base_url)
        self.url, self.raw_url = httpx.URL(f"{base}/chat/completions"), httpx.URL(f"{base}/completions")
        self.tls = tls_context(str(self.url))
        self._allowed, self._minute = AllowList(self.rules.allow), Tally(60.0)

    def admit(self, request: httpx.Request, body: bytes) -> _Ticket:
        """Check everything, then write the intent. Raises Prepared, GateError, GateHit or AuditError."""
        call = current()
        if call is None:
            raise GateError("a request without a permit reached the gate: only Cloud.send may send")
        if request.method != "POST" or request.url not in (self.url, self.raw_url):
            raise GateError("a request to another address than models.cloud.base_url was stopped")
        permit = call.permit
        if permit is None:
            self._read(body)
            call.body = body
            raise Prepared
        try:
            chat = self.examine(body, permit)
        except GateHit as hit:
            self.audit.hit(
                permit.endpoint,
                permit.route,
                permit.level,
                permit.user,
                hit.spans,
                bits=permit.bits,
                credential=self.config.api_key,
                about=permit.about,
            )
            raise
        outgoing = outgoing_request(self._address(chat), self.config.api_key, body, chat, call.deadline)
        self._count(permit)
        receipt = self.audit.intent(
            Outbound(permit.endpoint, body.decode()),
            route=permit.route,
            level=permit.level,
            bits=permit.bits,
            user=permit.user,
            attempt=call.attempt,
            credential=self.config.api_key,
            about=permit.about,
            task=permit.task,
        )
        if permit.told is not None:
            permit.told(receipt)
        return _Ticket(outgoing, receipt.id, call.deadline, chat)

    def examine(self, body: bytes, permit: Permit) -> Chat:
        """Raise GateError or GateHit unless these bytes may leave. Sends, counts and records nothing."""
        if hashlib.sha256(body).hexdigest() != permit.body_sha256:
            raise GateError("the request is not the one that was permitted: prepare it again")
        if permit.route not in self.rules.routes:
            raise GateError(f"privacy.gate lets no request of route {permit.route} out to this endpoint")
        chat = self._read(body)
        if permit.endpoint != str(self._address(chat)):
            raise GateError("the request is not the one that was permitted, but for its bytes")
        if permit.trusted and not self.trusted:
            raise GateError("the permit trusts an endpoint that privacy.trusted_endpoints does not list")
        if chat.continued and permit.route != str(Route.LIVE):
            raise GateError("only route live may ask a cloud to go on with a text")
        failed, spans = "", []
        try:
            spans = [] if permit.trusted else _private(chat, permit, self._allowed, self.rules.min_score)
        except CoGenesisError:
            raise
        except Exception as error:
            failed = type(error).__name__
        if failed:  # raised out here, so that nothing is chained to it that may quote the text
            raise GateError(f"the gate's own check failed ({failed}), so nothing was sent")
        if spans:
            raise GateHit("the gate found private values in the last bytes; nothing was sent", spans)
        return chat

    def _read(self, body: bytes) -> Chat:
        """The body, if it has a shape and size that may leave at all."""
        if len(body) > self.rules.max_body_bytes:
            raise GateError(
                f"{len(body)} bytes are more than privacy.gate.max_body_bytes, {self.rules.max_body_bytes}"
            )
        chat = parse(body)
        if len(chat.texts) > self.rules.max_messages:
            raise GateError(
                f"{len(chat.texts)} messages are more than privacy.gate.max_messages, "
                f"{self.rules.max_messages}"
            )
        if chat.model != self.config.model:
            raise GateError("the request names another model than models.cloud.model")
        return chat

    def _count(self, permit: Permit) -> None:
        """One more request, each attempt its own: GateError where run or minute have had their share."""
        cap = "max_requests_per_live_run" if permit.route == Route.LIVE else "max_requests_per_run"
        if not permit.run.take(limit := getattr(self.rules, cap)):
            raise GateError(f"this run has sent privacy.gate.{cap}, {limit}")
        if not self._minute.take(self.rules.max_requests_per_minute):
            raise GateError("this minute has seen privacy.gate.max_requests_per_minute already")

    def _address(self, chat: Chat) -> httpx.URL:
        return self.raw_url if chat.raw else self.url

    def broke(self, ticket: _Ticket, error: httpx.HTTPError) -> CloudError:
        """Record where nothing left; otherwise the receipt stays unresolved."""
        if never_left(error):
            self.audit.outcome(ticket.receipt_id, "failed")
        return broken(error)

    def judge(self, ticket: _Ticket, response: httpx.Response) -> None:
        """Record that the bytes arrived; raise CloudError unless the answer can be used."""
        self.audit.outcome(ticket.receipt_id, "sent")
        key = getattr(self.config.api_key, "variable", None)
        if problem := refusal(response, streamed=ticket.chat.stream, key=key):
            raise problem


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
        return accepted(response, ticket.deadline, ticket.chat.stream, ticket.chat.listed)

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
        return accepted(response, ticket.deadline, ticket.chat.stream, ticket.chat.listed)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        if inner := self._loops.pop(asyncio.get_running_loop(), None):
            await inner.aclose()
