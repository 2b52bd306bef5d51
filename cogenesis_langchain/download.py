"""One address -> one file with the right SHA-256. Resumes, retries, and never leaves a wrong file as done.

No text of a user goes this way, so proxies and certificates are taken from the environment as usual.
"""

from __future__ import annotations

import errno
import hashlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from cogenesis_langchain.errors import DownloadError

if TYPE_CHECKING:
    import httpx

BLOCK = 1 << 18
ATTEMPTS = 5  # in a row without a single new byte
PAUSE_S = 0.5  # doubled after each failure
CONNECT_S = 5.0
READ_S = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a pull: `done` of `total` bytes of `file`; or only a `message` for the person."""

    name: str
    file: str = ""
    done: int = 0
    total: int = 0
    message: str = ""


class Unreachable(DownloadError):
    """The host could not be reached at all: another source may be tried at once."""


class DiskFull(DownloadError):
    """No other source will help."""


class Cancelled(DownloadError):
    """Another part of the same pull failed."""


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn a failed write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full while writing under {where}; free some space or set COGENESIS_CACHE to "
                "another disk, then pull again: the download goes on where it stopped"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DiskFull(
                f"cannot write under {where} ({error.strerror}); correct its permissions or set "
                "COGENESIS_CACHE to a folder of your own"
            ) from None
        raise


def open_client() -> httpx.Client:
    """An HTTP client that trusts the system's and the environment's certificates."""
    import httpx

    context = ssl.create_default_context()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"):
        with suppress(OSError):
            if os.environ.get(name):
                context.load_verify_locations(os.environ[name])
    with suppress(ImportError, OSError):
        import certifi

        context.load_verify_locations(certifi.where())
    return httpx.Client(
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S), follow_redirects=True, verify=context
    )


def _ignore(count: int) -> None:
    """No one watches."""


class Downloader:
    """Fetches addresses into `part` files. One per pull, from any number of threads.

    `cancel` stops every fetch at its next block; `received` counts the new bytes of all fetches.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._count = threading.Lock()
        self.cancel = threading.Event()
        self.received = 0

    def fetch(
        self,
        url: str,
        part: Path,
        sha256: str,
        *,
        size: int | None = None,
        headers: Mapping[str, str] | None = None,
        got: Callable[[int], None] = _ignore,
    ) -> None:
        """Bring `part` to the whole content of `url`, continuing what is there; checked by `sha256`.

        `got` is told every count of new bytes (negative where a start was thrown away). On a wrong size
        or hash the part is deleted. Raises DownloadError.
        """
        with disk_errors(part.parent):
            if not (part.exists() and file_sha256(part) == sha256.lower()):
                self._fetch(url, part, size, headers or {}, got)
            found = file_sha256(part)
            if found == sha256.lower():
                return
            length = part.stat().st_size
            part.unlink()
        got(-length)
        raise DownloadError(
            f"{_host(url)} gave a file with SHA-256 {found} instead of {sha256}; nothing was kept"
        )

    def _fetch(
        self, url: str, part: Path, size: int | None, headers: Mapping[str, str], got: Callable[[int], None]
    ) -> None:
        failures = 0
        got(_length(part))
        while True:
            before = _length(part)
            if size is not None and before == size:
                return
            try:
                if urlsplit(url).scheme == "file":
                    self._copy(url, part, got)
                else:
                    self._stream(url, part, size, headers, got)
            except _Again as again:
                failures = 1 if _length(part) > before else failures + 1
                if failures >= ATTEMPTS or (again.unreachable and failures >= 2):
                    raise (Unreachable if again.unreachable else DownloadError)(str(again)) from None
                if self.cancel.wait(PAUSE_S * 2 ** (failures - 1)):
                    raise Cancelled("stopped") from None
            else:
                if size is None or _length(part) == size:
                    return
                part.unlink()
                raise DownloadError(f"{_host(url)} gave a file of another size; nothing was kept")

    def _stream(
        self, url: str, part: Path, size: int | None, headers: Mapping[str, str], got: Callable[[int], None]
    ) -> None:
        import httpx

        have = _length(part)
        asked = {**headers, "accept-encoding": "identity"} | ({"range": f"bytes={have}-"} if have else {})
        try:
            with self._client.stream("GET", url, headers=asked) as response:
                if response.status_code == 416:
                    part.unlink()
                    got(-have)
                    raise _Again(f"{_host(url)} cannot continue the download")
                self._check_status(url, response.status_code)
                starts = response.headers.get("content-range", "").startswith(f"bytes {have}-")
                resumed = response.status_code == 206 and starts
                if have and not resumed:
                    got(-have)
                with part.open("ab" if resumed else "wb") as out:
                    self._write(response.iter_bytes(), out, size, got)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise _Again(f"cannot reach {_host(url)} ({type(error).__name__})", unreachable=True) from None
        except httpx.TransportError as error:
            raise _Again(f"{_host(url)} broke off the download ({type(error).__name__})") from None
        except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.DecodingError) as error:
            raise DownloadError(f"{_host(url)} cannot be used ({type(error).__name__})") from None

    @staticmethod
    def _check_status(url: str, status: int) -> None:
        if status in (408, 429) or status >= 500:
            raise _Again(f"{_host(url)} answered {status}")
        if status not in (200, 206):
            raise DownloadError(f"{_host(url)} answered {status}")

    def _copy(self, url: str, part: Path, got: Callable[[int], None]) -> None:
        source = Path(url2pathname(unquote(urlsplit(url).path)))
        got(-_length(part))
        if not source.is_file():
            raise DownloadError(f"no file {source}")
        with source.open("rb") as stream, part.open("wb") as out:
            self._write(iter(lambda: stream.read(BLOCK), b""), out, None, got)

    def _write(
        self, blocks: Iterator[bytes], out: IO[bytes], size: int | None, got: Callable[[int], None]
    ) -> None:
        written = out.tell()
        for block in blocks:
            if self.cancel.is_set():
                raise Cancelled("stopped")
            out.write(block)
            written += len(block)
            with self._count:
                self.received += len(block)
            got(len(block))
            if size is not None and written > size:
                return  # larger than pinned: the caller throws it away


class _Again(Exception):
    """This attempt failed and another may not."""

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


def sync(path: Path) -> None:
    """Flush a file to the disk, so that what is renamed into place is whole after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _host(url: str) -> str:
    # Never the whole address: a private index may carry a password in it.
    return urlsplit(url).hostname or "the local file"
