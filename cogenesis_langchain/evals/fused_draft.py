"""Form `draft` on true texts: what real drafts of the generic task are worth to a writer who follows them.

A stand-in drafts each generic task; the drafts are kept, and persons with the same task share them. Along the
true text the local model consults a draft wherever `fusion.syncing` finds the text in step with one, and
stands alone everywhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.fusion import Row, cost, row
from cogenesis_langchain.evals.gold import Gold, generic_prompt
from cogenesis_langchain.evals.stand_in import InProcess
from cogenesis_langchain.files import make_folder, write_whole
from cogenesis_langchain.fusion.combiners import Combiner, Facts
from cogenesis_langchain.fusion.distributions import Listed, Vocabulary
from cogenesis_langchain.fusion.records import drafts_text, read_drafts
from cogenesis_langchain.fusion.syncing import Follow
from cogenesis_langchain.logprobs import LISTED
from cogenesis_langchain.types import Draft

TOKENS = 240
"""Of a draft; a true text is read less far than that."""
RULES: dict[str, dict[str, Any]] = {
    "4 bytes": {"least": 4},
    "12 bytes": {"least": 12},
    "12 bytes, sentences": {"least": 12, "sentences": True},
    "24 bytes": {"least": 24},
}
"""When a text counts as in step with a draft: the rules that are compared."""


class KeptDrafts:
    """Drafts of generic tasks, made once. They hold nothing of anybody.

    Args:
        folder: a file for each task.
        cloud: drafts what is not there.
    """

    def __init__(self, folder: Path, cloud: Callable[[], InProcess], tokens: int = TOKENS) -> None:
        make_folder(folder)
        self._folder, self._cloud, self._tokens = folder, cloud, tokens

    def of(self, sentence: str, samples: int) -> list[Draft]:
        """The first `samples` drafts of a task; the same ones in every run."""
        digest = hashlib.sha256(sentence.encode()).digest()
        file = self._folder / f"{digest.hex()[:16]}.{self._tokens}.json"
        found = _read(file)
        while len(found) < samples:
            rng = np.random.default_rng([*digest[:4], len(found)])
            prompt = generic_prompt(sentence)
            found.append(self._cloud().drafted(prompt, "", tokens=self._tokens, k=LISTED, rng=rng))
            write_whole(file, drafts_text(found).encode(), durable=False)
        return found[:samples]


def drafted(
    golds: Sequence[Gold],
    drafts: KeptDrafts,
    vocabulary: Vocabulary,
    combiners: Sequence[Combiner],
    samples: Sequence[int],
) -> Iterator[list[Row]]:
    """The rows so far after each person: combiners by number of samples and rule."""
    done: list[Gold] = []
    found: dict[tuple[int, str, str], list[NDArray[np.float64]]] = {}
    synced: dict[tuple[int, str], int] = {}
    for gold in golds:
        done.append(gold)
        kept = drafts.of(gold.sentence, max(samples))
        for count, rule in product(samples, RULES):
            heard = _followed(gold, Follow(kept[:count], **RULES[rule]), vocabulary)
            synced[count, rule] = synced.get((count, rule), 0) + len(heard)
            for one in combiners:
                found.setdefault((count, rule, one.name), []).append(_costs(gold, one, heard))
        total = sum(len(one.tokens) for one in done)
        yield [
            row(f"draft, samples {n}, {rule}", name, done, costs, {"in_step": synced[n, rule] / total})
            for (n, rule, name), costs in found.items()
        ]


def _followed(gold: Gold, follow: Follow, vocabulary: Vocabulary) -> dict[int, tuple[Listed, Facts]]:
    """By number of gold token, where in step: what the draft lists, as columns of `gold`."""
    pieces = vocabulary.tokens.pieces
    nothing = np.zeros(len(pieces), dtype=np.float32)
    heard: dict[int, tuple[Listed, Facts]] = {}
    for at, token in enumerate(gold.tokens.tolist()):
        if (place := follow.here()) is not None and (listed := vocabulary.listed(place.top, nothing)):
            heard[at] = _columns(listed, gold.ids[at]), Facts(at, place.matched, gold.ids[at])
        follow.advance(pieces[token])
    return heard


def _columns(listed: Listed, ids: NDArray[np.int32]) -> Listed:
    """Candidates as columns of a gold token's rows; those that are not kept there, as the rest."""
    found = np.minimum(np.searchsorted(ids, listed.ids), len(ids) - 1)
    columns = np.where(ids[found] == listed.ids, found, len(ids))
    shares = np.zeros(len(ids) + 1)
    np.add.at(shares, columns, np.exp(listed.logprobs, dtype=np.float64))
    chosen = np.flatnonzero(shares)
    return Listed(chosen, np.log(shares[chosen]).astype(np.float32), listed.tail)


def _costs(gold: Gold, one: Combiner, heard: Mapping[int, tuple[Listed, Facts]]) -> NDArray[np.float64]:
    """(n,) Nats; out of step those of the local model alone."""
    costs = gold.nll["lw"].copy()
    for at, (listed, facts) in heard.items():
        local = gold.at(at, "lw").astype(np.float32)
        costs[at] = cost(gold, at, one.fuse(local, listed, None, facts).logprobs)
    return costs


def _read(file: Path) -> list[Draft]:
    """What is kept; nothing where there is no file."""
    if not file.exists():
        return []
    try:
        return list(read_drafts(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f"{file} is no file of drafts: remove it") from None
