from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.normalize.escapes import ROUNDS, rounds, without_markup
from cogenesis_langchain.normalize.mapped import plain


def last(text: str) -> str:
    """What is left when all rounds are done."""
    return [form.text for form in rounds(plain(text))][-1]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("N&#111;r&#x61;&nbsp;&amp;", "Nora\xa0&"),
        ("Z%C3%BCrich, Z%FCrich", "Zürich, Zürich"),
        (r"Z\u00fcrich \ud83d\ude00", "Zürich \U0001f600"),
        (r"Z\xc3\xbcrich Z\xfcrich Z\303\274rich", "Zürich Zürich Zürich"),
        (r"\u{4e}ora \U0000004eora", "Nora Nora"),
        (r"a\\z \"c\"", 'a\\z "c"'),
        ("Z=C3=BCrich, a long =\nline", "Zürich, a long line"),
        ("N<b class='x'>o</b>ra<br>", "Nora"),
        ("\U000e004e\U000e006f\U000e0072\U000e0061", "Nora"),
        ("\U0001f600" + "".join(chr(0xE0100 + byte - 16) for byte in b"Nora"), "\U0001f600Nora"),
        ("\u1100\u1161\u11ab", "간"),
        ("by Tm9yYQ==, QW5u and Tm9yYSBMaW5kcXZpc3Q", "by Nora, Ann and Nora Lindqvist"),
        ("/data/w6TDtsO8w5_igqw/x", "/data/äöüß€/x"),
        ("http://xn--mller-kva.example/", "http://müller.example/"),
        ("=?UTF-8?B?TsO2cmE=?= =?utf-8?Q?N=C3=B6ra?=", "=?UTF-8?B?Nöra?= =?utf-8?Q?Nöra?="),
        ("ce 9f ce b4 CF:85, cb:c0", "Οδυ, cb:c0"),
        ("4e6f7261 4e 6f 72 61 0x4e6f7261 4e:6f:72:61", "Nora Nora Nora Nora"),
    ],
)
def test_escapes_and_encodings_are_read(escaped: str, text: str) -> None:
    """Everything that a program writes text in becomes the text."""
    assert last(escaped) == text


def test_mail_wraps_base64() -> None:
    """Lines of an encoded mail are one text."""
    text = "Dear friends, the party of Nora Lindqvist is in the garden. " * 4
    assert last(base64.encodebytes(text.encode()).decode()).strip() == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "Nora", "iPhone McDonald NASA", "a%zz &nosuch; \\q =ZZ <3 x<y", "\\ud83d", "2024-11-22", "abcd1234",
     "da39a3ee5e6b4b0d3255bfef95601890afd80709", "A&B;", "\ufe0f", "https://example.org/a/b?c=d"],
)  # fmt: skip
def test_what_is_not_encoded_stays(text: str) -> None:
    """Broken escapes, hashes and ordinary words are not decoded into something else."""
    assert last(text).replace("\ufffd", "\\ud83d") == text


@pytest.mark.parametrize("encode", [quote, lambda t: base64.b64encode(t.encode()).decode()])
def test_nested_encodings_are_read_to_a_bound(encode: object) -> None:
    """As many layers as there are rounds are undone, and no more work is done."""
    text = "Nora & Löw"
    for _ in range(ROUNDS):
        text = encode(text)  # type: ignore[operator]
    assert last(text) == "Nora & Löw"
    for _ in range(20):
        text = encode(text) if len(text) < 50_000 else text  # type: ignore[operator]
    assert len(list(rounds(plain(text)))) <= 3 * ROUNDS + 1


@pytest.mark.parametrize("below", ["Bye", "Best wishes", "Thanks"])
@pytest.mark.parametrize("text", ["Nora Löw, who lives in the old house with two cats", "Zoë " * 20])
def test_encoded_lines_end_where_the_letter_goes_on(text: str, below: str) -> None:
    """The word below a long encoded line is no part of it, encoded once or twice, wrapped or not."""
    once = base64.b64encode(text.encode())
    for encoded in (once.decode(), base64.b64encode(once).decode(), text.encode().hex()):
        assert text in last(f"Hello,\n{encoded}\n{below}\n")
    assert text.split()[0] in last(f"Hello,\n{base64.encodebytes(text.encode()).decode()}{below}\n")


def test_steps_come_one_by_one() -> None:
    """Every form is given: a later step may hide what an earlier one shows."""
    assert {"Tm9yYQ==", "Nora"} <= {form.text for form in rounds(plain("%54m9yYQ%3D%3D"))}
    assert "Idan" in [form.text for form in rounds(plain("&#73;dan"))]  # whose letters are base64, too
    assert any("Nora" in form.text for form in rounds(plain("Tm9yYQ=\n&amp;")))  # padding, no soft line break


def test_markup_alone_is_read_for_models() -> None:
    """Readable text keeps tokens, tags and paths, and loses entities and percent escapes at any depth."""
    text = r"C:\new <b>N&amp;#111;ra</b> %2520 Tm9yYQ=="
    assert without_markup(plain(text)).text == r"C:\new <b>Nora</b>   Tm9yYQ=="


@given(st.text(alphabet="&#%\\<>=;uxUX0149aAfFnN{}+/_- \n\u1100\ufe0f\U000e0041", max_size=60))
def test_maps_are_sound_whatever_is_escaped(text: str) -> None:
    """Every decoded character leads to a stretch of the original, in order."""
    for form in rounds(plain(text)):
        assert len(form.text) == len(form.starts) == len(form.ends)
        assert all(0 <= start < end <= len(text) for start, end in zip(form.starts, form.ends, strict=True))
        assert list(form.starts) == sorted(form.starts)
