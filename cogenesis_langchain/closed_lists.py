"""The closed lists of kinds and topics: what of a request may go out in words, and how much that tells.

The fine lists (`vocabulary/kinds.yaml`, `topics.yaml`) are what a request is compared with. What goes out
is the group that holds the fine entry, in one of the shipped sizes (`vocabulary/sizes/NAME.yaml`): fewer
groups tell less. Phrases may leave; descriptions and cue words stay and only help to choose.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

from cogenesis_langchain import additions, yaml_lines
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.types import Level

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FALLBACK_KIND = "text"
SIZES = ("tiny", "small", "medium", "large", "full")
"""Names of the shipped groupings, coarsest first; in `full` every fine entry is a group of its own."""
DEFAULT_SIZE = "medium"

_WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


class Embeds(Protocol):
    """What turns texts into vectors: `embed.Embedder`, or a fake."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32, each row of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind or topic. `phrase` goes out ("an invitation"); `means`, `cues` and `hints` never do.

    A cue names the entry; a hint is usual where it is asked for without being named, and counts half.
    """

    name: str
    phrase: str
    means: str
    cues: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What a request is compared with."""
        return f"{self.phrase}: {self.means}" if self.means else self.phrase

    def cue_score(self, text: str) -> float:
        """How clearly `text` (of `spaced`) names this entry: 0, from 0.5 for a hint, from 1 for a cue."""
        names = () if self.name == FALLBACK_KIND else (self.name,)  # "the text I should send" names no kind
        named = _found(_spaced_cues((*names, *self.cues)), text)
        hinted = _found(_spaced_cues(self.hints), text)
        return named + 0.25 * hinted if named else 0.5 * hinted


def _found(stretches: Sequence[str], text: str) -> float:
    """0, or from 1 for one word to about 2 for several, long ones."""
    found = sorted((1 + 0.15 * one.count(" ") for one in stretches if one in text), reverse=True)
    return found[0] + 0.2 * min(len(found) - 1, 3) if found else 0.0


@cache
def _spaced_cues(cues: tuple[str, ...]) -> tuple[str, ...]:
    """Cues as stretches of a spaced text; a whole word also counts in its plural."""
    out: list[str] = []
    for cue in dict.fromkeys(cues):
        words = spaced(cue).rstrip()
        out.append(words if cue.endswith("*") else f"{words} ")
        if not cue.endswith("*"):
            out.append(f"{words}s ")
    return tuple(dict.fromkeys(out))


def spaced(text: str) -> str:
    """Lower-case words of `text` with one space around each, the form cues are searched in."""
    return f" {' '.join(_WORDS.findall(text.replace('’', chr(39)).casefold()))} "


@dataclass(frozen=True, slots=True)
class Group:
    """Fine entries that go out under one phrase: the less they say apart, the less a request tells."""

    entry: Entry
    holds: tuple[Entry, ...]


Groups = Mapping[str, Group]


