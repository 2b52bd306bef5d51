"""The cloud model: langchain-openai's ChatOpenAI above the gate (the only importer of openai's client).

Two phases. `prepare` runs the client up to the door, where the exact bytes are recorded and nothing leaves;
they can be shown, vaulted and approved. `send` and `stream` run the client again from those bytes with a
`Permit`, and the gate lets through nothing but them. The client's own retries are off; at most two more
attempts are made here, each with its own check and its own intent, within one time limit for all. A request
that the cloud began to answer is sent again only for status 429, 502, 503 or 504.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import httpx

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.egress import AsyncGateTransport, Gate, GateTransport
from cogenesis_langchain.errors import CloudError, GateError
from cogenesis_langchain.gate.permit import Call, Permit, Prepared, explained, passing
from cogenesis_langchain.gate.wire import continuation_body, draft_body, longest, reread, to_client, to_wire
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.logprobs import LISTED, read_drafts
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.types import CloudMessage, Dialect, Draft, Outbound, Pieces, Sendable, finish_of

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk
    from langchain_openai import ChatOpenAI
    from tenacity import AsyncRetrying, Retrying

_ATTEMPTS = 3
_WAIT_S = 0.5  # before the second attempt at most this, before the third twice as much


class Cloud:
    """One cloud model. Safe for threads and for any number of event loops; connections are reused.

    Args:
        config: the `models.cloud` section.
        audit: where intents, outcomes and hits are recorded.
        gate: the `privacy.gate` section.
        trusted: the policy lists the endpoint under `privacy.trusted_endpoints`.
    """

    def __init__(
        self,
        config: CloudModelConfig,
        *,
        audit: Audit,
        gate: GateConfig | None = None,
        trusted: bool = False,
    ) -> None:
        self._config = config
        self._gate = Gate(config, audit, gate, trusted)
        self._sync = httpx.Client(transport=GateTransport(self._gate), trust_env=False)
        self._async = httpx.AsyncClient(transport=AsyncGateTransport(self._gate), trust_env=False)

    @property
    def endpoint(self) -> str:
        """The one address that is ever contacted."""
        return str(self._gate.url)

    @property
    def rules(self) -> GateConfig:
        """The gate's rules for this endpoint."""
        return self._gate.rules

    def warm(self) -> None:
        """Import and build the client now (about a second) rather than at the first request."""
        _ = self._client

    def prepare(
        self,
        messages: Sequence[CloudMessage],
        *,
        stream: bool = False,
        max_tokens: int | None = None,
        logprobs: int = 0,
        samples: int = 1,
    ) -> Outbound:
        """The exact body that `send` (or `stream`) would put on the wire; contacts nobody.

        With `logprobs`, the body that `drafts` would: so many candidates at each position of `samples` texts.

        Raises GateError for a frame part that is no pinned prompt text and for a body that the gate lets
        through under no permit (its shape, its size), InputError for text that is no Unicode.
        """
        limit = max_tokens or self._config.max_tokens
        wires = to_wire(messages, trusted=self._gate.trusted)
        if logprobs:
            return self._at_the_door(draft_body(self._config, wires, limit, logprobs, samples))
        turns, call = to_client(wires), Call()
        try:
            with passing(call), explained():
                next(self._deltas(turns, stream, limit), None)
        except Prepared:
            return Outbound(self.endpoint, call.body.decode())
        raise GateError("the client sent nothing through the gate")

    def prepare_continuation(
        self,
        messages: Sequence[CloudMessage],
        prefix: Sendable,
        *,
        max_tokens: int,
        dialect: Dialect,
        logprobs: int = LISTED,
    ) -> Outbound:
        """The body that asks to go on with `prefix`, the beginning of an answer to `messages`.

        Contacts nobody; raises as `prepare` does. The gate lets it out under route `live` alone.
        """
        begun = [CloudMessage("assistant", (prefix,))] if prefix.text else []
        wires = to_wire([*messages, *begun], trusted=self._gate.trusted)
        return self._at_the_door(continuation_body(self._config, wires, max_tokens, logprobs, dialect))

    def drafts(self, outbound: Outbound, permit: Permit) -> tuple[Draft, ...]:
        """Send the bytes of `prepare` with `logprobs`, or of `prepare_continuation`: one draft per sample.

        Raises as `send` does, and CloudError where the answer has no log-probabilities that can be used.
        """
        deadline = time.monotonic() + self._config.timeout_s
        limit = longest(outbound)
        for attempt in _attempts(deadline):
            with attempt, passing(Call(permit, deadline, attempt.retry_state.attempt_number)), explained():
                answer = self._sync.post(outbound.endpoint, content=outbound.body.encode()).content
        return read_drafts(answer, max_tokens=limit)

    def examine(self, outbound: Outbound, permit: Permit) -> None:
        """Raise GateError or GateHit where the gate refuses this body; contacts nobody, records nothing."""
        self._gate.examine(outbound.body.encode(), permit)

    def send(self, outbound: Outbound, permit: Permit) -> str:
        """Send the prepared bytes and give back the whole answer.

        Raises GateError or GateHit where the gate refuses, AuditError where the intent cannot be recorded
        (nothing has left then), CloudError where the cloud is no use.
        """
        return "".join(self.stream(outbound, permit))

    async def asend(self, outbound: Outbound, permit: Permit) -> str:
        """`send` without blocking the event loop."""
        return "".join([piece async for piece in self.astream(outbound, permit)])

    def stream(self, outbound: Outbound, permit: Permit) -> Pieces:
        """Send the prepared bytes; yield the answer as it comes. Raises as `send` does.

        After the first piece nothing is retried: a cut answer ends in CloudError.
        """
        deadline = time.monotonic() + self._config.timeout_s
        pieces: Pieces | None = None
        first = None
        for attempt in _attempts(deadline):
            with attempt:
                call = Call(permit, deadline, attempt.retry_state.attempt_number)
                with passing(call), explained():
                    pieces = self._deltas(*reread(outbound))
                    first = next(pieces, None)
        if not first or pieces is None:
            raise CloudError("the cloud's answer is empty")
        with closing(pieces), explained():  # closed also where the caller stops reading
            yield first
            return (yield from pieces)

    async def astream(self, outbound: Outbound, permit: Permit) -> AsyncGenerator[str, None]:
        """`stream` without blocking the event loop."""
        deadline = time.monotonic() + self._config.timeout_s
        pieces: AsyncGenerator[str, None] | None = None
        first = None
        async for attempt in _aattempts(deadline):
            with attempt:
                call = Call(permit, deadline, attempt.retry_state.attempt_number)
                with passing(call), explained():
                    pieces = self._adeltas(*reread(outbound))
                    first = await anext(pieces, None)
        if not first or pieces is None:
            raise CloudError("the cloud's answer is empty")
        async with aclosing(pieces):
            with explained():
                yield first
                async for piece in pieces:
                    yield piece

    def close(self) -> None:
        """Close the synchronous connections."""
        self._sync.close()

    async def aclose(self) -> None:
        """Close all connections of this event loop, and the synchronous ones."""
        self._sync.close()
        await self._async.aclose()

    def __repr__(self) -> str:
        return f"Cloud({self.endpoint!r}, model={self._config.model!r})"

    def _at_the_door(self, body: dict[str, Any]) -> Outbound:
        """`body`, which the client does not know how to make, as it would go out."""
        url = str(self._gate.raw_url if "prompt" in body else self._gate.url)
        call = Call()
        try:
            with passing(call):
                self._sync.post(url, content=json.dumps(body, ensure_ascii=False, separators=(",", ":")))
        except Prepared:
            return Outbound(url, call.body.decode())
        raise GateError("nothing went through the gate")

    # --- the client ------------------------------------------------------------------------------

    @cached_property
    def _client(self) -> ChatOpenAI:
        """Everything that ChatOpenAI would else take from the environment is given here.

        The key is none: the gate makes the authorization header itself.
        """
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        return ChatOpenAI(
            model=self._config.model,
            base_url=self._config.base_url,
            api_key=SecretStr("made-by-the-gate"),
            temperature=self._config.temperature,
            timeout=self._config.timeout_s,
            max_retries=0,
            cache=False,
            callbacks=[],
            stream_usage=False,
            stream_chunk_timeout=None,
            use_responses_api=False,
            output_version="v0",
            openai_proxy=None,
            http_socket_options=(),
            http_client=self._sync,
            http_async_client=self._async,
        )

    def _deltas(self, messages: list[BaseMessage], stream: bool, max_tokens: int) -> Pieces:
        # `_stream` and `_generate` are what BaseChatModel's `stream` and `invoke` wrap in caches, callbacks
        # and tracers: the wrapping is left out, because each of those would be a side door.
        limit = self._limit(max_tokens)
        if not stream:
            yield str(self._client._generate(messages, **limit).generations[0].message.text)
            return None
        reason = None
        for chunk in self._client._stream(messages, **limit):
            reason = (chunk.generation_info or {}).get("finish_reason", reason)
            if text := str(chunk.message.text):
                yield text
        return finish_of(reason)

    async def _adeltas(
        self, messages: list[BaseMessage], stream: bool, max_tokens: int
    ) -> AsyncGenerator[str, None]:
        limit = self._limit(max_tokens)
        if not stream:
            result = await self._client._agenerate(messages, **limit)
            yield str(result.generations[0].message.text)
            return
        chunks = cast("AsyncGenerator[ChatGenerationChunk, None]", self._client._astream(messages, **limit))
        async with aclosing(chunks):
            async for chunk in chunks:
                if text := str(chunk.message.text):
                    yield text

    def _limit(self, max_tokens: int) -> dict[str, Any]:
        # ChatOpenAI renames max_tokens to OpenAI's newer name, which some compatible servers do not know.
        if self._config.provider == "openai":
            return {"max_tokens": max_tokens}
        return {"extra_body": {"max_tokens": max_tokens}}


def _attempts(deadline: float) -> Retrying:
    from tenacity import Retrying

    return Retrying(**_retry(deadline))


def _aattempts(deadline: float) -> AsyncRetrying:
    from tenacity import AsyncRetrying

    return AsyncRetrying(**_retry(deadline))


def _retry(deadline: float) -> dict[str, Any]:
    """At most two more attempts, for what may pass by itself, and none that would end after `deadline`."""
    from tenacity import retry_if_exception, stop_after_attempt, stop_before_delay, wait_random_exponential

    left = max(deadline - time.monotonic(), 0.0)
    return {
        "stop": stop_after_attempt(_ATTEMPTS) | stop_before_delay(left),
        "wait": wait_random_exponential(multiplier=_WAIT_S, max=4),
        "retry": retry_if_exception(lambda error: isinstance(error, CloudError) and error.retryable),
        "reraise": True,
    }
