from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.normalize.canonical import readable
from cogenesis_langchain.normalize.letters import (
    FOLDED,
    KINDS,
    LOOK_ALIKES,
    READABLE,
    has_foreign,
    written_for,
)
from cogenesis_langchain.types import KnownValue

LETTERS = [chr(number) for number in range(0x80, 0x30000) if chr(number).isalpha()]


def test_case_makes_no_difference_in_any_script() -> None:
    """A letter folds to what its upper and lower case fold to, where these are one letter."""
    for char in LETTERS:
        for other in (char.upper(), char.lower()):
            if len(other) == 1 and other.upper().lower() == char.upper().lower():
                assert FOLDED[char] == FOLDED[other], hex(ord(char))


@given(st.characters())
def test_the_tables_agree_for_every_character(char: str) -> None:
    """Kinds are as long as what they describe; look-alikes are one character; ASCII stands as it is."""
    assert len(FOLDED[char]) == len(KINDS[char])
    assert len(LOOK_ALIKES[char]) == 1
    assert set(KINDS[char]) <= set("Aaox0 ")
    if char.isascii():
        assert READABLE[char] == LOOK_ALIKES[char] == char


@pytest.mark.parametrize(
    ("char", "folded"),
    [("é", "e"), ("ø", "o"), ("Ł", "l"), ("ß", "ss"), ("Æ", "ae"), ("ı", "i"), ("ﬁ", "fi"), ("ɴ", "n"),
     ("٣", "3"), ("\u200b", ""), ("\u3164", ""), ("\u0301", ""), ("™", " "), ("’", " "), ("가", "가")],
)  # fmt: skip
def test_characters_fold(char: str, folded: str) -> None:
    """Strokes, ligatures, small capitals, digits of other scripts, invisible letters, signs."""
    assert FOLDED[char] == folded


def test_every_confusable_of_unicode_is_undone() -> None:
    """Each entry of the table, put into a name, neither hides it nor, if foreign, stays in readable text."""
    from confusable_homoglyphs.confusables import confusables_data

    count = 0
    for letter in "abcdefghijklmnopqrstuvwxyz":
        name = f"Vor{letter}quin Tal"
        known = KnownValues([KnownValue(name, "NOTE", "field")])
        for entry in (*confusables_data.get(letter, ()), *confusables_data.get(letter.upper(), ())):
            char = entry["c"].strip("\u200e")
            if len(char) != 1 or char in "lI1|":
                continue
            count += 1
            assert known.hits(f"ask Vor{char}quin Tal now"), unicodedata.name(char)
            if unicodedata.name(char).startswith(("CYRILLIC SMALL", "ARMENIAN", "CHEROKEE")):
                assert readable(f"ask Vor{char}quin").text.isascii(), unicodedata.name(char)
    assert count > 1000


def test_foreign_letters_are_told_from_accented_ones() -> None:
    """Names with accents and strokes are Latin."""
    assert not has_foreign("Łukasz Ångström-Nuñez, Đặng Thị, İlkay “quoted” 100 €")
    assert has_foreign("N\u043era")
    assert has_foreign("ɴora")


@pytest.mark.parametrize(
    ("found", "own", "counts"),
    [
        ("n0r4", "nora", True),
        ("7355", "tess", True),  # four letters may all be digits
        ("l30", "leo", True),
        ("130", "leo", False),  # three may not
        ("o7700", "07700", True),
        ("olsoo", "01500", False),  # a number is not spelt in letters
        ("lindqvlst", "lindqvist", True),
        ("ball", "bail", False),
    ],
)
def test_digits_are_read_as_letters_within_reason(found: str, own: str, counts: bool) -> None:
    """What is equal in its skeleton is compared letter by letter."""
    assert written_for(found, own) is counts
