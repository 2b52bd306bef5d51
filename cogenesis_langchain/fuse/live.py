"""Form `live`: the cloud continues a shadow of the text, the text itself stays here.

Two sequences grow in one llama context: the text T after the prompt with the person's context, and the shadow
S (`fusion.shadow`) after the generic task. Only S is ever sent. The cloud's candidates after S are fused with
the local model's after T; T's next token may then be anything, S takes it over only as far as its budget
goes. When the cloud is asked depends on S and on what the local model expects of S alone.

At a trusted endpoint S is T: one sequence, no budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.fuse.asking import Ask, Asking, Live
from cogenesis_langchain.fusion.combiners import Combiner, Facts
from cogenesis_langchain.fusion.distributions import LEAST_LEFT, NEVER, Floats, Listed, softmax
from cogenesis_langchain.fusion.records import decided
from cogenesis_langchain.fusion.shadow import Budget, Law, Shadow, Shares, Uniform
from cogenesis_langchain.fusion.syncing import LEAST, common_end
from cogenesis_langchain.types import Finish, Pieces, TokenTrace, TopLogprobs
from cogenesis_langchain.writer.parts import Cancel, TextOut, is_set

if TYPE_CHECKING:
    from cogenesis_langchain.writer.protocol import Steps

__all__ = ["Ask", "Live", "Private", "Taste", "alike", "fuse_live"]

Private = Callable[[bytes], bool]
"""Whether the text so far may end inside something that must not show."""
PARTED = 32
"""Tokens without LEAST bytes alike at both ends, after which the cloud's part ends: no budget brings the two
together again. Nor does T hear the cloud at such a place."""
LOOK_BACK = 64
"""Bytes in which they are compared."""
FLOOR = 0.05
"""Share of the uncut public distribution in what the shadow is drawn from: nothing is ruled out."""


_TINY = 1e-300  # what both models give no share at all still has a logarithm


class Taste(Protocol):
    """How tokens are drawn from log-probabilities; `sampling.Sampler` is one.

    These are (V,) and right up to a constant: they lie as high as the local model's logits, which a
    repetition penalty is made for.
    """

    def law(self, logits: NDArray[np.floating]) -> Law:
        """What the next token is drawn from."""
        ...

    def draw(self, law: Law) -> int:
        """A token of it, which is remembered; the chance must be one that nobody knows."""
        ...

    def remember(self, token: int) -> None:
        """A token that was drawn elsewhere."""
        ...


def fuse_live(
    steps: Steps,
    ask: Ask,
    combiner: Combiner,
    live: Live,
    taste: Taste,
    private: Private,
    *,
    public_taste: Taste | None = None,
    max_tokens: int,
    cancel: Cancel | None = None,
    trace: list[TokenTrace] | None = None,
    uniform: Uniform | None = None,
    budget: Budget | None = None,
) -> Pieces:
    """Pieces of the text as it is written. Cancellable between tokens.

    Args:
        steps: stands after both prompts; at a trusted endpoint after that of the text alone.
        ask: see `Ask`; called with nothing but the shadow.
        combiner: of the local model's distribution and the cloud's.
        live: what may be told and asked.
        taste: how the text's tokens are drawn.
        private: see `Private`; asked of every token that may come next.
        public_taste: the same taste for the shadow, with a memory of its own; None draws from the public
            distribution as it is.
        max_tokens: of the text.
        cancel: stops between two tokens.
        trace: gets one record for each token of the text.
        uniform: where the shadow's chance comes from; for tests.
        budget: of `live`'s numbers, for who wants to read afterwards what was spent.
    """
    if live.trusted:
        budget = None
    elif budget is None:
        budget = Budget(live.nats_per_token, live.max_nats)
    shadow = None if budget is None else Shadow(budget, uniform)
    cloud = Asking(ask, live, steps.vocabulary.tokens.begins, budget)
    run = _Run(steps, cloud, shadow, combiner, private, public_taste)
    out = TextOut(steps.stop)
    finish: Finish | None = "length"
    for _ in range(min(max_tokens, steps.room)):
        if is_set(cancel):
            return None
        place = run.place()
        law = taste.law(place.scores)
        token = taste.draw(law)
        if steps.ends(token):
            finish = "stop"
            break
        record = run.take(token, law, place)
        if trace is not None:
            trace.append(record)
        if text := out.feed(record.piece):
            yield text
        if out.stopped:
            return "stop"
    if rest := out.close():
        yield rest
    return finish


@dataclass(frozen=True, slots=True)
class _Place:
    """Where T's next token is chosen: `scores` (V,), the cloud's candidates where it was heard."""

    scores: Floats
    weight: float = 0.0
    top: TopLogprobs | None = None
    alone: int = -1
    """The token that the local model would take."""

    def trace(self, token: int, piece: bytes, shadow: bytes | None, *, held: bool) -> TokenTrace:
        """Who decided."""
        if self.top is None:
            return TokenTrace(piece, "local", shadow=shadow, held=held)
        return decided(self.top, piece, self.weight, locally=token == self.alone, shadow=shadow, held=held)


class _Run:
    """One text in the making."""

    def __init__(
        self,
        steps: Steps,
        cloud: Asking,
        shadow: Shadow | None,
        combiner: Combiner,
        private: Private,
        taste: Taste | None,
    ) -> None:
        self._steps = steps
        self._cloud = cloud
        self._shadow = shadow
        self._combiner = combiner
        self._private = private
        self._taste = taste
        self._control = steps.vocabulary.tokens.control
        self._text = b""
        self._position = self._alike_at = 0
        self._public: Shares | None = None

    def place(self) -> _Place:
        """What T's next token is chosen from; has the cloud asked where that is due."""
        logits = self._steps.logits
        if not self._cloud.open:
            return _Place(logits)
        by, shares = softmax(logits if self._shadow is None else self._words(self._steps.shadow_logits))
        top = self._cloud.here(shares)
        listed = self._steps.vocabulary.listed(top, by) if top else None
        if self._shadow is not None:
            self._public = self._drawn_from(by, shares, listed)
        matched = None if self._text == self._cloud.shown else alike(self._text, self._cloud.shown)
        if matched is None or matched >= LEAST:
            self._alike_at = self._position
        if top is None or listed is None or self._alike_at < self._position:
            return _Place(logits)
        local, generic = (by, None) if self._shadow is None else (softmax(logits)[0], by)
        fused = self._combiner.fuse(local, listed, generic, Facts(self._position, matched))
        if not fused.sound:
            return _Place(logits)
        return _Place(fused.logprobs + (logits.max() - local.max()), fused.weight, top, int(local.argmax()))

    def take(self, token: int, law: Law, place: _Place) -> TokenTrace:
        """T goes on with `token`, drawn from `law`; so does the shadow, with one token of its own."""
        piece = self._steps.pieces[token]
        said, held = None, False
        if not self._cloud.open:
            self._steps.end_shadow()
            self._steps.feed(token)
        elif self._shadow is None:
            self._cloud.show(piece)
            self._steps.feed(token)
        else:
            free = self._without_private(law)
            held = not free.shares[law.ids == token].any()
            said = self._release(token, free, self._shadow)
        self._text += piece
        self._position += 1
        return place.trace(token, piece, said, held=held)

    def _without_private(self, law: Law) -> Law:
        """The law without the tokens that would lie inside something private, or end the text."""
        shares = law.shares.copy()
        for at, token in enumerate(law.ids.tolist()):
            if self._control[token] or self._private(self._text + self._steps.pieces[token]):
                shares[at] = 0.0
        return Law(law.ids, shares)

    def _release(self, token: int, law: Law, shadow: Shadow) -> bytes:
        """The shadow's next token, after which it may be spent."""
        assert self._public is not None
        drawn = shadow.release(token, law, self._public)
        said = self._steps.pieces[drawn]
        self._cloud.show(said)
        if self._taste is not None:
            self._taste.remember(drawn)
        self._steps.feed(token, drawn)
        if not shadow.budget.open or self._position - self._alike_at >= PARTED:
            self._cloud.end()
        return said

    def _words(self, logits: Floats) -> Floats:
        """(V,) Without control tokens: the shadow never ends by itself."""
        words = logits.copy()
        words[self._control] = NEVER
        return words

    def _drawn_from(self, generic: Floats, shares: Floats, listed: Listed | None) -> Shares:
        """(V,) What the shadow is drawn from where it does not follow: what nobody's context is in.

        `generic` and `shares` (V,) are the local model's after the shadow, and `listed` the cloud's.
        """
        both, logs = shares.astype(np.float64), generic
        if listed is not None:  # the sum of both models'; the tail of the list is spread as by `spread`
            named = both[listed.ids]
            more = 1 + listed.tail / max(float(both.sum() - named.sum()), LEAST_LEFT)
            both *= more
            both[listed.ids] = named + np.exp(listed.logprobs)
            logs = generic + np.float32(np.log(more))
            logs[listed.ids] = np.log(np.maximum(both[listed.ids], _TINY))
        if self._taste is None:
            return np.asarray(both / both.sum())
        law = self._taste.law(logs + (self._steps.shadow_logits.max() - logs.max()))
        both *= FLOOR / both.sum()
        both[law.ids] += (1 - FLOOR) * law.shares
        return both


def alike(text: bytes, shadow: bytes) -> int:
    """Bytes in which both end alike, LOOK_BACK at most."""
    return common_end(text[-LOOK_BACK:], shadow[-LOOK_BACK:])
