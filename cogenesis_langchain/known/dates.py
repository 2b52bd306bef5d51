"""A date in its other notations: with its month as a name or a number, in any order. Pure.

English month names. A numeric date whose order is not clear (03/04/1984) is read both ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_YEAR = "january february march april may june july august september october november december"
_NAMES = _YEAR.split()
_MONTHS = {name[:3]: number for number, name in enumerate(_NAMES, 1)}
_DAY = r"([0-3]?\d)(?:st|nd|rd|th)?"
_MONTH = r"([a-z]{3,9})\.?"
_DAY_FIRST = re.compile(rf"{_DAY}\s+(?:of\s+)?{_MONTH},?\s+(\d{{4}})", re.IGNORECASE)
_MONTH_FIRST = re.compile(rf"{_MONTH}\s+{_DAY},?\s+(\d{{4}})", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")


def notations(value: str) -> Iterator[str]:
    """Every other way to write the date that `value` is; nothing if it is none."""
    for year, month, day in sorted(set(_read(value.strip()))):
        if 1 <= month <= 12 and 1 <= day <= 31:
            yield from _written(year, month, day)


def _read(value: str) -> Iterator[tuple[int, int, int]]:
    """(year, month, day) of each reading."""
    if (named := _DAY_FIRST.fullmatch(value)) and (month := _month(named[2])):
        yield int(named[3]), month, int(named[1])
    if (named := _MONTH_FIRST.fullmatch(value)) and (month := _month(named[1])):
        yield int(named[3]), month, int(named[2])
    if found := _YEAR_FIRST.fullmatch(value):
        yield int(found[1]), int(found[2]), int(found[3])
    if found := _YEAR_LAST.fullmatch(value):
        yield int(found[3]), int(found[2]), int(found[1])
        yield int(found[3]), int(found[1]), int(found[2])


def _month(word: str) -> int:
    number = _MONTHS.get(word[:3].lower(), 0)
    return number if number and _NAMES[number - 1].startswith(word.lower()) else 0


def _written(year: int, month: int, day: int) -> Iterator[str]:
    for m, d in ((f"{month}", f"{day}"), (f"{month:02}", f"{day:02}")):
        yield from (f"{year} {m} {d}", f"{d} {m} {year}", f"{m} {d} {year}")
    short = f"{year % 100:02}"
    yield from (f"{day:02} {month:02} {short}", f"{month:02} {day:02} {short}")
    name = _NAMES[month - 1]
    suffix = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    for word in (name, name[:3]):
        for number in (f"{day}", f"{day:02}", f"{day}{suffix}"):
            yield from (f"{number} {word} {year}", f"{word} {number} {year}", f"{number} of {word} {year}")
