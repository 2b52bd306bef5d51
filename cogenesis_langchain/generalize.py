"""Personal instruction -> kind and topic from the closed lists: the generic task the cloud may be told.

What is covered: the task is a function of the current instruction and the lists alone (no store, no
history, no state that another prompt left behind), so one request tells the cloud at most
`Vocabulary.bits`. The user's known values can only take words away (`veto`). What is not: which pair is
chosen is itself a little information; that is what the bits count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cogenesis_langchain.chooser import Shares, shares
from cogenesis_langchain.closed_lists import FALLBACK_KIND, Embeds, Entry, Vocabulary, shipped
from cogenesis_langchain.errors import GateError, WriterError
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import GenericTask, Level, Route, Sendable, Step

if TYPE_CHECKING:
    from cogenesis_langchain.writer.parts import Prompt, Role

__all__ = ["GenericTask", "Vocabulary", "generalize", "shortlist", "task_sentence", "veto", "warm"]

PROMPT = "kind_topic.v1.txt"
MOST = 3
"""At most so many groups are left to the model."""
# A likeliest group from this probability on is chosen without the model. On requests the head had not seen,
# the model was right more often about unclear kinds, and not about unclear topics: those it is never asked.
KIND_CLEAR, TOPIC_CLEAR = 0.4, 0.0
WORTH = 0.5  # what is less likely than this part of the best is no candidate
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

    The chooser says how likely each group is; where none is clearly the likeliest, the local model decides in
    one call that can say nothing but one of the two or three likeliest kinds. Raises what `embedder` and
    `writer` raise, and WriterError should the writer say anything else.
    """
    text = read(instruction)
    if not any(c.isalnum() for c in text):
        return GenericTask(FALLBACK_KIND, None)
    kinds, topics = shortlist(text, vocabulary, embedder)
    pairs = _pairs(kinds, topics)
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group and how likely it is; `entry`: the likeliest of what it holds, whose words say most."""

    group: str | None
    entry: Entry | None
    share: float


def shortlist(text: str, vocabulary: Vocabulary, embedder: Embeds) -> tuple[list[Candidate], list[Candidate]]:
    """The groups of kinds and topics `text` may be about, likeliest first; a single one where it is clear.

    Group None among the topics: none fits.
    """
    kinds, topics = shares(text, vocabulary, embedder)
    return (
        _likeliest(kinds, vocabulary.fine_kinds, vocabulary.kind_of, KIND_CLEAR),
        _likeliest(topics, vocabulary.fine_topics, vocabulary.topic_of, TOPIC_CLEAR),
    )


def _likeliest(
    found: Shares, entries: Mapping[str, Entry], group_of: Mapping[str, str], clear: float
) -> list[Candidate]:
    ranked = found.groups(group_of)
    best = ranked[0][1]
    kept = ranked[:1] if best >= clear else [one for one in ranked[:MOST] if one[1] >= WORTH * best]
    names = sorted(entries, key=lambda name: -found.entries[name])
    first = {group_of[name]: entries[name] for name in reversed(names)}
    return [Candidate(group, first[group] if group else None, share) for group, share in kept]


def _pairs(kinds: Sequence[Candidate], topics: Sequence[Candidate]) -> dict[str, GenericTask]:
    """What the model may say -> what it means."""
    return {
        f"{_phrase(kind)} about {_phrase(topic)}": GenericTask(kind.group or FALLBACK_KIND, topic.group)
        for kind in kinds
        for topic in topics
    }


def _phrase(candidate: Candidate) -> str:
    return candidate.entry.phrase if candidate.entry else OTHER


def _ask(request: str, kinds: Sequence[Candidate], topics: Sequence[Candidate]) -> Prompt:
    """The frame, which the writer keeps read, and one last part that holds all of this request."""
    from cogenesis_langchain.writer.parts import Turn

    values = {
        "request": " ".join(request.split()),
        "kinds": "; ".join(map(_phrase, kinds)),
        "topics": "; ".join(map(_phrase, topics)),
    }
    *frame, (role, last) = _frame()
    filled = _SLOT.sub(lambda slot: values[slot[1]], last)
    return (*(Turn(r, (text,)) for r, text in frame), Turn(role, (filled,)))


def _frame() -> tuple[tuple[Role, str], ...]:
    roles: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
    return tuple((roles[role], text) for role, text in sections(PROMPT))


def read(instruction: str) -> str:
    """What of an instruction is compared with the lists."""
    return _clip(instruction, READ_HEAD, READ_TAIL)


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
