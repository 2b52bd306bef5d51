"""Persons whose requests an attacker tries to assign: who they are, what they wrote, what they ask for. Pure.

Two formats are read. `.json`: a list of CoGenesis records (TsinghuaC3I/CoGenesis, context-aware):
`conversations` (the task, then the text a person would write), `additional_tasks`, `profile` (earlier
writings: title and text), `additional_profile` (lines `Name: value`; lists are split at semicolons).
`.jsonl`: an object a line:

    {"id": "ada", "tasks": ["Write ...", ...], "gold": "...", "profile": {"Name": "...", "Age": 44,
     "Occupation": "...", "Location": "...", "Employer": "...", "Facts": ["...", "..."]},
     "writings": [{"title": "...", "text": "..."}]}

`gold` (of the first task), `writings` and lines of the profile may be missing, but not all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.types import ContextItem

REQUESTS = 5
"""At most so many requests of a person are read."""
_FACTS = ("privacy_info", "facts")


@dataclass(frozen=True, slots=True)
class Person:
    """One person. `fields`: what their profile says, by the lower-case name of its line."""

    id: str
    tasks: tuple[str, ...] = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    writings: tuple[tuple[str, str], ...] = field(repr=False, default=())
    gold: str = field(repr=False, default="")

    @property
    def profile(self) -> str:
        """The profile as lines `Name: value`."""
        return "\n".join(f"{name.capitalize()}: {value}" for name, value in self.fields.items())

    @property
    def facts(self) -> tuple[str, ...]:
        """Private facts, a clause each."""
        return tuple(clause for name in _FACTS for clause in clauses(self.fields.get(name, "")))

    @property
    def age(self) -> int | None:
        """In years, where the profile says it."""
        words = self.fields.get("age", "").split()
        return int(words[0]) if words and words[0].isdecimal() else None

    def clauses(self) -> list[str]:
        """Everything the profile says, a clause each: what an attacker compares a request with."""
        return [clause for value in self.fields.values() for clause in clauses(value)]

    def context(self) -> list[ContextItem]:
        """What the router's store holds of this person."""
        writings = [ContextItem("writing", text, title) for title, text in self.writings]
        return [ContextItem("profile", self.profile), *writings]


def clauses(value: str) -> list[str]:
    """The parts of a list that is written with semicolons."""
    return [part for piece in value.split(";") if (part := piece.strip(" .\n"))]


def read_persons(path: Path | None, limit: int | None = None) -> list[Person]:
    """The persons of a file, or the shipped fictional ones; the first `limit`.

    Raises InputError that names the entry or the line, never its text.
    """
    if path is None:
        file = resources.files("cogenesis_langchain") / "evals" / "data" / "persons.jsonl"
        name, data, suffix = "the shipped persons", file.read_bytes(), ".jsonl"
    else:
        name, suffix = str(path), path.suffix.lower()
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if suffix not in (".json", ".jsonl"):
        raise InputError(f"{name}: not a .json or .jsonl file; see `cogenesis eval linkage --help`")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no UTF-8 text (byte {error.start}); convert it first") from None
    entries = _entries(text, name) if suffix == ".json" else _lines(text, name)
    persons = [_person(entry, where) for (where, entry), _ in zip(entries, _upto(limit), strict=False)]
    if len(persons) < 2:
        raise InputError(f"{name}: holds fewer than two persons, so there is nobody to confuse them with")
    return persons


def _upto(limit: int | None) -> Iterator[int]:
    number = 0
    while limit is None or number < limit:
        yield number
        number += 1


def _entries(text: str, name: str) -> Iterator[tuple[str, Any]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{name}: no JSON") from None
    if not isinstance(entries, list):
        raise InputError(f"{name}: needs a list of records")
    for number, entry in enumerate(entries, 1):
        yield f"{name}, entry {number}", entry


def _lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{name}, line {number}", json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(f"{name}, line {number}: no JSON") from None


def _person(entry: Any, where: str) -> Person:
    try:
        person = _from_cogenesis(entry, where) if "conversations" in entry else _from_own(entry, where)
        if not person.clauses():
            raise ValueError
        return person
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise InputError(
            f"{where}: needs `tasks`, a list of texts, and a `profile` that says something (see "
            "`cogenesis eval linkage --help`), or a CoGenesis record: `conversations`, `additional_tasks`, "
            "`profile`, `additional_profile`"
        ) from None


def _from_cogenesis(entry: Mapping[str, Any], where: str) -> Person:
    task, gold = (turn["value"] for turn in entry["conversations"][:2])
    lines = (line.partition(": ") for line in entry["additional_profile"].split("\n"))
    return Person(
        where.rsplit(" ", 1)[1],
        _tasks([task, *entry["additional_tasks"]]),
        {name.strip().lower(): value.strip() for name, _, value in lines if value.strip()},
        _writings(entry["profile"]),
        str(gold),
    )


def _from_own(entry: Mapping[str, Any], where: str) -> Person:
    values = entry["profile"].items()
    fields = {str(name).lower(): _value(value) for name, value in values if value is not None}
    name = str(entry.get("id") or where.rsplit(" ", 1)[1])
    writings = _writings(entry.get("writings") or [])
    return Person(name, _tasks(entry["tasks"]), fields, writings, str(entry.get("gold") or ""))


def _tasks(found: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(found, list):  # a text would be taken for as many requests as it has letters
        raise TypeError
    tasks = tuple(task for task in found if task.strip())[:REQUESTS]
    if not tasks:
        raise ValueError
    return tasks


def _writings(found: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(one.get("title") or ""), _text(one["text"])) for one in found)


def _value(value: Any) -> str:
    """A line of the profile: a text, a number, or a list of texts."""
    if isinstance(value, list):
        return "; ".join(value)
    return str(value) if isinstance(value, int | float) else _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
