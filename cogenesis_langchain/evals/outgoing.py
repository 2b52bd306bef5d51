"""What would leave the machine for a person's requests, by each method.

`mask`, `free`, `topic` and `kind` are bodies of the real router: a dry run through the graph with the real
detector, the person's own context and known values, the veto and the gate; the policy only names the route
and has no cap. `raw`, `presidio` and `cut` are what is compared with: the request itself, after default
Presidio, and up to its first ": " (what the paper's data sends). Nothing is sent, no cloud is contacted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.config import Config, load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.detection import as_found
from cogenesis_langchain.evals.evasion import Remembering
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.known.matcher import merged
from cogenesis_langchain.leaves import leaves
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.settings import LedgerConfig
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.types import Route

if TYPE_CHECKING:
    from cogenesis_langchain.evals.presidio_default import PresidioDefault

ROUTED: dict[str, dict[str, str]] = {
    "mask": {"route": "mask"},
    "free": {"route": "sketch", "level": "free"},
    "topic": {"route": "sketch", "level": "topic"},
    "kind": {"route": "sketch", "level": "kind"},
}
COMPARED = ("raw", "presidio", "cut")
METHODS = (*COMPARED, *ROUTED)
_USER = "person"


@dataclass(frozen=True, slots=True)
class Sent:
    """What one request sends by one method: the strings of its body, or None where nothing leaves.

    `route` and `level`: where the router ended, after vetoes and the gate; empty for what is compared.
    `seconds`: how long the local model took to make the body.
    """

    method: str
    person: int
    request: int
    text: str | None = field(repr=False)
    route: str = ""
    level: str | None = None
    seconds: float = 0.0


class RememberingWriter:
    """A local model that is asked once: what it answers at temperature 0 without context is kept.

    Args:
        writer: what answers the first time; a function, so that a model that is not needed is not loaded.
        keep: a file with a line for each answer, found by a hash of the question; None keeps in memory.
    """

    def __init__(self, writer: Callable[[], Any], keep: Path | None = None) -> None:
        self._writer, self._keep = writer, keep
        self._answers: dict[str, tuple[str, float]] = {}
        self.seconds = 0.0
        """How long the answers so far took when they were made."""
        self._cut = False
        """Whether the file ends within a line, because a run was ended there."""
        if keep is not None and keep.exists():
            try:
                self._read(keep.read_text(encoding="utf-8"))
            except (OSError, ValueError, TypeError):
                raise InputError(f"{keep} is no file of kept answers: name another one") from None

    def _read(self, text: str) -> None:
        """Raises ValueError or TypeError where the file is another one, so that nothing is added to it."""
        self._cut = not text.endswith("\n") and text != ""
        for line in filter(None, text.split("\n")):
            if not line.startswith('["'):
                raise ValueError
            try:
                key, answer, seconds = json.loads(line)
            except json.JSONDecodeError:  # cut off; it is asked anew
                continue
            self._answers[key] = str(answer), float(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer(), name)

    def load(self) -> None:
        """Nothing: it is loaded when it is asked."""

    def choose(self, prompt: Any, options: Sequence[str], *, scope: str = "") -> str:
        """As the writer's own."""
        return self._once(
            ["choose", prompt, list(options)], lambda: self._writer().choose(prompt, options, scope=scope)
        )

    def write(self, prompt: Any, *, scope: str, **options: Any) -> Iterator[str]:
        """As the writer's own; what depends on context or chance is written anew."""
        if scope or options.get("temperature"):
            return iter(self._writer().write(prompt, scope=scope, **options))
        asked = ["write", prompt, options.get("max_tokens")]
        return iter([self._once(asked, lambda: "".join(self._writer().write(prompt, scope="", **options)))])

    def _once(self, asked: list[Any], ask: Callable[[], str]) -> str:
        plain = json.dumps(asked, default=lambda turn: [turn.role, *turn.parts])
        key = hashlib.sha256(plain.encode()).hexdigest()
        if key not in self._answers:
            begun = time.perf_counter()
            self._answers[key] = ask(), time.perf_counter() - begun
            if self._keep is not None:
                line = "\n" * self._cut + json.dumps([key, *self._answers[key]]) + "\n"
                self._cut = False
                handle = os.open(self._keep, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(line)
        answer, seconds = self._answers[key]
        self.seconds += seconds
        return answer


class Outgoing:
    """The methods over one policy. `engine` has the user's own detectors, limits, local model and lists.

    Args:
        config: the policy whose settings count; its rules do not.
        folder: an empty one, for what the router keeps while it runs.
        keep: where answers of the local model are kept, see `RememberingWriter`.
        rooms: ready-made rooms of the engine, for tests.
    """

    def __init__(self, config: Config, folder: Path, keep: Path | None = None, **rooms: Any) -> None:
        engine = Engine(_forced(config, folder), **rooms)
        self._own = engine
        self._writer = RememberingWriter(lambda: engine.writer, keep)
        self.engine = engine.with_rooms(writer=self._writer)

    def close(self) -> None:
        """Frees the local model."""
        self._own.close()

    def of(self, number: int, person: Person, methods: Sequence[str]) -> Iterator[Sent]:
        """Every request of `person` (the `number`-th) by every method."""
        router = self._router(person) if any(method in ROUTED for method in methods) else None
        for request, task in enumerate(person.tasks):
            for method in methods:
                if method in ROUTED:
                    before = self._writer.seconds
                    text, route, level = _dry_run(router, task, method)
                    took = self._writer.seconds - before
                    yield Sent(method, number, request, text, route, level, took)
                else:
                    yield Sent(method, number, request, self._compared(task, method))

    def _router(self, person: Person) -> PrivacyRouter:
        detector = Remembering(self.engine.detector)  # a request goes by several routes
        engine = self.engine.with_rooms(detector=detector)
        store = MemoryStore(person.context(), values_of=engine.values_of, user=_USER)
        return create_privacy_router(engine=engine.with_rooms(store=store), user_id=_USER)

    def _compared(self, task: str, method: str) -> str:
        if method == "cut":
            return task.partition(": ")[0]
        if method == "presidio":
            return as_found(task, merged(self._presidio.detect(task)))[0]
        return task

    @cached_property
    def _presidio(self) -> PresidioDefault:
        from cogenesis_langchain.evals.presidio_default import PresidioDefault

        return PresidioDefault()


def _dry_run(router: Any, task: str, method: str) -> tuple[str | None, str, str | None]:
    """(the strings of the body that would leave or None, route, level)."""
    state = router.invoke(task, context=RouterContext(tags=frozenset({method}), dry_run=True))
    route, level = state["route"], state["level"]
    if not Route(route).sends or not state["outbound"]:
        return None, route, level
    return strings(state["outbound"][-1]["body"]), route, level


def strings(body: str) -> str:
    """Every value of a JSON body, whatever role or field it stands in, a line each."""
    return "\n".join(leaf for leaf, after in leaves(json.loads(body)) if after == "\n")


def telling(texts: Sequence[str]) -> list[str]:
    """The texts without the lines that all of them share, which tell nothing: the frame around a task."""
    lines = [text.split("\n") for text in texts]
    shared = set.intersection(*map(set, lines)) if lines else set()
    return ["\n".join(line for line in found if line not in shared) for found in lines]


def _forced(config: Config, folder: Path) -> Config:
    """The settings of `config` with rules in which a tag names the route, and data kept in `folder`."""
    decisions = [
        {"name": name, "priority": priority, "rules": {"tag": name}, "action": action}
        for priority, (name, action) in enumerate(ROUTED.items(), 1)
    ]
    cloud = {"provider": "openai_compatible", "model": "stand-in", "base_url": "http://127.0.0.1:9/v1"}
    forced = load(
        {
            "version": 1,
            "models": {"cloud": cloud},
            "routing": {"default": {"route": "local"}, "decisions": decisions},
        }
    )
    return config.model_copy(
        update={
            "models": config.models.model_copy(update={"cloud": forced.models.cloud}),
            "routing": forced.routing,
            "privacy": config.privacy.model_copy(update={"mode": "enforce", "ledger": LedgerConfig()}),
            "store": config.store.model_copy(
                update={"path": folder, "keys": "file", "keys_path": None, "server": None}
            ),
        }
    )
