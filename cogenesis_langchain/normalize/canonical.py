"""The canonical form of text, with a map of offsets back to the original. Pure, linear time.

Two spellings of one value must become one string. `canonical` undoes what stands in the letters themselves:
compatibility forms (full width, ligatures), case, accents, strokes, invisible characters. What is kept is
letters and digits in lower case, and a space for whatever else stood there.

`views` gives every form in which a text may be read: as it stands, after each round of decoding (`escapes`),
and each of these once more with look-alikes and letter-like signs (Cyrillic а, @, $) taken for the letters.
They come beside the plain form, because undoing can also hide: the path `C:\\nora` holds `\\n`.

`readable` is the other direction: text as a model was trained to read it, with case and punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from cogenesis_langchain.normalize.escapes import rounds, without_markup
from cogenesis_langchain.normalize.letters import (
    FOLDED,
    KINDS,
    LOOK_ALIKES,
    READABLE,
    has_foreign,
    is_foreign,
    look_alike,
)
from cogenesis_langchain.normalize.mapped import Mapped, plain, respell, rewrite

_ASCII = "".join(map(chr, range(128)))
_ASCII_FOLDED = str.maketrans(_ASCII, "".join(FOLDED[char] for char in _ASCII))
_ASCII_KINDS = str.maketrans(_ASCII, "".join(KINDS[char] for char in _ASCII))
_CODE = re.compile(r"(?:^|[^0-9])(?:00?)?[0-9]{0,3}$")  # at most a country's code, before a number
_CAMEL = re.compile("a(?=A)")
_SIGNS = re.compile("[@$!|+¢£×€\u2100-\u2bff\U0001f100-\U0001f2ff]{1,9}")
_FIRST, _LAST = "@$€£!|+", "@$€"  # signs that a word may begin and end with
_WORD = re.compile(r"[^\W_]+")
_MARK = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARKED, _ACCENTED = re.compile(_MARK), re.compile(f"[^\\W_]{_MARK}+")
_APART = re.compile(r"[ .·_-][^\W\d_][ .·_-][^\W\d_](?![^\W_])")  # in whatever _SPACED matches
_SPACED = re.compile(r"(?<![^\W_])[^\W\d_](?:([ .·_-])[^\W\d_])(?:\1[^\W\d_])+(?![^\W_])")


@dataclass(frozen=True, slots=True)
class Canonical(Mapped):
    """Canonical text; `kinds[i]` says what `text[i]` was (see `letters.Kinds`)."""

    kinds: str = field(repr=False)

    def begins_word(self, at: int, number: bool = False) -> bool:
        """Whether a word begins at `at`; a telephone number also does after the code of its country."""
        if at == 0 or self._cut(at):
            return True
        return number and bool(_CODE.search(self.text, max(at - 6, 0), at))

    def ends_word(self, at: int) -> bool:
        """Whether a word ends before `at`; the s of a plural or a genitive may follow."""
        if at == len(self.kinds) or self._cut(at):
            return True
        plural = self.text[at] == "s" and self.kinds[at - 1] != "0"
        return plural and (at + 1 == len(self.kinds) or self._cut(at + 1))

    def _cut(self, at: int) -> bool:
        """Whether one word may end before `at` and another begin there."""
        before, after = self.kinds[at - 1], self.kinds[at]
        if before in " x" or after in " x" or (before == "0") != (after == "0"):
            return True
        return after == "A" and (before != "A" or self.kinds[at + 1 : at + 2] == "a")


def canonical(text: str | Mapped) -> Canonical:
    """The canonical form of a text, or of a form of one, without decoding escapes."""
    source = plain(text) if isinstance(text, str) else text
    if source.text.isascii():
        text, kinds = source.text.translate(_ASCII_FOLDED), source.text.translate(_ASCII_KINDS)
        return Canonical(text, source.starts, source.ends, kinds)
    folded = respell(source, FOLDED)
    return Canonical(folded.text, folded.starts, folded.ends, "".join(map(KINDS.__getitem__, source.text)))


def views(text: str) -> Iterator[Canonical]:
    """Every form in which a value may be read."""
    for form in rounds(plain(text)):
        yield canonical(form)
        alike = _look_alikes(form)
        if alike is not form:
            yield canonical(alike)


def fold(value: str) -> str:
    """The canonical words of a short string, one space between them, camelCase cut."""
    form = canonical(value)
    if "aA" not in form.kinds:
        return " ".join(form.text.split())
    cuts = [0, *(m.end() for m in _CAMEL.finditer(form.kinds)), len(form)]
    return " ".join(" ".join(form.text[a:b] for a, b in pairwise(cuts)).split())


def squeeze(value: str) -> str:
    """The canonical text without any separator: equal for `Nora Berg`, `nora_berg` and `N o r a B e r g`."""
    return canonical(value).text.replace(" ", "")


def readable(text: str) -> Mapped:
    """`text` as a model was trained to read it; the same text, at little cost, where nothing is disguised.

    Entities, percent and \\u escapes are read, invisible characters dropped, full-width and styled letters
    made plain, accents composed (dropped where they only disguise), look-alikes in Latin words made Latin,
    and letters set apart joined. Case, punctuation and the words of other scripts stay as they are.
    """
    form = without_markup(plain(text))
    if not form.text.isascii():
        form = respell(form, READABLE)
        if _MARKED.search(form.text):
            form = rewrite(form, _ACCENTED, _composed)
        form = _latinised(form)
    return _joined(form)


def _look_alikes(form: Mapped) -> Mapped:
    if not form.text.isascii():
        form = respell(form, LOOK_ALIKES)
    text = _SIGNS.sub(_as_letters, form.text)
    return form if text == form.text else Mapped(text, form.starts, form.ends)


def _as_letters(signs: re.Match[str]) -> str:
    """Signs as the letters they look like, inside a word or where a word may begin or end with them."""
    run, text = signs[0], signs.string
    follows = text[signs.start() - 1 : signs.start()].isalnum()
    leads = text[signs.end() : signs.end() + 1].isalnum()
    if leads and (follows or not run.strip(_FIRST)):
        count = len(run)
    else:
        count = len(run) - len(run.lstrip(_LAST)) if follows else 0
    return "".join(look_alike(sign) or sign for sign in run[:count]) + run[count:]


def _composed(cluster: re.Match[str]) -> str:
    composed = unicodedata.normalize("NFC", cluster[0])
    return composed if len(composed) == 1 else cluster[0][0]


def _latinised(form: Mapped) -> Mapped:
    """Look-alikes made Latin: in words of mixed scripts, and in whole words where all others are Latin."""
    if not has_foreign(form.text):
        return form
    words = [word for word in _WORD.findall(form.text) if any(map(is_foreign, word))]
    latin = {word: "".join(map(LOOK_ALIKES.__getitem__, word)) for word in words}
    pure = [word for word in words if _only_foreign(word)]
    disguised = all(latin[word].isascii() for word in pure)

    def spelt(match: re.Match[str]) -> str:
        word = match[0]
        new = latin.get(word, word)
        return new if new.isascii() and (disguised or not _only_foreign(word)) else word

    return Mapped(_WORD.sub(spelt, form.text), form.starts, form.ends)


def _only_foreign(word: str) -> bool:
    return all(is_foreign(char) for char in word if char.isalpha())


def _joined(form: Mapped) -> Mapped:
    """Letters set apart as words, cut where a capital follows a small letter."""
    text = form.text
    if not _APART.search(text):
        return form
    gaps = {
        i
        for run in _SPACED.finditer(text)
        for i in range(run.start() + 1, run.end(), 2)
        if not (text[i - 1].islower() and text[i + 1].isupper())
    }
    if not gaps:
        return form
    kept = [i for i in range(len(text)) if i not in gaps]
    return Mapped(
        "".join(text[i] for i in kept), [form.starts[i] for i in kept], [form.ends[i] for i in kept]
    )
