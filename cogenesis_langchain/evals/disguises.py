"""The spellings in which a private value turns up in real text, each as a function of the value. Pure.

Every one of them can be undone by whoever receives it. `random` makes the same value come out differently
from case to case and the same from run to run.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

Disguise = Callable[[str, random.Random], str]

_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
_LOOKALIKE = dict(zip("aceopxyisjABCEHIKMOPTXYZ", "асеорхуіѕјАВСЕНІКМОРТХҮΖ", strict=True))
_LEET = dict(zip("aeiostAEIOST", "431057431057", strict=True))
_MARKS = "\u0301\u0308\u0323\u0332\u0336"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"


def _words(value: str) -> list[str]:
    return re.findall(r"[^\W_]+", value)


def _letters_replaced(value: str, table: dict[str, str]) -> str:
    return "".join(table.get(letter, letter) for letter in value)


def _between(value: str, choices: str, rng: random.Random) -> str:
    """One of `choices` after every letter or digit but the last."""
    return "".join(c + (rng.choice(choices) if c.isalnum() else "") for c in value[:-1]) + value[-1:]


def _newline(value: str, rng: random.Random) -> str:
    """Broken over two lines: at a space, else in the middle."""
    spaces = [i for i, c in enumerate(value) if c == " "]
    if spaces:
        at = rng.choice(spaces)
        return f"{value[:at]}\n{value[at + 1 :]}"
    at = rng.randrange(2, max(len(value) - 1, 3))
    return f"{value[:at]}\n{value[at:]}"


def _entities(value: str, rng: random.Random) -> str:
    forms = ("&#{};".format, "&#x{:x};".format)
    return "".join(rng.choice(forms)(ord(c)) if c.isalnum() else c for c in value)


def _escaped(value: str, rng: random.Random) -> str:
    form = rng.choice(("\\u{:04x}", "\\u{:04X}", "\\x{:02x}"))
    return "".join(form.format(ord(c)) if ord(c) < 0x100 else c for c in value)


def _base64(value: str, rng: random.Random) -> str:
    encode = rng.choice((base64.b64encode, base64.urlsafe_b64encode))
    return encode(value.encode()).decode()


def _camel(value: str) -> str:
    first, *rest = _words(value) or [value]
    return first.lower() + "".join(word[:1].upper() + word[1:] for word in rest)


def _file_name(value: str, rng: random.Random) -> str:
    joined = rng.choice(("_", "-", "")).join(_words(value))
    folder = rng.choice(("C:\\scans\\", "/home/me/", "photos/"))
    return folder + rng.choice((f"{joined}_2024.pdf", f"scan-{joined}.jpg", f"{joined}(1).docx"))


def _url(value: str, rng: random.Random) -> str:
    path = quote(rng.choice(("-", "_", "%20")).join(_words(value)), safe="%")
    return rng.choice(
        (
            f"https://files.example.net/s?q={quote_plus(value)}&page=2",
            f"https://example.net/people/{path}",
            f"http://example.net/#{quote(value)}",
        )
    )


def _in_words(value: str, least: int, change: Callable[[str], str]) -> str:
    """The value with every word of `least` letters and more changed."""
    return re.sub(rf"[^\W_]{{{least},}}", lambda word: change(word[0]), value)


def _wrapped(value: str, _: random.Random) -> str:
    """Hyphenated at the end of a line, as quoted in an answer to a mail."""
    return _in_words(value, 5, lambda word: f"{word[: len(word) // 2]}-\n> {word[len(word) // 2 :]}")


def _quoted_printable(value: str, _: random.Random) -> str:
    """As mail programs store it, with soft line breaks."""
    broken = _in_words(value, 4, lambda word: f"{word[: len(word) // 2]}=\n{word[len(word) // 2 :]}")
    return broken.replace(" ", "=20")


def _emphasised(value: str, rng: random.Random) -> str:
    """The first letter of every word in bold or underlined, by Markdown or HTML."""
    before, after = rng.choice((("**", "**"), ("<b>", "</b>"), ("*", "*"), ("<u>", "</u>")))
    return _in_words(value, 3, lambda word: before + word[0] + after + word[1:])


DISGUISES: dict[str, Disguise] = {
    "as it is": lambda v, _: v,
    "lower": lambda v, _: v.lower(),
    "UPPER": lambda v, _: v.upper(),
    "zero-width": lambda v, rng: _between(v, _INVISIBLE, rng),
    "soft hyphen": lambda v, rng: _between(v, "\u00ad", rng),
    "full-width": lambda v, _: v.translate(_WIDE),
    "confusables": lambda v, _: _letters_replaced(v, _LOOKALIKE),
    "combining marks": lambda v, rng: _between(v, _MARKS, rng),
    "spaced letters": lambda v, _: " ".join(v),
    "leet": lambda v, _: _letters_replaced(v, _LEET),
    "newline split": _newline,
    "HTML entities": _entities,
    "percent": lambda v, _: "".join(f"%{byte:02X}" for byte in v.encode()),
    "JSON escapes": _escaped,
    "base64": _base64,
    "snake_case": lambda v, _: "_".join(_words(v)).lower(),
    "camelCase": lambda v, _: _camel(v),
    "file name": _file_name,
    "URL": _url,
    "JSON argument": lambda v, _: json.dumps({"recipient": {"name": v}, "count": 2}),
    "wrapped quote": _wrapped,
    "quoted-printable": _quoted_printable,
    "emphasised": _emphasised,
}
"""Name of each spelling -> function of (value, random)."""

HELD_BACK = ("wrapped quote", "quoted-printable", "emphasised")
"""Chosen by somebody else than who wrote the normaliser, and told to nobody before it was measured."""


def disguised(value: str, name: str, seed: str = "") -> str:
    """`value` in the spelling `name`; the same for the same `seed`. A `KeyError` for an unknown name."""
    return DISGUISES[name](value, random.Random(f"{seed}|{name}|{value}"))  # noqa: S311 - no secret is made
