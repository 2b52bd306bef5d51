"""Downloads against a real HTTP server on loopback that misbehaves."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from cogenesis_langchain import download
from cogenesis_langchain.download import Cancelled, DiskFull, Downloader, Unreachable, open_client
from cogenesis_langchain.errors import DownloadError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves CONTENT; `cut` breaks off after so many bytes, once per item; `ranges` off ignores Range."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cut: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """Address of the one file."""
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    """One GET with optional Range."""

    server: FileServer

    def log_message(self, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        """Answer as the server's script says."""
        server = self.server
        server.asked.append({name.lower(): value for name, value in self.headers.items()})
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = 0
        asked = self.headers.get("range")
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("content-range", f"bytes {start}-{last}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut.pop(0)] if server.cut else body)
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A running FileServer."""
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """One for all: reading the system's certificates takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        with open_client() as one:
            yield one


@pytest.fixture
def downloader(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Downloader:
    """A Downloader that does not wait between attempts."""
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    return Downloader(client)


def test_whole_file_arrives(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """A plain download brings exactly the content, and the meter counts every byte."""
    seen: list[int] = []
    downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT), got=seen.append)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert sum(seen) == downloader.received == len(CONTENT)


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_cut_download_goes_on_where_it_stopped(
    server: FileServer, downloader: Downloader, tmp_path: Path, size: int | None
) -> None:
    """After a broken connection only the missing bytes are asked for."""
    server.cut = [300_000, 200_000]
    downloader.fetch(server.url, tmp_path / "part", SHA, size=size)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert [one.get("range") for one in server.asked] == [None, "bytes=300000-", "bytes=500000-"]
    assert downloader.received == len(CONTENT)


def test_a_later_run_resumes(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """What an earlier process left behind is continued, not fetched again."""
    (tmp_path / "part").write_bytes(CONTENT[:700_000])
    downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))
    assert server.asked[0]["range"] == "bytes=700000-"
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_whole_part_is_not_fetched_again(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    """A part that already has the right hash costs no request."""
    (tmp_path / "part").write_bytes(CONTENT)
    downloader.fetch(server.url, tmp_path / "part", SHA)
    assert not server.asked


def test_server_without_ranges_starts_over(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    """A server that ignores Range gives the whole file, which replaces the part."""
    server.ranges = False
    (tmp_path / "part").write_bytes(b"x" * 1000)
    downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_part_beyond_the_end_starts_over(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """A part longer than the file (416) is thrown away and the file fetched anew."""
    (tmp_path / "part").write_bytes(b"x" * (len(CONTENT) + 5))
    downloader.fetch(server.url, tmp_path / "part", SHA)
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_wrong_start_is_thrown_away(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """A part with wrong bytes ends in a hash error and leaves nothing; the next run succeeds."""
    (tmp_path / "part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="SHA-256"):
        downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))
    assert not (tmp_path / "part").exists()
    downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!"])
def test_another_size_leaves_nothing(
    server: FileServer, downloader: Downloader, tmp_path: Path, content: bytes
) -> None:
    """A file of another size than pinned is refused and removed."""
    server.content = content
    with pytest.raises(DownloadError):
        downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))
    assert not (tmp_path / "part").exists()


def test_busy_server_is_asked_again(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """503 and 429 are tried again."""
    server.statuses = [503, 429]
    downloader.fetch(server.url, tmp_path / "part", SHA)
    assert len(server.asked) == 3


def test_missing_file_is_not_asked_again(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """404 is final, and the message names host and status only."""
    server.statuses = [404]
    with pytest.raises(DownloadError, match=r"^127\.0\.0\.1 answered 404$"):
        downloader.fetch(server.url, tmp_path / "part", SHA)
    assert len(server.asked) == 1


def test_dead_host_is_unreachable(downloader: Downloader, tmp_path: Path) -> None:
    """A closed port ends soon, as Unreachable, so that another source can be tried."""
    with pytest.raises(Unreachable, match="cannot reach"):
        downloader.fetch("http://127.0.0.1:1/x", tmp_path / "part", SHA)


def test_errors_never_show_the_address(downloader: Downloader, tmp_path: Path) -> None:
    """A password in an index address does not get into the message."""
    with pytest.raises(DownloadError) as caught:
        downloader.fetch("http://anna:hunter2@127.0.0.1:1/x", tmp_path / "part", SHA)
    assert "hunter2" not in str(caught.value)


def test_cancel_stops_and_keeps_the_part(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    """A cancelled fetch ends at the next block and can be resumed."""
    downloader.fetch(server.url, tmp_path / "first", SHA)
    downloader.cancel.set()
    with pytest.raises(Cancelled):
        downloader.fetch(server.url, tmp_path / "part", SHA)
    downloader.cancel.clear()
    downloader.fetch(server.url, tmp_path / "part", SHA)


def test_local_files_work(downloader: Downloader, tmp_path: Path) -> None:
    """file:// addresses, as local package folders give them, are copied and checked."""
    source = tmp_path / "a b.whl"
    source.write_bytes(CONTENT)
    downloader.fetch(source.as_uri(), tmp_path / "part", SHA)
    assert (tmp_path / "part").read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="no file"):
        downloader.fetch((tmp_path / "none").as_uri(), tmp_path / "other", SHA)


def test_full_disk_is_named_and_resumable(
    server: FileServer, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC ends with a message that says what to do; with room again, the download goes on."""

    class FullFile:
        def __init__(self, inner: IO[bytes]) -> None:
            self.inner = inner

        def __enter__(self) -> FullFile:
            return self

        def __exit__(self, *args: object) -> None:
            self.inner.close()

        def tell(self) -> int:
            return self.inner.tell()

        def write(self, block: bytes) -> int:
            if self.inner.tell() > 400_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.inner.write(block)

    real = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        opened = real(self, mode, *args, **kwargs)
        return FullFile(opened) if mode in ("ab", "wb") else opened

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(DiskFull, match=r"disk is full.*COGENESIS_CACHE"):
            downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))
    downloader.fetch(server.url, tmp_path / "part", SHA, size=len(CONTENT))
    assert "range" in server.asked[-1]
