"""Links that the user did not supply do not survive, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.links import LinkFilter, strip_links

HOSTILE = [
    ("See ![x](https://evil.example/?q=Dana) now", "See  now"),
    ("See [the map](https://evil.example/?q=Dana).", "See the map."),
    ("Go to https://evil.example/?q=Dana, please", "Go to , please"),
    ("Go to www.evil.example/Dana today", "Go to  today"),
    ("A [word][1]\n\n[1]: //evil.example/Dana\nend", "A [word][1]\n\n\nend"),
    ("An <https://evil.example/Dana> autolink", "An  autolink"),
    ('An <img src="//evil.example/Dana"> image', "An  image"),
    ("Odd [x](//evil.example/Dana) scheme", "Odd x scheme"),
]


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_links_are_removed_at_every_cut(text: str, expected: str) -> None:
    """Each form loses its target, also when the stream is cut at any character."""
    for cut in range(len(text) + 1):
        assert "".join(strip_links([text[:cut], text[cut:]], "")) == expected
    assert "".join(strip_links(list(text), "")) == expected


def test_a_supplied_url_stays() -> None:
    """What the user wrote into the request may be in the answer."""
    url = "https://party.example/rsvp?id=7"
    text = f"Answer at {url}. Or [here]({url})!"
    assert "".join(strip_links(list(text), f"put {url} in it")) == text


@given(st.lists(st.text(alphabet="abc hw!?.:/[]()\n<>", max_size=12), max_size=12))
def test_the_cut_of_the_stream_does_not_matter(pieces: list[str]) -> None:
    """Fed whole or in pieces, the same text comes out."""
    whole = LinkFilter("")
    assert "".join(strip_links(pieces, "")) == whole.feed("".join(pieces)) + whole.close()


def test_plain_prose_passes_at_once() -> None:
    """A finished word is not held back."""
    links = LinkFilter("")
    assert links.feed("Dear all, come ") == "Dear all, come "
