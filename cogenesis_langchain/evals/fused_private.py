"""What the router takes for private in a person's text, and how it veils a shadow, for `fused_live`.

These are the product's own detector and known values, by the default policy, with the whole context added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cogenesis_langchain.conversing import withheld
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.fuse.live import Private
from cogenesis_langchain.fuse.veil import veiled
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.store.memory import MemoryStore

if TYPE_CHECKING:
    from cogenesis_langchain.engine import Engine


@dataclass(frozen=True, slots=True)
class Hidden:
    """`known`: what the gate stops; `private`: see `fuse.live`; `veil`: the shadow as it is sent."""

    known: KnownValues
    private: Private = field(repr=False)
    veil: Callable[[str], str] = field(repr=False)


def hidden(engine: Engine, person: Person) -> Hidden:
    """Of one person, and of the first request. Raises DetectorError."""
    store = MemoryStore(person.context(), values_of=engine.values_of)
    known = engine.with_rooms(store=store).known("person")
    task, detector = person.tasks[0], engine.detector
    spans, least = detector.detect(task, known=known), engine.config.privacy.gate.min_score

    def veil(shadow: str) -> str:
        return veiled(shadow, [span for span in detector.detect(shadow) if span.score >= least])

    return Hidden(known, withheld(known.values, [task], spans), veil)
