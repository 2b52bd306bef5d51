"""Names by what stands beside them: a title, an introduction, a greeting, a signature, kinship; a legal form.

For the fast tier, which has no model: "Dr Hossam", "my name is nora", "Best wishes,\nTom", "Acme Ltd". Common
words are no names, so "Dear customer" and "my boss said" are left alone. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cogenesis_langchain.known import is_common
from cogenesis_langchain.scanning import SOURCE, Text
from cogenesis_langchain.types import PrivateSpan

_TITLES = (
    r"mr|mrs|ms|miss|mx|dr|prof|professor|engr|madame|rev|capt|captain|sgt|lt|col|judge|officer|uncle|aunt"
)
_KIN = (
    r"wife|husband|partner|son|daughter|brother|sister|mother|father|mom|mum|dad|boyfriend|girlfriend"
    r"|fianc[eé]e?|cousin"
    r"|niece|nephew|grandson|granddaughter|grandmother|grandfather|friend|neighbou?r|boss|manager"
    r"|colleague|landlord|cat|dog"
)
_SIGN_OFF = (
    r"(?:best|kind|warm)\ ?(?:wishes|regards)?|regards|sincerely|yours(?:\ \w+)?|cheers|love|thanks"
    r"|thank\ you"
    r"|many\ thanks|respectfully"
)


def _cue(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.VERBOSE)


# What a name follows, in small letters; whether a name in small letters may follow, too; what stands before.
_CUES = (
    (_cue(rf"(?:{_TITLES})\.?\ "), True, "word"),
    (_cue(r"(?:name\ is|name's|name:|named|signed:?|attn:?|contact:|patient:|client:|author:)\s"), True, ""),
    (_cue(rf"(?:my|our|his|her)\ (?:{_KIN}),?\ "), False, "word"),
    (_cue(r"(?:dear|hi|hello|hey|good\ morning|good\ evening)\ "), True, "line"),
    (_cue(rf"(?:{_SIGN_OFF})[,.!]?[ \t]*+\n\s*+"), False, "line"),
)
_WORD = re.compile(r"[^\W\d_](?:[\w'’-]{0,30}\w)?")
_BETWEEN = re.compile(
    r"(?:(?<=\b\w)\.)?[ \t]{1,2}(?:(?:van|von|der|den|de|del|della|di|da|dos|la|le|bin|ibn|al|el|ter"
    r"|zu)\ ){0,3}",
    re.I,
)
_MAX_WORDS = 4

_LEGAL_FORM = re.compile(
    r"\ (?:inc|llc|ltd|limited|corp|corporation|plc|gmbh|mbh|kg|ag|sarl|sas|s\.a\.?|s\.p\.a|b\.?v|n\.?v"
    r"|oyj?|ab|a/s|aps|llp"
    r"|pvt|pty|k\.k|co)(?:\.|(?!\w))(?:,?\ (?:ltd|limited|inc|llc|kg)\b\.?)?"
)
_CASED_FORMS = frozenset(["ag", "ab", "kg", "co", "oy", "sas", "limited"])  # also words: they need capitals
_BEFORE = 70
_ENDS = re.compile(r"[,;:)|]$|[^\W\d]{4}\.$|^[0-9]+\.$")  # a word behind which a company's name cannot go on


def find(text: Text) -> Iterator[PrivateSpan]:
    """Names and companies in `text`, in no order; spans may overlap."""
    for expression, loose, before in _CUES:
        for cue in expression.finditer(text.lower):
            if _stands_alone(text.text, cue.start(), before):
                end = _name_end(text.text, cue.end(), loose=loose)
                if end:
                    yield PrivateSpan("PERSON", cue.end(), end, 0.6, SOURCE)
    for form in _LEGAL_FORM.finditer(text.lower):
        start = _company_start(text.text, form)
        if start is not None:
            yield PrivateSpan("ORGANIZATION", start, form.end(), 0.6, SOURCE)


def _stands_alone(text: str, at: int, before: str) -> bool:
    """Whether a cue at `at` begins a word or, if so asked, a line."""
    if not before or at == 0:
        return True
    if before == "word":
        return not text[at - 1].isalnum()
    return text[max(at - 8, 0) : at].rstrip(' \t>"').endswith("\n")


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
        if not capital and (not loose or words == 2 or len(word[0]) < 2):
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
        joins = plain.lower() in ("&", "and", "of", "the", "de", "und", "et", "y", "-", "–")
        if not plain or taken == 6 or (taken and _ENDS.search(word[0])):
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
