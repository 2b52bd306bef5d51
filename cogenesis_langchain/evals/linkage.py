"""Whose request was this? Outgoing bodies against the profiles of everybody, scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cogenesis_langchain.evals.attackers import Array, Holdings, Seen, features, pooled, posteriors

_DRAWS = 1000
_DECILE = 0.1


@dataclass(frozen=True, slots=True)
class Linked:
    """How one attacker did. Shares are between 0 and 1; `entropy` in bits.

    `top1` counts the share of a tie. `low` and `high`: 95 % of bootstrap draws over persons.
    `worst_decile`: mean probability of the right person, over the tenth of persons who stand out most.
    """

    attacker: str
    top1: float
    low: float
    high: float
    top5: float
    entropy: float
    worst_decile: float

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        names = ("top1", "low", "high", "top5", "entropy", "worst_decile")
        return {"attacker": self.attacker} | {name: round(getattr(self, name), 4) for name in names}


def attack(
    seen: Sequence[Seen], held: Holdings, *, together: Sequence[int] = (1,)
) -> dict[int, list[Linked]]:
    """Every attacker on these bodies. `together`: 1 takes each alone, more pools what one person sent."""
    scores = features(seen, held)
    found = {}
    for count in together:
        added, whose = pooled(scores, seen, count)
        found[count] = [
            judged(name, posterior, whose) for name, posterior in posteriors(added, whose, held.folds).items()
        ]
    return found


def judged(attacker: str, posterior: Array, whose: Any) -> Linked:
    """The figures of a posterior (rows, persons) where `whose` (rows,) is right."""
    right = posterior[np.arange(len(whose)), whose]
    above = (posterior > right[:, None] * (1 + 1e-9)).sum(axis=1)
    tied = np.isclose(posterior, right[:, None], rtol=1e-9, atol=0).sum(axis=1)
    first, fifth = (np.clip((k - above) / tied, 0, 1) for k in (1, 5))
    logs = np.log2(posterior, out=np.zeros_like(posterior), where=posterior > 0)
    each = np.array([right[whose == person].mean() for person in np.unique(whose)])
    decile = np.sort(each)[-max(1, round(_DECILE * len(each))) :]
    low, high = interval(first, whose)
    return Linked(
        attacker,
        float(first.mean()),
        low,
        high,
        float(fifth.mean()),
        float(-(posterior * logs).sum(axis=1).mean()),
        float(decile.mean()),
    )


def interval(values: Any, whose: Any) -> tuple[float, float]:
    """95 % of the means over persons drawn with replacement (whole persons, as their requests are alike)."""
    persons = np.unique(whose)
    sums = np.array([values[whose == person].sum() for person in persons])
    counts = np.array([(whose == person).sum() for person in persons])
    drawn = np.random.default_rng(21).integers(0, len(persons), (_DRAWS, len(persons)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
