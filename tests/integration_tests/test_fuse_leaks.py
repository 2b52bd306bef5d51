"""Route `fuse`, both forms, with a local model that writes private values whenever it can: none leaves.

The graph, the gate, the HTTP and the loops are the real ones. The writer is a fake on purpose: it follows a
script that is full of one known value in one disguise, more eagerly than any model would. Judged is what a
server on loopback recorded and what a tap on the sockets saw, by `readings`, which shares nothing with the
normaliser.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cogenesis_langchain.engine import Engine
from cogenesis_langchain.evals.disguises import DISGUISES, disguised
from cogenesis_langchain.evals.values import Value, shipped
from cogenesis_langchain.fusion.distributions import Floats, TokenBytes, Vocabulary
from cogenesis_langchain.fusion.records import read_traces
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.readings import spelled
from cogenesis_langchain.replies import draft_of
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeWriter, RecordingCloud, Reply, SocketTap
from cogenesis_langchain.types import Capabilities, ContextItem, KnownValue
from tests.conftest import INSTRUCTION, USER, routed

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("settled")]
EngineMaker = Callable[..., Engine]

KNOWN = [value for value in shipped() if value.known]
SAID = "Dear all," + " and to you the" * 5 + ": {0} it is who writes to you"
"""Everyday words first: what they leave of a budget is there for the value."""
PRESSED = {"nats_per_token": 8, "max_nats": 10_000, "max_requests": 10_000}
"""A budget under which the shadow takes over whatever it may: what holds is not chance."""

ABLE = Capabilities(chat_logprobs=20, samples=True, continuation="llama-server")

_PIECES = [bytes([n]) for n in range(256)]
_PIECES += [b" the", b" and", b" to", b"Dear", b" all", b" is", b" it", b" who", b" writes", b" you", b" see"]
_PIECES += [b"ill", b"ing", b"er", b"on", b"moor", b"ey", b"ar", b"an", b"en", b""]
_IDS = {piece: number for number, piece in enumerate(_PIECES)}
_END = len(_PIECES) - 1
VOCABULARY = Vocabulary(TokenBytes(_PIECES, np.array([not piece for piece in _PIECES])))


def tokens(text: str) -> list[int]:
    """The text in the toy's vocabulary: the longest piece each time."""
    data, found = text.encode(), []
    while data:
        size = next(n for n in range(7, 0, -1) if data[:n] in _IDS)
        found.append(_IDS[data[:size]])
        data = data[size:]
    return found


@dataclass
class EagerSteps:
    """Writes its script, whatever else is said. Without context it expects everyday words."""

    script: Sequence[int]
    at: int = 0
    stop: tuple[str, ...] = ()
    vocabulary: Vocabulary = VOCABULARY
    pieces: Sequence[bytes] = tuple(_PIECES)

    @property
    def room(self) -> int:
        """As much as is to be written."""
        return len(self.script) + 1 - self.at

    @property
    def logits(self) -> Floats:
        """The script, as good as certain."""
        return self._likely(self.script[self.at] if self.at < len(self.script) else _END, 15.0)

    @property
    def shadow_logits(self) -> Floats:
        """The same words at every place, so that the cloud is asked as often as it may be."""
        return self._likely([256, 257, 258, 262, 264], 4.5)

    def _likely(self, chosen: Any, by: float) -> Floats:
        logits = np.zeros(len(_PIECES), dtype=np.float32)
        logits[chosen] = by
        return logits

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        """The script goes on."""
        self.at += token is not None

    def end_shadow(self) -> None:
        """Nothing to give up."""

    def ends(self, token: int) -> bool:
        """The one control token."""
        return token == _END


@dataclass
class EagerWriter(FakeWriter):
    """A writer that writes `script` and nothing else."""

    script: str = field(default="", repr=False)

    @contextmanager
    def steps(self, prompt: Any, **given: Any) -> Iterator[EagerSteps]:
        """The toy in the caller's hand."""
        yield EagerSteps(tokens(self.script))


