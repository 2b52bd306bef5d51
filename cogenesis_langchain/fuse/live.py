"""Form `live`: the cloud continues a shadow of the text, the text itself stays here.

Two sequences grow in one llama context: the text T after the prompt with the person's context, and the shadow
S (`fusion.shadow`) after the generic task. Only S is ever sent. The cloud's candidates after S are fused with
the local model's after T; T's next token may then be anything, S takes it over only as far as its budget
goes. When the cloud is asked depends on S and on what the local model expects of S alone.

At a trusted endpoint S is T: one sequence, no budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import CoGenesisError
from cogenesis_langchain.fusion.combiners import Combiner, Facts, Fused
from cogenesis_langchain.fusion.distributions import NEVER, Floats, Listed, log_softmax, log_sum, spread
from cogenesis_langchain.fusion.shadow import Budget, Shadow, Uniform
from cogenesis_langchain.types import Draft, TokenTrace, TopLogprobs
from cogenesis_langchain.writer.parts import Cancel, TextOut, is_set

if TYPE_CHECKING:
    from cogenesis_langchain.writer.protocol import Steps

Ask = Callable[[str, float], Draft]
"""Has the cloud continue a text, which may be empty. The number is what it tells beyond the text before, at
most, in nats. Any CoGenesisError ends the cloud's part for good."""
Private = Callable[[bytes], bool]
"""Whether the text so far may end inside something that must not show."""
Choose = Callable[[Floats], int]
"""The text's next token, from log-probabilities (V,)."""
Decider = Literal["local", "cloud", "fused"]

TOKENS_PER_REQUEST = 3
"""Requests are at most one more than released tokens divided by this."""
WORD_BEGINS = 0.5
"""Probability that a word begins, from which the shadow is taken to stand between two."""
LOOK_BACK = 64
"""Bytes in which the ends of T and S are compared."""


@dataclass(frozen=True, slots=True)
class Live:
    """How much may be told and asked; see `settings.FuseConfig`. `trusted`: S is T."""

    nats_per_token: float = 0.5
    max_nats: float = 40.0
    block: int = 8
    max_requests: int = 64
    trusted: bool = False


def fuse_live(
    steps: Steps,
    ask: Ask,
    combiner: Combiner,
    live: Live,
    choose: Choose,
    private: Private,
    *,
    max_tokens: int,
    cancel: Cancel | None = None,
    trace: list[TokenTrace] | None = None,
    uniform: Uniform | None = None,
) -> Iterator[str]:
    """Pieces of the text as it is written. Cancellable between tokens.

    Args:
        steps: stands after both prompts; at a trusted endpoint after that of the text alone.
        ask: see `Ask`; called with nothing but the shadow.
        combiner: of the local model's distribution and the cloud's.
        live: what may be told and asked.
        choose: takes the text's next token, whether the cloud was heard or not.
        private: see `Private`; where it holds, or fails, the shadow takes nothing over.
        max_tokens: of the text.
        cancel: stops between two tokens.
        trace: gets one record for each token of the text.
        uniform: where the shadow's chance comes from; for tests.
    """
    cloud = _Cloud(ask, live, _word_begins(steps.pieces))
    shadow = None if live.trusted else Shadow(Budget(live.nats_per_token, live.max_nats), uniform)
    run = _Run(steps, cloud, shadow, combiner, private)
    out = TextOut(steps.stop)
    for _ in range(min(max_tokens, steps.room)):
        if is_set(cancel):
            return
        fused, heard = run.distribution()
        token = choose(fused.logprobs)
        if steps.ends(token):
            break
        record = run.take(token, fused, heard)
        if trace is not None:
            trace.append(record)
        if text := out.feed(record.piece):
            yield text
        if out.stopped:
            return
    if rest := out.close():
        yield rest


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


