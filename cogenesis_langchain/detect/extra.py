"""Detectors of an adopter's own beside ours: any function of a text, async or not.

    async def badges(text):
        return [{"type": "BADGE", "start": 3, "end": 9, "score": 0.8}]

They get the text as it stands and give spans: ours, mappings, or Presidio's RecognizerResult. What is no
span, an exception, or no answer in time is a DetectorError: nothing is sent.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cogenesis_langchain.errors import ConfigError, DetectorError
from cogenesis_langchain.types import PrivateSpan

SOURCE = "extra"
TIMEOUT_S = 30.0

ExtraDetector = Callable[[str], Any]
"""text -> spans, or an awaitable of spans; an object with a method `detect(text)` will do."""

_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class Extra:
    """Runs them all on one text. Async ones share an event loop in a thread of its own.

    So a client that one of them keeps lives on one loop, and it makes no difference whether detection runs
    in a thread, in a script or inside somebody's event loop.
    """

    def __init__(self, detectors: Sequence[ExtraDetector | object], *, timeout_s: float = TIMEOUT_S) -> None:
        self._calls = tuple(map(_callable, detectors))
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def find(self, text: str) -> list[PrivateSpan]:
        """What they find, in no order; spans may overlap. Raises DetectorError."""
        return [span for call in self._calls for span in self._run(call, text)]

    def _run(self, call: ExtraDetector, text: str) -> list[PrivateSpan]:
        try:
            found = call(text)
            if inspect.isawaitable(found):
                running = asyncio.run_coroutine_threadsafe(_awaited(found), self._started())
                try:
                    found = running.result(self._timeout_s)
                finally:
                    running.cancel()
            return [_span(one, len(text)) for one in _listed(found)]
        except TimeoutError:
            raise DetectorError(
                f"an added detector gave no answer in {self._timeout_s:g} s; nothing may be sent"
            ) from None
        except Exception as error:  # the cause may quote the text, so only its kind is told
            raise DetectorError(
                f"an added detector failed ({type(error).__name__}); nothing may be sent"
            ) from None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="cogenesis-detectors", daemon=True
                ).start()
            return self._loop

    def __repr__(self) -> str:
        return f"Extra({len(self._calls)} detectors)"


def load(names: Iterable[str]) -> list[ExtraDetector]:
    """The detectors that a policy names as `package.module:name`. Raises ConfigError."""
    found = []
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            found.append(_callable(getattr(importlib.import_module(module), attribute)))
        except (ImportError, AttributeError, ValueError, DetectorError) as error:
            raise ConfigError(
                f"privacy.detectors: '{name}' cannot be used ({type(error).__name__}); "
                "write package.module:name of a function that takes a text"
            ) from None
    return found


def _callable(detector: Any) -> ExtraDetector:
    call = getattr(detector, "detect", detector)
    if not callable(call):
        raise DetectorError("an added detector is neither a function nor has a method `detect`")
    result: ExtraDetector = call
    return result


async def _awaited(found: Any) -> Any:
    try:
        return await found
    except (SystemExit, KeyboardInterrupt):  # either would end the loop, and with it every later answer
        raise RuntimeError from None


def _listed(found: Any) -> Sequence[Any]:
    if not isinstance(found, list | tuple):
        raise DetectorError("no list")
    return found


def _span(one: Any, length: int) -> PrivateSpan:
    """A span of ours from whatever has a type, a start, an end and a score."""
    if isinstance(one, Mapping):
        kind, start, end = one.get("type", one.get("entity_type")), one["start"], one["end"]
        score = one.get("score", 1.0)
    else:
        kind = one.type if isinstance(one, PrivateSpan) else one.entity_type
        start, end, score = one.start, one.end, one.score
    if not (isinstance(kind, str) and _TYPE.fullmatch(kind)):
        raise DetectorError("no type in capitals")
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= length):
        raise DetectorError("offsets outside the text")
    if not 0 <= float(score) <= 1:
        raise DetectorError("a score outside 0 to 1")
    return PrivateSpan(kind, start, end, float(score), SOURCE)
