"""A cloud's answer with log-probabilities, read as `Draft`s. Pure; everything in it is untrusted.

What is covered: chat completions in OpenAI's form (OpenAI, DeepSeek, vLLM, Ollama, llama-server, the server
of llama-cpp-python) and completions in its old one. Lists that are shorter than what was asked for, `bytes`
that are null, tokens that are no whole character, numbers that are none. A token whose bytes nobody can know
is no candidate: its share goes to the tail. What is not: whether the probabilities are the model's own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from cogenesis_langchain.errors import CloudError
from cogenesis_langchain.types import Draft, TopLogprobs

LISTED = 20
"""How many candidates of a position a plain API lists at most."""
_ROUNDING = 0.02  # by so much may the probabilities of one position sum above 1: some servers round
_NEVER = -9999.0  # OpenAI's own number for it
_LOST = "\ufffd".encode()  # stands where a server decoded a token that is no whole character
_HALF = re.compile(r"bytes:((?:\\x[0-9a-f]{2})+)")  # how OpenAI's old completions write such a token
_LONGEST = 256  # bytes of a token: vocabularies have none that is longer, and longer ones cost time
_MOST_LISTED = 256  # candidates of one position that are looked at: the likeliest
_MOST_SAMPLES = 8
_FIX = "choose another models.cloud, or route sketch, which needs none"


def read_drafts(answer: bytes, *, max_tokens: int) -> tuple[Draft, ...]:
    """One `Draft` for each sample of the answer, at most `max_tokens` positions of each.

    Raises CloudError, which never quotes the answer, where it is no completion, has no log-probabilities or
    impossible ones, or holds no text.
    """
    choices: Any = None
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        choices = json.loads(answer.decode("utf-8"))["choices"]
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise _useless("the cloud's answer cannot be read as a completion: check models.cloud.base_url")
    drafts = [_draft(choice, max_tokens) for choice in choices[:_MOST_SAMPLES]]
    if not any(draft.text.strip() for draft in drafts):
        raise _useless("the cloud's answer is empty")
    return tuple(draft for draft in drafts if draft.text.strip())


def _draft(choice: Mapping[str, Any], max_tokens: int) -> Draft:
    listed = choice.get("logprobs")
    entries = list(_entries(listed)) if isinstance(listed, dict) else []
    text = _text(choice)
    if not entries and text:
        raise _useless(f"the cloud gives no log-probabilities, which route fuse needs: {_FIX}")
    found = [position for entry in entries if (position := _position(*entry)).token]
    positions = _spelling(text.encode("utf-8", "replace"), found)
    ended = choice.get("finish_reason") == "stop" and len(positions) <= max_tokens
    return Draft(tuple(positions[:max_tokens]), ended)


def _text(choice: Mapping[str, Any]) -> str:
    """What the cloud says that it wrote."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    return text if isinstance(text, str) else ""


def _entries(listed: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(what was taken, candidates) of each position, each a {token, logprob, bytes}."""
    content = listed.get("content")
    if isinstance(content, list):
        yield from ((entry, entry.get("top_logprobs")) for entry in content if isinstance(entry, dict))
        return
    tokens, numbers, tops = (listed.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if isinstance(tokens, list) and isinstance(numbers, list) and isinstance(tops, list):
        for token, number, top in zip(tokens, numbers, tops, strict=False):
            pairs = top.items() if isinstance(top, dict) else ()
            yield {"token": token, "logprob": number}, [{"token": t, "logprob": n} for t, n in pairs]


def _position(taken: Any, candidates: Any) -> TopLogprobs:
    """One position; candidates by falling probability, each of its bytes once."""
    mass: dict[bytes, float] = {}
    for entry in candidates if isinstance(candidates, list) else ():
        token, number = _token(entry), _number(entry)
        if token and _LOST not in token:
            mass[token] = mass.get(token, 0.0) + math.exp(number)
    total = math.fsum(mass.values())
    if total > 1 + _ROUNDING:
        raise _useless(f"the cloud's probabilities sum to more than 1, so they are none: {_FIX}")
    found = sorted(mass.items(), key=lambda item: -item[1])[:_MOST_LISTED]
    known = [(token, math.log(share / max(total, 1.0))) for token, share in found if share > 0]
    return TopLogprobs(
        _token(taken), _number(taken), tuple(token for token, _ in known), tuple(one for _, one in known)
    )


def _token(entry: Any) -> bytes:
    """The bytes of a token; empty where nobody can know them, or where no vocabulary has so many."""
    token = _bytes(entry)
    return token if len(token) <= _LONGEST else b""


def _bytes(entry: Any) -> bytes:
    """As they are given, else by the token's text."""
    if not isinstance(entry, dict):
        return b""
    given, token = entry.get("bytes"), entry.get("token")
    if isinstance(given, list) and given:
        with suppress(ValueError, TypeError):
            return bytes(given)
    if not isinstance(token, str):
        return b""
    if half := _HALF.fullmatch(token):
        return bytes.fromhex(half[1].replace("\\x", ""))
    return token.encode("utf-8", "replace")


def _number(entry: Any) -> float:
    """A log-probability in nats, `_NEVER` for what is no number. CloudError for one above 0."""
    given = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:  # the last is NaN
        return _NEVER
    if given > _ROUNDING:
        raise _useless(f"the cloud gives log-probabilities above 0, so they are none: {_FIX}")
    return float(max(min(given, 0.0), _NEVER))  # in this order: an int may be too large for a float


def _spelling(text: bytes, positions: list[TopLogprobs]) -> list[TopLogprobs]:
    """The positions that spell `text`, without a thought before it and control tokens after it.

    All of them where they do not spell it: some servers trim texts, and lose halves of characters.
    """
    spelled = b"".join(position.token for position in positions)
    after = spelled[::-1].find(text[::-1]) if text else -1  # rfind takes a product of the lengths at worst
    begin = len(spelled) - len(text) - after if after >= 0 else -1
    if begin < 0:
        return positions
    kept, at = [], 0
    for position in positions:
        end = at + len(position.token)
        if end > begin and at < begin + len(text):
            kept.append(position)
        at = end
    return kept


def _useless(why: str) -> CloudError:
    """The error of an answer that arrived."""
    return CloudError(why, status=200)
