"""Drafts and traces as JSON, for the vault: state holds handles alone. Pure.

Bytes stand as text of one character for each: tokens need be no whole characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from cogenesis_langchain.types import Draft, TokenTrace, TopLogprobs


def decided(
    top: TopLogprobs,
    piece: bytes,
    weight: float,
    *,
    locally: bool,
    shadow: bytes | None = None,
    held: bool = False,
) -> TokenTrace:
    """Who decided a token where the cloud was heard. `locally`: the local model alone would take it too."""
    likeliest = max(zip(top.logprobs, top.tokens, strict=False))[1]
    led = piece == likeliest and not locally
    return TokenTrace(piece, "cloud" if led else "fused", weight, likeliest, shadow, held)


def drafts_text(drafts: Iterable[Draft]) -> str:
    """The drafts, which `read_drafts` gives back as they were."""
    rows = [{"ended": draft.ended, "positions": [_row(one) for one in draft.positions]} for draft in drafts]
    return json.dumps(rows, separators=(",", ":"))


def read_drafts(text: str) -> tuple[Draft, ...]:
    """What `drafts_text` wrote."""
    return tuple(Draft(tuple(map(_position, row["positions"])), row["ended"]) for row in json.loads(text))


def traces_text(traces: Iterable[TokenTrace]) -> str:
    """The traces as a list of objects, one for each token; `read_traces` gives them back."""
    rows = [
        {
            "piece": _chars(one.piece),
            "by": one.by,
            "weight": round(one.weight, 4),
            "cloud": None if one.cloud is None else _chars(one.cloud),
            "shadow": None if one.shadow is None else _chars(one.shadow),
            "held": one.held,
        }
        for one in traces
    ]
    return json.dumps(rows, separators=(",", ":"))


def read_traces(text: str | None) -> list[TokenTrace]:
    """The traces of a run: the `trace` of its final state."""
    return [
        TokenTrace(
            piece=_bytes(row["piece"]),
            by=row["by"],
            weight=row["weight"],
            cloud=None if row["cloud"] is None else _bytes(row["cloud"]),
            shadow=None if row["shadow"] is None else _bytes(row["shadow"]),
            held=row["held"],
        )
        for row in json.loads(text or "[]")
    ]


def _row(one: TopLogprobs) -> list[object]:
    return [_chars(one.token), one.logprob, list(map(_chars, one.tokens)), list(one.logprobs)]


def _position(row: tuple[str, float, list[str], list[float]]) -> TopLogprobs:
    token, logprob, tokens, logprobs = row
    return TopLogprobs(_bytes(token), logprob, tuple(map(_bytes, tokens)), tuple(logprobs))


def _chars(piece: bytes) -> str:
    return piece.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
