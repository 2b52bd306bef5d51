"""Keys and seals for what lies on disk: one key for each user, and destroying it erases all they sealed.

A key is 32 random bytes in the system's keyring, else in a file (0600, in a folder 0700). `seals` tells
how entries are sealed with it.

What is covered: a copy of the data without its keys, and entries that were changed, moved to another place or
put in by somebody without the key. What is not: whoever can read the keys as well (root, the user's own
programs, a stolen disk or a backup that holds both; keys in files lie on the same disk unless their folder is
put elsewhere), the memory of a running process, entries removed or put back as they once were, and old blocks
of a key file on drives that do not overwrite in place.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from cogenesis_langchain.errors import CryptoError
from cogenesis_langchain.files import cause_of, make_folder, wipe, write_whole
from cogenesis_langchain.seals import KEY_BYTES, Cipher, is_sealed

__all__ = ["Cipher", "KeyHome", "Keys", "is_sealed", "pseudonym"]

KeyHome = Literal["auto", "keyring", "file"]
_IN_FILE, _IN_KEYRING = b"file:", b"keyring:"
_SERVICE = "cogenesis"
_WAIT_S = 10.0
# Keyrings that encrypt: `auto` takes no other, because some packages bring one that keeps clear text.
_TRUSTED = tuple(
    f"keyring.backends.{name}" for name in ("macOS", "Windows", "SecretService", "libsecret", "kwallet")
)


def pseudonym(user: str) -> str:
    """40 hex digits that name a user's files and collections. No protection: ids can be guessed."""
    return hashlib.sha256(b"user\0" + user.encode("utf-8", "surrogatepass")).hexdigest()[:40]


