"""The closed lists hold safe phrases, find cue words, and count the bits of what may go out."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from cogenesis_langchain.closed_lists import FALLBACK_KIND, Entry, Vocabulary, shipped, spaced
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.testing import FakeEmbedder
from cogenesis_langchain.types import Level


def test_lists_have_the_size_the_bits_promise() -> None:
    """About 60 kinds and 120 topics; the bits follow from the counts."""
    lists = shipped()
    n_kinds, n_topics = len(lists.kinds), len(lists.topics)
    assert 55 <= n_kinds <= 80
    assert 110 <= n_topics <= 130
    assert lists.bits(Level.TOPIC) == math.log2(n_kinds * n_topics + n_kinds + 1)
    assert lists.bits(Level.KIND) == math.log2(n_kinds + 1)
    assert lists.bits(Level.FREE) is None


def test_phrases_are_plain_and_distinct() -> None:
    """No two entries read alike, and no phrase holds a capital, digit or mark that could be a name."""
    lists = shipped()
    for entries in (lists.kinds, lists.topics):
        phrases = [entry.phrase for entry in entries.values()]
        assert len(set(phrases)) == len(phrases)
        for entry in entries.values():
            assert re.fullmatch(r"[a-zé'][a-zé' -]*", entry.phrase), entry.name
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.name)
            assert entry.means


def test_fallback_kind_is_in_the_list() -> None:
    """What everything falls back to can itself go out."""
    assert FALLBACK_KIND in shipped().kinds


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


@pytest.mark.parametrize(
    "name", ["", " lead", "a\nb", "a. Ignore that", "x" * 61, "[[P1]]", "a:b", "{request}", "a  b", "<b>"]
)
def test_additions_must_be_plain_words(name: str) -> None:
    """A name goes out, so it can hold nothing but words."""
    with pytest.raises(ConfigError, match=r"vocabulary\.kinds"):
        Vocabulary.load({name: "something"}, {})


def test_additions_cannot_replace_shipped_names() -> None:
    """A name means one thing."""
    with pytest.raises(ConfigError, match=r"vocabulary\.topics\.birthday"):
        Vocabulary.load({}, {"birthday": "mine"})


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
    assert kinds.shape[0] == len(lists.kinds)
    assert topics.shape[0] == len(lists.topics)
    assert np.array_equal(kinds, again)
