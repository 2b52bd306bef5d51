"""Kind and topic with the real models: accurate enough, repeatable, and quiet to the detector."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cogenesis_langchain import evals, models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.closed_lists import SIZES, Vocabulary, shipped
from cogenesis_langchain.detect.detector import Detector, Tier
from cogenesis_langchain.embed import Embedder
from cogenesis_langchain.errors import ModelMissingError
from cogenesis_langchain.generalize import generalize, shortlist, task_sentence
from cogenesis_langchain.types import GenericTask, Level
from cogenesis_langchain.writer.local import LlamaCppWriter

pytestmark = pytest.mark.integration

LABELLED = Path(evals.__file__).parent / "data" / "instructions.jsonl"
WRITER = "qwen2.5-coder-1.5b-instruct"
EVERY = 1 if os.environ.get("COGENESIS_TEST_ALL_LABELS") else 3


def _file(name: str) -> Path:
    """The verified model; pulled where it is missing."""
    try:
        return models.locate(name)
    except ModelMissingError:
        models.pull([name])
        return models.locate(name)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """The real embedder."""
    return Embedder(_file(models.EMBEDDER))


@pytest.fixture(scope="module")
def writer() -> Iterator[LlamaCppWriter]:
    """The default local model."""
    with LlamaCppWriter(_file(WRITER), template("chatml"), n_ctx=2048) as made:
        yield made


def _rows() -> list[dict[str, list[str]]]:
    """Those the head has not learnt from."""
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["split"] == "held"]


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found)


def _right(task: GenericTask, row: dict[str, list[str]], lists: Vocabulary) -> tuple[bool, bool]:
    """Whether kind and topic are groups that hold an accepted fine name; null accepts that none is told."""
    topics = {lists.topic_of[name] if name else None for name in row["topics"]}
    return task.kind in {lists.kind_of[name] for name in row["kinds"]}, task.topic in topics


def test_shortlists_begin_with_an_accepted_group(embedder: Embedder) -> None:
    """Without the model, the group of the likeliest kind and topic is right for three in four unseen ones."""
    lists, hits = shipped(), []
    for row in _rows():
        (kind, *_), (topic, *_) = shortlist(str(row["instruction"]), lists, embedder)
        told = GenericTask(str(kind.group), topic.group)
        hits.append(_right(told, row, lists))
    assert _share(kind for kind, _ in hits) >= 0.75
    assert _share(topic for _, topic in hits) >= 0.75


def test_choices_are_accurate_and_repeatable(embedder: Embedder, writer: LlamaCppWriter) -> None:
    """With the model, seven in ten or more are right, and asking again changes nothing."""
    rows = _rows()[::EVERY]
    lists = shipped()
    tasks = [generalize(str(row["instruction"]), lists, embedder, writer) for row in rows]
    hits = [_right(task, row, lists) for task, row in zip(tasks, rows, strict=True)]
    assert _share(kind for kind, _ in hits) >= 0.7
    assert _share(topic for _, topic in hits) >= 0.7
    again = [generalize(str(row["instruction"]), lists, embedder, writer) for row in reversed(rows[:6])]
    assert again == tasks[:6][::-1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tier", ["balanced", "thorough"])
def test_no_sentence_of_the_lists_looks_private(tier: Tier, size: str) -> None:
    """The gate must never stop our own words: every kind, and every topic with a few kinds, is quiet."""
    lists, detector = shipped(size), Detector(tier)
    kinds = list(lists.kinds)
    tasks = [GenericTask(kind, None) for kind in kinds]
    for i, topic in enumerate(lists.topics):
        tasks += [GenericTask(kinds[(5 * i + j) % len(kinds)], topic) for j in range(4)]
    sentences = [task_sentence(task, Level.TOPIC, lists).text for task in tasks]
    assert [sentence for sentence in sentences if detector.detect(sentence)] == []
