"""Every disguise of a known value is undone, wherever it stands, and its whole stretch is covered."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.types import KnownValue

VALUES = {
    "Nora Lindqvist": "PERSON",
    "Nora": "PERSON",
    "Tess": "PERSON",
    "Ann": "PERSON",
    "Zoë Ångström": "PERSON",
    "Łukasz Żółty": "PERSON",
    "Иван Петров": "PERSON",
    "nora.lindqvist@vexmoor.org": "EMAIL_ADDRESS",
    "tess_88@example.net": "EMAIL_ADDRESS",
    "+44 7700 900417": "PHONE_NUMBER",
    "(212) 555-0142": "PHONE_NUMBER",
    "14 Juniper Lane, Harbourfield": "LOCATION",
    "Harbour Row Bakery": "ORGANIZATION",
    "the copper heron": "PHRASE",
    "AC-4417-9923": "ID",
}
LOOKS = dict(
    zip(
        "aceopxyisjhkmtbvAEOPCHKMTBX",
        "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0455\u0458\u04bb\u03ba\u043c\u0442\u044c\u03bd"
        "\u0410\u0415\u039f\u03a1\u0421\u041d\u039a\u041c\u0422\u0392\u03a7",
        strict=True,
    )
)
LEET = dict(zip("aeiost", "431057", strict=True))
SIGNS = dict(zip("aeos", "@30$", strict=True))


def words(value: str) -> list[str]:
    """The runs of letters and digits."""
    return re.findall(r"[^\W_]+", value)


def swapped(value: str, table: dict[str, str]) -> str:
    """Characters replaced, whatever their case."""
    return "".join(table.get(char, table.get(char.lower(), char)) for char in value)


def wide(value: str) -> str:
    """In full width."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)


def styled(value: str, upper: int, lower: int) -> str:
    """In styled letters, given where their alphabets begin."""
    shift = {
        **{chr(65 + i): chr(upper + i) for i in range(26)},
        **{chr(97 + i): chr(lower + i) for i in range(26)},
    }
    return "".join(shift.get(c, c) for c in value)


def escaped(value: str, form: str) -> str:
    """Each byte of the UTF-8 form written as `form`."""
    return "".join(form.format(byte) for byte in value.encode())


WHOLE: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "zero-width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "bidi marks": lambda v: f"\u202e{v}\u202c",
    "tag noise": "\U000e0041".join,
    "variation selectors": "\ufe0f".join,
    "full width": wide,
    "bold": lambda v: styled(v, 0x1D400, 0x1D41A),
    "circled": lambda v: styled(v, 0x24B6, 0x24D0),
    "look-alikes": lambda v: swapped(v, LOOKS),
    "combining": lambda v: "".join(c + "\u0301\u0337" if c.isalnum() else c for c in v),
    "spaced": " ".join,
    "spaced words": lambda v: "   ".join(" ".join(word) for word in v.split()),
    "dotted": lambda v: ".".join("".join(v.split())),
    "leet": lambda v: swapped(v, LEET),
    "signs": lambda v: swapped(v, SIGNS),
    "newline": lambda v: v[: len(v) // 2] + "\n" + v[len(v) // 2 :],
    "hyphenated": lambda v: v[:2] + "-\n" + v[2:],
    "entities": lambda v: "".join(f"&#{ord(c)};" if c.isalnum() else c for c in v),
    "hex entities": lambda v: "".join(f"&#x{ord(c):x};" if c.isalnum() else c for c in v),
    "named entities": lambda v: html.escape(v).replace(" ", "&nbsp;"),
    "percent": lambda v: "".join(escaped(c, "%{:02X}") if c.isalnum() else c for c in v),
    "JSON escapes": lambda v: json.dumps(v, ensure_ascii=True),
    "JSON twice": lambda v: json.dumps(json.dumps(v)),
    "\\u": lambda v: "".join(f"\\u{ord(c):04x}" for c in v),
    "\\x": lambda v: escaped(v, "\\x{:02x}"),
    "octal": lambda v: escaped(v, "\\{:03o}"),
    "quoted-printable": lambda v: escaped(v, "={:02X}"),
    "tags": lambda v: "".join(chr(0xE0000 + ord(c)) if c.isascii() else c for c in v),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
    "base64 of a sentence": lambda v: base64.b64encode(f"I am with {v} today".encode()).decode(),
    "base64 twice": lambda v: base64.b64encode(base64.b64encode(v.encode())).decode(),
    "hexadecimal": lambda v: v.encode().hex(),
    "snake_case": lambda v: "_".join(words(v)).lower(),
    "UPPER_SNAKE": lambda v: "_".join(words(v)).upper(),
    "kebab-case": lambda v: "-".join(words(v)).lower(),
    "CamelCase": lambda v: "".join(word[:1].upper() + word[1:].lower() for word in words(v)),
    "markup inside": lambda v: f"{v[:2]}<b>{v[2:]}</b>",
    "emphasis inside": lambda v: f"{v[:2]}**{v[2:]}**",
}
"""Transforms after which everything that says something belongs to the value."""

