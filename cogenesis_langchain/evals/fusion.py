"""How much of what the large model would gain from the person's context fusion gets without showing it any.

The measure is the negative log-likelihood (NLL) of texts that persons really wrote, in nats per token:

    gap_closed = (NLL local with context - NLL fused) / (NLL local with context - NLL cloud with context)

with the true text always given so far (teacher-forced). The cloud model with the context is a bound that only
exists in this process. An oracle that picks the better model at each token shows what combining two could do.
Combiners see the candidates that are kept (`gold.WIDTH` of each model and the gold token) and all others as
one more, so that no model has to be asked again; that costs the plain products (`logmean`, `delta`) a little.

What is not measured: texts that differ from the real one and are as good, and how a whole text reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.evals.gold import Gold
from cogenesis_langchain.evals.posterior import interval, ratio_interval
from cogenesis_langchain.fusion.combiners import Combiner, Facts
from cogenesis_langchain.fusion.distributions import LEAST_TAIL, Floats, Listed

ALONE = {
    "local with context": "lw",
    "local, generic task": "l0",
    "local, instruction alone": "lb",
    "cloud, generic task": "cg",
    "cloud, instruction alone": "cb",
    "cloud with context": "cw",
}
NEVER_SENT = "cloud with context"
ORACLE = "oracle per token"
SEEN = {"generic": ("cg", "l0"), "generic, no l_0": ("cg", None), "instruction": ("cb", None)}
"""What the cloud is asked, teacher-forced -> its source, and the local one without context, if used."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one way costs: `nll` of (tokens,), whose they are (tokens,), and the two ends of the gap there."""

    setting: str
    name: str
    nll: NDArray[np.float64] = field(repr=False)
    whose: NDArray[np.int64] = field(repr=False)
    worst: NDArray[np.float64] = field(repr=False)
    best: NDArray[np.float64] = field(repr=False)
    more: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The figures, with 95 % intervals over persons; the gap is None where there is none to close."""
        low, high = interval(self.nll, self.whose)
        gap, gap_low, gap_high = self._gap()
        return {
            "setting": self.setting,
            "name": self.name,
            "persons": len(np.unique(self.whose)),
            "tokens": len(self.nll),
            "nll": round(float(self.nll.mean()), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "gap_closed": gap,
            "gap_low": gap_low,
            "gap_high": gap_high,
            "never_sent": self.name == NEVER_SENT,
            "more": {name: round(value, 4) for name, value in self.more.items()},
        }

    def _gap(self) -> tuple[float | None, float | None, float | None]:
        closed, whole = self.worst - self.nll, self.worst - self.best
        if whole.sum() <= 0:
            return None, None, None
        low, high = ratio_interval(closed, whole, self.whose)
        return round(float(closed.sum() / whole.sum()), 4), round(low, 4), round(high, 4)


def row(
    setting: str,
    name: str,
    golds: Sequence[Gold],
    nll: Sequence[NDArray[np.float64]],
    more: Mapping[str, float] | None = None,
) -> Row:
    """`nll`: of each of `golds` (n,), or of its first tokens."""
    whose = [np.full(len(costs), gold.person) for gold, costs in zip(golds, nll, strict=True)]
    ends = [[g.nll[end][: len(costs)] for g, costs in zip(golds, nll, strict=True)] for end in ("lw", "cw")]
    worst, best = (np.concatenate(end) for end in ends)
    return Row(setting, name, np.concatenate(nll), np.concatenate(whose), worst, best, more or {})


def alone(golds: Sequence[Gold]) -> list[Row]:
    """Each model by itself, and the oracle that picks the better of local with context and generic cloud."""
    rows = [row("alone", name, golds, [gold.nll[key] for gold in golds]) for name, key in ALONE.items()]
    oracle = [np.minimum(gold.nll["lw"], gold.nll["cg"]) for gold in golds]
    return [*rows, row("alone", ORACLE, golds, oracle)]


def forced(golds: Iterable[Gold], combiners: Sequence[Combiner], k: int) -> Iterator[list[Row]]:
    """The rows so far after each person: every combiner on each of `SEEN`, true text given. k 0: no limit."""
    done: list[Gold] = []
    found: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for gold in golds:
        done.append(gold)
        for seen, (cloud, generic) in SEEN.items():
            for one in combiners:
                found.setdefault((seen, one.name), []).append(_costs(gold, one, cloud, generic, k))
        yield [row(f"true text, {seen}", name, done, costs) for (seen, name), costs in found.items()]


def _costs(gold: Gold, one: Combiner, cloud: str, generic: str | None, k: int) -> NDArray[np.float64]:
    costs = np.empty(len(gold.tokens))
    for at in range(len(costs)):
        local = gold.at(at, "lw").astype(np.float32)
        without = gold.at(at, generic).astype(np.float32) if generic else None
        fused = one.fuse(local, likeliest(gold.at(at, cloud), k), without, Facts(at, kept=gold.ids[at]))
        costs[at] = cost(gold, at, fused.logprobs)
    return costs


def cost(gold: Gold, at: int, logprobs: Floats) -> float:
    """Nats of gold token number `at` under a distribution over its candidates (u + 1,)."""
    return -float(logprobs[np.searchsorted(gold.ids[at], gold.tokens[at])])


def likeliest(logs: NDArray[np.float64], k: int) -> Listed:
    """The list of `k` candidates that an endpoint would give; all of them, the rest as one, where k is 0."""
    size = len(logs) - 1
    ids = np.argpartition(-logs[:size], k)[:k] if 0 < k < size else np.arange(len(logs))
    shares = np.exp(logs[ids])
    tail = max(1 - float(shares.sum()), LEAST_TAIL)
    return Listed(ids, (logs[ids] - np.log(shares.sum() / (1 - tail))).astype(np.float32), tail)
