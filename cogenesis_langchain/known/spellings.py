"""How else one known value may be written: its telling parts, and its other notations. Pure.

The canonical form undoes what changes letters; this file knows what changes words: a name by its parts, an
address by its lines, a telephone number with and without its country, a mail address spelt out, a date in
its other notations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from cogenesis_langchain.known import dates
from cogenesis_langchain.normalize.canonical import fold
from cogenesis_langchain.normalize.letters import LOOK_ALIKES, has_foreign
from cogenesis_langchain.types import KnownValue

ADDRESS_TYPES = frozenset({"LOCATION", "ADDRESS"})

_TITLES = frozenset(
    ["mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam", "lady", "lord", "rev", "hon", "jr", "sr", "md"]
)
_STREETS = """
street st | avenue ave | road rd | lane ln | drive dr | boulevard blvd | court ct | place pl | square sq
terrace ter | parkway pkwy | highway hwy | apartment apt | strasse str
"""
_SHORT = dict(pair.split() for pair in _STREETS.replace("\n", "|").split("|") if pair.strip())
_LONG = {short: long for long, short in _SHORT.items()}
_LEGAL = re.compile(
    r"(?:[\s,]+(?:ltd|limited|inc|incorporated|llc|llp|plc|corp|corporation|co|company|gmbh|ag|kg|ohg|ug|sarl|sas|sa"
    r"|bv|nv|oy|ab|as|aps|srl|spa|pty)\.?)+$",
    re.IGNORECASE,
)
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}
    | {"Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Ø": "Oe", "Å": "Aa"}
)
_MAIL = re.compile(r"([^\s@<>]+)@([^\s@<>]+\.[^\s@<>]+)")
_ROLES = "info office mail contact admin support hello team sales service noreply webmaster post kontakt"
_MAILBOXES = frozenset(_ROLES.split())
_SHARED = """
gmail googlemail outlook hotmail live msn yahoo ymail icloud me mac aol proton protonmail pm gmx web mail
posteo fastmail zoho yandex t-online freenet orange free laposte comcast verizon qq 163 126 naver
example test invalid localhost
"""  # the last line: the names that RFC 2606 keeps for examples
_PROVIDERS = frozenset(_SHARED.split())
_TELLING = 7  # characters from which the name of a company tells something without its legal form
_LABEL = 5  # letters from which the name of a domain tells something without its ending
_URL = re.compile(r"(?:https?://)?(?:www\.)?([^\s/]+\.[^\s]+)", re.IGNORECASE)
_NUMBER = re.compile(r"[+(]?[\d\s()./\u2010-\u2015-]{7,}")
_DIGITS, _MOST = 7, 15  # how many a telephone's number has
# Country calling codes of one and two digits (ITU E.164); all others have three.
_ONE = frozenset("17")
_TWO_DIGITS = """
20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86
90 91 92 93 94 95 98
"""
_TWO = frozenset(_TWO_DIGITS.split())


def spellings(value: KnownValue) -> Iterator[KnownValue]:
    """The value itself, then its parts and other notations; parts are never as sure as what was declared."""
    yield value
    for part in _parts(value):
        yield replace(value, value=part, origin="field")
    for other in _notations(value.value):
        yield replace(value, value=other)


def national(value: str) -> str:
    """The digits of a telephone number without country code or trunk zero; "" if it is none."""
    if not _NUMBER.fullmatch(value.strip()):
        return ""
    digits = "".join(c for c in fold(value.replace("(0)", "")) if c.isdigit())
    if not _DIGITS <= len(digits) <= _MOST + 2:
        return ""
    if value.strip().lstrip("(").startswith("+") or digits.startswith("00"):
        digits = digits.removeprefix("00")
        digits = digits[1 if digits[0] in _ONE else 2 if digits[:2] in _TWO else 3 :]
    rest = digits.removeprefix("0")
    return rest if _DIGITS - 1 <= len(rest) < _MOST else ""


def _parts(value: KnownValue) -> list[str]:
    """What gives the same person away: parts of a name, lines of an address, the ends of a mail address."""
    kind = value.type.upper()
    parts: list[str] = []
    if kind == "PERSON" or kind.endswith("NAME"):
        parts = [p for p in re.split(r"[\s,]+", value.value) if _leads(p) and fold(p) not in _TITLES]
    elif kind in ADDRESS_TYPES:
        parts = [p.strip() for p in re.split(r"[,;\n]", value.value)]
        return [form for part in parts for form in _street(part) if form != value.value]
    if len(parts) > 1:
        return [part for part in parts if part]
    if kind == "ORGANIZATION":
        return _company(value.value)
    if mail := _MAIL.fullmatch(value.value.strip()):
        return [part for part in (_mailbox(mail[1]), *_domain(mail[2])) if part]
    return []


def _leads(word: str) -> bool:
    """Whether a word of a name may be a name itself: a capital, or a letter of a script that has none."""
    return word[:1].isalpha() and not word[:1].islower()


def _street(line: str) -> list[str]:
    """A line of an address, its words in full and abbreviated."""
    words = fold(line).split()
    forms = [line, *(" ".join(table.get(word, word) for word in words) for table in (_SHORT, _LONG))]
    return [form for i, form in enumerate(forms) if form and (i == 0 or form.split() != words)]


def _company(name: str) -> list[str]:
    """A company's name without its legal form, where what is left still says something."""
    short = _LEGAL.sub("", name.strip())
    return [short] if short != name.strip() and len(short) >= _TELLING else []


def _mailbox(local: str) -> str:
    return "" if local.lower() in _MAILBOXES else local.split("+")[0]


def _domain(domain: str) -> list[str]:
    """A domain of one's own, with and without its ending; nothing for those that everybody uses."""
    labels = domain.lower().split(".")
    if _PROVIDERS & set(labels):
        return []
    return [domain, *(label for label in labels[:-1] if len(label) >= _LABEL)]


def _notations(value: str) -> Iterator[str]:
    """The whole value, written in another way."""
    if (umlauts := value.translate(_UMLAUTS)) != value:
        yield umlauts
    if has_foreign(value):
        for form in (value, value.lower(), value.upper()):
            yield "".join(map(LOOK_ALIKES.__getitem__, form))
    if mail := _MAIL.fullmatch(value.strip()):
        yield f"{mail[1]}a{mail[2]}"  # where @ is read as the letter it is often written for
        domain = mail[2].replace(".", " dot ")
        yield f"{mail[1]} at {mail[2]}"
        yield f"{mail[1]} at {domain}"
        yield f"{mail[1].replace('.', ' dot ')} at {domain}"
    elif (url := _URL.fullmatch(value.strip())) and url[1] != value.strip():
        yield url[1]
    yield from dates.notations(value)
    if digits := national(value):
        yield digits
        yield f"0{digits}"
