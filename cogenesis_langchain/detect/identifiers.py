"""Codes that point at one person, account, vehicle or machine, most told by their check digits. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator

from cogenesis_langchain.detect.scanning import SOURCE, Pattern, Text, pattern, scan
from cogenesis_langchain.types import PrivateSpan


def find(text: Text) -> Iterator[PrivateSpan]:
    """Codes in `text`, in no order; spans may overlap."""
    if text.digits:
        yield from _ibans(text)
        yield from scan(CODES, text)
    if ":" in text.text:
        yield from scan(_MACHINES, text)


# --- accounts -------------------------------------------------------------------------------------

_IBAN = re.compile(r"[A-Za-z](?<!\w.)[A-Za-z][0-9]{2}(?:[ -]?[A-Za-z0-9]){11,32}")
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "NO15 BE16 DK18 FI18 FO18 GL18 NL18 SD18 MK19 SI19 AT20 BA20 EE20 KZ20 LT20 LU20 MN20 XK20 CH21 "
        "HR21 LI21 LV21 BG22 BH22 CR22 DE22 GB22 GE22 IE22 ME22 RS22 VA22 AE23 GI23 IL23 IQ23 OM23 SO23 "
        "TL23 AD24 CZ24 ES24 MD24 PK24 RO24 SA24 SE24 SK24 TN24 VG24 LY25 PT25 ST25 IS26 TR26 BI27 DJ27 "
        "FR27 GR27 IT27 MC27 MR27 SM27 AL28 AZ28 BY28 CY28 DO28 GT28 HU28 LB28 NI28 PL28 SV28 BR29 EG29 "
        "PS29 QA29 UA29 JO30 KW30 MU30 YE30 MT31 SC31 LC32 RU33 ",
    )
}


def _ibans(text: Text) -> Iterator[PrivateSpan]:
    for match in text.matches(_IBAN, "digits"):
        length = _IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        places = [i for i, c in enumerate(match[0]) if c.isalnum()][:length]
        if length and len(places) == length and is_iban("".join(match[0][i] for i in places)):
            yield PrivateSpan("IBAN_CODE", match.start(), match.start() + places[-1] + 1, 0.95, SOURCE)


def is_iban(code: str) -> bool:
    """Whether the check digits (ISO 7064, modulo 97) of an IBAN without spaces are right."""
    moved = code[4:] + code[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


# --- codes with a form of their own ---------------------------------------------------------------


def is_bitcoin(address: str) -> bool:
    """Whether a Bitcoin address in Base58 ends in its own checksum."""
    number = 0
    for char in address:
        number = number * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(char)
    raw = number.to_bytes(25, "big") if number < 256**25 else b""
    return bool(raw) and hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def is_spanish_id(code: str) -> bool:
    """Whether the letter of a Spanish DNI or NIE follows from its number."""
    plain = code.upper().replace("-", "").replace(" ", "")
    number = {"X": "0", "Y": "1", "Z": "2"}.get(plain[0], plain[0]) + plain[1:-1]
    return plain[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _is_mixed(code: str) -> bool:
    """Letters and at least six digits: a number of something, not the name of a product."""
    return sum(c.isdigit() for c in code) >= 6 and any(c.isalpha() for c in code)


def _has_digits(code: str) -> bool:
    return sum(c.isdigit() for c in code) >= 3


def _is_public_address(code: str) -> bool:
    """Whether an IP address is one, and not this machine's name for itself."""
    try:
        address = ipaddress.ip_address(code)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


