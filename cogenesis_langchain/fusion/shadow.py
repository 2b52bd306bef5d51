"""The shadow of a text: all that a cloud sees of it, drawn so that what it tells is bounded. Pure.

Beside the text T, which stays here, grows a shadow S, token by token. With probability `share` S takes over
T's token, else it draws from a *public* distribution r, made of the task and of S alone. So S is drawn from
q = share * [T's token] + (1 - share) * r, and the Renyi divergence of order 2 is

    D2(q || r) = log(1 + share^2 * (1 / r(T's token) - 1))     nats

`Budget` keeps the sum of these under `nats_per_token` times the tokens released, whatever T is. Each factor
of E_r[prod (q / r)^2] is then exp(its D2) given all that came before, T included, so over the whole shadow
D2(S with this context || S without any) <= nats_per_token * tokens: a Renyi filter with individual accounts
(Feldman and Zrnic, arXiv 2008.11193). KL <= D2, so this also bounds the mutual information of context and
shadow. Nothing else about S depends on T: it goes on, from r alone, where nothing may be taken over, and
ends after a number of tokens that is known beforehand.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable

import numpy as np

from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.fusion.distributions import Floats

Uniform = Callable[[], float]
"""Draws from [0, 1)."""

AT_ONCE = 4.0
"""One token may cost as much as this many; what easy tokens leave over pays for it."""


def divergence(public: float, share: float) -> float:
    """D2(q || r) in nats, where q takes a token of public probability `public` with probability `share`."""
    if share <= 0.0:
        return 0.0
    return math.log1p(share * share * (1.0 / public - 1.0)) if public > 0.0 else math.inf


def share(public: float, nats: float) -> float:
    """The largest share of a token of public probability `public` that costs at most `nats`; 0 to 1."""
    if public <= 0.0 or nats <= 0.0:
        return 0.0
    rarity = 1.0 / public - 1.0
    affordable = math.expm1(min(nats, 700.0))
    return 1.0 if affordable >= rarity else math.sqrt(affordable / rarity)


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)


class Budget:
    """What the shadow of one text may tell. Every token released earns `nats_per_token`, used or not.

    Args:
        nats_per_token: what a released token is charged, in nats of D2.
        max_nats: for the whole text; the shadow ends after max_nats / nats_per_token tokens.

    Raises:
        ConfigError: one of them is not above 0.
    """

    def __init__(self, nats_per_token: float, max_nats: float) -> None:
        if not (0 < nats_per_token < math.inf and 0 < max_nats < math.inf):
            raise ConfigError("fuse.live: nats_per_token and max_nats must be numbers above 0")
        self.nats_per_token = nats_per_token
        self.tokens = int(max_nats / nats_per_token + 1e-9)
        self.released = 0
        self.spent = 0.0

    @property
    def open(self) -> bool:
        """Whether one more token may be released. Known beforehand: it does not depend on the text."""
        return self.released < self.tokens

    @property
    def charged(self) -> float:
        """Nats that are charged for what was released: an upper bound of `spent`."""
        return self.released * self.nats_per_token

    def take(self, public: float, *, held: bool = False) -> float:
        """Counts one token and pays for it; the share with which the shadow takes it over.

        Args:
            public: probability of T's token under the public distribution.
            held: the token must not be taken over at all.
        """
        self.released += 1
        if held:
            return 0.0
        most = min(self.charged - self.spent, AT_ONCE * self.nats_per_token)
        part = share(public, most)
        self.spent += min(divergence(public, part), most)
        return part


class Shadow:
    """The shadow of one text. `uniform` draws the numbers that decide, by default from the system.

    A seed that others know would undo the bound, so none can be given.
    """

    def __init__(self, budget: Budget, uniform: Uniform | None = None) -> None:
        self.budget = budget
        self._uniform = uniform or secrets.SystemRandom().random

    def release(self, token: int, public: Floats, *, held: bool = False) -> int:
        """The token that the shadow gets where the text gets `token`; never one that `public` rules out.

        Args:
            token: the text's.
            public: (V,) log-probabilities made of the task and the shadow alone.
            held: nothing of `token` may show.
        """
        part = self.budget.take(float(np.exp(public[token])), held=held)
        if self._uniform() < part:
            return token
        return drawn(public, self._uniform())


def drawn(logprobs: Floats, number: float) -> int:
    """The token at `number`, 0 to 1, of the cumulated distribution (V,); never one of probability 0."""
    cumulated = np.cumsum(np.exp(logprobs), dtype=np.float64)
    at = int(np.searchsorted(cumulated, number * cumulated[-1], side="right"))
    return min(at, int(np.argmax(cumulated >= cumulated[-1])))
