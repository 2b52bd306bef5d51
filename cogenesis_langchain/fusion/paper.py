"""The paper's combiner, kept as a baseline: a network that weighs both models, and its schedule. Pure.

CoGenesis (arXiv 2403.03129): w = sigmoid(L3(relu(L2(relu(L1(x)))))), x the two models' distributions side by
side (2 V numbers), L1 to 512, L2 to 16; the combined scores are w * local + (1 - w) * cloud. Combining is on
for the first P tokens, then for T of every K + T.

Two things differ. x holds the probabilities of each model's ten likeliest tokens, so that what is not among
them is zero in truth (the paper's code fills missing log-probabilities with zero, which beats every real
one). And only the rows of L1 of tokens that were met in fitting are kept: of 156 million numbers the rest
were never moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import ConfigError, ModelCorruptError
from cogenesis_langchain.fusion.distributions import Floats, likeliest, log_softmax
from cogenesis_langchain.fusion.features import Seen

TOP = 10
FIRST, FUSED, ALONE = 20, 5, 5
"""P, T and K of the schedule."""
HIDDEN = (512, 16)


@dataclass(frozen=True, slots=True)
class Weights:
    """`ids` (2, n): local tokens met as candidates of the local model and of the cloud, -1 pads.

    `first` (2, n, 512) with `first_bias` (512,), `second` (512, 16) with `second_bias` (16,), `third` (17,),
    whose last number is the bias.
    """

    ids: NDArray[np.int64] = field(repr=False)
    first: Floats = field(repr=False)
    first_bias: Floats = field(repr=False)
    second: Floats = field(repr=False)
    second_bias: Floats = field(repr=False)
    third: Floats = field(repr=False)


class Paper:
    """Callable as the plain combiners are."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._places = [{int(i): n for n, i in enumerate(row) if i >= 0} for row in weights.ids]

    def __call__(self, seen: Seen) -> tuple[Floats, float]:
        """(V,) and the cloud's share: none where the schedule leaves the local model alone."""
        if not scheduled(seen.facts.position):
            return seen.local, 0.0
        hidden = self._weights.first_bias.copy()
        for side, (ids, shares) in enumerate(candidates(seen)):
            for number, share in zip(ids.tolist(), shares.tolist(), strict=True):
                if (place := self._places[side].get(number)) is not None:
                    hidden += share * self._weights.first[side, place]
        hidden = np.maximum(hidden, 0) @ self._weights.second + self._weights.second_bias
        score = float(np.maximum(hidden, 0) @ self._weights.third[:-1] + self._weights.third[-1])
        local = np.float32(1 / (1 + np.exp(-np.clip(score, -30, 30))))
        return log_softmax(local * seen.local + (1 - local) * seen.cloud), float(1 - local)


def scheduled(position: int) -> bool:
    """Whether token number `position` of a text is combined."""
    return position < FIRST or (position - FIRST) % (FUSED + ALONE) >= ALONE


def candidates(seen: Seen) -> list[tuple[NDArray[np.int64], Floats]]:
    """(ids, probabilities) of the likeliest tokens of the local model, and of the cloud; -1 is no token."""
    local = likeliest(seen.local, TOP)
    best = np.argsort(-seen.listed.logprobs, kind="stable")[:TOP]
    named, kept = seen.listed.ids[best], seen.facts.kept
    shares = np.exp(seen.local[local]), np.exp(seen.listed.logprobs[best])
    if kept is not None:
        tokens = np.append(kept, -1)
        local, named = tokens[local], tokens[named]
    return [(local, shares[0]), (named, shares[1])]


def load(path: Path) -> Weights:
    """Raises ConfigError where there is no such file, and ModelCorruptError for one that does not fit."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Weights(**{one.name: file[one.name] for one in fields(Weights)})
    except OSError:
        raise ConfigError(f"{path}: cannot be read; fit one: `cogenesis train combiner --paper`") from None
    except (ValueError, KeyError, BadZipFile):
        found = None
    if found is None or not _fits(found):
        raise ModelCorruptError(f"{path} holds no such network; fit one: `cogenesis train combiner --paper`")
    return found


def _fits(weights: Weights) -> bool:
    wide, narrow = HIDDEN
    sizes = [(wide,), (wide, narrow), (narrow,), (narrow + 1,)]
    given = [weights.first_bias, weights.second, weights.second_bias, weights.third]
    rows = weights.ids.ndim == 2 and weights.first.shape == (*weights.ids.shape, wide)
    whole = all(np.isfinite(one).all() for one in (weights.first, *given))
    return rows and len(weights.ids) == 2 and [one.shape for one in given] == sizes and whole
