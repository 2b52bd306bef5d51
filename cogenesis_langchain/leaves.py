"""JSON-like values as text that can be read and masked, and back: calls of tools and their results. Pure.

A detector must see `Zoë` and not `Zo\\u00eb`, and what stands for a private word must not break the JSON
around it. So the leaves (keys, strings, numbers) are read and replaced one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cogenesis_langchain.errors import InputError

MAX_DEPTH = 64


def leaves(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(leaf, what follows it in plain text) of `value`, in order: `key: value` lines when joined.

    Raises InputError where it is nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"the arguments or the result of a tool are nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), ": "
            yield from leaves(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item, depth + 1)
    elif not _is_constant(value):
        yield str(value), "\n"


def with_leaves(value: Any, new: Iterator[str]) -> Any:
    """`value` with its leaves replaced by those of `new`, in the order of `leaves`.

    A number that stays as it was remains a number; one that is replaced becomes a string.
    """
    if isinstance(value, dict):
        return {next(new): with_leaves(item, new) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_leaves(item, new) for item in value]
    if _is_constant(value):
        return value
    text = next(new)
    return value if isinstance(value, int | float) and text == str(value) else text


def json_of(text: str) -> Any:
    """The object or list that `text` spells as JSON; None for other text, and where it could not be sent on:
    nested too deep, or with half a surrogate pair among its escapes.
    """
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and not _too_deep(value) else None


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool)
