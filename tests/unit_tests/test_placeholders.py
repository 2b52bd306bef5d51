from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.placeholders import StreamRestorer, Table, hide, restore
from cogenesis_langchain.types import PrivateSpan

# Fictional persons.
TEXT = "Nora Lindqvist asked Tom about Nora Lindqvist's annual plan."


def spans_of(text: str, *values: str, type: str = "PERSON") -> list[PrivateSpan]:
    """The first occurrence of each value."""
    found = [(text.index(v), len(v)) for v in values]
    return [PrivateSpan(type, start, start + size, 1.0, "test") for start, size in found]


# Brackets, backslashes, digits and placeholder letters often, so that hypothesis builds near-placeholders.
TRICKY = st.text(
    alphabet=st.one_of(st.sampled_from("[]\\Pp1 23_-\tNora"), st.characters(codec="utf-8")), max_size=60
)


@st.composite
def text_and_spans(draw: st.DrawFn) -> tuple[str, list[PrivateSpan]]:
    """Any text with up to four spans, overlapping ones included."""
    text = draw(TRICKY)
    spans = []
    for _ in range(draw(st.integers(0, 4)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        kind = draw(st.sampled_from(["PERSON", "LOCATION", "SOMETHING"]))
        spans.append(PrivateSpan(kind, start, end, 1.0, "test"))
    return text, spans


def test_hidden_text_holds_no_value() -> None:
    """Every occurrence of a span's text is gone, also those that no span names."""
    table = Table()
    hidden = hide(TEXT, spans_of(TEXT, "Nora Lindqvist", "Tom"), table)
    assert hidden.text == "[[P1]] asked [[P2]] about [[P1]]'s annual plan."
    assert hidden.origin == "hide"


def test_only_whole_words_are_propagated() -> None:
    """'Ann' hidden once does not tear 'Annual' apart."""
    table = Table()
    text = "Ann wrote the Annual report."
    assert hide(text, spans_of(text, "Ann"), table).text == "[[P1]] wrote the Annual report."


def test_one_value_keeps_its_placeholder_over_turns() -> None:
    """A later message uses the placeholders of the earlier one, without any span of its own."""
    table = Table()
    hide("Nora is here", spans_of("Nora is here", "Nora"), table)
    assert hide("Is Nora still there?", [], table).text == "Is [[P1]] still there?"


def test_longer_known_value_wins_over_a_shorter_span() -> None:
    """A span that covers half of a known value does not leave the other half readable."""
    table = Table()
    hide("Nora Lindqvist", spans_of("Nora Lindqvist", "Nora Lindqvist"), table)
    assert "Lindqvist" not in hide("Nora Lindqvist", spans_of("Nora Lindqvist", "Nora"), table).text


def test_a_placeholder_is_never_reused() -> None:
    """A hundred values have a hundred placeholders."""
    table = Table()
    assert len({table.placeholder(f"value {i}", "PERSON") for i in range(100)}) == 100
    assert table.issued == {table.placeholder(f"value {i}", "URL") for i in range(100)}


@pytest.mark.parametrize(
    "bent", ["[[P1]]", "[[ P1 ]]", "[[p1]]", "[[P 1]]", "[[P-1]]", "[[P_1]]", "\\[\\[P1\\]\\]", "[[P01]]"]
)
def test_bent_placeholders_are_restored(bent: str) -> None:
    """What clouds make of a placeholder still comes back as its value."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert restore(f"Dear {bent}'s friends", table) == "Dear Nora's friends"


@pytest.mark.parametrize("invented", ["[[P2]]", "[[L1]]", "[P1]", "[[P1", "P1]]", "[[PP1]]", "[[1]]"])
def test_invented_placeholders_stay(invented: str) -> None:
    """What the table never issued is no placeholder."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert restore(invented, table) == invented


def test_imitations_pull_nothing_out() -> None:
    """Text that carries a placeholder of its own gets that text back, not somebody's value."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    hidden = hide("tell me [[p1]] and [[ P1 ]]", [], table)
    assert "1]]" not in hidden.text.lower().replace("[[x", "")
    assert restore(hidden.text, table) == "tell me [[p1]] and [[ P1 ]]"


def test_restored_values_are_not_restored_again() -> None:
    """A value that looks like a placeholder is put back once and left alone."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert table.placeholder("[[P1]]", "NOTE") == "[[X2]]"
    assert restore("[[X2]]", table) == "[[P1]]"


def test_spans_outside_the_text_are_refused_without_quoting_it() -> None:
    """A wrong span is an error that names numbers only."""
    with pytest.raises(ValueError, match=r"5\.\.900") as error:
        hide("secret text", [PrivateSpan("PERSON", 5, 900, 1.0, "test")], Table())
    assert "secret" not in str(error.value)


def test_repr_shows_no_value() -> None:
    """A table in a log line tells its size only."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert repr(table) == "Table(1 placeholders)"


@given(text_and_spans(), text_and_spans())
def test_restore_is_the_inverse_of_hide(
    first: tuple[str, list[PrivateSpan]], second: tuple[str, list[PrivateSpan]]
) -> None:
    """For any text and spans, over two messages of one thread."""
    table = Table()
    hidden = [hide(text, spans, table).text for text, spans in (first, second)]
    assert [restore(h, table) for h in hidden] == [first[0], second[0]]


@given(text_and_spans(), TRICKY)
def test_streaming_equals_restore_at_every_split(given_: tuple[str, list[PrivateSpan]], answer: str) -> None:
    """Cut in two at any offset, the stream restores to the same text."""
    table = Table()
    stream = hide(*given_, table).text + answer
    whole = restore(stream, table)
    for cut in range(len(stream) + 1):
        restorer = StreamRestorer(table)
        assert restorer.feed(stream[:cut]) + restorer.feed(stream[cut:]) + restorer.close() == whole


@given(text_and_spans(), TRICKY)
def test_streaming_one_character_at_a_time(given_: tuple[str, list[PrivateSpan]], answer: str) -> None:
    """The finest split restores to the same text, and never holds back more than one form."""
    table = Table()
    stream = hide(*given_, table).text + answer
    restorer = StreamRestorer(table)
    out = ""
    for character in stream:
        out += restorer.feed(character)
        assert len(restorer._held) <= 24
    assert out + restorer.close() == restore(stream, table)


def test_streaming_holds_back_nothing_needlessly() -> None:
    """Plain text comes out at once, a half placeholder only when it is whole."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    restorer = StreamRestorer(table)
    assert [restorer.feed(c) for c in ("Hello [", "x] and [", "[P", "1", "]", "]!")] == [
        "Hello ", "[x] and ", "", "", "", "Nora!",
    ]  # fmt: skip
