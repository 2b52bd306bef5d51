from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.known.typos import SHORTEST, NearMisses

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD = st.text(LETTERS, min_size=SHORTEST, max_size=16)


def near(word: str, text: str) -> list[str]:
    """The stretches of `text` that are nearly `word`."""
    return [text[start:end] for start, end, _ in NearMisses([word]).find(text, lambda start, end: True)]


@given(
    WORD,
    st.integers(0, 15),
    st.sampled_from(LETTERS),
    st.text(LETTERS, max_size=5),
    st.text(LETTERS, max_size=5),
)
def test_every_single_mistake_is_found(word: str, at: int, letter: str, before: str, after: str) -> None:
    """A letter missing, wrong, extra, or swapped with the next, at any place and between any text."""
    at %= len(word)
    for wrong in (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
    ):
        if wrong != word:
            assert wrong in near(word, before + wrong + after)


def test_the_word_itself_and_other_words_are_no_misses() -> None:
    """Exact matches are found elsewhere; two mistakes are too many."""
    fits = lambda start, end: (start, end) == (0, 9)  # noqa: E731
    assert not list(NearMisses(["lindqvist"]).find("lindqvist", fits))
    assert not list(NearMisses(["lindqvist"]).find("lundqvost", fits))
    assert not list(NearMisses([]).find("lindqvist", fits))


def test_words_that_are_near_each_other_do_not_hide_one_another() -> None:
    """Whichever of them is nearer, something is found."""
    for wrong in ("andersn", "anderson", "anderssn", "andersoon"):
        words = [word for word in ("anderson", "andersson", "andersen") if word != wrong]
        assert list(NearMisses(words).find(wrong, lambda start, end: True))


def test_where_it_does_not_fit_nothing_is_found() -> None:
    """The caller says which stretches are words."""
    assert not list(NearMisses(["lindqvist"]).find("xlindqvst", lambda start, end: False))


def test_many_words_that_begin_alike_ask_no_more_than_one() -> None:
    """The work for a seed does not grow with the number of words that share it."""

    def asked(words: list[str]) -> int:
        calls = 0

        def fits(start: int, end: int) -> bool:
            nonlocal calls
            calls += 1
            return False

        assert not list(NearMisses(words).find("harbour" * 1000, fits))
        return calls

    many = [f"harbour{a}{b}{c}{a}{b}{c}{a}" for a in LETTERS[:8] for b in LETTERS for c in LETTERS[:5]]
    assert asked(many) <= 2 * asked(many[:1])
