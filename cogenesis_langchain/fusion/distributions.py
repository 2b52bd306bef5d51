"""Next-token distributions over the local vocabulary, and what a cloud's list of candidates says there. Pure.

Distributions are log-probabilities in nats, shape (V,), float32. A cloud names tokens by their bytes, so its
vocabulary need not be ours: a candidate that is one token here keeps its mass (the exact path); any other
hands it to the tokens that begin it and to those that it begins, in the local model's proportions.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.types import TopLogprobs

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

NEVER = np.float32(-1e4)
"""Log-probability of what cannot be: finite, so that zero times it is zero."""
LEAST_LEFT = 1e-13
"""What a distribution leaves to the tokens outside a list is taken for this much at least."""
LEAST_TAIL = 1e-6
"""A list never holds everything: what is not on it keeps this much probability at least."""
_SURE = 0.01  # probability
_FAR = (4.0, 10.0, 20.0, 40.0)  # nats below the likeliest, where the likeliest are looked for first
_MOST = 64  # local tokens that one foreign candidate is shared among at most
_CONTROL = re.compile(rb"<[|\xef\xbd\x9c][^>]*>|</?s>|<(?:eos|bos|unk|pad|(?:start|end)_of_turn)>|\[/?INST\]")

_BLANK = re.compile(rb"\s*(?:[\[{<].*|_{2,})", re.DOTALL)


def softmax(logits: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(V,) and (V,): log-probabilities and probabilities of `logits` (V,), for one pass of `exp`."""
    shifted = logits - logits.max()
    shares = np.exp(shifted)
    total = shares.sum(dtype=np.float64)
    return shifted - np.float32(np.log(total)), shares * np.float32(1 / total)


def log_softmax(logits: NDArray[np.float32]) -> Floats:
    """(V,) Log-probabilities of `logits` (V,)."""
    return softmax(logits)[0]


def likeliest(logits: NDArray[np.floating], k: int) -> Ids:
    """(k,) The tokens with the highest of `logits` (V,), in no order; all of them where k is V or more."""
    if k >= len(logits):
        return np.arange(len(logits))
    best = logits.max()
    for far in _FAR:
        ids = np.flatnonzero(logits > best - far)
        if len(ids) >= k:
            return ids[np.argpartition(logits[ids], -k)[-k:]]
    return np.argpartition(logits, -k)[-k:]


