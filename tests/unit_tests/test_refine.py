from __future__ import annotations

import pytest

from cogenesis_langchain.detect import lexicon
from cogenesis_langchain.detect.lexicon import Lexicon
from cogenesis_langchain.detect.rampart import HINT
from cogenesis_langchain.detect.refine import refined
from cogenesis_langchain.types import PrivateSpan

# Fictional names throughout.
PLAIN = Lexicon(
    frozenset(["customer", "satisfaction", "mandolin", "grant", "shouted", "village", "rose"])
    | lexicon.common_words()
    | lexicon.modern_words()
)


def span(
    text: str, inside: str, kind: str = "PERSON", source: str = "spacy", score: float = 0.85
) -> PrivateSpan:
    """A finding of `inside` in `text`."""
    start = text.index(inside)
    return PrivateSpan(kind, start, start + len(inside), score, source)


def kept(text: str, *spans: PrivateSpan, doubted: bool = True) -> list[tuple[str, str]]:
    """(found text, type) of what is left."""
    return [(text[s.start : s.end], s.type) for s in refined(text, spans, PLAIN, doubted=doubted)]


@pytest.mark.parametrize(
    ("text", "inside", "left"),
    [
        ("ask the Quillfen Trust's office", "the Quillfen Trust's", "Quillfen Trust"),
        ('he said "Nora Lindqvist", twice', '"Nora Lindqvist",', "Nora Lindqvist"),
        ("then Zorvath shouted again", "Zorvath shouted", "Zorvath"),
        ("Best wishes,\nNora\n", "Nora\n", "Nora"),
    ],
)
def test_edges_that_are_no_part_of_a_name_are_cut(text: str, inside: str, left: str) -> None:
    """Articles, genitives, quotation marks, plain small words and the end of the line."""
    assert kept(text, span(text, inside), doubted=False) == [(left, "PERSON")]


@pytest.mark.parametrize(
    ("text", "inside", "kind"),
    [
        ("Here is my SSN: 460", "SSN", "ORGANIZATION"),
        ("your IBAN and", "IBAN", "PERSON"),
        ("Phone: 555", "Phone", "PERSON"),
        ("a song for mandolin only", "mandolin", "PERSON"),
        ("the team", "the team", "ORGANIZATION"),
        ("it is a 501(c)3", "501", "LOCATION"),
    ],
)
def test_plain_mistakes_are_dropped(text: str, inside: str, kind: str) -> None:
    """Labels of forms, plain words in lower case and bare small numbers are no names."""
    assert kept(text, span(text, inside, kind)) == []


def test_a_plain_word_is_a_person_only_if_both_models_see_one() -> None:
    """A headline is no name; a name that is a word as well stays where Rampart sees a person, too."""
    text = "Customer Satisfaction matters to Grant"
    headline, name = span(text, "Customer Satisfaction"), span(text, "Grant")
    hint = span(text, "Grant", HINT, "rampart", 0.05)
    assert kept(text, headline, name, hint) == [("Grant", "PERSON")]
    assert kept(text, headline, name, doubted=False) == [
        ("Customer Satisfaction", "PERSON"),
        ("Grant", "PERSON"),
    ]


def test_rampart_is_believed_about_lower_case_where_it_is_sure() -> None:
    """ "rose" may be a person, if the one model that ignores case is sure of it."""
    text = "my neighbour rose called"
    assert kept(text, span(text, "rose", source="rampart", score=0.95)) == [("rose", "PERSON")]
    assert kept(text, span(text, "rose", source="rampart", score=0.5)) == []


def test_a_title_is_found_with_its_person() -> None:
    """It tells the gender; apart, so that the name itself stays the same value everywhere."""
    text = "Dear Mrs. Lindqvist,"
    assert kept(text, span(text, "Lindqvist")) == [("Lindqvist", "PERSON"), ("Mrs.", "TITLE")]


def test_other_types_are_left_as_they_are() -> None:
    """Numbers and addresses of mail have no edges to cut."""
    text = "call (555) 0142."
    assert kept(text, span(text, "(555) 0142.", "PHONE_NUMBER")) == [("(555) 0142.", "PHONE_NUMBER")]


@pytest.mark.parametrize(
    ("text", "inside", "kind", "score", "stops"),
    [
        ("a song for mandolin only", "mandolin", "PERSON", 0.9, False),
        ("a song for mandolin only", "mandolin", "PERSON", 0.995, True),
        ("Grant my parents a wish", "Grant", "PERSON", 0.9, False),
        ("I wrote to Grant today", "Grant", "PERSON", 0.9, True),
        ("Zorvath called", "Zorvath", "PERSON", 0.9, True),
    ],
)
def test_plain_words_that_look_like_no_name_stop_no_request(
    text: str, inside: str, kind: str, score: float, stops: bool
) -> None:
    """They stay hidden by a mask, unless Rampart is nearly certain."""
    (found,) = refined(text, [span(text, inside, kind, "rampart", score)], PLAIN, doubted=True)
    assert (found.score >= 0.5) == stops


@pytest.mark.parametrize(
    ("text", "trades"),
    [
        ("Nora Lindqvist\nLeasing consultant\n12 Fen Road", ["Leasing consultant"]),
        ("> Nora Lindqvist\n> nurse\n", ["nurse"]),
        ("Nora Lindqvist\nCourt, municipal, and license clerk\n", ["Court, municipal, and license clerk"]),
        ("Yours, Nora Lindqvist\nEditor\n", []),
        ("Nora Lindqvist\nwrote to the driver of the bus\n", []),
        ("Nora Lindqvist\nSee you on Monday\n", []),
    ],
)
def test_a_trade_on_the_line_below_a_name_goes_with_it(text: str, trades: list[str]) -> None:
    """As in the head of a letter or a signature."""
    found = kept(text, span(text, "Nora Lindqvist", source="rampart", score=0.99))
    assert [what for what, kind in found if kind == "TITLE"] == trades
