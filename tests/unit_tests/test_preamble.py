"""A model's announcement is dropped; a text that only begins like one stays."""

from __future__ import annotations

import pytest

from cogenesis_langchain.preamble import without_preamble


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sure, here is the text:\n\nHello you,\ncome at three.", "Hello you,\ncome at three."),
        ("Here's your invitation:\nDear all,\n", "Dear all,\n"),
        ("Certainly! Here is it:\n\nHi", "Hi"),
        ("Sure enough, it rained.\nWe danced.", "Sure enough, it rained.\nWe danced."),
        ("Here is to Tove.\nCheers: all.", "Here is to Tove.\nCheers: all."),
        ("Hello you,\nhere is the list:\n- one", "Hello you,\nhere is the list:\n- one"),
        ("Sure", "Sure"),
        ("", ""),
    ],
)
def test_only_announcements_go(text: str, expected: str) -> None:
    """Cut anywhere, or letter by letter, the same text comes out."""
    for cut in range(len(text) + 1):
        assert "".join(without_preamble([text[:cut], text[cut:]])) == expected
    assert "".join(without_preamble(text)) == expected


def test_other_text_is_not_held_back() -> None:
    """The first piece of an ordinary text passes at once."""
    assert next(without_preamble(iter(["Dear ", "all"]))) == "Dear "
