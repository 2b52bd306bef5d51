from __future__ import annotations

from cogenesis_langchain.detect.phrases import MAX_PHRASES, rare_phrases
from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.types import ContextItem


def phrases(text: str, type: str = "profile") -> list[str]:
    """Rare phrases of a fictional context item."""
    return list(rare_phrases(ContextItem(type, text), is_common))  # type: ignore[arg-type]


def test_names_and_titles_inside_sentences_are_phrases() -> None:
    """Two capitalised words that no sentence start explains."""
    assert phrases("We met at the Harbour Row Bakery and then left.", "writing") == ["Harbour Row Bakery"]


def test_quoted_words_are_phrases() -> None:
    """What somebody puts in quotes is a title or a saying of theirs."""
    assert phrases('My boat is called "the silent otter", and I said "yes".', "writing") == [
        "the silent otter"
    ]


def test_rare_pairs_are_taken_from_what_the_user_says_about_themselves() -> None:
    """Two neighbouring uncommon words of a profile; in writings they are left alone."""
    text = "In my free time I restore vintage harmoniums with friends."
    assert phrases(text) == ["restore vintage", "vintage harmoniums"]
    assert phrases(text, "writing") == []


def test_everyday_text_has_no_rare_phrase() -> None:
    """Common words do not become known values."""
    assert phrases("I like to write letters to my friends about the garden.") == []


def test_phrases_are_distinct_and_bounded() -> None:
    """One long text does not flood the matcher."""
    assert phrases("gilded otters and gilded otters") == ["gilded otters"]
    many = " and ".join(f"gilded otter{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600))
    assert len(phrases(many)) == MAX_PHRASES
