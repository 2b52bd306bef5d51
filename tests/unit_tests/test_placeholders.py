from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.forms import FORM, IMITATION, LONGEST
from cogenesis_langchain.placeholders import StreamRestorer, Table, blanked, hide, restore, restore_json
from cogenesis_langchain.types import PrivateSpan

# Fictional persons.
TEXT = "Nora Lindqvist asked Tom about Nora Lindqvist's annual plan."


def spans_of(text: str, *values: str, type: str = "PERSON") -> list[PrivateSpan]:
    """The first occurrence of each value."""
    found = [(text.index(v), len(v)) for v in values]
    return [PrivateSpan(type, start, start + size, 1.0, "test") for start, size in found]


# Brackets, backslashes, digits and placeholder letters often, so that hypothesis builds near-placeholders.
TRICKY = st.text(
    alphabet=st.one_of(st.sampled_from("[]\\Pp1 23_-.'s*\tNora［］【】\u200b"), st.characters(codec="utf-8")),
    max_size=60,
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
    "bent",
    [
        "[[P1]]", "[[ P1 ]]", "[[p1]]", "[[P 1]]", "[[P-1]]", "[[P_1]]", "\\[\\[P1\\]\\]", "[[P01]]",
        "[[**P1**]]", "[[`P1`]]", "[[_p1_]]", "［［P1］］", "【【P1】】", "［［Ｐ１］］",
        "[[P1.1]]", "[[\u00a0P1]]",
    ],
)  # fmt: skip
def test_bent_placeholders_are_restored(bent: str) -> None:
    """What clouds make of a placeholder still comes back as its value."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert restore(f"Dear {bent}'s friends", table) == "Dear Nora's friends"


def test_the_longest_form_is_restored_wherever_it_is_cut() -> None:
    """Nothing of it is shown early, however much of it stands in the first chunk."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    longest = "\\[\\[ \t**`P-000000001.0001's`**  \\]\\]"
    assert len(longest) == LONGEST
    stream = f"Dear {longest} guests"
    for cut in range(len(stream) + 1):
        restorer = StreamRestorer(table)
        pieces = [restorer.feed(stream[:cut]), restorer.feed(stream[cut:]), restorer.close()]
        assert "".join(pieces) == "Dear Nora's guests"


def test_an_ending_inside_the_brackets_stays_behind_the_value() -> None:
    """`[[P1's]]` is what a cloud makes of a genitive."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert restore("[[P1's]] and **[[P1]]** and [[p1’s]]", table) == "Nora's and **Nora** and Nora’s"


@pytest.mark.parametrize(
    "invented",
    [
        "[[P2]]",
        "[[L1]]",
        "[P1]",
        "[[P1",
        "P1]]",
        "[[PP1]]",
        "[[1]]",
        "[[P1.2]]",
        "[[P1.]]",
        "[[P1 2]]",
        "[ [P1]]",
    ],
)
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
        assert len(restorer._held) < LONGEST
    assert out + restorer.close() == restore(stream, table)


def test_streaming_holds_back_nothing_needlessly() -> None:
    """Plain text comes out at once, a half placeholder only when it is whole."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    restorer = StreamRestorer(table)
    assert [restorer.feed(c) for c in ("Hello [", "x] and [", "[P", "1", "]", "]!")] == [
        "Hello ", "[x] and ", "", "", "", "Nora!",
    ]  # fmt: skip


def test_spellings_of_one_value_share_its_number() -> None:
    """The cloud sees that NORA is Nora, and each comes back as it was written."""
    table = Table()
    text = "Nora Berg, NORA BERG, nora_berg and N o r a  B e r g; but not Tom."
    hidden = hide(text, spans_of(text, "Nora Berg", "Tom"), table).text
    assert hidden == "[[P1]], [[P1.2]], [[P1.3]] and [[P1.4]]; but not [[P2]]."
    assert restore(hidden, table) == text
    assert restore("[[ p1.2 ]] of [[P1.9]]", table) == "NORA BERG of [[P1.9]]"
    assert table.placeholder("Nora Berg's", "PERSON") == "[[P1.5]]"


def test_a_value_is_found_again_in_any_spelling_and_by_its_parts() -> None:
    """What was private once is private in a later message, however it is spelt there."""
    table = Table()
    hide("Nora Lindqvist", spans_of("Nora Lindqvist", "Nora Lindqvist"), table)
    later = "nora lindqvist, N\u200bora Lindqvist, NoraLindqvist.pdf and Mrs Lindqvist"
    hidden = hide(later, [], table).text
    assert "indqvist" not in hidden.lower()
    assert restore(hidden, table) == later


def test_a_common_word_is_found_again_as_it_was_spelt() -> None:
    """May hidden once is May everywhere; a verb in small letters is none of hers."""
    table = Table()
    hide("Ask May", spans_of("Ask May", "May"), table)
    assert hide("May is here, as well she may.", [], table).text == "[[P1]] is here, as well she may."


def test_two_persons_never_share_a_placeholder() -> None:
    """A common surname does not make one person of two."""
    table = Table()
    text = "Nora Lindqvist met Tom Lindqvist."
    assert hide(text, spans_of(text, "Nora Lindqvist", "Tom Lindqvist"), table).text == "[[P1]] met [[P2]]."


