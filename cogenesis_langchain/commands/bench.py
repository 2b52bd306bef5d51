"""`cogenesis bench`: what the router costs, as ratios taken in one run on this machine.

Absolute numbers depend on the machine and on what else runs there, ratios much less; so tests check none.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.bench_detect import detect
from cogenesis_langchain.commands.bench_fuse import fuse
from cogenesis_langchain.commands.common import JsonOption, err
from cogenesis_langchain.commands.demo import PERSON_FILES, demo_policy, demo_request, person_dir
from cogenesis_langchain.commands.ratios import Ratio, report
from cogenesis_langchain.commands.running import Listener, router_for, run
from cogenesis_langchain.types import Route

if TYPE_CHECKING:
    from cogenesis_langchain.engine import Engine
    from cogenesis_langchain.testing import RecordingCloud
    from cogenesis_langchain.writer.local import LlamaCppWriter
    from cogenesis_langchain.writer.parts import Prompt

app = typer.Typer(help="Measure what the router costs on this machine.", no_args_is_help=True)

CLOUD_DELAY_S = 3.0
REQUEST = "Please write a note that asks the neighbours whether they would lend us four chairs. " * 4


app.command("detect")(detect)
app.command("fuse")(fuse)


@app.command("write")
def write(
    as_json: JsonOption = False,
    model: Annotated[
        str, typer.Option("--model", help="A writer of the catalogue.")
    ] = "qwen2.5-coder-1.5b-instruct",
    tokens: Annotated[int, typer.Option("--tokens", min=8, help="Tokens per decoding round.")] = 64,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds, whose median counts.")] = 3,
) -> None:
    """Four ratios: waiting for the cloud, the second request, decoding, and all that is no model.

    Takes a few minutes. The cloud is a server in this process that answers after three seconds.
    """
    with err.status("building the bench, and the fictional person's context") as status:
        bench = _Bench(model, tokens, rounds, status.update)
        ratios, seconds = bench.all()
    report(f"cogenesis bench write ({model})", ratios, seconds, as_json=as_json, model=model)


class _Tap:
    """A writer that remembers the last prompt it was given, and lets the bench limit what is written."""

    def __init__(self, writer: LlamaCppWriter) -> None:
        self._writer = writer
        self.prompt: Prompt = ()
        self.tokens_per_s = 0.0
        self.max_tokens = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, prompt: Prompt, **settings: Any) -> Iterator[str]:
        """As the writer's, shortened to `max_tokens`; what the reader does between two tokens counts."""
        self.prompt, times = prompt, []
        for piece in self._writer.write(prompt, **(settings | {"max_tokens": self.max_tokens})):
            times.append(time.perf_counter())
            yield piece
        if len(times) > 1:
            self.tokens_per_s = (len(times) - 1) / (times[-1] - times[0])


