"""What a placeholder looks like, straight and bent, and what may still become one. Pure.

A form is a row of atoms: (characters, least, most), with least 0 or 1. From the rows come the expressions
for a whole form, for a tail of a stream that may still grow into one, and for what imitates one.

Between its brackets a form holds no bracket and no backslash, so two forms never overlap, and a straight
placeholder set between any two texts is still found as itself. Every repetition is bounded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

Atom = tuple[str, int, int]

_INVISIBLE = "[\u00ad\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]{0,2}"
_BLANK, _MARK, _DIGIT = "[ \t\u00a0]", "[*_`]", "[0-9０-９]"
_OPEN = ((r"\[", r"\["), (r"\\", r"\[", r"\\", r"\["), ("［", "［"), ("【", "【"))
_CLOSE = ((r"\]", r"\]"), (r"\\", r"\]", r"\\", r"\]"), ("］", "］"), ("】", "】"))
_INSIDE: dict[str, Atom] = {
    "blank": (_BLANK, 0, 2),
    "mark": (_MARK, 0, 3),
    "letter": ("[A-Za-zＡ-Ｚａ-ｚ]", 1, 1),
    "joint": ("[ \t_-]", 0, 1),
    "number": (_DIGIT, 1, 9),
    "point": (r"\.", 0, 1),
    "variant": (_DIGIT, 0, 4),
    "apostrophe": ("['’]", 0, 1),
    "genitive": ("[sS]", 0, 1),
    "mark_after": (_MARK, 0, 3),
    "blank_after": (_BLANK, 0, 2),
}


def _either(choices: Iterable[str]) -> str:
    return f"(?:{'|'.join(choices)})"


def _once(row: Sequence[str]) -> list[Atom]:
    return [(char, 1, 1) for char in row]


def _begun(row: Sequence[Atom], rest: str = "") -> str:
    """Every beginning of `row` followed by `rest`, which must match the empty text too."""
    for chars, least, most in reversed(row):
        rest = f"(?:{chars}{{1,{most}}}{rest})?" if least else f"{chars}{{0,{most}}}{rest}"
    return rest


FORM = re.compile(
    _either("".join(row) for row in _OPEN)
    + "".join(f"(?P<{name}>{chars}{{{least},{most}}})" for name, (chars, least, most) in _INSIDE.items())
    + _either("".join(row) for row in _CLOSE)
)
"""One placeholder, straight or bent. `straight` says which."""

LONGEST = 8 + sum(most for _, _, most in _INSIDE.values())
"""The most characters that a form has."""

_AFTER_OPEN = _begun(list(_INSIDE.values()), _either(_begun(_once(row)) for row in _CLOSE))
TAIL = re.compile(_either(_begun(_once(row), _AFTER_OPEN) for row in _OPEN) + r"\Z")
"""The end of a text that may still grow into a form; the empty end where there is none."""

IMITATION = re.compile(
    rf"(?:\\?[\[［【]{_INVISIBLE}){{2}}"
    + "".join(f"(?:{chars}{_INVISIBLE}){{{least},{most}}}" for chars, least, most in _INSIDE.values())
    + rf"(?:\\?[\]］】]{_INVISIBLE}){{2}}"
)
"""Whatever a cloud could make a form of: every form, mixed brackets, invisible characters in between."""


def straight(form: re.Match[str]) -> str:
    """The straight placeholder that a match of FORM is a form of; "" where it can be none."""
    letter = unicodedata.normalize("NFKC", form["letter"]).upper()
    number, variant = int(form["number"]), form["variant"]
    if bool(variant) != bool(form["point"]):
        return ""
    spelling = f".{int(variant)}" if variant and int(variant) != 1 else ""
    return f"[[{letter}{number}{spelling}]]"


def suffix(form: re.Match[str]) -> str:
    """The ending that a cloud put inside the brackets: "'s", "'", "s" or nothing."""
    return form["apostrophe"] + form["genitive"]
