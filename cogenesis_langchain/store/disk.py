"""The files of an embedded store: who may read them, who writes, and what a purge leaves behind."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cogenesis_langchain.errors import StoreBusyError, StoreError
from cogenesis_langchain.files import make_folder
from cogenesis_langchain.store.values import sqlite_errors, vacuum

CHROMA_FILE = "chroma.sqlite3"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Tables of Chroma that describe it and hold no item: words found there are Chroma's own.
_DESCRIBING = {
    "migrations": "SELECT * FROM migrations",
    "tenants": "SELECT * FROM tenants",
    "databases": "SELECT * FROM databases",
    "collections": "SELECT * FROM collections",
    "embeddings_queue_config": "SELECT * FROM embeddings_queue_config",
}
_OWN_WORDS = "type added seq entry profile writing device note declared field entity phrase"
_ORPHANS = (
    "DELETE FROM embedding_metadata WHERE id IN ("
    "SELECT id FROM embeddings WHERE segment_id NOT IN (SELECT id FROM segments))",
    "DELETE FROM embedding_metadata_array WHERE id IN ("
    "SELECT id FROM embeddings WHERE segment_id NOT IN (SELECT id FROM segments))",
    "DELETE FROM embedding_fulltext_search WHERE rowid IN ("
    "SELECT id FROM embeddings WHERE segment_id NOT IN (SELECT id FROM segments))",
    "DELETE FROM embeddings WHERE segment_id NOT IN (SELECT id FROM segments)",
    "DELETE FROM embeddings_queue WHERE NOT EXISTS (SELECT 1 FROM collections WHERE instr(topic, id))",
)


def prepare(root: Path) -> None:
    """Make the folder and what is missing above it, closed to everybody but their owner from the start."""
    try:
        make_folder(root)
        root.chmod(0o700)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(
            f"cannot use {root} as the store: {reason}; set store.path to a folder of yours"
        ) from None


def tighten(root: Path) -> None:
    """0700 on folders and 0600 on files, whatever the umask was when Chroma made them."""
    for path in root.rglob("*"):
        if path.is_symlink():
            continue  # what it leads to is not the store's
        try:
            if path.stat().st_mode & 0o077:
                path.chmod(0o700 if path.is_dir() else 0o600)
        except FileNotFoundError:
            continue  # a journal that is gone by now


@contextmanager
def write_lock(root: Path, wait_s: float) -> Iterator[None]:
    """Hold the store's lock file; it falls open when its process dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / "write.lock", timeout=wait_s, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise StoreBusyError(
            f"another process has been writing to the store for {wait_s:g} s: wait for its end, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def rewrite(root: Path) -> None:
    """Free Chroma's files of everything deleted: word index, log, free pages, index folders."""
    file = root / CHROMA_FILE
    if not file.exists():
        return
    vacuum(file, _drop_orphans, _rebuild_word_index)
    block_index(root)
    segments = _index_names(root)
    for path in root.iterdir():
        if _UUID.fullmatch(path.name) and path.name not in segments:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def block_index(root: Path) -> None:
    """Keep Chroma from writing index files: an empty file stands where each index would have its folder.

    Chroma writes them from memory it did not clear, so pieces of any user's text land in them. They are not
    needed: the index is rebuilt from the log. To be called before the first item goes into a collection.
    """
    for name in _index_names(root):
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        path.touch(mode=0o600)


def _index_names(root: Path) -> set[str]:
    with sqlite_errors("writing the store"), closing(sqlite3.connect(root / CHROMA_FILE)) as db:
        return {name for (name,) in db.execute("SELECT id FROM segments WHERE scope = 'VECTOR'")}


def _drop_orphans(db: sqlite3.Connection) -> None:
    """Rows that no collection owns any more; a delete cut short could leave them."""
    for statement in _ORPHANS:
        db.execute(statement)


def _rebuild_word_index(db: sqlite3.Connection) -> None:
    """FTS5 only marks words as deleted: build its index again from what is left."""
    db.execute("INSERT INTO embedding_fulltext_search (embedding_fulltext_search) VALUES ('rebuild')")


def own_words(root: Path) -> list[str]:
    """Text that the databases hold on their own account: schema, migrations, configuration."""
    out = [_OWN_WORDS]
    for file in sorted(root.glob("*.sqlite3")):
        with sqlite_errors("purging"), closing(sqlite3.connect(file)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            queries = ["SELECT name || ' ' || coalesce(sql, '') FROM sqlite_master"]
            queries += [query for name, query in _DESCRIBING.items() if name in tables]
            for query in queries:
                out += [str(cell) for row in db.execute(query) for cell in row if isinstance(cell, str)]
    return out
