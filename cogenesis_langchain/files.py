"""Folders and files that only their owner reads, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cogenesis_langchain.errors import ConfigError


def under_home(find: Callable[[], Path]) -> Path:
    """What `find` gives; ConfigError where it asks for a home directory and this user has none."""
    try:
        return find()
    except RuntimeError:
        raise ConfigError(
            "this user has no home directory: set HOME, or name COGENESIS_CONFIG, COGENESIS_CACHE and the "
            "policy's store.path in full"
        ) from None


def cause_of(error: OSError) -> str:
    """What the system says of an error: never its own words, which may quote a path or a text."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, all 0700: `mkdir` leaves the parents to the umask.

    Folders that are there stay as they are. OSError as `Path.mkdir`.
    """
    for missing in [path for path in reversed(folder.parents) if not path.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the file (0600) in one step: a reader, or a crash, finds the old bytes or all the new ones.

    Without `durable` a power cut may leave an empty file. OSError where the disk does not obey; then the
    old file stays and no draft is left.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(file)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def wipe(path: Path) -> None:
    """Overwrite a file in place and delete it; no error where it is gone.

    Drives and file systems that write elsewhere (flash, copy on write, backups) may keep the old bytes.
    """
    try:
        with path.open("r+b") as stream:
            stream.write(secrets.token_bytes(path.stat().st_size))
            stream.flush()
            os.fsync(stream.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power cut; does nothing where a folder cannot be opened."""
    with suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
