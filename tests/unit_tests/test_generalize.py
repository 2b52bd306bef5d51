"""The generic task comes from the instruction and the closed lists alone; known values only take away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cogenesis_langchain import evals
from cogenesis_langchain.chooser import Shares
from cogenesis_langchain.closed_lists import shipped
from cogenesis_langchain.errors import GateError, WriterError
from cogenesis_langchain.generalize import (
    ASK_HEAD,
    ASK_TAIL,
    MOST,
    OTHER,
    Vocabulary,
    generalize,
    shortlist,
    task_sentence,
    veto,
    warm,
)
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.testing import FakeEmbedder, FakeWriter
from cogenesis_langchain.types import GenericTask, KnownValue, Level, Route, Step
from cogenesis_langchain.writer.parts import Prompt

LABELLED = Path(evals.__file__).parent / "data" / "instructions.jsonl"
PARTY = GenericTask("invitation", "celebration")


class ScriptedWriter:
    """Chooses the option at a fixed place and keeps what it was asked."""

    def __init__(self, place: int = 0) -> None:
        self.place = place
        self.asked: list[tuple[Prompt, Sequence[str], str]] = []

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """The option at `place`."""
        self.asked.append((prompt, options, scope))
        return options[self.place]


@pytest.fixture
def open_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is clear, so the model is always asked."""
    for name, value in (("KIND_CLEAR", 9.0), ("TOPIC_CLEAR", 9.0), ("WORTH", 0.0)):
        monkeypatch.setattr(f"cogenesis_langchain.generalize.{name}", value)


def _known(*values: str) -> KnownValues:
    return KnownValues([KnownValue(value, "DECLARED", "declared") for value in values])


def test_same_instruction_same_task() -> None:
    """Nothing but the instruction goes in, so the answer is a function of it."""
    text = "Please write the invitation to my birthday party at the lake"
    first = generalize(text, shipped(), FakeEmbedder(), FakeWriter())
    assert first == generalize(text, Vocabulary.load(), FakeEmbedder(), FakeWriter())
    assert first == PARTY


def test_every_labelled_instruction_yields_names_of_the_lists() -> None:
    """Whatever is asked, only names of the closed lists come out, or None as topic."""
    lists, embedder, writer = shipped(), FakeEmbedder(), FakeWriter()
    for line in LABELLED.read_text(encoding="utf-8").splitlines():
        task = generalize(json.loads(line)["instruction"], lists, embedder, writer)
        assert task.kind in lists.kinds
        assert task.topic is None or task.topic in lists.topics


