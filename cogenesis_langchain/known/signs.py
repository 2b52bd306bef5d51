"""Values without two letters or digits to compare: emoji, and a letter with signs (C++). Pure, linear.

The canonical form keeps letters and digits alone, so nothing of such a value is left in it. It is looked for
as it stands instead, in every round of decoding, whatever its case and whatever is invisible in it. A letter
or punctuation alone says nothing and is not looked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from cogenesis_langchain.normalize.escapes import rounds
from cogenesis_langchain.normalize.letters import READABLE
from cogenesis_langchain.normalize.mapped import plain, respell
from cogenesis_langchain.types import KnownValue


class Signs:
    """An immutable matcher of `values`; letters and digits at their ends must be whole words."""

    def __init__(self, values: Iterable[KnownValue]) -> None:
        seen = ((_seen(value.value), value.type) for value in values)
        self._types = {form.casefold(): type for form, type in seen if _tells(form)}
        words = map(_whole, sorted(self._types, key=len, reverse=True))
        self._any = re.compile("|".join(words), re.IGNORECASE) if self._types else None

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, type) in offsets of `text`, in no order."""
        if self._any is None:
            return
        for form in rounds(plain(text)):
            form = respell(form, READABLE)
            for match in self._any.finditer(form.text):
                yield *form.span(*match.span()), self._types.get(match[0].casefold(), "DECLARED")

    def __len__(self) -> int:
        return len(self._types)

    def __repr__(self) -> str:
        return f"Signs({len(self)} values)"


def _seen(value: str) -> str:
    return "".join(map(READABLE.__getitem__, value)).strip()


def _tells(form: str) -> bool:
    if any(not c.isascii() and unicodedata.category(c)[0] == "S" for c in form):
        return True
    return len(form) > 1 and any(map(str.isalnum, form))


def _whole(value: str) -> str:
    before = r"(?<!\w)" if value[0].isalnum() else ""
    after = r"(?!\w)" if value[-1].isalnum() else ""
    return before + re.escape(value) + after
