"""Ways around the router that were found by trying, each closed: threads, resumes, replays, doors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_debug
from langchain_core.messages import HumanMessage
from langchain_core.tracers.context import collect_runs
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import CoGenesisError, DetectorError, InputError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeDetector, FakeWriter, RecordingCloud, canary_context, leaked
from cogenesis_langchain.types import ContextItem
from tests.conftest import INSTRUCTION, USER, routed

EngineMaker = Callable[..., Engine]
THREAD = {"configurable": {"thread_id": "t"}}
ASKED = f"{INSTRUCTION} Love, Quillon Vexmoor of 14 Larkspinner Row"


def two_users(make_engine: EngineMaker, **changes: Any) -> PrivacyRouter:
    """A router over a store that knows everybody, with a checkpointer."""
    store = MemoryStore(canary_context(), values_of=FakeDetector().extract_values)
    return create_privacy_router(
        engine=make_engine({"store": store}, **changes), checkpointer=InMemorySaver()
    )


def test_a_thread_is_its_users_alone(make_engine: EngineMaker) -> None:
    """Another user of the same thread id sees nothing of it and cannot go on with it."""
    router = two_users(make_engine)
    router.invoke(ASKED, THREAD, context=RouterContext(user_id="a"))
    for given in (INSTRUCTION, Command(resume=True), None):
        with pytest.raises(InputError, match="another user"):
            list(router.stream(given, THREAD, context=RouterContext(user_id="b"), stream_mode="values"))
    again = router.invoke("Shorter, please.", THREAD, context=RouterContext(user_id="a"))
    assert len(again["messages"]) == 4


async def test_a_thread_is_its_users_alone_async(make_engine: EngineMaker) -> None:
    """The same through the async door."""
    router = two_users(make_engine)
    await router.ainvoke(ASKED, THREAD, context=RouterContext(user_id="a"))
    with pytest.raises(InputError, match="another user"):
        await router.ainvoke(INSTRUCTION, THREAD, context=RouterContext(user_id="b"))


def test_a_no_stays_a_no_after_somebody_elses_yes(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """One user's approval never counts for another's question."""
    router = two_users(make_engine, routing=routed("sketch", ask=True))
    router.invoke(INSTRUCTION, THREAD, context=RouterContext(user_id="a"))
    with pytest.raises(CoGenesisError):
        router.invoke(Command(resume=True), THREAD, context=RouterContext(user_id="b"))
    found = router.invoke(Command(resume=False), THREAD, context=RouterContext(user_id="a"))
    assert (found["route"], cloud.requests) == ("local", [])


@pytest.mark.parametrize(
    "tighter",
    [{"route": "local"}, {"route": "block"}, {"dry_run": True}, {"tags": "legal-hold"}],
    ids=str,
)
def test_a_resume_may_tighten(
    make_engine: EngineMaker, cloud: RecordingCloud, tighter: dict[str, Any]
) -> None:
    """What the caller says when the approval comes counts too."""
    routing = routed("sketch", ask=True)
    hold = {
        "name": "hold",
        "priority": 9,
        "rules": {"all": [{"tag": "legal-hold"}]},
        "action": {"route": "local"},
    }
    routing["decisions"].append(hold)
    router = two_users(make_engine, routing=routing)
    router.invoke(INSTRUCTION, THREAD, context=RouterContext(user_id="a"))
    router.invoke(Command(resume=True), THREAD, context=RouterContext(user_id="a", **tighter))
    assert cloud.requests == []


def test_nobody_goes_round_the_question(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """A jump to the send is no approval, the first time and the second."""
    router = two_users(make_engine, routing=routed("sketch", ask=True))
    one = RouterContext(user_id="a")
    router.invoke(INSTRUCTION, THREAD, context=one)
    waiting = router.get_state(THREAD).config
    for command in (Command(goto="send"), Command(goto="send", update={"ask": False})):
        found = router.invoke(command, waiting, context=one)
        assert found["route"] == "local"
    assert cloud.requests == []


def test_the_floor_holds_at_the_send(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """A thread that went local meanwhile does not send what was prepared before."""
    router = two_users(make_engine, routing=routed("sketch", ask=True))
    one = RouterContext(user_id="a")
    router.invoke(INSTRUCTION, THREAD, context=one)
    waiting = router.get_state(THREAD).config
    router.engine.vault.raise_floor(("a", "t"), router.engine.policy.default)
    assert router.invoke(Command(resume=True), waiting, context=one)["route"] == "local"
    assert cloud.requests == []


def test_a_replay_does_not_send_twice(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Going back to the checkpoint before the send writes locally: at most once."""
    router = two_users(make_engine)
    one = RouterContext(user_id="a")
    router.invoke(INSTRUCTION, THREAD, context=one)
    before = next(state for state in router.get_state_history(THREAD) if state.next == ("send",))
    found = router.invoke(None, before.config, context=one)
    assert len(cloud.requests) == 1
    assert found["route"] == "local"
    assert found["text"]


