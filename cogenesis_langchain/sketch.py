"""Sketch prompt out, sketch in: builds the messages for the cloud and reads its answer as data. Pure.

What is covered: the prompt depends on the task sentence alone, so two people with the same generic task
send the same bytes; the answer becomes 4 to 15 single-line points without markup, links, control
characters, chat-template tokens or imitated placeholders. What is not: whether a point is good advice.
A point stays untrusted text, to be tokenised as content and never as control text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

from cogenesis_langchain.errors import SketchError
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import CloudMessage, Sendable, Sketch

PROMPT = "sketch.v1.txt"
DRAFT_PROMPT = "draft.v1.txt"
MIN_POINTS = 4
MAX_POINTS = 15
MAX_POINT_CHARS = 200
MAX_ANSWER_CHARS = 20_000  # an honest sketch has about 1,000; more is not read

_SLOT = "{task}"

_WEB_PAGE = re.compile(r"<!doctype|<\s*(?:html|head|body|script|iframe)\b", re.IGNORECASE)
_FENCED = re.compile(r"^[ \t]*(```|~~~)[^\n]*\n.*?(?:^[ \t]*\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
_NUMBERED = re.compile(
    r"^[\s>#*_-]{0,12}(?:(?:point|step)\s+)?\d{1,2}\s?[.):][\s*_]{0,8}(?=\S)", re.IGNORECASE
)
_NUMBERED_INLINE = re.compile(r"(?:(?<=\s)|^)\d{1,2}[.)]\s")
_BULLET = re.compile(r"^ {0,3}[-*+•–]\s+(?=\S)")
_SUB_POINT = re.compile(r"^(?:\s+(?:[-*+•–]\s+)?|[-*+•–]\s+)(?=\S)")

_CONTROL_TOKENS = re.compile(
    r"<\|[^|<>]{0,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start_of_turn|end_of_turn|bos|eos|pad|unk)>",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"!\[[^\]]{0,200}\](?:\([^)]{0,2000}\)|\[[^\]]{0,100}\])?")
_LINK = re.compile(r"\[([^\]\[]{0,200})\](?:\([^)]{0,2000}\)|\[[^\]]{0,100}\])")
_TAG = re.compile(r"</?[a-z!][^<>]{0,2000}>", re.IGNORECASE)
_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://\S*"
    r"|\b(?:www\.|(?:mailto|javascript|data|file|tel|vault):)\S+"
    r"|\b(?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,24}/\S*"
    r"|\b[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}\.\S+"
    r"|\b(?:[a-z0-9-]{1,63}\.){1,5}(?:com|org|net|io|dev|app|info|biz|me|ai|ru|cn|tk)\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\[\[[^\[\]]{0,60}\]\]")
_BRACKETS = re.compile(r"\[([^\[\]]{0,200})\]")
_EMPHASIS = re.compile(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`+|~~")


def _frame(prompt: str) -> tuple[tuple[Literal["system", "user"], str], ...]:
    """A prompt file as (role, text with at most one `{task}`) pairs."""
    return tuple(("system" if role == "system" else "user", text) for role, text in sections(prompt))


def frame_texts() -> tuple[str, ...]:
    """Every piece of prompt text around the slot: what the gate pins by hash."""
    return tuple(piece for _, text in _frame(PROMPT) for piece in text.split(_SLOT) if piece)


def sketch_messages(task: Sendable) -> list[CloudMessage]:
    """The messages that ask the cloud for a sketch of `task` (a `generalize.task_sentence`).

    Message content is the concatenation of its parts: frame parts have origin "frame", the task keeps
    its own. Same task, same bytes.
    """
    return _messages(PROMPT, task)


def draft_messages(task: Sendable) -> list[CloudMessage]:
    """The messages that ask for the text itself, as anybody might write it (route fuse)."""
    return _messages(DRAFT_PROMPT, task)


def _messages(prompt: str, task: Sendable) -> list[CloudMessage]:
    messages = []
    for role, text in _frame(prompt):
        parts: list[Sendable] = []
        for number, piece in enumerate(text.split(_SLOT)):
            if number:
                parts.append(task)
            if piece:
                parts.append(Sendable(piece, "frame"))
        messages.append(CloudMessage(role, tuple(parts)))
    return messages


def parse_sketch(text: str) -> Sketch:
    """Read the cloud's answer as 4 to 15 clean points of at most 200 characters each.

    Raises SketchError, without quoting the answer, where it is empty, a web page, or holds fewer than
    four numbered (or at least bulleted) points.
    """
    text = text[:MAX_ANSWER_CHARS].replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise SketchError("the cloud's answer is empty, not a numbered sketch: try again or use route local")
    if _WEB_PAGE.search(text):
        raise SketchError(
            "the cloud's answer is a web page, not a numbered sketch: check models.cloud.base_url"
        )
    points = _points(_FENCED.sub("", text))
    if len(points) < MIN_POINTS:  # some models put the whole list into a fence
        points = _points(_FENCE_LINE.sub("", text))
    if len(points) < MIN_POINTS:
        raise SketchError(
            f"the cloud's answer has {len(points)} usable numbered points, a sketch needs {MIN_POINTS}: "
            "try again, use a stronger cloud model, or use route local"
        )
    return Sketch(tuple(points[:MAX_POINTS]))


def _points(text: str) -> list[str]:
    """Cleaned, distinct points in order."""
    raw = _by_lines(text)
    if len(raw) < MIN_POINTS:
        inline = [piece for piece in _NUMBERED_INLINE.split(text.replace("\n", " "))[1:] if piece.strip()]
        bulleted = [line[mark.end() :] for line in text.split("\n") if (mark := _BULLET.match(line))]
        raw = max(raw, inline, bulleted, key=len)  # small models forget the numbers
    points: list[str] = []
    seen: set[str] = set()
    for item in raw:
        point = _clean(item)
        if point and point.casefold() not in seen:  # small models repeat themselves
            seen.add(point.casefold())
            points.append(point)
    return points


def _by_lines(text: str) -> list[str]:
    """Numbered lines, each with its indented or bulleted sub-points joined on."""
    raw: list[str] = []
    open_point = False
    for line in text.split("\n"):
        if numbered := _NUMBERED.match(line):
            raw.append(line[numbered.end() :])
            open_point = True
        elif open_point and (sub := _SUB_POINT.match(line)):
            if len(raw[-1]) < MAX_POINT_CHARS:
                raw[-1] = f"{raw[-1].rstrip(' .:;*_')}: {line[sub.end() :]}"
        elif line.strip():
            open_point = False  # an introduction or a closing remark
    return raw


def _clean(point: str) -> str:
    """One line of plain words; "" where nothing readable is left."""
    text = unicodedata.normalize("NFKC", point[: MAX_POINT_CHARS * 10])
    text = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C"
    )
    for _ in range(4):  # removing one thing may put another together
        before = text
        text = html.unescape(text)
        text = _CONTROL_TOKENS.sub("", text)
        text = _PLACEHOLDER.sub("", text)
        text = _IMAGE.sub("", text)
        text = _LINK.sub(r"\1", text)
        text = _TAG.sub("", text)
        text = _URL.sub("", text)
        text = _BRACKETS.sub(r"\1", text)
        if text == before:
            break
    else:
        return ""  # still not clean: built to resist, not to be read
    text = " ".join(_EMPHASIS.sub("", text).split())
    text = re.sub(r"\(\s*\)|<\s*>", "", text)
    text = re.sub(r"\s+([.,;:!?])", r"\1", text).strip(" \t-–—:;,#*_|<>")
    if not any(c.isalpha() for c in text):
        return ""
    return _cut(text)


def _cut(text: str) -> str:
    """At most MAX_POINT_CHARS characters, cut at a word."""
    if len(text) <= MAX_POINT_CHARS:
        return text
    head = text[: MAX_POINT_CHARS - 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head).rstrip(" .,;:") + "…"
