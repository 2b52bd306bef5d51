"""A thread of messages as the cloud may see it: texts hidden, calls of tools kept as calls, ids made opaque.

Whose words a text is decides how it is masked. The person's own text, and what was written for them, is
masked by everything that is known of them. Text of others (mail, documents, results of tools) is masked by
what the detector finds in texts of others and by nothing else, and its placeholders are numbered first: so
the choice of masks in it is the same whoever reads it, and tells nothing about what a person has stored.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from cogenesis_langchain.gate.shape import parse
from cogenesis_langchain.interning import Part, by_others, parts_of, role_of, rows_of
from cogenesis_langchain.known.matcher import SOURCE as KNOWN
from cogenesis_langchain.leaves import leaves, with_leaves
from cogenesis_langchain.placeholders import Again, Table, blanked, hide
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import CloudMessage, CloudToolCall, Outbound, PrivateSpan, Sendable

PROMPT = "mask.v2.txt"
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # OpenAI's rule
_LOOKS = 3  # how often a thread is masked at most: what the last look still finds is the gate's business
_HOLES = re.compile(r" {6,}|\n")  # where placeholders were, the shortest of which has six characters

Shown = Callable[[int, str], Sendable]
"""(number of the message, one of its pieces) -> the piece as it may leave; pieces are asked for in order."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A private string that was found in message number `message` only after it was masked."""

    message: int
    value: str = field(repr=False)
    type: str


def prepare_masked(
    messages: Sequence[BaseMessage],
    spans: Sequence[PrivateSpan],
    table: Table,
    *,
    prepare: Callable[[Sequence[CloudMessage]], Outbound],
    look: Callable[[str], Sequence[PrivateSpan]],
    min_score: float,
) -> Outbound:
    """The masked thread as a body, looked at again: a detector finds other things in a text with holes in it.

    What it finds there is masked too; the gate would stop the request for it.

    Args:
        messages, spans, table: as `masked` takes them.
        prepare: makes the body (`Cloud.prepare`).
        look: the detector, which is shown what the gate will show it.
        min_score: what a detection needs to count.

    """
    missed: list[Missed] = []
    look = functools.cache(look)  # most messages are the same at the second look
    for _ in range(_LOOKS):
        outbound = prepare([*mask_frame(), *masked(messages, spans, table, missed)])
        found = [one for one in _missed(outbound, table, look, min_score) if one not in missed]
        if not found:
            break
        missed += found
    return outbound


def _missed(
    outbound: Outbound, table: Table, look: Callable[[str], Sequence[PrivateSpan]], min_score: float
) -> Iterator[Missed]:
    _, *texts = parse(outbound.body.encode()).texts
    for number, text in enumerate(texts):
        rest = blanked(text, table)
        for span in look(rest) if rest.strip() else ():
            if span.score >= min_score:
                values = map(str.strip, _HOLES.split(rest[span.start : span.end]))
                yield from (Missed(number, value, span.type) for value in values if value)


def mask_frame() -> list[CloudMessage]:
    """The pinned prompt that tells the cloud what placeholders are."""
    return [CloudMessage("system", (Sendable(text, "frame"),)) for _, text in sections(PROMPT)]


def masked(
    messages: Sequence[BaseMessage], spans: Iterable[PrivateSpan], table: Table, missed: Sequence[Missed] = ()
) -> list[CloudMessage]:
    """The thread with every private stretch replaced by its placeholder.

    Args:
        messages: the thread, readable.
        spans: what was found in the texts of the messages (`interning.text_of`); in texts of others those
            with source "known" do not count.
        table: the placeholders of this (user, thread).
        missed: what a second look at the masked thread found besides.

    """
    others = [n for n, message in enumerate(messages) if by_others(message)]
    own = [n for n, message in enumerate(messages) if not by_others(message)]
    spans = [span for span in spans if not (span.source == KNOWN and span.message in others)]
    pieces: dict[int, list[_Piece]] = {n: list(_pieces(messages[n], n, spans)) for n in (*others, *own)}
    hidden: dict[int, Iterator[Sendable]] = {}
    for numbers in (others, own):
        found = [pair for n in numbers for piece in pieces[n] for pair in piece.values()]
        found += [(one.value, one.type) for one in missed if one.message in numbers]
        for value, kind in found:
            table.placeholder(value, kind)
        again = Again(found) if numbers is others else table.again()
        for n in numbers:
            restored = numbers is own and isinstance(messages[n], AIMessage)
            hide_ = functools.partial(hide, table=table, again=again, restored=restored)
            hidden[n] = iter([hide_(piece.text, piece.spans) for piece in pieces[n]])
    return cloud_messages(messages, lambda number, _: next(hidden[number]))


