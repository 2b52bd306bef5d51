"""What of a person shows by its form alone, in every tier: where to reach them, what they are paid, and more.

Runs of digits are read in digits.py, codes in identifiers.py, addresses in addresses.py, secrets and keys in
secrets.py, names beside a title or a greeting in cues.py; how patterns work is in scanning.py. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from cogenesis_langchain.detect import addresses, cues, digits, identifiers, secrets
from cogenesis_langchain.detect.scanning import SOURCE, Pattern, Text, pattern, scan
from cogenesis_langchain.types import PrivateSpan

__all__ = ["SOURCE", "find"]

_DATE = (
    r"(?:[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}|[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2}"
    r"|[0-9]{1,2}(?:st|nd|rd|th|er|\.)?\ (?:of\ |de\ )?[^\W\d]{3,10}\.?(?:,?\ (?:de\ )?[0-9]{4})?"
    r"|[^\W\d]{3,9}\.?\ [0-9]{1,2}(?:st|nd|rd|th)?(?:,?\ [0-9]{4})?|[0-9]{4})"
)
_NOT_USERS = frozenset(
    [
        "user",
        "username",
        "users",
        "runner",
        "ubuntu",
        "public",
        "shared",
        "admin",
        "root",
        "app",
        "default",
        "me",
    ]
)
_NOT_HANDLES = frozenset(
    [
        *(
            "media",
            "import",
            "charset",
            "keyframes",
            "param",
            "params",
            "return",
            "returns",
            "override",
            "test",
        ),
        *("property", "dataclass", "staticmethod", "classmethod", "abstractmethod", "todo", "type", "types"),
        *(
            "version",
            "latest",
            "author",
            "app",
            "everyone",
            "channel",
            "here",
            "all",
            "decorator",
            "supports",
        ),
    ]
)


def _is_handle(name: str) -> bool:
    return name.lower().strip(".") not in _NOT_HANDLES


def _is_user(name: str) -> bool:
    return name.lower() not in _NOT_USERS


def _is_certain_page(link: str) -> bool:
    """Whether a link leads to one page of many: a path with numbers or several words, or a query."""
    path = link.split("://", 1)[-1].partition("/")[2].rstrip("/")
    return "?" in path or sum(c.isdigit() for c in path) >= 3 or sum(c in "-_/" for c in path) >= 2


def _is_age(number: str) -> bool:
    return 1 <= int(number) <= 119


_REACHING: tuple[Pattern, ...] = (
    pattern(
        "EMAIL_ADDRESS",
        0.8,
        r"[\w.+-](?<![\w.+'-].)[\w.+'-]{0,63}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,5}",
        ("@",),
        where="signs",
        flags=re.UNICODE,
    ),
    pattern(
        "EMAIL_ADDRESS",
        0.7,
        r"[\w.+-](?<![\w.+-].)[\w.+-]{0,63}+(?:\s?(?:\(at\)|\[at\]|\{at\}|<at>|%40|&\#64;)\s?|\ @\ "
        r"|@)[\w-]{1,63}+"
        r"(?:(?:\s?(?:\(dot\)|\[dot\]|\{dot\}|<dot>|\ dot\ )\s?|\.)[\w-]{1,63}+){1,4}",
        ("(at)", "[at]", "{at}", "<at>", "%40", "&#64;", " @ ", "dot)", "dot]"),
        lower=True,
    ),
    pattern(
        "EMAIL_ADDRESS",
        0.6,
        r"[\w.+-](?<![\w.+-].)[\w.+-]{0,63}+\ at\ [\w-]{1,63}+(?:\ dot\ [\w-]{1,63}+){1,4}",
        (" dot ",),
        lower=True,
    ),
    pattern(
        "HANDLE",
        0.6,
        r"@(?<![\w@./-].)([A-Za-z_][A-Za-z0-9_.]{1,30}+)(?<!\.)(?![@(])",
        ("@",),
        check=_is_handle,
    ),
    pattern(
        "HANDLE",
        0.6,
        r"(?:linkedin\.com/(?:in|company)|facebook\.com|twitter\.com|instagram\.com|github\.com"
        r"|gitlab\.com|tiktok\.com"
        r"|/x\.com|/t\.me|reddit\.com/u(?:ser)?|youtube\.com)/(@?[\w.-]{2,60}+)",
        (".com/", "t.me/"),
        lower=True,
    ),
    pattern(
        "HANDLE",
        0.6,
        r"(?:username|user\ name|handle|instagram|twitter|snapchat|telegram|discord|linkedin|facebook"
        r"|skype|wechat|login)"
        r"(?:\ (?:id|name|is))?\s?[:=]\s?/?(@?[\w.\#-]{3,40}+)",
        (
            *("username", "user name", "handle", "instagram", "twitter", "snapchat", "telegram", "discord"),
            *("linkedin", "facebook", "skype", "wechat", "login"),
        ),
        lower=True,
    ),
    pattern(
        "LINK",
        0.55,
        r"https?://[^\s<>\"'`)\]]{4,2000}(?<![.,;:!?])",
        ("://",),
        check=_is_certain_page,
        lower=True,
    ),
    pattern(
        "LINK",
        0.55,
        r"(?:website|homepage|web\ site|blog|portfolio|web)(?:\ is|:)\s{1,3}((?:https?://"
        r"|www\.)?[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,4}/?)",
        ("web", "homepage", "blog", "portfolio"),
        lower=True,
    ),
    pattern(
        "FILE_PATH",
        0.6,
        r"(?:/home/|/users/|:(?<=[a-z]:)\\{1,2}users\\{1,2})([a-z0-9._-]{2,32}+)",
        ("/home/", "users/", "users\\"),
        check=_is_user,
        lower=True,
    ),
)

_LIFE: tuple[Pattern, ...] = (
    pattern(
        "DATE_OF_BIRTH",
        0.65,
        r"(?:born|d\.?o\.?b\.?|date\ of\ birth|birth\ ?(?:date|day)|geboren|geburtsdatum|née?"
        r"|nacid[oa]|naissance)"
        r"(?<![a-z]dob)\s?(?:[:=(]|is|was|falls|[.?]\s(?:it's|it\ is|that's))?"
        r"\s?(?:on|am|in|le|el|the)?\s?(?:the\s)?(" + _DATE + r")(?!\w)",
        ("born", "dob", "d.o.b", "birth", "gebo", "gebu", "né", "nacid", "naissance"),
        lower=True,
        flags=re.UNICODE,
    ),
    pattern(
        "AGE",
        0.5,
        r"(?<![\w.,$€£])([0-9]{1,3})(?:[\ -]years?[\ -]old|\ ?y/?o\b)"
        r"(?=\ (?:wo)?man|\ (?:fe)?male|\ boy|\ girl|\ patient|\ son|\ daughter|\ student|\W{0,2}$|[.,;!?)])",
        ("year old", "years old", "year-old", "years-old", "y/o", " yo "),
        check=_is_age,
        lower=True,
    ),
    pattern(
        "AGE",
        0.5,
        r"(?:when\ (?:i|he|she)\ was|i'm|i\ am|he's|he\ is|she's|turned|turn|turning|aged|age\ of|age\ is"
        r"|age:|age)(?<![a-z]age)\ ([0-9]{1,3})"
        r"(?!\w|[\ -](?:minutes?|hours?|days?|weeks?|months?|percent|%|cm|kg|km|miles|feet|or\b|and\ up"
        r"|to\b)|[,.%/:-]\d)",
        (" was ", "i'm ", "i am ", "he's ", "he is ", " turn", " aged ", "age: ", " age "),
        check=_is_age,
        lower=True,
        where="digits",
    ),
    pattern(
        "SALARY",
        0.55,
        r"(?:salary|income|wages?|earns?|earning|(?:gets?|is|are|am|be)\ paid|compensation|gehalt"
        r"|salaire|sueldo"
        r"|net\ worth)\b[^.\n0-9$€£]{0,30}+"
        r"([$€£]\s?[0-9][0-9.,]{0,12}[0-9]k?|[0-9][0-9.,]{1,12}[0-9]k?\s?(?:usd|eur|gbp|inr|dollars"
        r"|euros?|pounds|€|£|\$)?)",
        (
            "salary",
            "income",
            "wage",
            "earn",
            " paid",
            "compensation",
            "gehalt",
            "salaire",
            "sueldo",
            "net worth",
        ),
        lower=True,
    ),
)


def find(text: str, *, message: int = 0) -> Iterator[PrivateSpan]:
    """What the patterns find in `text`, in no order; spans may overlap."""
    read = Text(text)
    for found in (
        secrets.find(read),
        digits.find(read),
        identifiers.find(read),
        scan(_REACHING, read),
        addresses.find(read),
        scan(_LIFE, read),
        cues.find(read),
    ):
        for span in found:
            yield replace(span, message=message) if message else span
