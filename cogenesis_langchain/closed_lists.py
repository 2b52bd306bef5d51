"""The closed lists of kinds and topics: what of a request may go out in words, and how much that tells.

Names and phrases may leave; descriptions and cue words stay on the machine and only help to choose.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

from cogenesis_langchain import yaml_lines
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.types import Level

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FALLBACK_KIND = "text"

_NAME = re.compile(r"[^\W_](?:[^\W_]|[ '&-](?=[^\W_])){0,59}")
_WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


class Embeds(Protocol):
    """What turns texts into vectors: `embed.Embedder`, or a fake."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32, each row of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind or topic. `phrase` goes out ("an invitation"); `means` and `cues` never do."""

    name: str
    phrase: str
    means: str
    cues: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What a request is compared with."""
        return f"{self.phrase}: {self.means}" if self.means else self.phrase

    def cue_score(self, text: str) -> float:
        """How clearly `text` (of `spaced`) names this entry: 0, or from 1 for one word to about 2."""
        found = sorted((1 + 0.15 * cue.count(" ") for cue in self._spaced() if cue in text), reverse=True)
        return found[0] + 0.2 * min(len(found) - 1, 3) if found else 0.0

    def _spaced(self) -> tuple[str, ...]:
        return _spaced_cues(self.name, self.cues)


@cache
def _spaced_cues(name: str, cues: tuple[str, ...]) -> tuple[str, ...]:
    """Cues as stretches of a spaced text; a whole word also counts in its plural."""
    out: list[str] = []
    for cue in dict.fromkeys((name, *cues)):
        words = spaced(cue).rstrip()
        out.append(words if cue.endswith("*") else f"{words} ")
        if not cue.endswith("*"):
            out.append(f"{words}s ")
    return tuple(dict.fromkeys(out))


def spaced(text: str) -> str:
    """Lower-case words of `text` with one space around each, the form cues are searched in."""
    return f" {' '.join(_WORDS.findall(text.replace('’', chr(39)).casefold()))} "


class Vocabulary:
    """Kinds and topics, shipped and added. Immutable but for the vectors, which are computed once."""

    def __init__(self, kinds: Mapping[str, Entry], topics: Mapping[str, Entry]) -> None:
        self.kinds = dict(kinds)
        self.topics = dict(topics)
        self._lock = threading.Lock()
        self._vectors: tuple[Embeds, NDArray[np.float32], NDArray[np.float32]] | None = None

    @classmethod
    def load(
        cls, extra_kinds: Mapping[str, str] | None = None, extra_topics: Mapping[str, str] | None = None
    ) -> Vocabulary:
        """The shipped lists plus additions (name -> description). The names go out, so they must be words.

        Raises ConfigError for a name that holds more than words, or that the shipped list has already.
        """
        kinds, topics = (dict(entries) for entries in _shipped())
        for added, entries, key in ((extra_kinds, kinds, "kinds"), (extra_topics, topics, "topics")):
            for name, means in (added or {}).items():
                _check_name(name, entries, key)
                phrase = _with_article(name) if key == "kinds" else name.replace("-", " ")
                entries[name] = Entry(name, phrase, means)
        return cls(kinds, topics)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.kinds)} kinds, {len(self.topics)} topics)"

    def bits(self, level: Level) -> float | None:
        """Upper bound of what one request tells the cloud; None where there is no bound (`free`).

        At `topic`: any kind with any topic, any kind alone (a veto, or no topic fits), or nothing sent.
        """
        n_kinds, n_topics = len(self.kinds), len(self.topics)
        if level is Level.TOPIC:
            return math.log2(n_kinds * n_topics + n_kinds + 1)
        return math.log2(n_kinds + 1) if level is Level.KIND else None

    def vectors(self, embedder: Embeds) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of all kinds (K, d) and all topics (T, d); computed at the first call for an embedder."""
        with self._lock:
            if self._vectors is None or self._vectors[0] is not embedder:
                entries = [*self.kinds.values(), *self.topics.values()]
                rows = embedder.embed([entry.description for entry in entries])
                self._vectors = (embedder, rows[: len(self.kinds)], rows[len(self.kinds) :])
            return self._vectors[1:]


@cache
def shipped() -> Vocabulary:
    """The lists as shipped, without additions."""
    return Vocabulary.load()


@cache
def _shipped() -> tuple[dict[str, Entry], dict[str, Entry]]:
    return _read("kinds"), _read("topics")


def _read(name: str) -> dict[str, Entry]:
    path = files("cogenesis_langchain").joinpath("vocabulary", f"{name}.yaml")
    data: Any = yaml_lines.parse(path.read_text(encoding="utf-8"), path.name).data
    return {key: Entry(key, one["phrase"], one["means"], tuple(one["cues"])) for key, one in data.items()}


def _check_name(name: str, entries: Mapping[str, Entry], key: str) -> None:
    where = f"key 'vocabulary.{key}.{name}'"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: a name goes out to the cloud and must be plain words of at most 60 characters; "
            "put everything else into its description"
        )
    if name in entries:
        raise ConfigError(f"{where}: the shipped list has this name already; choose another one")


def _with_article(name: str) -> str:
    words = name.replace("-", " ")
    return f"{'an' if words[0].casefold() in 'aeiou' else 'a'} {words}"
