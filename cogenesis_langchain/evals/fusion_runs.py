"""One run of `cogenesis eval fusion`: the models, loaded when they are needed, and what is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain import models
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.evals import fused_draft, fused_linkage, fused_live, fusion
from cogenesis_langchain.evals.attackers import Holdings
from cogenesis_langchain.evals.fused_live import Asked, Walk, Walks
from cogenesis_langchain.evals.fused_private import hidden
from cogenesis_langchain.evals.fusion import Row
from cogenesis_langchain.evals.gold import Gold, Golds, Setting
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.fuse.asking import Live
from cogenesis_langchain.fusion import learned
from cogenesis_langchain.fusion.combiners import FILES, combiner
from cogenesis_langchain.fusion.distributions import Vocabulary

if TYPE_CHECKING:
    from cogenesis_langchain.writer.local import LlamaCppWriter

COMPARED = ("the text", "the text, masked", "draft")
"""What is attacked beside the shadows of form live."""


class Runs:
    """Everything under one folder and one setting.

    Args:
        folder: where all that the models said is kept.
        setting: which models, and how much they read.
        persons: everybody, also those whose text is not read: the attacker holds all profiles.
        names: the combiners.
        k: candidates that the endpoint lists; 0: as many as wanted.
        fitted: coefficients by combiner, where not the shipped ones.
    """

    def __init__(
        self,
        folder: Path,
        setting: Setting,
        persons: Sequence[Person],
        names: Sequence[str],
        k: int,
        fitted: Mapping[str, Path] | None = None,
    ) -> None:
        self._fitted = fitted or {}
        self._combiners = [combiner(name, path=self._fitted.get(name)) for name in names]
        for name in (setting.local, setting.cloud):
            models.locate(name)
        self.golds = Golds(folder, setting)
        self._folder, self._setting, self._persons, self._k = folder, setting, persons, k

    def close(self) -> None:
        """Frees the models."""
        self.golds.close()
        if "_writer" in vars(self):
            self._writer.close()

    def record(self, persons: int, golds: Sequence[Gold]) -> dict[str, Any]:
        """What was measured on; `tokens` are those of the true texts."""
        return {
            "local": self._setting.local,
            "cloud": self._setting.cloud,
            "k": self._k,
            "persons": persons,
            "profiles": len(self._persons),
            "tokens": sum(len(gold.tokens) for gold in golds),
        }

    def forced(self, golds: Sequence[Gold]) -> Iterator[list[Row]]:
        """See `fusion.forced`."""
        return fusion.forced(golds, self._combiners, self._k)

    def drafted(self, golds: Sequence[Gold], samples: Sequence[int]) -> Iterator[list[Row]]:
        """See `fused_draft.drafted`."""
        kept = fused_draft.KeptDrafts(self._folder / "drafts", lambda: self.golds.models[1])
        return fused_draft.drafted(golds, kept, self._vocabulary, self._combiners, samples)

    def lives(
        self, epsilon: Sequence[float], nats: float | None, trusted: bool, pace: float | None = None
    ) -> Mapping[str, Live]:
        """The settings of form live by name; without numbers those that are the default.

        With a `pace`, tokens for each request at least, no number of requests is the limit.
        """
        usual = Live()
        if pace is not None:
            usual = replace(usual, tokens_per_request=pace, max_requests=10_000)
        each = [replace(usual, nats_per_token=one, max_nats=nats or usual.max_nats) for one in epsilon]
        found = {f"live, {live.nats_per_token:g} nats a token": live for live in each}
        return found | ({"live, trusted": replace(usual, trusted=True)} if trusted else {})

    def walks(self, golds: Sequence[Gold], live: Live) -> Iterator[Walk]:
        """Along each true text in turn, by the last of the combiners."""
        for gold in golds:
            person = self._persons[gold.person]
            yield self._walks.along(gold, self._asked(person), live)

    def walked(self, name: str, golds: Sequence[Gold], walks: Sequence[Walk]) -> Row:
        """See `fused_live.walked`."""
        return fused_live.walked(name, self._combiners[-1].name, golds, walks)

    def written(self, numbers: Sequence[int], live: Live) -> Iterator[Walk]:
        """A text for each person in turn, by their number; by the last of the combiners."""
        for number in numbers:
            asked = self._asked(self._persons[number])
            yield self._walks.written(number, self._setting.tokens, asked, live)

    def linked(
        self, numbers: Sequence[int], written: Mapping[str, Sequence[Walk]]
    ) -> Iterator[list[dict[str, Any]]]:
        """How often the writer is found: by `COMPARED`, with the texts of the first setting, then by each."""
        from cogenesis_langchain.embed import Embedder

        held = Holdings(self._persons, Embedder.default())
        shares = fused_linkage.SHARES
        texts = [walk.text for walk in next(iter(written.values()))]
        whose = [self._persons[number] for number in numbers]
        hidden = [fused_linkage.masked(text, one) for text, one in zip(texts, whose, strict=True)]
        whole, without = ([fused_linkage.parts(text) for text in some] for some in (texts, hidden))
        tasks = [self.golds.sentence(one) for one in whose]
        ups = dict(zip(COMPARED, (whole, without, [[task] * len(shares) for task in tasks]), strict=True))
        for name, walks in written.items():
            ups[name] = [
                [f"{task}\n{walk.went_up(share)}" for share in shares]
                for task, walk in zip(tasks, walks, strict=True)
            ]
        for name, sent in ups.items():
            yield fused_linkage.linked(held, numbers, name, sent)

    def _asked(self, person: Person) -> Asked:
        return lambda: (
            self.golds.prompts(person, self.golds.sentence(person)),
            hidden(self._engine, person),
        )

    @cached_property
    def _engine(self) -> Engine:
        """Whose detector is used, and nothing that lies on disk."""
        return Engine(load("preset:default", require_keys=False))

    @cached_property
    def _walks(self) -> Walks:
        one = self._combiners[-1]
        mark = _coefficients(self._fitted.get(one.name)) if one.name in FILES else ""
        return Walks(
            self._folder / "live", lambda: self._writer, lambda: self.golds.models[1], one, self._k, mark
        )

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return self.golds.models[0].vocabulary

    @cached_property
    def _writer(self) -> LlamaCppWriter:
        from cogenesis_langchain.writer.opening import of_catalogue

        return of_catalogue(self._setting.local)


def _coefficients(file: Path | None) -> str:
    """A mark of them; of the shipped ones without a file."""
    held = file or files("cogenesis_langchain").joinpath("data", learned.FILE)
    return hashlib.sha256(held.read_bytes()).hexdigest()
