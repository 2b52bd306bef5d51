"""Names by what stands beside them: a title, an introduction, a greeting, a signature, kinship; a legal form.

For the fast tier, which has no model: "Dr Hossam", "my name is nora", "Best wishes,\nTom", "Acme Ltd". Common
words are no names, so "Dear customer" and "my boss said" are left alone. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cogenesis_langchain.detect.scanning import SOURCE, Text
from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.types import PrivateSpan

_TITLES = (
    r"mr|mrs|ms|miss|mx|dr|prof|professor|engr|madame|rev|capt|captain|sgt|lt|col|judge|officer|uncle|aunt"
)
_TITLE_WORDS = frozenset(_TITLES.split("|"))
_KIN = (
    r"wife|husband|partner|son|daughter|brother|sister|mother|father|mom|mum|dad|boyfriend|girlfriend"
    r"|fianc[eé]e?|cousin"
    r"|niece|nephew|grandson|granddaughter|grandmother|grandfather|friend|neighbou?r|boss|manager"
    r"|colleague|landlord|cat|dog"
)
_SIGN_OFFS = frozenset(
    [
        *(
            "best",
            "best wishes",
            "best regards",
            "kind regards",
            "warm regards",
            "regards",
            "sincerely",
            "cheers",
        ),
        *(
            "yours",
            "yours sincerely",
            "yours truly",
            "yours faithfully",
            "sincerely yours",
            "love",
            "with love",
        ),
        *("thanks", "thank you", "many thanks", "thanks and regards", "respectfully", "warmly", "take care"),
    ]
)


@dataclass(frozen=True, slots=True)
class _Cue:
    """What a name follows. `expression`: in small letters, tried if one of `hints` stands in the text.

    loose: a name in small letters may follow as well. The text is read behind a line break of its own, so
    that expressions may begin with what stands before the cue, which `re` can skip to.
    """

    expression: re.Pattern[str]
    hints: tuple[str, ...]
    loose: bool = False


_CUES = (
    _Cue(
        re.compile(rf"[^a-z0-9](?:{_TITLES})\.?(?= )"),
        (
            *("mr ", "mr.", "mrs", " ms ", " ms.", "\nms", "miss ", "mx ", "dr ", "dr.", "prof ", "prof."),
            *("professor ", "engr", "madame ", " rev ", " rev.", " capt", "sgt", " lt ", " lt.", " col "),
            *(" col.", "judge ", "officer ", "uncle ", "aunt "),
        ),
        loose=True,
    ),
    _Cue(
        re.compile(r"(?:name is|name's|name:|named|signed:?|attn:?|contact:|patient:|client:|author:)(?=\s)"),
        ("name", "signed", "attn", "contact:", "patient:", "client:", "author:"),
        loose=True,
    ),
    _Cue(
        re.compile(
            r"(?:my(?<![^\W_]my)|our(?<![^\W_]our)|his(?<![^\W_]his)|her(?<![^\W_]her))"
            rf" (?:{_KIN}),?(?= )"
        ),
        ("my ", "our ", "his ", "her "),
    ),
    _Cue(
        re.compile(r'\n[ \t>"]{0,7}+(?:dear|hi|hello|hey|good morning|good evening)(?= )'),
        ("dear ", "hi ", "hello ", "hey ", "good morning ", "good evening "),
        loose=True,
    ),
)
_WORD = re.compile(r"[^\W\d_](?:[\w'’-]{0,30}\w)?")
_BETWEEN = re.compile(
    r"(?:(?<=\b\w)\.)?[ \t]{1,2}(?:(?:van|von|der|den|de|del|della|di|da|dos|la|le|bin|ibn|al|el|ter"
    r"|zu)\ ){0,3}",
    re.I,
)
_MAX_WORDS = 4
_SHORT_LINE = 30  # characters of a line that can be "Best wishes," and no more
_NO_SPACE = re.compile(r"\S|\Z")

_LEGAL_FORM = re.compile(
    r"\ (?:inc|llc|ltd|limited|corp|corporation|plc|gmbh|mbh|kg|ag|sarl|sas|s\.a\.?|s\.p\.a|b\.?v|n\.?v"
    r"|oyj?|ab|a/s|aps|llp"
    r"|pvt|pty|k\.k|co)(?:\.|(?!\w))(?:,?\ (?:ltd|limited|inc|llc|kg)\b\.?)?"
)
_CASED_FORMS = frozenset(["ag", "ab", "kg", "co", "oy", "sas", "limited"])  # also words: they need capitals
_BEFORE = 70
_JOINS = frozenset(["&", "and", "of", "the", "de", "und", "et", "y", "-", "–"])  # within a company's name
_OPENS = frozenset(
    ["At", "In", "From", "With", "By", "For", "Our", "The", "This", "When", "To", "And", "If", "As"]
)
_ENDS = re.compile(r"[,;:)|]$|[^\W\d]{4}\.$|^[0-9]+\.$")  # a word behind which a company's name cannot go on


def find(text: Text) -> Iterator[PrivateSpan]:
    """Names and companies in `text`, in no order; spans may overlap."""
    for start, loose in _behind_cues(text):
        end = _name_end(text.text, start, loose=loose)
        if end:
            yield PrivateSpan("PERSON", start, end, 0.6, SOURCE)
    for form in _LEGAL_FORM.finditer(text.lower):
        company = _company_start(text.text, form)
        if company is not None:
            yield PrivateSpan("ORGANIZATION", company, form.end(), 0.6, SOURCE)


def _behind_cues(text: Text) -> Iterator[tuple[int, bool]]:
    """Where a name may begin, and whether one in small letters may."""
    behind_break = "\n" + text.lower
    for cue in _CUES:
        if text.has(cue.hints):
            for match in cue.expression.finditer(behind_break):
                yield match.end(), cue.loose  # the break before and the blank behind make up for each other
    at = 0
    for line in text.text.splitlines(keepends=True):
        at += len(line)
        if len(line) < _SHORT_LINE and line.strip(" \t\r\n>,.!").lower() in _SIGN_OFFS:
            yield _NO_SPACE.search(text.text, at).start(), False  # type: ignore[union-attr]  # matches at the end


def _name_end(text: str, start: int, *, loose: bool) -> int:
    """Where the name that begins at `start` ends; 0 if there is none.

    Words with a capital are a name if they are not all common ones; without, where `loose`, at most two
    uncommon ones are.
    """
    end, words = 0, 0
    at = start
    while words < _MAX_WORDS and (word := _WORD.match(text, at)):
        capital = word[0][0].isupper()
        if words and capital != text[start].isupper():
            break
        if word[0].lower() in _TITLE_WORDS or (not capital and (not loose or words == 2 or len(word[0]) < 2)):
            break
        if is_common(word[0]) and (not capital or word[0].isupper()):
            break
        end, words = word.end(), words + 1
        between = _BETWEEN.match(text, end)
        if not between:
            break
        at = between.end()
    return 0 if not end or is_common(text[start:end]) else end


def _company_start(text: str, form: re.Match[str]) -> int | None:
    """Where the company begins whose legal form was found; None if no name stands before it."""
    line = text[max(form.start() - _BEFORE, 0) : form.start()].rpartition("\n")[2]
    begin = form.start() - len(line)
    cased = text[form.start() + 1].isupper()
    start, taken = None, 0
    for word in reversed(list(re.finditer(r"\S+", line))):
        plain = word[0].strip("\"'“”‘’(,")
        joins = plain.lower() in _JOINS
        if not plain or taken == 6 or (taken and _ENDS.search(word[0])) or plain in _OPENS:
            break
        if plain[0].isupper() or plain[0].isdigit():
            start, taken = begin + word.start() + word[0].index(plain[0]), taken + 1
        elif joins and taken and cased:
            continue
        elif cased or is_common(plain) or taken == 3:
            break
        else:
            start, taken = begin + word.start() + word[0].index(plain[0]), taken + 1
    if start is None or (form[0].strip(" .") in _CASED_FORMS and not cased):
        return None
    return start
