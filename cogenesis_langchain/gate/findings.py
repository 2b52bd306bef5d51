"""What must not leave, in a body that can be read: known values first, then what the detector finds."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from cogenesis_langchain.gate.allow import AllowList
from cogenesis_langchain.gate.frames import without_frames
from cogenesis_langchain.gate.permit import Permit
from cogenesis_langchain.gate.shape import Chat
from cogenesis_langchain.types import PrivateSpan

_PLACEHOLDER = re.compile(r"\[\[[^\[\]\s]{1,40}\]\]")


def private_spans(chat: Chat, permit: Permit, allowed: AllowList, min_score: float) -> list[PrivateSpan]:
    """Places in `chat.texts`: known values where there are any, else detections of `min_score` and more."""
    return _known(chat, permit) or [s for s in _detected(chat, permit, allowed) if s.score >= min_score]


def _known(chat: Chat, permit: Permit) -> list[PrivateSpan]:
    """Known values in any string of the body, by one search of all of them joined up.

    What stands around the messages counts as the text behind the last one.
    """
    pieces = (*chat.texts, "\n".join(chat.other))
    starts = [0, *accumulate(len(piece) + 1 for piece in pieces)]
    spans = permit.known.find("\n".join(pieces))
    return [
        replace(span, message=number, start=begin - starts[number], end=end - starts[number])
        for span in spans
        for number, begin, end in _parts(span, starts)
    ] or spans


def _parts(span: PrivateSpan, starts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(piece, begin, end) of each piece that a span over the joined pieces reaches into."""
    begin = span.start
    while begin < span.end:
        number = bisect_right(starts, begin) - 1
        end = min(span.end, starts[number + 1] - 1)
        if begin < end:
            yield number, begin, end
        begin = starts[number + 1]


def _detected(chat: Chat, permit: Permit, allowed: AllowList) -> list[PrivateSpan]:
    """What the detector finds outside our own frames and placeholders, and the policy does not allow."""

    def blank(match: re.Match[str]) -> str:
        return " " * len(match[0]) if match[0] in permit.issued else match[0]

    found: list[PrivateSpan] = []
    for number, text in enumerate(chat.texts):
        rest = _PLACEHOLDER.sub(blank, without_frames(text))
        if rest.strip():
            found += allowed.keep(rest, permit.detector.detect(rest, message=number))
    return found
