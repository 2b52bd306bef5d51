"""Form `live` on true texts: the loop that users run, with the true text forced on it, and what then went up.

The loop, the shadow and its budget are the product's (`fuse.live`), and a stand-in in this process continues
the shadow. Only the text's tokens are not drawn but the true ones, so that the prefix that the cloud's
candidates come from is one that would really have been released. Walks are kept on disk, as they take long;
they hold shadows of private texts.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.fusion import Row, row
from cogenesis_langchain.evals.gold import Gold
from cogenesis_langchain.evals.stand_in import InProcess
from cogenesis_langchain.files import make_folder, write_whole
from cogenesis_langchain.fuse.asking import Live
from cogenesis_langchain.fuse.live import Private, fuse_live
from cogenesis_langchain.fusion.combiners import Combiner
from cogenesis_langchain.fusion.distributions import log_softmax
from cogenesis_langchain.fusion.shadow import Law
from cogenesis_langchain.types import Draft, TokenTrace
from cogenesis_langchain.writer.parts import Prompt

if TYPE_CHECKING:
    from cogenesis_langchain.writer.local import LlamaCppWriter

LIKELIEST = 64
"""Tokens that the text's next one may be drawn from, besides the true one."""
MOST_LISTED = 256
"""Candidates where the endpoint gives as many as are wanted."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One text. `nll` (n,) nats; `asked`: (tokens of the text so far, what went up); `heard`: tokens with a
    cloud's list; `released`: tokens of the shadow."""

    nll: list[float] = field(repr=False)
    asked: list[tuple[int, str]] = field(repr=False)
    heard: int
    released: int

    def went_up(self, share: float) -> str:
        """What the cloud had seen of the shadow when that share of the text was written."""
        limit = share * len(self.nll)
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
        ids = np.union1d(np.argpartition(-logprobs, LIKELIEST)[:LIKELIEST], [true])
        return Law(ids, np.exp(logprobs[ids].astype(np.float64)))

    def draw(self, law: Law) -> int:  # noqa: ARG002 - nothing is left to chance
        """The true token."""
        return self._truth[len(self._nll) - 1]

    def remember(self, token: int) -> None:
        """Needs no memory."""


class Walks:
    """The walks of one setting, read where they are and made where they are not.

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

    def of(self, gold: Gold, prompts: Callable[[], dict[str, Prompt]], live: Live, private: Private) -> Walk:
        """The walk along one person's text. `prompts`: see `gold.Golds.prompts`."""
        how = repr((live, self._combiner.name, self._k, self._mark))
        file = self._folder / f"{gold.person}.{hashlib.sha256(how.encode()).hexdigest()[:16]}.json"
        if (found := _read(file)) is None:
            found = self._walk(gold, prompts(), live, private)
            write_whole(file, json.dumps(asdict(found)).encode(), durable=False)
        return found

    def _walk(self, gold: Gold, prompts: dict[str, Prompt], live: Live, private: Private) -> Walk:
        asked, trace = list[tuple[int, str]](), list[TokenTrace]()
        task = prompts["b" if live.trusted else "0"]
        nll = list[float]()
        truth = Forced(gold.tokens.tolist(), nll)

        def ask(text: str, nats: float) -> Draft:  # noqa: ARG001 - nobody is charged here
            asked.append((len(nll), text))
            return self._cloud().drafted(task, text, tokens=live.block, k=self._k, rng=None)

        chance = np.random.default_rng(gold.person).random
        shadow = None if live.trusted else task
        with self._writer().steps(prompts["w"], scope="", shadow=shadow) as steps:
            size = len(gold.tokens)
            written = fuse_live(
                steps, ask, self._combiner, live, truth, private, max_tokens=size, trace=trace, uniform=chance
            )
            deque(written, maxlen=0)
        heard = sum(one.by != "local" for one in trace)
        return Walk(nll, asked, heard, sum(one.shadow is not None for one in trace))


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
