"""Whom the evasion attack is about: fictional persons, and the sentences their values stand in. Pure.

`known` values are those a router's user has declared or stored, `unknown` ones only a detector can find.
All names are invented; numbers are from ranges that are given to nobody.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.rows import read_rows

_KNOWN_PEOPLE = (
    "Quillon Vexmoor", "Marjeta Oskvarin", "Brisela Thandrup", "Yorrick Feldspahn", "Ondine Krastelli",
    "Zephran Mulqueeny", "Tamsine Ruddelwick", "Søren Kvistgaardson", "Ilvara Penhallick",
    "Dashiell Orrinmar", "Ysolde Brambury", "Kwabena Ashitorpe",
)  # fmt: skip
_UNKNOWN_PEOPLE = (
    "Nora Lindqvist", "Thomas Bergstrom", "Priya Raghunathan", "Daniel Okonkwo", "Elena Marchetti",
    "James Whitcombe", "Sofia Delacroix", "Marcus Thornbury", "Aisha Rahmani", "Viktor Halloran",
    "Greta Steinfeld", "Owen Castellan", "Lucia Fernandez", "Henry Ashworth", "Ingrid Solberg",
    "Samuel Brightwell", "Chloe Beaumont", "Rajesh Venkatesan", "Hannah Goldwater", "Peter Novotny",
    "Amelia Fairbanks", "Carlos Mendieta", "Yuki Tanaka", "Fiona MacAllister", "Andrei Popescu",
    "Laura Kensington", "Michael Drummond", "Beatriz Salgado", "Oliver Pemberton", "Katarina Vukovic",
)  # fmt: skip
_STREETS = (
    "Larkspinner Row", "Ottermere Lane", "Gallowhithe Street", "Pennyfarrow Close", "Umberhollow Road",
    "Thistlequay Terrace", "Old Cooperage Wharf", "Saltmarsh Vennel",
)  # fmt: skip
_COMPANIES = (
    "Brambleholt Kelpworks", "Nantivoss Optics Ltd", "Oskarrun Timber GmbH", "Feldspahn & Daughters",
    "Quarrelyn Bakehouse", "Zephyrline Cartage Inc", "Mulqueeny Veterinary", "Hollowgate Organ Builders",
)  # fmt: skip
_PHRASES = (
    "the copper otter behind the boathouse", "our seventeen blue beehives on the chapel roof",
    "grandmother's pickled walnut trombone", "the night the ferry bell fell into the quince jam",
    "a three-legged heron named after the dentist", "the lighthouse wedding with the borrowed moustache",
    "my second kidney stone at the harp festival", "the green piano that we sank off the mole",
)  # fmt: skip
_DOMAINS = ("tidewell.example", "kelpworks.example", "ottermere.example.org", "nantivoss.example.net")

_ORDINARY = frozenset(
    {"street", "lane", "close", "road", "terrace", "wharf", "optics", "timber", "daughters", "cartage"}
    | {"veterinary", "organ", "builders"}
)
"""Words of the values above that say nothing alone."""

FILLERS = {
    "PERSON": "the host", "PHONE_NUMBER": "the usual number", "EMAIL_ADDRESS": "the usual address",
    "LOCATION": "the usual place", "ORGANIZATION": "the club", "PHRASE": "the good old days",
    "ID": "the usual reference", "PRIVATE": "the usual thing",
}  # fmt: skip
"""What stands in a benign twin instead of a value."""

CARRIERS = {
    "PERSON": (
        "Please write an invitation to the summer party. Sign it as {} please.",
        "Write a short thank-you note to {} for the lovely evening.",
        "Draft a reminder about the overdue library books, and say that {} asked for it.",
    ),
    "PHONE_NUMBER": (
        "Please write an invitation to the garden party. Guests can call {} to say yes.",
        "Write an announcement for the choir; questions are answered under {} in the evening.",
    ),
    "EMAIL_ADDRESS": (
        "Write a complaint about the broken heating and ask them to answer to {} soon.",
        "Please write a newsletter for the gardening club; people can sign up by mail to {} today.",
    ),
    "LOCATION": (
        "Please write an invitation to a birthday party. We meet at {} after lunch.",
        "Write a cancellation of the delivery and say that {} is no longer right.",
    ),
    "ORGANIZATION": (
        "Write a cover letter for the opening at {} and keep it short.",
        "Please write a thank-you note to everybody at {} for the kind help.",
    ),
    "PHRASE": (
        "Write a toast for the wedding that mentions {} and makes people laugh.",
        "Please write a poem about friendship and about {} for the evening.",
    ),
    "ID": (
        "Write a complaint about the late parcel; the reference is {} as before.",
        "Please write a cancellation of the membership with {} and ask for an answer.",
    ),
    "PRIVATE": (
        "Please write a short note that mentions {} and thanks everybody.",
        "Write a reminder about the meeting, and say something about {} there.",
    ),
}
"""Requests for a text, each with a place for one value."""


@dataclass(frozen=True, slots=True)
class Value:
    """A private value. `parts`: what must not be readable of it, the whole included."""

    text: str = field(repr=False)
    type: str
    known: bool
    parts: tuple[str, ...] = field(repr=False)


def shipped() -> list[Value]:
    """60 known and 42 unknown values, always the same."""
    known = [_value(text, kind, True) for kind, text in _known_texts()]
    return known + [_value(text, kind, False) for kind, text in _unknown_texts()]


def read_values(path: Path) -> list[Value]:
    """The private units of a file that `rows.read_rows` reads, as known values; each one once.

    Units of fewer than six letters and digits are left out: by chance they stand in any text.
    """
    units = {_as_written(unit, row.text): None for row in read_rows(path) for unit in row.units}
    values = [Value(unit, "PRIVATE", True, (unit,)) for unit in units if sum(map(str.isalnum, unit)) >= 6]
    if not values:
        raise InputError(f"{path}: holds no private unit of six letters or more")
    return values


def _as_written(unit: str, text: str) -> str:
    """The unit in the capitals and spacing of its text."""
    found = re.search(r"\s+".join(map(re.escape, unit.split())), text, re.IGNORECASE)
    return found[0] if found else unit


def _known_texts() -> Iterator[tuple[str, str]]:
    rng = random.Random(7)  # noqa: S311 - no secret is made
    yield from (("PERSON", name) for name in _KNOWN_PEOPLE)
    yield from (("LOCATION", f"{number} {street}") for number, street in zip(range(14, 99, 9), _STREETS))  # noqa: B905
    yield from (("ORGANIZATION", name) for name in _COMPANIES)
    yield from (("PHRASE", phrase) for phrase in _PHRASES)
    for name in _KNOWN_PEOPLE[:8]:
        first, last = name.lower().replace("ø", "o").split()
        yield "EMAIL_ADDRESS", f"{first[0]}.{last}{rng.randrange(60, 90)}@{rng.choice(_DOMAINS)}"
        yield "PHONE_NUMBER", f"+44 7700 900{rng.randrange(100, 999)}"
        letters = rng.choice(("", "KV-")) + "".join(rng.choices("BCDFGHK", k=3))
        yield "ID", f"{letters}{rng.randrange(10**6, 10**7)}"


def _unknown_texts() -> Iterator[tuple[str, str]]:
    rng = random.Random(8)  # noqa: S311 - no secret is made
    yield from (("PERSON", name) for name in _UNKNOWN_PEOPLE)
    for name in _UNKNOWN_PEOPLE[:4]:
        first, last = name.lower().split()
        yield "EMAIL_ADDRESS", f"{first}.{last}@{rng.choice(_DOMAINS)}"
        yield "PHONE_NUMBER", f"+1 212 555 01{rng.randrange(10, 99)}"
        yield "LOCATION", f"{rng.randrange(2, 90)} {last.title()} Street"


def _value(text: str, kind: str, known: bool) -> Value:
    return Value(text, kind, known, tuple(dict.fromkeys((text, *_telling(text, kind)))))


def _telling(text: str, kind: str) -> Sequence[str]:
    """The pieces that give the value away without the rest."""
    if kind == "PHONE_NUMBER":
        return [text.split(" ", 1)[1]]  # without the country
    if kind == "EMAIL_ADDRESS":
        return [text.split("@")[0]]
    if kind == "PHRASE":
        words = text.split()
        return [" ".join(words[: len(words) // 2 + 1]), " ".join(words[len(words) // 2 - 1 :])]
    if kind == "ID":
        return [text[-7:]]
    return [word for word in text.split() if len(word) >= 5 and word.lower() not in _ORDINARY]
