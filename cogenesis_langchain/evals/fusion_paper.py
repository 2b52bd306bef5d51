"""Fitting the paper's combiner (`fusion.paper`) on the kept numbers of `gold`; deterministic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.evals.fusion import likeliest
from cogenesis_langchain.evals.gold import Gold
from cogenesis_langchain.fusion.distributions import Floats
from cogenesis_langchain.fusion.features import Facts, Seen
from cogenesis_langchain.fusion.paper import HIDDEN, TOP, Weights, candidates
from cogenesis_langchain.logprobs import LISTED

ROUNDS = 40
_STEP = 0.002
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Position:
    """`ids`, `shares` (2, TOP) of the candidates, -1 pads; both distributions (u + 1,); the gold column."""

    ids: NDArray[np.int64] = field(repr=False)
    shares: Floats = field(repr=False)
    local: Floats = field(repr=False)
    cloud: Floats = field(repr=False)
    gold: int = field(repr=False)


def positions(gold: Gold) -> Iterator[Position]:
    """Every token of a gold text, the cloud asked for the generic task."""
    for at, token in enumerate(gold.tokens):
        local = gold.at(at, "lw").astype(np.float32)
        seen = Seen.of(local, likeliest(gold.at(at, "cg"), LISTED), None, Facts(at, kept=gold.ids[at]))
        ids = np.full((2, TOP), -1, dtype=np.int64)
        shares = np.zeros((2, TOP), dtype=np.float32)
        for side, (tokens, values) in enumerate(candidates(seen)):
            ids[side, : len(tokens)], shares[side, : len(tokens)] = tokens, values
        yield Position(ids, shares, local, seen.cloud, int(np.searchsorted(gold.ids[at], token)))


def fit(given: Sequence[Position]) -> Iterator[Weights]:
    """The weights after each of ROUNDS rounds; each is the same arrays, moved on."""
    weights = _start(given)
    parts = [getattr(weights, one.name) for one in fields(Weights) if one.name != "ids"]
    first, second = ([np.zeros_like(part) for part in parts] for _ in range(2))
    places = _places(weights, given)
    for number in range(1, ROUNDS + 1):
        slopes = [np.zeros_like(part) for part in parts]
        for start in range(0, len(given), _BATCH):
            _add(slopes, weights, given[start : start + _BATCH], places[start : start + _BATCH])
        for part, slope, one, two in zip(parts, slopes, first, second, strict=True):
            slope /= len(given)
            one += 0.1 * (slope - one)
            two += 0.01 * (slope**2 - two)
            part -= _STEP * (one / (1 - 0.9**number)) / (np.sqrt(two / (1 - 0.99**number)) + 1e-8)
        yield weights


def _start(given: Sequence[Position]) -> Weights:
    met = [np.unique(np.concatenate([one.ids[side] for one in given])) for side in range(2)]
    met = [ids[ids >= 0] for ids in met]
    ids = np.full((2, max(map(len, met))), -1, dtype=np.int64)
    for side, row in enumerate(met):
        ids[side, : len(row)] = row
    rng = np.random.default_rng(5)
    wide, narrow = HIDDEN

    def drawn(*shape: int, scale: float) -> Floats:
        return rng.normal(0, scale, shape).astype(np.float32)

    zeros = [np.zeros(size, dtype=np.float32) for size in HIDDEN]
    first, second = drawn(*ids.shape, wide, scale=0.3), drawn(wide, narrow, scale=wide**-0.5)
    return Weights(ids, first, zeros[0], second, zeros[1], drawn(narrow + 1, scale=0.1))


def _places(weights: Weights, given: Sequence[Position]) -> NDArray[np.int64]:
    """(positions, 2, TOP) The row of each candidate; what pads points anywhere and has no share."""
    rows = [np.sort(ids[ids >= 0]) for ids in weights.ids]
    wanted = np.stack([one.ids for one in given])
    return np.stack(
        [np.searchsorted(rows[side], np.maximum(wanted[:, side], 0)) for side in range(2)], axis=1
    )


def _add(
    slopes: list[Floats], weights: Weights, batch: Sequence[Position], places: NDArray[np.int64]
) -> None:
    """Adds the slopes of the summed nats of a batch."""
    shares = np.stack([one.shares for one in batch])[..., None]
    met = np.stack([weights.first[side][places[:, side]] for side in range(2)], axis=1)
    wide = np.maximum((met * shares).sum(axis=(1, 2)) + weights.first_bias, 0)
    narrow = np.maximum(wide @ weights.second + weights.second_bias, 0)
    local = 1 / (1 + np.exp(-(narrow @ weights.third[:-1] + weights.third[-1])))
    back = np.array([_slope(one, float(w)) for one, w in zip(batch, local, strict=True)], dtype=np.float32)
    back *= local * (1 - local)
    slopes[4][:-1] += back @ narrow
    slopes[4][-1] += back.sum()
    to_narrow = back[:, None] * weights.third[:-1] * (narrow > 0)
    slopes[2] += wide.T @ to_narrow
    slopes[3] += to_narrow.sum(axis=0)
    to_wide = (to_narrow @ weights.second.T) * (wide > 0)
    slopes[1] += to_wide.sum(axis=0)
    for side in range(2):
        np.add.at(slopes[0][side], places[:, side], to_wide[:, None, :] * shares[:, side])


def _slope(one: Position, weight: float) -> float:
    """How the nats of the gold token change with the local model's weight."""
    apart = one.local - one.cloud
    mixed = one.cloud + weight * apart
    shares = np.exp(mixed - mixed.max())
    return float(shares @ apart / shares.sum() - apart[one.gold])
