"""A tap on every socket of this process: who is contacted and what is said, whichever library does it.

For tests that must show that nothing leaves by another door. It sees Python's sockets, those of asyncio and
of every HTTP client included; code that calls the operating system from C or Rust is not seen, and what
goes out through TLS is seen encrypted. Users import it from `cogenesis_langchain.testing`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest import mock
from weakref import WeakSet


class SocketTap:
    """Context manager: `contacted` (addresses), `looked_up` (host names) and `sent` (bytes, in order).

    Bytes that a server in this process answers with are left out: they do not leave a client.
    """

    def __init__(self) -> None:
        self.contacted: list[Any] = []
        self.looked_up: list[str] = []
        self._sent: list[bytes] = []
        self._answering: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self._patches = ExitStack()

    @property
    def sent(self) -> bytes:
        """Every byte that a client of this process has sent so far."""
        with self._lock:
            return b"".join(self._sent)

    def __repr__(self) -> str:
        return f"SocketTap({len(self.contacted)} connections)"

    def __enter__(self) -> Self:
        for name in ("connect", "connect_ex"):
            self._wrap(socket.socket, name, before=lambda _, address: self.contacted.append(address))
        self._wrap(socket.socket, "send", after=lambda n, own, data, *_: self._keep(own, bytes(data)[:n]))
        self._wrap(socket.socket, "sendall", after=lambda _, own, data, *__: self._keep(own, bytes(data)))
        self._wrap(
            socket.socket, "sendmsg", after=lambda n, own, parts, *_: self._keep(own, b"".join(parts)[:n])
        )
        self._wrap(socket.socket, "sendto", before=self._sendto)
        self._wrap(socket, "getaddrinfo", before=lambda host, *_, **__: self.looked_up.append(str(host)))
        accept = socket.socket.accept

        def accepting(own: socket.socket) -> tuple[socket.socket, Any]:
            answering, address = accept(own)
            self._answering.add(answering)
            return answering, address

        self._patches.enter_context(mock.patch.object(socket.socket, "accept", accepting))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patches.close()

    def _wrap(
        self,
        owner: Any,
        name: str,
        before: Callable[..., object] = lambda *_, **__: None,
        after: Callable[..., object] = lambda *_, **__: None,
    ) -> None:
        """`owner.name` as it was; its arguments go to `before`, and with its result to `after`."""
        own = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            before(*args, **kwargs)
            result = own(*args, **kwargs)
            after(result, *args, **kwargs)
            return result

        self._patches.enter_context(mock.patch.object(owner, name, noted))

    def _sendto(self, own: socket.socket, data: Any, *rest: Any) -> None:
        self.contacted.append(rest[-1])
        self._keep(own, bytes(data))

    def _keep(self, own: socket.socket, data: bytes) -> None:
        local = own.family not in (socket.AF_INET, socket.AF_INET6)  # an event loop waking itself
        if not local and own not in self._answering:
            with self._lock:
                self._sent.append(data)
