"""Pinned model files: where they lie, whether they are what the catalogue says, and how to get them.

    locate("all-minilm-l6-v2")        -> the folder, verified
    pull(["en_core_web_sm"])          -> downloaded, verified, in place
    check_gguf(path)                  -> a user's own file looks like a GGUF

The cache is `$COGENESIS_CACHE`, else the user's cache folder: `<cache>/models/<name>/<file>`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cogenesis_langchain.catalogue import (
    DEFAULT_MODELS,
    DEFAULT_WRITER,
    EMBEDDER,
    PIPELINE,
    RAMPART,
    Hub,
    ModelEntry,
    ModelFile,
    Packages,
    catalogue,
    entry,
)
from cogenesis_langchain.chat_templates import ChatTemplate, template
from cogenesis_langchain.download import Progress, file_sha256
from cogenesis_langchain.errors import ModelCorruptError, ModelMissingError
from cogenesis_langchain.files import under_home
from cogenesis_langchain.pull import PullReport, lock, pull_files

__all__ = [
    "DEFAULT_MODELS",
    "DEFAULT_WRITER",
    "EMBEDDER",
    "PIPELINE",
    "RAMPART",
    "ChatTemplate",
    "Hub",
    "ModelEntry",
    "ModelFile",
    "Packages",
    "Progress",
    "PullReport",
    "cache_dir",
    "catalogue",
    "check_gguf",
    "entry",
    "folder",
    "locate",
    "path_of",
    "present",
    "pull",
    "template",
    "verify",
]

_STAMP = ".verified.json"


def cache_dir() -> Path:
    """The cache folder; not created here."""
    chosen = os.environ.get("COGENESIS_CACHE")
    if chosen:
        return under_home(Path(chosen).expanduser)
    import platformdirs

    return under_home(lambda: platformdirs.user_cache_path("cogenesis", appauthor=False))


def folder(name: str) -> Path:
    """Where the files of a catalogue model belong, present or not."""
    return cache_dir() / "models" / entry(name).name


def path_of(name: str) -> Path:
    """What a loader takes: the file of a GGUF, the folder of an ONNX model or a spaCy pipeline."""
    model = entry(name)
    return folder(name) / model.files[0].name if model.kind == "gguf" else folder(name)


def present(name: str) -> bool:
    """Whether all files are there with the right size (no hashing)."""
    root = folder(name)
    return all(_size(root / file.name) == file.size for file in entry(name).files)


def locate(name: str, *, verify: bool = True) -> Path:
    """Path of a model in the cache: a file for a GGUF, a folder for the other kinds.

    With `verify`, files are hashed when first seen; a stamp of size and modification time makes later
    calls cheap. Raises ModelMissingError or ModelCorruptError, both naming the command that helps.
    """
    model = entry(name)
    root = folder(name)
    stamp = _read_stamp(root) if verify else {}
    fresh = dict(stamp)
    for file in model.files:
        mark = _check_size(model, file, root)
        if verify and stamp.get(file.name) != [*mark, file.sha256]:
            _check_hash(model, file, root)
            fresh[file.name] = [*mark, file.sha256]
    if fresh != stamp:
        _write_stamp(root, fresh)
    return path_of(name)


def verify(name: str) -> Path:
    """Hash every file anew, whatever the stamp says; returns and raises as `locate`."""
    with suppress(OSError):
        (folder(name) / _STAMP).unlink()
    return locate(name)


def pull(
    names: Sequence[str] = (), *, progress: Callable[[Progress], None] | None = None
) -> list[PullReport]:
    """Download what is missing or wrong (default: what the shipped presets need).

    Raises DownloadError; nothing is ever put in place before its SHA-256 is right, and an interrupted
    download is resumed by the next call.
    """
    reports = []
    partial = cache_dir() / "partial"
    dead: set[str] = set()
    for model in [entry(name) for name in names or DEFAULT_MODELS]:
        with lock(model.name, partial, progress):
            try:
                locate(model.name)
            except (ModelMissingError, ModelCorruptError):
                missing = [file for file in model.files if not _good(model, file)]
            else:
                missing = []
            reports.append(
                pull_files(model, missing, folder(model.name), partial, progress=progress, dead=dead)
            )
            locate(model.name)
    return reports


def check_gguf(path: Path, sha256: str | None = None) -> Path:
    """A user's own GGUF: exists, has the magic bytes and a known version, and the hash if one is given."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(24)
    except OSError as error:
        raise ModelMissingError(
            f"no readable model file at {path} ({error.strerror}); correct models.local.path in the config"
        ) from None
    if len(head) < 24 or head[:4] != b"GGUF":
        raise ModelCorruptError(f"{path} is not a GGUF file ({size} bytes); give the path of a GGUF model")
    version, tensors, _ = struct.unpack("<IQQ", head[4:])
    if version not in (2, 3) or not tensors or size < 1024:
        raise ModelCorruptError(
            f"{path} is a GGUF of version {version} with {tensors} tensors, which cannot be loaded; "
            "download it again"
        )
    if sha256 and (found := file_sha256(path)) != sha256.lower():
        raise ModelCorruptError(
            f"{path} has SHA-256 {found}, the config pins {sha256.lower()}; download it again or correct "
            "models.local.sha256"
        )
    return path


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _check_size(model: ModelEntry, file: ModelFile, root: Path) -> tuple[int, int]:
    try:
        found = (root / file.name).stat()
    except OSError:
        raise ModelMissingError(
            f"model {model.name} is not in the cache ({root / file.name}); "
            f"run: cogenesis models pull {model.name}"
        ) from None
    if found.st_size != file.size:
        raise ModelCorruptError(
            f"{root / file.name} has {found.st_size} bytes instead of {file.size}; "
            f"run: cogenesis models pull {model.name}"
        )
    return found.st_size, found.st_mtime_ns


def _check_hash(model: ModelEntry, file: ModelFile, root: Path) -> None:
    found = file_sha256(root / file.name)
    if found != file.sha256:
        raise ModelCorruptError(
            f"{root / file.name} has SHA-256 {found} instead of {file.sha256}; "
            f"run: cogenesis models pull {model.name}"
        )


def _good(model: ModelEntry, file: ModelFile) -> bool:
    try:
        _check_size(model, file, folder(model.name))
        _check_hash(model, file, folder(model.name))
    except (ModelMissingError, ModelCorruptError):
        return False
    return True


def _read_stamp(root: Path) -> dict[str, list[int | str]]:
    try:
        stamp = json.loads((root / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(root: Path, stamp: dict[str, list[int | str]]) -> None:
    # The stamp only saves time: a read-only cache works without it.
    with suppress(OSError):
        half = root / f"{_STAMP}.{os.getpid()}"
        half.write_text(json.dumps(stamp), encoding="utf-8")
        half.replace(root / _STAMP)
