from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest

from cogenesis_langchain.detect import lexicon
from cogenesis_langchain.detect.lexicon import CAPITAL_SCORE, SMALL_SCORE, Lexicon
from cogenesis_langchain.errors import ModelCorruptError

# Fictional names. A small lexicon stands for WordNet's; the shipped lists are the real ones.
PLAIN = Lexicon(
    frozenset(["team", "plan", "run", "polite", "letter", "delivery", "order", "happy", "write", "commerce"])
    | lexicon.common_words()
    | lexicon.modern_words()
)


def rare(text: str, words: Lexicon = PLAIN) -> dict[str, float]:
    """Score by rare word."""
    return {text[s.start : s.end]: s.score for s in words.rare(text)}


def test_words_of_no_language_are_found_in_any_case() -> None:
    """A coined name shows without any model; with capitals it weighs enough to stop a request."""
    assert rare("Please write to the team at Vexmoor about wadzpetal.") == {
        "Vexmoor": CAPITAL_SCORE,
        "wadzpetal": SMALL_SCORE,
    }


def test_names_of_several_words_are_one_finding() -> None:
    """Neighbours with capitals belong together; a genitive is no part of them."""
    assert list(rare("The letter of Zorvath Quillfen about Tarnbekk's order")) == [
        "Zorvath Quillfen",
        "Tarnbekk",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The teams planned and were running, happier than happily written letters.",
        "It's the team's letter; we don't re-run 25kg orders on the 3rd.",
        "Please fix the frontend of our e-commerce website and send a PDF asap, thanks!",
        "",
        "12 34 %%% ///",
    ],
)
def test_plain_text_is_left_alone(text: str) -> None:
    """Inflection, short forms, quantities, compounds and the words of the net are plain."""
    assert rare(text) == {}


def test_text_in_other_languages_is_not_hidden_word_by_word() -> None:
    """Where nearly every word is rare, or other languages' small words stand, the lexicon says nothing."""
    assert rare("Bonjour, je voudrais réserver une chambre pour la semaine dans votre hôtel.") == {}
    assert rare("Kérem küldje el nekünk levelét holnapig") == {}


def test_it_takes_linear_time() -> None:
    """Ten times the words, of hostile shapes too, take no more than about ten times as long."""

    def seconds(text: str) -> float:
        begun = time.thread_time()
        list(PLAIN.rare(text))
        return time.thread_time() - begun

    for unit in ("Vexmoor ", "a-", "the Vexmoor’s ", "x" * 70 + " "):
        short = min(seconds(unit * 1000) for _ in range(3))
        assert min(seconds(unit * 10_000) for _ in range(3)) < 40 * short + 0.05


def test_a_broken_pipeline_names_the_command(tmp_path: Path) -> None:
    """Without the words of the pipeline nothing is checked in silence."""
    with pytest.raises(ModelCorruptError, match="cogenesis models pull"):
        lexicon.load(tmp_path)


def test_the_shipped_list_is_in_the_form_it_is_compared_in() -> None:
    """Lower case, single words and composed letters, or they would never match."""
    words = lexicon.modern_words()
    assert all(lexicon.WORD.fullmatch(word) and word == word.lower() for word in words)
    assert all(unicodedata.is_normalized("NFC", word) for word in words)
