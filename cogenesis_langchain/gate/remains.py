"""Whether a text that was masked still shows a known value, or a piece of one. Pure.

Masks in texts of others follow the detector alone, and it may take a part of a known value and leave the
rest standing, which is then no known value any more.
"""

from __future__ import annotations

import re
from collections import Counter

from cogenesis_langchain.gate.permit import Known
from cogenesis_langchain.known.matcher import is_common

_WORD = re.compile(r"\w+")
_PIECE = 3  # characters from which what is left of a word counts


def remains(known: Known, before: str, after: str) -> bool:
    """Whether of a known value in `before` all, a rare word, or most words stand in `after`.

    `after` is `before` with some stretches replaced. Words that also stand outside the values do not count,
    and pieces of words count as words.
    """
    if known.find(after):
        return True
    inside, outside, last = "", "", 0
    for span in known.find(before):
        outside += before[last : span.start] + "\n"
        inside += before[span.start : span.end] + "\n"
        last = span.end
    if not inside:
        return False
    left = Counter(_WORD.findall(after)) - Counter(_WORD.findall(outside + before[last:]))
    pieces = [word for word in left.elements() if len(word) >= _PIECE and word in inside]
    most = 2 * len(pieces) > len(_WORD.findall(inside))
    return most or not all(map(is_common, pieces))
