from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.known.matcher import KnownValues, common_words, is_common, merged
from cogenesis_langchain.types import KnownValue, PrivateSpan


def known(*values: str, type: str = "NOTE", origin: str = "field", **options: object) -> KnownValues:
    """A matcher of fictional values."""
    return KnownValues([KnownValue(v, type, origin) for v in values], **options)  # type: ignore[arg-type]


def found(matcher: KnownValues, text: str) -> list[str]:
    """The stretches of `text` that were found."""
    return [text[s.start : s.end] for s in matcher.find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "ask Nora Lindqvist now",
        "ask NORA LINDQVIST now",
        "ask nora\nlindqvist now",
        "ask N\u200bora Lind\u00adqvist now",
        "ask N o r a L i n d q v i s t now",
        "ask Ｎｏｒａ Ｌｉｎｄｑｖｉｓｔ now",
        "mail nora.lindqvist@example.org",
        "file /home/noraLindqvist/x.txt",
        "nora_lindqvist.pdf",
        "noralindqvist",
        "Nora&nbsp;Lindqvist",
        "N&#111;ra Lindqvist",
        "?who=Nora%20Lindqvist",
        '{"a": "Nora\\u0020Lindqvist"}',
        "Nora Lind\nqvist",
        "Lindqvist, she said: Nora Lindqvist",
    ],
)
def test_a_value_is_found_in_any_spelling(text: str) -> None:
    """Spellings that the canonical form undoes do not hide a value."""
    assert known("Nora Lindqvist").hits(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Ann", "the Annual report"),
        ("Nora", "the Noracle spoke"),
        ("1234", "number 812345"),
        ("Idan", "I, Dan"),
    ],
)
def test_parts_of_other_words_are_not_values(value: str, text: str) -> None:
    """Matches begin and end where words do, and words are not glued together."""
    assert not known(value).hits(text)


def test_offsets_are_those_of_the_text() -> None:
    """A span cuts out the value as the text spells it, and says where it came from."""
    text = "Dear N\u200bora Lindqvist, call 555-0142-99!"
    matcher = known("Nora Lindqvist", "555014299")
    assert found(matcher, text) == ["N\u200bora Lindqvist", "555-0142-99"]
    spans = matcher.find(text, message=3)
    assert {(s.source, s.score, s.message) for s in spans} == {("known", 1.0, 3)}


def test_parts_of_a_name_are_values_too() -> None:
    """A known person is not given away by the first name alone; titles and particles are no parts."""
    matcher = known("Dr Nora van Lindqvist", type="PERSON")
    assert found(matcher, "Nora met the doctor, Dr Lindqvist, in a van") == ["Nora", "Lindqvist"]


def test_lines_of_an_address_are_values_too() -> None:
    """Street and town count by themselves."""
    matcher = known("14 Juniper Lane, Harbourfield", type="LOCATION")
    assert found(matcher, "from harbourfield to 14 juniper lane") == ["harbourfield", "14 juniper lane"]


@pytest.mark.parametrize("text", ["14 Juniper Ln", "14 juniper ln., Harbourfield", "14-juniper-lane"])
@pytest.mark.parametrize("stored", ["14 Juniper Lane", "14 Juniper Ln, Harbourfield"])
def test_streets_are_known_abbreviated_and_in_full(stored: str, text: str) -> None:
    """Lane and Ln are one."""
    (span, *_) = known(stored, type="LOCATION").find(text)
    assert span.end >= len("14 Juniper Ln")


def test_a_company_is_known_without_its_legal_form() -> None:
    """Ltd, GmbH and the like come and go; what is left of a short name says too little."""
    assert known("Zephyrine Co. Ltd.", type="ORGANIZATION").hits("I work at Zephyrine Limited")
    assert not known("Apple Inc", type="ORGANIZATION").hits("an apple a day")
    assert not known("Incorporated Arts", type="ORGANIZATION").hits("incorporated in the arts")


@pytest.mark.parametrize("value", ["May", "garden", "42", "Jo", "assistant", "the"])
def test_common_and_short_values_do_not_count_alone(value: str) -> None:
    """A body that merely holds everyday words is not blocked."""
    assert not known(value).hits(
        f"{value.lower()} is what an {value.lower()} may see in {value.lower()} cases"
    )


