"""What must hold for the bench, without running it: it needs models, and its numbers are never tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands import bench_detect, bench_fuse
from cogenesis_langchain.commands.bench import _Tap, app
from cogenesis_langchain.commands.ratios import Ratio, by_turns, speed_of
from cogenesis_langchain.types import Draft
from cogenesis_langchain.writer.parts import Turn


def test_a_ratio_knows_its_good_side() -> None:
    """At least and at most are told apart, in the JSON too."""
    fast, slow = Ratio("a", 0.99, 0.95, True), Ratio("b", 16.0, 15.0, False, "ms")
    assert fast.ok
    assert not slow.ok
    assert slow.as_dict() == {"name": "b", "value": 16.0, "limit": "<= 15.0 ms", "ok": False}


def test_a_ratio_without_a_limit_promises_nothing() -> None:
    """It neither keeps a promise nor breaks one."""
    assert Ratio("a", 0.2611, None).as_dict() == {"name": "a", "value": 0.261, "limit": None, "ok": None}


def test_the_tap_limits_and_remembers() -> None:
    """The bench sees the prompt and decides how much is written; the rest goes to the writer itself."""

    class Stub:
        name = "stub"

        def write(self, prompt: Any, *, max_tokens: int, scope: str) -> Iterator[str]:
            yield from ["a"] * max_tokens

    tap, prompt = _Tap(Stub()), (Turn("user", ("x",)),)  # type: ignore[arg-type]
    tap.max_tokens = 3
    assert list(tap.write(prompt, scope="u", max_tokens=700)) == ["a"] * 3
    assert tap.prompt == prompt
    assert tap.tokens_per_s > 0
    assert tap.name == "stub"


def test_help_needs_no_model() -> None:
    """`cogenesis bench write --help` answers at once."""
    assert "--rounds" in CliRunner().invoke(app, ["write", "--help"], env={"COLUMNS": "120"}).output


def test_the_time_of_each_work_is_its_own() -> None:
    """Work is done in turn, as often as asked, and the medians come in its order."""
    done: list[str] = []

    def slow() -> None:
        done.append("slow")
        sum(range(300_000))

    fast_s, slow_s = by_turns([lambda: done.append("fast"), slow], 3)
    assert done == ["fast", "slow"] * 3
    assert 0 <= fast_s < slow_s


def test_the_bench_of_detection_reads_texts_of_its_lengths() -> None:
    """Pieces are 1,000 characters long whatever there is to read, and the user has 300 values."""
    assert [len(piece) for piece in bench_detect._pieces("short text. ", 1_000)] == [1_000]
    assert [len(piece) for piece in bench_detect._pieces("x" * 2_500, 1_000)] == [1_000] * 2
    known = bench_detect.known_values(300)
    assert len({value.value for value in known.values}) == 300
    assert all(known.hits(f"write to {value.value} now") for value in known.values[:8])


def test_the_bench_of_detection_tells_its_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four ratios against their limits, as JSON, from whatever the detectors took."""
    ratios = [Ratio("a", 0.2, 0.25, False), Ratio("b", 3.5, 3.0, False)]

    class Stub:
        measured: ClassVar[dict[str, float]] = {"fast_ms_per_1k": 1.0}

        def __init__(self, text: str, rounds: int) -> None:
            assert len(text) > 1_000
            assert rounds == 5

        def against_presidio(self) -> list[Ratio]:
            return list(ratios)

        def hostile(self) -> Ratio:
            return Ratio("c", 1.5, 2.0, False)

    monkeypatch.setattr(bench_detect, "_Bench", Stub)
    result = CliRunner().invoke(app, ["detect", "--json"])
    assert [ratio["ok"] for ratio in json.loads(result.stdout)["ratios"]] == [True, False, True]


def test_the_bench_of_fusion_tells_its_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round against the local model alone in that round, as JSON; no memory where none is told.

    The promise is about a cloud elsewhere; what one on the same cores costs stands beside it.
    """
    taken = bench_fuse.Taken(
        alone=[10.0, 20.0, 10.0],
        draft=[9.0, 17.0, 8.8],
        live=[5.0, 8.0, 3.0],
        shared=[2.0, 3.0, 2.0],
        fused=[0.9] * 3,
        requests=[0.3] * 3,
        computed=2,
    )

    class Stub:
        def __init__(self, model: str, cloud: str, delay: float, tokens: int, done: Any) -> None:
            assert (delay, tokens) == (0.2, 16)
            self.done = done

        def all(self, rounds: int) -> Any:
            assert rounds == 3
            self.done()
            return taken.ratios(None), taken.measured()

        def close(self) -> None: ...

    monkeypatch.setattr(bench_fuse, "Bench", Stub)
    result = CliRunner().invoke(app, ["fuse", "--json", "--delay", "0.2", "--tokens", "16"])
    printed = json.loads(result.stdout)
    assert [(one["value"], one["ok"]) for one in printed["ratios"]] == [
        (0.88, True),
        (0.4, True),
        (0.2, None),
        (0.3, True),
    ]
    assert printed["measured"]["live_tokens_per_s"] == 5.0
    assert printed["measured"]["live_answers_not_kept"] == 2
    assert [one.ok for one in taken.ratios(120.0)] == [True, True, True, True, False]


def test_a_cloud_elsewhere_answers_from_memory() -> None:
    """What it was not asked before is computed all the same, and counted."""
    computed: list[str] = []

    def answer(prefix: str) -> Draft:
        computed.append(prefix)
        return Draft(())

    cloud = bench_fuse.Cloud(answer, 0.0)
    for elsewhere, prefixes in ((False, ("", " we")), (False, ("",)), (True, ("", " we", " you"))):
        cloud.begin(elsewhere=elsewhere)
        for prefix in prefixes:
            cloud(prefix, 0.0)
        assert cloud.requests == len(prefixes)
    assert computed == ["", " we", "", " you"]
    assert cloud.computed == 1


def test_the_bench_of_fusion_reads_the_demo_s_person() -> None:
    """Its prompt is the demo's request with that person's context, within its room."""
    prompt = bench_fuse.person_prompt(lambda text: len(text.split()))
    assert len(prompt) > 1
    assert sum(len(part.split()) for turn in prompt for part in turn.parts) < bench_fuse.CONTEXT_TOKENS + 200


def test_speed_leaves_out_the_first_piece() -> None:
    """One piece or none has no speed; more have that between them."""
    assert speed_of(iter([])) == speed_of(iter(["a"])) == 0.0
    assert speed_of(iter(["a", "b", "c"])) > 0