CODES: tuple[Pattern, ...] = (
    pattern(
        "IP_ADDRESS",
        0.7,
        r"[0-9](?<![\w.].)[0-9]{0,2}+(?:\.[0-9]{1,3}+){3}(?![\w.-]?\w)",
        (".",),
        check=_is_public_address,
        where="words",
    ),
    pattern(
        "MAC_ADDRESS",
        0.8,
        r"[0-9a-f](?<![\w:.-].)[0-9a-f](?:[:-][0-9a-f]{2}){5}(?![:\w-])",
        where="words",
        lower=True,
    ),
    pattern(
        "MAC_ADDRESS",
        0.8,
        r"[0-9a-f](?<![\w.].)[0-9a-f]{3}(?:\.[0-9a-f]{4}){2}(?![.\w])",
        (".",),
        lower=True,
        where="words",
    ),
    pattern(
        "UUID",
        0.55,
        r"[0-9a-f](?<![\w-].)[0-9a-f]{7}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])",
        ("-",),
        lower=True,
        where="words",
    ),
    pattern("CRYPTO", 0.9, r"0x[0-9a-f]{40}(?!\w)", ("0x",), lower=True, where="words"),
    pattern("CRYPTO", 0.9, r"bc1[ac-hj-np-z02-9]{11,71}(?!\w)", ("bc1",), lower=True, where="words"),
    pattern(
        "CRYPTO", 0.9, r"[13](?<!\w.)[1-9A-HJ-NP-Za-km-z]{25,34}+(?!\w)", where="words", check=is_bitcoin
    ),
    pattern(
        "VIN",
        0.6,
        r"[A-HJ-NPR-Z0-9](?<![\w-].)(?=[A-HJ-NPR-Z]{0,16}[0-9])(?=[0-9]{0,16}[A-HJ-NPR-Z])"
        r"[A-HJ-NPR-Z0-9]{10}[0-9]{6}(?!\w)",
        where="words",
    ),
    pattern(
        "UK_NINO",
        0.7,
        r"[A-CEGHJ-PR-TW-Z](?<!\w.)[A-CEGHJ-NPR-TW-Z]\ ?[0-9]{2}\ ?[0-9]{2}\ ?[0-9]{2}\ ?[A-D](?!\w)",
        where="digits",
    ),
    pattern(
        "LOCATION",
        0.65,
        r"[A-Z](?<!\w.)[A-Z]?[0-9][0-9A-Z]?\ [0-9](?!GB|TB|HZ)[ABD-HJLNP-UW-Z]{2}(?!\w)",
        where="digits",
    ),
    pattern("LOCATION", 0.6, r"[A-CEGHJ-NPR-TVXY](?<!\w.)[0-9][A-Z]\ [0-9][A-Z][0-9](?!\w)", where="digits"),
    pattern("LICENSE_PLATE", 0.6, r"[A-Z](?<!\w.)[A-Z][0-9]{2}\ [A-HJ-PR-Z]{3}(?!\w)", where="digits"),
    pattern(
        "LICENSE_PLATE",
        0.6,
        r"[A-ZÄÖÜ](?<![\w-].)[A-ZÄÖÜ]{0,2}-[A-Z]{1,2}\ ?[0-9]{2,4}[EH]?(?![\w-])",
        ("-",),
        flags=re.UNICODE,
        where="digits",
    ),
    pattern(
        "LICENSE_PLATE",
        0.65,
        r"(?:plates?|registration|kennzeichen)(?:\ (?:number|no\.?))?\s{0,2}(?:is\b|reads\b"
        r"|[:\#])?\s{0,2}([a-z0-9]{2,4}[ -]?[a-z0-9]{2,5})(?!\w)",
        ("plate", "registration", "kennzeichen"),
        check=_has_digits,
        lower=True,
        where="digits",
    ),
    pattern(
        "PHONE_NUMBER",
        0.65,
        r"0(?<![\w.,/-].)[1-9][0-9]{1,4}+\ ?/\ ?[0-9](?:[0-9]|[\ -](?=[0-9])){4,12}+(?!\w)",
        ("/",),
        where="digits",
    ),
    pattern("ES_NIF", 0.8, r"[0-9XYZ](?<![\w-].)[0-9]{7}-?[A-Z](?!\w)", where="words", check=is_spanish_id),
    pattern(
        "IT_FISCAL_CODE",
        0.9,
        r"[A-Z](?<!\w.)[A-Z]{5}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z](?!\w)",
        where="words",
    ),
    pattern("IN_PAN", 0.7, r"[A-Z](?<!\w.)[A-Z]{2}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z](?!\w)", where="words"),
    pattern("ID_NUMBER", 0.55, r"[0-9](?<![\w-].)[0-9]{5}[-+A][0-9]{3}[0-9A-Z](?!\w)", where="words"),
    pattern(
        "ID_NUMBER", 0.5, r"[A-Z0-9](?<![\w./@\#-].)[A-Z0-9]{7,19}+(?![\w@-])", where="words", check=_is_mixed
    ),
    pattern(
        "ID_NUMBER",
        0.55,
        r"[A-Za-z](?<![\w./@-].)[A-Za-z]{0,4}+-[0-9]{6,14}+(?![\w-])",
        ("-",),
        where="words",
    ),
    pattern(
        "ID_NUMBER",
        0.6,
        r"(?:passport|licen[cs]e|policy|account|member(?:ship)?|patient|case|reference|order|ticket|tracking"
        r"|customer|client|invoice|student|employee|staff|badge|serial|booking|confirmation|claim|insurance"
        r"|medical\ record|mrn|tax|vat|registration|record|user|roll)"
        r"(?:\ ?(?:number|no\.?|nr\.?|id|code|\#))?\s{0,2}(?:is\b|:|\#|=)\s{0,2}([a-z0-9][a-z0-9/-]{4,24}+)",
        where="digits",
        check=_has_digits,
        lower=True,
    ),
    pattern(
        "COORDINATES",
        0.7,
        r"[0-9+-](?<![\w.,].)[0-9]{0,3}+\.[0-9]{3,10}+°?\s?[NS]?\s?[,;]\s?[+-]?[0-9]{1,3}+\.[0-9]{3,10}+"
        r"(?:°?\s?[EW]\b)?",
        (".",),
        where="digits",
    ),
    pattern(
        "COORDINATES",
        0.7,
        r"[0-9]{1,3}°\s?[0-9]{1,2}['′]\s?(?:[0-9.]{1,7}[\"″]\s?)?[NSEWO](?!\w)",
        ("°",),
        where="digits",
        flags=re.UNICODE,
    ),
)

_MACHINES: tuple[Pattern, ...] = (
    pattern(
        "IP_ADDRESS",
        0.7,
        r"[0-9a-f:](?<![\w:].)[0-9a-f]{0,4}+:[0-9a-f:]{2,40}+(?!\w)",
        (":",),
        check=_is_public_address,
        lower=True,
        where="words",
    ),
)