class Vocabulary:
    """What may go out (`kinds` and `topics`: groups by name) and the fine entries these hold.

    Immutable but for the vectors, which are computed once. `kind_of` and `topic_of` map each fine name to
    its group.
    """

    def __init__(self, kinds: Groups, topics: Groups, size: str) -> None:
        self.size = size
        self.kinds = {name: group.entry for name, group in kinds.items()}
        self.topics = {name: group.entry for name, group in topics.items()}
        self.fine_kinds = {fine.name: fine for group in kinds.values() for fine in group.holds}
        self.fine_topics = {fine.name: fine for group in topics.values() for fine in group.holds}
        self.kind_of = {fine.name: name for name, group in kinds.items() for fine in group.holds}
        self.topic_of = {fine.name: name for name, group in topics.items() for fine in group.holds}
        self._lock = threading.Lock()
        self._vectors: tuple[Embeds, NDArray[np.float32], NDArray[np.float32]] | None = None

    @classmethod
    def load(
        cls,
        extra_kinds: Mapping[str, str] | None = None,
        extra_topics: Mapping[str, str] | None = None,
        *,
        size: str = DEFAULT_SIZE,
    ) -> Vocabulary:
        """The shipped lists in `size` plus additions (name -> description), each a group of its own.

        Raises ConfigError for a size that is not shipped, and for an added name that holds more than words
        (it goes out) or that the lists have already.
        """
        if size not in SIZES:
            raise ConfigError(f"key 'vocabulary.size': there is no such size; use one of {', '.join(SIZES)}")
        kinds, topics = (dict(groups) for groups in _shipped(size))
        for added, groups, key in ((extra_kinds, kinds, "kinds"), (extra_topics, topics, "topics")):
            taken = groups.keys() | _read(key).keys()
            for name, means in (added or {}).items():
                _check_name(name, taken, key)
                phrase = _with_article(name) if key == "kinds" else name.replace("-", " ")
                entry = Entry(name, phrase, means)
                groups[name] = Group(entry, (entry,))
        return cls(kinds, topics, size)

    def __repr__(self) -> str:
        return f"Vocabulary({self.size}: {len(self.kinds)} kinds, {len(self.topics)} topics)"

    def bits(self, level: Level) -> float | None:
        """Upper bound of what one request tells the cloud; None where there is no bound (`free`).

        At `topic`: any kind with any topic, any kind alone (a veto, or no topic fits), or nothing sent.
        """
        n_kinds, n_topics = len(self.kinds), len(self.topics)
        if level is Level.TOPIC:
            return math.log2(n_kinds * n_topics + n_kinds + 1)
        return math.log2(n_kinds + 1) if level is Level.KIND else None

    def vectors(self, embedder: Embeds) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of the fine kinds (K, d) and topics (T, d); computed at the first call for an embedder."""
        with self._lock:
            if self._vectors is None or self._vectors[0] is not embedder:
                entries = [*self.fine_kinds.values(), *self.fine_topics.values()]
                rows = embedder.embed([entry.description for entry in entries])
                self._vectors = (embedder, rows[: len(self.fine_kinds)], rows[len(self.fine_kinds) :])
            return self._vectors[1:]


@cache
def shipped(size: str = DEFAULT_SIZE) -> Vocabulary:
    """The lists as shipped, without additions."""
    return Vocabulary.load(size=size)


@cache
def _shipped(size: str) -> tuple[dict[str, Group], dict[str, Group]]:
    if size == "full":
        kinds, topics = (
            {name: Group(entry, (entry,)) for name, entry in _read(key).items()}
            for key in ("kinds", "topics")
        )
        return kinds, topics
    data = _parsed(f"sizes/{size}.yaml")
    return _groups(data["kinds"], _read("kinds")), _groups(data["topics"], _read("topics"))


def _groups(data: Mapping[str, Any], fine: Mapping[str, Entry]) -> dict[str, Group]:
    return {
        name: Group(Entry(name, one["phrase"], ""), tuple(fine[held] for held in one["holds"]))
        for name, one in data.items()
    }


@cache
def _read(name: str) -> dict[str, Entry]:
    data = _parsed(f"{name}.yaml")
    return {
        key: Entry(key, one["phrase"], one["means"], tuple(one["cues"]), tuple(one.get("hints", ())))
        for key, one in data.items()
    }


def _parsed(name: str) -> Any:
    text = files("cogenesis_langchain").joinpath("vocabulary", name).read_text(encoding="utf-8")
    return yaml_lines.parse(text, name).data


def _check_name(name: str, taken: Set[str], key: str) -> None:
    if (why := additions.fault(name, taken)) is not None:
        raise ConfigError(f"key 'vocabulary.{key}.{name}': {why}")


def _with_article(name: str) -> str:
    words = name.replace("-", " ")
    return f"{'an' if words[0].casefold() in 'aeiou' else 'a'} {words}"
