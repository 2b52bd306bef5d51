"""What somebody who wants to can read in recorded bytes: every decoding, and decodings of decodings.

The judge of the leak tests and of `cogenesis eval evasion`. It shares no code with `normalize`, which it
judges: a disguise that both overlook is found by neither, so this one errs towards reading too much.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import quopri
import re
import unicodedata
from collections.abc import Iterable, Iterator
from email.header import decode_header
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

DEPTH = 4
"""Decodings within decodings that are undone."""
_MOST = 400  # readings of one text; a body of ordinary size has a few dozen

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){4,}")
_ESCAPE = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})|\\([nrt\"'/\\])")
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_TAG = re.compile(r"<[^<>]{0,200}>")
_SIGNS = re.compile(r"[\W_]+")
_QUOTE_MARKS = re.compile(r"\n[>|#* \t]+")

# Letters of other scripts that look like Latin ones, by eye. Fullwidth and mathematical forms, ligatures
# and accents are undone by Unicode's own decompositions.
_LOOKALIKES = {
    ord(other): latin
    for latin, others in {
        "a": "аΑαАɑᴀꭺᎪ", "b": "ВвΒβЬьʙᏴ", "c": "сСᴄϲⅽᏟ", "d": "ԁᴅⅾꓒ", "e": "еЕёЁΕεᴇꬲᎬ", "f": "ꜰƒϝ",
        "g": "ɡɢԌց", "h": "һнНΗʜհᎻ", "i": "іІїЇιΙɩɪӏӀ|", "j": "јЈᴊյᎫ", "k": "кКκΚᴋᏦ", "l": "ʟⅼᏞ",
        "m": "мМΜᴍⅿᎷ", "n": "ոΝɴп", "o": "оОοΟσᴏօՕ", "p": "рРρΡᴘᏢ", "q": "ԛզգǫ", "r": "гʀꭇᎡ", "s": "ѕЅꜱՏᏚ",
        "t": "тТτΤᴛᎢ", "u": "υսᴜՍ", "v": "νѵᴠⅴ", "w": "ԝԜωᴡᎳ", "x": "хХχΧⅹ", "y": "уУγΥүʏᎩ", "z": "Ζᴢ",
    }.items()
    for other in others
}  # fmt: skip
_LEET = str.maketrans("013457@$!|l", "oieastasiii")


def readings(data: bytes | str) -> tuple[str, ...]:
    """`data` as text, and all that decoding it yields: JSON, escapes, entities, base64, hex and more."""
    return _readings(data.decode("utf-8", "replace") if isinstance(data, bytes) else data)


@lru_cache(maxsize=256)
def _readings(text: str) -> tuple[str, ...]:
    found, new = {text: None}, [text]
    for _ in range(DEPTH):
        new = [read for old in new for read in _decoded(old) if read and read not in found]
        new = list(dict.fromkeys(new))[: _MOST - len(found)]
        found |= dict.fromkeys(new)
    return tuple(found)


def spelled(data: bytes | str, values: Iterable[str]) -> list[str]:
    """Those of `values` that some reading of `data` spells, by letters and what looks like them alone."""
    texts = {flats(text) for text in readings(data)}
    return [value for value in values if any(_holds(text, flats(value)) for text in texts)]


def _holds(text: tuple[str, str], wanted: tuple[str, str]) -> bool:
    return any(part and part in whole for whole, part in zip(text, wanted, strict=True))


@lru_cache(maxsize=4096)
def flats(text: str) -> tuple[str, str]:
    """Letters and digits alone, without accents, case and look-alikes; and again with leet undone."""
    # By eye first: a small capital has no decomposition, or (o with a hook) the wrong one.
    seen = text.translate(_LOOKALIKES).casefold().translate(_LOOKALIKES)
    plain = unicodedata.normalize("NFKD", seen).casefold().translate(_LOOKALIKES)
    return _alone(plain), _alone(plain.translate(_LEET))


def _alone(text: str) -> str:
    return _SIGNS.sub("", text)


def _decoded(text: str) -> Iterator[str]:
    yield from _json(text)
    yield _ESCAPE.sub(_unescaped, text)
    yield html.unescape(text)
    yield unquote_plus(text)
    yield _TAG.sub("", text)
    yield _QUOTE_MARKS.sub("", text)
    if "=" in text:
        yield quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    if "=?" in text:
        yield _mail_header(text)
    for token in _BASE64.findall(text):
        yield from _base64(token)
    for token in _HEX.findall(text):
        yield _readable(bytes.fromhex(re.sub("[ :]", "", token)))


def _json(text: str) -> Iterator[str]:
    """All strings of a JSON document: each, all joined, and joined with those of the same key (contents)."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return
    try:
        strings = list(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        return
    yield "".join(string for _, string in strings)
    for key in dict.fromkeys(key for key, _ in strings):
        yield "".join(string for other, string in strings if other == key)
    yield from (string for _, string in strings)


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(the key it stands under, string) in order; keys themselves stand under ""."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield "", name
            yield from _strings(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)


def _unescaped(match: re.Match[str]) -> str:
    if code := match[1] or match[2]:
        number = int(code, 16)
        return chr(number) if number < 0x110000 else ""
    return _PLAIN_ESCAPES.get(match[3], match[3])


def _base64(token: str) -> Iterator[str]:
    """Decoded from each of the four places where a cut blob may begin."""
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    for cut in range(4):
        piece = body[cut:]
        piece = piece[: len(piece) - (len(piece) % 4 == 1)]
        try:
            yield _readable(base64.b64decode(piece + "=" * (-len(piece) % 4)))
        except (binascii.Error, ValueError):
            continue


def _readable(data: bytes) -> str:
    """The bytes as text where most of them are one; else nothing."""
    text = data.decode("utf-8", "ignore")
    good = sum(len(c.encode()) for c in text if c.isprintable() or c.isspace())
    return text if good >= 0.9 * len(data) else ""


def _mail_header(text: str) -> str:
    try:
        pieces = decode_header(text)
    except (ValueError, LookupError):
        return ""
    return "".join(p if isinstance(p, str) else p.decode(e or "utf-8", "replace") for p, e in pieces)
