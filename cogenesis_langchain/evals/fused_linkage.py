"""Whose text was it? The attackers of `linkage` on what had gone up when a part of a text was written.

The texts are written by the product (`fused_live`). Compared are what form `live` sends, which is the generic
task and the shadow; the body of form `draft`, the same task from the first token on; the text itself as a
prefix, which the paper's code sends; and that with names, place, age, job and all capitals within a sentence
masked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cogenesis_langchain.evals.attackers import Holdings, Seen
from cogenesis_langchain.evals.linkage import attack
from cogenesis_langchain.evals.persons import Person

SHARES = (0.1, 0.25, 0.5, 1.0)
_MASK = "[…]"
_FIELDS = ("name", "age", "location", "occupation", "employer")
_WITHIN = re.compile(r"(?<=[\w,;:] )[A-Z][\w'-]*")


def linked(
    held: Holdings, whose: Sequence[int], method: str, sent: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """How often the worst attacker names the writer, by share of the text.

    Args:
        held: everybody whose profile the attacker holds.
        whose: texts they are, by the person's number there.
        method: of sending, for the record.
        sent: for each text what had gone up at each of `SHARES`.
    """
    found = []
    for number, share in enumerate(SHARES):
        seen = [
            Seen(person, held.persons[person].tasks[0], up[number])
            for person, up in zip(whose, sent, strict=True)
        ]
        worst = max(attack(seen, held)[1], key=lambda one: one.top1)
        found.append({"method": method, "share": share} | worst.as_dict())
    return found


def masked(text: str, person: Person) -> str:
    """Without the words of the person's name, age, place, job and employer, and without any name at all."""
    words = {
        word
        for name in _FIELDS
        for word in re.findall(r"\w+", person.fields.get(name, ""))
        if len(word) > 2 or word.isdecimal()
    }
    if words:
        own = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        text = re.sub(rf"\b(?:{own})\b", _MASK, text, flags=re.IGNORECASE)
    return _WITHIN.sub(_MASK, text)


def parts(text: str) -> list[str]:
    """The text's beginnings at each of `SHARES`."""
    return [text[: round(share * len(text))] for share in SHARES]
