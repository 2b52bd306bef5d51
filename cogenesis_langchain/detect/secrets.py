"""Secrets and keys: the rules of detect-secrets, and own ones for what those miss or read too slowly. Pure.

detect-secrets looks through source files line by line; here its expressions read any text and give places.
They are loaded when a text first holds a word that could be a key. Left out are the rules that can take
quadratic time (JWT, OpenAI, npm, basic auth, the assignments), one that everyday text makes slow (Artifactory
passwords), and the public IP address: own ones stand for them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from cogenesis_langchain.detect.scanning import Pattern, Text, Where, pattern, scan
from cogenesis_langchain.types import PrivateSpan

_LONG_WORD = 16  # characters; without a word as long no rule for keys runs
_ENTROPY = 3.0  # bits per character from which a mixed word is random; English words lie below

_VENDORS = ("npm_", "dop_v1_", "shpat_", "lin_api_", "pplx-", "gsk_")
_VALUE = r"[\"'`]?\s{0,3}(?:is\b|was\b|:=|=>|[:=])\s{0,3}[\"'`]?"  # what stands between a name and its value


def _has_digit_and_letter(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _no_plain_word(value: str) -> bool:
    """Whether a value can only be a password: `required` and `case-sensitive` can be anything."""
    inner_capital = value[1:] != value[1:].lower() and value != value.upper()
    return inner_capital or any(c.isdigit() or c in "!@#$%^&*_+=" for c in value)


def _is_random(value: str) -> bool:
    """Whether a long word is a random one: letters and digits that alternate, as in no name or path."""
    digits = sum(c.isdigit() for c in value)
    letters = sum(c.isalpha() for c in value)
    if digits < 3 or letters < 4 or _entropy(value) < _ENTROPY:
        return False
    kinds = ["0" if c.isdigit() else "A" if c.isupper() else "a" if c.islower() else "-" for c in value]
    changes = sum(a != b for a, b in pairwise(kinds))
    return changes >= 0.25 * len(value)


def _entropy(value: str) -> float:
    """Shannon's, in bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


KEYS: tuple[Pattern, ...] = (
    pattern(
        "API_KEY", 0.95, r"[spr]k(?<!\w..)[-_](?:[a-z]{2,10}[-_]){0,3}[A-Za-z0-9_-]{16,200}+", ("k-", "k_")
    ),
    pattern(
        "API_KEY", 0.95, r"A(?:GPA|IDA|ROA|NPA)(?<!\w....)[A-Z0-9]{16}\b", ("agpa", "aida", "aroa", "anpa")
    ),
    pattern(
        "API_KEY", 0.9, r"AP[0-9A-F](?<!\w...)[A-Za-z0-9]{8,72}+(?![\w-])", check=_is_random, where="words"
    ),
    pattern("API_KEY", 0.95, r"github_pat_[A-Za-z0-9_]{30,255}+", ("github_pat_",)),
    pattern("API_KEY", 0.95, r"xox[abeprs]-[A-Za-z0-9-]{10,250}+", ("xox",)),
    pattern("API_KEY", 0.95, r"AIza[A-Za-z0-9_-]{35}", ("aiza",)),
    pattern("API_KEY", 0.95, r"ya29\.[A-Za-z0-9_-]{20,400}+", ("ya29.",)),
    pattern("API_KEY", 0.95, r"hf_(?<!\w...)[A-Za-z0-9]{30,60}+", ("hf_",)),
    pattern("API_KEY", 0.95, r"(?:npm|dop_v1|shpat|lin_api|pplx|gsk)[_-][A-Za-z0-9]{30,80}+", _VENDORS),
    pattern(
        "TOKEN",
        0.95,
        r"eyJ(?<!\w...)[A-Za-z0-9_-]{8,2000}+\.[A-Za-z0-9_-]{8,4000}+(?:\.[A-Za-z0-9_-]{0,2000}+)?",
        ("eyj",),
    ),
    pattern("TOKEN", 0.9, r"bearer\s{1,3}([A-Za-z0-9._~+/-]{16,2000}+=*+)", ("bearer",), lower=True),
    pattern(
        "TOKEN",
        0.55,
        r"[0-9a-f](?<![\w-].)[0-9a-f]{15,127}+(?![\w-])",
        check=_is_random,
        lower=True,
        where="words",
    ),
    pattern(
        "TOKEN",
        0.55,
        r"[A-Za-z0-9](?<![\w./+-].)[A-Za-z0-9_+-]{19,400}+={0,2}+(?![\w/+-])",
        check=_is_random,
        where="words",
    ),
)
"""Words that are keys by their own form."""

