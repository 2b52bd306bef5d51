"""Seals for what lies on disk: AES-256-GCM under one user's key (see `crypto`, which keeps the keys).

Entries are sealed under sub-keys (HKDF-SHA256) of their purpose, so that none passes for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Any, NoReturn

from cogenesis_langchain.errors import CryptoError

SEALED = "cgs1"
"""How sealed text starts; as Base64 it is also the magic number of sealed bytes."""
KEY_BYTES = 32
_MAGIC = base64.b64decode(SEALED)
_NONCE = 12
_LEAST = len(_MAGIC) + _NONCE + 16
_UNWANTED = "an entry is sealed, and store.encrypt is false: set it to true"


class Cipher:
    """Seals and opens entries under one user's key. Safe for threads; never printed, never pickled.

    Without a key (`store.encrypt: false`) it hands on what it is given, and refuses what is sealed.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._seals: dict[str, Any] = {}
        self._macs: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled")

    @property
    def sealing(self) -> bool:
        """Whether what it gives is unreadable without the key."""
        return self._key is not None

    def seal(self, data: bytes, purpose: str, ad: bytes = b"") -> bytes:
        """Sealed bytes, 31 longer than `data`. `ad` is not kept, but must be the same when opened."""
        if self._key is None:
            return data
        nonce = os.urandom(_NONCE)
        sealed: bytes = self._aead(purpose).encrypt(nonce, data, ad)
        return _MAGIC + nonce + sealed

    def open(self, sealed: bytes, purpose: str, ad: bytes = b"") -> bytes:
        """The bytes; CryptoError where they are in the clear, were changed, or are another key's."""
        from cryptography.exceptions import InvalidTag

        whole = sealed.startswith(_MAGIC) and len(sealed) >= _LEAST
        if self._key is None:
            if whole:
                raise CryptoError(_UNWANTED)
            return sealed
        if not whole:
            raise CryptoError("an entry that must be sealed is in the clear, or damaged")
        start = len(_MAGIC)
        nonce, rest = sealed[start : start + _NONCE], sealed[start + _NONCE :]
        try:
            data: bytes = self._aead(purpose).decrypt(nonce, rest, ad)
        except InvalidTag:
            raise CryptoError("a sealed entry was changed, or sealed with another key") from None
        return data

    def seal_text(self, text: str, purpose: str, ad: bytes = b"") -> str:
        """The same for text, as ASCII that starts with SEALED. Any str goes, half surrogate pairs too."""
        if self._key is None:
            return text
        sealed = self.seal(text.encode("utf-8", "surrogatepass"), purpose, ad)
        return base64.urlsafe_b64encode(sealed).decode("ascii")

    def open_text(self, sealed: str, purpose: str, ad: bytes = b"") -> str:
        """The text; CryptoError as `open`."""
        if self._key is None:
            if is_sealed(sealed):
                raise CryptoError(_UNWANTED)
            return sealed
        try:
            raw = base64.b64decode(sealed.encode("ascii"), b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raw = b""
        return self.open(raw, purpose, ad).decode("utf-8", "surrogatepass")

    def tag(self, text: str, purpose: str) -> str:
        """64 hex digits (HMAC-SHA256) by which an entry is found again without telling its text."""
        if self._key is None:
            return hashlib.sha256(f"{purpose}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()
        return hmac.new(self._mac(purpose), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _aead(self, purpose: str) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        aead = self._seals.get(purpose)
        if aead is None:
            aead = self._seals[purpose] = AESGCM(self._derived(f"seal:{purpose}"))
        return aead

    def _mac(self, purpose: str) -> bytes:
        key = self._macs.get(purpose)
        if key is None:
            key = self._macs[purpose] = self._derived(f"tag:{purpose}")
        return key

    def _derived(self, info: str) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key: bytes = HKDF(SHA256(), KEY_BYTES, None, f"cogenesis:{info}".encode()).derive(self._key or b"")
        return key


def is_sealed(text: str) -> bool:
    """Whether `text` looks as `seal_text` makes it. Says nothing about the key."""
    try:
        return text.startswith(SEALED) and len(base64.b64decode(text, b"-_", validate=True)) >= _LEAST
    except ValueError:
        return False
