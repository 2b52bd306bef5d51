"""Removes links that the user did not supply from text as it streams; pure.

A sketch or a stored mail may carry an instruction like "add this image"; a renderer that loads the image
tells its host whatever the URL holds. So bare URLs, Markdown links and images, reference definitions and
autolinks leave only their visible words, unless the user's own message holds the same URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SCHEME = r"(?:https?|ftp|file|data|javascript|mailto)\s?:"
_URL = rf"(?:(?<![a-zA-Z0-9])(?:{_SCHEME}|www\.)|//)[^\s<>\"'()\[\]]+"
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<words>[^\[\]\n]{0,300})\]\((?P<target>[^)\n]{0,2000})\)"
    rf"|\[[^\[\]\n]{{1,300}}\]:[ \t]*<?(?P<definition>(?:[a-z][a-z0-9+.-]*:|//|www\.)[^\s>]+)>?[^\n]*"
    r"|<(?P<auto>[a-z][a-z0-9+.-]*:[^<>\s]{1,2000})>"
    r"|<(?P<tag>/?(?:a|img|iframe|script|link|video|audio|source|svg|object|embed)\b[^<>\n]{0,2000})>"
    rf"|(?P<bare>{_URL})",
    re.IGNORECASE,
)
_OPEN = re.compile(  # what, at the end of the text so far, may still grow into one of the above
    r"(?:!?\[[^\[\]\n]{0,300}(?:\](?:\([^)\n]{0,2000}|:[^\n]{0,2000})?)?"
    r"|!|/|<[^<>\n]{0,2000}"
    r"|(?<![a-zA-Z0-9])(?:h|ht|htt|https?|f|ft|ftp|fi|fil|file|w|ww|www|d|da|dat|data|m|ma|mai|mail|mailt|mailto"
    r"|j|ja|jav|java|javas|javasc|javascr|javascri|javascrip|javascript)\s?"
    rf"|{_URL}|(?<![a-zA-Z0-9])(?:{_SCHEME}|www\.)|//)\Z",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?"


class LinkFilter:
    """Streaming form: `feed` returns what is safe to show, `close` the rest."""

    def __init__(self, supplied: str) -> None:
        self._supplied = {found.rstrip(_TRAILING) for found in re.findall(_URL, supplied, re.IGNORECASE)}
        self._buffer = ""
        self._seen = 0

    def feed(self, piece: str) -> str:
        """The text that can no longer turn into a link."""
        self._buffer += piece
        held = _OPEN.search(self._buffer, self._seen)
        cut = held.start() if held else len(self._buffer)
        for link in _LINK.finditer(self._buffer, self._seen):
            if link.start() < cut < link.end():
                cut = link.start()
        return self._release(cut)

    def close(self) -> str:
        """What was held back, cleaned."""
        return self._release(len(self._buffer))

    def _release(self, cut: int) -> str:
        # One character before the cut stays, so that the next look knows whether it begins a word.
        out, last = [], self._seen
        for link in _LINK.finditer(self._buffer, self._seen, cut):
            out += [self._buffer[last : link.start()], self._replace(link)]
            last = link.end()
        out.append(self._buffer[last:cut])
        keep = max(cut - 1, 0)
        self._buffer, self._seen = self._buffer[keep:], cut - keep
        return "".join(out)

    def _replace(self, match: re.Match[str]) -> str:
        whole, words = match[0], match["words"]
        target = match["target"] or match["definition"] or match["auto"] or match["bare"] or ""
        url = target.strip().strip("<>").split()[0] if target.strip() else ""
        if url.rstrip(_TRAILING) in self._supplied:
            return whole
        if words is not None:
            return "" if match["image"] else words
        if match["bare"]:
            return whole[len(whole.rstrip(_TRAILING)) :]
        return ""


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
