"""The grammar of `rules:` -> conditions. Pure.

any: [CONDITION, ...] | all: [CONDITION, ...] | not: CONDITION
SIGNAL: value | [value, ...]                  any of the values
NUMBER: 3 | {gt, gte, lt, lte}                exactly, or within bounds
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cogenesis_langchain.faults import Fault, KeyPath, suggest
from cogenesis_langchain.logic import COUNTS, NUMBERS, SETS, SIGNALS, WORDS
from cogenesis_langchain.types import All, Any_, Compare, Condition, Match, Not

_GROUPS = ("any", "all", "not")
Closed = Callable[[str], Collection[str] | None]
_BOUNDS = ("gt", "gte", "lt", "lte")


def parse(raw: Any, path: KeyPath = (), closed: Closed | None = None) -> tuple[Condition | None, list[Fault]]:
    """One condition and what is wrong with it (None where it cannot be read).

    Args:
        raw: what stands under `rules:`, as YAML gives it.
        path: keys that lead to `raw`, for the faults.
        closed: gives the only values that a signal (`kind`, `topic`) can have, or None for any. Asked
            only where a rule reads that signal.
    """
    faults: list[Fault] = []
    return _condition(raw, path, closed or _open, faults), faults


def _open(_signal: str) -> None:
    """Any value goes."""


def _condition(raw: Any, path: KeyPath, closed: Closed, faults: list[Fault]) -> Condition | None:
    if not isinstance(raw, Mapping) or not raw:
        faults.append(Fault(path, "must be a condition, such as {kind: [invitation]} or {all: [...]}"))
        return None
    if len(raw) > 1:
        keys = ", ".join(str(key) for key in raw)
        faults.append(Fault(path, f"one condition each: put {keys} into a list under all: or any:"))
        return None
    ((key, value),) = raw.items()
    here = (*path, str(key))
    if key == "not":
        inner = _condition(value, here, closed, faults)
        return None if inner is None else Not(inner)
    if key in _GROUPS:
        return _group(str(key), value, here, closed, faults)
    if key in NUMBERS:
        return _number(str(key), value, here, faults)
    if key in SIGNALS:
        return _match(str(key), value, here, closed(str(key)), faults)
    faults.append(Fault(here, f"unknown; {suggest(key, (*_GROUPS, *SIGNALS))}"))
    return None


def _group(key: str, value: Any, path: KeyPath, closed: Closed, faults: list[Fault]) -> Condition | None:
    if not isinstance(value, list | tuple) or not value:
        faults.append(Fault(path, "must be a list of at least one condition"))
        return None
    parts = [_condition(part, (*path, index), closed, faults) for index, part in enumerate(value)]
    read = tuple(part for part in parts if part is not None)
    if len(read) < len(parts):
        return None
    return All(read) if key == "all" else Any_(read)


def _match(
    signal: str, value: Any, path: KeyPath, closed: Collection[str] | None, faults: list[Fault]
) -> Condition | None:
    values = value if isinstance(value, list | tuple) else [value]
    before = len(faults)
    if not values:
        faults.append(Fault(path, "must name at least one value"))
    for index, one in enumerate(values):
        here = (*path, index) if isinstance(value, list | tuple) else path
        if not isinstance(one, str) or not one.strip():
            faults.append(Fault(here, "must be text; put it in quotes"))
        elif closed and one not in closed:
            faults.append(Fault(here, f"'{one}' is no {signal} of the vocabulary; {suggest(one, closed)}"))
    return Match(signal, tuple(values)) if len(faults) == before else None


def _number(signal: str, value: Any, path: KeyPath, faults: list[Fault]) -> Condition | None:
    if isinstance(value, Mapping):
        return _bounds(signal, value, path, faults)
    listed = isinstance(value, list | tuple)
    values = list(value) if listed else [value]
    if not values:
        faults.append(Fault(path, "must name at least one number"))
    bad = [index for index, one in enumerate(values) if not _is_number(one)]
    faults.extend(
        Fault((*path, index) if listed else path, "must be a number or bounds such as {gt: 3}")
        for index in bad
    )
    if bad or not values:
        return None
    exact = tuple(Compare(signal, gte=one, lte=one) for one in values)
    return exact[0] if len(exact) == 1 else Any_(exact)


def _bounds(signal: str, value: Mapping[Any, Any], path: KeyPath, faults: list[Fault]) -> Condition | None:
    before = len(faults)
    if not value:
        faults.append(Fault(path, "must name at least one of gt, gte, lt, lte"))
    for key, bound in value.items():
        if key not in _BOUNDS:
            faults.append(Fault((*path, str(key)), f"unknown; {suggest(key, _BOUNDS)}"))
        elif not _is_number(bound):
            faults.append(Fault((*path, str(key)), "must be a number"))
    return Compare(signal, **value) if len(faults) == before else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def condition_schema() -> dict[str, Any]:
    """JSON Schema of one condition, to stand at `#/$defs/Condition`."""
    one: dict[str, Any] = {"$ref": "#/$defs/Condition"}
    many = {"type": "array", "items": one, "minItems": 1}
    text: dict[str, Any] = {"type": "string", "minLength": 1}
    texts = {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}
    properties: dict[str, Any] = {"any": many, "all": many, "not": one}
    properties |= dict.fromkeys((*SETS, *WORDS), texts)
    for name in NUMBERS:
        number = {"type": "integer" if name in COUNTS else "number"}
        bounds = {
            "type": "object",
            "properties": {key: {"type": "number"} for key in _BOUNDS},
            "additionalProperties": False,
            "minProperties": 1,
        }
        properties[name] = {"anyOf": [number, {"type": "array", "items": number, "minItems": 1}, bounds]}
    return {
        "description": "One condition on the signals of a request.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
