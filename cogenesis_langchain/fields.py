"""Structured profile fields as lines (`Name: Ada Thornquist`), and the known values in such lines. Pure.

A field's value is known as a whole where it is short, and piece by piece where it is a list; a person's
name also by its parts. Prose, numbers under four digits, and yes or no are not values: they say nothing
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cogenesis_langchain.types import KnownValue

_LINE = re.compile(r"^[ \t>*•-]*\**([^\W\d][\w /'’().-]{0,60}?)\**[ \t]*[:：=]\**[ \t]+(\S.*)$", re.MULTILINE)
_URL_SCHEME = re.compile(r"^(https?|ftp|mailto)$", re.IGNORECASE)
_LIST = re.compile(r"\s*[;|•\n]\s*|,\s+")
_EMPTY = frozenset(("yes", "no", "true", "false", "none", "null", "n/a", "na", "unknown", "other"))
# Fields that say how somebody writes or is, in words that everybody uses.
_DESCRIBING = frozenset(("style", "tone", "trait", "traits", "personality", "gender", "sex", "pronouns"))
_MAX_CHARS = 80
_MAX_WORDS = 6
# The last word of a key -> the type of its values, in Presidio's names.
_TYPES = {
    "PERSON": "name names surname forename firstname lastname nickname wife husband partner spouse sister "
    "brother mother father mum mom dad son daughter child children friend friends family boss manager "
    "colleague colleagues pet pets dog cat grandmother grandfather aunt uncle cousin",
    "EMAIL_ADDRESS": "email mail e-mail",
    "PHONE_NUMBER": "phone telephone mobile tel cell",
    "LOCATION": "address street city town village country location home residence hometown birthplace "
    "postcode zip zipcode state county region",
    "ORGANIZATION": "employer company organisation organization school university workplace work team club",
    "DATE_TIME": "birthday birthdate dob born anniversary",
    "USERNAME": "username handle account login user",
}
_TYPE_OF = {word: type_ for type_, words in _TYPES.items() for word in words.split()}


def field_lines(entry: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """An object as `Key: value` lines: a line for each entry of a list, `Outer / Inner` for nested ones."""
    for key, value in entry.items():
        name = f"{above} / {_key(key)}" if above else _key(key)
        yield from _lines(name, value)


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from field_lines(value, name)
    elif isinstance(value, list):
        for entry in value:
            yield from _lines(name, entry)
    elif isinstance(value, bool):
        yield f"{name}: {'yes' if value else 'no'}"
    elif value is not None and str(value).strip():
        yield f"{name}: {' '.join(str(value).split())}"


def _key(key: str) -> str:
    words = " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(key)).replace("_", " ").split())
    return words[:1].upper() + words[1:]


def field_values(text: str) -> list[KnownValue]:
    """Known values of the `Key: value` lines of a text, without repetitions, in their order."""
    out: dict[str, KnownValue] = {}
    for match in _LINE.finditer(text):
        key, raw = match.group(1).strip(), match.group(2).strip().strip("*").strip()
        if _URL_SCHEME.match(key) or _DESCRIBING & set(re.split(r"[\W_]+", key.lower())):
            continue
        type_ = _type_of(key)
        for value in _values(raw, type_):
            out.setdefault(value, KnownValue(value, type_, "field"))
    return list(out.values())


def _type_of(key: str) -> str:
    words = re.findall(r"[\w-]+", key.lower())
    for word in reversed(words):
        if word in _TYPE_OF:
            return _TYPE_OF[word]
    return "_".join(re.findall(r"\w+", key.upper())) or "FIELD"


def _values(raw: str, type_: str) -> Iterator[str]:
    whole = _tidy(raw)
    if _tells(whole):
        yield whole
    pieces = [_tidy(piece) for piece in _LIST.split(raw)]
    if len(pieces) > 1:
        yield from (piece for piece in pieces if _tells(piece))
    if type_ == "PERSON":
        for piece in pieces:
            words = piece.split()
            if 1 < len(words) <= _MAX_WORDS:
                yield from (part for word in words if len(part := word.strip(".,()'\"")) >= 3)


def _tidy(value: str) -> str:
    return " ".join(value.split()).strip(" .,;\"'“”")


def _tells(value: str) -> bool:
    if not value or len(value) > _MAX_CHARS or len(value.split()) > _MAX_WORDS:
        return False
    if value.casefold() in _EMPTY:
        return False
    return not (value.isdigit() and len(value) < 4)
