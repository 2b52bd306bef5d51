"""What must hold for the bench, without running it: it needs models, and its numbers are never tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands import bench_detect
from cogenesis_langchain.commands.bench import _Tap, app
from cogenesis_langchain.commands.ratios import Ratio, by_turns
from cogenesis_langchain.writer.local import Turn


def test_a_ratio_knows_its_good_side() -> None:
    """At least and at most are told apart, in the JSON too."""
    fast, slow = Ratio("a", 0.99, 0.95, True), Ratio("b", 16.0, 15.0, False, "ms")
    assert fast.ok
    assert not slow.ok
    assert slow.as_dict() == {"name": "b", "value": 16.0, "limit": "<= 15.0 ms", "ok": False}


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
