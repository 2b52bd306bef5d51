"""Our own patterns for what Presidio does not look for: secrets, handles, paths, money. Pure.

Every repetition is bounded and no two neighbouring ones accept the same character, so matching takes
linear time. Group 1, where there is one, is the private part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cogenesis_langchain.types import PrivateSpan

SOURCE = "pattern"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to look for. `hint`: a lower-case string without which it cannot match ("" for none)."""

    type: str
    score: float
    expression: re.Pattern[str]
    hint: str = ""


def _p(type: str, score: float, expression: str, hint: str = "", flags: re.RegexFlag = re.ASCII) -> Pattern:
    return Pattern(type, score, re.compile(expression, flags | re.VERBOSE), hint)


_I = re.IGNORECASE

PATTERNS: tuple[Pattern, ...] = (
    _p(
        "PRIVATE_KEY",
        1.0,
        r"-----BEGIN\ [A-Z0-9 ]{0,30}PRIVATE\ KEY(?:\ BLOCK)?-----"
        r"[^-]{0,20000}(?:-----END\ [A-Z0-9 ]{0,50}-----)?",
        "private key",
    ),
    _p("API_KEY", 0.95, r"\b(?:sk|pk|rk)[-_](?:[a-z]{2,10}[-_]){0,3}[A-Za-z0-9_-]{16,200}", "k"),
    _p("API_KEY", 0.95, r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b", "a"),
    _p("API_KEY", 0.95, r"\bgh[pousr]_[A-Za-z0-9]{30,255}\b", "gh"),
    _p("API_KEY", 0.95, r"\bgithub_pat_[A-Za-z0-9_]{30,255}\b", "github_pat_"),
    _p("API_KEY", 0.95, r"\bglpat-[A-Za-z0-9_-]{20,64}\b", "glpat-"),
    _p("API_KEY", 0.95, r"\bxox[abeprs]-[A-Za-z0-9-]{10,250}\b", "xox"),
    _p("API_KEY", 0.95, r"\bAIza[A-Za-z0-9_-]{35}", "aiza"),
    _p("API_KEY", 0.95, r"\bya29\.[A-Za-z0-9_-]{20,400}", "ya29."),
    _p("API_KEY", 0.95, r"\bhf_[A-Za-z0-9]{30,60}\b", "hf_"),
    _p("API_KEY", 0.95, r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", "sg."),
    _p("TOKEN", 0.95, r"\beyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000}", "eyj"),
    _p("TOKEN", 0.9, r"\bbearer\s{1,3}([A-Za-z0-9._~+/-]{16,2000}=*)", "bearer", _I),
    _p(
        "API_KEY",
        0.85,
        r"\b(?:api|access|secret|auth|client)[ _-]?(?:key|token|secret)\b[\"']?\s{0,3}(?:is\b|[:=])\s{0,3}"
        r"[\"']?(?=[A-Za-z_./+-]{0,100}[0-9])([A-Za-z0-9_./+-]{8,200}=*)",
        "",
        _I,
    ),
    _p(
        "PASSWORD",
        0.85,
        r"\b(?:password|passwd|passphrase|passcode)[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\s\"',;]{4,128})(?<![.?)])",
        "pass",
        _I,
    ),
    _p(  # in prose only what no plain word looks like: "the password is required" is no leak
        "PASSWORD",
        0.8,
        r"\b(?:password|passphrase|passcode)\s(?:is|was):?\s[\"']?(?=[A-Za-z]{0,100}[0-9!@\#$%^&*_+])"
        r"([^\s\"',;]{4,128})(?<![.?)])",
        "pass",
        _I,
    ),
    _p("PASSWORD", 0.85, r"\bpwd[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\s\"',;]{4,128})(?<![.?)])", "pwd", _I),
    _p("PASSWORD", 0.85, r"\bpin(?:\ code)?\s{0,2}(?:is\b|[:=])\s{0,2}([0-9]{4,8})\b", "pin", _I),
    _p("PASSWORD", 0.9, r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,64}:([^\s:/@]{1,128})@", "://", _I),
    _p("CRYPTO", 0.9, r"\b0x[0-9a-fA-F]{40}\b", "0x"),
    _p(
        "EMAIL_ADDRESS",
        0.8,
        r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\b",
        "@",
        re.UNICODE,
    ),
    _p(
        "EMAIL_ADDRESS",
        0.7,
        r"\b[\w.+-]{1,64}\s?(?:\(at\)|\[at\]|\{at\}|%40|@)\s?[\w-]{1,63}"
        r"(?:(?:\s?(?:\(dot\)|\[dot\]|\{dot\}|\ dot\ )\s?|\.)[\w-]{1,63}){1,4}\b",
        "",
        _I,
    ),
    _p(
        "EMAIL_ADDRESS",
        0.6,
        r"\b[\w.+-]{1,64}\ at\ [\w-]{1,63}(?:\ dot\ [\w-]{1,63}){1,4}\b",
        " dot ",
        _I,
    ),
    _p("HANDLE", 0.6, r"(?<![\w@./-])@(?!media\b|import\b)([A-Za-z_][A-Za-z0-9_.]{2,30})\b(?!@)", "@"),
    _p(
        "PHONE_NUMBER",
        0.6,
        r"(?<![\w+])\+[1-9][0-9]{0,2}[\s.-]?(?:\(?[0-9]{1,4}\)?[\s.-]?){2,5}[0-9]{2,4}\b",
        "+",
    ),
    _p("PHONE_NUMBER", 0.55, r"(?<![\w(])\(?[0-9]{3}\)?[\s.-][0-9]{3}[\s.-][0-9]{4}\b"),
    _p("US_SSN", 0.6, r"\b(?!000|666|9)[0-9]{3}[-\u2010-\u2015][0-9]{2}[-\u2010-\u2015][0-9]{4}\b"),
    _p(
        "COORDINATES",
        0.7,
        r"(?<![\w.])[+-]?[0-9]{1,2}\.[0-9]{3,10}\s?[,;]\s?[+-]?[0-9]{1,3}\.[0-9]{3,10}\b",
        ".",
    ),
    _p("VIN", 0.6, r"\b(?=[A-HJ-NPR-Z]{0,16}[0-9])(?=[0-9]{0,16}[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{11}[0-9]{6}\b"),
    _p("FILE_PATH", 0.6, r"(?:/home/|/Users/|[A-Za-z]:\\Users\\)([A-Za-z0-9._-]{2,32})", "", _I),
    _p(
        "LOCATION",
        0.6,
        r"\b[0-9]{1,5}[A-Za-z]?\ (?:[A-Z][A-Za-z'-]{1,20}\ ){1,3}"
        r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace"
        r"|Way|Row|Close|Crescent|Hill|Parkway|Pkwy|Highway|Hwy)\b"
        r"(?:,?\ (?:Apt|Apartment|Suite|Unit|Flat|\#)\.?\ ?[A-Z0-9-]{1,6}\b)?",
    ),
    _p(
        "LOCATION",
        0.6,
        r"\b[A-ZÄÖÜ][a-zäöüß-]{1,25}(?:straße|strasse|str\.|gasse|weg|platz|allee)\ [0-9]{1,4}[a-z]?\b",
        "",
        re.UNICODE,
    ),
    _p(
        "SALARY",
        0.55,
        r"\b(?:salary|income|wage|pay|earns?|earning|paid)\b[^.\n0-9$€£]{0,30}"
        r"([$€£]\s?[0-9][0-9.,]{2,12}k?|[0-9][0-9.,]{2,12}k?\s?(?:usd|eur|gbp|dollars|euros|pounds)?)\b",
        "",
        _I,
    ),
)


def find(text: str, *, message: int = 0) -> Iterator[PrivateSpan]:
    """What the patterns find in `text`, in no order; spans may overlap."""
    lower = text.lower()
    for pattern in PATTERNS:
        if pattern.hint and pattern.hint not in lower:
            continue
        for match in pattern.expression.finditer(text):
            start, end = match.span(1 if pattern.expression.groups else 0)
            yield PrivateSpan(pattern.type, start, end, pattern.score, SOURCE, message)
