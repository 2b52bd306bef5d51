"""Requests with the kinds and topics that a careful reader accepts. Pure.

`.jsonl`, an object a line: `instruction`, `kinds` and `topics` (names of the fine lists, or of additions;
`null` among the topics: none need fit), `id`, `split` and `style` where there are any. A row of the split
`tune` may be looked at while the lists are improved; one of `held` is only scored. `style` is any word;
shares are told for each.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from cogenesis_langchain.closed_lists import Vocabulary
from cogenesis_langchain.errors import InputError

SPLITS = ("tune", "held")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One request. `kinds` and `topics` hold all right fine names, likeliest first; None: no topic."""

    id: str
    instruction: str = field(repr=False)
    kinds: tuple[str, ...]
    topics: tuple[str | None, ...]
    split: str = SPLITS[0]
    style: str = ""


def read_labelled(path: Path | None, vocabulary: Vocabulary, split: str | None = None) -> list[Labelled]:
    """The requests of a file, or the shipped ones; of one split only, where it is named.

    Raises InputError that names the line, and a name that the lists lack; never an instruction.
    """
    if path is None:
        file = resources.files("cogenesis_langchain") / "evals" / "data" / "instructions.jsonl"
        name, text = "the shipped requests", file.read_text(encoding="utf-8")
    else:
        name, text = str(path), _text(path)
    rows: list[Labelled] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = _row(line, number, f"{name}, line {number}", vocabulary)
            rows += [row] if split in (None, row.split) else []
    if len({row.id for row in rows}) != len(rows):
        raise InputError(f"{name}: two lines have the same id")
    if not rows:
        raise InputError(f"{name} holds no requests" + (f" of the split {split}" if split else ""))
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start}); convert it first") from None


def _row(line: str, number: int, where: str, vocabulary: Vocabulary) -> Labelled:
    try:
        entry = json.loads(line)
        instruction, split = entry["instruction"], entry.get("split", SPLITS[0])
        kinds, topics = entry["kinds"], entry["topics"]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{where}: needs a JSON object with `instruction`, `kinds` and `topics`; "
            "see `cogenesis eval generalize --help`"
        ) from None
    if not (isinstance(instruction, str) and instruction.strip()):
        raise InputError(f"{where}: `instruction` is no text")
    if split not in SPLITS:
        raise InputError(f"{where}: `split` is one of {', '.join(SPLITS)}")
    _check(kinds, vocabulary.kind_of, "kinds", where)
    _check(topics, {*vocabulary.topic_of, None}, "topics", where)
    name, style = str(entry.get("id", number)), str(entry.get("style", ""))
    return Labelled(name, instruction, tuple(kinds), tuple(topics), split, style)


def _check(names: Any, known: Collection[str | None], key: str, where: str) -> None:
    if not isinstance(names, list) or not names:
        raise InputError(f"{where}: `{key}` needs a list with at least one name")
    for name in names:
        if not (name is None or isinstance(name, str)) or name not in known:
            raise InputError(
                f"{where}: `{key}`: the lists hold no {json.dumps(name, ensure_ascii=False)}; "
                "`cogenesis vocabulary show --size full` lists the names"
            )
