"""Where in a cloud's drafts a text written elsewhere stands: by its last bytes. Pure.

In sync, the end of the text equals the bytes before a place in a draft, and what the cloud expected there is
what it might have expected here. Bytes, not tokens: the cloud's vocabulary need not be the local one's.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import exp, log

from cogenesis_langchain.types import Draft, TopLogprobs

LEAST = 12
"""Bytes that have to match: two or three words."""
_LONGEST = 256  # bytes that are compared; more tells no more
_MOST = 200  # places of one draft that are compared: one that repeats itself has no end of them
_SENTENCE_END = re.compile(rb"(?:[.!?][\"')\]]*[ \n]+|\n+)$")
_SENTENCE_START = re.compile(rb"(?:[.!?][\"')\]]*[ \n]+|\n+)(?=\S)")


@dataclass(frozen=True, slots=True)
class Place:
    """A position of a draft. `top`: what the cloud expected there.

    `matched`: bytes before it that equal the end of the text; None where the whole text does, so that the
    cloud saw just this text.
    """

    draft: int
    position: int
    top: TopLogprobs = field(repr=False)
    matched: int | None


class Follow:
    """Follows a growing text through drafts.

    Args:
        drafts: any number, also none or empty ones.
        least: bytes that have to match, or all that there is; the first word is the person's own.
        sentences: also goes from the beginning of a sentence to that of the draft's next one.
    """

    def __init__(self, drafts: Sequence[Draft], *, least: int = LEAST, sentences: bool = False) -> None:
        self._drafts = drafts
        self._least = max(least, 1)
        self._texts = [draft.text for draft in drafts]
        self._starts = [
            [0, *accumulate(len(position.token) for position in draft.positions)] for draft in drafts
        ]
        starts = [[m.end() for m in _SENTENCE_START.finditer(text)] for text in self._texts if sentences]
        self._sentences = starts
        self._by_sentence = sentences
        self._written = b""
        self._last = (0, 0)  # the draft and byte where the text was last in step
        self._left = False  # whether it has gone another way since

    def advance(self, piece: bytes) -> None:
        """The text grew by `piece`."""
        draft, at = self._last
        self._left = self._left or not (self._texts and self._texts[draft].startswith(piece, at))
        self._last = (draft, at if self._left else at + len(piece))
        self._written += piece

    def here(self) -> Place | None:
        """Where the text stands: the longest match, of equal ones the one that goes on from the last."""
        last, left = self._last, self._left
        found = max(
            self._matches(),
            key=lambda one: (one[0], one[1:] == last and not left, one[1:] >= last, -one[1], -one[2]),
            default=None,
        )
        if found is None:
            return None
        matched, draft, at = found
        self._last, self._left = (draft, at), False
        return self._place(draft, at, None if matched == len(self._written) == at else matched)

    def _matches(self) -> Iterator[tuple[int, int, int]]:
        """(matched bytes, draft, byte) of every place."""
        tail = self._written[-_LONGEST:]
        end = tail[-self._least :]
        for number, text in enumerate(self._texts):
            if 0 < len(self._written) < len(text) and text.startswith(self._written):
                yield len(self._written), number, len(self._written)
            if len(end) < self._least:
                continue
            at, left = text.find(end), _MOST
            while at >= 0 and left:
                stop, left = at + len(end), left - 1
                if stop < len(text):
                    yield common_end(tail, text[:stop]), number, stop
                at = text.find(end, at + 1)
        if self._by_sentence and (start := self._next_sentence()) is not None:
            yield start

    def _next_sentence(self) -> tuple[int, int, int] | None:
        """The next sentence of the draft that was last in step, at the beginning of one of the text."""
        ended = _SENTENCE_END.search(self._written[-8:])
        if ended is None or not self._texts:
            return None
        draft, at = self._last
        later = [start for start in self._sentences[draft] if start >= at + self._left]
        return (0, draft, later[0]) if later else None

    def _place(self, draft: int, at: int, matched: int | None) -> Place | None:
        position = bisect_right(self._starts[draft], at) - 1  # the last one: tokens without bytes are passed
        if not 0 <= position < len(self._drafts[draft].positions):
            return None
        top = self._drafts[draft].positions[position]
        written = top.token[: at - self._starts[draft][position]]
        rest = _rest(top, written) if written else top
        return Place(draft, position, rest, matched) if rest is not None else None


def common_end(left: bytes, right: bytes) -> int:
    """How many last bytes two texts share."""
    size = 0
    for a, b in zip(reversed(left), reversed(right), strict=False):
        if a != b:
            break
        size += 1
    return size


def _rest(top: TopLogprobs, written: bytes) -> TopLogprobs | None:
    """What may follow within a token whose first bytes are written; None where nothing on the list does.

    The mass that was on no list stays on none, as does that of the candidate that is written already.
    """
    given = [(t, p) for t, p in zip(top.tokens, top.logprobs, strict=False) if t.startswith(written)]
    longer = [(t[len(written) :], p) for t, p in given if len(t) > len(written)]
    if not longer:
        return None
    shift = log(min(sum(exp(p) for p in top.logprobs), 1.0)) - log(sum(exp(p) for _, p in given))
    tokens, logprobs = zip(*((token, p + shift) for token, p in longer), strict=True)
    return TopLogprobs(top.token[len(written) :], top.logprob + shift, tokens, logprobs)