def test_a_weak_value_counts_beside_another() -> None:
    """Two weak values side by side are a fact about somebody."""
    matcher = known("42", "garden", "Lindqvist")
    assert found(matcher, "at 42 in the garden") == ["42", "garden"]
    assert found(matcher, "Lindqvist, 42, is here") == ["Lindqvist", "42"]
    assert not matcher.hits("42 pages that go on for a long while and then a garden")


def test_a_weak_name_counts_with_its_capital_inside_a_sentence() -> None:
    """The person May is found, the verb is not."""
    matcher = known("May", type="PERSON")
    assert found(matcher, "May I ask whether May may come?") == ["May"]


def test_declared_values_always_count() -> None:
    """What the user declared is never too common."""
    assert known("rose", origin="declared").hits("a rose")
    assert not known("", "-", "x", origin="declared").hits("x - x")


def test_ignored_values_never_count() -> None:
    """`ignore` works in any spelling."""
    assert not known("Springfield", ignore=["SPRING-FIELD"]).hits("in Springfield")


def test_min_length_makes_values_weak() -> None:
    """Below the length a value needs context; scripts without spaces count double."""
    assert known("Zoq").hits("a zoq")
    assert not known("Zoq", min_length=4).hits("a zoq")
    assert found(known("王伟"), "我叫王伟。") == ["王伟"]


def test_overlapping_values_become_one_span() -> None:
    """The longest gives the type, and nothing is left uncovered."""
    values = [
        KnownValue("Harbour Row Bakery", "ORG", "field"),
        KnownValue("Bakery Lane Nine", "PLACE", "field"),
    ]
    text = "near Harbour Row Bakery Lane Nine today"
    (span,) = KnownValues(values).find(text)
    assert text[span.start : span.end] == "Harbour Row Bakery Lane Nine"
    assert span.type == "ORG"


def test_merging_keeps_the_mark_of_a_known_value() -> None:
    """A detector's longer span over a known value still counts as known."""
    spans = [PrivateSpan("EMAIL_ADDRESS", 0, 20, 0.6, "regex"), PrivateSpan("PERSON", 2, 6, 1.0, "known")]
    assert merged(spans) == [PrivateSpan("EMAIL_ADDRESS", 0, 20, 1.0, "known")]


def test_no_values_find_nothing() -> None:
    """An empty matcher works."""
    assert KnownValues([]).find("anything") == []
    assert len(KnownValues([])) == 0


def test_a_matcher_built_on_another_finds_what_one_of_all_values_finds() -> None:
    """Weak values beside those of the other one, a weak value made strong, what is ignored, signs."""
    first = [
        KnownValue("May", "PERSON", "field"),
        KnownValue("Nora Lindqvist", "PERSON", "field"),
        KnownValue("🦊🌵", "SIGN", "declared"),
    ]
    more = [
        KnownValue("may", "PERSON", "declared"),
        KnownValue("garden", "PLACE", "entity"),
        KnownValue("Tidewell", "PERSON", "entity"),
        KnownValue("C++", "LANGUAGE", "declared"),
    ]
    text = "in may Lindqvist's garden, 🦊🌵 by N o r a of Tidewell in C++; a garden, and tidewel"
    rules: dict[str, Any] = {"min_length": 4, "ignore": ["Nora"]}
    whole = KnownValues([*first, *more], **rules)
    base = KnownValues(first, **rules)
    before = base.find(text)
    built = KnownValues(more, base=base, **rules)
    assert built.find(text) == whole.find(text) != before
    assert len(built) == len(whole)
    assert base.find(text) == before


def test_repr_shows_no_value() -> None:
    """Neither the matcher nor its spans print a value."""
    matcher = known("Nora Lindqvist")
    assert "ora" not in repr(matcher) + repr(matcher.find("Nora Lindqvist"))


def test_common_words_are_canonical() -> None:
    """The shipped list is in the form it is compared in."""
    assert all(word.isalnum() and word == word.lower() for word in common_words())
    assert is_common("The garden, 42!")
    assert not is_common("the Lindqvist garden")


