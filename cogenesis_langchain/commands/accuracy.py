"""`cogenesis eval generalize`: how often the generic task is right, and what choosing it costs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    bar,
    load_engine,
    out,
    print_json,
    print_table,
)
from cogenesis_langchain.errors import InputError


def generalize(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="A .jsonl of requests: `instruction`, and all fine names you accept in `kinds` and `topics` "
            "(null: no topic need fit). Without it: the shipped fictional requests.",
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            help="tiny, small, medium, large or full; may be repeated. Without it: the policy's.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only so many requests, drawn by a fixed seed.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only tune, or only held.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How often the kind and topic that go out are right, as labelled by people.

    right: the group that would go out holds a name the labels accept. The requests of the split tune may be
    looked at while the lists are improved; those of held are only counted. Of the shipped ones, the plain
    say what they want, and the terse are hard on purpose. asked: share of the requests for which the local
    model had to choose. time: of choosing, over that of 20 tokens decoded by the same model in the same
    run. Takes about a second for each request and size.
    """
    from cogenesis_langchain.closed_lists import SIZES, Vocabulary
    from cogenesis_langchain.evals.labelled import SPLITS, read_labelled

    if unknown := [name for name in size or () if name not in SIZES]:
        raise InputError(f"--size {unknown[0]}: choose from {', '.join(SIZES)}")
    if split is not None and split not in SPLITS:
        raise InputError(f"--split {split}: choose from {', '.join(SPLITS)}")
    engine = load_engine(config)
    own = engine.config.vocabulary
    lists = [Vocabulary.load(own.kinds, own.topics, size=name) for name in dict.fromkeys(size or [own.size])]
    rows = read_labelled(data, lists[0], split)
    if limit is not None and limit < len(rows):
        rows = random.Random(limit).sample(rows, limit)  # noqa: S311 - no secret is made
    try:
        found = _measured(engine, rows, lists)
    finally:
        engine.close()
    if as_json:
        print_json({"model": engine.config.models.local.model, "rows": len(rows), "sizes": found})
    else:
        _show(engine.config.models.local.model, found)


def _measured(engine: Any, rows: Sequence[Any], lists: Sequence[Any]) -> list[dict[str, Any]]:
    from cogenesis_langchain.evals.accuracy import measure, yardstick
    from cogenesis_langchain.generalize import warm

    writer, embedder, found = engine.writer, engine.embedder, []
    with bar() as progress:
        for vocabulary in lists:
            warm(vocabulary, embedder, writer)
            steps = measure(rows, vocabulary, embedder, writer, yardstick(writer))
            *_, last = progress.track(steps, total=len(rows), description=f"choosing, {vocabulary.size}")
            found.append(last.as_dict())
    return found


def _show(model: str, found: Sequence[dict[str, Any]]) -> None:
    table = Table(title=f"kind and topic, chosen with {model}")
    for name in ("size", "of"):
        table.add_column(name)
    for name in (
        "requests",
        "kind right",
        "topic right",
        "both",
        "kinds",
        "topics",
        "bits at kind",
        "at topic",
    ):
        table.add_column(name, justify="right")
    for one in found:
        told = (str(one["kinds"]), str(one["topics"]), f"{one['bits_kind']:.1f}", f"{one['bits_topic']:.1f}")
        for name, split in (one["splits"] | one["styles"]).items():
            shares = [f"{split[key]:.3f}" for key in ("kind", "topic", "both")]
            table.add_row(one["size"], name, str(split["rows"]), *shares, *told)
    print_table(table, figures=True)
    for one in found:
        spent = ""
        if one["ratio_median"] is not None:
            spent = f"; time / 20 tokens: median {one['ratio_median']:.2f}, mean {one['ratio_mean']:.2f}"
        out.print(f"{one['size']}: the model was asked for {one['asked']:.0%}{spent}", markup=False)
