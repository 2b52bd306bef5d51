"""Opens Chroma, on disk or on a trusted server: the only importer of chromadb.

Chroma 1.5 reads its settings from the environment and from `.env`, downloads an embedding model unless
told not to, and trusts proxies: here its settings are built without those sources, no collection gets an
embedding function, and its HTTP client takes nothing from the environment.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.endpoints import tls_context
from cogenesis_langchain.errors import CoGenesisError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

    from cogenesis_langchain.settings import ServerConfig

# The index stays in memory and is rebuilt from the durable log (0.1 s for 500 items, 1 s for 5000). Chroma
# writes its index files in place: a process killed meanwhile would lose vectors without any error. See also
# `disk.block_index`.
_KEEP_IN_LOG = 1_000_000_000
_CONFIGURATION = {
    "hnsw": {
        "space": "cosine",
        "max_neighbors": 64,  # with fewer, one of many texts that are equally alike may never be found
        "ef_construction": 200,
        "ef_search": 200,
        "sync_threshold": _KEEP_IN_LOG,
    }
}
_TIMEOUT_S = 30.0


@contextmanager
def chroma_errors(what: str) -> Iterator[None]:
    """Turn whatever Chroma raises into a StoreError that says `what` failed, without its text."""
    try:
        yield
    except CoGenesisError:
        raise
    except BaseException as error:
        # A panic of Chroma's Rust side is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _explained(str(error).casefold(), type(error).__name__, what) from None


def _explained(text: str, kind: str, what: str) -> StoreError:
    if "disk is full" in text or "no space left" in text:
        return StoreError(f"{what}: the disk is full; free some space and repeat the command")
    if "locked" in text or "busy" in text:
        return StoreBusyError(f"{what}: another process holds the store; try again when it is done")
    if "readonly" in text or "permission denied" in text or "unable to open" in text:
        return StoreError(f"{what}: no permission; check who owns the store's folder (`cogenesis doctor`)")
    if "connect" in text or "timed out" in text:
        return StoreError(f"{what}: the Chroma server does not answer; is it running at store.server?")
    return StoreError(f"{what}: Chroma failed ({kind}); check the store's folder or server and its version")


class Chroma:
    """A Chroma client that is opened at first use. `lock` guards every call made through it."""

    def __init__(self, root: Path | None, server: ServerConfig | None = None) -> None:
        self.lock = threading.RLock()
        self._root, self._server = root, server
        self._client: ClientAPI | None = None
        self._pid = os.getpid()
        self.seen = -1  # generation of the files when this client was opened or last wrote

    @property
    def client(self) -> ClientAPI:
        """The open client."""
        if self._pid != os.getpid():
            raise StoreError("the store was opened before a fork: build the router in the child process")
        if self._client is None:
            with chroma_errors("opening the store"):
                self._client = _patiently(self._root) if self._root else _on_server(self._server)
        return self._client

    def close(self) -> None:
        """Let go of files and of the index in memory; the next use opens them again."""
        with self.lock:
            client, self._client = self._client, None
            if client is not None:
                client.close()  # type: ignore[attr-defined]

    def collection(self, name: str) -> Collection | None:
        """The collection of that name, or None."""
        from chromadb.errors import NotFoundError

        with chroma_errors("reading the store"):
            try:
                return self.client.get_collection(name, embedding_function=None)
            except NotFoundError:
                return None

    def make(self, name: str, metadata: dict[str, Any] | None = None) -> Collection:
        """The collection of that name, made if it is missing."""
        with chroma_errors("writing the store"):
            return self.client.get_or_create_collection(
                name,
                embedding_function=None,
                metadata=metadata,
                configuration=_CONFIGURATION,  # type: ignore[arg-type]
            )

    def drop(self, name: str) -> None:
        """Delete the collection if it is there."""
        if self.collection(name) is not None:
            with chroma_errors("deleting from the store"):
                self.client.delete_collection(name)

    def named(self, prefix: str) -> list[Collection]:
        """All collections whose name starts with `prefix`."""
        with chroma_errors("reading the store"):
            return [c for c in self.client.list_collections() if c.name.startswith(prefix)]


_OPEN: weakref.WeakValueDictionary[tuple[int, Path], Chroma] = weakref.WeakValueDictionary()
_OPENING = threading.Lock()


def on_disk(root: Path) -> Chroma:
    """The one Chroma of this process for a folder: two of them would not see each other's writes."""
    with _OPENING:
        key = (os.getpid(), root)
        chroma = _OPEN.get(key)
        if chroma is None:
            chroma = _OPEN[key] = Chroma(root)
        return chroma


def _settings(**given: Any) -> Any:
    from chromadb.config import Settings

    # `model_construct` skips pydantic-settings' sources: neither the environment nor `.env` counts.
    return Settings.model_construct(anonymized_telemetry=False, allow_reset=False, **given)


def _patiently(root: Path) -> ClientAPI:
    """Try again for a second: another process may hold the file, or be making the tables."""
    first: Exception | None = None
    for pause_s in (0.1, 0.3, 0.6, 0.0):
        try:
            return _on_disk(root)
        except Exception as error:
            first = first or error  # Chroma's later ones do not tell the cause
            time.sleep(pause_s)
    assert first is not None
    raise first


def _on_disk(root: Path) -> ClientAPI:
    import chromadb

    settings = _settings(is_persistent=True, persist_directory=str(root))
    return chromadb.PersistentClient(path=str(root), settings=settings)


def _on_server(server: ServerConfig | None) -> ClientAPI:
    import chromadb

    assert server is not None
    key = server.api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else None
    with _OPENING, _nothing_from_environment(server.base_url):
        return chromadb.HttpClient(
            host=server.base_url, port=server.port, ssl=server.ssl, headers=headers, settings=_settings()
        )


@contextmanager
def _nothing_from_environment(url: str) -> Iterator[None]:
    """Chroma makes its own httpx client: no proxies, `.netrc`, key log or redirects, and a timeout."""
    import httpx
    from chromadb.api import fastapi

    module: Any = fastapi

    def client(**given: Any) -> Any:
        given |= {"trust_env": False, "follow_redirects": False, "timeout": _TIMEOUT_S}
        given["verify"] = tls_context(url)
        return httpx.Client(**given)

    module.httpx = SimpleNamespace(Client=client)
    try:
        yield
    finally:
        module.httpx = httpx
