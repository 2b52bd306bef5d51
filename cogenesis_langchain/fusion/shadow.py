"""The shadow of a text: all that a cloud sees of it, drawn so that what it tells is bounded. Pure.

Beside the text T, which stays here, grows a shadow S, token by token. T's token is drawn from p, which knows
the person's context; r is *public*: made of the task, of S and of what the cloud said of S. The shadow's
token is drawn from q, the distribution nearest to p (in total variation) of those with

    D2(q || r) = log(sum(q^2 / r)) <= what the budget has room for          nats, Renyi of order 2

and coupled with T's: it is the same token as often as p and q allow, and comes from what q has beyond p
otherwise. Where r is what p is, S follows T for nothing; where it is not, following costs.

`Budget` keeps the sum of D2 under what is charged for the tokens released, whatever T is. In
E_r[prod (q / r)^2] each factor is exp(its D2) given all that came before, T included, so over the whole
shadow D2(S with this context || S without any) is at most what was charged: a Renyi filter with individual
accounts (Feldman and Zrnic, arXiv 2008.11193), also against a cloud that answers so as to find out. KL <= D2,
so this bounds the mutual information of context and shadow. What is charged depends on the number of tokens
alone. T must be drawn with chance that the cloud does not know.

Where the shadow ends, which is where T does, comes on top: a cloud that sees R of at most m requests learns
log(m) nats at most by R. Nor is what it saw then drawn as if there had been no end: a text may go on just
where its shadow told much. But with L the logarithm of prod (q / r), exp(L - the sum of D2) is a
supermartingale that begins at 1, so at whatever request it ends, L is above what was charged by one nat at
most in the mean (Ville's inequality). Together: level + log(m) + 1 + charged, in nats.

Once the two have parted, following again costs many times what staying together would have. So half of the
budget is there from the start, and each token gets what is worth it (`WORTH`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.fusion.distributions import Ids

Shares = NDArray[np.float64]
Uniform = Callable[[], float]
"""Draws from [0, 1)."""

HEAD = 0.5
"""Share of `max_nats` that is charged with the first token; the rest comes token by token."""
WORTH = 20.0
"""What it costs to bring a shadow back to its text, in nats, and so what keeping it there is worth."""
_LEAST = 1e-290
_STEPS = 25
_AT_ONCE, _ROUNDS = 64, 4
"""The factor of a cut is found among so many at once, so often: to one part in 63 ** 4."""


@dataclass(frozen=True, slots=True)
class Law:
    """What a token is drawn from: `ids` (k,) distinct, `shares` (k,). They may add up to less than 1."""

    ids: Ids = field(repr=False)
    shares: Shares = field(repr=False)


@dataclass(frozen=True, slots=True)
class Near:
    """A law near another: `shares` (k,) on its ids, `level` times the public one elsewhere, `nats` its D2."""

    shares: Shares = field(repr=False)
    level: float
    nats: float


def nearest(law: Shares, public: Shares, nats: float) -> Near:
    """The law nearest to `law` in total variation whose D2 from the public one is at most `nats`.

    It is the law itself, cut where it is more than some factor above the public one, and filled up where it
    is less than another below: a larger first factor is nearer and costs more.

    Args:
        law: (k,) adds up to at most 1.
        public: (k,) of the same tokens; the rest of 1 lies on tokens that `law` does not have.
        nats: 0 or less gives the public law.
    """
    low, high = 0.0, _highest(law, public) if nats > 0 else 0.0
    for _ in range(_ROUNDS):
        factors = np.linspace(low, high, _AT_ONCE)
        cuts = _cuts(law, public, factors)
        best = int(np.flatnonzero(cuts.nats <= nats).max(initial=0))
        if best == _AT_ONCE - 1:
            break
        low, high = factors[best], factors[best + 1]
    return cuts.at(best)


def worthwhile(law: Shares, public: Shares, nats: float, worth: float = WORTH) -> Near:
    """The law that is most worth its price, of those on the way to `nearest`; arguments as there.

    `worth`: nats that it is worth to be surely the same token.
    """
    most = nearest(law, public, nats)
    tried = _cuts(law, public, np.linspace(0.0, _highest(law, public), _STEPS))
    gains = worth * np.minimum(law, tried.shares).sum(axis=1) - tried.nats
    gains[tried.nats >= most.nats] = -np.inf
    best = int(gains.argmax())
    dearest = worth * float(np.minimum(law, most.shares).sum()) - most.nats
    return tried.at(best) if gains[best] >= dearest else most


def _highest(law: Shares, public: Shares) -> float:
    """Logarithm of the factor at which nothing is cut."""
    return math.log(max(float((law / np.maximum(public, _LEAST)).max(initial=1.0)), 1.0))


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Some laws near one: `shares` (n, k), `levels` (n,), `nats` (n,); see `Near`."""

    shares: Shares
    levels: Shares
    nats: Shares

    def at(self, number: int) -> Near:
        """One of them."""
        return Near(self.shares[number], float(self.levels[number]), float(self.nats[number]))


