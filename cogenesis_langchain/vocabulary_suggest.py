"""Additions to the topics that one's own requests would call for: common words that several of them share.

A request counts where the lists fit it badly. Its words are counted on this machine and nothing is kept; a
word of fewer than three such requests is never proposed, since it may be about one person alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.closed_lists import Embeds, Vocabulary, spaced
from cogenesis_langchain.generalize import CUE_WEIGHT
from cogenesis_langchain.known.matcher import common_words
from cogenesis_langchain.vocabulary_check import Checker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 3
"""Requests that must share a word."""
FITS = 0.35
"""Score (cosine, and cue words as the chooser weighs them) from which a topic fits."""
_WORD = re.compile(r"[a-z]{4,}")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A topic to add, how many of the requests hold it, and what a request at `topic` would tell more."""

    name: str
    requests: int
    bits: float

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"bits": round(self.bits, 4)}


def fits(requests: Sequence[str], lists: Vocabulary, embedder: Embeds) -> list[float]:
    """(n,) How well the best topic fits each request."""
    _, topics = lists.vectors(embedder)
    return [
        _best(text, row, topics, lists) for text, row in zip(requests, embedder.embed(requests), strict=True)
    ]


def _best(text: str, query: NDArray[np.float32], topics: NDArray[np.float32], lists: Vocabulary) -> float:
    words = spaced(text)
    cosines: list[float] = (topics @ query).tolist()
    entries = lists.fine_topics.values()
    scored = zip(cosines, entries, strict=True)
    return max(cosine + CUE_WEIGHT * entry.cue_score(words) for cosine, entry in scored)


def propose(
    requests: Sequence[str], scores: Sequence[float], checker: Checker, *, least: int = LEAST
) -> Iterator[Proposal]:
    """Topics that badly fitted requests share, those of most requests first; each passes `Checker.check`.

    The same request twice counts once, and one that a proposal covers not again. `least` is never below
    `LEAST`.
    """
    least, refused = max(least, LEAST), set[str]()
    left = [_content(text) for text in dict.fromkeys(_misfits(requests, scores))]
    while (word := _commonest(left, refused, least)) is not None:
        covered = [words for words in left if word in words]
        name = Counter(words[word] for words in covered).most_common(1)[0][0]
        verdict = checker.check({}, {name: ""})[0]
        refused.add(word)
        if verdict.ok:
            yield Proposal(name, len(covered), verdict.bits)
            left = [words for words in left if word not in words]


def _misfits(requests: Sequence[str], scores: Sequence[float]) -> Iterator[str]:
    for text, score in zip(requests, scores, strict=True):
        if score < FITS:
            yield " ".join(text.split())


def _commonest(left: Sequence[Mapping[str, str]], refused: set[str], least: int) -> str | None:
    """The word of most requests, the first in the alphabet among equals."""
    counted = Counter(word for words in left for word in words if word not in refused)
    ranked = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return ranked[0][0] if ranked and ranked[0][1] >= least else None


def _content(text: str) -> dict[str, str]:
    """Words in small letters and not among the commonest: without their plural -> as written."""
    small = " ".join(word for word in text.split() if word.islower())
    return {_singular(word): word for word in _WORD.findall(small) if word not in common_words()}


def _singular(word: str) -> str:
    return word.removesuffix("s") if not word.endswith("ss") else word
