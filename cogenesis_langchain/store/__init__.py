"""The private context of each user: items in Chroma, known values beside them, all of it local.

Reading needs no lock and works from several processes at once; writers take turns. What is kept on disk
is readable by its owner only and not encrypted yet; what a purge cannot reach is told by `residue`.
"""

from cogenesis_langchain.store.context import ContextStore
from cogenesis_langchain.store.memory import MemoryStore
from cogenesis_langchain.store.records import (
    AddReport,
    ContextSource,
    PurgeReport,
    StoredItem,
    StoredValue,
)

__all__ = [
    "AddReport",
    "ContextSource",
    "ContextStore",
    "MemoryStore",
    "PurgeReport",
    "StoredItem",
    "StoredValue",
]