def test_labels_name_the_lists() -> None:
    """The labelled set is large enough and its labels exist."""
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 300
    assert len({row["id"] for row in rows}) == len({row["instruction"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row["kinds"]) <= set(shipped().kind_of)
        assert set(row["topics"]) - {None} <= set(shipped().topic_of)


@pytest.mark.parametrize("text", ["", "   \n", "?!...", "\u200b"])
def test_nothing_to_read_is_the_fallback(text: str) -> None:
    """Without a word there is nothing to choose, and no model is asked."""
    writer = FakeWriter(error=WriterError("must not be asked"))
    assert generalize(text, shipped(), FakeEmbedder(), writer) == GenericTask("text", None)


def test_the_model_sees_a_frame_and_one_last_part(open_lists: None) -> None:
    """All that differs between requests is in the last part, and the state is shared by nobody's context."""
    writer = ScriptedWriter()
    texts = ("a poem or a song about cats or dogs", "something with dogs, cars, tax, music, wine")
    for text in texts:
        generalize(text, shipped(), FakeEmbedder(), writer)
    (first, _, scope), (second, _, _) = writer.asked
    assert scope == ""
    assert first[:-1] == second[:-1]
    assert [turn.role for turn in first] == ["system", *["user", "assistant"] * 2, "user"]
    assert len(first[-1].parts) == 1
    assert texts[0] in first[-1].parts[0]


def test_warming_reads_the_frame_that_requests_share(open_lists: None) -> None:
    """What is read ahead is the same for every request and comes from nobody."""
    asked, warmed = ScriptedWriter(), FakeWriter()
    warm(shipped(), FakeEmbedder(), warmed)
    generalize("a poem about cats", shipped(), FakeEmbedder(), asked)
    ((scope, text),) = warmed.warmed
    assert scope == ""
    frame = "\n".join(part for turn in asked.asked[0][0][:-1] for part in turn.parts)
    assert text.startswith(frame)
    assert "cats" not in text


def test_options_are_bounded(open_lists: None) -> None:
    """The model chooses from a short list of pairs, and what it says is what is meant."""
    writer = ScriptedWriter(-1)
    task = generalize("something with dogs, cars, tax, music, wine", shipped(), FakeEmbedder(), writer)
    _, options, _ = writer.asked[0]
    assert len(options) == MOST * MOST
    kinds, topics = shortlist("something with dogs, cars, tax, music, wine", shipped(), FakeEmbedder())
    assert task == GenericTask(str(kinds[-1].group), topics[-1].group)


def test_no_topic_may_fit(open_lists: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the chooser holds likely and no list has is offered to the model in words of its own."""
    kinds, topics = ({"poem": 1.0}, 0.0), ({"pets": 0.5}, 0.5)
    made = tuple(
        Shares(dict.fromkeys(names, 0.0) | found, none)
        for names, (found, none) in ((shipped().fine_kinds, kinds), (shipped().fine_topics, topics))
    )
    monkeypatch.setattr("cogenesis_langchain.generalize.shares", lambda *_: made)
    writer = ScriptedWriter(1)
    assert generalize("x", shipped(), FakeEmbedder(), writer) == GenericTask("poem", None)
    assert writer.asked[0][1][1] == f"a poem about {OTHER}"


def test_the_model_is_asked_about_unclear_kinds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics are chosen by the head, which was right about them more often."""
    monkeypatch.setattr("cogenesis_langchain.generalize.KIND_CLEAR", 9.0)
    monkeypatch.setattr("cogenesis_langchain.generalize.WORTH", 0.0)
    writer = ScriptedWriter()
    generalize("something with dogs, cars, tax, music, wine", shipped(), FakeEmbedder(), writer)
    _, options, _ = writer.asked[0]
    assert 1 < len(options) <= MOST
    assert len({option.rsplit(" about ", 1)[1] for option in options}) == 1


def test_a_clear_case_asks_no_model() -> None:
    """Where one kind and one topic stand out, the model is not needed."""
    writer = ScriptedWriter()
    text = "wedding vows vow wedding bride groom getting married"
    assert generalize(text, shipped(), FakeEmbedder(), writer) == GenericTask("speech", "celebration")
    assert writer.asked == []


def test_a_writer_outside_the_lists_is_an_error(open_lists: None) -> None:
    """What is no option never becomes a task, and the message does not repeat it."""

    class Loose:
        def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
            return "Quillon Vexmoor"

    with pytest.raises(WriterError) as caught:
        generalize("something with dogs, cars, tax, music, wine", shipped(), FakeEmbedder(), Loose())
    assert "Quillon" not in str(caught.value)


def test_long_instructions_are_clipped_for_the_model(open_lists: None) -> None:
    """A megabyte is read at both ends only, and braces in it are no slots."""
    writer = ScriptedWriter()
    text = "dogs, cars, tax {kinds} " + "word " * 200_000 + "and a poem or song"
    generalize(text, shipped(), FakeEmbedder(), writer)
    prompt, _, _ = writer.asked[0]
    request = prompt[-1].parts[0].split("\n")[0]
    assert len(request) < ASK_HEAD + ASK_TAIL + 30
    assert "{kinds}" in request


def test_shortlists_are_sorted_and_capped() -> None:
    """The likeliest comes first."""
    lists = shipped()
    kinds, topics = shortlist("a toast at the wedding", shipped(), FakeEmbedder())
    assert [kinds[0].entry, topics[0].entry] == [lists.fine_kinds["toast"], lists.fine_topics["wedding"]]
    for found in (kinds, topics):
        assert len(found) <= MOST
        assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)


def test_sentences() -> None:
    """The sentence holds phrases of the lists and its level's share of them."""
    lists = shipped("full")
    fine = GenericTask("invitation", "birthday")
    assert task_sentence(fine, Level.TOPIC, lists).text == "Write an invitation about a birthday."
    assert task_sentence(fine, Level.KIND, lists).text == "Write an invitation."
    phrase = shipped().topics["celebration"].phrase
    assert task_sentence(PARTY, Level.TOPIC).text == f"Write an invitation about {phrase}."
    assert task_sentence(PARTY, Level.KIND).text == "Write an invitation."
    assert task_sentence(GenericTask("poem", None), Level.TOPIC, lists).text == "Write a poem."
    assert task_sentence(PARTY, Level.TOPIC).origin == "generalize"


@pytest.mark.parametrize("task", [GenericTask("my secret", None), GenericTask("poem", "Quillon Vexmoor")])
def test_only_names_of_the_lists_become_sendable(task: GenericTask) -> None:
    """A task made elsewhere cannot smuggle words out, and the error does not repeat them."""
    for level in (Level.TOPIC, Level.KIND):
        with pytest.raises(GateError) as caught:
            task_sentence(task, level)
        assert "secret" not in str(caught.value)
        assert "Quillon" not in str(caught.value)


def test_added_kinds_need_their_vocabulary() -> None:
    """Users' own names go out through the vocabulary that holds them."""
    lists = Vocabulary.load({"haiku": ""}, {})
    assert task_sentence(GenericTask("haiku", None), Level.KIND, lists).text == "Write a haiku."
    with pytest.raises(GateError):
        task_sentence(GenericTask("haiku", None), Level.KIND)


@pytest.mark.parametrize(
    ("values", "level", "expected"),
    [
        ((), Level.TOPIC, Step(Route.SKETCH, Level.TOPIC)),
        ((), Level.KIND, Step(Route.SKETCH, Level.KIND)),
        (("celebration",), Level.TOPIC, Step(Route.SKETCH, Level.KIND)),
        (("Celebration",), Level.KIND, Step(Route.SKETCH, Level.KIND)),
        (("invitation",), Level.TOPIC, Step(Route.LOCAL)),
        (("invitation",), Level.KIND, Step(Route.LOCAL)),
        (("Quillon Vexmoor",), Level.TOPIC, Step(Route.SKETCH, Level.TOPIC)),
    ],
)
def test_veto_only_takes_away(values: tuple[str, ...], level: Level, expected: Step) -> None:
    """Topic, then kind, then nothing at all."""
    step = veto(PARTY, level, _known(*values))
    assert step == expected
    assert step.rank >= Step(Route.SKETCH, level).rank
