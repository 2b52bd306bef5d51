"""Escapes and encodings undone, one round at a time, with the map of offsets kept. Pure, linear time.

Read: HTML entities and tags, percent, quoted-printable, JSON, \\x, octal and \\u{} escapes, Unicode's tag
characters and variation selectors (which spell invisible text), base64 in both alphabets, hexadecimal,
punycode.
Every round makes text shorter, so nested encodings are bounded by the number of rounds.
"""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from cogenesis_langchain.normalize.mapped import Mapped, rewrite

ROUNDS = 3
"""How often text may have been escaped on top of itself."""

# Every pattern begins with a class of characters, which `re` looks for fast, and then looks back at it.
_ENTITY = (
    r"(?<=&)(?:\#[0-9]{1,7};?|\#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)"
    r"|(?<=%)[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*"
    r"|(?<=\\)u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})*"
)
_MARKUP = re.compile(rf"[&%\\](?:{_ENTITY})")
_SELECTORS, _TAGS, _JAMO = "\ufe00-\ufe0f\U000e0100-\U000e01ef", "\U000e0020-\U000e007e", "\u1100-\u11ff"
_ASCII_ESCAPE = (
    rf"{_ENTITY}"
    r"|(?<=\\)(?:u\{[0-9a-fA-F]{1,6}\}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}(?:\\x[0-9a-fA-F]{2})*"
    r"|[0-3][0-7]{2}(?:\\[0-3][0-7]{2})*|[nrtbf\"/]|\\(?:\\\\)*)"
    r"|(?<=<)/?[A-Za-z!][^<>]{0,300}>"
    r"|(?<==)(?:\r?\n|[0-9A-F]{2}(?:=[0-9A-F]{2})*)"
)
_PLAIN_ESCAPE = re.compile(rf"[&%\\<=](?:{_ASCII_ESCAPE})")  # found faster, and all there is in ASCII
_ESCAPE = re.compile(
    rf"[&%\\<={_SELECTORS}{_TAGS}{_JAMO}](?:{_ASCII_ESCAPE}"
    rf"|(?<=[{_SELECTORS}])[{_SELECTORS}]+|(?<=[{_TAGS}])[{_TAGS}]*|(?<=[{_JAMO}])[{_JAMO}]+)"
)
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
# What a word of a text seldom has: a digit or padding, or a capital after its first letter.
_LIKELY = r"(?=[0-9]|[A-Za-z+/_-][a-z+/_-]{0,80}[0-9A-Z=])"
_ENCODED = re.compile(
    r"(?<![A-Za-z0-9+/_=-])(?:" + _LIKELY + "(?:"
    r"[A-Za-z0-9+/_-]{60,}(?:\r?\n[A-Za-z0-9+/]+)+={0,2}"  # as mails wrap it
    r"|(?:[0-9a-fA-F]{2}[ :-]){3,}[0-9a-fA-F]{2}(?![0-9A-Za-z])"
    r"|[A-Za-z0-9+/_-]{4,}={0,2})"
    r"|[c-fC-F][0-9a-fA-F][ :-](?:[0-9a-fA-F]{2}[ :-]){2,}[0-9a-fA-F]{2}(?![0-9A-Za-z]))"  # not Latin
)
_PADDED = re.compile(r"=\r?\n")
_PUNYCODE = re.compile(r"\bxn--([a-z0-9-]{1,60})")
_FEWEST = 4  # characters of base64: three letters
_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2}[ :-]?){3,})")


def rounds(source: Mapped) -> Iterator[Mapped]:
    """`source`, then what decoding makes of it, at most ROUNDS times: escapes, encodings, both."""
    yield source
    yield from _rounds(source)
    if _PADDED.search(source.text):  # padding at the end of a line looks like a soft line break
        encoded = _read(source)
        if encoded is not source:
            yield from _rounds(encoded)


def _rounds(source: Mapped) -> Iterator[Mapped]:
    for _ in range(ROUNDS):
        escape = _PLAIN_ESCAPE if source.text.isascii() else _ESCAPE
        escaped = rewrite(source, escape, _unescaped)
        if escaped is not source:
            yield escaped
            encoded = _read(source)
            if encoded is not source:
                yield encoded
        decoded = _read(escaped)
        if decoded is not escaped:
            yield decoded  # beside the step before, because a word may look encoded
        if decoded is source:
            return
        source = decoded


