"""A local model behind an OpenAI-compatible server on a trusted endpoint: llama-server, vLLM.

Secret text goes there, so: TLS or loopback only, nothing taken from the environment, no redirects followed,
models that a local server would forward to a cloud refused by name. Bytes go nowhere but to that endpoint.
What is not covered: what the server does with them; a cloud model under a name that does not say so.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cogenesis_langchain.endpoints import tls_context
from cogenesis_langchain.errors import ConfigError, WriterError
from cogenesis_langchain.types import Pieces, finish_of
from cogenesis_langchain.writer.parts import Cancel, Prompt

if TYPE_CHECKING:
    import httpx

_FORWARDED = re.compile(r"[:\-]cloud$", re.IGNORECASE)  # how Ollama names models that it sends to its cloud
_BYTES_PER_TOKEN = 3  # below what tokenisers reach on any common language: counts err on the safe side
_LONGEST_LINE = 1 << 20


class RemoteWriter:
    """A `Writer` over `/v1/chat/completions`. Safe to use from several threads: the server has the queue.

    Args:
        base_url: `https://…`, or `http://` on loopback; `/v1` is added where there is no path.
        model: the name the server knows the model by.
        api_key: sent as a bearer token, if any.
        read_timeout_s: longest silence of the server; reading a long prompt is silent.

    Raises:
        ConfigError: an address that is neither TLS nor loopback, or a model that is forwarded to a cloud.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 120.0,
    ) -> None:
        self.name = model
        self._url = _endpoint(base_url)
        if _FORWARDED.search(model.strip()):
            raise ConfigError(
                f"models.local.model {model!r} runs in Ollama's cloud, not on the endpoint; "
                "choose a model without the cloud suffix"
            )
        self._api_key = api_key
        self._timeouts = (connect_timeout_s, read_timeout_s)
        self._made: httpx.Client | None = None
        self._making = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RemoteWriter({self._url!r}, model={self.name!r})"

    def load(self) -> None:
        """Nothing to load here: the server has the model."""

    def warm(self, prompt: Prompt, *, scope: str, cancel: Cancel | None = None) -> None:
        """Nothing to do: servers keep the state of a prompt's beginning themselves."""

    def forget(self, scope: str) -> None:
        """Nothing is kept here."""

    def write(
        self,
        prompt: Prompt,
        *,
        scope: str,
        max_tokens: int = 700,
        temperature: float = 0.7,
        seed: int | None = None,
        cancel: Cancel | None = None,
    ) -> Pieces:
        """Yields the answer as the server streams it; closing the iterator closes the connection.

        Raises:
            WriterError: no answer, a redirect, an error status, or an answer that is no event stream.
        """
        del scope
        body = self._body(prompt, max_tokens, temperature) | {"stream": True}
        if seed is not None:
            body["seed"] = seed
        finish: object = None
        with closing(self._post(body, "text/event-stream")) as lines:
            for line in lines:
                if cancel is not None and cancel.is_set():
                    return None
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    return finish_of(finish)
                text, ends = _delta(data)
                finish = ends or finish
                if text:
                    yield text
        if not finish:
            raise WriterError("the local model's endpoint broke off in the middle of the text")
        return finish_of(finish)

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """One of the options, by a JSON schema with an enum; the answer is checked against them.

        Raises:
            ValueError: there are no options.
            WriterError: as `write`, or the answer is none of the options.
        """
        del scope
        if not options:
            raise ValueError("choose needs at least one option")
        if len(set(options)) == 1:
            return options[0]
        schema = {
            "type": "object",
            "properties": {"choice": {"type": "string", "enum": list(options)}},
            "required": ["choice"],
            "additionalProperties": False,
        }
        room = 32 + max(self.count(option) for option in options)
        body = self._body(prompt, room, 0.0)
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "choice", "strict": True, "schema": schema},
        }
        answer = "".join(self._post(body, "application/json"))
        try:
            choice = json.loads(json.loads(answer)["choices"][0]["message"]["content"])["choice"]
        except (ValueError, LookupError, TypeError):
            choice = None
        if choice not in options:
            raise WriterError(
                "the local model's endpoint chose none of the options; does it support response_format?"
            )
        return str(choice)

    def count(self, text: str) -> int:
        """An upper estimate of the tokens of a text; the server's tokeniser is not at hand."""
        return math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)

    def close(self) -> None:
        """Closes the connections. Later calls raise WriterError."""
        with self._making:
            self._closed = True
            if self._made is not None:
                self._made.close()
                self._made = None

    def _client(self) -> httpx.Client:
        import httpx

        with self._making:
            if self._closed:
                raise WriterError("the writer was closed; make a new one")
            if self._made is None:
                connect, read = self._timeouts
                headers = {"user-agent": "cogenesis"}
                if self._api_key:
                    headers["authorization"] = f"Bearer {self._api_key}"
                self._made = httpx.Client(
                    headers=headers,
                    timeout=httpx.Timeout(read, connect=connect),
                    trust_env=False,
                    verify=tls_context(self._url),
                    follow_redirects=False,
                )
            return self._made

    def _body(self, prompt: Prompt, max_tokens: int, temperature: float) -> dict[str, Any]:
        messages = [{"role": turn.role, "content": "".join(turn.parts)} for turn in prompt]
        return {
            "model": self.name,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": temperature,
        }

    def _post(self, body: dict[str, Any], expected: str) -> Generator[str, None, None]:
        """The lines of the answer, its status and type checked.

        Errors name the endpoint, never the text. They are raised where no other is being handled: what is
        chained to an error is printed with it, and an encoder's or decoder's error quotes what it failed on.
        """
        import httpx

        where = f"the local model's endpoint {self._url}"
        try:
            with self._client().stream(
                "POST", self._url, json=body, headers={"accept": expected}
            ) as response:
                _check(response, expected)
                yield from _lines(response)
            return
        except WriterError:
            raise
        except httpx.TimeoutException:
            problem = f"{where} took too long to answer"
        except httpx.HTTPError as error:
            problem = f"{where} does not answer ({type(error).__name__}); is the server running?"
        except Exception as error:
            problem = f"{where} cannot be asked for this text ({type(error).__name__})"
        raise WriterError(problem)


