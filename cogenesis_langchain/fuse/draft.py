"""Form `draft` of fusion: the local model writes, and consults drafts that the cloud wrote of a generic task.

Nothing of the text goes up. Where its end equals the bytes before a place in a draft, both distributions are
combined; elsewhere the local model writes alone. Whatever is wrong with the drafts, it completes the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cogenesis_langchain.fuse.sampling import Drawn, Sampler
from cogenesis_langchain.fusion.combiners import Combiner, Facts, Fused
from cogenesis_langchain.fusion.distributions import Floats, Listed, log_softmax
from cogenesis_langchain.fusion.records import decided
from cogenesis_langchain.fusion.syncing import Follow, Place
from cogenesis_langchain.types import Draft, Finish, Pieces, TokenTrace
from cogenesis_langchain.writer.parts import Cancel, TextOut, is_set

if TYPE_CHECKING:
    from cogenesis_langchain.writer.protocol import Steps


def fuse_draft(
    steps: Steps,
    drafts: Sequence[Draft],
    combiner: Combiner,
    *,
    max_tokens: int = 700,
    temperature: float = 0.7,
    seed: int | None = None,
    drafted_at: float = 1.0,
    cancel: Cancel | None = None,
    trace: list[TokenTrace] | None = None,
) -> Pieces:
    """Yields the text in pieces of whole characters; `trace` gets one entry for each token.

    `drafted_at` is the temperature at which the cloud drew the drafts, as far as it is known.

    Raises WriterError as the steps do.
    """
    follow, sample, out = Follow(drafts), Sampler(temperature, seed), TextOut(steps.stop)
    finish: Finish | None = "length"
    for written in range(min(max_tokens, steps.room)):
        if is_set(cancel):
            finish = None
            break
        token, seen = next_token(steps, follow.here(), combiner, sample, position=written, at=drafted_at)
        if steps.ends(token):
            finish = "stop"
            break
        if trace is not None:
            trace.append(seen)
        if text := out.feed(steps.pieces[token]):
            yield text
        if out.stopped:
            return "stop"
        follow.advance(steps.pieces[token])
        steps.feed(token)
    if text := out.close():
        yield text
    return finish


def next_token(
    steps: Steps,
    place: Place | None,
    combiner: Combiner,
    sample: Sampler,
    *,
    position: int,
    at: float = 1.0,
) -> tuple[int, TokenTrace]:
    """The next token of the text and who decided it; `place` is where it stands in a draft, if anywhere."""
    logits = steps.logits
    if place is not None:
        local = log_softmax(logits)
        listed = steps.vocabulary.listed(place.top, local)
        fused = _fused(combiner, local, listed, Facts(position, place.matched))
        if listed is not None and fused is not None:
            scale = logits.max() - local.max()  # back to the scale of logits, which the penalty is made for
            theirs = steps.vocabulary.tokens.ids.get(place.top.token)
            token = sample(fused.logprobs + scale, Drawn(theirs, listed, at) if theirs is not None else None)
            locally = token == int(local.argmax())
            return token, decided(place.top, steps.pieces[token], fused.weight, locally=locally)
    token = sample(logits)
    return token, TokenTrace(steps.pieces[token], "local")


def _fused(combiner: Combiner, local: Floats, listed: Listed | None, facts: Facts) -> Fused | None:
    """Both distributions combined; None where the cloud's is of no use."""
    fused = combiner.fuse(local, listed, None, facts) if listed is not None else None
    return fused if fused is not None and fused.sound else None
