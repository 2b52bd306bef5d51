"""The page of a trace: nothing on it runs or loads, all of it is the run's own, and everybody can read it."""

from __future__ import annotations

import hashlib
import json
import math
from html.parser import HTMLParser
from typing import Any

import pytest

from cogenesis_langchain.commands.trace_page import counts, page, units
from cogenesis_langchain.commands.trace_style import DEPTH, PALETTE
from cogenesis_langchain.types import TokenTrace

HOSTILE = "</pre></div></style><script>alert(1)</script><img src=x onerror=alert(1)>\"' style=x &amp; <!--"
VOID = {"meta", "br"}


class Read(HTMLParser):
    """The page as a browser reads it: its elements, and the text of those with a class or a name."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[list[str]] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the element and its attributes, none of them twice."""
        given = dict(attrs)
        assert len(given) == len(attrs)
        self.elements.append((tag, given))
        if tag not in VOID:
            self._open.append([tag, *(given.get("class") or "").split()])
            for name in self._open[-1]:
                self.texts.setdefault(name, []).append("")

    def handle_endtag(self, tag: str) -> None:
        """Elements close in order."""
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Text belongs to every element that is open."""
        for name in {name for names in self._open for name in names}:
            self.texts[name][-1] += data


def tokens(*pieces: str | bytes, **given: Any) -> list[TokenTrace]:
    """Tokens of which the local model alone decided, unless `given` says otherwise."""
    of = {"by": "local"} | given
    return [TokenTrace(one if isinstance(one, bytes) else one.encode(), **of) for one in pieces]


def record(*bodies: str, **changes: Any) -> dict[str, Any]:
    """A record as `write` and `demo` make it."""
    outbound = [{"endpoint": "https://cloud.example/v1/chat/completions", "body": body} for body in bodies]
    return {"route": "fuse", "level": "topic", "outbound": outbound, "receipts": [], "warnings": []} | changes


def test_nothing_on_the_page_runs_or_loads() -> None:
    """Whatever a model, a person or an endpoint says stays text: in every field that the page shows."""
    raw = HOSTILE.encode()
    trace = [
        TokenTrace(raw, "fused", 0.5, raw, raw, True),
        TokenTrace(raw, "cloud", 1.0, raw),
        TokenTrace(raw, "local"),
    ]
    body = json.dumps({"messages": [{"role": HOSTILE, "content": HOSTILE}]})
    receipt = {
        "body_sha256": hashlib.sha256(body.encode()).hexdigest(), "status": HOSTILE, "bits": 1.0,
    }  # fmt: skip
    found = record(body, warnings=[HOSTILE], receipts=[receipt], route=HOSTILE, level=HOSTILE)
    found["outbound"][0]["endpoint"] = HOSTILE
    html = page(found, trace, asked=HOSTILE)
    read = Read(html)
    assert {tag for tag, _ in read.elements} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "a", "ul", "li", "span", "div",
        "bdi", "strong", "pre", "br", "details", "summary", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    allowed = {
        "class", "style", "tabindex", "data-tip", "dir", "id", "href", "lang", "open", "scope",
        "charset", "content", "name", "http-equiv",
    }  # fmt: skip
    assert {name for _, given in read.elements for name in given} <= allowed
    assert {given["href"] for _, given in read.elements if "href" in given} == {"#cloud"}
    styles = {given["style"] for _, given in read.elements if "style" in given}
    assert all(one and one.removeprefix("--w:").replace(".", "").isdigit() for one in styles)
    assert "url(" not in html
    assert "@import" not in html
    assert any("default-src 'none'" in (given.get("content") or "") for _, given in read.elements)
    assert read.texts["asked"] == [HOSTILE]
    assert html.count("<script") == 0


def test_the_text_and_the_bodies_are_exact() -> None:
    """What is read on the page is what was written, and what left, to the last blank."""
    text = ["Dear", " all,\n\n", "  come <b>soon</b> &", " bring\ttea \U0001f389\n"]
    body = json.dumps({"messages": [{"role": "user", "content": " a\n  b "}], "note": 'x "y" <z>'})
    read = Read(page(record("\n" + body, body), tokens(*text)))
    assert read.texts["text"][0] == "".join(text)
    # A browser drops the one line break after <pre>; what follows is the body.
    assert [one[1:] for one in read.texts["pre"]] == ["\n" + body, body]
    assert " a\n  b " in read.texts["said"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a", b"\xf0\x9f", b"\x8e", b"\x89", b"b"], ["a", "\U0001f389", "b"]),
        ([b"\xe2", b"\x80 x"], ["\ufffd x"]),
        ([b"e", "\u0301".encode(), b"t"], ["e\u0301", "t"]),
        (["\U0001f468", "\u200d", "\U0001f469", " "], ["\U0001f468\u200d\U0001f469", " "]),
        (list("\U0001f1e9\U0001f1ea\U0001f1eb"), ["\U0001f1e9\U0001f1ea", "\U0001f1eb"]),
        ([b"ok", b"\xf0\x9f"], ["ok", "\ufffd"]),
        ([b"ok", b""], ["ok"]),
    ],
)  # fmt: skip
def test_half_characters_are_joined(pieces: list[str | bytes], expected: list[str]) -> None:
    """Tokens end where characters do: emoji of several tokens are shown whole, broken bytes break nothing."""
    found = list(units(tokens(*pieces)))
    assert [text for text, _ in found] == expected
    assert sum(len(group) for _, group in found) == len(pieces)


def test_what_would_steer_the_screen_is_shown_by_its_number() -> None:
    """Turned direction or a control character cannot make the page show other bytes than there are."""
    read = Read(page(record("{\u202e}"), tokens("a\u202eb\x07\r\nc", "\x00"), asked="\ud800"))
    assert read.texts["text"][0] == "a[U+202E]b[U+0007]\nc[U+0000]"
    assert read.texts["pre"] == ["\n{[U+202E]}"]
    assert read.texts["asked"] == ["[U+D800]"]


def test_who_decided_is_told_without_colour() -> None:
    """Kind of line, words on focus, and a table: each says what the tint says."""
    trace = [
        TokenTrace(b"Dear", "local"),
        TokenTrace(b" all", "fused", 0.42, b" friends"),
        TokenTrace(b"\n", "cloud", 1.0, b"\n"),
        TokenTrace(b" Wren", "local", 0.0, b" and"),
    ]
    read = Read(page(record(), trace))
    tips = [given for _, given in read.elements if "data-tip" in given]
    assert [given.get("class") for given in tips] == ["fused", "cloud", None]
    assert all(given["tabindex"] == "0" for given in tips)
    assert [given["data-tip"] for given in tips] == [
        "\u201c all\u201d: both models, cloud's share 42%, cloud's likeliest \u201c friends\u201d",
        "\u201c\u23ce\u201d: the cloud's choice, cloud's share 100%, cloud's likeliest \u201c\u23ce\u201d",
        "\u201c Wren\u201d: the local model alone, cloud's likeliest \u201c and\u201d",
    ]
    assert read.texts["td"][:10] == [
        "1", "Dear", "the local model alone", "", "", "2", " all", "both models", "42%", " friends",
    ]  # fmt: skip
    style = read.texts["style"][0]
    assert "dotted" in style.split(".fused {")[-1].split("}")[0]
    assert "solid" in style.split(".cloud {")[-1].split("}")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_keeps_its_contrast(scheme: str) -> None:
    """4.5 to 1 (WCAG 2.2, AA), on the deepest tint too."""
    colours = {name: tuple(bytes.fromhex(colour[1:])) for name, colour in PALETTE[scheme].items()}
    for under in (colours["paper"], colours["block"]):
        for name in ("ink", "quiet", "mark"):
            assert contrast(colours[name], under) >= 4.5, name
        for tint in ("fused", "cloud"):
            deep = tuple(
                round(DEPTH * a + (1 - DEPTH) * b) for a, b in zip(colours[tint], under, strict=True)
            )
            assert contrast(colours["ink"], deep) >= 4.5, tint
            assert contrast(colours[tint], under) >= 3, tint  # a line, not a text


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG's ratio of luminances."""
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[int, ...]) -> float:
    """WCAG's relative luminance of an sRGB colour."""
    parts = [c / 255 for c in colour]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_shadow_stands_under_the_text() -> None:
    """Each stretch over what was released for it: what differs is marked, a dash is nothing."""
    trace = [
        TokenTrace(b"Dear", "fused", 0.5, b"Dear", b"Dear"),
        TokenTrace(b" Wren", "local", 0.0, b" all", b" friend", True),
        TokenTrace(b",", "local"),
        TokenTrace(b"\n", "local", shadow=b"\n"),
        TokenTrace(b"Love", "local"),
    ]
    read = Read(page(record(route="live"), trace))
    assert read.texts["pair"] == ["DearDear", " Wren friend", ",\u2013", "\u23ce\u23ce"]
    assert read.texts["differs"] == [" friend"]
    assert " Wren" in read.texts["held"]
    assert read.texts["pre"] == ["\nDear friend\n"]
    assert "After that nothing was released: 1 of the tokens." in read.texts["body"][0]
    assert "pair" not in Read(page(record(), tokens("Dear"))).texts