class Keys:
    """The users' keys. A small file in `folder` for each of them holds the key, or says where it is.

    Args:
        folder: made (0700) with the first key; keep it apart from backups of the data. None: no keys,
            everything is kept in the clear.
        backend: where new keys go: `keyring`, `file`, or `auto` for a keyring that encrypts, else a file.
            Keys that are there are found wherever they are.
        seal: False gives ciphers that keep everything in the clear. Keys of earlier days can be destroyed.

    Every method raises CryptoError where a key cannot be read or written. Safe for threads and processes.
    """

    def __init__(self, folder: Path | None, *, backend: KeyHome = "auto", seal: bool = True) -> None:
        self.folder = folder or Path()
        self._none = folder is None
        self._clear = None if folder and seal else Cipher(None)
        self._backend = backend
        self._lock = threading.RLock()
        self._open: dict[str, tuple[tuple[int, int, int], Cipher]] = {}

    def __repr__(self) -> str:
        return f"Keys({self._backend!r})"

    def cipher(self, user: str) -> Cipher:
        """The user's cipher, with a new key where there is none."""
        return self.find(user) or self._make(pseudonym(user))

    def find(self, user: str) -> Cipher | None:
        """The user's cipher, or None where there is no key: none was made, or it was destroyed."""
        return self.named(pseudonym(user))

    def named(self, name: str) -> Cipher | None:
        """The cipher of the user with that `pseudonym`, or None."""
        if self._clear is not None:
            return self._clear
        path = self._path(name)
        with self._lock:
            try:
                found = path.stat()
            except FileNotFoundError:
                self._open.pop(name, None)
                return None
            except OSError as error:
                raise _unusable(self.folder, error) from None
            seen = found.st_ino, found.st_mtime_ns, found.st_size  # another process may have put a new one
            old = self._open.get(name)
            if old is None or old[0] != seen:
                self._open[name] = old = seen, Cipher(self._read(path))
            return old[1]

    def destroy(self, user: str) -> bool:
        """Destroy the user's key: nothing sealed with it can be opened again. False if there was none."""
        name = pseudonym(user)
        path = self._path(name)
        if self._none or not self._holds(path):
            return False
        with self._alone():
            try:
                kept = path.read_bytes()
                if kept.startswith(_IN_KEYRING):
                    _keyring_delete(kept.removeprefix(_IN_KEYRING).decode("ascii", "replace"))
                wipe(path)
            except FileNotFoundError:
                return False
            finally:
                self._open.pop(name, None)
        return True

    def destroyer(self, user: str) -> Callable[[], bool]:
        """A function that destroys the key that is there now, but none that somebody makes meanwhile."""

        def readable() -> Cipher | None:
            with suppress(CryptoError):
                return self.find(user)
            return None

        before = readable()
        return lambda: readable() is before and self.destroy(user)

    def homes(self) -> dict[str, int]:
        """How many keys lie in the `keyring` and how many in a `file`, for `cogenesis doctor`."""
        counts = {"keyring": 0, "file": 0}
        try:
            for path in () if self._none else self.folder.glob("*.key"):
                counts["keyring" if path.read_bytes().startswith(_IN_KEYRING) else "file"] += 1
        except OSError as error:
            raise _unusable(self.folder, error) from None
        return counts

    def _holds(self, path: Path) -> bool:
        try:
            path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unusable(self.folder, error) from None
        return True

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with FileLock(self.folder / "lock", timeout=_WAIT_S, mode=0o600):
                yield
        except Timeout:
            raise CryptoError("another process holds the folder of keys: wait, and try again") from None
        except OSError as error:
            raise _unusable(self.folder, error) from None

    def _make(self, name: str) -> Cipher:
        try:
            make_folder(self.folder)
        except OSError as error:
            raise _unusable(self.folder, error) from None
        with self._alone():
            if (cipher := self.named(name)) is None:  # another process may have been faster
                write_whole(self._path(name), self._stored(secrets.token_bytes(KEY_BYTES)))
                cipher = self.named(name)
        if cipher is None:
            raise CryptoError("the key that was just made is gone again: is this user being purged?")
        return cipher

    def _stored(self, key: bytes) -> bytes:
        """What the key's file holds; puts the key into the keyring first where it belongs there."""
        if self._backend == "file" or not _keyring_usable(strict=self._backend == "auto"):
            if self._backend == "keyring":
                raise CryptoError(
                    "store.keys is keyring, and this system's keyring does not answer: unlock it, or set "
                    "store.keys to file"
                )
            return _IN_FILE + key.hex().encode()
        account = secrets.token_hex(16)
        _keyring_set(account, key.hex())
        return _IN_KEYRING + account.encode()

    def _read(self, path: Path) -> bytes:
        try:
            kept = path.read_bytes()
        except OSError as error:
            raise _unusable(self.folder, error) from None
        told: str | None = None
        if kept.startswith(_IN_KEYRING):
            told = _keyring_get(kept.removeprefix(_IN_KEYRING).decode("ascii", "replace"))
            if told is None:
                raise CryptoError(
                    "the system's keyring no longer holds this user's key: put it back from a backup of the "
                    "keyring, or purge the user"
                )
        elif kept.startswith(_IN_FILE):
            told = kept.removeprefix(_IN_FILE).decode("ascii", "replace")
        try:
            key = bytes.fromhex(told or "")
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise CryptoError(f"the key file {path} is damaged: put the right one back, or purge the user")
        return key


def _unusable(folder: Path, error: OSError) -> CryptoError:
    cause = cause_of(error)
    return CryptoError(f"cannot use {folder} for keys: {cause}; give this user access, or free disk space")


def _keyring_usable(*, strict: bool) -> bool:
    """Whether there is a keyring; if `strict`, one that is known to encrypt."""
    try:
        import keyring

        backend: Any = keyring.get_keyring()
        first = next(iter(getattr(backend, "backends", ())), backend)  # of several in a row
        return type(first).__module__.startswith(_TRUSTED) if strict else backend.priority > 0
    except Exception:  # its settings may name anything: what cannot be loaded is no keyring
        return False


def _keyring_get(account: str) -> str | None:
    with _keyring_errors():
        import keyring

        return keyring.get_password(_SERVICE, account)


def _keyring_set(account: str, key: str) -> None:
    with _keyring_errors():
        import keyring

        keyring.set_password(_SERVICE, account, key)


def _keyring_delete(account: str) -> None:
    with _keyring_errors():
        import keyring

        if keyring.get_password(_SERVICE, account) is not None:
            keyring.delete_password(_SERVICE, account)


@contextmanager
def _keyring_errors() -> Iterator[None]:
    """Whatever a keyring raises becomes a CryptoError without its text."""
    try:
        yield
    except Exception as error:
        raise CryptoError(
            f"this system's keyring failed ({type(error).__name__}): unlock it, or correct its settings, and "
            "try again"
        ) from None
