"""Runs of digits: payment cards, telephones, national and account numbers. Pure.

Every run is read once, and told by its grouping, its check digits and the words before it, instead of by one
expression per country. Years, dates, amounts and versions are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cogenesis_langchain.detect.scanning import SOURCE, Text
from cogenesis_langchain.types import PrivateSpan

_RUN = re.compile(
    r"""[+(0-9](?<![\w./$€£\#&-].)(?<![0-9],.)   # not within a word, an amount, an address
        \(?[0-9]{0,20}+
        (?:(?:\)?(?:[ .\u00a0\u2010-\u2015-]|\ [\u2013-]\ )\(?|\)|\()[0-9]{1,20}+){0,8}+
        (?:x[0-9]{1,5})?+(?![\w%€£$])""",
    re.VERBOSE | re.ASCII,
)
_GROUP = re.compile("[0-9]+")
_DASHES = re.compile("[\u2010-\u2015-]")
_BEFORE = 40  # characters before a number that can say what it is
_AFTER = 12

_PHONE_WORDS = re.compile(
    r"phone|\btel|call|mobil|\bcell|fax|whatsapp|text me|reach|contact|\bsms|\bdesk|\bring|\bdial|answering"
    r"|message|telefon|téléphone|telefono|teléfono|móvil|handy|rufnummer|number"
)
_PHONE_WORDS_AFTER = re.compile(r"\W{0,3}(?:office|mobile|home|cell|fax|work|phone|tel)\b")
_ID_WORDS = (
    ("US_PASSPORT", re.compile(r"passport|reisepass|pasaporte|passeport")),
    ("US_DRIVER_LICENSE", re.compile(r"licen[cs]e|driver|führerschein")),
    ("US_BANK_NUMBER", re.compile(r"\bacc(?:oun)?t|routing|sort code|\bbank|konto|cuenta")),
    ("UK_NHS", re.compile(r"\bnhs\b")),
    ("US_SSN", re.compile(r"\bssn\b|social security")),
    (
        "ID_NUMBER",
        re.compile(
            r"\b(?:id|no|nr|number|ref|reference|case|order|ticket|invoice|policy|member|membership|customer"
            r"|client|patient|student|employee|badge|record|mrn|npi|tax|tin|ein|vat|serial|imei|tracking"
            r"|booking|claim|file|reg|registration|matricule|ausweis|dni|siret|code)\b"
        ),
    ),
)


def find(text: Text) -> Iterator[PrivateSpan]:
    """Private runs of digits in `text`."""
    for match in text.matches(_RUN, "digits"):
        run = match[0]
        groups = _GROUP.findall(run)
        count = sum(map(len, groups))
        if not 6 <= count <= 24:
            continue
        kind = _kind(run, groups, count, text, match.start(), match.end())
        if kind:
            yield PrivateSpan(kind[0], match.start(), match.end(), kind[1], SOURCE)


def _kind(
    run: str, groups: Sequence[str], count: int, text: Text, start: int, end: int
) -> tuple[str, float] | None:
    """Type and score of a run of digits; None for one that says nothing about a person."""
    digits = "".join(groups)
    sizes = [len(g) for g in groups]
    if run[0] == "+" and 7 <= count <= 17:
        return "PHONE_NUMBER", 0.75
    if is_card(digits, sizes):
        return "CREDIT_CARD", 0.9
    if sizes == [3, 2, 4] and groups[0] not in ("000", "666") and "(" not in run:
        return ("US_ITIN" if groups[0][0] == "9" else "US_SSN"), 0.85 if _DASHES.search(run) else 0.6
    if (
        _is_date(groups)
        or digits.endswith("00000")
        or (count in (10, 13) and digits.startswith(("978", "979")) and len(groups) != 3)
    ):
        return None
    before = text.lower[max(start - _BEFORE, 0) : start]
    said = bool(_PHONE_WORDS.search(before) or _PHONE_WORDS_AFTER.match(text.lower, end, end + _AFTER))
    named = next((kind for kind, words in _ID_WORDS if words.search(before)), None)
    if named and named != "ID_NUMBER" and count >= 6:
        return named, 0.7
    if is_phone(run, sizes, said):
        return "PHONE_NUMBER", 0.7 if said else 0.55
    if len(groups) == 1 and said and count == 10:
        return "PHONE_NUMBER", 0.7
    if (
        sizes in ([6, 4], [8, 4], [2, 7]) and "." not in run
    ):  # personal numbers of the north; employers of the US
        return "ID_NUMBER", 0.55
    if named and (len(groups) == 1 or count >= 8):
        return named, 0.6
    if len(groups) == 1 and 9 <= count <= 20:
        return "ID_NUMBER", 0.5
    return None


def is_card(digits: str, sizes: Sequence[int]) -> bool:
    """Whether 12 to 19 digits are a payment card's: grouping, first digit and Luhn's check digit."""
    if not 12 <= len(digits) <= 19 or digits[0] not in "123456" or len(set(digits)) < 2:
        return False
    if len(digits) == 13 and digits[0] == "1":  # a time in milliseconds
        return False
    if len(sizes) > 1 and (min(sizes[:-1]) < 4 or max(sizes) > 7):
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_phone(run: str, sizes: Sequence[int], said: bool) -> bool:
    """Whether grouped digits are a telephone number as some country writes it.

    `said`: the text speaks of a telephone, so that short or ambiguous groupings count as well.
    """
    count, dotted = sum(sizes), "." in run
    if not 6 <= count <= 15 or not 1 < len(sizes) <= 6:
        return False
    if said:
        return count >= 7 and max(sizes) <= 8
    if dotted and (" " in run or (len(sizes) == 4 and run[0] != "0")):  # amounts, versions
        return False
    if len(sizes) == 2:
        if run[0] in "(0":
            return count >= 8
        return sizes in ([3, 7], [3, 4]) and bool(_DASHES.search(run))
    if max(sizes) > 5 or sizes[-1] < 2 or count < 2 * len(sizes):
        return False
    if run[0] in "(0":
        return count >= 8
    return count >= 9 and not run.endswith("000") and (max(sizes) > 2 or " " not in run)


def _is_date(groups: Sequence[str]) -> bool:
    """Dates and runs of years, with or without a time behind them."""
    numbers = [int(g) for g in groups]
    if len(groups) >= 2 and all(
        len(g) == 4 and 1000 <= n <= 2200 for g, n in zip(groups, numbers, strict=True)
    ):
        return True
    if len(groups) < 3 or any(len(g) > 4 for g in groups[:3]):
        return False
    first, second, third = numbers[:3]
    if len(groups[0]) == 4:
        return 1000 <= first <= 2200 and 1 <= second <= 12 and 1 <= third <= 31
    small = 1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31
    return small and (
        1000 <= third <= 2200 if len(groups[2]) == 4 else len(groups[2]) == 2 and len(groups) == 3
    )