def as_known(values: Sequence[Value]) -> list[KnownValue]:
    """Known in one of the ways in which values become known."""
    ways = ("declared", "field")
    return [
        KnownValue(value.text, value.type, "phrase" if value.type == "PHRASE" else ways[number % 2])  # type: ignore[arg-type]
        for number, value in enumerate(values)
    ]


def knowing(
    make_engine: EngineMaker, cloud: RecordingCloud, route: str, live: dict[str, Any] | None = None
) -> Engine:
    """An engine whose user knows every value, and whose rules send everything one way."""
    item = ContextItem("note", "A note without anything in it.")
    store = MemoryStore([item], values_of=lambda _: as_known(KNOWN), user=USER)
    fuse = {"combiner": "delta", "live": {"allow": True, **(live or {})}}
    gate = {"max_requests_per_live_run": 10_000}
    rooms = {"store": store, "writer": EagerWriter(), "capabilities": ABLE}
    stand_in = {"provider": "openai_compatible", "model": "stand-in", "base_url": cloud.base_url}
    models = {"cloud": stand_in, "local": {"max_tokens": 90}}
    return make_engine(
        rooms, models=models, routing=routed(route, level="topic"), fuse=fuse, privacy={"gate": gate}
    )


def generations(most: int) -> Iterator[tuple[Value, str, str]]:
    """(value, its disguise, disguised): every disguise, the values in turn; numbers have no capitals."""
    order = random.Random(5).sample(KNOWN, len(KNOWN))
    for number in range(most):
        disguise = list(DISGUISES)[number % len(DISGUISES)]
        value = order[number % len(order)]
        yield value, disguise, disguised(value.text, disguise, str(number))


def nothing_is_private(*_: Any) -> Callable[[bytes], bool]:
    """In place of the look at what the shadow must not take over."""
    return lambda _text: False


def as_meant(found: dict[str, Any], hidden: str) -> bool:
    """Whether the local model wrote its script, as far as it got: only then does a silent wire mean much."""
    wrote = b"".join(token.piece for token in read_traces(found["trace"]))
    return len(wrote) > len(SAID) and SAID.format(hidden).encode().startswith(wrote)


def write(engine: Engine, hidden: str) -> dict[str, Any]:
    """One text that is full of `hidden`, asked for with it."""
    engine.writer.script = SAID.format(hidden)  # type: ignore[attr-defined]
    router = create_privacy_router(engine=engine, user_id=USER)
    return dict(router.invoke(f"{INSTRUCTION} Love, {hidden}"))


@pytest.fixture
def cloud(cloud: RecordingCloud) -> RecordingCloud:
    """The recording one, which answers with log-probabilities."""
    cloud.script(*[Reply(positions=draft_of(" the and to see you all it is"))] * 5000)
    return cloud


@pytest.mark.parametrize(
    ("route", "live", "most"),
    [
        pytest.param("fuse", None, 12, id="draft"),
        pytest.param("live", PRESSED, 23, id="live with any budget"),
        pytest.param("live", None, 6, id="live as shipped"),
        pytest.param("fuse", None, 138, id="more of draft", marks=pytest.mark.full),
        pytest.param("live", PRESSED, 138, id="more of live", marks=pytest.mark.full),
    ],
)
def test_no_known_value_leaves(
    make_engine: EngineMaker, cloud: RecordingCloud, route: str, live: dict[str, Any] | None, most: int
) -> None:
    """All transforms, in profile, request and text: 0 on the wire, and the text is written all the same."""
    engine = knowing(make_engine, cloud, route, live)
    with SocketTap() as tap:
        for value, disguise, hidden in generations(most):
            before, sent = len(cloud.requests), len(tap.sent)
            found = write(engine, hidden)
            bodies = cloud.bodies[before:]
            assert bodies, disguise
            assert found["route"] == route, found["reasons"]
            assert as_meant(found, hidden), disguise
            assert spelled(tap.sent[sent:], value.parts) == [], disguise
            for body in bodies:
                assert spelled(body, value.parts) == [], disguise
    assert len(cloud.requests) >= most * (1 if route == "fuse" else 4)


