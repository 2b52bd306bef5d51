"""`ContextStore`: each user's context in a Chroma collection of their own, sealed under their key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.crypto import Cipher, Keys, is_sealed, pseudonym
from cogenesis_langchain.errors import CryptoError, InputError, StoreError
from cogenesis_langchain.store import entries
from cogenesis_langchain.store.place import Place
from cogenesis_langchain.store.records import (
    AddReport,
    PurgeReport,
    StoredItem,
    StoredValue,
    TextEmbedder,
    check_item,
    check_user,
    item_id,
    storable,
)
from cogenesis_langchain.store.residue import Residue
from cogenesis_langchain.store.values import merged
from cogenesis_langchain.types import ContextItem, ContextType, KnownValue

if TYPE_CHECKING:
    from chromadb import Collection

    from cogenesis_langchain.settings import ServerConfig

BATCH = 64  # items that become durable together
Embed = TextEmbedder | Callable[[], TextEmbedder]


class ContextStore:
    """Private context on this machine (or a trusted Chroma server), one collection for each user.

    Args:
        path: the data folder; the store lives in its subfolder `context`, made at the first write.
        embedder: local embeddings, or a function that gives them at first use.
        keys: the users' keys; None: those in the subfolder `keys`, made where they are missing.
        server: a Chroma server instead of files. Machines that share one must share the keys.
        wait_s: seconds to wait for another process that is writing.

    Every method raises InputError for an unusable user id and StoreError where the store cannot be read
    or written; neither carries the user's text.
    """

    def __init__(
        self,
        path: Path,
        embedder: Embed,
        *,
        keys: Keys | None = None,
        server: ServerConfig | None = None,
        wait_s: float = 10.0,
    ) -> None:
        folder = Path(path).expanduser().resolve()
        self._keys = keys or Keys(folder / "keys")
        self._embedder = embedder
        self._place = Place(folder / "context", server, wait_s)

    def __repr__(self) -> str:
        return f"ContextStore({str(self._place)!r})"

    # --- reading ------------------------------------------------------------------------------------

    def has(self, user: str) -> bool:
        """Whether the user has any context."""
        with self._reading(user) as collection:
            return collection is not None and collection.count() > 0

    def users(self) -> list[str]:
        """Names of all users whose key is there, sorted."""
        found = [(self._keys.named(name), name, entry) for name, entry in self._place.values.users().items()]
        return sorted(entries.open_name(cipher, *rest) for cipher, *rest in found if cipher)

    def locked(self) -> list[str]:
        """Pseudonyms of the users whose key is gone; CryptoError where one is there and cannot be read."""
        return sorted(name for name in self._place.values.users() if self._keys.named(name) is None)

    def profile(self, user: str) -> list[StoredItem]:
        """The items of type `profile`, oldest first."""
        return self.list(user, "profile")

    def search(
        self, user: str, query: str, *, k: int = 4, types: Sequence[ContextType] | None = None
    ) -> list[StoredItem]:
        """The `k` items nearest to `query` (cosine), nearest first; `types` None means all."""
        if k < 1 or (types is not None and not types) or not self.has(user):
            return []
        vector = self._embed([query])
        cipher = self._cipher(user)
        with self._reading(user) as collection:
            if collection is None or not (count := collection.count()):
                return []
            got = collection.query(
                query_embeddings=entries.turned(cipher, vector),
                n_results=min(k, count),
                where={"type": {"$in": list(types)}} if types is not None else None,  # type: ignore[dict-item]
                include=["metadatas"],
            )
        rows = zip(got["ids"][0], (got["metadatas"] or [[]])[0], strict=True)
        return [entries.open_item(cipher, key, meta) for key, meta in rows]

    def values(self, user: str) -> list[StoredValue]:
        """The known values, ignored ones included. StoreError if they are lost while texts remain."""
        found = self._opened(check_user(user))
        if not found:
            self._place.check_values(pseudonym(user))
        return found

    def export(self, user: str) -> Iterator[dict[str, Any]]:
        """Everything kept of the user as JSON objects: items first, then known values."""
        for item in self.list(user):
            yield item.as_dict()
        for value in self.values(user):
            yield value.as_dict()

    # --- writing ------------------------------------------------------------------------------------

    def add(
        self,
        user: str,
        items: Iterable[ContextItem],
        *,
        values_of: Callable[[ContextItem], Iterable[KnownValue]],
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Store items, 64 at a time: what one batch stored survives whatever happens to the next.

        `values_of` gives the known values of an item; they are written before its text. `progress` is
        called with the number of items done so far. Items that are there already are skipped.
        """
        check_user(user)
        added = skipped = values = done = 0
        stream = iter(items)
        while batch := list(islice(stream, BATCH)):
            for number, item in enumerate(batch, done + 1):
                check_item(item, number)
            new = self._new(user, batch)
            if new:
                found = [value for item in new for value in (*item.values, *values_of(item))]
                vectors = self._embed([item.text for item in new])
                values += self._write_batch(user, new, found, vectors)
            done += len(batch)
            added += len(new)
            skipped += len(batch) - len(new)
            if progress:
                progress(done)
        return AddReport(added, skipped, values)

    def set_value(self, user: str, value: str, *, type: str = "DECLARED", enabled: bool = True) -> None:
        """Declare a value, or (not `enabled`) ignore one, now and when it is found again."""
        value = _checked_value(value)
        with self._writing(user):
            old = next((v for v in self._opened(user) if v.value == value), None)
            if old and not enabled:
                new = StoredValue(value, old.type, old.origin, False)
            else:
                new = StoredValue(value, type, "declared", enabled)
            self._write_values(user, [new])

    def remove_value(self, user: str, value: str) -> bool:
        """Forget a value; False if it was not there. A text that is added later may bring it back."""
        with self._writing(user):
            name, book = pseudonym(user), self._place.values
            return bool(book.all(name)) and book.remove(
                name, entries.value_id(self._cipher(user), value.strip())
            )

    def purge(self, user: str) -> PurgeReport:
        """Destroy the user's key, delete what it sealed, and search every file of the store for leftovers.

        Can be repeated after it was interrupted, and needs no key. StoreError if bytes of the user's texts
        are still found. On a server the collections are deleted, but its files cannot be searched.
        """
        check_user(user)
        if self._place.server:
            with self._place.writing():
                return self._purge(user, None)
        if not self._place.root.exists():
            return PurgeReport(0, 0, 0, True, self._keys.destroy(user))
        with self._place.writing():  # not `_writing`: what is damaged can be purged
            kept = self._place.strings_without(pseudonym(user))
            return self._purge(user, Residue(self._texts(user), kept))

    # --- inside -------------------------------------------------------------------------------------

    def _purge(self, user: str, residue: Residue | None) -> PurgeReport:
        name, root = pseudonym(user), self._place.root
        items, values = len(self._place.rows(name)), len(self._place.values.all(name))
        try:
            key = self._keys.destroy(user)
        finally:  # where the key cannot be reached, the rows go all the same
            self._place.drop(name)
        hits, searched = residue.found_in(root) if residue else ([], 0)
        if hits:
            names = ", ".join(str(path.relative_to(root)) for path in hits)
            raise StoreError(f"purged, but {names} in {root} still holds text of the user: delete it")
        return PurgeReport(items, values, searched, residue is not None, key)

    def _texts(self, user: str) -> list[str]:
        """Every string of the user that a file of the store may hold, sealed and in the clear."""
        out = [user, *self._place.strings(pseudonym(user))]
        with suppress(CryptoError):  # without the key nobody knows what the entries say
            out += [value.value for value in self._opened(user)]
            out += [text for item in self._items(user) for text in (item.text, item.title)]
        return out

    def _cipher(self, user: str) -> Cipher:
        """The cipher of a user of whom something is stored."""
        cipher = self._keys.find(user)
        if cipher is None:
            name = self._place.values.users().get(pseudonym(user))
            if name is not None and not is_sealed(name):
                raise CryptoError(
                    "this user's context lies in the clear, and store.encrypt is true: set it to false to "
                    "export the context, then run `cogenesis context purge`, set it to true and add it again"
                )
            raise CryptoError(
                f"the key of this user is gone: put it back into {self._keys.folder}, or run `cogenesis "
                "context purge` and add the context again"
            )
        return cipher

    def _cipher_to_write(self, user: str) -> Cipher:
        """The same, made where nothing is stored yet."""
        known = pseudonym(user) in self._place.values.users()
        return self._cipher(user) if known else self._keys.cipher(user)

    def _opened(self, user: str) -> list[StoredValue]:
        rows = self._place.values.all(pseudonym(user))
        cipher = self._cipher(user) if rows else None
        found = [entries.open_value(cipher, *row) for row in rows] if cipher else []
        return sorted(found, key=lambda value: value.value)

    def _write_values(self, user: str, values: Iterable[StoredValue]) -> None:
        cipher, name = self._cipher_to_write(user), pseudonym(user)
        rows = [entries.seal_value(cipher, value) for value in values]
        self._place.values.write(name, entries.seal_name(cipher, name, user), rows)

    def _new(self, user: str, batch: Sequence[ContextItem]) -> list[ContextItem]:
        """The items of a batch without blank ones, repeated ones and those stored before."""
        distinct = {(item.type, item.text): item for item in reversed(batch) if item.text.strip()}
        items = list(reversed(distinct.values()))
        with self._reading(user) as collection:
            if not items or collection is None or not collection.count():
                return items
            by_id = {item_id(item, self._cipher(user)): item for item in items}
            there = set(collection.get(ids=list(by_id), include=[])["ids"])
        return [item for key, item in by_id.items() if key not in there]

    def _write_batch(
        self, user: str, new: Sequence[ContextItem], found: Sequence[KnownValue], vectors: Any
    ) -> int:
        now, first = datetime.now(UTC).isoformat(timespec="seconds"), time.time_ns()
        with self._writing(user):
            changed = merged(self._opened(user), [v for v in found if storable(v.value)])
            self._write_values(user, changed)
            cipher = self._cipher(user)  # found again here, alone among writers
            rows = [entries.seal_item(cipher, item, now, first + place) for place, item in enumerate(new)]
            self._place.write(pseudonym(user), rows, entries.turned(cipher, vectors))
        return len(changed)

    def _embed(self, texts: Sequence[str]) -> Any:
        if not hasattr(self._embedder, "embed"):
            self._embedder = self._embedder()
        return self._embedder.embed(texts)

    def _reading(self, user: str) -> AbstractContextManager[Collection | None]:
        return self._place.reading(pseudonym(check_user(user)))

    def _writing(self, user: str) -> AbstractContextManager[None]:
        self._place.check_values(pseudonym(check_user(user)))  # a write must not hide that they are lost
        return self._place.writing()

    def _items(self, user: str, type: ContextType | None = None) -> list[StoredItem]:
        rows = self._place.rows(pseudonym(user), type)
        cipher = self._cipher(user) if rows else None
        return [entries.open_item(cipher, *row) for row in rows] if cipher else []

    def list(self, user: str, type: ContextType | None = None) -> list[StoredItem]:
        """All items, or those of one type, oldest first."""
        with self._reading(user) as collection:
            return [] if collection is None else self._items(user, type)


def _checked_value(value: str) -> str:
    value = value.strip()
    if not value or not storable(value) or len(value) > 1000:
        raise InputError("a known value is 1 to 1000 characters of valid text")
    return value
