"""What the learned combiner is fitted on, and the fitting: at every gold token its scalars and each expert.

Everything is read from the kept numbers of `gold`, so that fitting needs no model and takes seconds. It is
deterministic: the same numbers give the same coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.evals.fusion import likeliest
from cogenesis_langchain.evals.gold import Gold
from cogenesis_langchain.fusion.features import Facts, Head, Seen, scalars
from cogenesis_langchain.fusion.learned import Gates, experts, log_rest

Numbers = NDArray[np.float64]

_ROUNDS = 500
_STEP = 0.05
_PENALTY = 0.02  # on large coefficients, chosen by cross-validation over persons


@dataclass(frozen=True, slots=True)
class Variant:
    """One way an endpoint is asked. `cloud`, `generic`: sources of `gold`; `k`: candidates, 0 is all."""

    cloud: str
    generic: str | None
    k: int

    @property
    def name(self) -> str:
        """For tables."""
        task = "instruction" if self.cloud == "cb" else "generic task"
        return f"{task}, {f'top-{self.k}' if self.k else 'whole'}{'' if self.generic else ', no l_0'}"


GENERIC = tuple(Variant("cg", "l0", k) for k in (20, 0))
PLAIN = tuple(Variant(cloud, None, k) for cloud in ("cg", "cb") for k in (20, 0))


@dataclass(frozen=True, slots=True)
class Material:
    """Positions of one person in one variant: `seen` (n, SCALARS), `worth` (n, K) log of the gold token."""

    seen: Numbers = field(repr=False)
    worth: Numbers = field(repr=False)


def material(gold: Gold, variant: Variant) -> Material:
    """Every position of a gold text."""
    seen, worth = zip(*_positions(gold, variant), strict=True)
    return Material(np.array(seen), np.array(worth))


def _positions(gold: Gold, variant: Variant) -> Iterator[tuple[Numbers, Numbers]]:
    for at, token in enumerate(gold.tokens):
        local = gold.at(at, "lw").astype(np.float32)
        generic = gold.at(at, variant.generic).astype(np.float32) if variant.generic else None
        listed = likeliest(gold.at(at, variant.cloud), variant.k)
        seen = Seen.of(local, listed, generic, Facts(at, rest=True))
        head = Head.of(seen)
        inside, rest = experts(head)
        place = int(np.searchsorted(gold.ids[at], token))
        found = np.flatnonzero(head.ids == place)
        worth = inside[:, int(found[0])] if len(found) else rest + log_rest(head, seen, place)
        yield scalars(head, seen), worth.astype(np.float64)


def fit(given: Sequence[Material]) -> Numbers:
    """(1 + SCALARS, K) The gate under which the mixture finds the gold tokens likeliest."""
    seen = np.concatenate([one.seen for one in given])
    worth = np.concatenate([one.worth for one in given])
    middle, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    columns = np.concatenate([np.ones((len(seen), 1)), (seen - middle) / spread], axis=1)
    found = _descend(columns, worth)
    weights = found[1:] / spread[:, None]
    return np.concatenate([found[:1] - middle @ weights, weights])


def _descend(columns: Numbers, worth: Numbers) -> Numbers:
    """Adam on the mean negative log of the mixture; whole batches, so nothing is left to chance."""
    found = np.zeros((columns.shape[1], worth.shape[1]))
    first, second = np.zeros_like(found), np.zeros_like(found)
    for number in range(1, _ROUNDS + 1):
        shares = _log_shares(columns @ found)
        joint = shares + worth
        slope = columns.T @ (np.exp(shares) - np.exp(_log_shares(joint))) / len(columns)
        slope[1:] += 2 * _PENALTY * found[1:]
        first = 0.9 * first + 0.1 * slope
        second = 0.99 * second + 0.01 * slope**2
        step = first / (1 - 0.9**number) / (np.sqrt(second / (1 - 0.99**number)) + 1e-8)
        found -= _STEP * (1 - number / (_ROUNDS + 1)) * step
    return found


def nll(gate: Numbers, given: Sequence[Material]) -> Numbers:
    """(n,) Nats of each gold token under the mixture."""
    seen = np.concatenate([one.seen for one in given])
    worth = np.concatenate([one.worth for one in given])
    return np.asarray(-np.log(np.exp(_log_shares(gate[0] + seen @ gate[1:]) + worth).sum(axis=1)))


def fitted(golds: Sequence[Gold]) -> Gates:
    """Both gates, on all variants of all persons."""
    generic, plain = (
        fit([material(gold, one) for one in variants for gold in golds]) for variants in (GENERIC, PLAIN)
    )
    return Gates(generic, plain)


def _log_shares(logits: Numbers) -> Numbers:
    best = logits.max(axis=1, keepdims=True)
    shifted = logits - best
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
