"""Sampling from fused distributions, to the same taste as the local model's own sampler in C."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from cogenesis_langchain.fusion.distributions import Listed, likeliest
from cogenesis_langchain.fusion.shadow import Law
from cogenesis_langchain.writer.llama import LOOK_BACK, PENALTY, TOP_K, TOP_P


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token that the cloud took from `listed`, at `temperature`: the lower, the more of the likeliest."""

    token: int
    listed: Listed
    temperature: float = 1.0

    def shares(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """With which probability it took each of `ids`; 0 for what is not on the list.

        The tail counts as one token, which below a temperature of 1 is more than it gets.
        """
        if self.temperature <= 0:
            return np.where(ids == self.token, 1.0, 0.0)
        logs = np.append(self.listed.logprobs, np.log(self.listed.tail)).astype(np.float64)
        shares = np.exp((logs - logs.max()) / self.temperature)
        shares /= shares.sum()
        known = dict(zip(self.listed.ids.tolist(), shares.tolist(), strict=False))
        return np.array([known.get(token, 0.0) for token in ids.tolist()])


class Sampler:
    """Takes a token and remembers it. The same logits and seed give the same tokens.

    Args:
        temperature: 0 always takes the likeliest token.
        seed: None is another one each time.
        penalty: of tokens among the last LOOK_BACK; 1 is none.
    """

    def __init__(self, temperature: float, seed: int | None = None, *, penalty: float = PENALTY) -> None:
        self._temperature = temperature
        self._penalty = penalty
        self._random = default_rng(seed)
        self._last: deque[int] = deque(maxlen=LOOK_BACK)

    def __call__(self, logits: NDArray[np.floating], drawn: Drawn | None = None) -> int:
        """The next token by `logits` (V,), on the local model's scale: the penalty depends on it.

        `drawn` is a token that the cloud took: taken here too as often as may be
        without a change to the shares of the tokens (the coupling of speculative sampling).
        """
        return self.draw(self.law(logits), drawn)

    def law(self, logits: NDArray[np.floating]) -> Law:
        """What the next token is drawn from."""
        ids, chosen = self._candidates(logits)
        if self._temperature <= 0:
            return Law(ids[:1], np.ones(1))
        shares = np.exp(chosen - chosen[0])
        kept = np.cumsum(shares) - shares < TOP_P * shares.sum()
        weights = np.exp((chosen[kept] - chosen[0]) / self._temperature)
        return Law(ids[kept], weights / weights.sum())

    def draw(self, law: Law, drawn: Drawn | None = None) -> int:
        """A token of that law, which is remembered; `drawn` as above."""
        token = self._drawn(law, drawn)
        self._last.append(token)
        return token

    def remember(self, token: int) -> None:
        """A token that somebody else chose."""
        self._last.append(token)

    def _candidates(self, logits: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """At most TOP_K tokens and their penalised logits, likeliest first."""
        ids = likeliest(logits, TOP_K)
        chosen = logits[ids].astype(np.float64)
        if self._penalty != 1.0:
            again = np.isin(ids, np.fromiter(set(self._last), dtype=np.int64))
            lowered = np.where(chosen > 0, chosen / self._penalty, chosen * self._penalty)
            chosen = np.where(again, lowered, chosen)
        order = np.lexsort((ids, -chosen))  # equal ones by id, so that nothing depends on the partition
        return ids[order], chosen[order]

    def _drawn(self, law: Law, drawn: Drawn | None) -> int:
        ids, weights = law.ids, law.shares
        if len(ids) == 1:
            return int(ids[0])
        if drawn is not None:
            theirs = drawn.shares(ids)
            own, given = (float(part[ids == drawn.token].sum()) for part in (weights, theirs))
            if self._random.random() * given < own:
                return drawn.token
            left = np.maximum(weights - theirs, 0.0)
            weights = left / left.sum() if left.sum() > 0 else weights
        return int(ids[self._random.choice(len(ids), p=weights)])
