"""The shadow as it is sent: what looks private in it, by anybody's eyes, said in general words. Pure.

The shadow says names and numbers of its own, which are nobody's. The gate cannot know that and would end the
cloud's part at the first. What is put in their place depends on the shadow alone, so nothing more is told.
Known values are not looked for here: that would tell which words are known. They are for the gate to stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from cogenesis_langchain.types import PrivateSpan

WORDS = MappingProxyType(
    {
        "PERSON": "someone",
        "LOCATION": "our town",
        "ORGANIZATION": "the company",
        "DATE_TIME": "that day",
        "PHONE_NUMBER": "the number",
        "EMAIL_ADDRESS": "the address",
        "URL": "the page",
    }
)
"""By type of what was found; ELSE for all others."""
ELSE = "that"


def veiled(text: str, spans: Iterable[PrivateSpan]) -> str:
    """`text` with general words in the place of `spans`; of spans that overlap, the first counts."""
    out, at = [], 0
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if span.start >= at:
            out += [text[at : span.start], WORDS.get(span.type, ELSE)]
        at = max(at, span.end)
    return "".join(out) + text[at:]
