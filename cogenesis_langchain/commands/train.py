"""`cogenesis train`: fits what the package ships fitted, from labelled requests on this machine."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    bar,
    check_target,
    load_engine,
    out,
    print_json,
    write_file,
)
from cogenesis_langchain.errors import InputError

app = typer.Typer(
    help="Fit the small parts of the router that learn from labelled examples. Nothing leaves the machine.",
    no_args_is_help=True,
)


@app.callback()
def _train() -> None:
    """A group, so that each part that learns has a command of its own."""


@app.command()
def chooser(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="A .jsonl of requests: `instruction`, and the fine names you accept in `kinds`, `topics`, "
            "the likeliest first. May be repeated. Rows of the split held are left out.",
        ),
    ],
    to: Annotated[Path, typer.Option("--out", help="Where the coefficients go: a .npz; the card beside it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the head that chooses kind and topic of a request.

    A logistic regression over the request's vector and the cue words of the lists; deterministic, and done in
    under a minute. right: share of the requests whose accepted kind and topic is found by a head that has
    not seen them, in each size of the lists.
    """
    if to.suffix != ".npz":
        raise InputError(f"{to}: --out needs a name that ends in .npz")
    card = to.with_suffix(".json")
    check_target(to)
    check_target(card)
    from cogenesis_langchain.closed_lists import Vocabulary
    from cogenesis_langchain.evals.labelled import SPLITS, read_labelled

    lists = Vocabulary.load(size="full")
    rows = [row for path in data for row in read_labelled(path, lists) if row.split == SPLITS[0]]
    if not rows:
        raise InputError("no request to learn from: all are of the split held")
    engine = load_engine(config)
    try:
        file, text, right = _fitted(rows, lists, engine.embedder, sorted(path.name for path in data))
    finally:
        engine.close()
    to.write_bytes(file)
    write_file(card, text)
    found = {"requests": len(rows), "bytes": len(file), "out": str(to), "right": right}
    if as_json:
        print_json(found)
    else:
        out.print(f"{len(rows)} requests, {len(file):,} bytes in {to}, its card in {card}", markup=False)
        for size, shares in right.items():
            out.print(f"{size}: unseen kinds right {shares['kinds']:.3f}, topics {shares['topics']:.3f}")


def _fitted(
    rows: Sequence[Any], lists: Any, embedder: Any, names: Sequence[str]
) -> tuple[bytes, str, dict[str, dict[str, float]]]:
    from cogenesis_langchain.chooser import write_heads
    from cogenesis_langchain.evals import fitting
    from cogenesis_langchain.generalize import read

    queries = embedder.embed([read(row.instruction) for row in rows])
    heads: dict[str, Any] = {}
    right: dict[str, dict[str, float]] = {}
    with bar() as progress:
        for key in progress.track(("kinds", "topics"), description="fitting"):
            given = fitting.material(rows, queries, embedder, lists, key)
            heads[key] = fitting.fit(given, fitting.STRENGTH[key])
            for size, share in fitting.right(given, rows, key).items():
                right.setdefault(size, {})[key] = round(share, 4)
    described = {
        "name": "chooser of kind and topic",
        "model": embedder.model,
        "dimensions": int(queries.shape[1]),
        "data": list(names),
        "requests": len(rows),
        "date": datetime.date.today().isoformat(),
        "right_unseen": right,
    }
    file, text = write_heads(heads, described)
    return file, text, right
