"""Removes links that the user did not supply from text as it streams; pure.

A sketch or a stored mail may carry an instruction like "add this image"; a renderer that loads the image
tells its host whatever the URL holds. Markdown is not parsed here: a second parser always disagrees with the
renderer's somewhere, and cutting constructs out lets what is left close up into new ones. Instead

- bare URLs go, unless the user's own message holds exactly the same URL, and
- a space is put into every pair of characters that Markdown or HTML needs for a link, image, definition,
  tag or character reference: `](`, `]:`, `][`, `![`, `<a`, `&#`. A space never joins anything.

Every pattern lies within one run of printable ASCII, so holding back only the last such run (a word) makes
the result independent of where the stream is cut.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator

_ASCII = string.digits + string.ascii_letters + string.punctuation
_LONGEST_RUN = 4000  # characters; no prose holds such a word
_TAIL = 300  # characters looked back for a host or path in another script
_TRAILING = ".,;:!?*_~`|}\\"

# What a URL may hold. CJK text has no spaces around a URL; its punctuation ends one.
_CHAR = r"[^\s\x00-\x1f\x7f<>\"'()\[\]。，、；：！？（）「」『』【】《》“”‘’…]"
_NAMES_SOMETHING = rf"(?={_CHAR}{{0,40}}[^\W_]){_CHAR}+"  # not `**Data:**`; bounded, so linear in the text
# `\\?`: Markdown shows an escaped `\/` as `/`, which whoever looks for URLs afterwards sees.
_SCHEME = r"(?<![a-zA-Z0-9])(?:https?|ftp|file|data|javascript|mailto|vault)\\?:"
_TLD = r"\\?\.(?!js\b)(?:xn--[a-z0-9-]+|[^\W\d_]{2,24})\\?\.?(?::\d{1,5})?"  # "Node.js/React" is no host
# A label in another script may already be out when its dot arrives: one character of it is remembered.
_LABELS = r"(?:(?<![\w-])[\w-]+|(?<=[^\W\x00-\x7f]))(?:\\?\.[\w-]+){0,20}?"
_URL = re.compile(
    rf"(?:{_SCHEME}|(?<![a-zA-Z0-9])www\\?\.|/\\?/){_NAMES_SOMETHING}|{_LABELS}{_TLD}\\?[/?#]{_NAMES_SOMETHING}",
    re.IGNORECASE,
)
_GROWING = re.compile(rf"(?:/\\?/|(?<=[\w-])\.(?=\w)){_CHAR}*\Z")
_JOINT = re.compile(
    r"(?<=\])(?=[(:\[])|(?<=!)(?=\[)|(?<=<)(?=[a-zA-Z/!?])|(?<=&)(?=#|\w{1,40};)",
)
# After a kept URL: anything more would become part of it for those who read URLs up to the next space.
_ENDED = re.compile(r"[.,;:!?*_~`|)\]}>\"'\\]*(?:[\s<\x00-\x1f\x7f]|\Z)")
_LEADING_ASCII = re.compile(r"[!-~]*")


class LinkFilter:
    """Streaming form: `feed` returns what is safe to show, `close` the rest."""

    def __init__(self, supplied: str) -> None:
        self._supplied = {form for found in _URL.finditer(supplied) for form in _forms(found[0])}
        self._limit = _LONGEST_RUN + max(map(len, self._supplied), default=0)
        self._buffer = ""  # one character that is already out, then what is held back
        self._seen = 0

    def feed(self, piece: str) -> str:
        """The text up to the last run of printable ASCII, which may still grow into a URL."""
        self._buffer += piece
        cut = max(_held_from(self._buffer), self._seen)
        if len(self._buffer) - cut > self._limit:
            self._buffer += " "  # so that nothing joins what comes next
            cut = len(self._buffer)
        return self._release(cut)

    def close(self) -> str:
        """What was held back, cleaned."""
        return self._release(len(self._buffer))

    def _release(self, cut: int) -> str:
        if cut == self._seen:
            return ""
        parts: list[tuple[str, bool]] = []  # text, whether it is a kept URL
        at = self._seen
        while found := _URL.search(self._buffer, at, cut):
            parts.append((self._buffer[at : found.start()], False))
            whole, ascii_only = _forms(found[0])
            url = next((form for form in (whole, ascii_only) if form in self._supplied), "")
            at = found.start() + len(url or whole)  # trailing punctuation stays
            if url:
                parts.append((url, True))
                if not _ENDED.match(self._buffer, at, cut):
                    parts.append((" ", False))
        parts.append((self._buffer[at:cut], False))
        keep = max(cut - 1, 0)
        self._buffer, self._seen = self._buffer[keep:], cut - keep
        return _inert(parts)


def _forms(url: str) -> tuple[str, str]:
    """A URL without trailing punctuation: whole, and up to the first character of another script."""
    start = _LEADING_ASCII.match(url)
    return url.rstrip(_TRAILING), (start[0] if start else "").rstrip(_TRAILING)


def _held_from(text: str) -> int:
    """Where the last run of printable ASCII starts, or of any script from a `//` or a dotted name on."""
    held = len(text.rstrip(_ASCII))
    tail = max(held - _TAIL, 0)
    if not text[tail:held].isascii() and (growing := _GROWING.search(text, tail, held)):
        held = len(text[: growing.start()].rstrip(_ASCII))
    return held


def _inert(parts: Iterable[tuple[str, bool]]) -> str:
    """The parts joined, a space within each pair that makes syntax, except inside kept URLs."""
    text, closed = "", set[int]()
    for part, kept in parts:
        if kept:
            closed.update(range(len(text) + 1, len(text) + len(part)))
        text += part
    out, last = [], 0
    for joint in _JOINT.finditer(text):
        if joint.start() not in closed:
            out += [text[last : joint.start()], " "]
            last = joint.start()
    return "".join([*out, text[last:]])


def strip_links(pieces: Iterable[str], supplied: str) -> Iterator[str]:
    """Streams `pieces` without the links that `supplied` (the user's own messages) does not hold."""
    links = LinkFilter(supplied)
    try:
        for piece in pieces:
            if text := links.feed(piece):
                yield text
    finally:
        if close := getattr(pieces, "close", None):
            close()  # the writer's lock is released also when the reader stops early
    if text := links.close():
        yield text
