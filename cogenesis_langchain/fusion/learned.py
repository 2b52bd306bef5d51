"""The learned combiner: a mixture of simple experts, weighed at each token by a gate on 25 scalars. Pure.

An expert is a product of powers of the rows of a head (see `features`): the local model itself, the cloud
with either tail, their geometric means flat or sharp, the local model moved as the cloud differs from it
without context. A mixture of them is never much worse than its best expert, and each of its parts adds up
to 1. All tokens outside the head are one more token to an expert, as wide as `RESTS` equal ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import ModelCorruptError
from cogenesis_langchain.fusion.distributions import Floats
from cogenesis_langchain.fusion.features import (
    CLOUD,
    CLOUD_LOCAL,
    LOCAL,
    SCALARS,
    WHOLE,
    Head,
    Seen,
    scalars,
)

Numbers = NDArray[np.float64]

FILE = "combiner.json"
RESTS = 3000.0
EXPERTS = np.array(
    [[1, 0, 0, 0], [0, 0, 1, 0], [0.6, 0.6, 0, -0.4], [0.8, 0.8, 0, -0.8], [0.3, 0, 0.6, 0]], dtype=np.float64
)
"""(experts, 4) Powers of LOCAL, CLOUD, CLOUD_LOCAL and GENERIC."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Coefficients (1 + SCALARS, K): a column makes the logit of an expert; the first row is added as it is.

    `generic` and `plain`: where the local model without context was asked too, and where it was not. Each
    again for a cloud that saw another text, which agrees with this one in its last bytes at most.
    """

    generic: Numbers = field(repr=False)
    generic_apart: Numbers = field(repr=False)
    plain: Numbers = field(repr=False)
    plain_apart: Numbers = field(repr=False)

    def gate(self, seen: Seen) -> Numbers:
        """The one for a position."""
        if seen.facts.matched is None or seen.facts.matched >= WHOLE:
            return self.generic if seen.is_generic else self.plain
        return self.generic_apart if seen.is_generic else self.plain_apart

    @property
    def parameters(self) -> int:
        """How many numbers were fitted."""
        return sum(getattr(self, name).size for name in GATES)


GATES = tuple(Gates.__dataclass_fields__)


class Learned:
    """Callable as the plain combiners are."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates

    def __call__(self, seen: Seen) -> tuple[Floats, float]:
        """(V,) and the cloud's share."""
        head = Head.of(seen)
        inside, rest = experts(head)
        gate = self._gates.gate(seen)
        logits = gate[0] + scalars(head, seen) @ gate[1:]
        share = log_shares(logits)
        out = _rest(head, seen, share + rest)
        out[head.ids] = _mixed(inside, share)
        return out, float(np.exp(share) @ cloud_shares())


def log_shares(logits: Numbers) -> Numbers:
    """(..., K) The experts' shares by their logits (..., K), in logs."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _mixed(inside: Floats, share: Numbers) -> Floats:
    """(n,) Log of the shares' mean of (K, n)."""
    weighed = inside + share[:, None].astype(np.float32)
    best = weighed.max(axis=0)
    return np.asarray(best + np.log(np.exp(weighed - best).sum(axis=0)))


def _rest(head: Head, seen: Seen, mass: Numbers) -> Floats:
    """(V,) Every token as one outside the head; `mass` (K,) is what each expert leaves to those, in logs."""
    cloud = cloud_shares() if head.outside else np.zeros(len(mass))
    parts = np.exp(mass)
    local = seen.local + np.float32(np.log(parts @ (1 - cloud)) - head.rest[LOCAL])
    if not head.outside:
        return local
    return np.asarray(np.logaddexp(local, seen.cloud + np.float32(np.log(parts @ cloud) - head.rest[CLOUD])))


def experts(head: Head) -> tuple[Floats, Numbers]:
    """(K, n) and (K,): log-probabilities of each expert for the head's tokens, and for the rest."""
    found = EXPERTS.astype(np.float32) @ head.rows
    rest = EXPERTS @ head.rest + (1 - EXPERTS.sum(axis=1)) * np.log(RESTS)
    best = np.maximum(found.max(axis=1), rest)
    total = np.exp(found - best[:, None]).sum(axis=1, dtype=np.float64) + np.exp(rest - best)
    whole = best + np.log(total)
    return (found - whole[:, None]).astype(np.float32), rest - whole


def cloud_shares() -> Numbers:
    """(K,) How much of each expert is the cloud's, 0 to 1."""
    cloud = EXPERTS[:, CLOUD] + EXPERTS[:, CLOUD_LOCAL]
    return np.asarray(cloud / np.maximum(cloud + EXPERTS[:, LOCAL], 1e-6))


def log_rest(head: Head, seen: Seen, token: int) -> Numbers:
    """(K,) Log-probability of one token outside the head among those outside, to each expert."""
    local = float(seen.local[token]) - head.rest[LOCAL]
    if not head.outside:
        return np.full(len(EXPERTS), local)
    share = np.clip(cloud_shares(), 1e-6, 1 - 1e-6)
    cloud = float(seen.cloud[token]) - head.rest[CLOUD]
    return np.asarray(np.logaddexp(np.log(1 - share) + local, np.log(share) + cloud))


def shipped() -> Learned:
    """With the coefficients of this package. Raises ModelCorruptError where they are not as written."""
    return Learned(read(files("cogenesis_langchain").joinpath("data", FILE).read_text(encoding="utf-8")))


def read(text: str) -> Gates:
    """Coefficients from their file. Raises ModelCorruptError for anything else."""
    try:
        data = json.loads(text)
        found = [np.array(data[name], np.float64) for name in GATES]
        fits = data["experts"] == EXPERTS.tolist() and data["scalars"] == SCALARS
        shape = (1 + SCALARS, len(EXPERTS))
        if not fits or not all(one.shape == shape and np.isfinite(one).all() for one in found):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ModelCorruptError(
            "the combiner's coefficients do not fit this version; fit them: `cogenesis train combiner`"
        ) from None
    return Gates(*found)


def write(gates: Gates, card: Mapping[str, Any]) -> str:
    """The file of coefficients, with its card in it."""
    data = {
        "card": {**card, "parameters": gates.parameters},
        "scalars": SCALARS,
        "experts": EXPERTS.tolist(),
    } | {name: np.round(getattr(gates, name), 4).tolist() for name in GATES}
    return json.dumps(data) + "\n"
