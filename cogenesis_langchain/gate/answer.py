"""What comes back from a cloud: accepted only if it is what was asked for, whole, bounded and in time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx

from cogenesis_langchain.errors import CloudError

MAX_ANSWER_BYTES = 2_097_152
_CANDIDATE_BYTES = 192  # of one token with its log-probability and its bytes, in the most talkative form
_MOST_BYTES = 67_108_864
JSON = "application/json"
SSE = "text/event-stream"
_PASSING = (502, 503, 504)  # what stands before the model says that it did not take the request


def refusal(response: httpx.Response, *, streamed: bool, key: str | None) -> CloudError | None:
    """Why the status and headers of an answer are no use, or None. `key` names the key's variable."""
    status = response.status_code
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 300 <= status < 400:
        why = f"the cloud redirects (status {status}), which is never followed: correct models.cloud.base_url"
        return CloudError(why, status=status)
    if status in (401, 403):
        where = f"environment variable {key}" if key else "models.cloud.api_key, which is not set"
        return CloudError(f"the cloud refuses the key (status {status}): check {where}", status=status)
    if status == 404:
        why = "the cloud knows no such address or model (status 404): check models.cloud"
        return CloudError(why, status=status)
    if status == 429:
        why = "the cloud is asked too often or the quota is used up (status 429)"
        return CloudError(why, retryable=True, status=status)
    if status != 200:
        why = f"the cloud answers with status {status}"
        return CloudError(why, retryable=status in _PASSING, status=status)
    if kind != (SSE if streamed else JSON) or "content-encoding" in response.headers:
        return CloudError("the cloud's answer is no chat completion: check models.cloud.base_url")
    return None


def never_left(error: httpx.HTTPError) -> bool:
    """Whether the connection never came about, so that no byte of the body left."""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def broken(error: httpx.HTTPError, *, arrived: bool = False) -> CloudError:
    """What a broken connection means, without httpx's own words.

    `arrived` says that the answer had begun: the cloud has the request then, and it is not sent again.
    """
    if never_left(error):
        return CloudError("the cloud cannot be reached: check the network and models.cloud", retryable=True)
    if isinstance(error, httpx.TimeoutException):
        return CloudError("the cloud did not answer in time (models.cloud.timeout_s)", retryable=not arrived)
    return CloudError(f"the connection to the cloud broke ({type(error).__name__})", retryable=not arrived)


def accepted(response: httpx.Response, deadline: float, streamed: bool, listed: int) -> httpx.Response:
    """The answer as the client may see it: the body and its type, no cookies, nothing else.

    `listed` candidates with log-probabilities may come on top of what any answer may be long.
    """
    headers = {"content-type": response.headers["content-type"]}
    longest = min(MAX_ANSWER_BYTES + listed * _CANDIDATE_BYTES, _MOST_BYTES)
    return httpx.Response(200, headers=headers, stream=_Answer(response, deadline, streamed, longest))


class _Answer(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an accepted answer. Raises CloudError where it is too long, too slow or cut off: never a
    retryable one, because the cloud has read the request and sending it again would show it twice.

    `deadline` is a `time.monotonic()` moment for the whole answer.
    """

    def __init__(self, response: httpx.Response, deadline: float, streamed: bool, longest: int) -> None:
        self._response, self._deadline, self._streamed = response, deadline, streamed
        self._longest = longest
        self._size, self._tail = 0, b""

    def __iter__(self) -> Iterator[bytes]:
        problem: CloudError | None = None
        try:
            for chunk in cast("httpx.SyncByteStream", self._response.stream):
                self._count(chunk)
                yield chunk
        except httpx.HTTPError as error:
            problem = broken(error, arrived=True)
        self._finish(problem)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        problem: CloudError | None = None
        try:
            async for chunk in cast("httpx.AsyncByteStream", self._response.stream):
                self._count(chunk)
                yield chunk
        except httpx.HTTPError as error:
            problem = broken(error, arrived=True)
        self._finish(problem)

    def close(self) -> None:
        """Close the connection, or give it back to the pool."""
        self._response.close()

    async def aclose(self) -> None:
        """Close the connection, or give it back to the pool."""
        await self._response.aclose()

    def _count(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._tail = (self._tail + chunk)[-64:]
        if self._size > self._longest:
            raise CloudError(f"the cloud's answer is longer than {self._longest} bytes")
        if time.monotonic() > self._deadline:
            raise CloudError("the cloud did not finish in time (models.cloud.timeout_s)")

    def _finish(self, problem: CloudError | None) -> None:
        if problem is not None:  # raised outside the handler: nothing is chained to it
            raise problem
        if self._streamed and not self._tail.rstrip().endswith(b"[DONE]"):
            raise CloudError("the cloud's answer was cut off")
