"""Level `free`: the local model's own words, from the instruction alone, plain, vetoed, never loosened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.commands.running import placed
from cogenesis_langchain.config import PRESETS, load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.evals.disguises import DISGUISES, disguised
from cogenesis_langchain.generalize import task_sentence
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.rewording import FOUND, UNUSABLE, VETOED
from cogenesis_langchain.rewrite import MAX_CHARS, READ_HEAD, READ_TAIL, rewrite, shows, usable, warm
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.state import RouterContext
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeDetector, FakeWriter, RecordingCloud, Reply, canaries, leaked
from cogenesis_langchain.types import ContextItem, GenericTask, KnownValue, Level, Sendable
from cogenesis_langchain.writer.parts import Prompt
from tests.conftest import INSTRUCTION, USER, routed

SENTENCE = "Write a warm invitation to a small party at home."
HERONS = "Write an invitation to a party among brass herons."
OTHER = "Name: Bram Oosterling\nEmployer: Veldkamp Canoes"
EngineMaker = Callable[..., Engine]


class Words:
    """A lexicon that holds all words but a few."""

    def __contains__(self, word: object) -> bool:
        return word not in ("quillon", "kelpworks")


PLAIN = Words()


class Rewriter(FakeWriter):
    """A writer that answers the rewriting prompt (scope "") with a given text, else repeats its prompt."""

    def __init__(self, says: str = SENTENCE) -> None:
        super().__init__()
        self.says = says
        self.asked: list[tuple[Prompt, dict[str, Any]]] = []

    def write(self, prompt: Any, *, scope: str, **settings: Any) -> Iterator[str]:
        """The given text in two pieces for scope ""."""
        if scope:
            yield from super().write(prompt, scope=scope, **settings)
            return
        if self.error is not None:
            raise self.error
        self.asked.append((prompt, settings))
        yield self.says[:7]
        yield self.says[7:]


def free(make_engine: EngineMaker, says: str = SENTENCE, rooms: Any = None, **action: Any) -> Engine:
    """An engine whose policy tells the local model's own words."""
    given = {"writer": Rewriter(says), "lexicon": PLAIN} | (rooms or {})
    return make_engine(given, routing=routed("sketch", level="free", **action))


def router_of(engine: Engine, **options: Any) -> PrivacyRouter:
    """A router of `engine` for the canaries' owner."""
    return create_privacy_router(engine=engine, user_id=USER, **options)


def told(cloud: RecordingCloud) -> list[str]:
    """The task sentence of each body that left: the first line of its last message."""
    return [json.loads(body)["messages"][-1]["content"].split("\n")[0] for body in cloud.bodies]


def topic(engine: Engine) -> str:
    """The sentence that goes out at level topic."""
    task = engine.generic_task(INSTRUCTION)
    return task_sentence(GenericTask(task.kind, task.topic), Level.TOPIC, engine.vocabulary).text


def other_store() -> MemoryStore:
    """Another person's context."""
    items = [ContextItem("profile", OTHER)]
    return MemoryStore(items, values_of=FakeDetector().extract_values, user=USER)


def herons() -> MemoryStore:
    """The store of a person who has told about brass herons."""
    detector = FakeDetector(patterns={"PHRASE": "brass herons"})
    items = [ContextItem("note", "On the roof stand brass herons.")]
    return MemoryStore(items, values_of=detector.extract_values, user=USER)


def _known(*values: str) -> KnownValues:
    return KnownValues([KnownValue(value, "PHRASE", "declared") for value in values])


# --- the sentence ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (SENTENCE, SENTENCE),
        (f' "{SENTENCE}"\n\nI left out the names.', SENTENCE),
        ("Write a short note. Sign it as Quillon.", "Write a short note."),
        ("Write a résumé, and don't be shy", "Write a résumé, and don't be shy."),
        (
            "Write a two-page note on a t-shirt, and what I'd do",
            "Write a two-page note on a t-shirt, and what I'd do.",
        ),
        ("Write an e-mail for people who like TV and AI", "Write an e-mail for people who like TV and AI."),
    ],
)
def test_one_plain_sentence_is_kept(said: str, kept: str) -> None:
    """The first sentence of the first line, with its full stop."""
    assert usable(said, PLAIN) == kept


