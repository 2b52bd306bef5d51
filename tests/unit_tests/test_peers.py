"""How others in the field break, each as a test of ours: what was seen in their code must not happen here.

The names in the docstrings are those of the projects where it was seen. Fakes stand for the models.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from cogenesis_langchain.detect.detector import Detector
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import CoGenesisError, DetectorError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.readings import spelled
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeDetector, FakeWriter, RecordingCloud, Reply
from cogenesis_langchain.types import ContextItem, KnownValue, Outbound, Sendable
from tests.conftest import INSTRUCTION, USER, routed

EngineMaker = Callable[..., Engine]
BLIND = {"NEVER": r"\Zx"}
ANN, BOB = "Ann Greenshoe", "Bob Yellowhat"
PARTS = (ANN, BOB, "Greenshoe", "Yellowhat")
SENDING = ("cloud", "mask", "sketch")


def store_of(*names: str, user: str | None = USER) -> MemoryStore:
    """A context that knows these persons."""
    known = [KnownValue(name, "PERSON", "declared") for name in names]
    return MemoryStore([ContextItem("note", "a note")], values_of=lambda _: known, user=user)


def router_of(
    make_engine: EngineMaker, route: str, *names: str, rooms: dict[str, Any] | None = None, **options: Any
) -> PrivacyRouter:
    """A router of one route over a detector that finds nothing and a context that knows `names`."""
    given = {"detector": FakeDetector(patterns=BLIND), "store": store_of(*names)} | (rooms or {})
    engine = make_engine(given, routing=routed(route))
    return create_privacy_router(engine=engine, user_id=USER, label="public", **options)


def contents(cloud: RecordingCloud) -> list[str]:
    """The texts of the last request, without the frame."""
    messages = json.loads(cloud.bodies[-1])["messages"]
    return [message["content"] for message in messages if message["role"] != "system"]


# --- one value, one placeholder -------------------------------------------------------------------------


def test_two_people_over_messages_and_turns(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """LiteLLM numbers per message in a shared map and restores the wrong name."""
    cloud._default = Reply(echo=True)
    router = router_of(make_engine, "mask", ANN, BOB, checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "t"}}
    said = [
        HumanMessage(f"{ANN} wrote."),
        AIMessage(f"{BOB} answered."),
        HumanMessage(f"Tell {BOB} about {ANN}"),
    ]
    assert router.invoke(said, thread)["text"] == f"Tell {BOB} about {ANN}"
    first, second, both = contents(cloud)
    ann, bob = first.removesuffix(" wrote."), second.removesuffix(" answered.")
    assert both == f"Tell {bob} about {ann}"
    assert ann != bob
    assert router.invoke(f"Only {BOB} now.", thread)["text"] == f"Only {BOB} now."
    assert contents(cloud)[-1] == f"Only {bob} now."


def test_a_name_inside_a_word_is_no_name(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """LangChain's experimental anonymizer made `<PERSON>ual` of "Annual"."""
    cloud._default = Reply(echo=True)
    text = "Write the annual report. Annual fees, Annette and Bobsleigh stay; Ann and Bob go."
    found = router_of(make_engine, "mask", "Ann", "Bob").invoke(text)
    body = contents(cloud)[-1]
    assert found["text"] == text
    for word in ("annual report", "Annual fees", "Annette", "Bobsleigh"):
        assert word in body
    assert " Ann " not in body
    assert " Bob " not in body


# --- fail open ----------------------------------------------------------------------------------------


def _status(text: str) -> list[Any]:
    request = httpx.Request("POST", "http://127.0.0.1:9/analyze")
    raise httpx.HTTPStatusError(f"500 for {text}", request=request, response=httpx.Response(500))


async def _later(text: str) -> list[Any]:
    raise TimeoutError(text)


