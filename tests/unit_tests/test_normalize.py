from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.normalize.canonical import canonical, fold, readable, squeeze, views


@pytest.mark.parametrize(
    "spelling",
    [
        "Nora Bergström",
        "NORA BERGSTRÖM",
        "nora   bergström",
        "Nora\nBergström",
        "Nora-Bergström",
        "nora_bergstrom",
        "noraBergstrom",
        "Ｎｏｒａ Ｂｅｒｇｓｔｒｏｍ",
        "No\u200bra Berg\u00adstro\u0308m",
        "N\u0301ora Bergstrom",
        "  «Nora» (Bergstrom)!",
    ],
)
def test_spellings_of_one_value_become_one(spelling: str) -> None:
    """Case, accents, width, invisible characters and separators make no difference."""
    assert fold(spelling) == "nora bergstrom"


def test_squeezing_joins_spaced_letters() -> None:
    """Letters set apart are the same as the word."""
    assert squeeze("N o r a") == squeeze("n.o.r.a") == "nora"


@pytest.mark.parametrize(
    "text",
    [
        "Caf&eacute; N&#111;ra",
        quote("Café Nora"),
        json.dumps("Café Nora"),
        "Caf\\u00e9\\u0020Nora",
        "Caf\\xe9 N\\x6fra",
        html.escape(html.escape("Caf&eacute; Nora")),
    ],
)
def test_escapes_are_decoded_in_a_further_view(text: str) -> None:
    """Entities, percent and JSON escapes are read, also when escaped twice."""
    assert "cafe nora" in [" ".join(view.text.split()) for view in views(text)]


def test_decoding_never_replaces_the_plain_view() -> None:
    """A path whose parts look like escapes is read as it stands, too."""
    assert next(views("C:\\nora\\tom")).text == "c  nora tom"


def test_surrogate_pairs_and_broken_escapes_do_no_harm() -> None:
    """Half a pair, a cut escape and an unknown entity are survived."""
    for text in ("\\ud83d\\ude00", "\\ud83d", "&nosuch;", "%f", "%ff", "&#99999999;", "&#xffffff;"):
        list(views(text))


def test_span_points_at_the_original() -> None:
    """The way back covers escapes, accents and invisible characters whole."""
    text = "to N\u200bo&#114;a\u0301!"
    view = list(views(text))[-1]
    start = view.text.index("nora")
    begin, end = view.span(start, start + 4)
    assert text[begin:end] == "N\u200bo&#114;a\u0301"


def test_an_empty_stretch_is_refused() -> None:
    """A span of nothing is a mistake of the caller."""
    with pytest.raises(ValueError, match="no stretch"):
        canonical("Nora").span(2, 2)


@given(st.text(max_size=80))
def test_maps_are_sound_for_any_text(text: str) -> None:
    """Every canonical character maps to a stretch inside the text, in order, in every view."""
    for view in views(text):
        assert len(view.text) == len(view.starts) == len(view.ends) == len(view.kinds)
        assert all(0 <= start < end <= len(text) for start, end in zip(view.starts, view.ends, strict=True))
        assert list(view.starts) == sorted(view.starts)
        assert all((char == " ") == (kind == " ") for char, kind in zip(view.text, view.kinds, strict=True))


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("N\u200bora Lind\u00adqvist", "Nora Lindqvist"),
        ("Ｎｏｒａ Ｌｉｎｄ, ５!", "Nora Lind, 5!"),
        ("𝐍𝐨𝐫𝐚 Ⓛⓘⓝⓓ", "Nora Lind"),
        ("N\u043er\u0430 Lindqvist", "Nora Lindqvist"),
        ("\u0421\u043e\u0440\u0435 Lindqvist", "Cope Lindqvist"),
        ("\u1d0f\u029f\u1d00\ua730 Lindqvist", "olaf Lindqvist"),
        ("Zoe\u0308 Z\u0337a\u0337c\u0337", "Zoë Zac"),
        ("N o r a  L i n d, or N-o-r-a L i n d", "Nora  Lind, or Nora Lind"),
        ("N o r a L i n d", "Nora Lind"),
        ("N&#111;ra&nbsp;Lind%20Berg", "Nora Lind Berg"),
        ("A\U000e0041nn\ufe0f", "Ann"),
    ],
)
def test_disguised_text_becomes_readable(text: str, reads: str) -> None:
    """A model sees plain letters, with their case, and every one leads back to where it stood."""
    form = readable(text)
    assert form.text == reads
    begin, end = form.span(0, len(form))
    assert begin == 0
    assert text[end - 1] == text[-1]


@pytest.mark.parametrize(
    "text",
    [
        "Dear Nora, it's 5 o'clock (UTC+1): bring 2 x 3 chairs & a C:\\new\\file!",
        "“Zoë” met François Müller — at the café… ½ price, 20 °C, Acme™",
        "Пришла Соня, сосед и Ната",
        "王伟说 가나다 さくら नमस्ते",
    ],
)
def test_honest_text_is_readable_as_it_stands(text: str) -> None:
    """Nothing is changed in text without disguise, in any script."""
    assert readable(text).text == text


def test_readable_letters_set_apart_map_one_by_one() -> None:
    """A name among spaced letters is cut out without its neighbours."""
    text = "by N o r a L i n d now"
    form = readable(text)
    begin, end = form.span(3, 7)
    assert text[begin:end] == "N o r a"


@given(st.text(max_size=80))
def test_readable_maps_are_sound_for_any_text(text: str) -> None:
    """Every readable character maps to a stretch inside the text, in order."""
    form = readable(text)
    assert len(form.text) == len(form.starts) == len(form.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(form.starts, form.ends, strict=True))
    assert list(form.starts) == sorted(form.starts)


@given(st.text(max_size=80))
def test_folding_is_stable(text: str) -> None:
    """The canonical form of a canonical form is itself."""
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    "unit",
    ["&#38;#38;", "%25", "\\", "\u0301", ":", "aA", "&amp;", "\U0001f600", "<a", "=\n", "@", "Tm9yYSBW",
     "4e ", "x/y_z+0", "N o r a ", "\u200b", "\u0430a", "\u1100", "\ufe0f"],
)  # fmt: skip
@pytest.mark.parametrize("read", [lambda text: list(views(text)), readable])
def test_hostile_text_takes_linear_time(unit: str, read: Callable[[str], object]) -> None:
    """Ten times the text takes about ten times as long, not a hundred."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            read(text)
            best = min(best, time.process_time() - start)
        return best

    seconds(1_000)
    assert seconds(50_000) < 40 * max(seconds(5_000), 0.0005)


def test_encodings_within_encodings_are_bounded() -> None:
    """A bomb of base64 within base64 is read to its bound and no further."""
    text = "Nora Lindqvist " * 500
    for _ in range(6):
        text = base64.b64encode(text.encode()).decode()
    assert 2 <= len(list(views(text))) <= 10
