"""Keys and seals: what opens what, where keys lie, and that destroying one is the end of it."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from cogenesis_langchain.crypto import Keys, is_sealed, pseudonym
from cogenesis_langchain.errors import CryptoError, StoreError
from cogenesis_langchain.seals import SEALED, Cipher

CIPHER = Cipher(bytes(range(32)))
PRIVATE = "Marigold Fennimore"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Keys in files."""
    return Keys(tmp_path / "keys")


@given(st.text(st.characters()), st.text(), st.binary())
def test_what_is_sealed_comes_back(text: str, purpose: str, ad: bytes) -> None:
    """Any text, half surrogate pairs too, and any bytes; sealed twice it is never the same."""
    sealed = CIPHER.seal_text(text, purpose, ad)
    assert CIPHER.open_text(sealed, purpose, ad) == text
    assert CIPHER.open(CIPHER.seal(ad, purpose), purpose) == ad
    assert sealed != CIPHER.seal_text(text, purpose, ad)
    assert sealed.isascii()
    assert is_sealed(sealed)
    assert sealed.startswith(SEALED)


@pytest.mark.parametrize(
    ("purpose", "ad", "key"),
    [("other", b"here", CIPHER), ("note", b"there", CIPHER), ("note", b"here", Cipher(b"k" * 32))],
)
def test_nothing_else_opens_it(purpose: str, ad: bytes, key: Cipher) -> None:
    """Another purpose, another place or another key: an error that tells nothing of the text."""
    sealed = CIPHER.seal_text(PRIVATE, "note", b"here")
    with pytest.raises(CryptoError, match="another key") as error:
        key.open_text(sealed, purpose, ad)
    assert PRIVATE not in str(error.value)
    assert error.value.__cause__ is None


@given(st.integers(0), st.integers(1, 255))
def test_every_changed_byte_is_found(at: int, by: int) -> None:
    """Magic number, nonce, text and tag are all covered; so is every cut."""
    sealed = bytearray(CIPHER.seal(PRIVATE.encode(), "note"))
    cut = bytes(sealed[: at % len(sealed)])
    sealed[at % len(sealed)] ^= by
    for wrong in (bytes(sealed), cut):
        with pytest.raises(CryptoError):
            CIPHER.open(wrong, "note")


@pytest.mark.parametrize("text", ["", PRIVATE, "cgs1", "cgs1" + "A" * 60, "cgs1é", "=" * 80, '{"a": 1}'])
def test_the_clear_is_refused(text: str) -> None:
    """What was not sealed is no answer, also where it looks a little like it."""
    with pytest.raises(CryptoError):
        CIPHER.open_text(text, "note")
    with pytest.raises(CryptoError):
        CIPHER.open(text.encode(), "note")


def test_without_a_key_nothing_is_sealed_and_sealed_is_refused() -> None:
    """The cipher of `store.encrypt: false` hands on, and does not hand out what it cannot read."""
    clear = Cipher(None)
    assert not clear.sealing
    assert CIPHER.sealing
    assert clear.open_text(clear.seal_text(PRIVATE, "note"), "note") == PRIVATE
    assert clear.open(clear.seal(b"\0x", "note"), "note") == b"\0x"
    with pytest.raises(CryptoError, match=r"store\.encrypt"):
        clear.open_text(CIPHER.seal_text(PRIVATE, "note"), "note")
    with pytest.raises(CryptoError, match=r"store\.encrypt"):
        clear.open(CIPHER.seal(b"x", "note"), "note")


def test_tags_are_equal_for_equal_texts_of_one_key_and_purpose_only() -> None:
    """A tag finds an entry again and, without the key, cannot be computed from a guess."""
    tag = CIPHER.tag(PRIVATE, "value")
    assert tag == CIPHER.tag(PRIVATE, "value")
    assert len(tag) == 64
    others = {CIPHER.tag(PRIVATE, "item"), Cipher(b"k" * 32).tag(PRIVATE, "value"), CIPHER.tag("x", "value")}
    assert tag not in others
    assert len(others) == 3


def test_a_key_is_never_shown(keys: Keys) -> None:
    """Neither `repr` nor a copy nor a pickle of keys and ciphers holds one."""
    cipher = keys.cipher("ada")
    (path,) = keys.folder.glob("*.key")
    key = path.read_bytes().removeprefix(b"file:").decode()
    assert key not in repr([keys, cipher])
    assert "Cipher()" in repr(cipher)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(cipher)
    with pytest.raises(TypeError):
        pickle.dumps(keys)


