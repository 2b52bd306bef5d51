"""`cogenesis bench detect`: what detection costs beside Presidio, and on text made to be slow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.common import JsonOption, err
from cogenesis_langchain.commands.ratios import Ratio, by_turns, report

if TYPE_CHECKING:
    from cogenesis_langchain.known.matcher import KnownValues

LENGTH, LONG = 1_000, 10_000  # characters
KNOWN_VALUES = 300
HOSTILE = (
    *(
        ":",
        "-",
        "a",
        "1",
        "A ",
        "Aa ",
        "a.",
        "a@",
        "1-",
        "+1 ",
        "://a:",
        "Mr ",
        "12 Aa ",
        "NY 12345 ",
        "key=a1",
    ),
    *(
        "%41",
        "&amp;",
        "\\u0041",
        "eyJhYmMi",
        "YWJj",
        "\u200b",
        "a\u0301",
        "\U0001f600",
        "я",
        "你",
        "N o ",
        "\n",
    ),
)
"""What runs of symbols, escapes, invisible characters and half-matched patterns are made of."""


def detect(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Texts to read, as in `cogenesis eval detection`; else the shipped ones."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds, whose median counts.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Four ratios: the fast tier, balanced without and with Rampart, and hostile text against benign.

    Presidio is timed with everything it comes with, the first time with its patterns alone. Our fast tier has
    300 known values of a user to look for.
    """
    from cogenesis_langchain.evals.rows import read_rows

    text = "\n\n".join(row.text for row in read_rows(data))
    with err.status("loading the detectors"):
        bench = _Bench(text, rounds)
    with err.status("reading 1,000 characters, each detector in turn"):
        ratios = bench.against_presidio()
    with err.status("reading 10,000 hostile characters of many kinds"):
        ratios.append(bench.hostile())
    report("cogenesis bench detect", ratios, bench.measured, as_json=as_json)


class _Bench:
    """The detectors, loaded and warm, and benign text of both lengths."""

    def __init__(self, text: str, rounds: int) -> None:
        from cogenesis_langchain.detect.detector import Detector
        from cogenesis_langchain.evals.presidio_default import PresidioDefault

        self._rounds = rounds
        self._pieces = _pieces(text, LENGTH)
        self._long = (text * (LONG // len(text) + 1))[:LONG]
        self._presidio = PresidioDefault()
        self._fast = Detector("fast")
        self._plain = Detector("balanced", rampart=False)
        self._balanced = Detector("balanced")
        self._known = known_values(KNOWN_VALUES)
        self.measured: dict[str, float] = {}
        for detector in (self._presidio, self._fast, self._plain, self._balanced):
            detector.warm()
        self._presidio.patterns(self._pieces[0])

    def against_presidio(self) -> list[Ratio]:
        """The fast tier beside Presidio's patterns, balanced beside all of Presidio."""
        works = [
            partial(_each, self._presidio.patterns, self._pieces),
            partial(_each, partial(self._fast.detect, known=self._known), self._pieces),
            partial(_each, self._presidio.detect, self._pieces),
            partial(_each, self._plain.detect, self._pieces),
            partial(_each, self._balanced.detect, self._pieces),
        ]
        seconds = by_turns(works, self._rounds)
        names = ("presidio_patterns", "fast", "presidio", "balanced_without_rampart", "balanced")
        per_1k = [1000 * value / len(self._pieces) for value in seconds]
        self.measured |= {f"{name}_ms_per_1k": round(ms, 2) for name, ms in zip(names, per_1k, strict=True)}
        patterns, fast, presidio, plain, balanced = per_1k
        return [
            Ratio("fast tier / Presidio's patterns", fast / patterns, 0.25, False),
            Ratio("balanced without Rampart / Presidio", plain / presidio, 0.6, False),
            Ratio("balanced / Presidio", balanced / presidio, 3.0, False),
        ]

    def hostile(self) -> Ratio:
        """The slowest of the hostile texts against the benign one, both 10,000 characters long."""
        texts = [self._long, *((unit * LONG)[:LONG] for unit in HOSTILE)]
        works = [partial(self._balanced.detect, text, known=self._known) for text in texts]
        benign, *taken = by_turns(works, min(self._rounds, 2))
        worst = max(range(len(taken)), key=taken.__getitem__)
        self.measured |= {
            "benign_10k_ms": round(1000 * benign, 1),
            f"hostile_10k_ms ({HOSTILE[worst]!r})": round(1000 * taken[worst], 1),
        }
        return Ratio("hostile 10k characters / benign", taken[worst] / benign, 2.0, False)


def known_values(count: int) -> KnownValues:
    """A user's values, fictional: names, addresses, telephones and mail addresses by turns."""
    from cogenesis_langchain.known.matcher import KnownValues
    from cogenesis_langchain.types import KnownValue

    makers = (
        lambda i: ("PERSON", f"Vexa{i:03d} Quorl{i:03d}".translate(_LETTERS)),
        lambda i: ("LOCATION", f"{i + 11} {f'Brindl{i:03d}'.translate(_LETTERS)} Lane"),
        lambda i: ("PHONE_NUMBER", f"+47 912 {i:03d} 67"),
        lambda i: ("EMAIL_ADDRESS", f"{f'vexa{i:03d}'.translate(_LETTERS)}@example.org"),
    )
    made = (makers[i % 4](i) for i in range(count))
    return KnownValues(KnownValue(value, kind, "declared") for kind, value in made)


_LETTERS = str.maketrans("0123456789", "abdefgilmo")


def _pieces(text: str, length: int) -> list[str]:
    """At most ten pieces of `length` characters; at least one, of repeated text if there is little."""
    text = text * (length // max(len(text), 1) + 1)
    return [text[i : i + length] for i in range(0, len(text) - length + 1, length)][:10]


def _each(work: Any, texts: Sequence[str]) -> None:
    for text in texts:
        work(text)
