"""What the learned combiner is fitted on, and the fitting: at every gold token its scalars and each expert.

Everything is read from the kept numbers of `gold`, so that fitting needs no model and takes seconds. It is
deterministic: the same numbers give the same coefficients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.evals.fusion import likeliest
from cogenesis_langchain.evals.gold import Gold
from cogenesis_langchain.fuse.live import alike
from cogenesis_langchain.fusion.features import Facts, Head, Seen, scalars
from cogenesis_langchain.fusion.learned import RESTS, Gates, experts, log_rest, log_shares
from cogenesis_langchain.logprobs import LISTED

Numbers = NDArray[np.float64]

FOLDS = 3
_LAST = 24  # tokens whose bytes are compared
_ROUNDS = 400
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


GENERIC = tuple(Variant("cg", "l0", k) for k in (LISTED, 0))
PLAIN = tuple(Variant(cloud, None, k) for cloud in ("cg", "cb") for k in (LISTED, 0))


@dataclass(frozen=True, slots=True)
class Material:
    """Positions of one person in one variant: `seen` (n, SCALARS), `worth` (n, K) log of the gold token."""

    seen: Numbers = field(repr=False)
    worth: Numbers = field(repr=False)


def material(gold: Gold, variant: Variant) -> Material:
    """Every position of a gold text, the cloud having seen just this text."""
    places = range(len(gold.tokens))
    return _material(gold, ((at, at, Facts(at, kept=gold.ids[at])) for at in places), variant)


def elsewhere(gold: Gold, variant: Variant, pieces: Sequence[bytes]) -> Material:
    """As `material`, the cloud having seen another text: up to another place of the same one.

    That is what a draft or a shadow is where it has parted from the text. Of each token once the place whose
    last bytes agree best, and once any place. `pieces` (n,): the bytes of the gold tokens.
    """
    before = [b"".join(pieces[max(0, at - _LAST) : at]) for at in range(len(pieces))]
    rng = np.random.default_rng(7)
    pairs = []
    for at in range(1, len(pieces)):
        others = [other for other in range(1, len(pieces)) if other != at]
        best = max(others, key=lambda other: alike(before[at], before[other]))
        for other in (best, int(rng.choice(others))):
            pairs.append((at, other, Facts(at, alike(before[at], before[other]), gold.ids[at])))
    return _material(gold, pairs, variant)


def _material(gold: Gold, places: Iterable[tuple[int, int, Facts]], variant: Variant) -> Material:
    """`places`: a gold token, the one before which the cloud was asked, and what is known there."""
    found = [_position(gold, at, other, facts, variant) for at, other, facts in places]
    return Material(np.array([seen for seen, _ in found]), np.array([worth for _, worth in found]))


def _position(gold: Gold, at: int, other: int, facts: Facts, variant: Variant) -> tuple[Numbers, Numbers]:
    local = gold.at(at, "lw").astype(np.float32)
    generic = _moved(gold, at, other, variant.generic) if variant.generic else None
    listed = likeliest(_moved(gold, at, other, variant.cloud).astype(np.float64), variant.k)
    seen = Seen.of(local, listed, generic, facts)
    head = Head.of(seen)
    inside, rest = experts(head)
    place = int(np.searchsorted(gold.ids[at], gold.tokens[at]))
    found = np.flatnonzero(head.ids == place)
    worth = inside[:, int(found[0])] if len(found) else rest + log_rest(head, seen, place)
    return scalars(head, seen), worth.astype(np.float64)


def _moved(gold: Gold, at: int, other: int, source: str) -> NDArray[np.float32]:
    """(u + 1,) What a source says before token `other`, as columns of token `at`."""
    there = gold.at(other, source)
    if at == other:
        return there.astype(np.float32)
    ids, wanted = gold.ids[other], gold.ids[at]
    found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    known = ids[found] == wanted
    row = np.where(known, there[found], there[-1] - np.log(RESTS))
    left = max(1 - float(np.exp(row).sum()), 1e-6)
    return np.append(row, np.log(left)).astype(np.float32)


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
        shares = log_shares(columns @ found)
        joint = shares + worth
        slope = columns.T @ (np.exp(shares) - np.exp(log_shares(joint))) / len(columns)
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
    return np.asarray(-np.log(np.exp(log_shares(gate[0] + seen @ gate[1:]) + worth).sum(axis=1)))


@dataclass(frozen=True, slots=True)
class Lesson:
    """One person by variant: `same`, the cloud having seen the text, and `apart`, it having seen another."""

    same: Mapping[Variant, Material] = field(repr=False)
    apart: Mapping[Variant, Material] = field(repr=False)


def lessons(golds: Iterable[Gold], pieces: Sequence[bytes]) -> Iterator[Lesson]:
    """One of each person; `pieces`: the bytes of every token of the vocabulary."""
    for gold in golds:
        written = [pieces[token] for token in gold.tokens]
        same = {one: material(gold, one) for one in (*GENERIC, *PLAIN)}
        yield Lesson(same, {one: elsewhere(gold, one, written) for one in same if one.k})


def fitted(given: Sequence[Lesson]) -> Gates:
    """All four gates, each on all variants and persons that it is for."""
    gates = []
    for variants in (GENERIC, PLAIN):
        same = [lesson.same[one] for one in variants for lesson in given]
        apart = [lesson.apart[one] for one in variants if one.k for lesson in given]
        gates += [fit(same), fit([*same, *apart])]
    return Gates(*gates)


def halves(given: Sequence[Lesson], folds: int = FOLDS) -> Iterator[tuple[list[Lesson], list[Lesson]]]:
    """(persons to fit on, persons held back), each person held back once."""
    for fold in range(folds):
        held = [one for number, one in enumerate(given) if number % folds == fold]
        yield [one for number, one in enumerate(given) if number % folds != fold], held


def unseen(seen: Sequence[Lesson], held: Sequence[Lesson]) -> dict[str, Numbers]:
    """Variant -> (n, 2) nats of each gold token of `held`: the local model, a mixture fitted on `seen`."""
    found = {}
    for variants in (GENERIC, PLAIN):
        gate = fit([lesson.same[one] for one in variants for lesson in seen])
        for one in variants:
            given = [lesson.same[one] for lesson in held]
            local = -np.concatenate([part.worth[:, 0] for part in given])
            found[one.name] = np.stack([local, nll(gate, given)], axis=1)
    return found