def _endpoint(base_url: str) -> str:
    """The address to post to, checked."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ConfigError("models.local.base_url must look like http://127.0.0.1:8080/v1 or https://host/v1")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigError("models.local.base_url: the person's context goes there, so use https or loopback")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}/chat/completions"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check(response: httpx.Response, expected: str) -> None:
    status = response.status_code
    if response.is_redirect:
        raise WriterError(f"the local model's endpoint redirects (HTTP {status}); name the final address")
    if status in (401, 403):
        raise WriterError(f"the local model's endpoint refuses (HTTP {status}); check models.local.api_key")
    if status != 200:
        raise WriterError(f"the local model's endpoint failed with HTTP {status}")
    if not response.headers.get("content-type", "").startswith(expected):
        raise WriterError(f"the local model's endpoint did not answer with {expected}; is the address right?")


def _lines(response: httpx.Response) -> Iterator[str]:
    """Lines as they come; one that never ends is an error before it fills the memory."""
    held = ""
    for text in response.iter_text():
        *lines, held = (held + text).split("\n")
        if len(held) > _LONGEST_LINE:
            raise WriterError("the local model's endpoint sent an endless line")
        yield from (line.rstrip("\r") for line in lines)
    yield held


def _delta(data: str) -> tuple[str, object]:
    """Text of one event, and why the answer ends here, if the server says so."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        event = json.loads(data)
        choice = event["choices"][0] if event.get("choices") else {}
        return str((choice.get("delta") or {}).get("content") or ""), choice.get("finish_reason")
    raise WriterError("the local model's endpoint sent an event that is no JSON")