@pytest.mark.parametrize(
    "said",
    [
        "", " \n", "Write.", "Write it.", "Sure! Write a note to friends.", "I would write a note.",
        "Write a note to Quillon about the party.", "Write a letter to Mr. Brown.",
        "Write a note about BMPF.",
        "Write a speech for 40 guests.", "Write a note about [[P1]] and friends.",
        "Write a note (short) to friends.", "Write a note about 'the copper otter'.",
        'Write a review of "the quiet orchard".', "Write to ada@example.org about it.",
        "Write a post for https://tidewell.example today.", "Write a note about x_y_z today.",
        "Write a note about the pаrty.",  # a Cyrillic letter
        "Write a note about the pa\u200brty.", "Write a note\tabout it.", "Write  a   note to us.",
        "Write a note to quillon.", "Write a note about kelpworks.",  # in no dictionary
        "Write a note to four nine one seven.", "Write a card for a twenty-first birthday.",
        "Write a note for m a r k about it.", "Write a note for s-m-i-t-h.",
        "Write " + "a very " * 30 + "long note.", "Schreibe eine Einladung zu einem Fest.",
    ],
)  # fmt: skip
def test_nothing_else_may_go_out(said: str) -> None:
    """Digits, names' capitals, quotes, brackets, links, other scripts, or no sentence: not usable."""
    assert usable(said, PLAIN) == ""


def test_what_is_usable_is_short() -> None:
    """The bound holds for the sentence with its full stop."""
    longest = "Write " + "a" * (MAX_CHARS - 7 - 2) + " b"
    assert len(usable(longest, PLAIN)) == MAX_CHARS
    assert usable(longest + "b", PLAIN) == ""


def test_the_model_reads_the_instruction_alone() -> None:
    """Scope "", temperature 0, few tokens; a frame, and one last part with the request, which is no slot."""
    writer = Rewriter()
    for text in ("about {request} and [system]\ncats", "x" * 50_000):
        assert rewrite(text, writer, PLAIN) == rewrite(text, writer, PLAIN)
    (first, settings), _, (last, _), _ = writer.asked
    assert settings == {"max_tokens": 64, "temperature": 0.0}
    assert first[:-1] == last[:-1]
    assert "about {request} and [system] cats" in first[-1].parts[0]
    assert len(last[-1].parts[0]) < READ_HEAD + READ_TAIL + 20
    assert rewrite(INSTRUCTION, writer, PLAIN) == Sendable(SENTENCE, "rewrite")


@pytest.mark.parametrize("text", ["", " \n", "?!"])
def test_nothing_to_read_asks_no_model(text: str) -> None:
    """Without a word there is nothing to rewrite."""
    writer = Rewriter()
    assert rewrite(text, writer, PLAIN) is None
    assert not writer.asked


def test_warming_reads_the_frame_of_requests() -> None:
    """What is read ahead comes from nobody and is what every request begins with."""
    writer = Rewriter()
    warm(writer)
    rewrite("cats", writer, PLAIN)
    ((scope, text),) = writer.warmed
    assert scope == ""
    assert text.startswith("\n".join("".join(turn.parts) for turn in writer.asked[0][0][:-1]))
    assert "cats" not in text


def test_only_a_policy_that_needs_it_warms_it(make_engine: EngineMaker) -> None:
    """Who never tells own words does not wait for their frame."""
    writers = Rewriter(), Rewriter()
    free(make_engine, rooms={"writer": writers[0]}).warm()
    make_engine({"writer": writers[1]}).warm()
    frames = [[text for _, text in writer.warmed if "a general one" in text] for writer in writers]
    assert [len(found) for found in frames] == [1, 0]


@pytest.mark.parametrize(
    ("values", "instruction", "sentence", "expected"),
    [
        (("Brambleholt Kelpworks",), "about Brambleholt Kelpworks", "Write about a kelpworks party.", True),
        (("Brambleholt Kelpworks",), "about my job", "Write about a kelpworks party.", False),
        (("the copper otter",), "a party", "Write about the copper otter.", True),
        (("Tidewell House",), "at Tidewell House", "Write about a party in a house.", False),
        (("Tidewell House",), "at Tidewell House", "Write about a party.", False),
    ],
)
def test_values_and_their_rare_words_count(
    values: Sequence[str], instruction: str, sentence: str, expected: bool
) -> None:
    """A part of a value counts where the request names it, in any case; common words do not."""
    assert shows(_known(*values), instruction, sentence) is expected


# --- through the router ----------------------------------------------------------------------------


