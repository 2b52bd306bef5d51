"""The arithmetic of `eval detection`, and the files it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.detection import Masked, as_found, as_the_mask_route, measure
from cogenesis_langchain.evals.rows import Row, read_rows
from cogenesis_langchain.types import PrivateSpan

TEXT = "Ask Orla Venn. Orla Venn knows; the rest of Dunmore does not."
ROW = Row("1", TEXT, ("orla venn", "dunmore", "nobody"), ((4, 13), (15, 24), (44, 51)))


class Fixed:
    """A detector that always says the same."""

    def __init__(self, *spans: tuple[int, int]) -> None:
        self.spans = [PrivateSpan("PERSON", start, end, 1.0, "test") for start, end in spans]

    def detect(self, text: str) -> list[PrivateSpan]:
        """The spans given, whatever the text."""
        del text
        return self.spans


def one(detector: Any, mask: Any) -> tuple[dict[str, Any], Masked]:
    """Score and masked text of ROW."""
    kept: list[Masked] = []
    scores = list(measure([ROW], [("x", detector, mask)], keep=lambda _, masked: kept.append(masked)))[-1]
    return scores[0].as_dict(), kept[0]


def test_what_leaks_is_what_still_stands_there() -> None:
    """One of two units that stand in the text leaks; the one that never did is not counted."""
    score, masked = one(Fixed((4, 13)), as_the_mask_route)
    assert (score["units"], score["leak"], score["clean"]) == (2, 0.5, 0.0)
    assert "Orla" not in masked.masked
    assert "Dunmore" in masked.masked
    assert masked.masked_chars == 2 * len("Orla Venn")
    assert score["masked"] == round(18 / len(TEXT), 4)
    assert (score["recall"], score["precision"]) == (round(2 / 3, 4), 1.0)
    assert score["f2"] == round(5 * (2 / 3) / (4 + 2 / 3), 4)


def test_the_baseline_hides_only_what_it_found() -> None:
    """Presidio's anonymizer does not look for a string a second time, so neither does its row."""
    score, masked = one(Fixed((4, 13)), as_found)
    assert masked.masked == TEXT.replace("Orla Venn", "<PERSON>", 1)
    assert (score["leak"], score["recall"]) == (1.0, round(1 / 3, 4))


def test_wrong_findings_cost_precision_and_half_findings_count() -> None:
    """A span needs half of its characters: four of seven of Dunmore are enough, three are not."""
    assert one(Fixed((44, 48)), as_found)[0]["recall"] == round(1 / 3, 4)
    assert one(Fixed((44, 47)), as_found)[0]["recall"] == 0
    assert one(Fixed((25, 30)), as_found)[0]["precision"] == 0
    assert one(Fixed(), as_found)[0]["precision"] == 1


def test_reads_the_public_formats(tmp_path: Path) -> None:
    """PUPA's table, presidio-research's samples and our own lines become the same rows."""
    pupa = tmp_path / "a.csv"
    pupa.write_text('conversation_hash,user_query,pii_units\nh1,"Call Orla, now",orla||||orla\n', "utf-8")
    synth = tmp_path / "b.json"
    span = {"entity_type": "PERSON", "start_position": 5, "end_position": 9}
    synth.write_text(json.dumps([{"full_text": "Call Orla, now", "spans": [span]}]), "utf-8")
    own = tmp_path / "c.jsonl"
    own.write_text('{"id": 7, "text": "Call Orla, now", "spans": [[5, 9]]}\n\n', "utf-8")
    rows = [read_rows(path)[0] for path in (pupa, synth, own)]
    assert {(row.text, row.units, row.spans) for row in rows} == {("Call Orla, now", ("orla",), ((5, 9),))}
    assert [row.id for row in rows] == ["h1", "1", "7"]
    assert "Orla" not in repr(rows)


def test_the_shipped_examples_hold_what_they_name() -> None:
    """Every unit stands in its text; a quarter of the texts has none; the limit holds."""
    rows = read_rows(None)
    assert all(unit in " ".join(row.text.split()).lower() for row in rows for unit in row.units)
    assert sum(not row.units for row in rows) * 4 >= len(rows)
    assert len(read_rows(None, 5)) == 5


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", b"x", "not a .csv"),
        ("a.json", b"{", "no JSON"),
        ("a.json", b"{}", "needs a list"),
        ("a.json", b"[]", "holds no rows"),
        ("a.jsonl", b'{"text": "Orla"}', "entry 1"),
        ("a.jsonl", b'{"text": "Orla", "spans": [[2, 9]]}', "entry 1"),
        ("a.jsonl", b'\n{"text": Orla', "line 2"),
        ("a.csv", b"user_query\nOrla\n", "entry 1"),
        ("a.csv", b"user_query,pii_units\n\xff,x\n", "no UTF-8"),
    ],
)
def test_bad_files_are_named_and_not_quoted(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    """The error says where, and never what."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as error:
        read_rows(path)
    assert "Orla" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "none.csv")