INSIDE: dict[str, Callable[[str], str]] = {
    "file name": lambda v: "/home/me/report_" + "_".join(words(v)) + "_final.pdf",
    "joined file name": lambda v: "".join(words(v)).lower() + "-draft.jpg",
    "numbered file name": lambda v: "IMG-" + "".join(words(v)) + ("2024.jpg" if v[-1].isalpha() else ".jpg"),
    "URL": lambda v: f"https://example.org/find?who={quote(v.lower())}&page=2",
    "URL with plus": lambda v: f"https://example.org/find?who={v.replace(' ', '+')}",
    "JSON arguments": lambda v: json.dumps({"arguments": json.dumps({"to": v, "count": 2})}),
    "JSON key": lambda v: json.dumps({"_".join(words(v)).lower() + "_count": 2}),
    "plural": lambda v: v + "s" if v[-1].isalpha() and len(v) > 2 else v,
    "genitive": lambda v: v + "'s",
    "mention": lambda v: "@" + "".join(words(v)),
}
"""Transforms that put something of their own around the value."""


@pytest.mark.parametrize("origin", ["declared", "field"])
@pytest.mark.parametrize("name", [*WHOLE, *INSIDE])
def test_every_disguise_of_every_value_is_undone(name: str, origin: Literal["declared", "field"]) -> None:
    """No spelling of a threat hides a value, and nothing around it is taken for it."""
    before, after = "Please tell them that ", " comes by train tomorrow."
    for value, type_ in VALUES.items():
        text = before + {**WHOLE, **INSIDE}[name](value) + after
        spans = KnownValues([KnownValue(value, type_, origin)]).find(text)
        assert spans, value
        assert all(len(before) <= span.start and span.end <= len(text) - len(after) for span in spans), value
        if name in WHOLE:
            covered = {i for span in spans for i in range(span.start, span.end)}
            left = [text[i] for i in range(len(before), len(text) - len(after)) if i not in covered]
            assert not [char for char in left if char.isalnum()], value


@settings(max_examples=300)
@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.sampled_from(sorted(VALUES)),
    st.sampled_from([*WHOLE, *INSIDE]),
)
def test_a_disguise_is_undone_whatever_stands_around(before: str, after: str, value: str, name: str) -> None:
    """Any text, hostile too, may stand beside the value."""
    disguised = {**WHOLE, **INSIDE}[name](value)
    assert KnownValues([KnownValue(value, VALUES[value], "declared")]).hits(
        f"{before} \n {disguised} \n {after}"
    )


@pytest.mark.parametrize("inner", ["lower", "zero-width", "full width", "look-alikes", "leet", "spaced"])
@pytest.mark.parametrize("outer", ["hex entities", "percent", "JSON escapes", "\\u", "base64", "hexadecimal"])
def test_two_disguises_at_once(inner: str, outer: str) -> None:
    """An encoding may lie on top of disguised letters."""
    text = f"for {WHOLE[outer](WHOLE[inner]('Nora Lindqvist'))} only"
    assert KnownValues([KnownValue("Nora Lindqvist", "PERSON", "field")]).hits(text)