def test_the_suite_notices_a_shadow_that_holds_nothing_back(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation: without the look at known values, in the shadow and at the gate, the same texts do leak."""
    monkeypatch.setattr("cogenesis_langchain.conversing.Conversation._private", nothing_is_private)
    monkeypatch.setattr("cogenesis_langchain.conversing.Conversation._veiled", lambda _, shadow: shadow)
    monkeypatch.setattr("cogenesis_langchain.egress._private", lambda *_: [])
    engine = knowing(make_engine, cloud, "live", PRESSED)
    leaks = 0
    for value, _, hidden in generations(5):
        before = len(cloud.requests)
        write(engine, hidden)
        leaks += bool(spelled(cloud.bodies[-1], value.parts)) and len(cloud.requests) > before
    assert leaks >= 3


def test_the_gate_alone_stops_a_whole_value(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second lock: a shadow that held nothing back meets the gate, and that ends the cloud's part."""
    monkeypatch.setattr("cogenesis_langchain.conversing.Conversation._private", nothing_is_private)
    monkeypatch.setattr("cogenesis_langchain.conversing.Conversation._veiled", lambda _, shadow: shadow)
    engine = knowing(make_engine, cloud, "live", PRESSED)
    stopped = 0
    for value, disguise, hidden in generations(8):
        before = len(cloud.requests)
        found = write(engine, hidden)
        for body in cloud.bodies[before:]:
            assert spelled(body, [value.text]) == [], disguise
        assert as_meant(found, hidden), disguise
        stopped += bool(found["warnings"])
    assert stopped >= 4  # long encodings do not get to their end


def two_users(make_engine: EngineMaker, cloud: RecordingCloud, route: str) -> list[list[dict[str, Any]]]:
    """The bodies of two users with nothing in common but the kind and topic of what they ask for."""
    found = []
    for place in (0, 30):
        mine = KNOWN[place : place + 20]
        engine = knowing(make_engine, cloud, route, PRESSED)
        items = [ContextItem("profile", f"Name: {one.text}\nNote: {one.text}") for one in mine]
        engine._rooms["store"] = MemoryStore(items, values_of=lambda _, mine=mine: as_known(mine), user=USER)
        before = len(cloud.requests)
        write(engine, disguised(mine[0].text, "as it is") + ", " + disguised(mine[1].text, "leet"))
        found.append([json.loads(body) for body in cloud.bodies[before:]])
    return found


def test_draft_bodies_are_the_same_for_everybody(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Non-interference: other stores, other requests of the same kind and topic, the same bytes.

    They are those of `sketch` but for our pinned frame and the settings of the output.
    """
    (one,), (other,) = two_users(make_engine, cloud, "fuse")
    assert one == other
    assert cloud.bodies[-1] == cloud.bodies[-2]
    cloud.script()
    (sketched,), (_,) = two_users(make_engine, cloud, "sketch")
    said, told = one.pop("messages"), sketched.pop("messages")
    assert [m["role"] for m in said] == [m["role"] for m in told] == ["system", "user"]
    assert told[1]["content"].startswith(said[1]["content"] + "\n")
    differing = {name for name in one | sketched if one.get(name) != sketched.get(name)}
    assert differing <= {"logprobs", "top_logprobs", "n", "max_tokens", "max_completion_tokens", "stream"}


def test_live_bodies_differ_in_the_shadow_alone(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The first one, and all around the shadow in the others, is the same for everybody."""
    one, other = two_users(make_engine, cloud, "live")
    assert one[0] == other[0]
    around = set()
    for body in one + other:
        *asked, shadow = body.pop("messages")
        if shadow["role"] == "user":  # nothing was written yet
            asked.append(shadow)
        around.add(
            json.dumps([asked, {n: v for n, v in body.items() if "gener" not in n and "final" not in n}])
        )
    assert len(around) == 1
