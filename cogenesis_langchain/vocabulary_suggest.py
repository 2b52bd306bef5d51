"""Additions to the topics that one's own requests would call for: common words that several of them share.

A request counts where the lists fit it badly. Its words are counted on this machine and nothing is kept; a
word of fewer than three such requests is never proposed, since it may be about one person alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.chooser import CUES
from cogenesis_langchain.closed_lists import Embeds, Vocabulary, spaced
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
    return max(cosine + CUES["topics"] * entry.cue_score(words) for cosine, entry in scored)


def propose(
    requests: Sequence[str],
    scores: Sequence[float],
    checker: Checker,
    embedder: Embeds,
    *,
    least: int = LEAST,
) -> Iterator[Proposal]:
    """Topics that badly fitted requests share, those of most requests first.

    Each fits its requests better than what the lists have (mean cosine over mean of `scores`), and passes
    `Checker.check`. The same request twice counts once, and one that a proposal covers not again. `least`
    is never below `LEAST`.
    """
    least, refused = max(least, LEAST), set[str]()
    left = _misfits(requests, scores)
    while (word := _commonest(left, refused, least)) is not None:
        refused.add(word)
        covered = [one for one in left if word in one.words]
        name = Counter(one.words[word] for one in covered).most_common(1)[0][0]
        verdict = checker.check({}, {name: ""})[0]
        if verdict.ok and _fits_better(name, covered, embedder):
            yield Proposal(name, len(covered), verdict.bits)
            left = [one for one in left if word not in one.words]


@dataclass(frozen=True, slots=True)
class _Misfit:
    """A request, how well the best topic fits it, and its words: without plural -> as written."""

    text: str = field(repr=False)
    score: float
    words: Mapping[str, str] = field(repr=False)


def _misfits(requests: Sequence[str], scores: Sequence[float]) -> list[_Misfit]:
    found = {
        (flat := " ".join(text.split())): _Misfit(flat, score, _content(flat))
        for text, score in zip(requests, scores, strict=True)
        if score < FITS
    }
    return list(found.values())


def _fits_better(name: str, covered: Sequence[_Misfit], embedder: Embeds) -> bool:
    rows = embedder.embed([name, *(one.text for one in covered)])
    return float((rows[1:] @ rows[0]).mean()) > sum(one.score for one in covered) / len(covered)


def _commonest(left: Sequence[_Misfit], refused: set[str], least: int) -> str | None:
    """The word of most requests, the first in the alphabet among equals."""
    counted = Counter(word for one in left for word in one.words if word not in refused)
    ranked = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return ranked[0][0] if ranked and ranked[0][1] >= least else None


def _content(text: str) -> dict[str, str]:
    """Words in small letters and not among the commonest: without their plural -> as written."""
    small = " ".join(word for word in text.split() if word.islower())
    return {_singular(word): word for word in _WORD.findall(small) if word not in common_words()}


def _singular(word: str) -> str:
    return word.removesuffix("s") if not word.endswith("ss") else word
