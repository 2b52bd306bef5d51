"""The closed lists hold safe phrases, find cue words, and count the bits of what may go out."""

from __future__ import annotations

import math
import re
from importlib.resources import files

import numpy as np
import pytest
import yaml

from cogenesis_langchain.closed_lists import (
    DEFAULT_SIZE,
    FALLBACK_KIND,
    SIZES,
    Entry,
    Vocabulary,
    shipped,
    spaced,
)
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.generalize import task_sentence
from cogenesis_langchain.testing import FakeEmbedder
from cogenesis_langchain.types import GenericTask, Level


@pytest.mark.parametrize("size", SIZES)
def test_bits_are_what_the_lists_allow(size: str) -> None:
    """Every sentence that can go out is counted, and that nothing goes out is one more thing to tell."""
    lists = shipped(size)
    told = {
        level: {
            task_sentence(GenericTask(kind, topic), level, lists).text
            for kind in lists.kinds
            for topic in (*lists.topics, None)
        }
        for level in (Level.TOPIC, Level.KIND)
    }
    n_kinds, n_topics = len(lists.kinds), len(lists.topics)
    assert len(told[Level.TOPIC]) == n_kinds * n_topics + n_kinds
    assert len(told[Level.KIND]) == n_kinds
    for level, sentences in told.items():
        assert lists.bits(level) == math.log2(len(sentences) + 1)
    assert lists.bits(Level.FREE) is None


def test_sizes_grow() -> None:
    """Each size tells more than the one before, up to the fine lists themselves."""
    bits = [shipped(size).bits(Level.TOPIC) or 0.0 for size in SIZES]
    assert bits == sorted(set(bits))
    assert shipped("full").kinds == shipped("full").fine_kinds
    assert Vocabulary.load().size == DEFAULT_SIZE in SIZES


@pytest.mark.parametrize("size", SIZES)
def test_every_fine_entry_is_in_one_group(size: str) -> None:
    """No request falls between the groups, and the fallback can itself go out."""
    lists, fine = shipped(size), shipped("full")
    assert lists.fine_kinds.keys() == lists.kind_of.keys() == fine.kinds.keys()
    assert lists.fine_topics.keys() == lists.topic_of.keys() == fine.topics.keys()
    assert set(lists.kind_of.values()) == lists.kinds.keys()
    assert set(lists.topic_of.values()) == lists.topics.keys()
    assert lists.kind_of[FALLBACK_KIND] == FALLBACK_KIND
    path = files("cogenesis_langchain") / "vocabulary" / "sizes" / f"{size}.yaml"
    if size != "full":
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, names in (("kinds", lists.kind_of), ("topics", lists.topic_of)):
            assert sum(len(group["holds"]) for group in data[key].values()) == len(names)


def test_an_unknown_size_is_refused() -> None:
    """The message names the sizes there are."""
    with pytest.raises(ConfigError, match="tiny, small, medium, large, full"):
        Vocabulary.load(size="huge")


@pytest.mark.parametrize("size", SIZES)
def test_phrases_are_plain_and_distinct(size: str) -> None:
    """No two entries read alike, and no phrase holds a capital, digit or mark that could be a name."""
    lists = shipped(size)
    for entries in (lists.kinds, lists.topics):
        phrases = [entry.phrase for entry in entries.values()]
        assert len(set(phrases)) == len(phrases)
        for entry in entries.values():
            assert re.fullmatch(r"[a-zé'][a-zé', -]*", entry.phrase), entry.name
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.name)
    assert all(one.means for one in (*lists.fine_kinds.values(), *lists.fine_topics.values()))


def test_additions_extend_the_lists_and_the_bits() -> None:
    """Users' names get an article and count; their descriptions never become part of a phrase."""
    lists = Vocabulary.load(
        {"haiku": "seventeen syllables", "ode-to-joy": "x"}, {"model trains": "small ones"}
    )
    assert lists.kinds["haiku"].phrase == "a haiku"
    assert lists.kinds["ode-to-joy"].phrase == "an ode to joy"
    assert lists.topics["model trains"].phrase == "model trains"
    bits, before = lists.bits(Level.TOPIC), shipped().bits(Level.TOPIC)
    assert bits is not None
    assert before is not None
    assert bits > before
    assert "haiku" not in shipped().kinds
    assert (lists.kind_of["haiku"], lists.topic_of["model trains"]) == ("haiku", "model trains")


@pytest.mark.parametrize(
    "name", ["", " lead", "a\nb", "a. Ignore that", "x" * 61, "[[P1]]", "a:b", "{request}", "a  b", "<b>"]
)
def test_additions_must_be_plain_words(name: str) -> None:
    """A name goes out, so it can hold nothing but words."""
    with pytest.raises(ConfigError, match=r"vocabulary\.kinds"):
        Vocabulary.load({name: "something"}, {})


@pytest.mark.parametrize("name", ["birthday", "family"])
def test_additions_cannot_replace_shipped_names(name: str) -> None:
    """A name means one thing, whether a group has it or a fine entry."""
    with pytest.raises(ConfigError, match=rf"vocabulary\.topics\.{name}"):
        Vocabulary.load({}, {name: "mine"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("An e-mail, please", True),
        ("two EMAILS", True),
        ("blackmail", False),
        ("apologising to him", True),
        ("say\n sorry", True),
        ("Say “sorry”!", True),
        ("he is sorry", False),
    ],
)
def test_cues_count_as_whole_words_or_stems(text: str, found: bool) -> None:
    """Case, hyphens, line breaks and plurals make no difference; parts of words do not count."""
    entry = Entry("email", "an email", "", ("e-mail", "apologis*", "say sorry"))
    assert (entry.cue_score(spaced(text)) > 0) is found


def test_longer_and_more_cues_count_more() -> None:
    """Two words in a row say more than one, and two cues more than one."""
    entry = Entry("x", "an x", "", ("red", "red wine", "glass"))
    scores = [entry.cue_score(spaced(text)) for text in ("red", "glass red", "red wine")]
    assert scores == sorted(scores)
    assert len(set(scores)) == 3


def test_hints_count_half() -> None:
    """What is usual in a request says less than the name, and the fallback has no name to be called by."""
    entry = Entry("toast", "a toast", "", ("cheers",), ("glass",))
    assert entry.cue_score(spaced("raise a glass")) == entry.cue_score(spaced("cheers")) / 2
    assert entry.cue_score(spaced("cheers, a glass")) > entry.cue_score(spaced("cheers"))
    assert shipped().fine_kinds[FALLBACK_KIND].cue_score(spaced("the text I got")) == 0


def test_vectors_are_computed_once_per_embedder() -> None:
    """The lists are embedded at the first request only."""

    class Counting(FakeEmbedder):
        calls = 0

        def embed(self, texts):  # type: ignore[no-untyped-def]
            self.calls += 1
            return super().embed(texts)

    lists, embedder = Vocabulary.load(), Counting()
    kinds, topics = lists.vectors(embedder)
    again, _ = lists.vectors(embedder)
    assert embedder.calls == 1
    assert kinds.shape[0] == len(lists.fine_kinds)
    assert topics.shape[0] == len(lists.fine_topics)
    assert np.array_equal(kinds, again)
