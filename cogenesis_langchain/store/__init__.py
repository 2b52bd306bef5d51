"""The private context of each user: items in Chroma, known values beside them, all of it local.

Reading needs no lock and works from several processes at once; writers take turns. Texts, titles, values,
their types and users' names are sealed under each user's key (see `crypto`); vectors are turned by a secret
rotation. In the clear stay: how alike a user's texts are to one another (the angles between vectors); each
item's type, time, order and size; how many items and values a user has; and a hash of the user's id, which
can be guessed. What a purge cannot reach is told by `residue`.
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
