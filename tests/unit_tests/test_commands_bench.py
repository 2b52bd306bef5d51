"""What must hold for the bench, without running it: it needs models, and its numbers are never tested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.testing import CliRunner

from cogenesis_langchain.commands.bench import Ratio, _Tap, app
from cogenesis_langchain.writer import Turn


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
