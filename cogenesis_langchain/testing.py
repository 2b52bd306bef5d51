"""Stand-ins for users' tests and ours: a cloud that keeps every byte, canaries, fakes without models.

`RecordingCloud` is a real HTTP server on loopback, because what must be proven is what went over the
wire, not what a mock was called with. The fakes follow the protocols of `writer`, `embed` and `detect`,
answer in microseconds and are deterministic, so that a test can say exactly what must come out.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cogenesis_langchain.readings import spelled
from cogenesis_langchain.recording import Recorded, RecordingCloud
from cogenesis_langchain.replies import SKETCH, Able, Reply
from cogenesis_langchain.tap import SocketTap
from cogenesis_langchain.types import ContextItem, KnownValue, Pieces, PrivateSpan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogenesis_langchain.fake_steps import FakeSteps

__all__ = [
    "SKETCH",
    "Able",
    "FakeDetector",
    "FakeEmbedder",
    "FakeWriter",
    "Recorded",
    "RecordingCloud",
    "Reply",
    "SocketTap",
    "canaries",
    "canary_context",
    "leaked",
]

_WORD = re.compile(r"\w+")
_CLOSE_READING = 200_000  # characters; databases are longer


def canaries() -> tuple[KnownValue, ...]:
    """Private values of a fictional person that occur nowhere else: found anywhere, they prove a leak."""
    values = {
        "PERSON": "Quillon Vexmoor",
        "EMAIL_ADDRESS": "quillon.vexmoor@tidewell.example",
        "PHONE_NUMBER": "+44 7700 900417",
        "LOCATION": "14 Larkspinner Row",
        "ORGANIZATION": "Brambleholt Kelpworks",
        "API_KEY": "sk-canary-7Qw2Zr9Lm4Xt8Vb1",
    }
    return tuple(KnownValue(value, type_, "declared") for type_, value in values.items())


def canary_context() -> tuple[ContextItem, ...]:
    """A profile and a past writing (both fictional) that hold every canary."""
    value = {known.type: known.value for known in canaries()}
    profile = (
        f"Name: {value['PERSON']}\nEmail: {value['EMAIL_ADDRESS']}\nPhone: {value['PHONE_NUMBER']}\n"
        f"Address: {value['LOCATION']}\nEmployer: {value['ORGANIZATION']}\nToken: {value['API_KEY']}"
    )
    writing = f"Hello all, {value['PERSON']} here from {value['LOCATION']}. Bring rain boots, as ever!"
    return ContextItem("profile", profile, "profile"), ContextItem("writing", writing, "a past note")


def leaked(data: bytes | str, values: Sequence[KnownValue] | None = None) -> list[str]:
    """Types of the canaries that `data` gives away; [] is good.

    Read as it is and with JSON escapes undone; up to `_CLOSE_READING` characters also through every
    decoding of `readings`, with look-alikes, case and what stands between the letters undone.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    known = values or canaries()
    if len(text) <= _CLOSE_READING:
        spelt = set(spelled(text, [one.value for one in known]))
    else:
        unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        forms = (text.casefold(), unescaped.casefold())
        spelt = {one.value for one in known if any(one.value.casefold() in form for form in forms)}
    return [one.type for one in known if one.value in spelt]


class _Turn(Protocol):
    @property
    def role(self) -> str: ...
    @property
    def parts(self) -> tuple[str, ...]: ...


