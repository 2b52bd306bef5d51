"""How much of what is private a detector hides: leak, masked share, precision, F2, time.

What is measured is the text as it would be sent: ours as the mask route sends it, Presidio's as its
anonymizer would. A private unit leaks if it still stands there verbatim, in any case; units that the text
never held do not count. A gold span is found if at least half of its characters are hidden, a finding is
right if at least half of it is gold (F2 weighs recall four times, van Rijsbergen 1979). Labels are not
compared: hiding a name as a place gives nothing away.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cogenesis_langchain.evals.rows import Row, Stretch
from cogenesis_langchain.known.matcher import merged
from cogenesis_langchain.placeholders import Table, hide
from cogenesis_langchain.types import PrivateSpan

_HALF = 0.5


class Finds(Protocol):
    """What is measured: `detect.Detector`, default Presidio, or anything else that gives spans."""

    def detect(self, text: str) -> list[PrivateSpan]:
        """Private spans of `text`."""


@dataclass(frozen=True, slots=True)
class Masked:
    """One row as it would leave. `masked_chars` counts the characters of the original that are hidden."""

    id: str
    masked: str = field(repr=False)
    masked_chars: int

    def as_dict(self) -> dict[str, Any]:
        """A line of `--out`."""
        return {"id": self.id, "masked": self.masked, "masked_chars": self.masked_chars}


Mask = Callable[[str, Sequence[PrivateSpan]], tuple[str, list[bool]]]
"""(text, spans) -> what would be sent, and for each character of the text whether it is hidden."""


@dataclass(slots=True)
class Score:
    """The counts of one detector over all rows; every share is between 0 and 1."""

    name: str
    rows: int = 0
    clean_rows: int = 0
    units: int = 0
    leaked: int = 0
    characters: int = 0
    masked: int = 0
    gold: int = 0
    found: int = 0
    findings: int = 0
    right: int = 0
    seconds: float = 0.0

    @property
    def recall(self) -> float:
        """Share of the gold spans that are found."""
        return _share(self.found, self.gold)

    @property
    def precision(self) -> float:
        """Share of the findings that are right; 1 where there are none."""
        return self.right / self.findings if self.findings else 1.0

    @property
    def f2(self) -> float:
        """5PR / (4P + R)."""
        weight = 4 * self.precision + self.recall
        return 5 * self.precision * self.recall / weight if weight else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON form: `leak` of the units, `clean` of the rows, `masked` of the characters."""
        return {
            "detector": self.name,
            "rows": self.rows,
            "units": self.units,
            "leak": round(_share(self.leaked, self.units), 4),
            "clean": round(_share(self.clean_rows, self.rows), 4),
            "masked": round(_share(self.masked, self.characters), 4),
            "recall": round(self.recall, 4),
            "precision": round(self.precision, 4),
            "f2": round(self.f2, 4),
            "ms_per_1k": round(1e6 * _share(self.seconds, self.characters), 2),
        }


def measure(
    rows: Sequence[Row],
    detectors: Sequence[tuple[str, Finds, Mask]],
    *,
    keep: Callable[[str, Masked], None] | None = None,
) -> Iterator[list[Score]]:
    """The scores so far, after each row. Each row is read by every detector in turn.

    So whatever else the machine does falls on all of them alike, and their times can be compared. `keep` is
    given each masked row. Raises DetectorError.
    """
    scores = [Score(name) for name, *_ in detectors]
    for row in rows:
        for score, (name, detector, mask) in zip(scores, detectors, strict=True):
            begun = time.perf_counter()
            spans = detector.detect(row.text)
            score.seconds += time.perf_counter() - begun
            masked = _count(score, row, merged(spans), mask)
            if keep is not None:
                keep(name, masked)
        yield scores


def as_the_mask_route(text: str, spans: Sequence[PrivateSpan]) -> tuple[str, list[bool]]:
    """Through `hide`, which looks for what was found in the rest of the text too."""
    table = Table()
    sent = hide(text, spans, table).text
    return sent, _hidden(text, sent, table)


def as_found(text: str, spans: Sequence[PrivateSpan]) -> tuple[str, list[bool]]:
    """Each span replaced by its label, as Presidio's anonymizer does; nothing else."""
    sent, hidden = text, [False] * len(text)
    for span in reversed(spans):
        sent = f"{sent[: span.start]}<{span.type}>{sent[span.end :]}"
        hidden[span.start : span.end] = [True] * (span.end - span.start)
    return sent, hidden


def _count(score: Score, row: Row, spans: Sequence[PrivateSpan], mask: Mask) -> Masked:
    sent, hidden = mask(row.text, spans)
    score.rows += 1
    score.characters += len(row.text)
    score.masked += sum(hidden)
    before, after = _flat(row.text), _flat(sent)
    standing = [unit for unit in row.units if unit in before]
    leaked = sum(unit in after for unit in standing)
    score.units += len(standing)
    score.leaked += leaked
    score.clean_rows += not leaked
    gold = [False] * len(row.text)
    for start, end in row.spans:
        gold[start:end] = [True] * (end - start)
    score.gold += len(row.spans)
    score.found += sum(_mostly(hidden, span) for span in row.spans)
    score.findings += len(spans)
    score.right += sum(_mostly(gold, (span.start, span.end)) for span in spans)
    return Masked(row.id, sent, sum(hidden))


def _hidden(text: str, sent: str, table: Table) -> list[bool]:
    """(len(text),) Which characters of the original stand behind placeholders in what is sent."""
    hidden = [False] * len(text)
    choices = "|".join(re.escape(placeholder) for placeholder in sorted(table.issued, key=len, reverse=True))
    at = last = 0
    for match in re.finditer(choices, sent) if choices else ():
        at += match.start() - last
        length = len(table.value(match[0]) or "")
        hidden[at : at + length] = [True] * length
        at, last = at + length, match.end()
    return hidden


def _flat(text: str) -> str:
    return " ".join(text.split()).lower()


def _mostly(marks: Sequence[bool], stretch: Stretch) -> bool:
    start, end = stretch
    return sum(marks[start:end]) >= _HALF * (end - start)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
