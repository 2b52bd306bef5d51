"""What single characters stand for: folded for comparing, readable for a model, and what they look like.

Three tables that fill themselves as characters are met. The look-alikes are Unicode's own table of
confusables (UTS 39), read from the package `confusable_homoglyphs` when the first foreign letter is met.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")  # though not of the category Cf
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
# Latin letters that do not decompose: with a stroke, dotless, small capitals, turned.
_LATIN = re.compile(
    r"LATIN (SMALL|CAPITAL) (?:LETTER|LIGATURE) (?:DOTLESS |TURNED |REVERSED )?([A-Z]{1,2})(?: WITH .+)?"
    r"|LATIN LETTER (SMALL) CAPITAL ([A-Z])"
)
_LATIN_NAMED = {"ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ß": "ss", "ẞ": "Ss"}
_BOXED = re.compile(
    r"(?:REGIONAL INDICATOR SYMBOL|NEGATIVE (?:SQUARED|CIRCLED) LATIN CAPITAL|SQUARED LATIN CAPITAL)"
    r" LETTER ([A-Z])"
)
# What is often used for a Latin letter and is not in the table, which is strict about shapes.
_ALSO = dict(zip("пПяЯиИшШωΩηбελ", "nNrRuNwWwOnbel", strict=True))
_PUNCTUATION = {"@": "a", "$": "s", "!": "i", "|": "l", "+": "t", "€": "e", "£": "l", "¢": "c"}
DIGITS = dict(zip("0134578926", "oleastbgzg", strict=True))
"""Digits and the letters that they are written for."""


class Folded(dict[str, str]):
    """Character -> letters without case and accents, ASCII digits, " " for a separator, "" if dropped."""

    def __missing__(self, char: str) -> str:
        found = self[char] = _fold(char)[0]
        return found


class Kinds(dict[str, str]):
    """Character -> its kind, once for each letter that it folds to.

    "A" upper case, "a" lower case, "o" a letter without case, "x" of a script written without spaces, "0" a
    digit, " " a separator, "" dropped.
    """

    def __missing__(self, char: str) -> str:
        letters, kind = _fold(char)
        found = self[char] = kind * len(letters)
        return found


class Readable(dict[str, str]):
    """Character -> itself as a model was trained to read it: ASCII for full width and styled letters."""

    def __missing__(self, char: str) -> str:
        found = self[char] = self._read(char)
        return found

    @staticmethod
    def _read(char: str) -> str:
        if char.isascii():
            return char
        category = unicodedata.category(char)
        if category == "Cf" or char in _INVISIBLE or _selects(char):
            return ""
        if category[0] == "Z":
            return " " if category == "Zs" else "\n"
        if category[0] in "LN" or _enclosed(char) or "\uff00" <= char <= "\uffef":
            normal = unicodedata.normalize("NFKC", char)
            return normal if normal.isalnum() or len(normal) == 1 else char
        return char


class LookAlikes(dict[str, str]):
    """Character -> the Latin letter or digit that it is easily taken for, its case kept; else itself."""

    def __missing__(self, char: str) -> str:
        found = self[char] = char if char.isascii() else look_alike(char) or char
        return found


FOLDED = Folded()
KINDS = Kinds()
READABLE = Readable()
LOOK_ALIKES = LookAlikes()


def look_alike(char: str) -> str:
    """The ASCII letter or digit that `char` is easily taken for; "" for none. Case is kept."""
    if char in _PUNCTUATION:
        return _PUNCTUATION[char]
    if char.isascii() or _UNSPACED.match(char):
        return ""
    if char in _ALSO:
        return _ALSO[char]
    if boxed := _BOXED.fullmatch(unicodedata.name(char, "")):
        return boxed[1]
    if len(letter := _latin(char)) == 1:
        return letter
    table = _confusables()
    if char in table:
        found = table[char]
    else:  # the table has few lower case letters where a small capital would do
        found = table.get(char.upper(), "").lower()
    if found == "l" and char.isupper():
        return "I"  # the table takes both for a stroke
    return found


def written_for(found: str, own: str) -> bool:
    """Whether `found`, equal in its skeleton, is `own` with digits for letters, or o and l for digits."""
    if len(own) < 3:
        return False
    same = guessed = 0
    for char, letter in zip(found, own, strict=True):
        if char == letter:
            same += 1
        elif letter.isdigit():
            guessed += 1
            if char.isdigit():
                return False
        elif not char.isdigit() and len(own) < 5:
            return False  # i for l
    return (same > 0 or len(own) > 3) and 2 * guessed <= sum(char.isdigit() for char in own)


@cache
def is_foreign(char: str) -> bool:
    """Whether this is a letter, but none of an alphabet that Latin words are written in."""
    if char.isascii() or not char.isalpha():
        return False
    base = unicodedata.normalize("NFKD", char)[0]
    if not unicodedata.name(base, "").startswith(("LATIN SMALL LETTER", "LATIN CAPITAL LETTER")):
        return True
    return "\u0250" <= base < "\u1e00" or base >= "\u2c60"  # phonetic and scholarly letters


def has_foreign(text: str) -> bool:
    """Whether `text` holds a letter that is not Latin."""
    return not text.isascii() and any(map(is_foreign, set(text)))


def _fold(char: str) -> tuple[str, str]:
    """What a character folds to, and its kind."""
    category = unicodedata.category(char)
    if category[0] == "M" or category == "Cf" or char in _INVISIBLE:
        return "", ""
    if "\uac00" <= char <= "\ud7a3":  # stays whole: its parts would match across syllables
        return char, "x"
    if category == "Nd":
        return str(unicodedata.decimal(char)), "0"
    if category[0] not in "LN" and not _enclosed(char):
        return " ", " "
    lower = char.lower()  # because names differ: Ɖ is an "African D", ɖ a "D with tail"
    base = (len(lower) == 1 and _latin(lower)) or unicodedata.normalize("NFKD", char)
    letters = "".join(c for c in base.casefold() if c.isalnum())
    if not letters:
        return " ", " "
    if letters.isdigit():
        return letters, "0"
    if _UNSPACED.match(letters):
        return letters, "x"
    return letters, "A" if char.isupper() or category == "Lt" else "a" if char.islower() else "o"


@cache
def _latin(char: str) -> str:
    """The ASCII letters of a Latin letter that does not decompose, case kept; "" for any other character."""
    if char in _LATIN_NAMED:
        return _LATIN_NAMED[char]
    if char < "\u00c0" or unicodedata.decomposition(char):
        return ""
    match = _LATIN.fullmatch(unicodedata.name(char, ""))
    if match is None:
        return ""
    letters = match[2] or match[4]
    return letters if match[1] == "CAPITAL" else letters.lower()


def _enclosed(char: str) -> bool:
    return "\u2460" <= char <= "\u24ff" or "\U0001f100" <= char <= "\U0001f1ac"


def _selects(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


@cache
def _confusables() -> dict[str, str]:
    """Non-ASCII character -> the ASCII letter or digit it is confusable with."""
    from confusable_homoglyphs.confusables import confusables_data

    table: dict[str, str] = {}
    for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789":
        for entry in confusables_data.get(letter, ()):
            other = entry["c"].strip("\u200e")
            if len(other) == 1 and not other.isascii():
                table.setdefault(other, letter)
    return table
