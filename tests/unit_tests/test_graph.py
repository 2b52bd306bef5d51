"""The whole graph over fakes and a real loopback HTTP server: every way in, every way out."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import AuditError, DetectorError, InputError, StoreError, WriterError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.router import PrivacyRouter, last_text
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeDetector, FakeWriter, RecordingCloud, Reply, canaries, leaked
from cogenesis_langchain.types import ContextItem, GenericTask, KnownValue, Level
from tests.conftest import INSTRUCTION, USER, routed

CONTEXT = RouterContext(user_id=USER)
ASKED = f"{INSTRUCTION} Love, Quillon Vexmoor of 14 Larkspinner Row, quillon.vexmoor@tidewell.example"
EngineMaker = Callable[..., Engine]


def router_of(engine: Engine, **options: Any) -> PrivacyRouter:
    """A router of `engine` for the canaries' owner."""
    return create_privacy_router(engine=engine, user_id=USER, **options)


def test_a_personal_request_sends_a_generic_task_only(engine: Engine, cloud: RecordingCloud) -> None:
    """The cloud gets one request without any private word; the local model writes with all of them."""
    found = router_of(engine).invoke(ASKED)
    assert found["route"] == "sketch"
    assert len(cloud.bodies) == 1
    assert not leaked(cloud.raw)
    assert "invitation" in cloud.bodies[0].decode().lower()
    assert len(found["sketch"]) >= 4
    assert "Quillon Vexmoor" in found["text"]  # the fake writer repeats its prompt: the context was in it
    assert found["messages"][-1].text == found["text"]
    assert found["outbound"] == [
        {
            **found["outbound"][0],
            "endpoint": f"{cloud.base_url}/chat/completions",
            "body": cloud.bodies[0].decode(),
        }
    ]
    assert [receipt["status"] for receipt in found["receipts"]] == ["sent"]
    assert found["receipts"][0]["bits"] == pytest.approx(engine.vocabulary.bits(Level.TOPIC))
    assert found["timings"]["total_ms"] >= found["timings"]["first_token_ms"] > 0


