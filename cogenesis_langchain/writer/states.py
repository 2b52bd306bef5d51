"""What the local model has read, on disk: the next process need not read a user's profile again.

One file for each state, sealed with its user's key, in a folder of the user's own. Its name is a keyed tag
of model, settings and tokens; it opens only under that name and that user's key. What is damaged, foreign
or of another version is passed over and replaced; where the disk or the key does not serve, the model
simply reads. Without encryption none are kept: llama.cpp would read them unchecked.

What stays visible: how many states a user has, their sizes (which tell the length of the profile) and when
they were last used.
"""

from __future__ import annotations

import os
import struct
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cogenesis_langchain.crypto import Cipher, Keys, pseudonym
from cogenesis_langchain.errors import CryptoError, StoreError
from cogenesis_langchain.files import cause_of, make_folder, write_whole
from cogenesis_langchain.writer.parts import common_prefix

PURPOSE = "state"
PER_SCOPE = 4  # states of one user: an earlier profile, another model
_MAGIC = b"cogenesis-state-1"
_HEAD = struct.Struct(f"<{len(_MAGIC)}sI")  # and the length of the sealed tokens
_SUFFIX = ".state"
_DRAFT_S = 3600


class KeptStates:
    """States of the model by scope and tokens, least recently used out first. Never raises for a bad disk.

    Args:
        folder: made with the first state.
        keys: the users' keys, asked for at first use.
        max_bytes: of all users together; 0 keeps none.
    """

    def __init__(self, folder: Path, keys: Callable[[], Keys], *, max_bytes: int = 1 << 30) -> None:
        self._folder = folder
        self._keys = keys
        self._max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"KeptStates(max_bytes={self._max_bytes})"

    def best(
        self, scope: str, layout: str, tokens: Sequence[int], *, exact: bool = False
    ) -> tuple[int, bytearray | None]:
        """The state that shares the longest prefix with `tokens`, and that prefix's length in tokens.

        Args:
            scope: whose context was read; no other scope's state is ever found.
            layout: everything besides tokens that a state depends on: model file, template, settings.
            tokens: what has to be read.
            exact: only a state of just these tokens counts.
        """
        with suppress(CryptoError, OSError):
            cipher = self._keys().find(scope) if self._max_bytes else None
            if cipher is None or not cipher.sealing:
                return 0, None
            longest, chosen = 0, None
            for path in self._of(scope, cipher, layout):
                held = _tokens(path, cipher)
                shared = common_prefix(held, tokens)
                if shared > longest and (not exact or shared == len(held) == len(tokens)):
                    longest, chosen = shared, path
            if chosen is not None and (state := _state(chosen, cipher)) is not None:
                return longest, state
        return 0, None

    def put(self, scope: str, layout: str, tokens: Sequence[int], state: Callable[[], bytearray]) -> None:
        """Keeps a state, which is asked for only if it is not there yet; the oldest make room."""
        if not self._max_bytes:
            return
        with suppress(CryptoError, OSError):
            cipher = self._keys().cipher(scope)
            if not cipher.sealing:
                return
            packed = array("I", tokens).tobytes()
            name = f"{_prefix(cipher, layout)}-{cipher.tag(f'{layout}|{packed.hex()}', PURPOSE)[:40]}"
            path = self._home(scope) / f"{name}{_SUFFIX}"
            if path.exists():
                os.utime(path)
                return
            held = cipher.seal(packed, PURPOSE, f"{name}|tokens".encode())
            body = cipher.seal(bytes(state()), PURPOSE, f"{name}|state".encode())
            data = b"".join((_HEAD.pack(_MAGIC, len(held)), held, body))
            self._make_room(scope, len(data))
            if len(data) <= self._max_bytes:
                make_folder(path.parent)
                write_whole(path, data, durable=False)  # a power cut may lose it: then it is read again

    def drop(self, scope: str, layout: str) -> None:
        """Deletes the states of one layout: the model did not take them."""
        with suppress(CryptoError, OSError):
            if (cipher := self._keys().find(scope)) is not None:
                for path in self._of(scope, cipher, layout):
                    path.unlink(missing_ok=True)

    def forget(self, scope: str) -> bool:
        """Deletes every state of a scope; False if there was none. StoreError where the disk refuses."""
        home = self._home(scope)
        try:
            found = list(home.glob("*")) if home.is_dir() else []
            for path in found:
                path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                home.rmdir()
        except OSError as error:
            cause = cause_of(error)
            raise StoreError(f"{home} cannot be deleted: {cause}; give this user access, repeat") from None
        return bool(found)

    def _home(self, scope: str) -> Path:
        return self._folder / pseudonym(scope)

    def _of(self, scope: str, cipher: Cipher, layout: str) -> list[Path]:
        return list(self._home(scope).glob(f"{_prefix(cipher, layout)}-*{_SUFFIX}"))

    def _make_room(self, scope: str, size: int) -> None:
        """Deletes the least recently used: of this scope beyond PER_SCOPE, and of all beyond the bytes."""
        for draft in self._folder.glob("*/*.tmp"):  # of a process that was killed while it wrote
            if time.time() - draft.stat().st_mtime > _DRAFT_S:
                draft.unlink(missing_ok=True)
        ages = {path: path.stat() for path in self._folder.glob(f"*/*{_SUFFIX}")}
        oldest = sorted(ages, key=lambda path: ages[path].st_mtime_ns)
        own = [path for path in oldest if path.parent == self._home(scope)]
        gone = set(own[: max(0, len(own) + 1 - PER_SCOPE)])
        total = size + sum(ages[path].st_size for path in oldest if path not in gone)
        for path in oldest:
            if total > self._max_bytes and path not in gone:
                gone.add(path)
                total -= ages[path].st_size
        for path in gone:
            path.unlink(missing_ok=True)


def _prefix(cipher: Cipher, layout: str) -> str:
    return cipher.tag(layout, f"{PURPOSE}-layout")[:16]


def _tokens(path: Path, cipher: Cipher) -> array[int]:
    """The tokens of a state; none, and the file is gone, where it is damaged or another key's."""
    tokens = array("I")
    try:
        with path.open("rb") as file:
            tokens.frombytes(_opened_tokens(file, path.stem, cipher))
    except (CryptoError, ValueError, struct.error):
        path.unlink(missing_ok=True)
        return array("I")
    return tokens


def _state(path: Path, cipher: Cipher) -> bytearray | None:
    try:
        with path.open("rb") as file:
            _opened_tokens(file, path.stem, cipher)
            state = bytearray(cipher.open(file.read(), PURPOSE, f"{path.stem}|state".encode()))
    except (CryptoError, ValueError, struct.error):
        path.unlink(missing_ok=True)
        return None
    os.utime(path)
    return state


def _opened_tokens(file: BinaryIO, name: str, cipher: Cipher) -> bytes:
    magic, size = _HEAD.unpack(file.read(_HEAD.size))
    if magic != _MAGIC:
        raise ValueError("another format")
    return cipher.open(file.read(size), PURPOSE, f"{name}|tokens".encode())
