"""`cogenesis bench fuse`: what both forms of fusion cost against the local model alone, in one run.

A cloud computes elsewhere; its stand-in would take the writer's own cores. So form live is measured with the
stand-in's answers kept: the same chance makes the same requests, and each answer comes from memory after the
delay. The figure with the stand-in computing beside the writer is told too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cogenesis_langchain.commands.bench_detect import known_values
from cogenesis_langchain.commands.common import JsonOption, bar
from cogenesis_langchain.commands.demo import PERSON_FILES, demo_request, person_dir
from cogenesis_langchain.commands.ratios import Ratio, report, resident_bytes, speed_of
from cogenesis_langchain.logprobs import LISTED
from cogenesis_langchain.settings import LiveConfig
from cogenesis_langchain.types import Draft, TokenTrace

if TYPE_CHECKING:
    from cogenesis_langchain.evals.stand_in import InProcess
    from cogenesis_langchain.fuse.sampling import Sampler
    from cogenesis_langchain.fusion.combiners import Combiner
    from cogenesis_langchain.writer.local import LlamaCppWriter
    from cogenesis_langchain.writer.parts import Prompt
    from cogenesis_langchain.writer.protocol import Steps

TASK = "Write an invitation about food, cooking and celebrations."
CONTEXT_TOKENS = 800
VALUES = 300
_MEGABYTE = 1 << 20


def fuse(
    as_json: JsonOption = False,
    model: Annotated[
        str, typer.Option("--model", help="The writer, from the catalogue.")
    ] = "qwen2.5-coder-1.5b-instruct",
    cloud: Annotated[
        str,
        typer.Option("--cloud", help="Stands in for the cloud of form live."),
    ] = "qwen2.5-coder-0.5b-instruct",
    delay: Annotated[
        float, typer.Option("--delay", min=0.0, help="Seconds added to each request, as of a network.")
    ] = 0.1,
    tokens: Annotated[int, typer.Option("--tokens", min=8, help="Tokens per round.")] = 48,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds, whose median counts.")] = 3,
) -> None:
    """Decoding with a draft and live against the local model alone, requests, and memory.

    Takes a few minutes, and needs no network: both models run in this process. The draft is one that the text
    follows nearly all the way, so that nearly every token is fused: the dearest case.

    Form live is measured twice over the same text. "Cloud elsewhere": the stand-in's answers come from memory
    after --delay, as from another machine; this is what is promised. "Cloud on these cores": the stand-in
    computes each answer here, and the writer waits for it.
    """
    with bar() as progress:
        step = progress.add_task("decoding alone, with a draft, and live", total=4 * rounds + 2)
        bench = Bench(model, cloud, delay, tokens, lambda: progress.advance(step))
        try:
            ratios, measured = bench.all(rounds)
        finally:
            bench.close()
    report(f"cogenesis bench fuse ({model})", ratios, measured, as_json=as_json, model=model)


@dataclass
class Taken:
    """What rounds gave: tokens per second of each way to write, and requests per token of form live.

    `live` with the cloud elsewhere, `shared` with the cloud on these cores.
    """

    alone: list[float] = field(default_factory=list)
    draft: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)
    fused: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    computed: int = 0
    """Answers that had to be computed although the cloud was to be elsewhere: 0, or `live` is too slow."""

    def ratios(self, extra_mb: float | None) -> list[Ratio]:
        """Against what was promised."""
        draft, live, shared = (
            statistics.median(a / b for a, b in zip(way, self.alone, strict=True))
            for way in (self.draft, self.live, self.shared)
        )
        found = [
            Ratio("decoding with a draft / alone", draft, 0.85, True),
            Ratio("decoding live / alone, cloud elsewhere", live, 0.4, True),
            Ratio("decoding live / alone, cloud on these cores", shared, None),
            Ratio("requests per token, live", statistics.median(self.requests), 0.35, False, "requests"),
        ]
        memory = [] if extra_mb is None else [Ratio("extra memory of a draft", extra_mb, 100.0, False, "MB")]
        return found + memory

    def measured(self) -> dict[str, float]:
        """What the ratios were made of."""
        rows = {
            "alone_tokens_per_s": self.alone,
            "draft_tokens_per_s": self.draft,
            "live_tokens_per_s": self.live,
            "live_cloud_on_these_cores_tokens_per_s": self.shared,
            "draft_tokens_in_step": self.fused,
        }
        found = {name: round(statistics.median(row), 3) for name, row in rows.items()}
        return {**found, "live_answers_not_kept": float(self.computed)}


class Bench:
    """Both models, and the fictional person's prompt.

    Args:
        model: the writer.
        cloud: of form live.
        delay: seconds added to each of its answers.
        tokens: per round.
        done: called after each piece of work.
    """

    def __init__(self, model: str, cloud: str, delay: float, tokens: int, done: Callable[[], None]) -> None:
        from cogenesis_langchain.evals.gold import generic_prompt
        from cogenesis_langchain.evals.stand_in import InProcess
        from cogenesis_langchain.known.holding import Holding
        from cogenesis_langchain.writer.opening import of_catalogue

        self.writer: LlamaCppWriter = of_catalogue(model, n_ctx=2048)
        self.cloud: InProcess = InProcess(cloud, 2048)
        self.generic: Prompt = generic_prompt(TASK)
        self.tokens, self._done = tokens, done
        self._inside = Holding(known_values(VALUES).values)
        self._asked = Cloud(self._answer, delay)

    def close(self) -> None:
        """Frees the models."""
        self.writer.close()
        self.cloud.close()

    def all(self, rounds: int) -> tuple[list[Ratio], dict[str, float]]:
        """The ratios and what they were made of."""
        from cogenesis_langchain.fusion.combiners import combiner

        prompt, taken = person_prompt(self.writer.count), Taken()
        self._alone(prompt)  # first use of everything
        self._done()
        before = resident_bytes()
        drafts = [self._drafted(prompt)]
        with self.writer.steps(prompt, scope="bench") as steps:
            learned = combiner("learned", control=steps.vocabulary.tokens.control)
        self._draft(prompt, drafts, learned)
        extra = (resident_bytes() - before) / _MEGABYTE if before else None
        self._live(prompt, learned, 4, elsewhere=False)  # loads the other model
        self._done()
        for _ in range(rounds):
            taken.alone.append(self._alone(prompt))
            self._done()
            speed, fused = self._draft(prompt, drafts, learned)
            taken.draft.append(speed)
            taken.fused.append(fused)
            self._done()
            for elsewhere, speeds in ((False, taken.shared), (True, taken.live)):
                speed, requests = self._live(prompt, learned, self.tokens, elsewhere=elsewhere)
                speeds.append(speed)
                self._done()
            taken.requests.append(requests)
        taken.computed = self._asked.computed
        return taken.ratios(extra), taken.measured()

    def _alone(self, prompt: Prompt) -> float:
        return speed_of(self.writer.write(prompt, scope="bench", max_tokens=self.tokens, temperature=0))

    def _drafted(self, prompt: Prompt) -> Draft:
        """What the writer itself would write, as a draft."""
        from cogenesis_langchain.fuse.sampling import Sampler

        with self.writer.steps(prompt, scope="bench") as steps:
            return drafted(steps, Sampler(0.0), self.tokens)

    def _draft(self, prompt: Prompt, drafts: list[Draft], combine: Combiner) -> tuple[float, float]:
        """Tokens per second, and the share of them in step."""
        from cogenesis_langchain.fuse.draft import fuse_draft

        trace: list[TokenTrace] = []
        with self.writer.steps(prompt, scope="bench") as steps:
            written = fuse_draft(steps, drafts, combine, max_tokens=self.tokens, temperature=0, trace=trace)
            speed = speed_of(written)
        return speed, sum(one.by != "local" for one in trace) / max(len(trace), 1)

    def _live(
        self, prompt: Prompt, combine: Combiner, tokens: int, *, elsewhere: bool
    ) -> tuple[float, float]:
        """Tokens per second, and requests per token. All chance is fixed: it is the same text every time."""
        from numpy.random import default_rng

        from cogenesis_langchain.conversing import telling
        from cogenesis_langchain.fuse.live import Live, fuse_live
        from cogenesis_langchain.fuse.sampling import Sampler

        trace: list[TokenTrace] = []
        self._asked.begin(elsewhere=elsewhere)
        with self.writer.steps(prompt, scope="bench", shadow=self.generic) as steps:
            written = fuse_live(
                steps,
                self._asked,
                combine,
                Live(),
                Sampler(0.7, 1),
                lambda text: self._inside(text) or telling(text),
                public_taste=Sampler(0.7, 2),
                max_tokens=tokens,
                trace=trace,
                uniform=default_rng(3).random,
            )
            speed = speed_of(written)
        return speed, self._asked.requests / max(len(trace), 1)

    def _answer(self, prefix: str) -> Draft:
        return self.cloud.drafted(self.generic, prefix, tokens=LiveConfig().block, k=LISTED, rng=None)


class Cloud:
    """The cloud of form live, as a `fuse.asking.Ask`.

    Args:
        answer: computes an answer.
        delay: seconds that each answer takes besides.
    """

    def __init__(self, answer: Callable[[str], Draft], delay: float) -> None:
        self._answer, self._delay = answer, delay
        self._answers: dict[str, Draft] = {}
        self._elsewhere = False
        self.requests = self.computed = 0

    def begin(self, *, elsewhere: bool) -> None:
        """A new text; with `elsewhere` answers that were computed before come from memory."""
        self._elsewhere, self.requests = elsewhere, 0

    def __call__(self, prefix: str, nats: float) -> Draft:
        """The answer; one that had to be computed although it should not counts in `computed`."""
        del nats
        self.requests += 1
        time.sleep(self._delay)
        if not (self._elsewhere and prefix in self._answers):
            self.computed += self._elsewhere
            self._answers[prefix] = self._answer(prefix)
        return self._answers[prefix]


def person_prompt(count: Callable[[str], int]) -> Prompt:
    """The request of the demo's person, with what is known about them."""
    from cogenesis_langchain.ingest import read_items
    from cogenesis_langchain.writer.prompt import writing_prompt

    items = list(read_items([Path(person_dir()) / name for name in PERSON_FILES]))
    profile = [item.text for item in items if item.type == "profile"]
    writings = [(item.title, item.text) for item in items if item.type == "writing"]
    return writing_prompt(profile, writings, (), demo_request()["instruction"], None, CONTEXT_TOKENS, count)


def drafted(steps: Steps, sample: Sampler, tokens: int) -> Draft:
    """A draft with its candidates, as an endpoint sends it."""
    from cogenesis_langchain.fusion.distributions import listed_of, log_softmax
    from cogenesis_langchain.types import TopLogprobs

    positions: list[TopLogprobs] = []
    for _ in range(min(tokens, steps.room)):
        logs = log_softmax(steps.logits)
        token = sample(steps.logits)
        if steps.ends(token):
            return Draft(tuple(positions), ended=True)
        listed = listed_of(logs, LISTED)
        pieces = tuple(steps.pieces[i] for i in listed.ids.tolist())
        positions.append(
            TopLogprobs(steps.pieces[token], float(logs[token]), pieces, tuple(listed.logprobs.tolist()))
        )
        steps.feed(token)
    return Draft(tuple(positions))