class _Bench:
    def __init__(self, model: str, tokens: int, rounds: int, say: Callable[[str], None]) -> None:
        self._model, self._tokens, self._rounds, self._say = model, tokens, rounds, say
        self._request = demo_request()
        self._routers: dict[int, Any] = {}
        self.measured: dict[str, float] = {}

    def all(self) -> tuple[list[Ratio], dict[str, float]]:
        """The four ratios and what they were made of."""
        from cogenesis_langchain.testing import RecordingCloud

        with tempfile.TemporaryDirectory(prefix="cogenesis-bench-") as folder:
            with RecordingCloud(delay_s=CLOUD_DELAY_S) as cloud:
                engine = self._engine(Route.SKETCH, cloud.base_url, Path(folder))
                tap = _Tap(engine.writer)  # type: ignore[arg-type]  # the bench is about llama.cpp
                engine = _with(engine, writer=tap)
                try:
                    ratios = [self._waiting(engine, tap), self._second(engine, tap)]
                    ratios.append(self._decoding(engine, tap))
                finally:
                    engine.close()
            with RecordingCloud() as cloud:
                ratios.append(self._rest(cloud, Path(folder)))
        return ratios, {name: round(value, 4) for name, value in self.measured.items()}

    def _engine(self, route: Route, base_url: str, folder: Path) -> Engine:
        """An engine with real models and the fictional person's context in memory."""
        from cogenesis_langchain.config import load
        from cogenesis_langchain.engine import Engine
        from cogenesis_langchain.ingest import read_items
        from cogenesis_langchain.store import MemoryStore

        policy = demo_policy(route, base_url, folder)
        policy["models"]["local"] = {"provider": "llama_cpp", "model": self._model}
        engine = Engine(load(policy))
        items = read_items([person_dir() / name for name in PERSON_FILES])
        store = MemoryStore(items, engine.embedder, values_of=engine.values_of, user=self._request["user"])
        engine = _with(engine, store=store)
        engine.writer.load()
        engine.detector.warm()
        return engine

    def _run(self, engine: Engine, instruction: str | None = None, **context: Any) -> dict[str, float]:
        """The timings of one request through the graph."""
        from cogenesis_langchain.state import RouterContext

        given = RouterContext(user_id=self._request["user"], **context)
        router = self._routers.get(id(engine)) or self._routers.setdefault(id(engine), router_for(engine))
        state = run(router, instruction or self._request["instruction"], given, Listener())
        found: dict[str, float] = state["timings"]
        return found

    def _waiting(self, engine: Engine, tap: _Tap) -> Ratio:
        """First token behind a slow cloud, against what nobody can do without."""
        self._say("a first request, with a cloud that takes three seconds")
        user = self._request["user"]
        self._run(engine, "Write a short note")  # frames, first use of everything
        ratios = []
        for _ in range(self._rounds):
            tap.forget(user)
            timings = self._run(engine)
            tap.forget(user)
            context_s = _seconds(lambda: tap.warm(tap.prompt, scope=user))
            sketch_s = _seconds(lambda: next(iter(tap.write(tap.prompt, scope=user))))
            least = timings["generalize_ms"] / 1000 + max(CLOUD_DELAY_S, context_s) + sketch_s
            ratios.append((timings["first_token_ms"] - timings["detect_ms"]) / 1000 / least)
            self.measured |= {
                "first_token_s": timings["first_token_ms"] / 1000,
                "detect_s": timings["detect_ms"] / 1000,
                "generalize_s": timings["generalize_ms"] / 1000,
                "context_prefill_s": context_s,
                "sketch_prefill_s": sketch_s,
            }
        return Ratio("first token / what must be waited for", statistics.median(ratios), 1.1, False)

    def _second(self, engine: Engine, tap: _Tap) -> Ratio:
        """The same person's next request: their context is not read again. Without a cloud in between."""
        self._say("a second request of the same person")
        user, ratios = self._request["user"], []
        for _ in range(self._rounds):
            tap.forget(user)
            first = self._run(engine, route=Route.LOCAL)["first_token_ms"]
            second = self._run(engine, route=Route.LOCAL)["first_token_ms"]
            ratios.append(second / first)
            self.measured |= {"first_request_s": first / 1000, "second_request_s": second / 1000}
        self.measured["kept_state_bytes"] = tap.snapshot_bytes
        return Ratio("first token of a second request / of the first", statistics.median(ratios), 0.35, False)

    def _decoding(self, engine: Engine, tap: _Tap) -> Ratio:
        """Tokens per second through the whole graph, against the shortest loop over llama.cpp."""
        self._say("decoding, through the graph and bare, by turns")
        tap.max_tokens, bare, whole = self._tokens, [], []
        for _ in range(self._rounds):
            self._run(engine, route=Route.LOCAL)
            whole.append(tap.tokens_per_s)
            loop = tap.bare_loop(tap.prompt, self._tokens)
            next(loop)
            bare.append(self._tokens / _seconds(partial(deque, loop, maxlen=0)))
        self.measured |= {
            "graph_tokens_per_s": statistics.median(whole),
            "bare_tokens_per_s": statistics.median(bare),
        }
        return Ratio(
            "decoding through the graph / bare",
            statistics.median(whole) / statistics.median(bare),
            0.95,
            True,
        )

    def _rest(self, cloud: RecordingCloud, folder: Path) -> Ratio:
        """Decide, vault, gate, receipt and graph for a 300-character request: all models are fakes.

        Detection and generalising are reported apart, and so is the bare round trip to the cloud.
        """
        self._say("all that is no model")
        from cogenesis_langchain.config import load
        from cogenesis_langchain.engine import Engine
        from cogenesis_langchain.store import MemoryStore
        from cogenesis_langchain.testing import FakeDetector, FakeEmbedder, FakeWriter, canary_context

        detector, user = FakeDetector(), self._request["user"]
        store = MemoryStore(canary_context(), values_of=detector.extract_values, user=user)
        policy = demo_policy(Route.SKETCH, cloud.base_url, folder)
        policy["models"]["local"] = {"provider": "llama_cpp", "model": self._model, "max_tokens": 16}
        rooms = {"embedder": FakeEmbedder(), "detector": detector, "store": store, "writer": FakeWriter()}
        engine = Engine(load(policy), **rooms)
        self._run(engine, REQUEST[:300])
        taken, bare = [], []
        for _ in range(20):
            timings = self._run(engine, REQUEST[:300])
            taken.append(timings["total_ms"] - timings["detect_ms"] - timings["generalize_ms"])
            bare.append(1000 * cloud.round_trip_s())
        self.measured["bare_round_trip_ms"] = statistics.median(bare)
        value = statistics.median(taken) - statistics.median(bare)
        return Ratio("all that is no model", value, 15.0, False, "ms")


def _with(engine: Engine, **rooms: Any) -> Engine:
    """The engine with some rooms replaced; the others are shared."""
    from cogenesis_langchain.engine import Engine

    names = ("embedder", "detector", "store", "writer", "vocabulary", "audit")
    built = {name: getattr(engine, name) for name in names if engine.built(name)}
    return Engine(engine.config, **(built | rooms))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