def test_a_detector_that_recovers_is_too_late(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Where detection failed nothing is sent, although the gate's own look would work."""

    class Flaky(FakeDetector):
        def detect(self, text: str, **kwargs: Any) -> Any:
            self.error = None if self.seen else DetectorError("the detector is broken")
            return super().detect(text, **kwargs)

    for route in ("sketch", "mask", "cloud"):
        engine = make_engine({"detector": Flaky()}, routing=routed(route))
        engine._rooms["store"] = MemoryStore([ContextItem("note", "a note")], user=USER)
        found = create_privacy_router(engine=engine, user_id=USER, label="public").invoke(INSTRUCTION)
        assert found["route"] == "local"
    assert cloud.requests == []


def test_half_a_surrogate_pair_is_refused(engine: Engine) -> None:
    """Text that no encoder takes would be quoted by whoever tries."""
    with pytest.raises(InputError, match="surrogate") as error:
        create_privacy_router(engine=engine, user_id=USER).invoke(ASKED + "\ud800")
    assert not leaked(repr(error.value.__cause__) + repr(error.value.__context__) + str(error.value))


class _Listener(BaseCallbackHandler):
    """Keeps the repr of everything that a tracer would see."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **kwargs: self.heard.append(repr((args, kwargs)))
        return super().__getattribute__(name)


@pytest.mark.parametrize("room", ["writer", "detector"])
def test_foreign_exceptions_are_told_by_their_kind(
    make_engine: EngineMaker, tmp_path: Path, room: str
) -> None:
    """An adopter's room that quotes the text in its error: not in ours, the trace or the checkpoint."""
    broken = ValueError("Quillon Vexmoor lives at 14 Larkspinner Row")
    fake = FakeWriter(error=broken) if room == "writer" else FakeDetector(error=broken)
    listener = _Listener()
    rooms = {room: fake, "store": MemoryStore([ContextItem("note", "a note")], user=USER)}
    path = tmp_path / "c.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        router = create_privacy_router(engine=make_engine(rooms), user_id=USER, checkpointer=saver)
        with pytest.raises(CoGenesisError, match="ValueError") as error:
            router.invoke(INSTRUCTION, {**THREAD, "callbacks": [listener]})
        data = b"".join(file.read_bytes() for file in tmp_path.glob("c.sqlite*"))
    assert error.value.__context__ is None
    assert not leaked(data)
    assert listener.heard
    assert not leaked(" ".join(listener.heard))


def test_every_door_interns(engine: Engine, tmp_path: Path) -> None:
    """update_state, Command.update, answers with reasons, and ids that say something: nothing on disk."""
    secret = "Quillon Vexmoor"
    path = tmp_path / "c.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        router = create_privacy_router(engine=engine, user_id=USER, checkpointer=saver)
        router.invoke([HumanMessage(ASKED, id=f"{secret}-1")], THREAD)
        router.update_state(THREAD, {"messages": [HumanMessage(f"It is {secret}.")]})
        router.invoke(Command(update={"messages": [HumanMessage(f"Yes, {secret}.")]}, goto="detect"), THREAD)
        found = router.invoke(Command(resume={"approve": False, "why": secret}), THREAD)
        data = b"".join(file.read_bytes() for file in tmp_path.glob("c.sqlite*"))
    assert not leaked(data)
    assert secret.encode() not in data
    assert found["messages"][0].id == f"{secret}-1"


def test_debug_printers_and_run_collectors_hear_no_text(engine: Engine, capsys: Any) -> None:
    """LangChain's global debug mode and run collector see the router's steps, not its words."""
    router = create_privacy_router(engine=engine, user_id=USER)
    set_debug(True)
    try:
        with collect_runs() as runs:
            list(router.stream(ASKED, stream_mode="messages"))
    finally:
        set_debug(False)
    printed = capsys.readouterr().out
    assert "privacy_router" in printed
    assert not leaked(printed)
    assert not leaked(repr([run.model_dump() for run in runs.traced_runs]))


def test_a_public_label_never_wins(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Labelled confidential at construction, public in the call: not public."""
    engine = make_engine(routing=routed("cloud"))
    for of_router, of_run in (("confidential", "public"), ("public", "confidential")):
        router = create_privacy_router(engine=engine, user_id=USER, label=of_router)
        assert router.invoke("Write about tides.", context={"label": of_run})["route"] == "local"
    assert cloud.requests == []


def test_thread_zero_is_a_thread(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """thread_id=0 keeps its floor like any other."""
    router = two_users(make_engine)
    config = {"configurable": {"thread_id": 0}}
    router.invoke(INSTRUCTION, config, context=RouterContext(user_id="a", route="local"))
    assert router.invoke(INSTRUCTION, config, context=RouterContext(user_id="a"))["route"] == "local"
    assert cloud.requests == []
