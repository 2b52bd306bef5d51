"""Faults of a policy file as data: where, and what to write instead. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz import fuzz, process

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at `path`, the keys and list positions that lead there."""

    path: KeyPath
    message: str


def dotted(path: KeyPath) -> str:
    """`("routing", "decisions", 1, "name")` as `routing.decisions[1].name`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was probably meant to be, or None where none is near."""
    found = process.extractOne(word, sorted(choices), scorer=fuzz.ratio, processor=str.lower, score_cutoff=60)
    return found[0] if found else None


def suggest(word: object, choices: Iterable[str]) -> str:
    """`did you mean 'x'?` where one is near, else the choices (the first dozen of them)."""
    options = sorted(choices)
    if isinstance(word, str) and (near := nearest(word, options)):
        return f"did you mean '{near}'?"
    return "choose from: " + ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
