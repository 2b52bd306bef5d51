"""What a combiner looks at: both distributions of one position, and 25 scalars about them. Pure.

A `Head` is a position cut down to the few hundred tokens that either model finds likely; all others count
together as the *rest*. It makes a combiner cost a millisecond or two, whatever the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.fusion.distributions import LEAST_TAIL, Floats, Ids, Listed, likeliest, spread

WIDTH = 256
"""Likeliest tokens of each model that make up a head."""
LOCAL, CLOUD, CLOUD_LOCAL, GENERIC = range(4)
"""Rows of a head: the local model with context; the cloud's list with its tail by the generic distribution;
the same with its tail by the local one; the local model without context."""
SCALARS = 25
_FAR = 6.0  # scalars are cut there
WHOLE = 64
"""Bytes of agreement that count as seeing the text itself."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a position besides the distributions.

    `position`: tokens of the text so far. `matched`: bytes in which the end of the text equals the end of
    what the cloud saw; None where it saw the text itself. `kept` (n,): the tokens that the entries of every
    array stand for, where models are compared on kept numbers; one more entry then stands for all others.
    """

    position: int = 0
    matched: int | None = None
    kept: NDArray[np.integer] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Fused:
    """`logprobs` (V,) of the next token, and `weight`: the cloud's share in the decision, 0 to 1."""

    logprobs: Floats = field(repr=False)
    weight: float

    @property
    def sound(self) -> bool:
        """Whether a token can be drawn from it."""
        return bool(np.isfinite(self.logprobs.max()))  # a NaN anywhere is the maximum


@dataclass(frozen=True, slots=True)
class Seen:
    """One position: `local`, `listed`, `generic` (`local` where there is none) and `cloud`.

    `cloud` is the list with its tail by `generic`. Arrays are (V,).
    """

    local: Floats = field(repr=False)
    listed: Listed
    generic: Floats = field(repr=False)
    cloud: Floats = field(repr=False)
    facts: Facts

    @classmethod
    def of(cls, local: Floats, listed: Listed, generic: Floats | None, facts: Facts) -> Seen:
        """Spreads the tail by the generic distribution where there is one, else by the local one."""
        by = local if generic is None else generic
        return cls(local, listed, by, spread(listed, by), facts)

    @property
    def is_generic(self) -> bool:
        """Whether there is a distribution of the local model without context."""
        return self.generic is not self.local


@dataclass(frozen=True, slots=True)
class Head:
    """The tokens `ids` (n,) that either model finds likely, and the rest.

    `rows` (4, n): log-probabilities of LOCAL, CLOUD, CLOUD_LOCAL and GENERIC; `rest` (4,) of all others
    together. `listed` (n,) is true for what the cloud named; `outside`: the cloud named others too.
    """

    ids: Ids = field(repr=False)
    rows: Floats = field(repr=False)
    rest: NDArray[np.float64] = field(repr=False)
    listed: NDArray[np.bool_] = field(repr=False)
    tail: float
    outside: bool

    @classmethod
    def of(cls, seen: Seen) -> Head:
        """Cuts a position down to `WIDTH` tokens of each model."""
        size = len(seen.local) - (seen.facts.kept is not None)
        ids = [likeliest(seen.local[:size], WIDTH), _named(seen.listed, size)]
        if seen.is_generic:
            ids.append(likeliest(seen.generic[:size], WIDTH))
        chosen = np.unique(np.concatenate(ids))
        by_local = seen.cloud if not seen.is_generic else spread(seen.listed, seen.local)
        rows = np.stack([seen.local[chosen], seen.cloud[chosen], by_local[chosen], seen.generic[chosen]])
        rest = 1 - np.exp(rows).sum(axis=1, dtype=np.float64)
        named = np.isin(chosen, seen.listed.ids)
        outside = int(named.sum()) < len(seen.listed.ids)
        return cls(chosen, rows, np.log(np.maximum(rest, 1e-5)), named, seen.listed.tail, outside)


def scalars(head: Head, seen: Seen) -> NDArray[np.float64]:
    """(SCALARS,) Entropies, peaks, overlaps, divergences and where in the text: no token, no vocabulary."""
    named = np.where(head.listed, head.rows[CLOUD], np.float32(-30))
    local, generic = head.rows[LOCAL], head.rows[GENERIC]
    probs, share, general = np.exp(local), np.exp(named), np.exp(generic)
    tops = [int(row.argmax()) for row in (local, named, generic)]
    tail = float(np.log(max(head.tail, LEAST_TAIL)))
    matched = WHOLE if seen.facts.matched is None else min(seen.facts.matched, WHOLE)
    found = np.array(
        [
            _entropy(probs, local, head.rest[LOCAL]) / 3,
            _entropy(general, generic, head.rest[GENERIC]) / 3,
            _entropy(share, named, tail) / 2,
            tail / 3,
            local[tops[0]],
            named[tops[1]],
            generic[tops[2]],
            np.log(probs[head.listed].sum() + 1e-6),
            np.log(general[head.listed].sum() + 1e-6),
            head.rows[CLOUD][tops[0]] / 3,
            local[tops[1]] / 3,
            generic[tops[0]] / 3,
            local[tops[2]] / 3,
            tops[0] == tops[1],
            tops[2] == tops[1],
            tops[0] == tops[2],
            (probs * (local - generic)).sum(),
            (share * (named - local)).sum(),
            (share * (named - generic)).sum(),
            (probs * (local - head.rows[CLOUD])).sum(),
            np.sqrt(probs * share).sum() * 2,
            np.log1p(seen.facts.position) / 3,
            _margin(local),
            _margin(named),
            np.log2(1 + matched) / 2,
        ]
    )
    return np.asarray(np.clip(found, -_FAR, _FAR))


def _named(listed: Listed, size: int) -> Ids:
    kept = listed.ids < size
    ids, logprobs = listed.ids[kept], listed.logprobs[kept]
    return ids[likeliest(logprobs, WIDTH)]


def _entropy(probs: Floats, logprobs: Floats, rest: float) -> float:
    """In nats, what is not in `probs` counted as one."""
    return -float((probs * logprobs).sum()) - float(np.exp(rest) * rest)


def _margin(logprobs: Floats) -> float:
    """Nats between the likeliest and the next."""
    if len(logprobs) < 2:
        return _FAR
    second, first = np.partition(logprobs, -2)[-2:]
    return float(first - second)
