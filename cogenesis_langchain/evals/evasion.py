"""Does anything private reach the wire, however it is spelt, wherever it stands, whichever door is used?

Every case is one request through the whole graph: real detector, real gate, real HTTP to a server on
loopback that keeps every byte. Only the local writer is a fake, because what it writes is never sent. Judged
are the recorded bytes, by `readings`, which shares nothing with the normaliser. Beside each case stands its
benign twin, the same request without the value: a router that sends nothing at all keeps every secret too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import CoGenesisError
from cogenesis_langchain.evals.cases import OPEN, ROUTES, SENDING, USER, Case
from cogenesis_langchain.evals.disguises import DISGUISES, disguised
from cogenesis_langchain.evals.values import Value
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.readings import spelled
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeWriter, RecordingCloud, Reply
from cogenesis_langchain.types import Capabilities, ContextItem, KnownValue, PrivateSpan

_ABLE = Capabilities(chat_logprobs=20, samples=True, continuation="llama-server")  # so that nobody probes
_SKETCH = "1. Greet\n2. Say why\n3. Tell what is planned\n4. Say goodbye"


@dataclass(slots=True)
class Tally:
    """What came of the cases. `leaks` says where, never what."""

    known: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaks: list[dict[str, Any]] = field(default_factory=list)
    unknown_leaks: Counter[tuple[str, str]] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    looked_at: Counter[str] = field(default_factory=Counter)
    twins: Counter[tuple[str, bool]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def delivered(self, routes: Sequence[str] = SENDING) -> float:
        """Share of the benign twins that reached the cloud by their route; 1.0 where there are none."""
        sent = sum(n for (route, came), n in self.twins.items() if came and route in routes)
        whole = sum(n for (route, _), n in self.twins.items() if route in routes)
        return sent / whole if whole else 1.0

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        leaked = Counter((leak["spelling"], leak["route"]) for leak in self.leaks)
        return {
            "known": {
                "cases": self.known.total(),
                "on_sending_routes": sum(n for (_, route), n in self.known.items() if route in SENDING),
                "leaks": len(self.leaks),
                "by_spelling": _share(leaked, self.known, 0),
                "by_route": _share(leaked, self.known, 1),
                "where": self.leaks[:200],
            },
            "twins": {
                "cases": self.twins.total(),
                "delivered": round(self.delivered(), 4),
                "by_route": {route: round(self.delivered([route]), 4) for route in self._twin_routes()},
            },
            "unknown": {
                "cases": self.unknown.total(),
                "leaks": self.unknown_leaks.total(),
                "by_spelling": _share(self.unknown_leaks, self.unknown, 0),
                "covered": {
                    name: round(self.covered[name] / n, 4) for name, n in self.looked_at.items() if n
                },
            },
            "requests": self.requests,
            "errors": dict(self.errors),
        }

    def _twin_routes(self) -> list[str]:
        return list(dict.fromkeys(route for route, _ in self.twins))


def _share(
    part: Counter[tuple[str, str]], whole: Counter[tuple[str, str]], axis: int
) -> dict[str, list[int]]:
    """Name -> [how many of, how many], along one axis of (spelling, route)."""
    names = dict.fromkeys(key[axis] for key in whole)
    return {
        name: [sum(n for key, n in counts.items() if key[axis] == name) for counts in (part, whole)]
        for name in names
    }


class Remembering:
    """A detector that answers a text it has read before from memory: the same text goes by six routes."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._seen: dict[tuple[str, int, bool], list[PrivateSpan]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def detect(self, text: str, *, known: Any = None, message: int = 0) -> list[PrivateSpan]:
        """As the detector's own."""
        key = (text, message, known is not None)
        if key not in self._seen:
            self._seen[key] = self._detector.detect(text, known=known, message=message)
        return self._seen[key]


class RememberingVectors:
    """An embedder that does the same."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self._seen: dict[tuple[str, ...], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed(self, texts: Sequence[str]) -> Any:
        """As the embedder's own."""
        key = tuple(texts)
        if key not in self._seen:
            self._seen[key] = self._embedder.embed(texts)
        return self._seen[key]


