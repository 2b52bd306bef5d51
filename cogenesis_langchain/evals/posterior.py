"""From scores to probabilities: a conditional logit, fitted on the other folds of persons. No models of text.

For the attackers that compare texts the fit is a temperature and the choice of one way to compare; for the
trained one it is a weight for each feature (McFadden 1974).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ATTACKERS = ("tfidf", "minilm", "trained")
_ROUNDING = 1e-5
_DRAWS = 1000


def pooled(scores: Mapping[str, Array], whose: Any, together: int) -> tuple[dict[str, Array], Any]:
    """Scores added up over what one person sent, and whose they are; as they are for one request."""
    if together == 1:
        return dict(scores), whose
    persons = np.unique(whose)
    return {
        name: np.stack([rows[whose == person].sum(axis=0) for person in persons])
        for name, rows in scores.items()
    }, persons


def posteriors(scores: Mapping[str, Array], whose: Any, folds: Any) -> dict[str, Array]:
    """Attacker -> (rows, persons): the probability of each candidate, fitted on the other folds."""
    found = {name: np.zeros((len(whose), len(folds))) for name in ATTACKERS}
    for fold in range(int(folds.max()) + 1):
        test = folds[whose] == fold
        others = np.flatnonzero(folds != fold)
        place = np.full(len(folds), -1)
        place[others] = np.arange(len(others))
        if not test.any() or test.all():
            continue
        for attacker in ATTACKERS:
            names = [name for name in scores if name.startswith(attacker) or attacker == "trained"]
            x = np.stack([_centred(scores[name], whose, others) for name in names], axis=2)
            known, true = x[~test][:, others], place[whose[~test]]
            if attacker == "trained":
                weights = fit(known, true)
            else:
                weights = _best_one(known, true)
            found[attacker][test] = softmax(x[test] @ weights)
    return found


def _centred(scores: Array, whose: Any, others: Any) -> Array:
    """About the mean of each row, in units of the spread among the training persons."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred[np.isin(whose, others)][:, others].std()
    return centred / spread if spread > 1e-9 else np.zeros_like(centred)


def _best_one(x: Array, true: Any) -> Array:
    """(f,) Weights that use the one feature that explains the training rows best, with its temperature."""
    best, chosen = -np.inf, np.zeros(x.shape[2])
    for number in range(x.shape[2]):
        weight = max(float(fit(x[:, :, [number]], true)[0]), 1e-3)
        gain = float(log_softmax(x[:, :, number] * weight)[np.arange(len(true)), true].sum())
        if gain > best:
            best, chosen = gain, np.eye(x.shape[2])[number] * weight
    return chosen


def fit(x: Array, true: Any, *, penalty: float = 1.0, steps: int = 30) -> Array:
    """(f,) Weights of a conditional logit by Newton's method. x: (rows, candidates, f); true: (rows,)."""
    rows, weights = np.arange(len(true)), np.zeros(x.shape[2])

    def gain(tried: Array) -> float:
        return float(log_softmax(x @ tried)[rows, true].sum() - penalty / 2 * tried @ tried)

    reached = gain(weights)
    for _ in range(steps):
        p = softmax(x @ weights)
        mean = np.einsum("rc,rcf->rf", p, x)
        slope = (x[rows, true] - mean).sum(axis=0) - penalty * weights
        bend = np.einsum("rcf,rcg->fg", p[:, :, None] * x, x, optimize=True) - mean.T @ mean
        step = np.linalg.solve(bend + penalty * np.eye(len(weights)), slope)
        while (better := gain(weights + step)) < reached and np.abs(step).max() > _ROUNDING:
            step = step / 2
        if better - reached < _ROUNDING * len(true):
            break
        weights, reached = weights + step, better
    return weights


def log_softmax(scores: Array) -> Array:
    """(rows, candidates) Log-probabilities, each row adding up to one."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def softmax(scores: Array) -> Array:
    """(rows, candidates) Probabilities, each row adding up to one."""
    probabilities: Array = np.exp(log_softmax(scores))
    return probabilities


def ridge(x: Any, y: Any, asked: Any, penalty: float) -> Array:
    """(len(asked), k) What rows `asked` give by ridge regression of y (n, k) on x (n, d), dual form."""
    centre, level = x.mean(axis=0), y.mean(axis=0)
    kernel = (x - centre) @ (x - centre).T + penalty * np.eye(len(x))
    found: Array = ((asked - centre) @ (x - centre).T) @ np.linalg.solve(kernel, y - level) + level
    return found


def interval(values: Any, whose: Any) -> tuple[float, float]:
    """95 % of the means over persons drawn with replacement (whole persons, as their requests are alike)."""
    return ratio_interval(values, np.ones(len(values)), whose)


def ratio_interval(above: Any, below: Any, whose: Any) -> tuple[float, float]:
    """95 % of sum(above) / sum(below) over persons drawn with replacement; each (rows,)."""
    persons = np.unique(whose)
    sums = np.array([(above[whose == one].sum(), below[whose == one].sum()) for one in persons])
    drawn = np.random.default_rng(21).integers(0, len(persons), (_DRAWS, len(persons)))
    tops, bottoms = sums[drawn].sum(axis=1).T
    low, high = np.quantile(tops / bottoms, (0.025, 0.975))
    return float(low), float(high)