def test_bodies_do_not_depend_on_the_profile(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Another person's context, the same instruction: the same bytes."""
    other = MemoryStore(
        [ContextItem("profile", "Name: Bram Oosterling\nEmployer: Veldkamp Canoes")],
        values_of=FakeDetector().extract_values,
        user=USER,
    )
    router_of(make_engine()).invoke(ASKED)
    router_of(make_engine({"store": other})).invoke(ASKED)
    assert len(cloud.bodies) == 2
    assert cloud.bodies[0] == cloud.bodies[1]


def test_every_stream_mode_is_readable(engine: Engine) -> None:
    """values, updates, messages, custom, debug, tasks and several at once; texts, not handles."""
    router = router_of(engine)
    whole = router.invoke(ASKED)["text"]
    assert list(router.stream(ASKED, stream_mode="values"))[-1]["text"] == whole
    updates = list(router.stream(ASKED, stream_mode="updates"))
    assert [next(iter(update)) for update in updates][-2:] == ["write", "finish"]
    tokens = [c for c, _ in router.stream(ASKED, stream_mode="messages") if isinstance(c, AIMessageChunk)]
    assert len(tokens) > 5
    assert "".join(token.text for token in tokens) == whole
    for mode in ("custom", "debug", "tasks", "checkpoints"):
        assert "vault:" not in repr(list(router.stream(ASKED, stream_mode=mode)))
    assert {mode for mode, _ in router.stream(ASKED, stream_mode=["messages", "values"])} == {
        "messages",
        "values",
    }


def test_tokens_appear_as_they_are_written(make_engine: EngineMaker) -> None:
    """The first token is there when half of them are written: else the writer waits for it in vain."""
    read, in_time = threading.Event(), []

    class Waiting(FakeWriter):
        def write(self, *args: Any, **kwargs: Any) -> Iterator[str]:
            words = list(super().write(*args, **kwargs))
            yield from words[: len(words) // 2]
            in_time.append(read.wait(60))
            yield from words[len(words) // 2 :]

    router = router_of(make_engine({"writer": Waiting()}))
    for chunk, _ in router.stream(INSTRUCTION, stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk) and chunk.text:
            read.set()
    assert in_time == [True]


async def test_the_async_twins(engine: Engine) -> None:
    """ainvoke, astream, abatch and astream_events give what the sync ones give."""
    router = router_of(engine)
    whole = router.invoke(ASKED)["text"]
    assert (await router.ainvoke(ASKED, context=CONTEXT))["text"] == whole
    tokens = [
        c async for c, _ in router.astream(ASKED, stream_mode="messages") if isinstance(c, AIMessageChunk)
    ]
    assert "".join(token.text for token in tokens) == whole
    assert [found["text"] for found in await router.abatch([ASKED, ASKED])] == [whole, whole]
    events = [event async for event in router.astream_events(ASKED, version="v2")]
    streamed = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(streamed) == whole
    assert events[-1]["data"]["output"]["text"] == whole


def test_a_twin_has_the_rooms_that_were_given(make_engine: EngineMaker) -> None:
    """Also what no engine builds for itself: who chooses kind and topic; a twin's own comes first."""
    given, own = GenericTask("poem", None), GenericTask("email", None)
    engine = make_engine(rooms={"generalizer": lambda _: given})
    twin = engine.with_rooms(store=engine.store)
    assert twin.built("generalizer")
    assert twin.with_rooms().generic_task(INSTRUCTION) == given
    assert twin.with_rooms(generalizer=lambda _: own).generic_task(INSTRUCTION) == own
    assert not make_engine().with_rooms().built("generalizer")


def test_batch_and_message_inputs(engine: Engine) -> None:
    """Strings, messages, tuples, dicts and prompt values are all requests."""
    router = router_of(engine)
    prompt = ChatPromptTemplate.from_messages([("user", "{task}")]).invoke({"task": INSTRUCTION})
    inputs = [INSTRUCTION, [HumanMessage(INSTRUCTION)], {"messages": [("user", INSTRUCTION)]}, prompt]
    assert len({found["text"] for found in router.batch(inputs)}) == 1


def test_in_a_chain_text_streams(engine: Engine) -> None:
    """`prompt | router | last_text | parser`, without any context= argument."""
    prompt = ChatPromptTemplate.from_messages([("user", "Please write {what} to my birthday party.")])
    chain = prompt | router_of(engine) | last_text | StrOutputParser()
    whole = chain.invoke({"what": "an invitation"})
    pieces = list(chain.stream({"what": "an invitation"}))
    assert len(pieces) > 5
    assert "".join(pieces) == whole != ""
    assert asyncio.run(chain.ainvoke({"what": "an invitation"})) == whole


def test_as_a_tool_and_as_a_subgraph(engine: Engine) -> None:
    """A parent with a context object of its own type, and a tool call: the user comes from construction."""
    router = router_of(engine)
    tool = router.as_tool(name="write", description="Writes as the user.", arg_types={"messages": list})
    assert "Quillon" in tool.invoke({"messages": [("user", ASKED)]})["text"]
    parent = StateGraph(MessagesState, context_schema=dict)
    parent.add_node("router", router)
    parent.add_edge(START, "router")
    parent.add_edge("router", END)
    graph = parent.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    found = graph.invoke({"messages": [("user", ASKED)]}, config, context={"theme": "dark"})
    assert [message.type for message in found["messages"]] == ["human", "ai"]
    assert found["messages"][0].text == ASKED
    assert "Quillon" in found["messages"][-1].text
    modes = graph.stream(
        {"messages": [("user", ASKED)]}, config, context={}, stream_mode="messages", subgraphs=True
    )
    assert sum(isinstance(chunk, AIMessageChunk) for _, (chunk, _) in modes) > 5


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (Reply.error(500), "500"),
        (Reply.error(429), "429"),
        (Reply.error(401), "401"),
        (Reply.html(), ""),
        (Reply.garbage(), ""),
        (Reply.redirect("http://127.0.0.1:9/other"), "redirect"),
        (Reply("I cannot help with that."), "numbered"),
        (Reply(""), ""),
    ],
)
def test_a_cloud_that_fails_is_answered_locally(
    make_engine: EngineMaker, cloud: RecordingCloud, reply: Reply, word: str
) -> None:
    """Whatever the cloud does, the text is written here and the answer says so."""
    cloud.script(*[reply] * 5)
    found = router_of(make_engine()).invoke(ASKED)
    assert found["route"] == "local"
    assert "Quillon" in found["text"]
    assert found["warnings"]
    assert word in found["warnings"][0]


def test_a_cloud_that_fails_is_not_asked_again_with_fewer_words(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """`on_failure: [{level: kind}, ...]` is for sketches that fail; a refused key is refused twice."""
    routing = routed("sketch")
    routing["decisions"][0]["on_failure"] = [{"level": "kind"}, {"route": "local"}]
    cloud.script(Reply.error(401))
    found = router_of(make_engine(routing=routing)).invoke(INSTRUCTION)
    assert (found["route"], len(cloud.requests), len(found["warnings"])) == ("local", 1, 1)


def test_a_choice_that_fails_is_written_locally(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """A writer that cannot choose a kind can still write; nothing is sent and the answer says why."""

    class NoChoice(FakeWriter):
        def choose(self, *args: Any, **kwargs: Any) -> str:
            raise WriterError("the server ignores response_format")

    found = router_of(make_engine({"writer": NoChoice()})).invoke("Please write something for me.")
    assert (found["route"], cloud.requests) == ("local", [])
    assert found["text"]
    assert "response_format" in found["warnings"][0]


def test_a_slow_cloud_and_a_dead_one(make_engine: EngineMaker, cloud: RecordingCloud, tmp_path: Path) -> None:
    """A time-out and a closed port end locally too."""
    models = {"provider": "openai_compatible", "model": "m", "base_url": cloud.base_url, "timeout_s": 0.5}
    cloud.script(*[Reply(delay_s=5)] * 3)
    assert router_of(make_engine(models={"cloud": models})).invoke(ASKED)["route"] == "local"
    dead = models | {"base_url": "http://127.0.0.1:9/v1", "timeout_s": 3}
    found = router_of(make_engine(models={"cloud": dead})).invoke(ASKED)
    assert (found["route"], bool(found["warnings"])) == ("local", True)


class _Broken:
    """Raises for every attribute that is called."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise self._error

        return fail


@pytest.mark.parametrize(
    "rooms",
    [
        {"detector": FakeDetector(error=DetectorError("the detector is broken"))},
        {"store": _Broken(StoreError("the store is broken"))},
        {"audit": _Broken(AuditError("the disk is full"))},
    ],
    ids=["detector", "store", "audit"],
)
@pytest.mark.parametrize("route", ["sketch", "mask", "cloud"])
def test_fail_closed(
    make_engine: EngineMaker, cloud: RecordingCloud, rooms: dict[str, Any], route: str
) -> None:
    """A broken detector, store or receipt book: nothing leaves on any route, and the answer says why."""
    if isinstance(rooms.get("detector"), FakeDetector):
        rooms = {**rooms, "store": MemoryStore([ContextItem("note", "a note")], user=USER)}
    found = router_of(make_engine(rooms, routing=routed(route)), label="public").invoke(INSTRUCTION)
    assert cloud.requests == []
    assert found["route"] == "local"
    assert found["text"]
    assert "broken" in found["warnings"][0] or "full" in found["warnings"][0]


def test_a_gate_hit_stays_local_for_the_whole_thread(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """A private word in the last bytes stops the send; the thread never moves left again."""
    detector = FakeDetector(patterns={"PERSON": "(?i)invitation"})
    store = MemoryStore([ContextItem("note", "a note")], user=USER)
    engine = make_engine({"detector": detector, "store": store})
    router = router_of(engine, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "one"}}
    found = router.invoke(INSTRUCTION, config)
    assert found["route"] == "local"
    assert any("gate" in warning for warning in found["warnings"])
    detector.patterns = {"NEVER": r"\Zx"}
    again = router.invoke("Now write a short thank-you note.", config)
    assert again["route"] == "local"
    assert cloud.requests == []
    assert len(again["messages"]) == 4
    fresh = router.invoke(INSTRUCTION, {"configurable": {"thread_id": "two"}})
    assert fresh["route"] == "sketch"


def test_the_mask_route_hides_and_restores(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Placeholders go out, the streamed answer comes back with the values."""
    cloud.script("Dear guests, write to [[E1]] or [[ e1 ]], says [[P2]] of [[Z9]].")
    router = router_of(make_engine(routing=routed("mask")))
    found = router.invoke(ASKED)
    assert found["route"] == "mask", found["warnings"]
    assert not leaked(cloud.raw)
    body = json.loads(cloud.bodies[0])["messages"][-1]["content"]
    assert "[[" in body
    restored = found["text"]
    assert "[[Z9]]" in restored  # never issued, so never restored


def test_the_cloud_route_needs_the_callers_label(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Text goes out as it is only by an explicit rule on a label; without the label it stays."""
    cloud.script("A fine text.", "Never sent.")
    engine = make_engine(routing=routed("cloud"))
    assert router_of(engine).invoke("Write about tides.")["route"] == "local"
    found = router_of(engine, label="public").invoke("Write about tides.")
    assert (found["route"], found["text"]) == ("cloud", "A fine text.")
    assert found["receipts"][0]["bits"] is None
    found = router_of(engine, label="public").invoke(ASKED)
    assert found["route"] == "local"
    assert len(cloud.requests) == 1
    assert not leaked(cloud.raw)


def test_callers_tighten_and_never_loosen(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """local is more private than sketch, cloud is not; kind tells less than topic."""
    engine = make_engine()
    assert router_of(engine, route="local").invoke(INSTRUCTION)["route"] == "local"
    assert router_of(engine, route="cloud").invoke(INSTRUCTION)["route"] == "sketch"
    found = router_of(engine, level="kind").invoke(INSTRUCTION)
    assert (found["route"], found["level"]) == ("sketch", "kind")
    blocked = router_of(engine, route="block").invoke(ASKED)
    assert blocked["text"] is None
    assert not leaked(blocked["messages"][-1].text)


def test_a_wrong_route_or_level_is_an_error(engine: Engine) -> None:
    """A typing mistake in a wish never means "no wish"."""
    with pytest.raises(InputError, match="sketch"):
        router_of(engine, route="skech")
    with pytest.raises(InputError, match="topic"):
        RouterContext(user_id=USER, level="all")
    assert RouterContext(tags="legal-hold").tags == {"legal-hold"}


def test_unknown_users_and_no_user(engine: Engine, cloud: RecordingCloud) -> None:
    """Nobody's context means local; no user at all is an error, never a guess."""
    router = create_privacy_router(engine=engine)
    found = router.invoke(INSTRUCTION, context=RouterContext(user_id="nobody"))
    assert (found["route"], cloud.requests) == ("local", [])
    with pytest.raises(InputError, match="RouterContext"):
        router.invoke(INSTRUCTION)


@pytest.mark.parametrize(
    ("value", "route", "level"), [("celebration", "sketch", "kind"), ("invitation", "local", None)]
)
def test_the_store_may_veto(
    make_engine: EngineMaker, cloud: RecordingCloud, value: str, route: str, level: str | None
) -> None:
    """A topic that is the user's own known value is not told, and a kind that is one is not either."""
    known = KnownValue(value, "DECLARED", "declared")
    store = MemoryStore([ContextItem("note", "a note")], values_of=lambda _: [known], user=USER)
    engine = make_engine({"store": store})
    assert "celebration" in json.loads(dry_body(make_engine()))["messages"][-1]["content"]
    found = router_of(engine).invoke(INSTRUCTION)
    assert (found["route"], found["level"]) == (route, level), found["reasons"]
    assert value.encode() not in cloud.raw
    assert [entry.reason for entry in engine.audit.refusals()] == found["warnings"]


def dry_body(engine: Engine) -> str:
    """The body that a dry run builds."""
    context = RouterContext(user_id=USER, dry_run=True)
    found = create_privacy_router(engine=engine).invoke(INSTRUCTION, context=context)
    return str(found["outbound"][0]["body"])


def test_observe_and_dry_run_send_nothing(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Both build the exact body; observe writes locally, a dry run writes nothing."""
    observed = router_of(make_engine(privacy={"mode": "observe"})).invoke(INSTRUCTION)
    dry = create_privacy_router(engine=make_engine()).invoke(
        INSTRUCTION, context=RouterContext(user_id=USER, dry_run=True)
    )
    assert cloud.requests == []
    bodies = [[outbound["body"] for outbound in found["outbound"]] for found in (observed, dry)]
    assert bodies[0] == bodies[1] != []
    assert (observed["route"], bool(observed["text"])) == ("local", True)
    assert (dry["route"], dry["text"]) == ("sketch", None)


def test_ask_shows_the_bytes_and_binds_to_them(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """What the person saw is what goes; another hash, a no, or no checkpointer means local."""
    engine = make_engine(routing=routed("sketch", ask=True))
    router = router_of(engine, checkpointer=InMemorySaver())

    def asked(answer: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        config = {"configurable": {"thread_id": str(time.monotonic_ns())}}
        question = router.invoke(INSTRUCTION, config)["__interrupt__"][0].value
        assert "messages" in json.loads(question["body"])
        return router.invoke(Command(resume=answer(question)), config)

    yes = asked(lambda q: {"approve": True, "sha256": q["sha256"]})
    assert yes["route"] == "sketch"
    assert yes["outbound"][0]["body"].encode() == cloud.bodies[0]
    assert asked(lambda q: {"approve": True, "sha256": "0" * 64})["route"] == "local"
    assert asked(lambda q: False)["route"] == "local"
    assert asked(lambda q: "yes please")["route"] == "local"
    assert router_of(engine).invoke(INSTRUCTION)["route"] == "local"
    assert len(cloud.requests) == 1


def test_other_bytes_are_asked_for_anew(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """An approval of the topic's bytes does not cover the kind's, which follow after a failure."""
    routing = routed("sketch", ask=True)
    routing["decisions"][0]["on_failure"] = [{"level": "kind"}, {"route": "local"}]
    router = router_of(make_engine(routing=routing), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    cloud.script("This is no sketch.")
    first = router.invoke(INSTRUCTION, config)["__interrupt__"][0].value
    second = router.invoke(Command(resume=True), config)["__interrupt__"][0].value
    assert first["body"] != second["body"]
    assert len(cloud.requests) == 1
    found = router.invoke(Command(resume=True), config)
    assert (found["route"], found["level"]) == ("sketch", "kind")
    assert [body.decode() for body in cloud.bodies] == [first["body"], second["body"]]


def test_checkpoints_hold_no_readable_text(engine: Engine, tmp_path: Path) -> None:
    """Every byte of the checkpoint database and its log: no canary, no instruction."""
    path = tmp_path / "checkpoints.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        router = router_of(engine, checkpointer=saver)
        config = {"configurable": {"thread_id": "t"}}
        router.invoke(ASKED, config)
        second = router.invoke("And now a shorter invitation.", config)
        assert second["messages"][0].text == ASKED
        data = b"".join(file.read_bytes() for file in tmp_path.glob("checkpoints.sqlite*"))
    assert b"vault:" in data
    assert not leaked(data)
    assert b"birthday party on Saturday" not in data


def test_traces_hold_no_readable_text(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With LangSmith tracing on, its back end receives runs and not one private word."""
    from langsmith import utils

    with RecordingCloud() as collector:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", collector.base_url.removesuffix("/v1"))
        monkeypatch.setenv("LANGSMITH_API_KEY", "lsv2_test")
        utils.get_env_var.cache_clear()
        from langchain_core.tracers.langchain import _get_executor, get_client, wait_for_all_tracers

        router_of(engine).invoke(ASKED)
        list(router_of(engine).stream(ASKED, stream_mode="messages"))
        wait_for_all_tracers()
        get_client().flush()
        deadline = time.monotonic() + 60
        while not collector.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        del _get_executor
        assert b"privacy_router" in collector.raw
        assert not leaked(collector.raw)
        assert b"birthday party on Saturday" not in collector.raw
    monkeypatch.undo()
    utils.get_env_var.cache_clear()


def test_stopping_a_stream_frees_the_writer(make_engine: EngineMaker) -> None:
    """Closing the iterator in mid-text ends the writer's loop; the next request is served."""
    engine = make_engine({"writer": FakeWriter(delay_s=0.01)})
    router = router_of(engine)
    stream = router.stream(ASKED, stream_mode="messages")
    next(chunk for chunk, _ in stream if isinstance(chunk, AIMessageChunk))
    stream.close()
    engine.writer.delay_s = 0.0  # type: ignore[attr-defined]
    assert router.invoke(INSTRUCTION)["text"]


def test_two_users_never_meet(make_engine: EngineMaker) -> None:
    """50 concurrent runs of two users: neither text ever holds the other's value."""
    items = {"ann": "Name: Ann Greenshoe", "bob": "Name: Bob Yellowhat"}

    class TwoUsers:
        def __init__(self) -> None:
            self.stores = {u: MemoryStore([ContextItem("profile", t)], user=u) for u, t in items.items()}

        def __getattr__(self, name: str) -> Any:
            return lambda user, *args, **kwargs: getattr(self.stores[user], name)(user, *args, **kwargs)

    router = create_privacy_router(engine=make_engine({"store": TwoUsers()}))

    def one(number: int) -> tuple[str, str]:
        user = "ann" if number % 2 else "bob"
        return user, router.invoke(INSTRUCTION, context=RouterContext(user_id=user))["text"]

    with ThreadPoolExecutor(8) as pool:
        for user, text in pool.map(one, range(50)):
            assert ("Greenshoe" in text, "Yellowhat" in text) == (user == "ann", user == "bob")


@pytest.mark.parametrize(
    "given", ["", "  \n", [], {"messages": []}, {"text": "x"}, b"\xff\xfe", [{"role": "x"}], 7]
)
def test_bad_input_is_a_clear_error(engine: Engine, given: Any) -> None:
    """Empty, shapeless or undecoded input: InputError, and nothing of it in the message."""
    with pytest.raises(InputError):
        router_of(engine).invoke(given)


def test_a_megabyte_is_refused_and_an_image_too(engine: Engine) -> None:
    """The limit is named; media are refused rather than dropped."""
    with pytest.raises(InputError, match=r"limits\.max_chars") as error:
        router_of(engine).invoke("secret words " * 80_000)
    assert "secret" not in str(error.value)
    image = HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}])
    with pytest.raises(InputError, match="only text"):
        router_of(engine).invoke([image])


def test_repr_and_state_carry_no_text(engine: Engine) -> None:
    """repr of every public object, and the graph's own state: no canary."""
    router = router_of(engine, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    router.invoke(ASKED, config)
    shown = [
        router,
        engine,
        engine.config,
        engine.vault,
        CONTEXT,
        router.defaults,
        engine.store,
        engine.writer,
    ]
    assert not leaked(" ".join(map(repr, shown)))
    assert not leaked(repr(router.get_state(config)))
    assert all(known.value not in repr(known) for known in canaries())


def test_a_thread_remembers_and_restores(engine: Engine) -> None:
    """With a checkpointer the thread's messages come back readable, in order."""
    router = router_of(engine, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    router.invoke(ASKED, config)
    found = router.invoke("Make it shorter, please.", config)
    assert [message.type for message in found["messages"]] == ["human", "ai", "human", "ai"]
    assert isinstance(found["messages"][1], AIMessage)
    assert found["messages"][2].text == "Make it shorter, please."


def test_threads_are_served_while_one_writes(make_engine: EngineMaker) -> None:
    """A long text of one user does not stop another's blocked request from being answered."""
    writing, served = threading.Event(), threading.Event()

    class Slow(FakeWriter):
        def write(self, *args: Any, **kwargs: Any) -> Iterator[str]:
            writing.set()
            assert served.wait(60)
            yield from super().write(*args, **kwargs)

    router = router_of(make_engine({"writer": Slow()}))
    slow = threading.Thread(target=lambda: router.invoke(ASKED))
    slow.start()
    assert writing.wait(60)
    create_privacy_router(engine=router.engine, user_id=USER, route="block").invoke(INSTRUCTION)
    assert slow.is_alive()
    served.set()
    slow.join()
