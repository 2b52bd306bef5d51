"""Whether an addition to the closed lists would single somebody out, or tell nothing that they do not.

What is looked at: spelling (`additions`), whether every word is a common one, what the detector finds in
the sentence that would go out and in the name with capitals, the known values of everybody in the
store, and entries that mean nearly the same. What is not: the description, which never leaves; and whether
few people ask for such a text, which no dictionary knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from cogenesis_langchain import additions
from cogenesis_langchain.closed_lists import Embeds, Entry, Vocabulary
from cogenesis_langchain.detect.lexicon import Lexicon
from cogenesis_langchain.generalize import Knows, task_sentence
from cogenesis_langchain.types import GenericTask, Level, PrivateSpan

SAME = 0.75
"""Cosine of two phrases above which they mean the same; between shipped ones .69, two pairs aside."""
_NAMING = frozenset({"PERSON", "LOCATION", "ORGANIZATION"})
_AS_NAMES = ("Write a text about {}.", "Last week {} was mentioned in the letter we wrote.")


class Finds(Protocol):
    """The part of `detect.Detector` that is needed here."""

    def detect(self, text: str) -> list[PrivateSpan]:
        """Private spans of `text`."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """One addition. `reason` says why it is refused; `bits`: what a request at `topic` tells more with it."""

    list: str
    name: str
    reason: str | None
    bits: float

    @property
    def ok(self) -> bool:
        """Whether it may be added."""
        return self.reason is None

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"ok": self.ok, "bits": round(self.bits, 4)}


class Checker:
    """Looks at additions to the lists of one policy.

    Args:
        size: of the lists that they are added to.
        plain: the dictionary.
        frequent: words that are often written; one that is in `plain` alone is a rare one.
        known: the known values of each user of the store.
    """

    def __init__(
        self,
        size: str,
        detector: Finds,
        embedder: Embeds,
        plain: Lexicon,
        frequent: Collection[str],
        known: Iterable[Knows] = (),
    ) -> None:
        self._lists = Vocabulary.load(size=size)
        self._detector, self._embedder, self._known = detector, embedder, tuple(known)
        self._plain = plain
        shipped = (*self._lists.fine_kinds.values(), *self._lists.fine_topics.values())
        ours = {word for entry in shipped for word in _words(entry.phrase)}
        self._frequent = Lexicon(frozenset(word for word in frequent if len(word) > 1) | ours)

    def check(self, kinds: Mapping[str, str], topics: Mapping[str, str]) -> list[Verdict]:
        """A verdict for each addition (name -> description), in the order given.

        Raises what the detector and the embedder raise.
        """
        return [
            *(self._verdict("kinds", name, means) for name, means in kinds.items()),
            *(self._verdict("topics", name, means) for name, means in topics.items()),
        ]

    def _verdict(self, key: str, name: str, means: str) -> Verdict:
        fine = self._lists.fine_kinds if key == "kinds" else self._lists.fine_topics
        groups = self._lists.kinds if key == "kinds" else self._lists.topics
        if (why := additions.fault(name, {*fine, *groups})) is not None:
            return Verdict(key, name, why, 0.0)
        kinds, topics = ({name: means}, {}) if key == "kinds" else ({}, {name: means})
        lists = Vocabulary.load(kinds, topics, size=self._lists.size)
        entry = (lists.kinds if key == "kinds" else lists.topics)[name]
        kind = name if key == "kinds" else next(iter(lists.kinds))
        sentence = task_sentence(GenericTask(kind, None if key == "kinds" else name), Level.TOPIC, lists).text
        why = self._odd_word(name) or self._private(sentence, name) or self._twin(entry, fine)
        return Verdict(key, name, why, 0.0 if why else _bits(lists) - _bits(self._lists))

    def _odd_word(self, name: str) -> str | None:
        for word in additions.words(name):
            if word not in self._plain:
                return "one of its words is in no English dictionary, so it may be a name"
            if word not in self._frequent:
                return (
                    f"'{word}' is a rare word: the fewer people write about it, the more it says of whoever "
                    "does; use a broader one"
                )
        return None

    def _private(self, sentence: str, name: str) -> str | None:
        if any(known.hits(sentence) or known.hits(name) for known in self._known):
            return "it holds a private value of somebody whose context is stored here"
        if self._detector.detect(sentence):
            return "the detector takes it for something private, so nothing that holds it would be sent"
        plural = " " not in name and name.endswith("s")  # hardly ever a name, and often taken for one
        if not plural and all(self._is_name(frame, name) for frame in _AS_NAMES):
            return "written with capitals it may be read as the name of a person, a place or a firm"
        return None

    def _is_name(self, frame: str, name: str) -> bool:
        return any(span.type in _NAMING for span in self._detector.detect(frame.format(name.title())))

    def _twin(self, entry: Entry, fine: Mapping[str, Entry]) -> str | None:
        """The shipped entry that means nearly the same: a second word for it would only add bits."""
        others = list(fine.values())
        rows = self._embedder.embed([entry.phrase, *(other.phrase for other in others)])
        cosines = (rows[1:] @ rows[0]).tolist()
        best = max(range(len(others)), key=cosines.__getitem__)
        if cosines[best] < SAME:
            return None
        return f"the lists have '{others[best].name}', which means nearly the same"


def _words(phrase: str) -> Sequence[str]:
    return [word.strip(",'") for word in phrase.split()]


def _bits(lists: Vocabulary) -> float:
    return lists.bits(Level.TOPIC) or 0.0