def cloud_messages(messages: Sequence[BaseMessage], shown: Shown) -> list[CloudMessage]:
    """The thread in the shapes of a chat completion, each piece of text as `shown` gives it.

    Calls of tools stay calls where each is answered right behind; otherwise they travel as text. Their ids,
    which an application or another cloud made, are replaced by numbers.
    """
    ids = _opaque_ids(messages)
    return [
        _cloud_message(message, ids.get(number, []), functools.partial(shown, number))
        for number, message in enumerate(messages)
    ]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One leaf of a message and the spans in it, with offsets of its own."""

    text: str = field(repr=False)
    spans: tuple[PrivateSpan, ...]

    def values(self) -> Iterator[tuple[str, str]]:
        return ((self.text[span.start : span.end], span.type) for span in self.spans)


def _pieces(message: BaseMessage, number: int, spans: Sequence[PrivateSpan]) -> Iterator[_Piece]:
    """The leaves of a message. A span that reaches over several is cut where they end."""
    inside = [span for span in spans if span.message == number]
    at = 0
    for text, after in rows_of(message):
        cut = (
            replace(span, start=max(span.start - at, 0), end=min(span.end - at, len(text))) for span in inside
        )
        yield _Piece(text, tuple(span for span in cut if span.start < span.end))
        at += len(text) + len(after)


def _opaque_ids(messages: Sequence[BaseMessage]) -> dict[int, list[str]]:
    """Number of a message -> the ids of its calls, or the one id it answers; only what belongs together."""
    ids: dict[int, list[str]] = {}
    made = 0
    for number, message in enumerate(messages):
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        behind = itertools.takewhile(lambda m: isinstance(m, ToolMessage), messages[number + 1 :])
        answers = [answer.tool_call_id for answer in behind if isinstance(answer, ToolMessage)]
        named = [str(call["id"]) for call in calls]
        if not calls or sorted(answers) != sorted(set(named)) or not _are_names(calls):
            continue
        opaque = {name: f"call_{made + place}" for place, name in enumerate(named, 1)}
        made += len(named)
        ids[number] = [opaque[name] for name in named]
        ids |= {number + place: [opaque[name]] for place, name in enumerate(answers, 1)}
    return ids


def _are_names(calls: Sequence[ToolCall]) -> bool:
    return all(_TOOL_NAME.fullmatch(call["name"]) for call in calls)


def _cloud_message(message: BaseMessage, ids: list[str], shown: Callable[[str], Sendable]) -> CloudMessage:
    said, *arguments = [_shown(part, shown) for part in parts_of(message)]
    if isinstance(message, ToolMessage) and ids:
        return CloudMessage("tool", (said,), tool_call_id=ids[0])
    if isinstance(message, AIMessage) and ids:
        calls = zip(ids, message.tool_calls, arguments, strict=True)
        tool_calls = tuple(CloudToolCall(id_, call["name"], text) for id_, call, text in calls)
        return CloudMessage("assistant", (said,) if said.text else (), tool_calls)
    texts = [part.text for part in (said, *arguments) if part.text]
    return CloudMessage(role_of(message), (replace(said, text="\n".join(texts)),))


def _shown(part: Part, shown: Callable[[str], Sendable]) -> Sendable:
    """One part of a message as it may leave; what was JSON is JSON again."""
    if isinstance(part, str):
        return shown(part)
    texts = [shown(leaf) for leaf, _ in leaves(part)]
    value = with_leaves(part, iter([text.text for text in texts]))
    origin = texts[0].origin if texts else "hide"
    return Sendable(json.dumps(value, ensure_ascii=False), origin)
