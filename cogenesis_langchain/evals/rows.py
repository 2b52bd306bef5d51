"""Texts with their private units, read from the formats of public data sets.

`.csv`: PUPA (Li et al., 2024): `user_query`, and `pii_units` separated by `||`. `.json`: a list of
presidio-research's samples: `full_text`, and `spans` with `start_position` and `end_position`. `.jsonl`: an
object a line with `text` and `units` (strings) or `spans` ([start, end] in characters); `id` where there is
one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from cogenesis_langchain.errors import InputError

Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One text, what is private in it, and where that stands (offsets in characters, sorted)."""

    id: str
    text: str = field(repr=False)
    units: tuple[str, ...] = field(repr=False)
    spans: tuple[Stretch, ...] = ()


def read_rows(path: Path | None, limit: int | None = None) -> list[Row]:
    """The rows of a file, or the shipped fictional examples; at most `limit`.

    Raises InputError that names the line or the entry, never its text.
    """
    if path is None:
        file = resources.files("cogenesis_langchain") / "evals" / "data" / "detection.jsonl"
        name, data = "the shipped examples", file.read_bytes()
    else:
        name = str(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no UTF-8 text (byte {error.start}); convert it first") from None
    suffix = ".jsonl" if path is None else path.suffix.lower()
    readers = {".csv": _csv, ".json": _json, ".jsonl": _jsonl}
    if suffix not in readers:
        raise InputError(f"{name}: not a .csv, .json or .jsonl file; see `cogenesis eval detection --help`")
    rows: list[Row] = []
    for number, entry in readers[suffix](text, name):
        if limit is not None and len(rows) >= limit:
            break
        rows.append(_row(entry, number, name))
    if not rows:
        raise InputError(f"{name} holds no rows")
    return rows


def _csv(text: str, name: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(10_000_000)
    try:
        yield from enumerate(csv.DictReader(io.StringIO(text, newline="")), 1)
    except csv.Error:
        raise InputError(f"{name}: no CSV that can be read") from None


def _json(text: str, name: str) -> Iterator[tuple[int, Any]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{name}: no JSON") from None
    if not isinstance(entries, list):
        raise InputError(f"{name}: needs a list of samples")
    yield from enumerate(entries, 1)


def _jsonl(text: str, name: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(f"{name}, line {number}: no JSON") from None


def _row(entry: Any, number: int, name: str) -> Row:
    try:
        text, units, spans = _content(entry)
        name_of = entry.get("id") or entry.get("conversation_hash") or number
        if not isinstance(text, str) or not all(isinstance(unit, str) for unit in units):
            raise TypeError
        if not all(0 <= start < end <= len(text) for start, end in spans):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{name}, entry {number}: needs a text with `pii_units`, `units` or `spans` that lie inside it"
        ) from None
    found = tuple(dict.fromkeys(" ".join(unit.split()).lower() for unit in units if unit.strip()))
    return Row(str(name_of), text, found, tuple(sorted(spans)) or tuple(_standing(text, found)))


def _content(entry: Mapping[str, Any]) -> tuple[str, Sequence[str], list[Stretch]]:
    if "user_query" in entry:
        return entry["user_query"], entry["pii_units"].split("||"), []
    if "full_text" in entry:
        text = entry["full_text"]
        spans = [(int(s["start_position"]), int(s["end_position"])) for s in entry["spans"]]
    elif "units" in entry:
        return entry["text"], entry["units"], []
    else:
        text, spans = entry["text"], [(int(start), int(end)) for start, end in entry["spans"]]
    return text, [text[start:end] for start, end in spans], spans


def _standing(text: str, units: Sequence[str]) -> Iterator[Stretch]:
    """Where the units stand in the text, in any case, as whole words."""
    if not units:
        return
    longest_first = sorted(units, key=len, reverse=True)
    choices = "|".join(re.escape(unit).replace(r"\ ", r"\s+") for unit in longest_first)
    for match in re.finditer(rf"(?<!\w)(?:{choices})(?!\w)", text, re.IGNORECASE):
        yield match.span()
