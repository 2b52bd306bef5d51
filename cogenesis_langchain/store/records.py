"""What the store hands out, and the protocol that nodes read. Nothing here prints a user's text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.types import ContextItem, ContextType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogenesis_langchain.crypto import Cipher

Origin = Literal["declared", "field", "entity", "phrase"]
MAX_ITEM_CHARS = 1_000_000
_MAX_USER_CHARS = 256


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item of a user's context. `added` is UTC in ISO 8601, to the second."""

    id: str
    type: ContextType
    title: str = field(repr=False)
    text: str = field(repr=False)
    added: str

    def as_dict(self) -> dict[str, Any]:
        """JSON form, text included: what `export` writes and `ingest` reads back."""
        return {"type": self.type, "title": self.title, "text": self.text, "added": self.added, "id": self.id}


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A known value of a user; one that is not `enabled` is kept so that it stays ignored."""

    value: str = field(repr=False)
    type: str
    origin: Origin
    enabled: bool = True

    def as_dict(self) -> dict[str, Any]:
        """JSON form; the key says that this is no context item."""
        return {
            "known_value": self.value,
            "type": self.type,
            "origin": self.origin,
            "enabled": self.enabled,
        }


@dataclass(frozen=True, slots=True)
class AddReport:
    """Items added, items skipped because they were there (or blank), known values that are new."""

    added: int
    skipped: int
    values: int


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What went. `searched` counts the files whose bytes were read and found clean.

    With a Chroma server its files are out of reach: `checked` is False. `key` says whether the user's key
    was there, and destroyed.
    """

    items: int
    values: int
    searched: int
    checked: bool
    key: bool


class TextEmbedder(Protocol):
    """What the store needs of `embed.Embedder`."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32 of unit norm."""


class ContextSource(Protocol):
    """What a run reads. All of it is Secret: it may reach the local model and nothing else."""

    def has(self, user: str) -> bool:
        """Whether the user has any context."""

    def profile(self, user: str) -> list[StoredItem]:
        """The items of type `profile`, oldest first."""

    def search(
        self, user: str, query: str, *, k: int = 4, types: Sequence[ContextType] | None = None
    ) -> list[StoredItem]:
        """The `k` items nearest to `query`, nearest first."""

    def values(self, user: str) -> list[StoredValue]:
        """The known values, ignored ones included."""

    # Last, because it hides the built-in name from the annotations after it.
    def list(self, user: str, type: ContextType | None = None) -> list[StoredItem]:
        """All items, or those of one type, oldest first."""


def check_user(user: str) -> str:
    """Give the user id back, or raise InputError. Ids are compared byte for byte."""
    if not isinstance(user, str) or not user.strip():
        raise InputError("no user: pass --user, or user= in the run's context")
    if len(user) > _MAX_USER_CHARS or not user.isprintable():
        raise InputError(
            f"the user id must be at most {_MAX_USER_CHARS} printable characters, without line breaks"
        )
    return user


def check_item(item: ContextItem, number: int) -> None:
    """Raise InputError where Chroma could not keep the text as it is; `number` counts from 1."""
    if len(item.text) > MAX_ITEM_CHARS:
        raise InputError(
            f"context item {number} has {len(item.text)} characters, the limit is {MAX_ITEM_CHARS}: split it"
        )
    for text in (item.text, item.title):
        if not storable(text):
            raise InputError(f"context item {number} holds NUL or half a surrogate pair: remove it")


def storable(text: str) -> bool:
    """Whether SQLite keeps the text unchanged: valid Unicode without NUL."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def item_id(item: ContextItem, cipher: Cipher) -> str:
    """32 hex digits from type and text: the same text under the same type is the same item."""
    return cipher.tag(f"{item.type}\0{item.text}", "item")[:32]
