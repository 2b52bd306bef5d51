"""What the store writes of items, values and names, and how it is read back: sealed under the user's key.

Each entry is bound to what stands beside it in the clear, so that none can be moved to another place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.crypto import Cipher
from cogenesis_langchain.errors import CryptoError
from cogenesis_langchain.store.records import StoredItem, StoredValue, item_id
from cogenesis_langchain.types import ContextItem

_ID_CHARS = 32


def value_id(cipher: Cipher, value: str) -> str:
    """32 hex digits by which a value is found again."""
    return cipher.tag(value, "value")[:_ID_CHARS]


def seal_item(cipher: Cipher, item: ContextItem, added: str, seq: int) -> tuple[str, dict[str, Any]]:
    """(id, metadata for Chroma) of an item. In the clear stand its type, its time and its place."""
    key = item_id(item, cipher)
    meta: dict[str, Any] = {"type": item.type, "added": added, "seq": seq}
    text = json.dumps([item.title, item.text], ensure_ascii=False)
    return key, meta | {"entry": cipher.seal_text(text, "item", _beside(key, meta))}


def open_item(cipher: Cipher, key: str, meta: Mapping[str, Any]) -> StoredItem:
    """The item; CryptoError where it is in the clear, was changed, or belongs elsewhere."""
    with _readable():
        title, text = json.loads(cipher.open_text(meta["entry"], "item", _beside(key, meta)))
    return StoredItem(key, meta["type"], title, text, meta["added"])


def seal_value(cipher: Cipher, value: StoredValue) -> tuple[str, str]:
    """(id, entry) of a known value."""
    key = value_id(cipher, value.value)
    text = json.dumps([value.value, value.type, value.origin, value.enabled], ensure_ascii=False)
    return key, cipher.seal_text(text, "value", key.encode())


def open_value(cipher: Cipher, key: str, entry: str) -> StoredValue:
    """The value; CryptoError as `open_item`."""
    with _readable():
        return StoredValue(*json.loads(cipher.open_text(entry, "value", key.encode())))


def seal_name(cipher: Cipher, key: str, user: str) -> str:
    """The entry of a user's own name; `key` is their pseudonym."""
    return cipher.seal_text(user, "user", key.encode())


def open_name(cipher: Cipher, key: str, entry: str) -> str:
    """The name; CryptoError as `open_item`."""
    with _readable():
        return cipher.open_text(entry, "user", key.encode())


def turned(cipher: Cipher, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) float32 vectors turned by a rotation that only the key's holder knows; angles stay as they are.

    So a search finds the same, but nobody can embed a guessed text, or invert a vector to its text, without
    the key. No encryption: whoever knows some hundred of the texts can work the rotation out.
    """
    if not cipher.sealing:
        return vectors
    return (vectors @ _rotation(cipher.tag("rotation", "vectors"), vectors.shape[1])).astype(np.float32)


@lru_cache(maxsize=32)
def _rotation(seed: str, size: int) -> NDArray[np.float32]:
    """(size, size) float32, uniform among the orthogonal matrices; the same in every version of numpy."""
    numbers = np.random.RandomState(np.frombuffer(bytes.fromhex(seed), dtype="<u4").astype(np.uint32))
    q, r = np.linalg.qr(numbers.standard_normal((size, size)))
    turn: NDArray[np.float32] = (q * np.sign(np.diag(r))).astype(np.float32)
    return turn


def _beside(key: str, meta: Mapping[str, Any]) -> bytes:
    return json.dumps([key, meta["type"], meta["added"], meta["seq"]]).encode()


@contextmanager
def _readable() -> Iterator[None]:
    """Say what to do about an entry that cannot be opened."""
    try:
        yield
    except CryptoError as error:
        cause = str(error)
    except (KeyError, TypeError, ValueError):
        cause = "an entry of the store is not as this version writes it"
    else:
        return
    raise CryptoError(
        f"{cause}: put the right key or the right store.encrypt back, or run `cogenesis context purge` and "
        "add the context again"
    )
