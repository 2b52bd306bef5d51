"""The ways to make one distribution of two, by name. Pure.

`local` (V,) are log-probabilities with the person's context, `generic` (V,) those of the same model without
it, if asked for, and `listed` what the cloud, which sees no context, says of the same position.
Whether the text ends is the local model's business alone: no cloud sees that in its own text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.fusion import learned, paper
from cogenesis_langchain.fusion.distributions import NEVER, Floats, Listed, log_softmax
from cogenesis_langchain.fusion.features import Facts, Fused, Seen

__all__ = ["COMBINERS", "Combiner", "Facts", "Fused", "combiner"]

PULL = 0.5
"""How far `delta` goes the way from the local model without context to the cloud."""
CLIP = 4.0
"""Nats by which `delta` moves a token at most."""


class Combiner(Protocol):
    """One way to combine. Callable from one thread at a time."""

    name: str

    def fuse(self, local: Floats, listed: Listed, generic: Floats | None, facts: Facts) -> Fused:
        """The distribution of the next token; everything (V,) in nats, listed in the local vocabulary."""
        ...


_TINY = np.float32(1e-38)

Mix = Callable[[Seen], tuple[Floats, float]]


def mean(seen: Seen) -> tuple[Floats, float]:
    """The mean of both probabilities."""
    shares = (np.exp(seen.local) + np.exp(seen.cloud)) * np.float32(0.5)
    return np.log(np.maximum(shares, _TINY)), 0.5  # several times quicker than logaddexp


def logmean(seen: Seen) -> tuple[Floats, float]:
    """The mean of both log-probabilities."""
    return log_softmax((seen.local + seen.cloud) * np.float32(0.5)), 0.5


def delta(seen: Seen) -> tuple[Floats, float]:
    """The local model, moved as the cloud differs from it without context (proxy-tuning, CoSteer)."""
    moved = np.clip(seen.cloud - seen.generic, -CLIP, CLIP) * np.float32(PULL)
    return log_softmax(seen.local + moved), PULL


def _learned(path: Path | None) -> Mix:
    if path is None:
        return learned.shipped()
    return learned.Learned(learned.read(_text(path)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: cannot be read; fit one: `cogenesis train combiner`") from None


def _paper(path: Path | None) -> Mix:
    if path is None:
        raise ConfigError("combiner paper needs a file of weights: `cogenesis train combiner --paper`")
    return paper.Paper(paper.load(path))


_MADE: Mapping[str, Callable[[Path | None], Mix]] = {
    "mean": lambda _: mean,
    "logmean": lambda _: logmean,
    "delta": lambda _: delta,
    "learned": _learned,
    "paper": _paper,
}
COMBINERS = tuple(_MADE)
FILES = {"learned": ".json", "paper": ".npz"}
"""Those with coefficients, and how the names of their files end."""


def combiner(name: str, *, control: NDArray[np.bool_] | None = None, path: Path | None = None) -> Combiner:
    """The combiner of that name.

    Args:
        name: one of COMBINERS.
        control: (V,) true for the local tokens that stand for no text, whose probability stays the local
            model's.
        path: coefficients other than the shipped ones, for `learned`; the weights, for `paper`.

    Raises:
        ConfigError: no such name, or no file.
        ModelCorruptError: a file that does not fit.
    """
    if name not in _MADE:
        raise ConfigError(f"there is no combiner {name!r}; use one of {', '.join(COMBINERS)}")
    return _Guarded(name, _MADE[name](path), control)


class _Guarded:
    """Keeps control tokens out of what is combined, and puts them back as the local model has them."""

    def __init__(self, name: str, mix: Mix, control: NDArray[np.bool_] | None) -> None:
        self.name = name
        self._mix = mix
        self._control = np.flatnonzero(control) if control is not None else np.arange(0)

    def fuse(self, local: Floats, listed: Listed, generic: Floats | None, facts: Facts) -> Fused:
        kept = local[self._control]
        ends = min(float(np.exp(kept).sum(dtype=np.float64)), 1.0)
        if ends > 0.999:
            return Fused(local, 0.0)
        others = self._without(generic) if generic is not None else None
        mixed, weight = self._mix(Seen.of(self._without(local), listed, others, facts))
        if len(kept):
            mixed += np.float32(np.log1p(-ends))
            mixed[self._control] = kept
        return Fused(mixed, weight)

    def _without(self, logprobs: Floats) -> Floats:
        """The same without control tokens, adding up to 1."""
        if not len(self._control):
            return logprobs
        ends = float(np.exp(logprobs[self._control]).sum(dtype=np.float64))
        out = logprobs - np.float32(np.log(max(1.0 - ends, 1e-6)))
        out[self._control] = NEVER
        return np.asarray(out)