@pytest.mark.parametrize(
    "text",
    [
        "Lindqvst",
        "Lindqvizt",
        "Lindqviist",
        "Lindvqist",
        "NORA LINDQVIS",
        "lindqvistt.pdf",
        "Norra Lindqvist",
    ],
)
def test_one_wrong_letter_does_not_hide_a_long_value(text: str) -> None:
    """Missing, wrong, extra and swapped letters are seen from eight letters on."""
    (span,) = known("Nora Lindqvist", type="PERSON").find(f"ask {text} now")
    assert f"ask {text} now"[span.start : span.end] == text.removesuffix(".pdf")
    assert span.source == "known"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Nora", "Nroa"),  # too short
        ("Lindqvist", "Lundqvost"),  # two letters
        ("Lindqvist", "Sindqvist"),  # another first letter
        ("Lindqvist", "the Lindqvisting"),
        ("Harrows Meeting", "borrows meeting"),
        ("4411-2093-7781", "4411-2093-7782"),  # another number is another number
    ],
)
def test_other_words_are_no_typos(value: str, text: str) -> None:
    """Near is one letter, in words that keep their first."""
    assert not known(value).hits(text)


def test_phrases_have_no_typos() -> None:
    """Wordings found in context are looked for as they are."""
    assert not known("copper heronry", origin="phrase").hits("the copper heronary")


@pytest.mark.parametrize("stored", ["+44 7700 900417", "07700 900417", "0044 (0)7700-900417"])
@pytest.mark.parametrize(
    "text",
    [
        "07700 900417",
        "+44 7700 900417",
        "+447700900417",
        "0044 7700 900 417",
        "tel:7700900417",
        "l: O77OO 9OO417",
    ],
)
def test_a_telephone_number_is_known_with_and_without_its_country(stored: str, text: str) -> None:
    """The country's code and the trunk zero may come and go."""
    (span,) = known(stored, type="PHONE_NUMBER").find(f"call {text} or 7700 111222")
    assert f"call {text} or"[span.start : span.end].replace(" ", "").endswith(text.replace(" ", "")[-6:])


@pytest.mark.parametrize(
    "text",
    ["nora.lindqvist (at) vexmoor.org", "nora.lindqvist[at]vexmoor[dot]org", "user nora.lindqvist",
     "nora dot lindqvist at vexmoor dot org", "ssh vexmoor.org", "nora.lindqvist+shop@vexmoor.org"],
)  # fmt: skip
def test_a_mail_address_is_known_spelt_out_and_by_its_ends(text: str) -> None:
    """Mailbox and own domain give away as much as the address."""
    assert known("nora.lindqvist@vexmoor.org", type="EMAIL_ADDRESS").hits(text)


def test_shared_domains_and_mailboxes_are_no_values() -> None:
    """Everybody's provider and an office's mailbox say nothing."""
    assert not known("info@vexmoor.org", "lux.tarn@gmail.com").hits(
        "info: see gmail.com, or mail info@example.org"
    )


@pytest.mark.parametrize("text", ["Vexmoors", "Vexmoor's", "VEXMOORS", "vexmoors.html"])
def test_the_s_of_a_plural_may_follow(text: str) -> None:
    """Inflection by s does not hide a name; other endings make other words."""
    assert found(known("Vexmoor"), f"the {text} there") == [text[:7]]
    assert not known("Vexmoor").hits("a vexmoorish tune")


@pytest.mark.parametrize(
    "text", ["vexmoor2024.jpg", "IMG2024vexmoor", "getVexmoorById", "PDFVexmoor", "x-vexmoor-y"]
)
def test_identifiers_are_cut_at_case_and_digits(text: str) -> None:
    """A value is found inside the names that programs give."""
    assert known("Vexmoor").hits(text)


def test_long_numbers_are_found_inside_longer_ones() -> None:
    """Eight digits in a row are no coincidence."""
    assert found(known("4012 8888 8888 1881"), "no4012888888881881777x") == ["4012888888881881"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Goodman", "it takes a good man"),
        ("Ina", "we met in\na hall"),
        ("Idan", "I, Dan, say so"),
        ("Shell", "she'll come"),
        ("Tia", "room 714"),
        ("Leo", "page 130"),
        ("Hall", "snow and hail"),
        ("Ann", "an nut, annual, A-N"),
        ("Tom", "to me, to m"),
        ("1984", "call 219845"),
        ("Ali", "all of it, at 411"),
    ],
)
def test_everyday_text_is_no_disguise(value: str, text: str) -> None:
    """What could be a spelling of the value by coincidence alone is not taken for it."""
    assert not known(value, type="PERSON").hits(text)