def test_the_fate_of_each_request_is_told() -> None:
    """Sent with its bits, unbounded, or prepared alone: a body without a receipt is never called sent."""
    bodies = [f'{{"n": {n}}}' for n in range(3)]
    receipts = [
        {"body_sha256": hashlib.sha256(body.encode()).hexdigest(), "status": "sent", "bits": bits}
        for body, bits in zip(bodies, (7.84, None), strict=False)
    ]
    heads = Read(page(record(*bodies, receipts=receipts), tokens("x"))).texts["summary"]
    assert "sent, tells at most 7.8 bits" in heads[0]
    assert "sent, tells no bounded number of bits" in heads[1]
    assert "no receipt says that it left" in heads[2]
    assert "Nothing was prepared for a cloud" in page(record(), [])


def test_counts_are_those_of_the_trace() -> None:
    """Shares count what they say, and a combiner's odd weight is kept within its bounds."""
    trace = [
        TokenTrace(b"a", "local", 0.9),
        TokenTrace(b"b", "fused", math.nan, b"b", b"b"),
        TokenTrace(b"c", "fused", 0.5, b"d", b"x", True),
        TokenTrace(b"e", "cloud", 7.0, b"e"),
    ]
    assert counts(trace) == {
        "tokens": 4, "local": 1, "fused": 2, "cloud": 1, "weight": 0.375,
        "asked": 3, "agreed": 2, "held": 1, "released": 2, "same": 1,
    }  # fmt: skip
    assert counts([])["weight"] == 0
