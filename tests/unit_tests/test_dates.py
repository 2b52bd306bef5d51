from __future__ import annotations

import pytest

from cogenesis_langchain.known.dates import notations
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.types import KnownValue

WRITTEN = [
    "12 March 1984", "March 12, 1984", "12th of March 1984", "12 Mar. 1984", "1984-03-12", "12.03.1984",
    "12.3.1984", "03/12/1984", "12/03/84", "19840312", "MARCH 12TH, 1984", "12-Mar-1984",
]  # fmt: skip


@pytest.mark.parametrize("stored", ["12 March 1984", "March 12th, 1984", "1984-03-12", "12/03/1984"])
@pytest.mark.parametrize("text", WRITTEN)
def test_a_date_is_known_in_every_notation(stored: str, text: str) -> None:
    """The day somebody was born does not get out in another order."""
    known = KnownValues([KnownValue(stored, "DATE_TIME", "field")])
    (span,) = known.find(f"born on {text} in town")
    assert (span.start, span.end) == (8, 8 + len(text.rstrip(".")))
    assert not known.hits("born on 12 March 1985, or 13 March 1984, at 12:03 in room 84")


@pytest.mark.parametrize("value", ["", "March", "12 March", "45/13/1984", "12 Marchers 1984", "Nora", "1984"])
def test_what_is_no_whole_date_has_no_notations(value: str) -> None:
    """Only a day with its month and year is turned about."""
    assert not list(notations(value))
