"""The cloud's part of form `live`: what it was shown, what it said, and when it is asked again.

Nothing here knows the text. When a request is made depends on the shadow, on what the local model expects
after the shadow, and on what the cloud said of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import CoGenesisError
from cogenesis_langchain.fusion.distributions import Floats
from cogenesis_langchain.fusion.shadow import Budget
from cogenesis_langchain.settings import LiveConfig
from cogenesis_langchain.types import Draft, TopLogprobs

Ask = Callable[[str, float], Draft]
"""Has the cloud continue a text, which may be empty. The number is what it tells beyond the text before, at
most, in nats. Any CoGenesisError ends the cloud's part for good."""

WORD_BEGINS = 0.5
"""Probability that a word begins, from which the shadow is taken to stand between two."""
_USUAL = LiveConfig()


@dataclass(frozen=True, slots=True)
class Live:
    """How much may be told and asked; see `settings.LiveConfig`. `trusted`: the shadow is the text."""

    nats_per_token: float = _USUAL.nats_per_token
    max_nats: float = _USUAL.max_nats
    block: int = _USUAL.block
    max_requests: int = _USUAL.max_requests
    trusted: bool = False
    tokens_per_request: float = _USUAL.tokens_per_request
    """Requests are at most one more than the tokens shown divided by this."""


@dataclass
class _Heard:
    """What the cloud said after a prefix of the shadow, as far as the shadow went the same way."""

    ahead: list[TopLogprobs] = field(default_factory=list)
    inside: bytes = b""

    @property
    def here(self) -> TopLogprobs | None:
        """The candidates at this very place; None between the bytes of one of the cloud's tokens."""
        return self.ahead[0] if self.ahead and not self.inside else None

    def advance(self, piece: bytes) -> None:
        """The shadow goes on with `piece`; at the first divergence all is dropped."""
        self.inside += piece
        while self.ahead and self.ahead[0].token and self.inside.startswith(self.ahead[0].token):
            self.inside = self.inside[len(self.ahead.pop(0).token) :]
        if not self.ahead or not self.ahead[0].token.startswith(self.inside):
            self.ahead, self.inside = [], b""


class Asking:
    """What the cloud was shown of one text (`shown`), and whether it is still asked (`open`)."""

    def __init__(self, ask: Ask, live: Live, begins: NDArray[np.bool_], budget: Budget | None) -> None:
        self.shown = b""
        self.open = True
        self._ask = ask
        self._live = live
        self._budget = budget
        self._begins = begins.astype(np.float32)
        self._heard = _Heard()
        self._tokens = self._requests = 0
        self._charged = 0.0

    def here(self, expected: Floats) -> TopLogprobs | None:
        """The cloud's candidates after the shadow, asked for where that is due.

        Args:
            expected: (V,) probabilities of what comes next in the shadow, to the local model.
        """
        if self.open and self._due(expected):
            self._request()
        return self._heard.here

    def show(self, piece: bytes) -> None:
        """The shadow goes on with one token."""
        self.shown += piece
        self._tokens += 1
        self._heard.advance(piece)

    def end(self) -> None:
        """Nothing more is sent, and nothing said before is used."""
        self.open = False
        self._heard = _Heard()

    def _due(self, expected: Floats) -> bool:
        if self._heard.ahead or self._requests >= self._live.max_requests:
            return False
        if self._requests * self._live.tokens_per_request > self._tokens:
            return False
        return not self.shown or float(expected @ self._begins) > WORD_BEGINS

    def _request(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self.shown)
        if decoder.getstate()[0]:  # ends in the middle of a character
            return
        charged = self._budget.charged(self._tokens) if self._budget else 0.0
        nats, self._charged = charged - self._charged, charged
        self._requests += 1
        try:
            draft = self._ask(text, nats)
        except CoGenesisError:
            self.end()
            return
        if not draft.text:
            self.end()
            return
        self._heard = _Heard(list(draft.positions))