def log_sum(logprobs: Floats) -> float:
    """Logarithm of the summed probabilities; NEVER for nothing."""
    if not len(logprobs):
        return float(NEVER)
    best = float(logprobs.max())
    return best + float(np.log(np.exp(logprobs - best).sum(dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class Listed:
    """A cloud's candidates as local tokens: `ids` (k,) distinct, `logprobs` (k,), `tail` what is on no list.

    exp(logprobs).sum() + tail is 1.
    """

    ids: Ids = field(repr=False)
    logprobs: Floats = field(repr=False)
    tail: float


@dataclass(frozen=True)
class TokenBytes:
    """The local vocabulary: the bytes of each token by id; `control` (V,) is true where that is no text."""

    pieces: Sequence[bytes] = field(repr=False)
    control: NDArray[np.bool_] = field(repr=False)

    @cached_property
    def ids(self) -> dict[bytes, int]:
        """Token ids by bytes; the first of several with the same bytes, no control token."""
        found: dict[bytes, int] = {}
        for number, (piece, control) in enumerate(zip(self.pieces, self.control.tolist(), strict=True)):
            if piece and not control:
                found.setdefault(piece, number)
        return found

    @cached_property
    def begins(self) -> NDArray[np.bool_]:
        """(V,) Tokens that do not go on with the word before: they begin with neither letter nor digit."""
        return np.array(
            [not (piece[:1].isalnum() or piece[:1] >= b"\x80") for piece in self.pieces], dtype=bool
        )

    @cached_property
    def sorted(self) -> list[tuple[bytes, int]]:
        """(bytes, id) in the order of the bytes: what begins with the same ones stands together."""
        return sorted(self.ids.items())


class Vocabulary:
    """Reads a cloud's candidates as local tokens."""

    def __init__(self, tokens: TokenBytes) -> None:
        self.tokens = tokens

    def exact(self, tops: Iterable[TopLogprobs]) -> bool:
        """Whether every candidate is one local token: both models then share a vocabulary, as far as seen."""
        seen = {token for top in tops for token in top.tokens if not is_control(token)}
        return bool(seen) and seen <= self.tokens.ids.keys()

    def listed(self, top: TopLogprobs, local: Floats) -> Listed | None:
        """What `top` says about the local tokens; `local` (V,) shares what is no one token here.

        Control tokens and the beginnings of blanks to be filled in ("[Name]") are taken out and the rest
        scaled up: whether a text ends is the local model's business, and so is every name. None where nothing
        usable is left.
        """
        mass: dict[int, float] = {}
        ended = lost = 0.0
        for token, logprob in zip(top.tokens, top.logprobs, strict=False):
            share = float(np.exp(min(logprob, 0.0))) if logprob == logprob else 0.0
            if is_control(token) or _BLANK.fullmatch(token):
                ended += share
            elif (number := self.tokens.ids.get(token)) is not None:
                mass[number] = mass.get(number, 0.0) + share
            else:
                lost += self._share(token, share, local, mass)
        return _listed(mass, ended, lost)

    def _share(self, token: bytes, share: float, local: Floats, mass: dict[int, float]) -> float:
        """Adds a foreign candidate to `mass`; returns what no local token could take."""
        begins = [self.tokens.ids.get(token[:size]) for size in range(1, len(token))]
        order = self.tokens.sorted
        first = bisect_left(order, (token,))
        last = bisect_left(order, (_after(token),), first) if _after(token) else len(order)
        longer = [number for _, number in order[first:last]]
        found = [number for number in begins if number is not None]
        ids = np.array(found + longer, dtype=np.int64)
        if not len(ids):
            return share
        if len(ids) > _MOST:
            ids = ids[np.argpartition(-local[ids], _MOST)[:_MOST]]
        weights = np.exp(local[ids] - local[ids].max())
        for number, weight in zip(ids.tolist(), (weights / weights.sum()).tolist(), strict=True):
            mass[number] = mass.get(number, 0.0) + share * weight
        return 0.0


def listed_of(logprobs: Floats, k: int) -> Listed:
    """The `k` likeliest tokens of a whole distribution (V,), as a list; all of them where k is 0."""
    size = len(logprobs)
    ids = likeliest(logprobs, k or size)
    chosen = logprobs[ids]
    tail = max(1.0 - float(np.exp(chosen).sum(dtype=np.float64)), LEAST_TAIL)
    scaled = chosen + np.float32(np.log1p(-tail) - log_sum(chosen))
    return Listed(ids.astype(np.int64), scaled.astype(np.float32), tail)


def spread(listed: Listed, by: Floats) -> Floats:
    """(V,) The whole distribution: the list as it is, its tail in the proportions of `by` (V,)."""
    left = 1.0 - float(np.exp(by[listed.ids]).sum(dtype=np.float64))
    if left < _SURE:  # too few digits are left of such a difference
        unlisted = by.copy()
        unlisted[listed.ids] = NEVER
        left = max(float(np.exp(log_sum(unlisted))), LEAST_LEFT)
    out = by + np.float32(np.log(listed.tail) - np.log(left))
    out[listed.ids] = listed.logprobs
    return np.asarray(out)


def is_control(token: bytes) -> bool:
    """Whether a cloud's candidate stands for no text: empty, or written as control tokens are."""
    return not token or _CONTROL.fullmatch(token) is not None


def _after(token: bytes) -> bytes:
    """The first bytes in order that no continuation of `token` reaches; b"" where there are none."""
    kept = token.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b""


def _listed(mass: dict[int, float], ended: float, lost: float) -> Listed | None:
    total = sum(mass.values())
    if not 0 < total < float("inf"):
        return None
    whole = max(1.0 - ended, total + lost)  # a list that adds up to more than 1 is scaled down
    tail = min(max(1.0 - total / whole, LEAST_TAIL), 0.999)
    ids = np.fromiter(mass, dtype=np.int64, count=len(mass))
    shares = np.fromiter(mass.values(), dtype=np.float64, count=len(mass))
    kept = shares > 0
    logprobs = np.log(shares[kept] / total) + np.log1p(-tail)
    return Listed(ids[kept], logprobs.astype(np.float32), float(tail))
