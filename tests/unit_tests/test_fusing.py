"""Route fuse through the whole graph: fakes for the models, a real loopback server for the cloud."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from cogenesis_langchain import conversing
from cogenesis_langchain.detect.detector import Once
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.fusion.records import drafts_text, read_drafts, read_traces, traces_text
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import Able, FakeDetector, FakeWriter, RecordingCloud, Reply, leaked
from cogenesis_langchain.types import (
    Capabilities,
    ContextItem,
    Draft,
    Level,
    Outbound,
    PrivateSpan,
    TokenTrace,
    TopLogprobs,
)
from tests.conftest import INSTRUCTION, USER, routed

ASKED = f"{INSTRUCTION} Love, Quillon Vexmoor of 14 Larkspinner Row, quillon.vexmoor@tidewell.example"
EngineMaker = Callable[..., Engine]
pytestmark = pytest.mark.usefixtures("settled")
ABLE = Capabilities(chat_logprobs=20, samples=True, continuation="llama-server")
LIVE = {"live": {"allow": True}}
WORDS = ("Here", " it", " is", ":", " a", " warm", " welcome", " to", " you", " all", ".")


def answer(tokens: Sequence[str] = WORDS, *, samples: int = 1, finish: str = "stop", **changes: Any) -> Reply:
    """A chat completion with log-probabilities: each token at .6, one other at .2; `changes` to each."""
    content = []
    for token in tokens:
        pair = [(token, math.log(0.6)), (" other", math.log(0.2))]
        top = [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in pair]
        content.append({**top[0], "top_logprobs": top, **changes})
    message = {"role": "assistant", "content": "".join(tokens)}
    choice = {"message": message, "finish_reason": finish, "logprobs": {"content": content}}
    choices = [{**choice, "index": number} for number in range(samples)]
    return Reply(raw=json.dumps({"object": "chat.completion", "choices": choices}).encode())


@pytest.fixture
def fuse_engine(make_engine: EngineMaker, cloud: RecordingCloud) -> EngineMaker:
    """Engines whose one rule is fuse, at a cloud that gives log-probabilities."""
    cloud.script(*[answer() for _ in range(40)])

    def make(rooms: dict[str, Any] | None = None, *, form: str = "draft", **changes: Any) -> Engine:
        fuse = {"combiner": "mean", **(LIVE if form == "live" else {}), **changes.pop("fuse", {})}
        sections = {"routing": routed("fuse", form=form), "fuse": fuse}
        return make_engine({"capabilities": ABLE, **(rooms or {})}, **(sections | changes))

    return make


def router_of(engine: Engine, **options: Any) -> PrivacyRouter:
    """A router of `engine` for the canaries' owner."""
    return create_privacy_router(engine=engine, user_id=USER, **options)


def other_store() -> MemoryStore:
    """Another person's context."""
    item = ContextItem("profile", "Name: Bram Oosterling\nEmployer: Veldkamp Canoes")
    return MemoryStore([item], values_of=FakeDetector().extract_values, user=USER)


# --- form draft ------------------------------------------------------------------------------------


def test_a_draft_is_one_request_that_tells_a_generic_task(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """One body without any private word, which asks for 20 candidates; the text is the local model's."""
    engine = fuse_engine()
    found = router_of(engine).invoke(ASKED)
    assert (found["route"], found["level"]) == ("fuse", "topic")
    assert len(cloud.bodies) == 1
    assert not leaked(cloud.raw)
    body = json.loads(cloud.bodies[0])
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 20, 400)
    assert found["outbound"][0]["body"].encode() == cloud.bodies[0]
    assert found["receipts"][0]["bits"] == pytest.approx(engine.vocabulary.bits(Level.TOPIC))
    assert "Quillon Vexmoor" in found["text"]  # the fake repeats its prompt, byte by byte
    assert found["messages"][-1].text == found["text"]
    assert found["timings"]["cloud_ms"] > 0
    assert found["sketch"] == []


