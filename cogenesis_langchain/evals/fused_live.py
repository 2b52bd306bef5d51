"""Form `live` in this process: the loop that users run, and what then went up.

The loop, the shadow and its budget are the product's (`fuse.live`); a stand-in continues the shadow. Along a
true text its tokens are forced on the loop, so that the prefix that the cloud's candidates come from is one
that would really have been released. Linkage is measured on texts that the loop writes itself: the budget
bounds what a shadow tells of a text that is drawn from the local model, and a true one is not.

What differs from the product: chance is fixed, so that a run can be done again, and the gate looks for known
values alone. Walks are kept on disk, as they take long; they hold shadows of private texts, and written texts
whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import GateError, InputError
from cogenesis_langchain.evals.fused_private import Hidden
from cogenesis_langchain.evals.fusion import Row, row
from cogenesis_langchain.evals.gold import Gold
from cogenesis_langchain.evals.stand_in import InProcess
from cogenesis_langchain.files import make_folder, write_whole
from cogenesis_langchain.fuse.asking import Live
from cogenesis_langchain.fuse.live import Taste, fuse_live
from cogenesis_langchain.fuse.sampling import Sampler
from cogenesis_langchain.fusion.combiners import Combiner
from cogenesis_langchain.fusion.distributions import likeliest, log_softmax
from cogenesis_langchain.fusion.shadow import Budget, Law
from cogenesis_langchain.settings import LocalModelConfig
from cogenesis_langchain.types import Draft, TokenTrace
from cogenesis_langchain.writer.parts import Prompt

if TYPE_CHECKING:
    from cogenesis_langchain.writer.local import LlamaCppWriter

LIKELIEST = 64
"""Tokens that the text's next one may be drawn from, besides the true one."""
MOST_LISTED = 256
"""Candidates where the endpoint gives as many as are wanted."""
Asked = Callable[[], tuple[Mapping[str, Prompt], Hidden]]
"""A person's prompts (`gold.Golds.prompts`), and what must not show; called where they are needed."""


_WARMTH = LocalModelConfig().temperature


@dataclass(frozen=True, slots=True)
class Walk:
    """One text of so many tokens, and what went up of it.

    `nll` (tokens,) nats of a true text's tokens; `asked`: (tokens of the text so far, the shadow as it went
    up); `heard`: tokens with a cloud's list; `released`: tokens of the shadow; `same`: tokens that both have
    at the same place; `charged`: nats, with what went up; `spent`: by the shadow as a whole; `stopped`: it
    held a known value, which the gate found.
    """

    text: str = field(repr=False)
    tokens: int
    nll: list[float] = field(repr=False)
    asked: list[tuple[int, str]] = field(repr=False)
    heard: int
    released: int
    same: int
    charged: float
    spent: float
    stopped: bool

    def went_up(self, share: float) -> str:
        """What the cloud had seen of the shadow when that share of the text was written."""
        limit = share * self.tokens
        return next((text for at, text in reversed(self.asked) if at <= limit), "")


class Forced:
    """A `fuse.live.Taste` that takes the tokens of `truth`, as if drawn from everything that may come next.

    `nll` gets their negative log-likelihoods, in nats.
    """

    def __init__(self, truth: Sequence[int], nll: list[float]) -> None:
        self._truth, self._nll = truth, nll

    def law(self, logits: NDArray[np.floating]) -> Law:
        """The likeliest tokens, and the true one."""
        true = self._truth[len(self._nll)]
        logprobs = log_softmax(logits.astype(np.float32))
        self._nll.append(-float(logprobs[true]))
        ids = np.union1d(likeliest(logprobs, LIKELIEST), [true])
        return Law(ids, np.exp(logprobs[ids].astype(np.float64)))

    def draw(self, law: Law) -> int:  # noqa: ARG002 - nothing is left to chance
        """The true token."""
        return self._truth[len(self._nll) - 1]

    def remember(self, token: int) -> None:
        """Needs no memory."""


