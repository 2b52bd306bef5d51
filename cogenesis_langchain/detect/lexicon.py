"""Plain English words, and the words of a text that are none: coined names, companies, places, code names.

The lexicon is WordNet's, as it lies in the pipeline that detection needs anyway, with a shipped list of newer
words. Names that are words as well (Rose, Apple) are not found by this; Rampart and spaCy look for those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import accumulate
from pathlib import Path

from cogenesis_langchain import models
from cogenesis_langchain.errors import ModelCorruptError
from cogenesis_langchain.known.matcher import common_words
from cogenesis_langchain.types import PrivateSpan

SOURCE = "lexicon"
TYPE = "RARE_WORD"
CAPITAL_SCORE = 0.5
SMALL_SCORE = 0.4
"""Below what stops a request by default: a word in lower case may as well be a slip of the pen."""

_WORDS_FILE = Path("lemmatizer") / "lookups" / "lookups.bin"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BODY = re.compile(r"[\u0300-\u036fA-Za-z\u00c0-\u024f\u1e00-\u1eff0-9'’-]+")  # of Latin letters
_QUANTITY = re.compile(r"[0-9][0-9'’.,-]*[A-Za-z]{0,3}", re.ASCII)  # 12kg, 3rd, 90s, 500mb
_ENDINGS = (
    ("s", ""), ("es", ""), ("ies", "y"), ("ier", "y"), ("iest", "y"), ("ily", "y"), ("ed", ""), ("ed", "e"),
    ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"), ("est", ""), ("est", "e"), ("ly", ""), ("ness", ""),
    ("able", ""), ("ization", "ize"), ("isation", "ize"), ("ise", "ize"), ("ised", "ize"), ("ising", "ize"),
    ("our", "or"), ("ours", "or"),
)  # fmt: skip
_BEGINNINGS = (
    *("un", "re", "non", "pre", "multi", "over", "sub", "inter", "self", "mis", "under", "micro", "bio"),
    *("co", "anti", "super", "tele", "cyber", "e", "hyper", "neuro"),
)
_SHORT_FORMS = frozenset(
    [
        *("s", "t", "re", "ve", "ll", "d", "m", "don", "doesn", "didn", "isn", "wasn", "aren", "couldn", "o"),
        *("wouldn", "won", "haven", "hasn", "hadn", "shouldn", "weren", "ain", "mustn", "needn", "all", "e"),
    ]
)
_FOREIGN = frozenset(
    [
        *(
            "de",
            "la",
            "le",
            "les",
            "des",
            "du",
            "et",
            "une",
            "que",
            "qui",
            "dans",
            "avec",
            "pour",
            "est",
            "sur",
        ),
        *(
            "nous",
            "vous",
            "je",
            "pas",
            "ce",
            "au",
            "aux",
            "par",
            "sont",
            "der",
            "die",
            "das",
            "und",
            "ist",
            "nicht",
        ),
        *(
            "ein",
            "eine",
            "den",
            "dem",
            "mit",
            "auf",
            "sich",
            "ich",
            "wir",
            "sie",
            "zu",
            "von",
            "im",
            "el",
            "los",
        ),
        *(
            "las",
            "una",
            "con",
            "por",
            "para",
            "es",
            "en",
            "del",
            "se",
            "su",
            "il",
            "di",
            "che",
            "non",
            "per",
            "gli",
        ),
        *(
            "een",
            "het",
            "van",
            "ik",
            "niet",
            "og",
            "och",
            "att",
            "som",
            "na",
            "nie",
            "em",
            "um",
            "uma",
            "os",
            "não",
        ),
    ]
)
"""Words that hold other languages together."""
_LONGEST = 64
_AROUND = 8  # words on each side that tell whether the text is English here
_ENGLISH = 0.5  # share of plain ones among them
_MOST_FOREIGN = 2


class Lexicon:
    """The plain words; `word in lexicon` in any case and inflection."""

    def __init__(self, words: frozenset[str]) -> None:
        self._words = words

    def __contains__(self, word: str) -> bool:
        return len(word) <= _LONGEST and self._is_plain(word.lower())

    def holds_all(self, text: str) -> bool:
        """Whether every word of a short text is plain."""
        return all(word in self for word in WORD.findall(text))

    def rare(self, text: str) -> Iterator[PrivateSpan]:
        """Words of English text that are none of the language; neighbours with capitals are one span."""
        words = list(WORD.finditer(text))
        distinct = {word[0] for word in words}
        known = {word: bool(_QUANTITY.fullmatch(word)) or word in self for word in distinct}
        foreign = [word[0].lower() in _FOREIGN for word in words]
        plain = [is_foreign or known[word[0]] for word, is_foreign in zip(words, foreign, strict=True)]
        english = _english(plain, foreign)
        open_: PrivateSpan | None = None
        for word, is_plain, here in zip(words, plain, english, strict=True):
            if is_plain or not here or len(word[0]) < 2 or not _BODY.fullmatch(word[0]):
                continue
            span = _span(word)
            if open_ and span.score == open_.score == CAPITAL_SCORE and text[open_.end : span.start] == " ":
                open_ = replace(open_, end=span.end)
                continue
            if open_:
                yield open_
            open_ = span
        if open_:
            yield open_

    def _is_plain(self, word: str) -> bool:
        if word in self._words:
            return True
        for mark in "-'’":
            if mark in word:
                parts = [part for part in word.split(mark) if part]
                return all(
                    part in _SHORT_FORMS or len(part) == 1 or part.isdigit() or part in self for part in parts
                )
        return self._is_inflected(word) or any(
            word.startswith(begin) and len(word) - len(begin) > 3 and word[len(begin) :] in self
            for begin in _BEGINNINGS
        )

    def _is_inflected(self, word: str) -> bool:
        for ending, instead in _ENDINGS:
            stem = word[: -len(ending)] + instead
            if not word.endswith(ending) or len(stem) < 2:
                continue
            if stem in self._words:
                return True
            if len(stem) > 3 and stem[-1] == stem[-2] and stem[:-1] in self._words:  # planned, running
                return True
        return False


def _span(word: re.Match[str]) -> PrivateSpan:
    """The word as a finding, without a genitive."""
    end = word.end() - 2 if word[0][-2:] in ("'s", "’s") else word.end()
    return PrivateSpan(TYPE, word.start(), end, SMALL_SCORE if word[0].islower() else CAPITAL_SCORE, SOURCE)


def _english(plain: Sequence[bool], foreign: Sequence[bool]) -> list[bool]:
    """For each word whether those around it are English: in other languages nearly every word is rare."""
    plains, foreigns = [0, *accumulate(plain)], [0, *accumulate(foreign)]
    out = []
    for i in range(len(plain)):
        low, high = max(i - _AROUND, 0), min(i + _AROUND + 1, len(plain))
        others = foreigns[high] - foreigns[low]
        enough = plains[high] - plains[low] - others >= _ENGLISH * (high - low - 1 - others)
        out.append(enough and others <= _MOST_FOREIGN)
    return out


def load(pipeline: Path | None = None) -> Lexicon:
    """The lexicon in the folder of the pipeline; None asks the model cache.

    Raises ModelMissingError or ModelCorruptError, both naming the command that helps.
    """
    file = (pipeline or models.locate(models.PIPELINE)) / _WORDS_FILE
    import srsly

    try:
        tables = srsly.msgpack_loads(file.read_bytes())
        words = {word for table in tables["lemma_index"].values() for word in table}
        words.update(word for table in tables["lemma_exc"].values() for word in table)
    except Exception as error:  # srsly raises types of its own
        raise ModelCorruptError(
            f"the words in {file} cannot be read ({type(error).__name__}); "
            f"run: cogenesis models pull {models.PIPELINE}"
        ) from None
    return Lexicon(frozenset(words) | common_words() | modern_words())


@cache
def modern_words() -> frozenset[str]:
    """Shipped plain words that WordNet lacks."""
    file = resources.files("cogenesis_langchain") / "data" / "modern_words.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def is_modern(text: str) -> bool:
    """Whether every word of a short text is a common or a newer plain one: labels of forms, job titles."""
    words = WORD.findall(text.lower())
    return bool(words) and all(word in modern_words() or word in common_words() for word in words)