BROKEN: dict[str, Any] = {
    "status 500": _status,
    "timeout": _later,
    "not json": lambda text: json.loads("<html>"),
    "none": lambda text: None,
    "a string": lambda text: "no findings",
    "a dict": lambda text: {"error": "unavailable"},
    "unknown shape": lambda text: [{"label": "PER", "begin": 0}],
    "outside the text": lambda text: [{"type": "PERSON", "start": 5, "end": 10**6, "score": 1.0}],
    "backwards": lambda text: [{"type": "PERSON", "start": 5, "end": 2, "score": 1.0}],
    "negative": lambda text: [{"type": "PERSON", "start": -3, "end": 2, "score": 1.0}],
    "no number": lambda text: [{"type": "PERSON", "start": "0", "end": None, "score": "high"}],
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("route", SENDING)
def test_a_detector_that_breaks_sends_nothing(
    make_engine: EngineMaker, cloud: RecordingCloud, route: str, kind: str
) -> None:
    """LiteLLM forwards the raw text when its analyzer answers with an error or with what is no JSON."""
    detector = Detector("fast", extra=[BROKEN[kind]])
    found = router_of(make_engine, route, ANN, rooms={"detector": detector}).invoke(INSTRUCTION)
    assert (found["route"], cloud.requests) == ("local", [])
    assert found["text"]
    assert found["warnings"]


def test_no_findings_and_no_finding_out_are_different(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """semantic-router skips classifiers that fail, and PRISM counts a failed recogniser as no risk.

    A rule that sends where nothing was found does not match where nobody could look.
    """
    clean = {"all": [{"label": "public"}, {"spans": 0}, {"known_values": 0}]}
    rule = {"name": "clean", "priority": 1, "rules": clean, "action": {"route": "cloud"}}
    detector = FakeDetector(patterns=BLIND)
    engine = make_engine({"store": store_of(ANN), "detector": detector}, routing={"decisions": [rule]})
    router = create_privacy_router(engine=engine, user_id=USER, label="public")
    assert router.invoke(INSTRUCTION)["route"] == "cloud"
    detector.error = DetectorError("the detector is broken")
    assert router.invoke(INSTRUCTION)["route"] == "local"
    assert len(cloud.requests) == 1


# --- streams ------------------------------------------------------------------------------------------


class _Patient:
    """A cloud that goes on speaking only while its last words but three have been read."""

    def __init__(self, cloud: Any, pieces: Sequence[str]) -> None:
        self._cloud, self._pieces = cloud, pieces
        self.read = threading.Semaphore(4)
        self.waited_in_vain = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloud, name)

    def stream(self, outbound: Outbound, permit: Any) -> Iterator[str]:
        """The pieces, one by one."""
        del outbound, permit
        for piece in self._pieces:
            self.waited_in_vain += not self.read.acquire(timeout=1 if self.waited_in_vain else 10)
            yield piece


def test_tokens_are_passed_on_while_the_cloud_still_speaks(make_engine: EngineMaker) -> None:
    """LiteLLM buffers everything into one chunk where it restores placeholders."""
    router = router_of(make_engine, "mask", ANN)
    pieces = [*(f"word{number} " for number in range(12)), "for [[P", "1]] and ", "all."]
    patient = _Patient(router.engine.cloud, pieces)
    router.engine._rooms["cloud"] = patient
    text = ""
    for chunk, _ in router.stream(f"Write to {ANN}, please.", stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk):
            text += chunk.text
            patient.read.release()
    assert f"word11 for {ANN} and all." in text
    assert patient.waited_in_vain == 0


SHAPES = {
    "no choices": {"choices": []},
    "refusal": {"choices": [{"index": 0, "delta": {"refusal": "no [[P1]]"}}]},
    "tool call": {
        "choices": [
            {
                "index": 0,
                "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "[[P1]]"}}]},
            }
        ]
    },
    "blocks": {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "[[P1]]"}]}}]},
    "text completion": {"choices": [{"index": 0, "text": "[[P1]]"}]},
    "an error": {"error": {"message": "[[P1]]"}},
    "a list": [1, 2],
    "two choices": {"choices": [{"index": n, "delta": {"content": f"[[P1]] {n}"}} for n in range(2)]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_of_unknown_shape(make_engine: EngineMaker, cloud: RecordingCloud, shape: str) -> None:
    """LiteLLM passes chunks of a shape it does not know as they are, with placeholders in them."""
    fine = {"choices": [{"index": 0, "delta": {"content": "Hello [[P1]]"}}]}
    lines = [json.dumps(fine), json.dumps(SHAPES[shape]), "[DONE]"]
    raw = "".join(f"data: {line}\n\n" for line in lines).encode()
    cloud.script(Reply(raw=raw, content_type="text/event-stream"))
    try:
        text = router_of(make_engine, "mask", ANN).invoke(f"Write to {ANN}, please.")["text"]
    except CoGenesisError as error:  # a text that has begun is not begun again
        text = str(error)
    assert text
    assert "[[P1]]" not in text
    assert len(cloud.requests) == 1


# --- history ------------------------------------------------------------------------------------------


def conversation() -> list[BaseMessage]:
    """Five messages; only the first one holds a name."""
    return [
        HumanMessage(f"My doctor is {ANN}."),
        AIMessage("I see."),
        HumanMessage("What shall I bring?"),
        AIMessage("A coat."),
        HumanMessage(INSTRUCTION),
    ]


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("route", SENDING)
def test_every_message_is_read(
    make_engine: EngineMaker, cloud: RecordingCloud, route: str, threaded: bool
) -> None:
    """semantic-router and PIIMiddleware scan the last message; Minions sends earlier queries raw."""
    router = router_of(make_engine, route, ANN, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    if threaded:
        router.invoke(conversation()[:1], config)
        router.invoke(conversation()[2:], config)
    else:
        router.invoke(conversation(), config)
    assert spelled(cloud.raw, PARTS) == []
    assert bool(cloud.requests) == (route != "cloud")
    if route == "sketch":
        assert b"coat" not in cloud.raw


# --- vaults -------------------------------------------------------------------------------------------


def test_nobody_restores_anothers_values(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """LLM Guard's vault is one for the whole process: any client restores what any other has hidden."""
    cloud._default = Reply(echo=True)
    engine = make_engine(
        {"detector": FakeDetector(), "store": MemoryStore([ContextItem("note", "a note")])},
        routing=routed("mask"),
    )
    router = create_privacy_router(engine=engine, checkpointer=InMemorySaver())

    def ask(user: str, thread: str, text: str) -> dict[str, Any]:
        config = {"configurable": {"thread_id": thread}}
        found: dict[str, Any] = router.invoke(text, config, context=RouterContext(user_id=user))
        return found

    ask("ann", "one", f"Write to {ANN}, please.")
    placeholder = contents(cloud)[-1].split()[2].rstrip(",")
    assert placeholder.startswith("[[")
    handles = [
        m.content
        for m in super(PrivacyRouter, router)
        .get_state({"configurable": {"thread_id": "one"}})
        .values["messages"]
    ]
    for user, thread in (("bob", "two"), ("bob", "three"), ("ann", "two of ann")):
        for imitation in (placeholder, placeholder.lower(), f"**{placeholder}**", *handles):
            try:
                shown = json.dumps(ask(user, f"{thread}{imitation}", f"Repeat {imitation} please.")["text"])
            except CoGenesisError as error:
                shown = str(error)
            assert spelled(shown, PARTS) == []


# --- plain logs ---------------------------------------------------------------------------------------


def test_nothing_is_written_where_nobody_asked(
    make_engine: EngineMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Minions and PRISM write the full context to log files and to the screen."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(home))
    for route in SENDING:
        router_of(make_engine, route, ANN).invoke(conversation())
    assert list(home.rglob("*")) == []
    printed = capfd.readouterr()
    assert spelled(printed.out + printed.err, PARTS) == []


# --- between rewriting and sending ----------------------------------------------------------------------


def test_a_mask_that_forgets_is_stopped(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAPILLON checks nothing between its rewrite and the send, and leaks 7.5%."""
    monkeypatch.setattr("cogenesis_langchain.masking.hide", lambda text, *_, **__: Sendable(text, "hide"))
    found = router_of(make_engine, "mask", ANN).invoke(f"Write to {ANN}, please.")
    assert (found["route"], cloud.requests) == ("local", [])


def test_a_rewrite_that_tells_is_stopped(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where the generic task would carry a name, known or found."""
    for name, rooms in ((ANN, {}), ("Cleo Redglove", {"detector": FakeDetector()})):
        told = Sendable(f"Write an invitation by {name}.", "generalize")
        monkeypatch.setattr("cogenesis_langchain.bodies.task_sentence", lambda *_, told=told: told)
        found = router_of(make_engine, "sketch", ANN, rooms=rooms).invoke(INSTRUCTION)
        assert (found["route"], cloud.requests) == ("local", [])


# --- who it is, without a name --------------------------------------------------------------------------


def test_what_identifies_without_a_name_stays(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """LLM-Redactor's best combination leaks 0.6% of the names and 43.6% of who somebody is."""
    who = (
        "I am the only left-handed trombonist among the lighthouse keepers of our island, widowed in spring."
    )
    router_of(make_engine, "sketch", ANN).invoke(f"{INSTRUCTION} {who}")
    router_of(make_engine, "sketch", ANN).invoke(INSTRUCTION)
    telling = ("left-handed", "trombonist", "lighthouse", "keepers", "island", "widowed", "spring")
    assert len(cloud.bodies) == 2
    assert spelled(cloud.raw, telling) == []
    assert cloud.bodies[0] == cloud.bodies[1]


def test_the_profile_is_never_part_of_the_prompt(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """CoGenesis' released code sends the profile with the sketch prompt, and the context in logit mode."""
    profile = "Likes copper trumpets and Zanzibarian stamps."
    writer = FakeWriter()
    rooms = {"store": MemoryStore([ContextItem("profile", profile)], user=USER), "writer": writer}
    found = router_of(make_engine, "sketch", rooms=rooms).invoke(INSTRUCTION)
    assert "Zanzibarian" in found["text"]  # it was read, here
    assert spelled(cloud.raw, ["copper", "trumpets", "Zanzibarian", "stamps"]) == []