def test_each_user_has_a_key_of_their_own(keys: Keys) -> None:
    """Made at first use, found again by another object, and of no use to another user."""
    assert keys.find("ada") is None
    assert not keys.folder.exists(), "looking makes nothing"
    sealed = keys.cipher("ada").seal_text(PRIVATE, "note")
    again = Keys(keys.folder)
    found = again.find("ada")
    assert found is not None
    assert found.open_text(sealed, "note") == PRIVATE
    assert again.named(pseudonym("ada")) is found
    with pytest.raises(CryptoError):
        keys.cipher("ben").open_text(sealed, "note")


def test_key_files_are_for_their_owner_and_name_nobody(keys: Keys) -> None:
    """0600 in a folder 0700, whatever the umask, named by a hash."""
    old = os.umask(0)
    try:
        keys.cipher("../quillon vexmoor")
    finally:
        os.umask(old)
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    for path in keys.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "quillon" not in path.name
    assert {path.name for path in keys.folder.iterdir()} == {
        f"{pseudonym('../quillon vexmoor')}.key",
        "lock",
    }


def test_a_destroyed_key_is_gone_for_everybody(keys: Keys) -> None:
    """Also for an object that had it open; what comes after has a new key."""
    other = Keys(keys.folder)
    sealed = other.cipher("ada").seal_text(PRIVATE, "note")
    (path,) = keys.folder.glob("*.key")
    before = path.read_bytes()
    kept = path.with_name("linked")
    os.link(path, kept)
    assert keys.destroy("ada")
    assert not path.exists()
    assert kept.read_bytes() != before, "overwritten before it was deleted"
    assert len(kept.read_bytes()) == len(before)
    assert other.find("ada") is None
    assert not keys.destroy("ada")
    with pytest.raises(CryptoError):
        other.cipher("ada").open_text(sealed, "note")


@pytest.mark.parametrize("content", [b"", b"file:", b"file:00ff", b"garbage" * 10, b"file:" + b"zz" * 32])
def test_a_damaged_key_file_is_an_error(keys: Keys, content: bytes) -> None:
    """Never a new key in place of a damaged one: what it sealed would be lost without a word."""
    keys.cipher("ada")
    (path,) = keys.folder.glob("*.key")
    path.write_bytes(content)
    for look in (Keys(keys.folder).find, Keys(keys.folder).cipher):
        with pytest.raises(CryptoError, match="damaged"):
            look("ada")
    assert path.read_bytes() == content
    assert issubclass(CryptoError, StoreError)


def test_a_damaged_pointer_can_be_destroyed(ring: Ring, tmp_path: Path) -> None:
    """A purge needs no readable key: what names none is overwritten and gone."""
    keys = Keys(tmp_path / "keys", backend="keyring")
    keys.cipher("ada")
    (path,) = keys.folder.glob("*.key")
    path.write_bytes(b"keyring:\xff\xfe")
    with pytest.raises(CryptoError, match="no longer holds"):
        keys.find("ada")
    assert keys.destroy("ada")
    assert not path.exists()


