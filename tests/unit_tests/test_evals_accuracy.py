"""Accuracy of kind and topic is counted by what the labels accept, and no label goes unchecked."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cogenesis_langchain.closed_lists import SIZES, shipped
from cogenesis_langchain.commands import accuracy as command
from cogenesis_langchain.commands.main import app
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.accuracy import TOKENS, Accuracy, measure, right, yardstick
from cogenesis_langchain.evals.labelled import SPLITS, Labelled, read_labelled
from cogenesis_langchain.testing import FakeEmbedder, FakeWriter
from cogenesis_langchain.types import GenericTask
from cogenesis_langchain.writer.parts import Turn

FULL = shipped("full")
POEM = {"instruction": "A poem about my Zanzibarian cat", "kinds": ["poem"], "topics": ["pets"]}


def _row(kinds: set[str], topics: set[str | None], split: str = "tune") -> Labelled:
    return Labelled("x", "a poem about our dog", tuple(kinds), tuple(topics), split)


def _file(folder: Path, *entries: Any) -> Path:
    path = folder / "requests.jsonl"
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_shipped_requests_are_many_and_cover_the_lists() -> None:
    """At least 300, half of the new ones held back; every kind and topic is asked for, and none at times."""
    rows = read_labelled(None, FULL)
    assert len(rows) >= 300
    counted = Counter(row.split for row in rows)
    assert min(counted[name] for name in SPLITS) >= 200
    assert {name for row in rows for name in row.kinds} == FULL.fine_kinds.keys()
    assert {name for row in rows for name in row.topics} == {*FULL.fine_topics, None}
    assert len({row.instruction for row in rows}) == len(rows)
    assert {row.id for row in read_labelled(None, FULL, "held")} == {r.id for r in rows if r.split == "held"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (POEM | {"kinds": ["pome"]}, '`kinds`: the lists hold no "pome"'),
        (POEM | {"topics": ["kats"]}, '`topics`: the lists hold no "kats"'),
        (POEM | {"kinds": [None]}, "`kinds`: the lists hold no null"),
        (POEM | {"topics": []}, "`topics` needs a list"),
        (POEM | {"topics": "pets"}, "`topics` needs a list"),
        (POEM | {"kinds": [["poem"]]}, "`kinds`: the lists hold no"),
        (POEM | {"split": "test"}, "`split` is one of tune, held"),
        (POEM | {"instruction": " "}, "`instruction` is no text"),
        ({"instruction": POEM["instruction"]}, "needs a JSON object with `instruction`"),
        ("[]", "needs a JSON object"),
        ("no json", "needs a JSON object"),
    ],
)
def test_a_faulty_line_is_named_and_not_quoted(tmp_path: Path, entry: Any, says: str) -> None:
    """Which line, which key and which name; never the instruction."""
    with pytest.raises(InputError) as raised:
        read_labelled(_file(tmp_path, POEM, "", entry), FULL)
    assert "line 3: " in str(raised.value)
    assert says in str(raised.value)
    assert "Zanzibarian" not in str(raised.value) + repr(raised.value.__cause__)


def test_other_faults_of_a_file(tmp_path: Path) -> None:
    """No file, no UTF-8, nothing of the split asked for, one id twice."""
    with pytest.raises(InputError, match="cannot be read"):
        read_labelled(tmp_path / "none.jsonl", FULL)
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no UTF-8"):
        read_labelled(tmp_path / "latin.jsonl", FULL)
    with pytest.raises(InputError, match="no requests of the split held"):
        read_labelled(_file(tmp_path, POEM), FULL, "held")
    with pytest.raises(InputError, match="the same id"):
        read_labelled(_file(tmp_path, POEM | {"id": "a"}, POEM | {"id": "a"}), FULL)


@pytest.mark.parametrize(
    ("topics", "chosen", "counts"),
    [
        ({"pets"}, "pets", True),
        ({"pets"}, "animals", False),
        ({"pets"}, None, False),
        ({None}, None, True),
        ({None}, "pets", False),
        ({None, "pets"}, "pets", True),
        ({None, "pets"}, None, True),
    ],
)
def test_no_topic_is_right_only_where_none_need_fit(
    topics: set[str | None], chosen: str | None, counts: bool
) -> None:
    """In the full size every name stands for itself."""
    assert right(GenericTask("poem", chosen), _row({"poem"}, topics), FULL) == (True, counts)


@pytest.mark.parametrize("size", SIZES)
def test_a_group_is_right_if_it_holds_an_accepted_name(size: str) -> None:
    """And only then: whatever the size, each accepted name makes right its own group and no other."""
    lists = shipped(size)
    for name, group in lists.kind_of.items():
        other = next((kind for kind in lists.kinds if kind != group), None)
        assert right(GenericTask(group, None), _row({name}, {None}), lists) == (True, True)
        if other is not None:
            assert right(GenericTask(other, None), _row({name}, {None}), lists) == (False, True)
    for name, group in lists.topic_of.items():
        task = GenericTask(lists.kind_of["poem"], group)
        assert right(task, _row({"poem"}, {name}), lists) == (True, True)


def _measured(rows: list[Labelled], decode: Any = None) -> Accuracy:
    *_, last = measure(rows, FULL, FakeEmbedder(), FakeWriter(), decode)
    return last


@pytest.fixture
def poems_about_pets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for; the model is asked where the request ends in a question mark."""

    def chosen(instruction: str, _lists: Any, _embedder: Any, writer: Any) -> GenericTask:
        if instruction.endswith("?"):
            writer.choose((Turn("user", (instruction,)),), ["a", "b"])
        return GenericTask("poem", "pets")

    monkeypatch.setattr("cogenesis_langchain.evals.accuracy.generalize", chosen)


