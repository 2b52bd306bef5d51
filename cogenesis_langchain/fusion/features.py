"""What a combiner looks at: both distributions of one position, and about 20 scalars about them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cogenesis_langchain.fusion.distributions import Floats, Listed, spread


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a position besides the distributions.

    `position`: tokens of the text so far. `matched`: bytes in which the end of the text equals the end of
    what the cloud saw; None where it saw the text itself.
    """

    position: int = 0
    matched: int | None = None


@dataclass(frozen=True, slots=True)
class Fused:
    """`logprobs` (V,) of the next token, and `weight`: the cloud's share in the decision, 0 to 1."""

    logprobs: Floats = field(repr=False)
    weight: float


@dataclass(frozen=True, slots=True)
class Seen:
    """One position. `cloud`: the list with its tail by `generic`, which is `local` where there is none.

    All three are (V,).
    """

    local: Floats = field(repr=False)
    listed: Listed
    generic: Floats = field(repr=False)
    cloud: Floats = field(repr=False)
    facts: Facts

    @classmethod
    def of(cls, local: Floats, listed: Listed, generic: Floats | None, facts: Facts) -> Seen:
        """Spreads the tail by the generic distribution where there is one, else by the local one."""
        by = local if generic is None else generic
        return cls(local, listed, by, spread(listed, by), facts)

    @property
    def is_generic(self) -> bool:
        """Whether there is a distribution of the local model without context."""
        return self.generic is not self.local


def entropy(logprobs: Floats) -> float:
    """In nats."""
    return -float((np.exp(logprobs) * logprobs).sum(dtype=np.float64))