def test_a_folder_that_may_not_be_read_names_the_cause(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of it; that it cannot be looked into does not mean that no key is there."""
    keys.cipher("ada")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    for call in (keys.find, keys.cipher, keys.destroy):
        with pytest.raises(CryptoError, match="Permission denied; give this user access"):
            call("ada")


def test_a_folder_that_cannot_be_made_names_the_cause(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "keys").write_text("I am a file")
    with pytest.raises(CryptoError, match="for keys"):
        Keys(tmp_path / "keys").cipher("ada")


def test_a_full_disk_leaves_no_half_key(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is written whole or not at all, and no draft stays."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CryptoError, match="No space left"):
        keys.cipher("ada")
    monkeypatch.undo()
    assert [path.name for path in keys.folder.iterdir()] == ["lock"]
    assert keys.cipher("ada")


def _tag_of(folder: str) -> str:
    return Keys(Path(folder)).cipher("ada").tag(PRIVATE, "value")


def test_processes_agree_on_one_key(keys: Keys) -> None:
    """Two processes that want a key at once get the same one."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tags = set(pool.map(_tag_of, [str(keys.folder)] * 8))
    assert tags == {keys.cipher("ada").tag(PRIVATE, "value")}


def test_threads_agree_on_one_key(keys: Keys) -> None:
    """Sixteen threads of one process, through one object and through several."""
    many = [keys, Keys(keys.folder), Keys(keys.folder)]
    with ThreadPoolExecutor(16) as pool:
        tags = set(pool.map(lambda i: many[i % 3].cipher("ada").tag(PRIVATE, "value"), range(16)))
    assert len(tags) == 1


class Ring(KeyringBackend):
    """A keyring in memory, which can be locked."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept under that name."""
        if self.locked:
            raise KeyringLocked(PRIVATE)
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        if self.locked:
            raise KeyringLocked(PRIVATE)
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        if self.held.pop((service, username), None) is None:
            raise PasswordDeleteError


@pytest.fixture
def ring() -> Iterator[Ring]:
    """The system's keyring, for the time of a test."""
    before = keyring.get_keyring()
    ring = Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_the_keyring_keeps_the_key(ring: Ring, tmp_path: Path) -> None:
    """The folder then holds no key, only under which name the keyring has it."""
    keys = Keys(tmp_path / "keys", backend="keyring")
    sealed = keys.cipher("ada").seal_text(PRIVATE, "note")
    (((service, account), key),) = ring.held.items()
    assert service == "cogenesis"
    (path,) = keys.folder.glob("*.key")
    assert path.read_bytes() == b"keyring:" + account.encode()
    assert keys.homes() == {"keyring": 1, "file": 0}
    assert key.encode() not in path.read_bytes()
    found = Keys(keys.folder, backend="file").find("ada")
    assert found is not None, "a key is found where it is, whatever new ones would do"
    assert found.open_text(sealed, "note") == PRIVATE
    assert keys.destroy("ada")
    assert not ring.held
    assert keys.find("ada") is None


def test_a_locked_keyring_is_an_error_and_no_new_key(ring: Ring, tmp_path: Path) -> None:
    """Nothing is read, made or destroyed while it is locked; its own words are not passed on."""
    keys = Keys(tmp_path / "keys", backend="keyring")
    keys.cipher("ada")
    ring.locked = True
    fresh = Keys(tmp_path / "keys", backend="keyring")
    for call in (fresh.find, fresh.cipher, fresh.destroy):
        with pytest.raises(CryptoError, match="unlock it") as error:
            call("ada")
        assert PRIVATE not in str(error.value)
    with pytest.raises(CryptoError, match="unlock it"):
        fresh.cipher("ben")
    ring.locked = False
    assert fresh.find("ada") is not None


def test_a_key_that_the_keyring_lost_is_an_error(ring: Ring, tmp_path: Path) -> None:
    """It is not replaced; purging, which destroys it, still works."""
    keys = Keys(tmp_path / "keys", backend="keyring")
    keys.cipher("ada")
    ring.held.clear()
    with pytest.raises(CryptoError, match="no longer holds"):
        Keys(keys.folder).cipher("ada")
    assert Keys(keys.folder).destroy("ada")
    assert Keys(keys.folder).find("ada") is None


def test_auto_takes_only_keyrings_that_encrypt(
    ring: Ring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyring that nobody vouches for is not used unless it is asked for; a known one is."""
    keys = Keys(tmp_path / "keys")
    keys.cipher("ada")
    assert (keys.homes(), ring.held) == ({"keyring": 0, "file": 1}, {})
    monkeypatch.setattr(Ring, "__module__", "keyring.backends.SecretService")
    keys.cipher("ben")
    assert keys.homes() == {"keyring": 1, "file": 1}


def test_no_keyring_where_one_is_asked_for_is_an_error(tmp_path: Path) -> None:
    """The null keyring of these tests would forget every key."""
    with pytest.raises(CryptoError, match=r"store\.keys"):
        Keys(tmp_path / "keys", backend="keyring").cipher("ada")


@pytest.mark.parametrize("error", [ModuleNotFoundError("bogus"), ValueError("Empty module name")])
def test_broken_settings_of_the_keyring_are_no_keyring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """They may name a package that is not there: `auto` takes files, and who asks for a keyring is told."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(keyring, "get_keyring", fail)
    keys = Keys(tmp_path / "keys")
    assert keys.cipher("ada")
    assert keys.homes() == {"keyring": 0, "file": 1}
    with pytest.raises(CryptoError, match=r"store\.keys"):
        Keys(tmp_path / "ring", backend="keyring").cipher("ada")


def test_keys_of_earlier_days_can_be_destroyed_without_encryption(tmp_path: Path) -> None:
    """`store.encrypt: false` makes no key and uses none; a purge still ends what one sealed before."""
    Keys(tmp_path / "keys").cipher("ada")
    keys = Keys(tmp_path / "keys", seal=False)
    assert not keys.cipher("ada").sealing
    assert not keys.cipher("ben").sealing
    assert keys.homes() == {"keyring": 0, "file": 1}
    assert keys.destroy("ada")
    assert not keys.destroy("ben")
    assert Keys(tmp_path / "keys").find("ada") is None


def test_no_keys_at_all(tmp_path: Path) -> None:
    """Without encryption no file is made, and nothing is there to destroy."""
    keys = Keys(None)
    assert not keys.cipher("ada").sealing
    assert not keys.destroy("ada")
    assert keys.homes() == {"keyring": 0, "file": 0}