class _Cloud:
    """The cloud's part: what it was shown, what it said, and when it is asked again. Knows nothing of T."""

    def __init__(self, ask: Ask, live: Live, begins: NDArray[np.bool_]) -> None:
        self.shown = b""
        self.open = True
        self._ask = ask
        self._live = live
        self._begins = begins
        self._heard = _Heard()
        self._tokens = self._charged = self._requests = 0

    def here(self, expected: Floats) -> TopLogprobs | None:
        """The cloud's candidates after the shadow, asked for where that is due.

        Args:
            expected: (V,) what the local model thinks comes next in the shadow.
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
        if self._requests * TOKENS_PER_REQUEST > self._tokens:
            return False
        return not self.shown or float(np.exp(log_sum(expected[self._begins]))) > WORD_BEGINS

    def _request(self) -> None:
        try:
            text = self.shown.decode()
        except UnicodeDecodeError:  # ends in the middle of a character
            return
        nats = 0.0 if self._live.trusted else (self._tokens - self._charged) * self._live.nats_per_token
        self._requests += 1
        self._charged = self._tokens
        try:
            draft = self._ask(text, nats)
        except CoGenesisError:
            self.end()
            return
        if not draft.text:
            self.end()
            return
        self._heard = _Heard(list(draft.positions))


class _Run:
    """One text in the making."""

    def __init__(
        self, steps: Steps, cloud: _Cloud, shadow: Shadow | None, combiner: Combiner, private: Private
    ) -> None:
        self._steps = steps
        self._cloud = cloud
        self._shadow = shadow
        self._combiner = combiner
        self._private = private
        self._control = np.flatnonzero(steps.vocabulary.tokens.control)
        self._text = b""
        self._position = 0
        self._public: Floats | None = None

    def distribution(self) -> tuple[Fused, TopLogprobs | None]:
        """What T's next token is chosen from, and what the cloud said there, where it was heard."""
        local = log_softmax(self._steps.logits)
        if not self._cloud.open:
            return Fused(local, 0.0), None
        generic = self._expected() if self._shadow else None
        by = local if generic is None else generic
        top = self._cloud.here(by)
        listed = self._steps.vocabulary.listed(top, by) if top else None
        if generic is not None:
            self._public = public(generic, listed)
        if listed is None:
            return Fused(local, 0.0), None
        matched = alike(self._text, self._cloud.shown) if self._shadow else None
        facts = Facts(self._position, matched)
        return self._combiner.fuse(local, listed, generic, facts), top

    def take(self, token: int, fused: Fused, heard: TopLogprobs | None) -> TokenTrace:
        """T goes on with `token`; so does the shadow, with one token of its own."""
        piece = self._steps.pieces[token]
        self._text += piece
        self._position += 1
        said, held = None, False
        if not self._cloud.open:
            self._steps.feed(token)
        elif self._shadow is None:
            self._cloud.show(piece)
            self._steps.feed(token)
        else:
            held = self._private(self._text)
            said = self._release(token, self._shadow, held=held)
        best = heard.tokens[0] if heard and heard.tokens else None
        by: Decider = "local" if heard is None else "cloud" if fused.weight > 0.5 else "fused"
        return TokenTrace(piece, by, fused.weight, best, said, held)

    def _release(self, token: int, shadow: Shadow, *, held: bool) -> bytes:
        """The shadow's next token, after which it may be spent."""
        assert self._public is not None
        drawn = shadow.release(token, self._public, held=held)
        said = self._steps.pieces[drawn]
        self._cloud.show(said)
        if shadow.budget.open:
            self._steps.feed(token, drawn)
        else:
            self._cloud.end()
            self._steps.end_shadow()
            self._steps.feed(token)
        return said

    def _expected(self) -> Floats:
        """(V,) The next token of the shadow, which never ends by itself."""
        words = self._steps.shadow_logits.copy()
        words[self._control] = NEVER
        return log_softmax(words)


def public(generic: Floats, listed: Listed | None) -> Floats:
    """(V,) What the shadow is drawn from where it takes nothing over: both models in equal parts."""
    if listed is None:
        return generic
    mixed = np.logaddexp(generic, spread(listed, generic)) - np.float32(np.log(2))
    return np.asarray(mixed, dtype=np.float32)


def alike(text: bytes, shadow: bytes) -> int:
    """Bytes in which both end alike, LOOK_BACK at most."""
    most = min(len(text), len(shadow), LOOK_BACK)
    return next((n for n in range(most) if text[-1 - n] != shadow[-1 - n]), most)


def _word_begins(pieces: Sequence[bytes]) -> NDArray[np.bool_]:
    """(V,) Tokens that do not go on with the word before: they begin with neither letter nor digit."""
    return np.array([not (piece[:1].isalnum() or piece[:1] >= b"\x80") for piece in pieces], dtype=bool)