@pytest.mark.parametrize(
    "imitation",
    [
        "[[p1]]",
        "[\u200b[P1]]",
        "[［P1］]",
        "\\[\\[P1\\]\\]",
        "[[P\u00ad1]]",
        "[[P1's]]",
        "【【Ｐ１】】",
        "\\[[P1]\\]",
    ],
)
def test_whatever_a_cloud_could_make_a_placeholder_of_is_hidden(imitation: str) -> None:
    """Also what is none yet: the cloud may drop an invisible character or even out the brackets."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    hidden = hide(f"write {imitation} here", [], table)
    assert hidden.text == "write [[X2]] here"
    assert restore(hidden.text, table) == f"write {imitation} here"
    assert table.values() == ("Nora",)  # an imitation is nobody's secret


def test_a_taken_over_table_goes_on_where_it_was() -> None:
    """Numbers and spellings continue behind what was issued before, and nothing is issued twice."""
    before, table = Table(), Table()
    pairs = [(before.placeholder(v, "PERSON"), v) for v in ("Nora", "NORA", "Tom")]
    table.adopt(pairs)
    assert [table.placeholder(v, "URL") for v in ("Nora", "nora", "Ada")] == ["[[P1]]", "[[P1.3]]", "[[U3]]"]
    assert hide("Is Tom there?", [], table).text == "Is [[P2]] there?"
    with pytest.raises(ValueError, match="second value") as error:
        table.adopt([("[[P2]]", "Bram Oosterling")])
    assert "Bram" not in str(error.value)


def test_arguments_of_a_tool_are_restored_in_keys_and_strings() -> None:
    """JSON stays JSON whatever the value holds, and what is put back is not read again."""
    table = Table()
    table.placeholder('Nora "the fox" \\ Berg', "PERSON")
    table.placeholder("[[P1]]", "NOTE")
    given = {"to": ["[[P1]]", "[[ p1 ]]'s", 3, None], "[[P1]]": {"x": "[[X2]] [[P7]]"}}
    nora = 'Nora "the fox" \\ Berg'
    assert restore_json(given, table) == {
        "to": [nora, f"{nora}'s", 3, None],
        nora: {"x": "[[P1]] [[P7]]"},
    }


def test_only_issued_placeholders_are_blank_to_a_detector() -> None:
    """A text that imitates a placeholder cannot hide a word from the second look."""
    table = Table()
    table.placeholder("Nora", "PERSON")
    assert blanked("Hi [[P1]] and [[P2]] and [[ P1 ]]", table) == "Hi        and [[P2]] and [[ P1 ]]"


@given(TRICKY)
def test_every_form_is_an_imitation(text: str) -> None:
    """What restore would read as a placeholder, hide takes out of a text first."""
    for form in FORM.finditer(text + "[[ *P_1.2's* ]]" + text):
        assert IMITATION.fullmatch(form[0])


_WHOLE = [
    blank + mark + letter + joint + number + more + mark + blank
    for blank in ("", " ") for mark in ("", "**") for letter in "Px" for joint in ("", "-")
    for number in ("1", "12") for more in ("", ".3", "'s")
]  # fmt: skip
_WHOLE = [
    o + inside + c for inside in _WHOLE for o, c in (("[[", "]]"), (r"\[\[", r"\]\]"), ("【【", "】】"))
]


@given(st.lists(st.sampled_from([*_WHOLE, "word ", "[", "\\", "x] "]), max_size=4).map("".join), st.data())
def test_what_is_held_back_may_still_become_a_placeholder(text: str, data: st.DataObject) -> None:
    """No character waits without need: some ending would make a placeholder of exactly what is held."""
    restorer = StreamRestorer(Table())
    restorer.feed(text[: data.draw(st.integers(0, len(text)))])
    held = restorer._held
    endings = {
        "",
        "]]",
        "P1]]",
        r"\[P1\]\]",
        r"[P1\]\]",
        r"\]\]",
        r"]\]",
        "[P1]]",
        "1]]",
        "【P1】】",
        "】】",
        "]",
        "】",
    }
    endings |= {r"P1\]\]", r"1\]\]", r"\]", "P1】】", "1】】", "[\\[P1\\]\\]"}
    assert not held or any(FORM.fullmatch(held + ending) for ending in endings), held


def test_hostile_text_is_read_in_linear_time() -> None:
    """Ten times as much of what is almost a placeholder takes about ten times as long."""
    import time

    def seconds(piece: str, times: int) -> float:
        table, text = Table(), piece * times
        table.placeholder("Nora", "PERSON")
        begun = time.thread_time()
        restorer = StreamRestorer(table)
        restorer.feed(text)
        hide(text, [], table)
        return time.thread_time() - begun

    for piece in ("[", "[[", "[[P", "[[P1", "[[P123456789 ", "\\[", "[[**", "[\u200b"):
        short = min(seconds(piece, 1_000) for _ in range(3))
        assert min(seconds(piece, 10_000) for _ in range(3)) < 40 * short + 0.05, piece
