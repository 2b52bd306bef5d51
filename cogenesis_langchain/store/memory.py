"""A context that is held in memory only: for dry runs over many people, and for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from cogenesis_langchain.crypto import Cipher
from cogenesis_langchain.store.records import (
    StoredItem,
    StoredValue,
    TextEmbedder,
    check_item,
    check_user,
    item_id,
)
from cogenesis_langchain.types import ContextItem, ContextType, KnownValue

_NO_KEY = Cipher(None)
_WORD = re.compile(r"\w+")


class MemoryStore:
    """One person's context. Without an embedder, items are ranked by the words they share with the query.

    Args:
        items: the context; blank and repeated items are left out.
        embedder: local embeddings, used at the first search.
        values_of: known values of an item, as `ContextStore.add` takes it.
        user: whom it belongs to. None: whoever asks, so make one store for each person.
    """

    def __init__(
        self,
        items: Iterable[ContextItem],
        embedder: TextEmbedder | None = None,
        *,
        values_of: Callable[[ContextItem], Iterable[KnownValue]] | None = None,
        user: str | None = None,
    ) -> None:
        self._user = user
        self._embedder = embedder
        self._items: dict[str, StoredItem] = {}
        self._values: dict[str, StoredValue] = {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for number, item in enumerate(items, 1):
            check_item(item, number)
            if not item.text.strip():
                continue
            for found in values_of(item) if values_of else item.values:
                self._values.setdefault(found.value, StoredValue(found.value, found.type, found.origin))
            key = item_id(item, _NO_KEY)
            self._items.setdefault(key, StoredItem(key, item.type, item.title, item.text, now))

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._items)} items)"

    def has(self, user: str) -> bool:
        """Whether there is any context."""
        return self._owns(user) and bool(self._items)

    def profile(self, user: str) -> list[StoredItem]:
        """The items of type `profile`."""
        return self.list(user, "profile")

    def values(self, user: str) -> list[StoredValue]:
        """The known values."""
        return list(self._values.values()) if self._owns(user) else []

    def search(
        self, user: str, query: str, *, k: int = 4, types: Sequence[ContextType] | None = None
    ) -> list[StoredItem]:
        """The `k` items nearest to `query`, nearest first; ties keep their order."""
        items = [item for item in self.list(user) if types is None or item.type in types]
        if not items or k < 1:
            return []
        scores = self._scores(query, items)
        order = sorted(range(len(items)), key=lambda i: -scores[i])
        return [items[i] for i in order[:k]]

    def list(self, user: str, type: ContextType | None = None) -> list[StoredItem]:
        """All items, or those of one type, in the order given."""
        if not self._owns(user):
            return []
        return [item for item in self._items.values() if type in (None, item.type)]

    def _owns(self, user: str) -> bool:
        return self._user is None or check_user(user) == self._user

    def _scores(self, query: str, items: Sequence[StoredItem]) -> Sequence[float]:
        if self._embedder is None:
            asked = _words(query)
            return [len(asked & _words(f"{item.title} {item.text}")) / (1 + len(asked)) for item in items]
        vectors = self._embedder.embed([query, *(item.text for item in items)])
        scores: Sequence[float] = (vectors[1:] @ vectors[0]).tolist()
        return scores


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
