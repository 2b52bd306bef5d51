from __future__ import annotations

from pathlib import Path

import pytest

from cogenesis_langchain import advice
from cogenesis_langchain.detect import lexicon
from cogenesis_langchain.detect.rampart import MAX_TOKENS, TYPES, Rampart, Word, _kept, join
from cogenesis_langchain.errors import ModelCorruptError, ModelMissingError

# The model itself is tested in integration_tests; here is what is done with its answers.


def words(text: str, **types: float) -> list[Word]:
    """Every word of the text; those named are of the type given before `_`, with that likelihood."""
    out, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        kind, score = next(
            ((k.partition("_")[0], v) for k, v in types.items() if k.endswith(f"_{word}")), ("", 0.0)
        )
        scores = [score if name.startswith(kind) and kind else 0.0 for name in TYPES]
        out.append(Word(at, at + len(word), 1 - score, scores))
        at += len(word)
    return out


def joined(text: str, **types: float) -> list[tuple[str, str]]:
    """(found text, type)."""
    return [(text[s.start : s.end], s.type) for s in join(text, words(text, **types))]


def test_neighbours_of_one_type_are_one_finding() -> None:
    """Given name and surname together; two persons apart."""
    assert joined("ask Nora Lindqvist today", PERSON_Nora=0.9, PERSON_Lindqvist=0.8) == [
        ("Nora Lindqvist", "PERSON")
    ]
    assert joined("Nora and Tom", PERSON_Nora=0.9, PERSON_Tom=0.8) == [("Nora", "PERSON"), ("Tom", "PERSON")]


def test_an_address_runs_over_lines() -> None:
    """Street, town and code are one place."""
    text = "14 Birch\nBristol now"
    assert joined(text, LOCATION_14=0.9, LOCATION_Birch=0.9, LOCATION_Bristol=0.9) == [
        ("14 Birch\nBristol", "LOCATION")
    ]


def test_what_is_unlikely_is_no_finding() -> None:
    """Below the threshold, or less likely than nothing at all."""
    assert joined("maybe Nora", PERSON_Nora=0.3) == []
    assert joined("maybe Nora", PERSON_Nora=0.46) == []  # outside: .54


def test_dense_windows_are_cut_to_their_longer_words() -> None:
    """No text costs much more than prose: single characters go first."""
    count = 3 * MAX_TOKENS
    ids = list(range(count))
    single = [(i, i + 1) for i in range(count)]
    longer = [(i, i + (2 if i % 10 == 0 else 1)) for i in range(count)]
    assert _kept(ids, single) == []
    assert _kept(ids, longer) == list(range(0, count, 10))
    assert len(_kept(ids[:MAX_TOKENS], single[:MAX_TOKENS])) == MAX_TOKENS


def test_missing_and_broken_files_name_the_command(tmp_path: Path) -> None:
    """Nothing is loaded before it is needed, and then the error says what to run."""
    with pytest.raises(ModelMissingError, match="cogenesis models pull rampart"):
        Rampart(tmp_path).find("x")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model_q4.onnx").write_bytes(b"junk")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        Rampart(tmp_path).warm()


def test_a_policy_may_name_every_type() -> None:
    """`cogenesis policy check` takes none of them for a slip of the pen."""
    assert {*TYPES, lexicon.TYPE, "TITLE"} <= advice._ENTITIES