def _cuts(law: Shares, public: Shares, factors: Shares) -> _Cuts:
    """`law`, at most exp(factor) times `public`, filled up to 1 from below in the proportions of that.

    All of `factors` (n,) at once: a token has time for a few calls of numpy, not for hundreds.
    """
    rest = max(1.0 - float(public.sum()), 1e-12)
    kept = np.minimum(law, np.exp(factors)[:, None] * public)
    filled = np.zeros(kept.shape, dtype=bool)
    for _ in range(len(law) + 2):  # Newton's method on a convex, piecewise linear function: a few steps
        levels = (1.0 - np.where(filled, 0.0, kept).sum(axis=1)) / (rest + filled @ public)
        floors = levels[:, None] * public
        now = kept < floors
        if (now == filled).all():
            break
        filled = now
    shares = np.maximum(kept, floors)
    totals = shares.sum(axis=1) + levels * rest
    shares, levels = shares / totals[:, None], levels / totals
    squares = (shares * shares / np.maximum(public, _LEAST)).sum(axis=1) + levels * levels * rest
    return _Cuts(shares, levels, np.maximum(np.log(squares), 0.0))


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)


class Budget:
    """What the shadow of one text may tell: HEAD of it from the first token on, the rest token by token.

    Args:
        nats_per_token: what a released token is charged besides, in nats of D2, used or not.
        max_nats: for the whole text; the shadow ends where all is charged.

    Raises:
        ConfigError: one of them is not above 0.
    """

    def __init__(self, nats_per_token: float, max_nats: float) -> None:
        if not (0 < nats_per_token < math.inf and 0 < max_nats < math.inf):
            raise ConfigError("fuse.live: nats_per_token and max_nats must be numbers above 0")
        self._nats_per_token = nats_per_token
        self._head = HEAD * max_nats
        self.tokens = math.ceil((max_nats - self._head) / nats_per_token)
        self._max_nats = max_nats
        self.released = 0
        self.spent = 0.0

    @property
    def open(self) -> bool:
        """Whether one more token may be released. Known beforehand: it does not depend on the text."""
        return self.released < self.tokens

    def charged(self, tokens: int) -> float:
        """Nats that are charged for so many tokens: an upper bound of what they tell."""
        return min(self._head + tokens * self._nats_per_token, self._max_nats) if tokens else 0.0

    def room(self) -> float:
        """Counts one token; the nats that it may cost."""
        self.released += 1
        return max(0.0, self.charged(self.released) - self.spent)

    def pay(self, nats: float) -> None:
        """What that token did cost."""
        self.spent += nats


class Shadow:
    """The shadow of one text. `uniform` draws the numbers that decide, by default from the system.

    A seed that others know would undo the bound, so none can be given.
    """

    def __init__(self, budget: Budget, uniform: Uniform | None = None) -> None:
        self.budget = budget
        self._uniform = uniform or secrets.SystemRandom().random

    def release(self, token: int, law: Law, public: Shares) -> int:
        """The token that the shadow gets where the text gets `token`.

        Args:
            token: the text's, drawn from its law.
            law: the text's, without the tokens that the shadow must not take over.
            public: (V,) what the shadow is drawn from where it does not follow.
        """
        near = worthwhile(law.shares, public[law.ids], self.budget.room())
        self.budget.pay(near.nats)
        kept, beyond = coupled(token, law, public, near)
        if self._uniform() < kept:
            return token
        return drawn(beyond, self._uniform())


def coupled(token: int, law: Law, public: Shares, near: Near) -> tuple[float, Shares]:
    """The probability that the shadow takes `token` over, and (V,) what it is drawn from otherwise.

    Over tokens drawn from `law`, and others for the rest of 1, the shadow's token has the shares of `near`;
    and no way of drawing it takes over more.
    """
    beyond = public * near.level
    beyond[law.ids] = np.maximum(near.shares - law.shares, 0.0)
    at = np.flatnonzero((law.ids == token) & (law.shares > 0))
    kept = min(float(near.shares[at[0]] / law.shares[at[0]]), 1.0) if len(at) else 0.0
    return kept, beyond if beyond.sum() > 0 else public


def drawn(shares: Shares, number: float) -> int:
    """The token at `number`, 0 to 1, of the cumulated shares (V,); never one without a share."""
    cumulated = np.cumsum(shares, dtype=np.float64)
    at = int(np.searchsorted(cumulated, number * cumulated[-1], side="right"))
    return min(at, int(np.argmax(cumulated >= cumulated[-1])))
