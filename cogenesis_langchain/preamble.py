"""Drops what a model says before the text it was asked for ("Sure, here is the text:"). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_OPENERS = ("sure", "certainly", "of course", "okay", "absolutely", "here is", "here's", "here are")
_PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course|okay|absolutely)\b|here(?:'s| is| are) )[^\n]{0,160}:[ \t]*\n\s*",
    re.IGNORECASE,
)
_LONGEST = 200


def without_preamble(pieces: Iterable[str]) -> Iterator[str]:
    """`pieces` without a first line that announces the text. Other text passes from the first piece on."""
    held = ""
    waiting = True
    try:
        for piece in pieces:
            if not waiting:
                yield piece
                continue
            held += piece
            if _may_be_preamble(held):
                continue
            waiting = False
            if text := _cut(held):
                yield text
    finally:
        if close := getattr(pieces, "close", None):
            close()  # the writer's lock is released also when the reader stops early
    if waiting and held:
        yield _cut(held)


def _cut(text: str) -> str:
    found = _PREAMBLE.match(text)
    return text[found.end() :] if found else text


def _may_be_preamble(text: str) -> bool:
    """Whether more text is needed to tell."""
    start = text.lstrip().casefold()
    if (
        len(text) > _LONGEST
        or "\n" in start.rstrip("\n")
        or (start.endswith("\n") and not start.rstrip().endswith(":"))
    ):
        return False
    return any(start.startswith(opener) or opener.startswith(start) for opener in _OPENERS)
