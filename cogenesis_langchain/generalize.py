"""Personal instruction -> kind and topic from the closed lists: the generic task the cloud may be told.

What is covered: the task is a function of the current instruction and the lists alone (no store, no
history, no state that another prompt left behind), so one request tells the cloud at most
`Vocabulary.bits`. The user's known values can only take words away (`veto`). What is not: which pair is
chosen is itself a little information; that is what the bits count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from cogenesis_langchain.closed_lists import FALLBACK_KIND, Embeds, Entry, Vocabulary, shipped, spaced
from cogenesis_langchain.errors import GateError, WriterError
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import GenericTask, Level, Route, Sendable, Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogenesis_langchain.writer.parts import Prompt, Role

__all__ = ["GenericTask", "Vocabulary", "generalize", "shortlist", "task_sentence", "veto", "warm"]

PROMPT = "kind_topic.v1.txt"
MAX_KINDS = 8
MAX_TOPICS = 7
# Against cosines, between 0 and 0.6 here, which say more of what a text is about than of its form.
KIND_CUES, TOPIC_CUES = 0.4, 0.2
KIND_MARGIN = 0.07  # what scores this much less than the best is no candidate
TOPIC_MARGIN = 0.07
READ_HEAD, READ_TAIL = 2000, 500  # characters that are searched for cues and embedded
ASK_HEAD, ASK_TAIL = 230, 70  # characters the model reads, about 70 tokens
OTHER = "something else"

_SLOT = re.compile(r"\{(request|kinds|topics)\}")


class Chooses(Protocol):
    """The part of `writer.Writer` that is needed here."""

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """One of `options`."""
        ...


class Warms(Protocol):
    """The part of `writer.Writer` that `warm` needs."""

    def warm(self, prompt: Prompt, *, scope: str) -> None:
        """Reads all but the last part and keeps that state."""
        ...


class Knows(Protocol):
    """The part of `known.KnownValues` that is needed here."""

    def hits(self, text: str) -> bool:
        """Whether a known value stands in `text`."""
        ...


def generalize(instruction: str, vocabulary: Vocabulary, embedder: Embeds, writer: Chooses) -> GenericTask:
    """Kind and topic (names of groups) of the text asked for; the same instruction always gives the same.

    Embeddings and cue words make a short list of fine entries; where these lie in several groups, the local
    model decides in one call that can say nothing but a pair from that list. Raises what `embedder` and
    `writer` raise, and WriterError should the writer say anything else.
    """
    text = _clip(instruction, READ_HEAD, READ_TAIL)
    if not any(c.isalnum() for c in text):
        return GenericTask(FALLBACK_KIND, None)
    kinds, topics = shortlist(text, vocabulary, embedder)
    kinds, topics = _one_each(kinds, vocabulary.kind_of), _one_each(topics, vocabulary.topic_of)
    pairs = _pairs(kinds, topics, vocabulary)
    if len(pairs) == 1:
        return next(iter(pairs.values()))
    asked = _ask(_clip(text, ASK_HEAD, ASK_TAIL), kinds, topics)
    chosen = writer.choose(asked, list(pairs), scope="")
    if chosen not in pairs:
        raise WriterError("the local model left the closed lists; use a writer that keeps to a grammar")
    return pairs[chosen]


def warm(vocabulary: Vocabulary, embedder: Embeds, writer: Warms) -> None:
    """Embeds the lists and reads the frame, so that the first request does not wait for them.

    Takes a few seconds, and never touches anybody's text.
    """
    vocabulary.vectors(embedder)
    writer.warm(_ask("", (), ()), scope="")


def shortlist(text: str, vocabulary: Vocabulary, embedder: Embeds) -> tuple[list[Entry], list[Entry]]:
    """The fine kinds and topics `text` may be about, likeliest first; a single one where it is clear."""
    query = embedder.embed([text])[0]
    kinds, topics = vocabulary.vectors(embedder)
    words = spaced(text)
    return (
        _nearest(words, query, vocabulary.fine_kinds, kinds, MAX_KINDS, KIND_MARGIN, KIND_CUES),
        _nearest(words, query, vocabulary.fine_topics, topics, MAX_TOPICS, TOPIC_MARGIN, TOPIC_CUES),
    )


def _nearest(
    words: str,
    query: NDArray[np.float32],
    entries: Mapping[str, Entry],
    vectors: NDArray[np.float32],
    n: int,
    margin: float,
    weight: float,
) -> list[Entry]:
    """Entries by cosine plus `weight` times cue words: at most `n`, within `margin` of the best."""
    cosines = (vectors @ query).tolist()
    scored = [
        (cosine + weight * entry.cue_score(words), entry)
        for cosine, entry in zip(cosines, entries.values(), strict=True)
    ]
    scored.sort(key=lambda pair: -pair[0])  # stable: ties stay in the order of the list
    best = scored[0][0]
    return [entry for score, entry in scored[:n] if score >= best - margin]


def _one_each(entries: Sequence[Entry], group_of: Mapping[str, str]) -> list[Entry]:
    """The likeliest entry of each group: its own words say more to the model than the group's."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(group_of[entry.name], entry)
    return list(first.values())