class Walks:
    """The walks by one combiner, read where they are and made where they are not.

    Args:
        folder: a file for each person and setting.
        writer: the local model.
        cloud: what stands in for the endpoint.
        combiner: see `fusion.combiners`.
        k: candidates that the endpoint lists; 0: as many as wanted.
        mark: what else a walk depends on: the coefficients of the combiner.
    """

    def __init__(
        self,
        folder: Path,
        writer: Callable[[], LlamaCppWriter],
        cloud: Callable[[], InProcess],
        combiner: Combiner,
        k: int,
        mark: str = "",
    ) -> None:
        make_folder(folder)
        self._folder, self._writer, self._cloud, self._mark = folder, writer, cloud, mark
        self._combiner, self._k = combiner, k or MOST_LISTED

    def along(self, gold: Gold, asked: Asked, live: Live) -> Walk:
        """Along a person's true text."""

        def made() -> Walk:
            nll = list[float]()
            truth = Forced(gold.tokens.tolist(), nll)
            found = self._walk(*asked(), live, truth, None, len(gold.tokens), gold.person)
            return replace(found, nll=nll)

        return self._kept(f"{gold.person}", live, made)

    def written(self, person: int, tokens: int, asked: Asked, live: Live) -> Walk:
        """A text that the loop writes for the person, of so many tokens at most."""

        def made() -> Walk:
            own, public = Sampler(_WARMTH, person), Sampler(_WARMTH)
            return self._walk(*asked(), live, own, public, tokens, person)

        return self._kept(f"{person}.written", live, made)

    def _kept(self, name: str, live: Live, made: Callable[[], Walk]) -> Walk:
        how = repr((live, self._combiner.name, self._k, self._mark))
        file = self._folder / f"{name}.{hashlib.sha256(how.encode()).hexdigest()[:16]}.json"
        if (found := _read(file)) is None:
            found = made()
            write_whole(file, json.dumps(asdict(found)).encode(), durable=False)
        return found

    def _walk(
        self,
        prompts: Mapping[str, Prompt],
        hidden: Hidden,
        live: Live,
        taste: Taste,
        public_taste: Taste | None,
        tokens: int,
        chance: int,
    ) -> Walk:
        task, shadow = (prompts["b"], None) if live.trusted else (prompts["0"], prompts["0"])
        trace, budget = list[TokenTrace](), Budget(live.nats_per_token, live.max_nats)
        draft = partial(self._cloud().drafted, task, tokens=live.block, k=self._k, rng=None)
        cloud = _Endpoint(draft, None if live.trusted else hidden, trace)
        with self._writer().steps(prompts["w"], scope="", shadow=shadow) as steps:
            pieces = fuse_live(
                steps,
                cloud.ask,
                self._combiner,
                live,
                taste,
                hidden.private,
                public_taste=public_taste,
                max_tokens=tokens,
                trace=trace,
                uniform=np.random.default_rng((chance, 1)).random,  # another stream than the text's own
                budget=budget,
            )
            text = "".join(pieces)
        return Walk(
            text=text,
            tokens=len(trace),
            nll=[],
            asked=cloud.asked,
            heard=sum(one.by != "local" for one in trace),
            released=budget.released,
            same=sum(one.shadow == one.piece for one in trace),
            charged=cloud.charged,
            spent=budget.spent,
            stopped=cloud.stopped,
        )


@dataclass
class _Endpoint:
    """What a stand-in was asked: `fuse.live.Ask` with veil and gate; `hidden` is None where it is trusted."""

    draft: Callable[[str], Draft]
    hidden: Hidden | None
    trace: list[TokenTrace]
    asked: list[tuple[int, str]] = field(default_factory=list)
    charged: float = 0.0
    stopped: bool = False

    def ask(self, shadow: str, nats: float) -> Draft:
        """Raises GateError where a known value stands in the shadow."""
        if self.hidden is not None:
            shadow = self.hidden.veil(shadow)
            if self.hidden.known.hits(shadow):
                self.stopped = True
                raise GateError("a known value stands in the shadow")
        self.asked.append((len(self.trace), shadow))
        self.charged += nats
        return self.draft(shadow)


def told(method: str, walks: Sequence[Walk]) -> dict[str, Any]:
    """What written texts gave away by the shadow's own account; means over texts, in nats, and shares."""
    tokens, released = (sum(getattr(one, name) for one in walks) for name in ("tokens", "released"))
    nats = {name: float(np.mean([getattr(one, name) for one in walks])) for name in ("charged", "spent")}
    shares = {
        "requests_per_token": sum(len(one.asked) for one in walks) / max(tokens, 1),
        "released": released / max(tokens, 1),
        "same": sum(one.same for one in walks) / max(tokens, 1),
        "heard": sum(one.heard for one in walks) / max(tokens, 1),
        "stopped": float(np.mean([one.stopped for one in walks])),
    }
    rounded = {name: round(value, 4) for name, value in (nats | shares).items()}
    return {"method": method, "persons": len(walks), "tokens": tokens} | rounded


def walked(setting: str, name: str, golds: Sequence[Gold], walks: Sequence[Walk]) -> Row:
    """What the walks cost, and how often the cloud was asked and heard, per token."""
    tokens = sum(len(one.nll) for one in walks)
    more = {
        "requests_per_token": sum(len(one.asked) for one in walks) / tokens,
        "heard": sum(one.heard for one in walks) / tokens,
        "released": sum(one.released for one in walks) / tokens,
    }
    return row(setting, name, golds, [np.array(one.nll) for one in walks], more)


def _read(file: Path) -> Walk | None:
    if not file.exists():
        return None
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Walk(**kept | {"asked": [(at, text) for at, text in kept["asked"]]})
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f"{file} is no kept walk: remove it") from None