def without_markup(source: Mapped) -> Mapped:
    """HTML entities, percent and \\u escapes read, as deep as they go; nothing else."""
    for _ in range(ROUNDS):
        decoded = rewrite(source, _MARKUP, _unescaped)
        if decoded is source:
            break
        source = decoded
    return source


def _unescaped(match: re.Match[str]) -> str:
    """What one escape stands for; itself if it stands for nothing."""
    escape = match[0]
    first, second = escape[0], escape[1:2]
    if first == "&":
        return html.unescape(escape)
    if first == "%":
        return _text(unquote_to_bytes(escape))
    if first == "=":
        return _text(bytes.fromhex(escape.replace("=", ""))) if second not in "\r\n" else ""
    if first == "<":
        return ""
    if first != "\\":
        return _invisible(escape)
    if escape.startswith("\\u{"):
        return _char(escape[3:-1])
    if second == "U":
        return _char(escape[2:])
    if second == "u":
        units = b"".join(int(u, 16).to_bytes(2, "little") for u in escape.split("\\u")[1:])
        return units.decode("utf-16-le", errors="replace")
    if second == "\\":
        return escape[::2]
    if second == "x":
        return _text(bytes.fromhex(escape.replace("\\x", "")))
    if second.isdigit():
        return _text(bytes(int(escape[i : i + 3], 8) for i in range(1, len(escape), 4)))
    return _SIMPLE.get(second, second)


def _invisible(run: str) -> str:
    """Text spelt with tag characters or variation selectors; parts of Hangul syllables put together."""
    if run[0] >= "\U000e0100" or (run[0] <= "\ufe0f" and run[0] >= "\ufe00"):
        return _printable(bytes(_selector(char) for char in run)) or run
    if run[0] >= "\U000e0020":
        return "".join(chr(ord(char) - 0xE0000) for char in run)
    return unicodedata.normalize("NFC", run)


def _selector(char: str) -> int:
    return ord(char) - (0xE0100 - 16 if char >= "\U000e0100" else 0xFE00)


def _char(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def _read(source: Mapped) -> Mapped:
    """Encodings read: base64, hexadecimal, punycode."""
    if "xn--" in source.text:
        source = rewrite(source, _PUNYCODE, _label)
    return rewrite(source, _ENCODED, _decoded)


def _label(match: re.Match[str]) -> str:
    """A label of a domain, as people write it."""
    try:
        return match[1].encode().decode("punycode")
    except UnicodeError:
        return match[0]


def _decoded(match: re.Match[str]) -> str:
    """What a token says in base64 or hexadecimal; itself where that is no text."""
    token = match[0]
    if "\n" not in token:
        return _said(token)
    above, _, below = token.rpartition("\n")  # the last line may be a word of the text below
    if whole := _base64(token):
        return whole
    if whole := _base64(above):
        return f"{whole}\n{_said(below)}"
    return "\n".join(map(_said, token.splitlines()))


def _said(token: str) -> str:
    if found := _HEX.fullmatch(token):
        return _printable(bytes.fromhex(re.sub("[ :-]", "", found[1]))) or _by_parts(token, "")
    return _by_parts(token, "/_+-")


def _by_parts(token: str, joints: str) -> str:
    """The token decoded as a whole, else each of its parts, cut at the first of `joints`, then the next."""
    if len(token) < _FEWEST or token.isdigit():
        return token
    if whole := _base64(token):
        return whole
    for i, joint in enumerate(joints):
        if joint in token:
            return joint.join(_by_parts(part, joints[i + 1 :]) for part in token.split(joint))
    return token


def _base64(token: str) -> str:
    """The text behind base64; "" if there is none."""
    body = token.translate(_STANDARD)
    if len(body) < _FEWEST or len(body) % 4 == 1:
        return ""
    try:
        text = _printable(binascii.a2b_base64(body + "=" * (-len(body) % 4)))
    except binascii.Error:
        return ""
    return text if len(body) > _FEWEST or text.isalpha() else ""


def _printable(data: bytes) -> str:
    """UTF-8 text without control characters; "" for any other bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() or not _CONTROL.search(text) else ""


_STANDARD = str.maketrans("-_", "+/", "\r\n=")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _text(data: bytes) -> str:
    """Bytes as the text they most likely are."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