def test_own_words_go_out_in_the_same_frame_and_are_unbounded(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """One body, no canary in it, no bound on its receipt; the text is written with the sketch."""
    found = router_of(free(make_engine)).invoke(f"{INSTRUCTION} Love, Quillon Vexmoor")
    assert (found["route"], found["level"]) == ("sketch", "free")
    assert told(cloud) == [SENTENCE]
    assert not leaked(cloud.raw)
    assert [(r["level"], r["bits"], r["status"]) for r in found["receipts"]] == [("free", None, "sent")]
    assert len(found["sketch"]) >= 4
    assert "Quillon Vexmoor" in found["text"]


def test_bodies_do_not_depend_on_the_store(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Two users with different stores, the same instruction: the same bytes, and the same prompt before."""
    engines = [free(make_engine), free(make_engine, rooms={"store": other_store()})]
    for engine in engines:
        router_of(engine).invoke(INSTRUCTION)
    assert len(cloud.bodies) == 2
    assert cloud.bodies[0] == cloud.bodies[1]
    assert engines[0].writer.asked == engines[1].writer.asked  # type: ignore[attr-defined]


def test_the_store_may_only_veto(make_engine: EngineMaker, cloud: RecordingCloud, audit: Audit) -> None:
    """A known value in the sentence: topic goes instead, and the veto stands in the log."""
    engine = free(make_engine, HERONS, {"audit": audit, "store": herons()})
    found = router_of(engine).invoke(INSTRUCTION)
    assert (found["route"], found["level"]) == ("sketch", "topic")
    assert VETOED in found["reasons"]
    assert told(cloud) == [topic(engine)]
    assert [receipt["bits"] for receipt in found["receipts"]] == [None]
    assert [veto.reason for veto in audit.refusals()] == [VETOED]
    router_of(free(make_engine, HERONS, {"store": other_store()})).invoke(INSTRUCTION)
    assert told(cloud)[-1] == HERONS


@pytest.mark.parametrize(
    ("says", "reason"),
    [("Sure, here it is: a party.", UNUSABLE), ("Write a note to our quiet neighbour.", FOUND)],
)
def test_topic_is_next_for_everybody_alike(
    make_engine: EngineMaker, cloud: RecordingCloud, says: str, reason: str
) -> None:
    """No plain sentence, or one in which the detector finds something: kind and topic go, whoever asks."""
    detector = FakeDetector(patterns={"PERSON": "neighbour"})
    for store in ({}, {"store": other_store()}):
        engine = free(make_engine, says, {"detector": detector} | store)
        found = router_of(engine).invoke(INSTRUCTION)
        assert found["level"] == "topic"
        assert reason in found["reasons"]
        assert found["receipts"][0]["bits"] is None  # as asked: that free gave way tells something too
    assert told(cloud) == [topic(engine)] * 2


def test_what_the_policy_calls_a_false_alarm_may_go(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """What scores too low to be anything is found nowhere."""
    detector = FakeDetector(patterns={"PERSON": "neighbour"}, score=0.25)
    says = "Write a note to our quiet neighbour."
    assert router_of(free(make_engine, says, {"detector": detector})).invoke(INSTRUCTION)["level"] == "free"
    assert told(cloud) == [says]


def test_names_in_small_letters_score_low_and_count(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The gate would let them through: it reads what people write, with capitals."""
    detector = FakeDetector(patterns={"PERSON": "rose miller"}, score=0.4)
    engine = free(make_engine, "Write a note to rose miller.", {"detector": detector})
    assert engine.cloud.rules.min_score > 0.4
    assert router_of(engine).invoke(INSTRUCTION)["level"] == "topic"
    assert told(cloud) == [topic(engine)]


def test_the_gate_still_looks(make_engine: EngineMaker, cloud: RecordingCloud, monkeypatch: Any) -> None:
    """Were the checks before it gone, the gate would stop the same sentence."""
    monkeypatch.setattr("cogenesis_langchain.rewording.shows", lambda *_: False)
    found = router_of(free(make_engine, HERONS, {"store": herons()})).invoke(INSTRUCTION)
    assert found["route"] == "local"
    assert cloud.bodies == []


@pytest.mark.parametrize(("wish", "level"), [("free", "free"), ("topic", "topic"), ("kind", "kind")])
def test_callers_tighten(make_engine: EngineMaker, cloud: RecordingCloud, wish: str, level: str) -> None:
    """From free to topic to kind."""
    found = router_of(free(make_engine)).invoke(INSTRUCTION, context=RouterContext(USER, level=wish))
    assert found["level"] == level
    assert (told(cloud) == [SENTENCE]) is (level == "free")


@pytest.mark.parametrize("level", ["topic", "kind"])
def test_callers_never_loosen(make_engine: EngineMaker, cloud: RecordingCloud, level: str) -> None:
    """Nobody gets the local model's own words out where the policy does not say so."""
    engine = make_engine({"writer": Rewriter()}, routing=routed("sketch", level=level))
    found = router_of(engine).invoke(INSTRUCTION, context=RouterContext(USER, level="free"))
    assert found["level"] == level
    assert SENTENCE not in told(cloud)
    assert engine.writer.asked == []  # type: ignore[attr-defined]


def test_no_preset_is_free() -> None:
    """It is opt-in: whoever wants it writes it down."""
    for name in PRESETS:
        assert all(step.level is not Level.FREE for step in load(f"preset:{name}").policy().steps)


def test_the_policy_check_says_unbounded() -> None:
    """Whoever writes it down is told what it means; other levels are not remarked upon."""

    def warnings(level: str) -> tuple[str, ...]:
        rules, default = routed("sketch", level=level), {"route": "sketch", "level": level}
        return load({"version": 1, "routing": rules | {"default": default}}).warnings

    assert sum("level free is unbounded" in warning for warning in warnings("free")) == 2
    assert not any("unbounded" in warning for warning in warnings("topic"))


def test_commands_say_unbounded() -> None:
    """`write` and `explain` name the level and what it means."""
    assert placed({"route": "sketch", "level": "free"}).startswith("sketch, level free (unbounded")
    assert placed({"route": "sketch", "level": "topic"}) == "sketch, level topic"
    assert placed({"route": "local", "level": None}) == "local"


def test_a_failed_sketch_moves_right(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """on_failure: from free to topic to kind to local, each with bytes of its own."""
    cloud.script(Reply("no list"), Reply("no list"))
    steps = [{"level": "topic"}, {"level": "kind"}, {"route": "local"}]
    routing = routed("sketch", level="free")
    routing["decisions"][0]["on_failure"] = steps
    engine = make_engine({"writer": Rewriter(), "lexicon": PLAIN}, routing=routing)
    found = router_of(engine).invoke(INSTRUCTION)
    assert found["level"] == "kind"
    assert told(cloud)[:2] == [SENTENCE, topic(engine)]
    assert len(cloud.bodies) == 3


def test_a_dry_run_shows_the_bytes(make_engine: EngineMaker, cloud: RecordingCloud, audit: Audit) -> None:
    """`explain` shows them, and neither sends nor records; vetoes included."""
    dry = RouterContext(USER, dry_run=True)
    shown = router_of(free(make_engine, rooms={"audit": audit})).invoke(INSTRUCTION, context=dry)
    assert SENTENCE in shown["outbound"][0]["body"]
    engine = free(make_engine, HERONS, {"audit": audit, "store": herons()})
    shown = router_of(engine).invoke(INSTRUCTION, context=dry)
    assert shown["level"] == "topic"
    assert topic(engine) in shown["outbound"][0]["body"]
    assert cloud.bodies == []
    assert audit.receipts() == audit.refusals() == []


def test_asking_shows_the_rewritten_bytes(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """The person sees exactly what goes."""
    router = router_of(free(make_engine, ask=True), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    asked = router.invoke(INSTRUCTION, config)["__interrupt__"][0].value
    assert SENTENCE in asked["body"]
    assert cloud.bodies == []
    router.invoke(Command(resume=True), config)
    assert [body.decode() for body in cloud.bodies] == [asked["body"]]


async def test_async_and_streams_tell_the_same(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """invoke, ainvoke, stream: the same bytes."""
    router = router_of(free(make_engine))
    whole = router.invoke(INSTRUCTION)["text"]
    assert (await router.ainvoke(INSTRUCTION))["text"] == whole
    assert list(router.stream(INSTRUCTION, stream_mode="values"))[-1]["text"] == whole
    assert len(set(cloud.bodies)) == 1


def test_a_model_that_repeats_everything_gives_no_value_away(
    make_engine: EngineMaker, cloud: RecordingCloud
) -> None:
    """Every known value in every spelling, in capitals and without: what looks plain is vetoed."""
    engine = free(make_engine)
    values, spelt = [value.value for value in canaries()], set()
    for text in (disguised(value, name) for value in values for name in DISGUISES):
        for said in (f"Write about {text} and friends.", f"Write about {text.lower()} and friends."):
            if sentence := usable(said, PLAIN):
                spelt.add(sentence)
                engine.writer.says = said  # type: ignore[attr-defined]
                router_of(engine).invoke(f"Write about {text} and friends.")
    assert len(spelt) > 3
    assert spelt.isdisjoint(told(cloud))
    assert not leaked(cloud.raw)


def test_a_broken_writer_sends_nothing(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """Fail closed: no rewriting, no send, and the message does not quote the request."""
    writer = Rewriter()
    engine = free(make_engine, rooms={"writer": writer, "generalizer": lambda _: GenericTask("email", None)})
    writer.error = WriterError("out of memory")
    with pytest.raises(WriterError, match="out of memory"):  # it cannot write the text either
        router_of(engine).invoke(INSTRUCTION)
    assert cloud.bodies == []


def test_a_thread_that_told_less_stays_there(make_engine: EngineMaker, cloud: RecordingCloud) -> None:
    """After a move to topic the thread tells no words of its own again."""
    engine = free(make_engine, "no sentence")
    router = router_of(engine, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    router.invoke(INSTRUCTION, config)
    engine.writer.says = SENTENCE  # type: ignore[attr-defined]
    assert router.invoke(INSTRUCTION, config)["level"] == "topic"
    assert SENTENCE not in told(cloud)
