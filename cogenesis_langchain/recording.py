"""A real HTTP server on loopback that speaks OpenAI chat completions and keeps every byte it is sent.

Users import it from `cogenesis_langchain.testing`. It answers a valid ten-point sketch unless told
otherwise, and can be told to misbehave in the ways clouds do: see `Reply`.
"""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from cogenesis_langchain.replies import SKETCH, Able, Reply, parsed, pieces, wants_stream

_MAX_HEAD = 65_536


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived; `raw` is every byte: request line, headers, body."""

    line: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Value of the first header of that name, in any case of letters."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class RecordingCloud:
    """Context manager around the server: `base_url`, `requests`, `bodies`.

    `replies` are used up in order, then `default` again and again; a plain string is a `Reply` with that
    text. `delay_s` delays every answer that does not say otherwise. `able` says what the endpoint knows of
    log-probabilities and of texts to continue; a probe of that (`capabilities`) uses up no reply.
    """

    def __init__(
        self,
        replies: Iterable[Reply | str] = (),
        *,
        default: Reply | str = SKETCH,
        delay_s: float = 0.0,
        able: Able | None = None,
    ) -> None:
        self.able = able or Able()
        self._replies = [_reply(reply) for reply in replies]
        self._default = _reply(default)
        self._delay_s = delay_s
        self._requests: list[Recorded] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """What goes into `models.cloud.base_url`."""
        if self._server is None:
            raise RuntimeError("RecordingCloud is a context manager: use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def script(self, *replies: Reply | str) -> None:
        """Answer with these next, in order, before going back to the default."""
        with self._lock:
            self._replies = [_reply(reply) for reply in replies]

    @property
    def requests(self) -> list[Recorded]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def bodies(self) -> list[bytes]:
        """The body of every request so far."""
        return [request.body for request in self.requests]

    @property
    def raw(self) -> bytes:
        """Every byte received so far."""
        return b"".join(request.raw for request in self.requests)

    def round_trip_s(self) -> float:
        """Seconds of one bare request of a kilobyte: what nobody who asks this server can save."""
        body = json.dumps({"messages": [{"role": "user", "content": "x" * 1000}]}).encode()
        host = urlsplit(self.base_url)
        begun = time.perf_counter()
        connection = http.client.HTTPConnection(str(host.hostname), host.port, timeout=30)
        connection.request(
            "POST", f"{host.path}/chat/completions", body, {"Content-Type": "application/json"}
        )
        connection.getresponse().read()
        connection.close()
        return time.perf_counter() - begun

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.cloud = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        with self._lock:
            open_sockets = list(self._sockets)
        for connection in open_sockets:  # idle keep-alive connections would wait for ever
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        if self._thread is not None:
            self._thread.join(5)

    def _next(self, request: Recorded) -> Reply:
        asked = parsed(request.body)
        with self._lock:
            self._requests.append(request)
            if own := self.able.own(asked):
                return own
            reply = self._replies.pop(0) if self._replies else self._default
        reply = self.able.answer(reply, asked)
        if reply.echo:
            reply = replace(reply, text=str(request.json()["messages"][-1]["content"]))
        return replace(reply, delay_s=reply.delay_s or self._delay_s)


def _reply(reply: Reply | str) -> Reply:
    return Reply(text=reply) if isinstance(reply, str) else reply


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    cloud: RecordingCloud

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.cloud._lock:
            self.server.cloud._sockets.add(self.connection)

    def finish(self) -> None:
        with self.server.cloud._lock:
            self.server.cloud._sockets.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        while (request := self._read()) is not None:
            reply = self.server.cloud._next(request)
            if reply.hang:
                self.server.cloud._stop.wait()
                return
            if self._pause(reply.delay_s) or not self._answer(request, reply):
                return

    def _read(self) -> Recorded | None:
        """The next request of the connection; None where it was closed."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(_MAX_HEAD)
            if not line or len(head) > _MAX_HEAD:
                return None
            head += line
        first, *rest = head.decode("latin-1").strip().split("\r\n")
        headers = tuple((name.strip(), value.strip()) for name, _, value in (h.partition(":") for h in rest))
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = self.rfile.read(length)
        return Recorded(first, headers, body, head + body)

    def _answer(self, request: Recorded, reply: Reply) -> bool:
        """Write the answer; False where the connection must close."""
        streamed = reply.raw is None and reply.status == 200 and wants_stream(request.body)
        asked = self.server.cloud.able.heard(parsed(request.body))
        parts = list(pieces(reply, asked, streamed=streamed))
        if not (streamed or reply.drip_s or reply.cut_after is not None):
            parts = [b"".join(parts)]  # one write: sixty small ones would be what a test measures
        default_type = "text/event-stream" if streamed else "application/json"
        head = [f"HTTP/1.1 {reply.status} Scripted", f"Content-Type: {reply.content_type or default_type}"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        size = "Transfer-Encoding: chunked" if streamed else f"Content-Length: {sum(map(len, parts))}"
        self.wfile.write("\r\n".join([*head, size, "", ""]).encode())
        for number, piece in enumerate(parts):
            if reply.cut_after is not None and number >= reply.cut_after:
                return False
            if number and self._pause(reply.drip_s):
                return False
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if streamed else piece)
        if streamed:
            self.wfile.write(b"0\r\n\r\n")
        return True

    def _pause(self, seconds: float) -> bool:
        """Wait; True where the server is being stopped meanwhile."""
        return self.server.cloud._stop.wait(seconds) if seconds else False