class Range:
    """The shooting range: one router, one recording cloud, and a user who knows the known values."""

    def __init__(
        self, folder: Path, detector: Any, embedder: Any, values: Iterable[Value], **policy: Any
    ) -> None:
        self._cloud = RecordingCloud(default=_SKETCH)
        self._folder, self._detector = folder, Remembering(detector)
        self._embedder = RememberingVectors(embedder)
        self._values = [value for value in values if value.known]
        self._policy = policy
        self._twins: dict[Case, bool] = {}

    def __enter__(self) -> Range:
        self._cloud.__enter__()
        known = [_as_known(number, value) for number, value in enumerate(self._values)]
        item = ContextItem("note", "A note without anything in it.")
        engine = Engine(
            load(_policy(self._cloud.base_url, self._folder) | self._policy),
            detector=self._detector,
            embedder=self._embedder,
            store=MemoryStore([item], values_of=lambda _: known, user=USER),
            writer=FakeWriter(),
            capabilities=_ABLE,
        )
        self._router = create_privacy_router(engine=engine, user_id=USER, label="public")
        self._threads = create_privacy_router(
            engine=engine, user_id=USER, label="public", checkpointer=InMemorySaver()
        )
        return self

    def __exit__(self, *given: Any) -> None:
        self._cloud.__exit__(*given)

    def run(self, cases: Iterable[Case], tally: Tally) -> Iterator[Case]:
        """Runs the cases one after the other and counts; yields each when it is done."""
        for case in cases:
            bodies = self._sent(case, tally)
            leaks = spelled(b"\n".join(bodies), case.value.parts) if bodies else []
            key = (case.spelling, case.route)
            if case.value.known:
                tally.known[key] += 1
                if leaks:
                    tally.leaks.append(case.where())
            else:
                tally.unknown[key] += 1
                tally.unknown_leaks[key] += bool(leaks)
            if case.route in SENDING:
                tally.twins[case.route, self._delivered(case.twin(), tally)] += 1
            yield case

    def look(self, value: Value, tally: Tally) -> None:
        """Counts in how many spellings the detector alone covers a value, in a plain request."""
        for number, spelling in enumerate(DISGUISES):
            if number and disguised(value.text, spelling) == value.text:
                continue
            case = Case(value, number, spelling, "mask", "invoke", "asked")
            text = case.carrier().format(case.text())
            masked, last = [], 0
            for span in self._detector.detect(text):
                masked += [text[last : span.start], "\n[[X]]\n"]
                last = span.end
            tally.looked_at[spelling] += 1
            tally.covered[spelling] += not spelled("".join([*masked, text[last:]]), value.parts)

    def _delivered(self, twin: Case, tally: Tally) -> bool:
        """Whether the benign twin reached the cloud; each different one is sent once."""
        if twin not in self._twins:
            self._twins[twin] = bool(self._sent(twin, tally))
        return self._twins[twin]

    def _sent(self, case: Case, tally: Tally) -> list[bytes]:
        """Everything that left the machine while the case ran: request lines, headers and bodies."""
        before = len(self._cloud.requests)
        if case.door == "fallback":
            self._cloud.script("This is no sketch.", Reply.error(400))
        elif case.door == "retry":
            self._cloud.script(Reply.error(503))
        try:
            OPEN[case.door](self._threads if case.door == "turns" else self._router, case)
        except CoGenesisError as error:
            tally.errors[type(error).__name__] += 1
        finally:
            self._cloud.script()
        sent = [request.raw for request in self._cloud.requests[before:]]
        tally.requests += len(sent)
        return sent


def _as_known(number: int, value: Value) -> KnownValue:
    """Known in one of the ways in which values become known."""
    if value.type == "PHRASE":
        return KnownValue(value.text, value.type, "phrase")
    return KnownValue(value.text, value.type, "declared" if number % 2 else "field")


def _policy(base_url: str, folder: Path) -> dict[str, Any]:
    """A policy in which the caller's tag names the route."""
    decisions = []
    for priority, name in enumerate(ROUTES, 1):
        route, _, level = name.partition(":")
        rule: dict[str, Any] = (
            {"tag": name} if route != "cloud" else {"all": [{"tag": name}, {"label": "public"}]}
        )
        action = {"route": route} | ({"level": level} if level else {})
        decision = {"name": name.replace(":", "-"), "priority": priority, "rules": rule, "action": action}
        if level == "topic":
            decision["on_failure"] = [{"level": "kind"}, {"route": "local"}]
        decisions.append(decision)
    cloud = {"provider": "openai_compatible", "model": "stand-in", "base_url": base_url}
    return {
        "version": 1,
        "models": {"cloud": cloud, "local": {"max_tokens": 16}},
        "fuse": {"live": {"allow": True}},
        "store": {"path": str(folder), "keys": "file"},
        "routing": {"default": {"route": "local"}, "decisions": decisions},
    }
