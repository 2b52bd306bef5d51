"""Whose request was this? Outgoing bodies of several methods against the profiles of everybody, scored.

A row counts for a method only where that method lets something leave; the share of those is the send rate.
Of a body everything counts, whatever role or field it stands in, but for the lines that all bodies of the
method share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cogenesis_langchain.evals.attackers import Holdings, Seen, features
from cogenesis_langchain.evals.attributes import Inferred, infer, standing
from cogenesis_langchain.evals.outgoing import Sent, telling
from cogenesis_langchain.evals.posterior import Array, interval, pooled, posteriors

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


@dataclass(frozen=True, slots=True)
class Assessed:
    """One method after the attacks; `linked` and `inferred` by how many requests were pooled.

    `similarity`: mean cosine of what is told and the request (MiniLM). `seconds`: of the local model for one
    body, the mean. `standing`: bodies in which a name, place, employer or private fact of the person stands
    as it is, by which. `distinct`: different bodies.
    """

    method: str
    rows: int
    sent: int
    similarity: float | None
    seconds: float
    distinct: int
    standing: dict[str, int]
    linked: dict[int, list[Linked]]
    inferred: dict[int, list[Inferred]]

    @property
    def send_rate(self) -> float:
        """Share of the requests for which something leaves."""
        return self.sent / self.rows if self.rows else 0.0

    def worst(self, together: int) -> Linked | None:
        """The attacker who finds the right person most often; None where nothing was sent."""
        return max(self.linked.get(together, ()), key=lambda one: one.top1, default=None)

    def as_dict(self) -> dict[str, Any]:
        """JSON form: with the attackers and attributes of each number of requests."""
        pools = [
            {
                "requests": together,
                "worst": worst.as_dict() if (worst := self.worst(together)) else None,
                "attackers": [one.as_dict() for one in linked],
                "attributes": [one.as_dict() for one in self.inferred.get(together, ())],
            }
            for together, linked in self.linked.items()
        ]
        return {
            "method": self.method,
            "rows": self.rows,
            "sent": self.sent,
            "send_rate": round(self.send_rate, 4),
            "similarity": None if self.similarity is None else round(self.similarity, 4),
            "seconds": round(self.seconds, 3),
            "distinct": self.distinct,
            "standing": self.standing,
            "linkage": pools,
        }


def assess(method: str, rows: Sequence[Sent], held: Holdings, *, together: Sequence[int] = (1,)) -> Assessed:
    """Every attack on what one method sends. `together`: 1 takes each body alone, more pools a person's."""
    left = [row for row in rows if row.text is not None]
    texts = [row.text or "" for row in left]
    seen = [
        Seen(row.person, held.persons[row.person].tasks[row.request], text)
        for row, text in zip(left, telling(texts), strict=True)
    ]
    stands = [standing(text, held.persons[row.person]) for row, text in zip(left, texts, strict=True)]
    able = len({one.person for one in seen}) > 1
    return Assessed(
        method,
        len(rows),
        len(left),
        _similarity(seen, held) if seen else None,
        sum(row.seconds for row in rows) / max(1, len(rows)),
        len({one.text for one in seen}),
        {kind: n for kind in ("name", "place", "employer", "fact") if (n := sum(kind in s for s in stands))},
        attack(seen, held, together=together) if able else {},
        {count: infer(seen, held, together=count) for count in together} if able else {},
    )


def attack(
    seen: Sequence[Seen], held: Holdings, *, together: Sequence[int] = (1,)
) -> dict[int, list[Linked]]:
    """Every attacker on these bodies, by how many of a person's are pooled."""
    scores = features(seen, held)
    found = {}
    for count in together:
        added, whose = pooled(scores, np.array([one.person for one in seen]), count)
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


def _similarity(seen: Sequence[Seen], held: Holdings) -> float:
    asked = held.vectors([one.request for one in seen])
    return float((held.vectors([one.text for one in seen]) * asked).sum(axis=1).mean())
