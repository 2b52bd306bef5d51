"""The mask route through the whole graph, judged on the bytes that a real HTTP server received."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from cogenesis_langchain.detect import patterns
from cogenesis_langchain.detect.detector import Detector
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import VaultError
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.interning import text_of
from cogenesis_langchain.masking import masked
from cogenesis_langchain.placeholders import Table, restore_json
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeDetector, RecordingCloud, Reply, leaked
from cogenesis_langchain.types import ContextItem, KnownValue, PrivateSpan
from tests.conftest import INSTRUCTION, USER, routed

EngineMaker = Callable[..., Engine]
NORA, MAIL = "Nora Lindqvist", "nora@tidewell.example"


def store_of(*texts: str) -> MemoryStore:
    """Everybody's context, whoever asks: the values of these profiles."""
    items = [ContextItem("profile", text) for text in texts]
    return MemoryStore(items, values_of=FakeDetector().extract_values)


def masks(make_engine: EngineMaker, *profile: str, **rooms: Any) -> Engine:
    """An engine that masks everything, for a person with this profile."""
    store = store_of(*(profile or ("Likes rain.",)))
    return make_engine({"store": store, **rooms}, routing=routed("mask"))


def ask(engine: Engine, said: Any, user: str = USER, **config: Any) -> dict[str, Any]:
    """One request; readable state."""
    found: dict[str, Any] = create_privacy_router(engine=engine).invoke(
        said, config or None, context=RouterContext(user_id=user)
    )
    return found


def sent(cloud: RecordingCloud, number: int = -1) -> list[dict[str, Any]]:
    """The messages of one body behind the frame."""
    messages: list[dict[str, Any]] = json.loads(cloud.bodies[number])["messages"]
    return messages[1:]


def tool_turn(result: Any, args: dict[str, Any], **kwargs: Any) -> list[BaseMessage]:
    """A person's request, a call of a tool, and its result."""
    call = {"name": "look_up", "args": args, "id": "toolu_NoraLindqvist_7"}
    return [
        HumanMessage("Please answer kindly."),
        AIMessage("", tool_calls=[call]),
        ToolMessage(result, tool_call_id=str(call["id"]), **kwargs),
    ]