@dataclass
class FakeWriter:
    """A writer without a model: repeats what it was given, word by word, as a careless model would.

    The text it writes carries every part of the prompt but the first (the frame), so a canary in the
    context comes out in the text, and a test sees whether anything else let it out. `delay_s` is the
    pause before each token; `error` is raised instead of the first one. `prompts` keeps (scope, text) of
    each `write`, `warmed` of each `warm`, `choices` (prompt text, chosen) of each `choose`.
    """

    name: str = "fake-writer"
    delay_s: float = 0.0
    error: Exception | None = None
    prompts: list[tuple[str, str]] = field(default_factory=list, repr=False)
    warmed: list[tuple[str, str]] = field(default_factory=list, repr=False)
    choices: list[tuple[str, str]] = field(default_factory=list, repr=False)
    forgotten: list[str] = field(default_factory=list, repr=False)
    closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def write(
        self,
        prompt: Sequence[_Turn],
        *,
        scope: str,
        max_tokens: int = 700,
        temperature: float = 0.7,  # noqa: ARG002 - the writer protocol
        seed: int | None = None,  # noqa: ARG002 - the writer protocol
        cancel: threading.Event | None = None,
    ) -> Pieces:
        """Yield at most `max_tokens` words of the prompt; holds the lock for the whole stream."""
        with self._lock:
            self.prompts.append((scope, _flat(prompt)))
            if self.error is not None:
                raise self.error
            words = _words_of(prompt)
            for word in words[:max_tokens]:
                if cancel is not None and cancel.is_set():
                    return None
                if self.delay_s:
                    time.sleep(self.delay_s)
                yield word
            return "stop" if len(words) <= max_tokens else "length"

    @contextmanager
    def steps(
        self,
        prompt: Sequence[_Turn],
        *,
        scope: str,
        shadow: Sequence[_Turn] | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[FakeSteps]:
        """The same text, for route fuse: what `write` would say next stands out at each step."""
        from cogenesis_langchain.fake_steps import FakeSteps

        with self._lock:
            self.prompts.append((scope, _flat(prompt)))
            if self.error is not None:
                raise self.error
            beside = None if shadow is None else "".join(_words_of(shadow))
            yield FakeSteps("".join(_words_of(prompt)), beside, delay_s=self.delay_s, cancel=cancel)

    def warm(self, prompt: Sequence[_Turn], *, scope: str, cancel: threading.Event | None = None) -> None:
        """Remember that this prefix was read under `scope`; stops early once `cancel` is set."""
        if (cancel is not None and cancel.wait(self.delay_s)) or self.error is not None:
            return
        self.warmed.append((scope, _flat(prompt)))

    def choose(self, prompt: Sequence[_Turn], options: Sequence[str], *, scope: str = "") -> str:  # noqa: ARG002
        """The option that shares most words with the last turn; the first one where none does."""
        if self.error is not None:
            raise self.error
        last = set(_words("\n".join(prompt[-1].parts)))
        best = max(options, key=lambda option: len(last & set(_words(option))))
        self.choices.append((_flat(prompt), best))
        return best

    def count(self, text: str) -> int:
        """Words of `text`: one token each."""
        return len(text.split())

    def forget(self, scope: str) -> None:
        """Record that the cached state of `scope` was dropped."""
        self.forgotten.append(scope)

    def load(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Mark as closed."""
        self.closed = True


def _words_of(prompt: Sequence[_Turn]) -> list[str]:
    """Every part but the first as words, with what stands between them."""
    parts = [part for turn in prompt for part in turn.parts]
    return re.findall(r"\S+\s*", "\n".join(["Here it is:", *(parts[1:] or parts)]))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _flat(prompt: Sequence[_Turn]) -> str:
    return "\n".join("".join(turn.parts) for turn in prompt)


class FakeEmbedder:
    """Hashed bag of words: 384 numbers, unit norm; texts that share words are near each other."""

    dimension = 384

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 384) float32, unit norm; a text without words is the first unit vector."""
        import numpy as np

        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in _words(text):
                digest = hashlib.blake2b(word.encode(), digest_size=4).digest()
                out[row, int.from_bytes(digest, "big") % self.dimension] += 1.0
            if not out[row].any():
                out[row, 0] = 1.0
        normed: NDArray[np.float32] = out / np.linalg.norm(out, axis=1, keepdims=True)
        return normed


class _Finder(Protocol):
    def find(self, text: str) -> list[PrivateSpan]: ...


@dataclass
class FakeDetector:
    """A detector of regular expressions: mail addresses, telephone numbers, keys, two capitalised words.

    `patterns` (type -> expression) replaces the built-in ones; `error` is raised by every `detect`;
    `seen` keeps the texts it was given, so a test can say what the detector read.
    """

    patterns: Mapping[str, str] = field(
        default_factory=lambda: {
            "EMAIL_ADDRESS": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
            "PHONE_NUMBER": r"\+\d[\d ()-]{7,}\d",
            "API_KEY": r"\bsk-[A-Za-z0-9-]{10,}",
            "PERSON": r"\b[A-Z][a-z]+ [A-Z][a-z]+\b",
        }
    )
    error: Exception | None = None
    score: float = 0.85
    seen: list[str] = field(default_factory=list, repr=False)

    def detect(self, text: str, *, known: _Finder | None = None, message: int = 0) -> list[PrivateSpan]:
        """Spans sorted by start, without overlaps (the longer one wins)."""
        self.seen.append(text)
        if self.error is not None:
            raise self.error
        found = [
            PrivateSpan(type_, match.start(), match.end(), self.score, "fake", message)
            for type_, pattern in self.patterns.items()
            for match in re.finditer(pattern, text)
        ]
        for span in known.find(text) if known is not None else ():
            found.append(PrivateSpan(span.type, span.start, span.end, span.score, span.source, message))
        kept: list[PrivateSpan] = []
        for span in sorted(found, key=lambda span: (span.start - span.end, span.start)):
            if all(span.end <= other.start or span.start >= other.end for other in kept):
                kept.append(span)
        return sorted(kept, key=lambda span: span.start)

    def extract_values(self, item: ContextItem) -> list[KnownValue]:
        """Every detected string of a context item as a known value of origin `entity`."""
        return [
            KnownValue(item.text[span.start : span.end], span.type, "entity")
            for span in self.detect(item.text)
        ]

    def warm(self) -> None:
        """Nothing to load."""
