"""What must hold while a text is written: known values are held from their first token on, others not."""

from __future__ import annotations

import pytest

from cogenesis_langchain.evals.disguises import DISGUISES, disguised
from cogenesis_langchain.evals.values import shipped
from cogenesis_langchain.known.holding import Holding
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.readings import spelled
from cogenesis_langchain.types import KnownValue

VALUES = [
    KnownValue("Maria Gonzalez", "PERSON", "field"),
    KnownValue("the garden house", "PHRASE", "phrase"),
    KnownValue("Theodor", "PERSON", "field"),
    KnownValue("May", "PERSON", "field"),
    KnownValue("0170 1234567", "PHONE_NUMBER", "field"),
    KnownValue("Zürich", "LOCATION", "entity"),
    KnownValue("🦄", "DECLARED", "declared"),
]
HELD = Holding(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "Dear Mar",
        "Dear Maria",
        "Dear MARIA GONZ",
        "Dear Maria Gonzalez",
        "with mari",
        "in the gar",
        "near the garden house",
        "Theo",
        "the theod",
        "in May",
        "call 0170 12",
        "in Zür",
        "in zuri",
        "say 🦄",
    ],
)
def test_what_may_become_a_value_is_held(text: str) -> None:
    """From the first letters that tell it from an everyday word, in any case and without accents."""
    assert HELD(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Dear",
        "Dear Mario",
        "in the",
        "the",
        "a",
        "I",
        "we may",
        "Maria Gonzalez is",
        "a marker",
        "Hello M",
        " ,",
    ],
)
def test_other_words_are_not(text: str) -> None:
    """An article that begins a value, a month, what follows a value: they are free."""
    assert not HELD(text.encode())


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.type)
def test_every_complete_value_is_held_at_its_end(value: KnownValue) -> None:
    """Whatever the gate would find as soon as it is complete, was held at its last letter."""
    text = f"So we met {value.value}"
    assert KnownValues([value]).hits(text)
    assert HELD(text.encode())


@pytest.mark.parametrize("disguise", DISGUISES)
def test_what_is_free_of_a_disguised_value_does_not_tell_it(disguise: str) -> None:
    """Letter by letter, in every disguise: what is not held spells no value, and no piece that tells one."""
    for value in [value for value in shipped() if value.known][::5]:
        held = Holding([KnownValue(value.text, value.type, "declared")])
        text = f"Dear all, it is {disguised(value.text, disguise)} who writes."
        sizes = range(1, len(text) + 1)
        free = "".join(text[size - 1] for size in sizes if not held(text[:size].encode()))
        assert spelled(free, value.parts) == []
        assert free.startswith("Dear all, it is")


def test_long_texts_and_half_characters_are_no_obstacle() -> None:
    """Only the end is looked at, and it may lie inside a character."""
    long = ("word " * 400).encode()
    assert HELD(long + b"Maria")
    assert not HELD(long)
    assert HELD(long + "in Zü".encode()[:-1] + "ü".encode()[-1:])
    assert not HELD("é".encode()[:1])


def test_it_shows_no_value() -> None:
    """Not in a log."""
    assert "aria" not in repr(HELD)
