from __future__ import annotations

import socket
import time

import pytest

from cogenesis_langchain.detect import Detector
from cogenesis_langchain.known import KnownValues
from cogenesis_langchain.types import ContextItem, KnownValue

pytestmark = pytest.mark.integration

# Fictional persons and companies throughout.
TEXT = (
    "Nora Lindqvist works for Acme Widgets Inc. in Oslo and can be reached on +47 912 34 567. Her boss at "
    "Acme Widgets Inc. is Mr. Thomas Bergstrom. They move on Monday; see https://example.com."
)


@pytest.fixture(scope="module")
def balanced() -> Detector:
    """The default tier on the real pipeline."""
    return Detector("balanced")


def found(detector: Detector, text: str, known: KnownValues | None = None) -> set[tuple[str, str]]:
    """(found text, type) of every span."""
    return {(text[s.start : s.end], s.type) for s in detector.detect(text, known=known)}


def test_people_companies_and_places_are_found(balanced: Detector) -> None:
    """Names, organisations and places, but neither dates nor bare URLs."""
    assert {
        ("Thomas Bergstrom", "PERSON"),
        ("Nora Lindqvist", "PERSON"),
        ("Acme Widgets Inc", "ORGANIZATION"),
        ("Oslo", "LOCATION"),
        ("+47 912 34 567", "PHONE_NUMBER"),
    } <= found(balanced, TEXT)
    assert not {"DATE_TIME", "URL"} & {kind for _, kind in found(balanced, TEXT)}


def test_what_is_found_once_is_found_everywhere(balanced: Detector) -> None:
    """The first name alone and a lower-case repetition are private as well."""
    text = "Nora Lindqvist lives in Oslo. ask nora lindqvist, she said. NORA!"
    hidden = {text[s.start : s.end] for s in balanced.detect(text)}
    assert {"Nora Lindqvist", "nora lindqvist", "NORA"} <= hidden


def test_a_name_does_not_run_over_the_end_of_its_line(balanced: Detector) -> None:
    """What follows a name on the next line is no part of it."""
    spans = balanced.detect("Best wishes,\nNora Lindqvist\nOccupation: baker")
    assert all("\n" not in "Best wishes,\nNora Lindqvist\nOccupation: baker"[s.start : s.end] for s in spans)


def test_known_values_win(balanced: Detector) -> None:
    """What the user's store knows is marked as known, whatever the pipeline thinks."""
    known = KnownValues([KnownValue("Quillfeather", "PET", "declared")])
    spans = balanced.detect("My parrot Quill-feather sings.", known=known)
    assert "known" in {s.source for s in spans}


def test_thorough_finds_proper_nouns(balanced: Detector) -> None:
    """Every proper noun of the tagger counts in the last tier."""
    text = "We drank Zubrowka by the Quillbrook with our dog Biscuitina."
    spans = Detector("thorough").detect(text)
    hidden = "".join(text[s.start : s.end] for s in spans)
    assert all(name in hidden for name in ("Zubrowka", "Quillbrook", "Biscuitina"))


def test_values_of_a_profile(balanced: Detector) -> None:
    """The people, places and companies of a profile become known values, its plain words do not."""
    item = ContextItem(
        "profile", "I am Nora Lindqvist. I work for Acme Widgets in Oslo. Keeps notes in a calendar."
    )
    values = {v.value for v in balanced.extract_values(item)}
    assert {"Nora Lindqvist", "Acme Widgets", "Oslo"} <= values
    assert not {"Keeps", "calendar"} & values


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the real pipeline and detecting touch no network."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert found(Detector("thorough"), TEXT)


@pytest.mark.parametrize("unit", [":", "\U0001f600", "a.", "1 ", "x@y", "A", "(a"])
def test_hostile_text_is_survived(balanced: Detector, unit: str) -> None:
    """10,000 hostile characters, which take the plain tokenizer ten seconds, take a few at the very most."""
    start = time.process_time()
    balanced.detect((unit * 10_000)[:10_000])
    assert time.process_time() - start < 6