def test_one_value_has_one_placeholder_over_messages_turns_and_tools(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Whoever says it, in whatever turn and form: the same number, and no second value behind it."""
    cloud.script("hello [[P1]].", "Bye [[ p1 ]] and [[P2]].")
    router = create_privacy_router(engine=masks(make_engine), checkpointer=InMemorySaver(), user_id=USER)
    thread: Any = {"configurable": {"thread_id": "t"}}
    first = router.invoke(f"please greet {NORA}.", thread)
    assert first["text"] == f"hello {NORA}."
    call = {"name": "find", "args": {"who": NORA, "with": "Bram Oosterling"}, "id": "a"}
    second = router.invoke(
        [
            AIMessage("", tool_calls=[call]),
            ToolMessage(f"{NORA} is in", tool_call_id="a"),
            HumanMessage("and now say goodbye to nora lindqvist"),
        ],
        thread,
    )
    assert second["text"] == f"Bye {NORA} and Bram Oosterling."
    _, answer, calls, result, last = sent(cloud)
    assert answer["content"] == "hello [[P1]]."
    arguments = json.loads(calls["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"who": "[[P1]]", "with": "[[P2]]"}
    assert result["content"] == "[[P1]] is in"
    assert last["content"] == "and now say goodbye to [[P1.2]]"


@pytest.mark.parametrize(
    "glued", ["un[[P1]]ed", "un[[P1]]", "9[[P1]]9", "a[[P1]][[P1]]b", "é[[P1]]é, x[[P1]]"]
)
def test_a_cloud_cannot_hide_a_value_in_a_word_and_read_it_in_the_next_turn(
    make_engine: EngineMaker, cloud: RecordingCloud, glued: str
) -> None:
    """What it glued to a placeholder is masked as one word; the person's own longer words stay."""
    cloud.script(f"Sure, use {glued} words.", "Fine.")
    store = MemoryStore(
        [ContextItem("note", "x")], values_of=lambda _: [KnownValue("Moss", "PERSON", "field")]
    )
    router = create_privacy_router(
        engine=make_engine({"store": store}, routing=routed("mask")),
        checkpointer=InMemorySaver(),
        user_id=USER,
    )
    thread: Any = {"configurable": {"thread_id": "t"}}
    first = router.invoke("please write to Moss of the Mossy hills", thread)
    assert first["text"] == f"Sure, use {glued.replace('[[P1]]', 'Moss')} words."
    assert router.invoke("shorter", thread)["text"] == "Fine."
    asked, answer, _ = sent(cloud)
    assert asked["content"] == "please write to [[P1]] of the Mossy hills"
    assert "Moss" not in answer["content"]
    assert answer["content"].startswith("Sure, use [[")


def test_the_first_message_is_masked_by_what_the_last_one_gives_away(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """A detector that knows a name only in capitals finds it in the rest of the thread."""
    said = [HumanMessage("is lindqvist coming?"), AIMessage("Who?"), HumanMessage(f"{NORA}, of course.")]
    found = ask(masks(make_engine), said)
    assert found["route"] == "mask", found["warnings"]
    assert b"indqvist" not in cloud.bodies[0]


def test_a_table_is_one_users_alone(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The same thread id, another user: no placeholder of the one opens for the other."""
    cloud.script("Hello [[P1]].", "Hello [[P1]] and [[P2]].")
    engine = masks(make_engine)
    thread: Any = {"configurable": {"thread_id": "t"}}
    assert ask(engine, f"please greet {NORA}.", "a", **thread)["text"] == f"Hello {NORA}."
    assert (
        ask(engine, "please greet Bram Oosterling.", "b", **thread)["text"]
        == "Hello Bram Oosterling and [[P2]]."
    )


@pytest.mark.parametrize("drip", ["[[P1]]", "[[ p1 ]]", "\\[\\[P1\\]\\]", "[[**P1**]]", "［［P1］］"])
def test_a_bent_placeholder_is_restored_whatever_chunks_it_comes_in(
    make_engine: EngineMaker, cloud: RecordingCloud, drip: str
) -> None:
    """Streamed through the router, no half of a placeholder is ever shown."""
    frames = [{"choices": [{"index": 0, "delta": {"content": c}}]} for c in f"Dear {drip}'s guests"]
    raw = "".join(f"data: {json.dumps(f)}\n\n" for f in frames) + "data: [DONE]\n\n"
    cloud.script(Reply(raw=raw.encode(), content_type="text/event-stream"))
    router = create_privacy_router(engine=masks(make_engine), user_id=USER)
    chunks = [
        chunk.text
        for chunk, _ in router.stream(f"please greet {NORA}.", stream_mode="messages")
        if isinstance(chunk, AIMessageChunk)
    ]
    assert "".join(chunks) == f"Dear {NORA}'s guests"
    assert len(chunks) >= 4  # word by word: links are looked for between spaces
    assert not any("[" in chunk or "［" in chunk for chunk in chunks)


def test_calls_of_tools_travel_as_calls_without_private_words(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Keys, strings, numbers and nested values are hidden inside the JSON; ids are ours; no artifact goes."""
    args = {
        "people": [{"name": NORA, "Bram Oosterling": True}],
        "note": f'say "hi"\nto {NORA}',
        "size": 3,
        "none": None,
    }
    result = json.dumps({"mail": MAIL, "by": "Zo\u00eb Ma\u00df", "n": [1, 2.5]})
    detector = FakeDetector({**FakeDetector().patterns, "PERSON": r"[A-Z]\w+ [A-Z]\w+"})
    said = tool_turn(result, args, artifact={"raw": MAIL})
    found = ask(masks(make_engine, detector=detector), said)
    assert found["route"] == "mask", found["warnings"]
    assert not any(word in cloud.raw for word in (b"Nora", b"nora", b"Bram", b"Zo", b"toolu"))
    _, asked, answered = sent(cloud)
    (call,) = asked["tool_calls"]
    assert call["id"] == answered["tool_call_id"] == "call_1"
    arguments = json.loads(call["function"]["arguments"])
    (person,) = arguments["people"]
    name = person["name"]
    assert arguments["note"] == f'say "hi"\nto {name}'
    assert (arguments["size"], arguments["none"]) == (3, None)
    assert [value for key, value in person.items() if key.startswith("[[P")] == [True]
    assert answered["role"] == "tool"
    assert json.loads(answered["content"]) == {"mail": "[[E1]]", "by": "[[P2]]", "n": [1, 2.5]}


def test_a_number_that_is_private_becomes_a_placeholder(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """JSON numbers are read as text; the harmless ones stay numbers."""
    detector = FakeDetector({"PHONE_NUMBER": r"\b\d{10}\b"})
    ask(masks(make_engine, detector=detector), tool_turn("done", {"phone": 2125550142, "n": 12}))
    (call,) = sent(cloud)[1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"phone": "[[T1]]", "n": 12}


TEXTS = st.one_of(
    st.sampled_from([NORA, "NORA LINDQVIST's", "[[P1]]", '"}', "mail of noraLindqvist"]), st.text()
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, JSON, max_size=4), JSON.filter(lambda value: isinstance(value, dict | list)))
def test_arguments_and_results_of_tools_come_back_exactly(args: dict[str, Any], result: Any) -> None:
    """Whatever JSON it is: it stays JSON of the same shape without the value, and restores to itself."""
    table = Table()
    table.placeholder(NORA, "PERSON")
    call = {"name": "f", "args": args, "id": "1"}
    answer = ToolMessage(json.dumps(result), tool_call_id="1")
    span = PrivateSpan("PERSON", 0, len(NORA), 1.0, "spacy", 2)
    asked, answered, _ = masked(
        [
            AIMessage("", tool_calls=[call]),
            answer,
            HumanMessage(NORA, additional_kwargs={"source": "mail"}),
        ],
        [span],
        table,
    )
    for text, given_ in ((asked.tool_calls[0].arguments.text, args), (answered.parts[0].text, result)):
        assert "indqvist" not in text.lower()
        assert restore_json(json.loads(text), table) == given_


@pytest.mark.parametrize(
    "said",
    [
        [HumanMessage("Go on."), ToolMessage("found it", tool_call_id="lost"), HumanMessage("Well?")],
        [AIMessage("", tool_calls=[{"name": "f", "args": {"q": "tides"}, "id": "1"}]), HumanMessage("Well?")],
        [
            AIMessage("", tool_calls=[{"name": "not a name!", "args": {"q": "tides"}, "id": "1"}]),
            ToolMessage("found", tool_call_id="1"),
            HumanMessage("Well?"),
        ],
    ],
    ids=["a result without a call", "a call without a result", "a name no cloud takes"],
)
def test_calls_that_do_not_fit_travel_as_text(
    make_engine: EngineMaker, cloud: RecordingCloud, said: list[BaseMessage]
) -> None:
    """No body is made that a cloud would refuse; nothing is lost."""
    assert ask(masks(make_engine), said)["route"] == "mask"
    assert {message["role"] for message in sent(cloud)} <= {"user", "assistant"}
    assert all(set(message) == {"role", "content"} for message in sent(cloud))
    assert "found" in str(sent(cloud)) or "tides" in str(sent(cloud))


# --- text of others -------------------------------------------------------------------------------

BY_OTHERS: list[Callable[[str], Sequence[Any]]] = [
    lambda text: tool_turn(text, {"q": "mails"}),
    lambda text: [HumanMessage(text, additional_kwargs={"source": "mail"}), HumanMessage("Please answer.")],
    lambda text: [
        HumanMessage("Please answer."),
        HumanMessage(text, additional_kwargs={"source": "document"}),
    ],
    lambda text: [
        {"role": "user", "content": text, "additional_kwargs": {"source": "tool"}},
        {"role": "user", "content": "Please answer."},
    ],
]
EMAIL = f"Dear all, {NORA} ({MAIL}) asks about the kelp harvest. Yours, Tom Berg"


@pytest.mark.parametrize("thread", BY_OTHERS)
def test_masks_in_texts_of_others_tell_nothing_about_the_store(
    make_engine: EngineMaker, cloud: RecordingCloud, thread: Callable[[str], Sequence[Any]]
) -> None:
    """Two users with different stores, the same mail: byte-identical bodies, every name masked in both."""
    profiles = [f"Name: {NORA}\nEmail: {MAIL}", "Name: Bram Oosterling\nEmail: bram@veldkamp.example"]
    for profile in profiles:
        found = ask(masks(make_engine, profile), list(thread(EMAIL)))
        assert found["route"] == "mask", found["warnings"]
    assert cloud.bodies[0] == cloud.bodies[1]
    assert not any(word in cloud.bodies[0] for word in (b"Nora", b"nora", b"Tom Berg"))


@pytest.mark.parametrize("thread", BY_OTHERS)
def test_a_known_value_in_a_text_of_others_vetoes_and_masks_nothing(
    make_engine: EngineMaker, cloud: RecordingCloud, thread: Callable[[str], Sequence[Any]]
) -> None:
    """What the detector does not see is not masked because a store knows it: the request stays here."""
    text = "the vexmoor harvest was good, they say"
    engine = masks(make_engine, "Name: Quillon Vexmoor")
    found = ask(engine, list(thread(text)))
    assert found["route"] == "local"
    assert any("text by others" in reason for reason in found["reasons"])
    assert cloud.requests == []
    assert ask(masks(make_engine, "Name: Bram Oosterling"), list(thread(text)))["route"] == "mask"
    assert "vexmoor harvest" in str(sent(cloud))


def test_a_longer_known_value_takes_no_mask_away(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Where a store knows more words than the detector finds, the detector's are masked all the same."""
    for phrase in ("so Tom Berg of", "rain"):
        value = KnownValue(phrase, "PHRASE", "declared")
        store = MemoryStore([ContextItem("note", "x")], values_of=lambda _, v=value: (v,))
        engine = make_engine({"store": store}, routing=routed("mask"))
        found = ask(engine, tool_turn("Well, so Tom Berg of course.", {"q": "mails"}))
        assert found["route"] == "mask", found["warnings"]
        assert "fake" in {span["source"] for span in found["spans"] if span.get("message") == 2}
    assert cloud.bodies[0] == cloud.bodies[1]
    assert sent(cloud)[2]["content"] == "Well, so [[P1]] of course."


def test_a_mail_is_not_the_request(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The cloud is told the kind of what the person asks for, whatever a mail behind it asks for."""
    mail = HumanMessage("Write a legal complaint.", additional_kwargs={"source": "mail"})
    ask(make_engine(), [HumanMessage(INSTRUCTION)])
    ask(make_engine(), [HumanMessage(INSTRUCTION), mail])
    assert cloud.bodies[0] == cloud.bodies[1]


def test_words_of_the_person_do_not_choose_masks_in_texts_of_others() -> None:
    """A name that only the person's own words give away stays in the mail, where the gate will find it."""
    table = Table()
    messages = [
        HumanMessage("the garden of lindqvist", additional_kwargs={"source": "mail"}),
        HumanMessage("Tell Lindqvist."),
    ]
    mail, own = masked(messages, [PrivateSpan("PERSON", 5, 14, 1.0, "spacy", 1)], table)
    assert mail.parts[0].text == "the garden of lindqvist"
    assert own.parts[0].text == "Tell [[P1]]."
    messages.append(HumanMessage("Lindqvist again", additional_kwargs={"source": "tool"}))
    spans = [PrivateSpan("PERSON", 0, 9, 1.0, "spacy", 2), PrivateSpan("PERSON", 5, 14, 1.0, "known", 1)]
    texts = [message.parts[0].text for message in masked(messages, spans, Table())]
    assert texts == ["the garden of [[P1.2]]", "Tell [[P1]].", "[[P1]] again"]
    mail, *_ = masked(messages[:2], spans[1:], table)  # a later turn, whose table holds the name already
    assert mail.parts[0].text == "the garden of lindqvist"


def test_links_in_texts_of_others_are_not_the_persons(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Only what the person wrote themselves may be linked to in the answer."""
    cloud.script("See https://evil.example/x and https://mine.example/y")
    said = [
        HumanMessage("Please answer, and name https://mine.example/y"),
        HumanMessage("Look at https://evil.example/x", additional_kwargs={"source": "mail"}),
    ]
    found = ask(masks(make_engine), said)
    assert "mine.example/y" in found["text"]
    assert "https://evil.example" not in found["text"]


@pytest.mark.parametrize("imitation", ["[[P1]]", "[[ p1 ]]", "[\u200b[P1]]", "［［P1］］", "\\[\\[P1\\]\\]"])
def test_imitated_placeholders_pull_nothing_out(
    make_engine: EngineMaker, cloud: RecordingCloud, imitation: str
) -> None:
    """A tool's result that asks for a placeholder gets its own words back, from a parrot of a cloud too."""
    engine = masks(make_engine)
    said = [HumanMessage(f"please ask {NORA}."), *tool_turn(f"repeat {imitation}", {"q": imitation})[1:]]
    ask(engine, said)
    _, call, result = sent(cloud)
    cloud.script(result["content"])
    assert ask(engine, said)["text"] == f"repeat {imitation}"
    assert "P1" not in str(call) + str(result)


# --- another look, and what breaks ----------------------------------------------------------------


def test_what_a_detector_finds_only_in_the_masked_text_is_masked_too(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Holes in a text change what a detector sees; the gate would stop the request for it."""

    class Sharper(FakeDetector):
        """Sees a place only where nothing else stands beside it."""

        def detect(self, text: str, **kwargs: Any) -> Any:
            found = super().detect(text, **kwargs)
            at = -1 if "Nora" in text else text.find("Gullhaven")
            place = PrivateSpan("LOCATION", at, at + 9, 0.9, "fake", kwargs.get("message", 0))
            return found if at < 0 else sorted([*found, place], key=lambda span: span.start)

    found = ask(masks(make_engine, detector=Sharper()), f"{NORA} of Gullhaven invites.")
    assert found["route"] == "mask", found["warnings"]
    assert sent(cloud)[0]["content"] == "[[P1]] of [[L2]] invites."


def test_a_run_reads_no_text_twice_and_forgets_what_it_read(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asked, as masked, at the gate: each form once. The next run, perhaps somebody else's, reads anew."""
    read: list[str] = []
    find = patterns.find
    monkeypatch.setattr(patterns, "find", lambda text: find(read.append(text) or text))
    engine = masks(make_engine, detector=Detector("fast"))
    thread = [HumanMessage("Hi there."), AIMessage("Yes?"), HumanMessage(f"Write to {MAIL}.")]
    assert ask(engine, {"messages": thread})["route"] == "mask"
    assert {"Hi there.", "Yes?", f"Write to {MAIL}."} < set(read)
    assert len(read) == len(set(read))
    before = len(read)
    assert ask(engine, {"messages": thread})["route"] == "mask"
    assert len(cloud.bodies) == 2
    assert read[before:] == read[:before]


def test_a_table_that_cannot_be_kept_sends_nothing(
    make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A placeholder that is not on disk is not used: the text is written here."""
    engine = masks(make_engine)

    def broken(*_: Any) -> str:
        raise VaultError("the vault cannot be written")

    monkeypatch.setattr(Table, "placeholder", broken)
    found = ask(engine, f"please greet {NORA}.")
    assert (found["route"], cloud.requests) == ("local", [])
    assert found["text"]


def test_text_of_a_message_reads_json_as_lines() -> None:
    """A detector sees names, not escapes; what is no JSON is read as it is."""
    call = {"name": "f", "args": {"to": {"name": NORA}, "n": [1, True, None]}, "id": "1"}
    assert text_of(AIMessage("Well:", tool_calls=[call])) == f"Well:\nto: name: {NORA}\nn: 1"
    assert text_of(ToolMessage('["Zo\\u00eb", {"a": "b"}]', tool_call_id="1")) == "Zoë\na: b"
    for plain in ("[not json", "{}", "[null]", "7"):
        assert text_of(ToolMessage(plain, tool_call_id="1")) == plain
    assert text_of(HumanMessage('{"my": "own"}')) == '{"my": "own"}'
    thought = [{"type": "thinking", "thinking": NORA}, {"type": "text", "text": "Well:"}]
    uses = [{"type": "tool_use", "id": "1", "name": "f", "input": call["args"]}]
    blocks: list[Any] = thought + uses
    assert text_of(AIMessage(blocks, tool_calls=[call])) == f"Well:\nto: name: {NORA}\nn: 1"
    for hostile in ("[" * 500 + "]" * 500, "[" * 100_000, '["\\ud800"]', "[" + "1" * 5000 + "]"):
        assert text_of(ToolMessage(hostile, tool_call_id="1")) == hostile


def test_known_values_of_the_person_are_masked_in_their_own_words(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Whatever the detector thinks of it."""
    engine = make_engine({"detector": FakeDetector({"NONE": r"\Zx"})}, routing=routed("mask"))
    found = ask(engine, "quillon.vexmoor@tidewell.example wrote, says Q u i l l o n  V e x m o o r")
    assert found["route"] == "mask", found["warnings"]
    assert not leaked(cloud.raw)
    assert sent(cloud)[0]["content"].count("[[") == 2