@pytest.mark.usefixtures("poems_about_pets")
def test_shares_are_counted_by_split_and_held_rows_are_never_shown() -> None:
    """The choice is always the same; only what the labels say differs."""
    rows = [
        _row({"poem"}, {"pets"}),
        _row({"memo"}, {"pets"}),
        _row({"poem"}, {"taxes"}, "held"),
        _row({"memo"}, {"taxes"}, "held"),
    ]
    found = _measured(rows).as_dict()
    assert found["splits"]["tune"] == {"rows": 2, "kind": 0.5, "topic": 1.0, "both": 0.5}
    assert found["splits"]["held"] == {"rows": 2, "kind": 0.5, "topic": 0.0, "both": 0.0}
    assert found["wrong"] == [{"id": "x", "kind": "poem", "topic": "pets", "right": [False, True]}]
    assert "dog" not in json.dumps(found)
    assert found["styles"] == {}
    assert found["ratio_median"] is None


@pytest.mark.usefixtures("poems_about_pets")
def test_shares_are_told_for_each_style_too() -> None:
    """Where a row names one."""
    rows = [replace(_row({kind}, {"pets"}), style=style) for kind, style in (("poem", "a"), ("memo", "b"))]
    found = _measured([*rows, _row({"memo"}, {"pets"})]).as_dict()
    assert found["styles"] == {
        "a": {"rows": 1, "kind": 1.0, "topic": 1.0, "both": 1.0},
        "b": {"rows": 1, "kind": 0.0, "topic": 1.0, "both": 0.0},
    }
    assert found["splits"]["tune"]["rows"] == 3


def test_time_is_told_in_tokens_of_the_same_run() -> None:
    """Twice the yardstick is two, however long that took; a writer on a server gives no yardstick."""
    found = _measured([_row({"poem"}, {"pets"})] * 2, lambda: 8.0)
    found.seconds = [4.0, 16.0, 16.0]
    assert (found.as_dict()["ratio_median"], found.as_dict()["ratio_mean"]) == (2.0, 1.5)
    assert yardstick(FakeWriter()) is None


def test_the_yardstick_decodes_the_tokens_it_names() -> None:
    """Reading the prompt is not in it, so the loop is advanced once before the clock starts."""

    class Bare:
        steps = 0

        def bare_loop(self, _prompt: Any, n_tokens: int) -> Any:
            for _ in range(n_tokens + 1):
                Bare.steps += 1
                yield

    decode = yardstick(Bare())
    assert decode is not None
    assert decode() >= 0
    assert Bare.steps == TOKENS + 1


@pytest.mark.usefixtures("poems_about_pets")
def test_how_often_the_model_was_asked() -> None:
    """One in four here."""
    clear, open_ = (Labelled(text, text, ("poem",), ("pets",)) for text in ("a", "b?"))
    writer = FakeWriter()
    *_, last = measure([clear, open_, clear, clear], FULL, FakeEmbedder(), writer)
    assert len(writer.choices) == 1
    assert last.as_dict()["asked"] == 0.25


def test_the_command_gives_each_size_and_split(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry a size with its bits; stdout holds nothing but the document."""
    monkeypatch.setattr(command, "load_engine", lambda *_: engine)
    done = CliRunner().invoke(
        app, ["eval", "generalize", "--json", "--limit", "8", "--size", "tiny", "--size", "full"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [one["size"] for one in found["sizes"]] == ["tiny", "full"]
    assert found["sizes"][0]["bits_topic"] < found["sizes"][1]["bits_topic"]
    assert found["rows"] == 8 == sum(split["rows"] for split in found["sizes"][0]["splits"].values())


@pytest.mark.parametrize(("option", "value"), [("--size", "huge"), ("--split", "test")])
def test_the_command_refuses_before_it_loads_a_model(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that exist are in the message."""
    monkeypatch.setattr(command, "load_engine", lambda *_: pytest.fail("an engine was made"))
    done = CliRunner().invoke(app, ["eval", "generalize", option, value])
    assert isinstance(done.exception, InputError)
    assert f"{option} {value}: choose from " in str(done.exception)