def _pairs(kinds: Sequence[Entry], topics: Sequence[Entry], vocabulary: Vocabulary) -> dict[str, GenericTask]:
    """What the model may say -> what it means. A single topic is clear; else none may fit."""
    named: list[tuple[str, str | None]] = [
        (topic.phrase, vocabulary.topic_of[topic.name]) for topic in topics
    ]
    if len(topics) > 1:
        named.append((OTHER, None))
    return {
        f"{kind.phrase} about {phrase}": GenericTask(vocabulary.kind_of[kind.name], name)
        for kind in kinds
        for phrase, name in named
    }


def _ask(request: str, kinds: Sequence[Entry], topics: Sequence[Entry]) -> Prompt:
    """The frame, which the writer keeps read, and one last part that holds all of this request."""
    from cogenesis_langchain.writer.parts import Turn

    values = {
        "request": " ".join(request.split()),
        "kinds": "; ".join(kind.phrase for kind in kinds),
        "topics": "; ".join([*(topic.phrase for topic in topics), OTHER]),
    }
    *frame, (role, last) = _frame()
    filled = _SLOT.sub(lambda slot: values[slot[1]], last)
    return (*(Turn(r, (text,)) for r, text in frame), Turn(role, (filled,)))


def _frame() -> tuple[tuple[Role, str], ...]:
    roles: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
    return tuple((roles[role], text) for role, text in sections(PROMPT))


def _clip(text: str, head: int, tail: int) -> str:
    """Beginning and end of a long text: people say what they want first or last."""
    return text if len(text) <= head + tail else f"{text[:head]} ... {text[-tail:]}"


def task_sentence(task: GenericTask, level: Level | None, vocabulary: Vocabulary | None = None) -> Sendable:
    """The words that go out: "Write an invitation about a birthday." or, at `kind`, without the topic.

    Built from phrases of the lists alone; GateError for a name that `vocabulary` (default: the shipped
    lists) does not hold.
    """
    lists = vocabulary or shipped()
    kind = lists.kinds.get(task.kind)
    topic = lists.topics.get(task.topic) if task.topic is not None else None
    if kind is None or (task.topic is not None and topic is None):
        raise GateError("the generic task is not from the closed lists, so nothing is sent")
    about = f" about {topic.phrase}" if topic is not None and level is not Level.KIND else ""
    return Sendable(f"Write {kind.phrase}{about}.", "generalize")


def veto(task: GenericTask, level: Level | None, known: Knows, vocabulary: Vocabulary | None = None) -> Step:
    """What may be told of `task` given the user's known values: as asked, the kind alone, or nothing.

    A value counts when the outgoing sentence holds it. Route `local` means: send nothing.
    """
    level = Level.KIND if level is Level.KIND else Level.TOPIC
    for step in dict.fromkeys((Step(Route.SKETCH, level), Step(Route.SKETCH, Level.KIND))):
        if not known.hits(task_sentence(task, step.level, vocabulary).text):
            return step
    return Step(Route.LOCAL)