def test_everyday_words_that_make_up_a_name_count_in_context() -> None:
    """Cut up as nobody writes by chance, the name is found."""
    assert known("Goodman", type="PERSON").hits("I asked Good\nman about it")
    assert known("Goodman", "Lindqvist", type="PERSON").hits("good man Lindqvist")


def test_common_prose_holds_no_value() -> None:
    """A long text, wrapped at unlucky places, raises no alarm for hundreds of unlucky values."""
    words = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8").split()
    pages = [textwrap.fill(" ".join(words), width) for width in range(40, 100)]
    names = (
        "Ann Ina Ida Ian Leo Tia Ali Asa Ivo Ona Una Ada Eli Theo Enid Odin Iris Dean Anita Nadia Norma Minos"
    )
    towns = "Harbourfield Quillbrook Istead Norham Anderby Onslow Tarrant Wether Elstead Innsmouth Andover"
    values = known(*names.split(), *towns.split(), *(str(n) for n in range(300, 400)), type="PERSON")
    assert [found(values, page) for page in pages] == [[]] * len(pages)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40), st.integers(0, 13))
def test_invisible_characters_never_hide_a_value(around: str, at: int) -> None:
    """Wherever a zero-width character is put, whatever stands around, the value is found."""
    value = "Nora Lindqvist"
    text = f"{around} {value[:at]}\u200b{value[at:]} {around}"
    matcher = known(value)
    (first, *_) = matcher.find(text)
    assert matcher.hits(text[first.start : first.end])


@pytest.mark.parametrize(
    "unit", ["a ", "May ", "value number ", "Lindqv", "lindq vist ", "&amp;", ":", "07700 ", "@"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """Ten times the text takes about ten times as long against a thousand values, not a hundred."""
    values = (*(f"value number {i}" for i in range(1000)), "a a a", "May", "+44 7700 900417")
    matcher = known(*values, *(f"Lindqvist {a}{b}" for a in "abcdefgh" for b in "klmnopqr"), type="PERSON")

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            matcher.find(text)
            best = min(best, time.process_time() - start)
        return best

    seconds(1_000)
    assert seconds(50_000) < 40 * max(seconds(5_000), 0.0005)


@pytest.mark.parametrize("value", ["🦊", "👩‍👩‍👧", "C++", "-7", "❤️", "🇩🇪"])
def test_what_is_declared_counts_also_where_it_has_no_letters_to_compare(value: str) -> None:
    """Emoji and letters with signs are found as they stand, escaped and encoded; offsets are exact."""
    matcher = known(value, origin="declared")
    for text in (f"We call it {value} at home.", f"{value}", f"say {value.lower()}!"):
        assert [stretch.casefold() for stretch in found(matcher, text)] == [value.casefold()]
    escaped = "".join(f"&#{ord(char)};" for char in value)
    assert found(matcher, f"say {escaped} now")
    assert found(matcher, f"say {escaped.replace('&', '%26')} now")
    assert len(matcher) == 1
    assert not matcher.hits("Nothing of it stands here, 17 Quiet queues.")
    assert not known(value, origin="field").hits(f"We call it {value} at home.")
    assert not known(value, origin="declared", ignore=[value]).hits(f"We call it {value} at home.")


@pytest.mark.parametrize("name", ["שרה כהןלוי", "محمد الأمين", "सुनीता शर्मा", "タナカ ガクトウ", "ሰላም ተስፋዬ"])
def test_names_in_scripts_without_capitals_are_found_by_their_parts(name: str) -> None:
    """Family name first, and the given name alone: as with Latin names."""
    first, last = name.split()
    matcher = known(name, type="PERSON", origin="declared")
    assert found(matcher, f"write to {last}, {first} now") == [last, first]
    assert found(matcher, f"write to {last} now") == [last]