SECRETS: tuple[Pattern, ...] = (
    pattern(
        "PRIVATE_KEY",
        1.0,
        r"-----begin\ [a-z0-9 ]{0,30}private\ key(?:\ block)?-----"
        r"[^-]{0,20000}+(?:-----end\ [a-z0-9 ]{0,50}-----)?",
        ("private key",),
        lower=True,
    ),
    pattern("PRIVATE_KEY", 1.0, r"putty-user-key-file-[0-9][^\0]{0,4000}", ("putty-user-key",), lower=True),
    pattern(
        "API_KEY",
        0.85,
        r"(?:key|token|secret|credential)(?:(?<![a-z]key)(?<![a-z]token)(?<![a-z]secret)|(?<=apikey)"
        r"|(?<=secretkey)|(?<=accesskey)|(?<=privatekey)|(?<=authtoken)|(?<=accesstoken)"
        r"|(?<=clientsecret))s?(?:[ _-]?(?:id|value|key|string))?(?:\ for\ \w{1,20})?"
        + _VALUE
        + r"([A-Za-z0-9_./+!@\#$%^&*~-]{8,200}+=*+)(?<![.!?])",
        ("key", "token", "secret", "credential"),
        check=_has_digit_and_letter,
        lower=True,
    ),
    pattern(
        "PASSWORD",
        0.85,
        r"(?:password|passwd|passphrase|passcode|passwort|kennwort|mot\ de\ passe|contraseña|pwd)"
        r"[\"'`]?\s{0,3}(?::=|=>|[:=])\s{0,3}[\"'`]?([^\s\"'`,;]{4,128})(?<![.?)])",
        ("pass", "pwd", "kennwort", "contrase"),
        lower=True,
    ),
    pattern(  # in prose only what no plain word looks like: "the password is required" is no leak
        "PASSWORD",
        0.8,
        r"(?:password|passphrase|passcode|passwort|kennwort|mot\ de\ passe|contraseña)"
        r"(?:\ (?:for|to|of)\ (?:\S{1,20}\ ){1,3})?\s(?:is|was|ist|est|es):?\s[\"'`]?"
        r"([^\s\"'`,;]{4,128})(?<![.?)!])",
        ("pass", "kennwort", "contrase"),
        check=_no_plain_word,
        lower=True,
    ),
    pattern(
        "PASSWORD",
        0.85,
        r"(?<![a-z])(?:pin|otp|cvv|cvc|passcode|(?:access|door|gate|alarm|security|verification)\ code)"
        r"(?:\ (?:code|number))?\s{0,2}(?:is\b|was\b|[:=]|\b)\s{0,2}([0-9]{3,8})\b",
        ("pin ", "pin:", "pin=", "otp", "cvv", "cvc", "passcode", " code"),
        lower=True,
    ),
    pattern("PASSWORD", 0.9, r"://[^\s:/@]{1,64}+:([^\s:/@]{1,128}+)@", ("://",)),
    pattern(
        "PASSWORD",
        0.9,
        r"(?:seed|recovery|mnemonic|secret)(?:\ (?:phrase|words))?\s?(?:is|are|[:=])\s{0,3}[\"'`]?"
        r"((?:[a-z]{3,8}\ ){11,23}[a-z]{3,8})\b",
        ("seed", "recovery", "mnemonic", "secret"),
        lower=True,
    ),
)
"""Values that are secret by what is said of them."""


def find(text: Text) -> Iterator[PrivateSpan]:
    """Secrets and keys in `text`, in no order; spans may overlap."""
    yield from scan(SECRETS, text)
    if text.longest >= _LONG_WORD:
        yield from scan(KEYS, text)
        yield from scan(_library(), text)


@cache
def _library() -> tuple[Pattern, ...]:
    """The rules of detect-secrets as patterns: what must stand in the text for each is told by hand."""
    from detect_secrets.plugins import (
        artifactory,
        aws,
        azure_storage_key,
        discord,
        github_token,
        gitlab_token,
        mailchimp,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    rules: tuple[tuple[Any, tuple[str, ...], Where], ...] = (
        (artifactory.ArtifactoryDetector.denylist[:1], ("akc",), "text"),
        (aws.AWSKeyDetector.denylist[:1], ("a3t", "abia", "acca", "akia", "asia"), "text"),
        (aws.AWSKeyDetector.denylist[1:], ("aws",), "text"),
        (azure_storage_key.AzureStorageKeyDetector.denylist, ("accountkey=",), "text"),
        (discord.DiscordBotTokenDetector.denylist, (".",), "words"),
        (github_token.GitHubTokenDetector.denylist, ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "words"),
        (gitlab_token.GitLabTokenDetector.denylist, ("gl", "gr1348941"), "words"),
        (mailchimp.MailchimpDetector.denylist, ("-us",), "words"),
        (pypi_token.PypiTokenDetector.denylist, ("pypi-",), "words"),
        (sendgrid.SendGridDetector.denylist, ("sg.",), "words"),
        (slack.SlackDetector.denylist, ("xox", "hooks.slack.com"), "text"),
        (square_oauth.SquareOAuthDetector.denylist, ("sq0csp-",), "words"),
        (stripe.StripeDetector.denylist, ("k_live_",), "words"),
        (telegram_token.TelegramBotTokenDetector.denylist, (":",), "words"),
        (twilio.TwilioKeyDetector.denylist, ("ac", "sk"), "words"),
    )
    return tuple(
        Pattern("API_KEY", 0.9, re.compile(f"({rule.pattern})", rule.flags), hints, where=where)
        for group, hints, where in rules
        for rule in group
    )
