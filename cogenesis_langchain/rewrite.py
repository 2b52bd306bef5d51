"""Personal instruction -> one general sentence in the local model's own words: level `free`.

What is covered: the sentence is a function of the current instruction alone (no store, no history, no state
that another prompt left behind), and only words of the language on one short line are taken: no digits, no
capitals of names, no numbers or names spelled out, no brackets, links or placeholders, no word that no
dictionary has. The user's known values can only take it away (`shows`); detector and gate read it as they
read everything else. What is not: how much it tells. These words depend on the request and come from no
closed list, so nothing bounds them, and an attacker with many profiles finds the writer behind such sentences
more often than behind kind and topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from cogenesis_langchain.detect.lexicon import is_modern
from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.spelled import spelled
from cogenesis_langchain.types import PrivateSpan, Sendable

if TYPE_CHECKING:
    from cogenesis_langchain.writer.parts import Prompt, Role

__all__ = ["rewrite", "shows", "usable", "warm"]

PROMPT = "free.v1.txt"
MAX_CHARS = 200
MAX_TOKENS = 64
READ_HEAD, READ_TAIL = 1200, 300  # characters of the request that the model reads, about 350 tokens

_SLOT = "{request}"
_SENTENCE = re.compile(r"[^.!?]*")
_FORM = re.compile(r"Write(?:(?:[,;:]? |[-'])(?:I\b|[a-zà-öø-ÿœ]+)){2,}")
_SHORT_FORM = re.compile(r"\b[A-Z]{2,4}\b")  # a CV, a TV: only those that our word lists hold
_WORDS = re.compile(r"\w+(?:['-]\w+)*")
_WORD = re.compile(r"\w+")
_PIECE = 3  # characters from which a word of a known value counts


class Writes(Protocol):
    """The part of `writer.Writer` that is needed here."""

    def write(
        self, prompt: Prompt, *, scope: str, max_tokens: int = 700, temperature: float = 0.7
    ) -> Iterator[str]:
        """Pieces of text as they are written."""
        ...


class Warms(Protocol):
    """The part of `writer.Writer` that `warm` needs."""

    def warm(self, prompt: Prompt, *, scope: str) -> None:
        """Reads all but the last part and keeps that state."""
        ...


class Plain(Protocol):
    """The words of a language; `detect.lexicon.Lexicon` is one."""

    def __contains__(self, word: str, /) -> bool: ...


class Knows(Protocol):
    """The part of `known.KnownValues` that is needed here."""

    def find(self, text: str) -> list[PrivateSpan]:
        """Where known values stand in `text`."""
        ...


def rewrite(instruction: str, writer: Writes, plain: Plain) -> Sendable | None:
    """One sentence that asks for the same kind of text as anybody could; None where there is no usable one.

    The same instruction always gives the same sentence. `plain` holds all words that it may have.
    Raises what the writer raises.
    """
    if not any(c.isalnum() for c in instruction):
        return None
    pieces = writer.write(_ask(instruction), scope="", max_tokens=MAX_TOKENS, temperature=0.0)
    sentence = usable("".join(pieces), plain)
    return Sendable(sentence, "rewrite") if sentence else None


def usable(text: str, plain: Plain) -> str:
    """The first sentence of what the model wrote, if it is one that may go out; else ""."""
    line = text.strip().partition("\n")[0].replace("’", "'").strip(' "“”')
    sentence = (_SENTENCE.match(line) or [""])[0].strip()
    lower = _SHORT_FORM.sub(lambda word: word[0].lower() if is_modern(word[0]) else word[0], sentence)
    if len(sentence) >= MAX_CHARS or not _FORM.fullmatch(lower) or spelled(sentence):
        return ""
    return f"{sentence}." if all(word in plain for word in _WORDS.findall(lower)) else ""


def shows(known: Knows, instruction: str, sentence: str) -> bool:
    """Whether a known value stands in the sentence, or a rare word of one that the instruction names."""
    if known.find(sentence):
        return True
    told = set(_WORD.findall(sentence.casefold()))
    named = (instruction[span.start : span.end] for span in known.find(instruction))
    words = (word for value in named for word in _WORD.findall(value.casefold()))
    return any(word in told and len(word) >= _PIECE and not is_common(word) for word in words)


def warm(writer: Warms) -> None:
    """Reads the frame, so that the first request does not wait for it; never anybody's text."""
    writer.warm(_ask(""), scope="")


def _ask(request: str) -> Prompt:
    """The frame, which the writer keeps read, and one last part that holds all of this request."""
    from cogenesis_langchain.writer.parts import Turn

    roles: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
    *frame, (role, last) = sections(PROMPT)
    if len(request) > READ_HEAD + READ_TAIL:  # people say what they want first or last
        request = f"{request[:READ_HEAD]} ... {request[-READ_TAIL:]}"
    filled = last.replace(_SLOT, " ".join(request.split()))
    return (*(Turn(roles[name], (text,)) for name, text in frame), Turn(roles[role], (filled,)))
