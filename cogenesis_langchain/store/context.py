"""`ContextStore`: each user's context in a Chroma collection of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogenesis_langchain.errors import InputError, StoreError
from cogenesis_langchain.store import chroma as chroma_
from cogenesis_langchain.store import disk
from cogenesis_langchain.store.chroma import Chroma, chroma_errors
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
    user_hash,
)
from cogenesis_langchain.store.residue import Residue
from cogenesis_langchain.store.values import LocalValues, ServerValues, ValueBook, merged
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
        server: a Chroma server instead of files.
        wait_s: seconds to wait for another process that is writing.

    Every method raises InputError for an unusable user id and StoreError where the store cannot be read
    or written; neither carries the user's text.
    """

    def __init__(
        self, path: Path, embedder: Embed, *, server: ServerConfig | None = None, wait_s: float = 10.0
    ) -> None:
        self._root = Path(path).expanduser().resolve() / "context"
        self._embedder = embedder
        self._server = server
        self._wait_s = wait_s
        self._chroma = Chroma(None, server) if server else chroma_.on_disk(self._root)
        self._local = LocalValues(self._root / "values.sqlite3")
        self._values: ValueBook = ServerValues(self._chroma) if server else self._local

    def __repr__(self) -> str:
        return f"ContextStore({'server' if self._server else str(self._root)!r})"

    # --- reading ------------------------------------------------------------------------------------

    def has(self, user: str) -> bool:
        """Whether the user has any context."""
        with self._reading(user) as collection:
            return collection is not None and collection.count() > 0

    def users(self) -> list[str]:
        """Names of all users, sorted."""
        return self._values.users()

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
        with self._reading(user) as collection:
            if collection is None or not (count := collection.count()):
                return []
            got = collection.query(
                query_embeddings=vector,
                n_results=min(k, count),
                where={"type": {"$in": list(types)}} if types is not None else None,  # type: ignore[dict-item]
                include=["documents", "metadatas"],
            )
        rows = zip(got["ids"][0], (got["documents"] or [[]])[0], (got["metadatas"] or [[]])[0], strict=True)
        return [_item(*row) for row in rows]

    def values(self, user: str) -> list[StoredValue]:
        """The known values, ignored ones included. StoreError if they are lost while texts remain."""
        check_user(user)
        if not self._server and self._on_disk() and not self._local.generation():
            raise StoreError(
                f"{self._local.path} is gone or empty: put it back, or delete {self._root} and add again"
            )
        return self._values.all(user)

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
                found = [value for item in new.values() for value in (*item.values, *values_of(item))]
                vectors = self._embed([item.text for item in new.values()])
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
            old = next((v for v in self._values.all(user) if v.value == value), None)
            if old and not enabled:
                new = StoredValue(value, old.type, old.origin, False)
            else:
                new = StoredValue(value, type, "declared", enabled)
            self._values.write(user, [new])

    def remove_value(self, user: str, value: str) -> bool:
        """Forget a value; False if it was not there. A text that is added later may bring it back."""
        with self._writing(user):
            return self._values.remove(user, value.strip())

    def purge(self, user: str) -> PurgeReport:
        """Delete everything of the user and search every file of the store for what is left of it.

        Can be repeated after it was interrupted. StoreError if bytes of the user's texts are still found.
        On a server the collections are deleted, but its files cannot be searched.
        """
        check_user(user)
        if self._server:
            return self._purge_server(user)
        if not self._root.exists():
            return PurgeReport(0, 0, 0, True)
        with self._writing(user):
            items, values = self._items(user), self._values.all(user)
            residue = Residue(self._texts(user), self._kept(user))
            if self._on_disk():
                self._chroma.drop(_name(user))
            self._chroma.close()
            disk.rewrite(self._root)
            self._values.drop(user)
            hits, searched = residue.found_in(self._root)
        if hits:
            names = ", ".join(str(path.relative_to(self._root)) for path in hits)
            raise StoreError(f"purged, but {names} in {self._root} still holds text of the user: delete it")
        return PurgeReport(len(items), len(values), searched, True)

    # --- inside -------------------------------------------------------------------------------------

    def _purge_server(self, user: str) -> PurgeReport:
        items, values = self.list(user), self.values(user)
        with self._chroma.lock:
            self._chroma.drop(_name(user))
            self._values.drop(user)
        return PurgeReport(len(items), len(values), 0, False)

    def _texts(self, user: str) -> list[str]:
        """Every string of the user that a file of the store may hold."""
        items = [text for item in self._items(user) for text in (item.text, item.title)]
        return [user, *items, *(value.value for value in self._values.all(user))]

    def _kept(self, user: str) -> list[str]:
        """What the store goes on holding after `user` is gone: others' strings, and its own words."""
        others = [other for other in self._values.users() if other != user]
        types = [value.type for other in others for value in self._values.all(other)]
        return [
            *(text for other in others for text in self._texts(other)),
            *types,
            *disk.own_words(self._root),
        ]

    def _new(self, user: str, batch: Sequence[ContextItem]) -> dict[str, ContextItem]:
        """The items of a batch by id, without blank ones, repeated ones and those stored before."""
        by_id = {item_id(item): item for item in reversed(batch) if item.text.strip()}
        if by_id:
            with self._reading(user) as collection:
                there = collection.get(ids=list(by_id), include=[])["ids"] if collection else []
            for key in there:
                del by_id[key]
        return dict(reversed(by_id.items()))

    def _write_batch(
        self, user: str, new: dict[str, ContextItem], found: Sequence[KnownValue], vectors: Any
    ) -> int:
        now, first = datetime.now(UTC).isoformat(timespec="seconds"), time.time_ns()
        with self._writing(user):
            changed = merged(self._values.all(user), [v for v in found if storable(v.value)])
            self._values.write(user, changed)
            collection = self._chroma.make(_name(user), {"user": user} if self._server else None)
            if not self._server:
                disk.block_index(self._root)
            with chroma_errors("writing the store"):
                collection.upsert(
                    ids=list(new),
                    embeddings=vectors,
                    documents=[item.text for item in new.values()],
                    metadatas=[
                        {"type": item.type, "title": item.title, "added": now, "seq": first + place}
                        for place, item in enumerate(new.values())
                    ],
                )
        return len(changed)

    def _embed(self, texts: Sequence[str]) -> Any:
        if not hasattr(self._embedder, "embed"):
            self._embedder = self._embedder()
        return self._embedder.embed(texts)

    def _on_disk(self) -> bool:
        return (self._root / disk.CHROMA_FILE).exists()

    def _ready(self) -> bool:
        """Whether a first write was finished; before that another process may still be making the tables."""
        return self._on_disk() and self._local.generation() != 1

    @contextmanager
    def _reading(self, user: str) -> Iterator[Collection | None]:
        """The user's collection as the last finished write left it, or None."""
        check_user(user)
        with self._chroma.lock, chroma_errors("reading the store"):
            if self._server:
                yield self._chroma.collection(_name(user))
            elif self._ready():
                self._freshen()
                yield self._chroma.collection(_name(user))
            else:
                yield None

    def _freshen(self) -> None:
        """Open Chroma again if another process wrote: its index in memory does not follow the disk."""
        generation = self._local.generation()
        if generation % 2 or self._chroma.seen != generation:
            self._chroma.close()
            self._chroma.seen = generation

    @contextmanager
    def _writing(self, user: str) -> Iterator[None]:
        """Alone among writers of all processes; what was half done is visible to the next one."""
        check_user(user)
        if self._server:
            with self._chroma.lock:
                yield
            return
        disk.prepare(self._root)
        with disk.write_lock(self._root, self._wait_s), self._chroma.lock:
            self._freshen()
            self._local.begin()
            yield
            self._chroma.seen = self._local.end()
            disk.tighten(self._root)

    def _items(self, user: str) -> list[StoredItem]:
        collection = self._chroma.collection(_name(user)) if self._server or self._on_disk() else None
        return _all_of(collection, None)

    def list(self, user: str, type: ContextType | None = None) -> list[StoredItem]:
        """All items, or those of one type, oldest first."""
        with self._reading(user) as collection:
            return _all_of(collection, type)


def _name(user: str) -> str:
    return f"u-{user_hash(user)}"


def _all_of(collection: Collection | None, type: ContextType | None) -> list[StoredItem]:
    if collection is None:
        return []
    with chroma_errors("reading the store"):
        got = collection.get(where={"type": type} if type else None, include=["documents", "metadatas"])
    rows = zip(got["ids"], got["documents"] or (), got["metadatas"] or (), strict=True)
    in_order = sorted(rows, key=lambda row: cast(int, row[2]["seq"]))
    return [_item(*row) for row in in_order]


def _item(key: str, text: str, meta: Any) -> StoredItem:
    return StoredItem(key, meta["type"], meta["title"], text, meta["added"])


def _checked_value(value: str) -> str:
    value = value.strip()
    if not value or not storable(value) or len(value) > 1000:
        raise InputError("a known value is 1 to 1000 characters of valid text")
    return value