def test_the_trace_says_who_decided(fuse_engine: EngineMaker) -> None:
    """It spells the text; where the draft was in step a token is fused, elsewhere the local model's."""
    found = router_of(fuse_engine()).invoke(ASKED)
    tokens = read_traces(found["trace"])
    assert b"".join(token.piece for token in tokens).decode().startswith("Here it is")  # drawn from there on
    by = {token.by for token in tokens}
    assert "local" in by
    assert by & {"fused", "cloud"}


def test_what_a_draft_asks_does_not_depend_on_the_store(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Another person's context, the same instruction: the same bytes; also those of the sketch but frame."""
    engine = fuse_engine()
    router = router_of(engine)
    router.invoke(ASKED)
    router_of(engine.with_rooms(store=other_store())).invoke(ASKED)
    first, second = cloud.bodies
    assert first == second
    sketch = router_of(engine, route="sketch").invoke(ASKED, context=RouterContext(USER, dry_run=True))
    sentence = json.loads(first)["messages"][-1]["content"].strip()
    assert sentence.startswith("Write ")
    assert sentence in json.loads(sketch["outbound"][0]["body"])["messages"][-1]["content"]


def test_several_drafts_in_one_request(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """`samples` asks for n drafts; two sends would show twice that somebody asks."""
    cloud.script(answer(samples=3))
    found = router_of(fuse_engine(fuse={"samples": 3, "draft_tokens": 64})).invoke(ASKED)
    assert found["text"]
    body = json.loads(cloud.bodies[0])
    assert (len(cloud.bodies), body["n"], body["max_tokens"]) == (1, 3, 64)


BAD = {
    "none": answer([]),
    "html": Reply.html(),
    "garbage": Reply.garbage(),
    "error": Reply.error(500),
    "no log-probabilities": Reply(raw=b'{"choices": [{"message": {"content": "Here it is: a text"}}]}'),
    "above zero": answer(logprob=3.5, top_logprobs=[{"token": "Here", "logprob": 3.5, "bytes": None}]),
    "a sum above one": answer(
        top_logprobs=[{"token": t, "logprob": -0.1, "bytes": None} for t in ("Here", "There", "Where")]
    ),
}
POOR = {
    "fewer candidates": answer(top_logprobs=[]),
    "no numbers": answer(logprob=float("nan"), top_logprobs=[{"token": "x", "logprob": None, "bytes": None}]),
    "another tokenizer": answer(["He", "re i", "t is: a wa", "rm we", "lcome"]),
    "half characters": answer(["Here", " it is ", "\ufffd"], bytes=[0xE2, 0x82]),
    "cut in a word": answer(["Here", " it", " is", ": a wel"], finish="length"),
    "never stops": answer([" and"] * 900, finish="length"),
    "control tokens": answer(["<|im_end|>", "<|im_start|>", "Here", " it"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_draft_that_is_none_is_written_locally(
    fuse_engine: EngineMaker, cloud: RecordingCloud, name: str
) -> None:
    """The answer is completed here, it says why, and the message quotes nothing of what came."""
    cloud.script(BAD[name])
    found = router_of(fuse_engine()).invoke(ASKED)
    assert (found["route"], len(cloud.bodies)) == ("local", 1)
    assert "Quillon Vexmoor" in found["text"]
    assert found["warnings"]
    assert "Here it is: a" not in " ".join(found["warnings"])


@pytest.mark.parametrize("name", POOR)
def test_a_poor_draft_does_no_harm(fuse_engine: EngineMaker, cloud: RecordingCloud, name: str) -> None:
    """Where a draft is odd, the text is as whole as ever."""
    cloud.script(POOR[name])
    found = router_of(fuse_engine()).invoke(ASKED)
    assert found["route"] == "fuse"
    assert "Quillon Vexmoor" in found["text"]


def test_an_endpoint_without_logprobs_is_asked_for_a_sketch(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """What is missing is named, and the sketch, which is as private, is made in its place."""
    cloud.script()
    found = router_of(fuse_engine({"capabilities": Capabilities()})).invoke(ASKED)
    assert (found["route"], len(cloud.bodies)) == ("sketch", 1)
    assert found["sketch"]
    assert any("log-probabilities" in warning for warning in found["warnings"])


def test_a_failed_probe_is_charged_once_to_who_asked(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The next process sketches at once; the probe stands in the user's account and takes no text's room."""
    cloud.able = Able(listed=0)
    sections = {"routing": routed("fuse"), "privacy": {"ledger": {"max_requests_per_day": 2}}}
    for sent in (4, 5):  # three for the probe, one for each sketch
        engine = make_engine(**sections)
        found = router_of(engine).invoke(ASKED)
        assert (found["route"], len(cloud.bodies)) == ("sketch", sent)
    (account,) = engine.audit.ledger(USER)
    assert account.spent.requests == 5
    assert router_of(make_engine(**sections)).invoke(ASKED)["route"] == "local"
    engine = make_engine({"store": MemoryStore([ContextItem("note", "a note")], user="boris")}, **sections)
    found = create_privacy_router(engine=engine, user_id="boris").invoke(ASKED)
    assert (found["route"], len(cloud.bodies)) == ("sketch", 6)


def test_a_writer_behind_a_server_sketches(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Without next-token distributions nothing can be fused; the message says what would help."""

    class Remote:
        def __getattr__(self, name: str) -> Any:
            if name == "steps":
                raise AttributeError(name)
            return getattr(writer, name)

    writer = FakeWriter()
    cloud.script()
    found = router_of(fuse_engine({"writer": Remote()})).invoke(ASKED)
    assert found["route"] == "sketch"
    assert any("llama_cpp" in warning for warning in found["warnings"])


def test_a_combiner_without_its_file_sends_nothing(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """It is found before the cloud is asked."""
    found = router_of(
        fuse_engine(fuse={"combiner": "learned", "combiner_file": "/nowhere/at/all.json"})
    ).invoke(ASKED)
    assert (found["route"], cloud.bodies) == ("local", [])
    assert found["text"]


def test_observe_and_dry_run_build_a_draft_and_send_nothing(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Not even the endpoint's abilities are asked for."""
    dry = create_privacy_router(engine=fuse_engine()).invoke(
        ASKED, context=RouterContext(user_id=USER, dry_run=True)
    )
    observed = router_of(fuse_engine(privacy={"mode": "observe"})).invoke(ASKED)
    assert cloud.requests == []
    assert dry["route"] == "fuse"
    assert json.loads(dry["outbound"][0]["body"])["top_logprobs"] == 20
    assert observed["route"] == "local"
    assert observed["receipts"][0]["status"] == "observed"


def test_ask_shows_the_draft_body_and_sends_exactly_it(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Approval binds to the bytes; a no keeps them here."""
    router = router_of(fuse_engine(routing=routed("fuse", ask=True)), checkpointer=InMemorySaver())
    for thread, approve in (("yes", True), ("no", False)):
        config = {"configurable": {"thread_id": thread}}
        shown = router.invoke(ASKED, config)["__interrupt__"][0].value
        before = len(cloud.bodies)
        answered = {"approve": approve, "sha256": shown["sha256"]}
        found = router.invoke(Command(resume=answered), config)
        assert found["text"]
        assert [body.decode() for body in cloud.bodies[before:]] == ([shown["body"]] if approve else [])


def test_nobody_is_asked_what_he_can_before_an_approval(make_engine: EngineMaker) -> None:
    """Not even constant bytes go first; what then cannot be had is asked for anew, as a sketch."""
    with RecordingCloud(able=Able(listed=0)) as cloud:
        own = {"provider": "openai_compatible", "model": "stand-in", "base_url": cloud.base_url}
        engine = make_engine(
            routing=routed("fuse", ask=True), fuse={"combiner": "mean"}, models={"cloud": own}
        )
        router = router_of(engine, checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": "one"}}
        first = router.invoke(ASKED, config)["__interrupt__"][0].value
        assert cloud.requests == []
        second = router.invoke(Command(resume={"approve": True, "sha256": first["sha256"]}), config)
        asked = second["__interrupt__"][0].value
        assert asked["sha256"] != first["sha256"]
        assert first["body"].encode() not in cloud.bodies
        found = router.invoke(Command(resume={"approve": True, "sha256": asked["sha256"]}), config)
        assert (found["route"], cloud.bodies[-1].decode()) == ("sketch", asked["body"])


def test_a_known_topic_is_not_told(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The store's veto holds for drafts as for sketches: the kind alone goes, charged as what was asked."""
    cloud.script(answer())
    item = ContextItem("profile", "Name: Party Birthday")
    store = MemoryStore([item], values_of=lambda _: [], user=USER)
    engine = make_engine({"store": store})
    told = engine.generic_task(ASKED)
    topic = engine.vocabulary.topics[str(told.topic)].phrase
    engine = make_engine(
        {"store": store, "capabilities": ABLE}, routing=routed("fuse"), fuse={"combiner": "mean"},
        privacy={"known_values": {"add": [topic]}},
    )  # fmt: skip
    found = router_of(engine).invoke(ASKED)
    assert (found["route"], found["level"]) == ("fuse", "kind")
    assert topic not in cloud.bodies[0].decode()
    assert found["receipts"][0]["bits"] == pytest.approx(engine.vocabulary.bits(Level.TOPIC))


# --- form live -------------------------------------------------------------------------------------


def test_live_shows_the_cloud_a_shadow_and_never_the_text(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Each body goes on with what was released before; none holds a known value; each has its receipt."""
    engine = fuse_engine(form="live")
    found = router_of(engine).invoke(ASKED)
    assert (found["route"], found["level"]) == ("live", "topic")
    assert len(cloud.bodies) > 2
    assert not leaked(cloud.raw)
    assert "Quillon Vexmoor" in found["text"]
    assert [entry["body"].encode() for entry in found["outbound"]] == cloud.bodies
    assert [receipt["status"] for receipt in found["receipts"]] == ["sent"] * len(cloud.bodies)
    shadows = [json.loads(body)["messages"][2:] for body in cloud.bodies]
    assert shadows[0] == []
    said = [shadow[0]["content"] for shadow in shadows[1:]]
    assert all(later.startswith(earlier) for earlier, later in pairwise(said))
    assert {one["role"] for shadow in shadows for one in shadow} == {"assistant"}


def test_a_shadow_is_read_once(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The veil and the gate look at the same bytes: the detector's models take most of a request's time."""

    class Reader(FakeDetector):
        def once(self, seen: Any) -> Once:
            own = super().detect
            return Once(
                lambda text, read, known, message: list(read(text)), lambda text: tuple(own(text)), seen
            )

    detector = Reader()
    router_of(fuse_engine({"detector": detector}, form="live")).invoke(ASKED)
    shadows = [json.loads(body)["messages"][2]["content"] for body in cloud.bodies[1:]]
    assert len(shadows) > 2
    assert [detector.seen.count(shadow) for shadow in shadows] == [1] * len(shadows)


def test_live_is_charged_by_what_it_released(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """First the level and where the text ends, then the tokens released since; never beyond the budget."""
    engine = fuse_engine(form="live", fuse={"live": {"allow": True, "max_nats": 10, "nats_per_token": 0.5}})
    found = router_of(engine).invoke(ASKED)
    first, *others = [receipt["bits"] for receipt in found["receipts"]]
    assert first == pytest.approx(engine.vocabulary.bits(Level.TOPIC) + math.log2(65 * math.e))
    assert 0 < len(others) <= 20 / 3 + 1
    assert all(bits > 0 for bits in others)
    assert sum(others) <= 10 / math.log(2) + 1e-9
    (account,) = engine.audit.ledger(USER)
    assert account.spent.bits == pytest.approx(first + sum(others))
    released = [token for token in read_traces(found["trace"]) if token.shadow is not None]
    assert 0 < len(released) <= 20


def test_the_policy_says_how_often_live_asks(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Twelve tokens go by before the next request instead of three."""
    live = {"allow": True, "max_nats": 20, "nats_per_token": 0.25, "block": 1, "tokens_per_request": 12}
    found = router_of(fuse_engine(form="live", fuse={"live": live})).invoke(ASKED)
    released = [token for token in read_traces(found["trace"]) if token.shadow is not None]
    assert 1 <= len(found["receipts"]) <= len(released) / 12 + 1
    often = router_of(fuse_engine(form="live", fuse={"live": live | {"tokens_per_request": 0}})).invoke(ASKED)
    assert len(often["receipts"]) > len(found["receipts"])


def test_a_caller_gets_no_live_at_level_free(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Its words have no bound in bits, and without bits it would count as what a trusted endpoint reads."""
    engine = fuse_engine(form="live", routing=routed("mask"))
    found = router_of(engine, route="live", level="free").invoke(ASKED)
    assert (found["route"], found["level"]) == ("live", "topic")
    assert any("live:topic" in reason for reason in found["reasons"])  # nor was it tried
    assert all(receipt["bits"] is not None for receipt in found["receipts"])


def test_what_is_found_in_the_request_is_held() -> None:
    """Not only what the store knows: the shadow takes over nothing of what the detector found."""
    span = PrivateSpan("NRP", 5, 16, 0.9, "fake", 1).as_dict()
    request = SimpleNamespace(
        texts=lambda: ["hello", "I am marigoldian"],
        known=lambda: KnownValues([]),
        state={"spans": [span]},
    )
    talk = conversing.Conversation(request, Outbound("", ""), None, {})  # type: ignore[arg-type]
    private = talk._private()
    assert private(b"I am marig")
    assert not private(b"I am so glad")


def test_a_name_that_is_veiled_hides_no_charge(
    fuse_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the veil makes the same bytes of a longer shadow, the ledger still counts what both tell."""
    monkeypatch.setattr(conversing, "veiled", lambda text, spans: "that" if text else "")
    engine = fuse_engine(form="live")
    found = router_of(engine).invoke(ASKED)
    assert len({entry["sha256"] for entry in found["outbound"]}) == 2 < len(found["receipts"]) - 1
    first, *others = [receipt["bits"] for receipt in found["receipts"]]
    (account,) = engine.audit.ledger(USER)
    assert others == sorted(others)
    assert account.spent.bits == pytest.approx(first + others[-1])


def test_a_cap_ends_the_clouds_part(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """What does not fit under the ledger's caps is not sent; the text is completed here and says so."""
    caps = {"ledger": {"max_requests_per_day": 2}}
    found = router_of(fuse_engine(form="live", privacy=caps)).invoke(ASKED)
    assert len(cloud.bodies) == len(found["outbound"]) == 2
    assert "Quillon Vexmoor" in found["text"]
    assert any("max_requests_per_day" in warning for warning in found["warnings"])


def test_a_cap_in_bits_ends_it_too(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The first request fits, what is released later does not; and where nothing fits, nothing goes."""
    for bits, requests in ((20.0, 1), (10.0, 0)):
        before = len(cloud.bodies)
        engine = fuse_engine(form="live", privacy={"ledger": {"max_bits_per_day": bits}})
        found = router_of(engine).invoke(ASKED)
        assert len(cloud.bodies) - before >= requests
        spent = sum(receipt["bits"] for receipt in found["receipts"])
        assert spent <= bits
        assert any("max_bits_per_day" in warning for warning in found["warnings"])
        assert "Quillon Vexmoor" in found["text"]


@pytest.mark.parametrize("bad", [Reply.html(), Reply.garbage(), Reply.error(500), answer([])])
def test_a_broken_cloud_ends_its_part(fuse_engine: EngineMaker, cloud: RecordingCloud, bad: Reply) -> None:
    """At the first request and in the middle: nothing more is sent, the local model completes the text."""
    for before in (0, 2):
        cloud.script(*[answer()] * before, bad, answer())
        count = len(cloud.bodies)
        found = router_of(fuse_engine(form="live")).invoke(ASKED)
        assert len(cloud.bodies) - count == before + 1
        assert found["route"] == ("live" if before else "local")
        assert "Quillon Vexmoor" in found["text"]
        assert any("the local model wrote the rest" in warning for warning in found["warnings"])


def test_a_cloud_that_takes_its_time_again_and_again_is_left(
    fuse_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer in time, all together not: a text must not hold the local model for an hour."""
    monkeypatch.setattr(conversing, "PATIENCE", 0)
    found = router_of(fuse_engine(form="live")).invoke(ASKED)
    assert len(cloud.bodies) == len(found["outbound"]) == 1
    assert "Quillon Vexmoor" in found["text"]
    assert any("too long over one text" in warning for warning in found["warnings"])


@pytest.mark.parametrize("on_hit", ["local", "block"])
def test_a_hit_ends_the_clouds_part(fuse_engine: EngineMaker, cloud: RecordingCloud, on_hit: str) -> None:
    """A shadow that came to hold a known value by itself is not sent, nor anything later of this thread."""
    privacy = {"known_values": {"add": ["here it is"]}, "gate": {"on_hit": on_hit}}  # what the toy says first
    own = {"provider": "openai_compatible", "model": "stand-in", "base_url": cloud.base_url}
    models = {"cloud": own, "local": {"temperature": 0}}  # then the shadow says it, too
    engine = fuse_engine(form="live", privacy=privacy, models=models)
    router = router_of(engine, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "one"}}
    found = router.invoke(INSTRUCTION, config)
    assert len(cloud.bodies) == 1
    assert b"here it is" not in cloud.raw.lower()
    assert len(found["stopped"]) == len(engine.audit.refusals(USER)) == 1
    if on_hit == "block":
        assert (found["route"], found["text"]) == ("block", None)
    else:
        assert found["text"].startswith("Here it is:")
        assert any("private values" in warning for warning in found["warnings"])
    assert router.invoke(INSTRUCTION, config)["route"] == on_hit
    assert len(cloud.bodies) == 1


def test_live_needs_to_be_allowed(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Without `fuse.live.allow` a caller who asks for it gets a draft."""
    cloud.script(answer())
    engine = make_engine({"capabilities": ABLE}, routing=routed("mask"), fuse={"combiner": "mean"})
    found = router_of(engine, route="live").invoke(ASKED)
    assert found["route"] == "fuse"
    assert any("fuse.live.allow" in reason for reason in found["reasons"])


def test_live_without_continuation_sketches(fuse_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """An endpoint that cannot go on with a text is asked for a sketch."""
    cloud.script()
    engine = fuse_engine({"capabilities": Capabilities(chat_logprobs=20)}, form="live")
    found = router_of(engine).invoke(ASKED)
    assert (found["route"], len(cloud.bodies)) == ("sketch", 1)
    assert any("form live" in warning for warning in found["warnings"])


def test_a_trusted_endpoint_reads_the_text_and_no_context(
    fuse_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Listed by name it gets instruction and text as they are, unbudgeted; loopback alone is not enough."""
    caps = {"max_bits_per_day": 1}  # what may be read anyway takes nothing of it
    privacy = {"trusted_endpoints": [cloud.base_url], "ledger": caps}
    engine = fuse_engine(form="live", privacy=privacy)
    found = router_of(engine).invoke(INSTRUCTION)
    first = json.loads(cloud.bodies[0])
    assert INSTRUCTION in first["messages"][-1]["content"]
    assert {(receipt["bits"], receipt["level"]) for receipt in found["receipts"]} == {(None, None)}
    last = json.loads(cloud.bodies[-1])["messages"][-1]["content"]
    assert found["text"].startswith(last[:40])
    (account,) = engine.audit.ledger(USER)
    assert (account.spent.bits, account.spent.unbounded) == (0, 0)


# --- both ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["draft", "live"])
def test_the_text_streams_as_it_is_written(fuse_engine: EngineMaker, form: str) -> None:
    """Tokens come one by one, and are the text."""
    router = router_of(fuse_engine(form=form))
    chunks, final = [], {}
    for mode, chunk in router.stream(ASKED, stream_mode=["messages", "values"]):
        if mode == "values":
            final = chunk
        elif isinstance(chunk[0], AIMessageChunk):
            chunks.append(chunk[0].text)
    assert len(chunks) > 20
    assert "".join(chunks) == final["text"]
    assert "vault:" not in repr(final)


@pytest.mark.parametrize("form", ["draft", "live"])
async def test_the_async_twins(fuse_engine: EngineMaker, form: str) -> None:
    """ainvoke and astream give what the others give."""
    router = router_of(fuse_engine(form=form))
    whole = (await router.ainvoke(ASKED))["text"]
    assert "Quillon Vexmoor" in whole
    texts = [
        chunk.text
        async for chunk, _ in router.astream(ASKED, stream_mode="messages")
        if isinstance(chunk, AIMessageChunk)
    ]
    assert "Quillon Vexmoor" in "".join(texts)


@pytest.mark.parametrize("form", ["draft", "live"])
async def test_cancelling_stops_the_loop(fuse_engine: EngineMaker, cloud: RecordingCloud, form: str) -> None:
    """Nothing is written or sent once the caller has gone."""
    writer = FakeWriter(delay_s=0.3)  # the whole text would take it half a minute
    task = asyncio.create_task(router_of(fuse_engine({"writer": writer}, form=form)).ainvoke(ASKED))
    while not (cloud.bodies and writer.prompts):
        assert not task.done()
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(writer._lock.acquire, timeout=60)  # nobody writes any more
    assert len(cloud.bodies) <= 2


@pytest.mark.parametrize("form", ["draft", "live"])
def test_many_at_once_keep_their_own(fuse_engine: EngineMaker, cloud: RecordingCloud, form: str) -> None:
    """Concurrent runs of one engine: each text is whole, each user's context stays theirs."""
    cloud.script(*[answer() for _ in range(400)])
    engine = fuse_engine(form=form)
    router = router_of(engine)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(router.invoke, [ASKED] * 6))
    assert all("Quillon Vexmoor" in one["text"] for one in found)
    assert not leaked(cloud.raw)


@pytest.mark.parametrize("form", ["draft", "live"])
def test_nothing_readable_in_a_checkpoint(fuse_engine: EngineMaker, form: str) -> None:
    """Drafts, traces and bodies are handles there."""
    saver = InMemorySaver()
    router = router_of(fuse_engine(form=form), checkpointer=saver)
    router.invoke(ASKED, {"configurable": {"thread_id": "one"}})
    kept = repr(list(saver.list({"configurable": {"thread_id": "one"}})))
    assert not leaked(kept)
    assert "welcome" not in kept


def test_records_come_back_as_they_were() -> None:
    """Bytes that are no characters, missing candidates, marks of who decided."""
    top = TopLogprobs(b"\xe2\x82", -0.5, (b"\xe2\x82", b"\xac a"), (-0.5, -1.25))
    drafts = (Draft((top,), ended=True), Draft(()))
    assert read_drafts(drafts_text(drafts)) == drafts
    traces = [
        TokenTrace(b"\xff", "fused", 0.25, b"", None, held=True),
        TokenTrace(b"a", "local", shadow=b"b"),
    ]
    assert read_traces(traces_text(traces)) == traces
    assert read_traces(None) == []
