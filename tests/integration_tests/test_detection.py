from __future__ import annotations

import socket
import time

import pytest

from cogenesis_langchain.detect.detector import Detector
from cogenesis_langchain.detect.rampart import Rampart
from cogenesis_langchain.errors import DetectorError, ModelMissingError
from cogenesis_langchain.known.matcher import KnownValues
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


@pytest.fixture(scope="module")
def thorough() -> Detector:
    """The tier that looks hardest."""
    return Detector("thorough")


def found(detector: Detector, text: str, known: KnownValues | None = None) -> set[tuple[str, str]]:
    """(found text, type) of every span."""
    return {(text[s.start : s.end], s.type) for s in detector.detect(text, known=known)}


def test_people_companies_and_places_are_found(balanced: Detector) -> None:
    """Names, organisations and places, but neither dates nor bare URLs."""
    assert {
        ("Thomas Bergstrom", "PERSON"),
        ("Nora Lindqvist", "PERSON"),
        ("Acme Widgets Inc.", "ORGANIZATION"),
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


NAMES = [
    "Nora Lindqvist",
    "Aisha Rahman",
    "Yusuf Demir",
    "Chloe Dubois",
    "Priya Nair",
    "Ivan Petrov",
    "Rose Hartley",
]
DISGUISES = {
    "lower": str.lower,
    "upper": str.upper,
    "zero-width": "\u200b".join,
    "full-width": lambda s: "".join("\u3000" if c == " " else chr(ord(c) + 0xFEE0) for c in s),
    "confusable": lambda s: s.translate(str.maketrans("aeopcxyi", "аеорсхуі")),
    "html": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "spaced": " ".join,
}


@pytest.mark.parametrize("how", DISGUISES)
def test_unknown_names_are_found_in_any_spelling(balanced: Detector, how: str) -> None:
    """Nobody declared them; still every letter is covered, whatever the case or the disguise."""
    for name in NAMES:
        spelt = DISGUISES[how](name)
        text = f"Please write a short note to {spelt} about Friday."
        hidden = {i for s in balanced.detect(text) for i in range(s.start, s.end)}
        start = text.index(spelt)
        assert all(i in hidden for i in range(start, start + len(spelt)) if text[i].isalnum()), name


def test_coined_names_are_found_without_capitals(balanced: Detector) -> None:
    """No model knows the word; that no dictionary does either is enough."""
    text = "please mail the team at vexmoorly about the Quillandry contract"
    hidden = {text[s.start : s.end] for s in balanced.detect(text)}
    assert {"vexmoorly", "Quillandry"} <= hidden


@pytest.mark.parametrize(
    "text",
    [
        "Please write a polite letter to the manager about the late delivery of our order.",
        "Explain how a hash table works and compare it with a balanced tree.",
        "Draft a short speech for the wedding of two good friends; keep it funny and warm.",
        "What should I cook tonight with rice, beans and three eggs? I have forty minutes.",
        "Summarize the advantages of renewable energy for small companies in five bullet points.",
        "Customer Satisfaction, Strategic Planning and Gift Cards are the headings of the report.",
        "SSN, IBAN, email and phone are the fields of the form on our website.",
    ],
)
def test_harmless_text_is_left_alone(balanced: Detector, text: str) -> None:
    """No false alarm on everyday requests, headlines and the labels of forms."""
    assert found(balanced, text) == set()


def test_rampart_runs_beside_spacy_and_can_be_left_out(balanced: Detector) -> None:
    """It finds what has no capitals, as one of Presidio's recognisers; without it the tier still works."""
    text = "my name is grace whitfield, i live at 14 birch lane in bristol"
    assert ("grace whitfield", "PERSON") in found(balanced, text)
    assert "rampart" in {s.source for s in balanced.detect(text)}
    without = Detector("balanced", rampart=False)
    assert "rampart" not in {s.source for s in without.detect(TEXT)}
    assert ("Thomas Bergstrom", "PERSON") in found(without, TEXT)


def test_a_missing_model_stops_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Rampart's files nothing is checked half; the error names the command."""

    def missing() -> Rampart:
        raise ModelMissingError("no model; run: cogenesis models pull rampart")

    monkeypatch.setattr(Rampart, "default", missing)
    with pytest.raises(DetectorError, match="cogenesis models pull rampart"):
        Detector("balanced").detect("text")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Bitte schreiben Sie Herrn Jürgen Brinkhoff einen kurzen Brief.", "Jürgen Brinkhoff"),
        ("Merci d'écrire à Mme Hélène Vauclair avant jeudi.", "Hélène Vauclair"),
        ("Escribe una carta a la señora Lucía Barrondo, por favor.", "Lucía Barrondo"),
        ("请给王小明先生写一封信。", "王小明"),
        ("田中花子さんに手紙を書いてください。", "田中花子"),
    ],
)
def test_names_in_other_languages_do_not_slip_through_thorough(
    thorough: Detector, text: str, name: str
) -> None:
    """German, French, Spanish, Chinese, Japanese."""
    hidden = {i for s in thorough.detect(text) for i in range(s.start, s.end)}
    start = text.index(name)
    assert all(i in hidden for i in range(start, start + len(name)) if text[i] != " ")


def test_known_values_win(balanced: Detector) -> None:
    """What the user's store knows is marked as known, whatever the pipeline thinks."""
    known = KnownValues([KnownValue("Quillfeather", "PET", "declared")])
    spans = balanced.detect("My parrot Quill-feather sings.", known=known)
    assert "known" in {s.source for s in spans}


def test_thorough_finds_proper_nouns(thorough: Detector) -> None:
    """Every proper noun of the tagger counts in the last tier."""
    text = "We drank Zubrowka by the Quillbrook with our dog Biscuitina."
    spans = thorough.detect(text)
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


def test_names_that_are_words_survive_a_threshold_of_presidio() -> None:
    """Rampart's hints are no findings, so no `default_score_threshold` may drop them."""
    strict = Detector("balanced", presidio={"default_score_threshold": 0.6})
    text = "Grant and Rose met Michael at the station."
    hidden = {text[s.start : s.end] for s in strict.detect(text)}
    assert {"Grant", "Michael"} <= hidden


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the real pipeline and detecting touch no network."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert found(Detector("thorough"), TEXT)


def seconds(detector: Detector, text: str) -> float:
    """Processor time for its first 10,000 characters."""
    begun = time.process_time()
    detector.detect(text[:10_000])
    return time.process_time() - begun


@pytest.fixture(scope="module")
def prose_seconds(balanced: Detector) -> float:
    """What 10,000 characters of letters take."""
    return min(seconds(balanced, (TEXT + " ") * 60) for _ in range(2))


@pytest.mark.parametrize("unit", [":", "\U0001f600", "a.", "1 ", "x@y", "A", "(a", "Ab. ", "Xx ", "a\u200b"])
def test_hostile_text_costs_little_more_than_prose(
    balanced: Detector, prose_seconds: float, unit: str
) -> None:
    """10,000 characters that take the plain tokenizer ten seconds take about as long as those of a letter."""
    assert min(seconds(balanced, unit * 10_000) for _ in range(2)) < 4 * prose_seconds
