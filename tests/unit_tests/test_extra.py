from __future__ import annotations

import asyncio
import threading
import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from cogenesis_langchain.detect.detector import QUIET, Detector
from cogenesis_langchain.detect.extra import Extra, load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import ConfigError, DetectorError
from cogenesis_langchain.types import PrivateSpan

TEXT = "Badge QX-77 opens the door of the otter house."
BADGE = {"type": "BADGE", "start": 6, "end": 11, "score": 0.8}


async def badges(text: str) -> list[dict[str, Any]]:
    """Found after having waited, as a client of some service would."""
    await asyncio.sleep(0)
    start = text.find("QX-77")
    return [BADGE | {"start": start, "end": start + 5}] if start >= 0 else []


class Office:
    """An object with a method, plain or async."""

    async def detect(self, text: str) -> list[PrivateSpan]:
        """One door."""
        return [PrivateSpan("DOOR", text.find("door"), text.find("door") + 4, 0.9, "office")]


def found(detector: Detector, text: str = TEXT) -> dict[str, str]:
    """Type by found text."""
    return {text[s.start : s.end]: s.type for s in detector.detect(text)}


def test_every_form_of_detector_and_of_span_is_taken() -> None:
    """Functions, async functions, objects; mappings, our spans, Presidio's results."""
    result = SimpleNamespace(entity_type="ANIMAL", start=34, end=39, score=0.7)
    detector = Detector("fast", extra=[badges, Office(), lambda _: [result]])
    assert found(detector) == {"QX-77": "BADGE", "door": "DOOR", "otter": "ANIMAL"}


@pytest.mark.parametrize("label", QUIET)
def test_no_label_of_theirs_is_quiet(label: str) -> None:
    """Quiet labels are what models find too often; whoever adds a detector means what it finds."""
    detector = Detector("fast", extra=[lambda _: [BADGE | {"type": label}]])
    assert found(detector) == {"QX-77": label}


async def test_it_runs_inside_somebodys_event_loop() -> None:
    """Where the caller's thread has a running loop, as in an async graph, and where it has none."""
    detector = Detector("fast", extra=[badges])
    assert found(detector) == {"QX-77": "BADGE"}
    assert await asyncio.to_thread(found, detector) == {"QX-77": "BADGE"}


def test_one_that_wants_to_end_the_program_ends_nothing() -> None:
    """SystemExit in a coroutine would stop the loop that all of them share: no answer ever after."""

    async def leaves(_: str) -> list[Any]:
        raise SystemExit(TEXT)

    extra = Extra([leaves], timeout_s=20)
    for _ in range(2):
        with pytest.raises(DetectorError, match="failed"):
            extra.find(TEXT)
    assert Extra([badges]).find(TEXT)


def test_all_calls_share_one_loop() -> None:
    """A client kept by an async detector lives on one loop, whichever thread asks."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def where(_: str) -> list[Any]:
        loops.append(asyncio.get_running_loop())
        return []

    extra = Extra([where])
    threads = [threading.Thread(target=extra.find, args=(TEXT,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 4
    assert len(set(loops)) == 1


def broken(text: str) -> list[Any]:
    """Quotes the text in its error."""
    raise RuntimeError(text)


async def broken_later(text: str) -> list[Any]:
    """The same, awaited."""
    raise RuntimeError(text)


@pytest.mark.parametrize(
    "detector",
    [
        broken,
        broken_later,
        lambda _: None,
        lambda _: [{"type": "BADGE"}],
        lambda _: [BADGE | {"end": 10_000}],
        lambda _: [BADGE | {"start": -1}],
        lambda _: [BADGE | {"score": 7}],
        lambda _: [BADGE | {"type": "the badge of Nora"}],
        lambda _: [object()],
    ],
)
def test_whatever_fails_stops_the_request(detector: Any) -> None:
    """No answer, no spans or wrong spans never pass for clean text, and no error quotes it."""
    with pytest.raises(DetectorError, match="nothing may be sent") as error:
        Detector("fast", extra=[detector]).detect(TEXT)
    shown = "".join(traceback.format_exception(error.value))
    assert "opens the door" not in shown


def test_no_answer_in_time_stops_the_request() -> None:
    """A detector that hangs is cut off."""

    async def hang(_: str) -> list[Any]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(DetectorError, match="no answer"):
        Extra([hang], timeout_s=0.05).find(TEXT)


def test_a_policy_names_detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """`privacy.detectors` lists them as package.module:name; the engine's detector runs them."""
    from cogenesis_langchain import config

    policy = {"version": 1, "privacy": {"tier": "fast", "detectors": [f"{__name__}:badges"]}}
    assert found(Engine(config.load(policy)).detector) == {"QX-77": "BADGE"}


@pytest.mark.parametrize("name", ["nosuch.module:x", f"{__name__}:nosuch", f"{__name__}:BADGE", "", "json"])
def test_what_cannot_be_used_is_an_error_of_the_policy(name: str) -> None:
    """Named wrongly, it never passes for a detector that found nothing."""
    with pytest.raises(ConfigError, match=r"package\.module:name"):
        load([name])
