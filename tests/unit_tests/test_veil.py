"""What must hold for the shadow as it is sent: general words for what was found, the rest as it is."""

from __future__ import annotations

from cogenesis_langchain.fuse.veil import ELSE, veiled
from cogenesis_langchain.types import PrivateSpan


def span(text: str, found: str, kind: str) -> PrivateSpan:
    """Where `found` stands in `text`."""
    start = text.index(found)
    return PrivateSpan(kind, start, start + len(found), 0.9, "test")


def test_what_was_found_is_said_in_general_words() -> None:
    """Whatever order it comes in; what lies between stays to the letter."""
    text = "My name is Ada Quill, of Port Lyre.\nCall 555-0100!"
    spans = [
        span(text, "555-0100", "US_SSN"),
        span(text, "Ada Quill", "PERSON"),
        span(text, "Port Lyre", "LOCATION"),
    ]
    assert veiled(text, spans) == f"My name is someone, of our town.\nCall {ELSE}!"
    assert veiled(text, ()) == text


def test_overlapping_spans_leave_nothing_of_either() -> None:
    """All that any of them covers is gone."""
    text = "Dear Ada Quill of Lyre, hello"
    spans = [
        span(text, "Ada Quill", "PERSON"),
        span(text, "Quill of Lyre", "ORGANIZATION"),
        span(text, "Ada", "URL"),
    ]
    assert veiled(text, spans) == "Dear someone, hello"
