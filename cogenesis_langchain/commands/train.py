"""`cogenesis train`: fits what the package ships fitted, from labelled requests on this machine."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    CloudModelOption,
    ConfigOption,
    GoldContextOption,
    GoldTokensOption,
    JsonOption,
    LocalModelOption,
    bar,
    check_target,
    load_engine,
    out,
    print_json,
    write_file,
)
from cogenesis_langchain.errors import InputError

if TYPE_CHECKING:
    from cogenesis_langchain.evals.gold import Gold, Golds
    from cogenesis_langchain.evals.persons import Person

app = typer.Typer(
    help="Fit the small parts of the router that learn from labelled examples. Nothing leaves the machine.",
    no_args_is_help=True,
)


LEAST_PERSONS = 3


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


@app.command()
def combiner(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="Persons with profile, writings, requests and a real text (`gold`): CoGenesis records "
            "(.json), or .jsonl as in `cogenesis eval linkage`.",
        ),
    ],
    to: Annotated[
        Path, typer.Option("--out", help="Where the coefficients go: a .json; with --paper a .npz.")
    ] = Path("combiner.json"),
    first: Annotated[int, typer.Option("--from", min=0, help="The first person, counted from 0.")] = 0,
    last: Annotated[int | None, typer.Option("--to", min=1, help="The person before whom to stop.")] = None,
    local: LocalModelOption = "qwen2.5-coder-0.5b-instruct",
    cloud: CloudModelOption = "qwen2.5-coder-1.5b-instruct",
    tokens: GoldTokensOption = 160,
    context: GoldContextOption = 800,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="A folder where all that the models said is kept, so that a run that was ended goes on; "
            "that of `cogenesis eval fusion` serves too. It holds what follows from private texts: remove it "
            "afterwards.",
        ),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Fit the paper's network instead, for combiner `paper`.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the combiner `learned` of route fuse: which model to believe, token by token.

    Both models read every real text in this process, which takes about half a minute a person on two cores;
    the fit itself takes seconds. unseen: nats a token of the real texts on persons that a fit has not seen
    (three fits, each without a third of them), by what the endpoint gives, beside the local model alone.
    Measure on other persons: `cogenesis eval fusion`. Use it: `fuse: {combiner_file: FILE}` in the policy.

    cogenesis train combiner --data dev.json --from 60 --work kept --out combiner.json
    """
    from cogenesis_langchain.fusion.combiners import FILES

    ending = FILES["paper" if paper else "learned"]
    if to.suffix != ending:
        raise InputError(f"{to}: --out needs a name that ends in {ending}")
    check_target(to)
    from cogenesis_langchain.evals.gold import Golds, Setting
    from cogenesis_langchain.evals.persons import read_persons

    numbered = [(n, one) for n, one in enumerate(read_persons(data)) if one.gold.strip()]
    numbered = [(n, one) for n, one in numbered if n >= first and (last is None or n < last)]
    if len(numbered) < LEAST_PERSONS:
        raise InputError(f"needs {LEAST_PERSONS} persons with a `gold` text at least, to fit and to check")
    with tempfile.TemporaryDirectory(prefix="cogenesis-train-") as scratch:
        golds = Golds(work or Path(scratch) / "kept", Setting(local, cloud, tokens, context))
        try:
            found = _combiner(golds, numbered, to, data.name, paper=paper)
        finally:
            golds.close()
    if as_json:
        print_json(found)
    else:
        out.print(f"{found['persons']} persons, {found['parameters']:,} parameters in {to}", markup=False)
        for name, row in found.get("unseen", {}).items():
            out.print(f"{name}: local alone {row['local']:.3f}, combined {row['fused']:.3f} nats a token")


def _combiner(
    golds: Golds, numbered: Sequence[tuple[int, Person]], to: Path, data: str, *, paper: bool
) -> dict[str, Any]:
    with bar() as progress:
        reading = progress.track(golds.of(numbered), total=len(numbered), description="reading texts")
        read = list(reading)
    card = {
        "name": "combiner of two next-token distributions",
        "data": data,
        "rows": [numbered[0][0], numbered[-1][0] + 1],
        "local": golds.setting.local,
        "cloud": golds.setting.cloud,
        "persons": len(read),
        "tokens": sum(len(gold.tokens) for gold in read),
        "date": datetime.date.today().isoformat(),
    }
    if paper:
        return _paper(read, to, card)
    return _learned(read, golds.models[0].vocabulary.tokens.pieces, to, card)


def _learned(read: Sequence[Gold], pieces: Sequence[bytes], to: Path, card: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from cogenesis_langchain.evals import fusion_features as fitting
    from cogenesis_langchain.fusion.learned import write

    with bar() as progress:
        steps = progress.track(fitting.lessons(read, pieces), total=len(read), description="experts")
        lessons = list(steps)
        halves = progress.track(fitting.halves(lessons), total=fitting.FOLDS, description="checking")
        found = [fitting.unseen(seen, held) for seen, held in halves]
    gates = fitting.fitted(lessons)
    unseen = {name: np.concatenate([one[name] for one in found]).mean(axis=0) for name in found[0]}
    card["unseen"] = {
        name: {"local": round(float(local), 4), "fused": round(float(fused), 4)}
        for name, (local, fused) in unseen.items()
    }
    write_file(to, write(gates, card))
    return {**card, "parameters": gates.parameters, "out": str(to)}


def _paper(read: Sequence[Gold], to: Path, card: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import fields

    import numpy as np

    from cogenesis_langchain.evals import fusion_paper as fitting

    with bar() as progress:
        reading = progress.track(read, description="candidates")
        given = [one for gold in reading for one in fitting.positions(gold)]
        rounds = progress.track(fitting.fit(given), total=fitting.ROUNDS, description="fitting")
        weights = list(rounds)[-1]
    arrays = {one.name: getattr(weights, one.name) for one in fields(weights)}
    half = to.with_name(f"{to.name}.part.npz")
    try:
        np.savez(half, **arrays)
        half.replace(to)
    finally:
        half.unlink(missing_ok=True)
    size = sum(array.size for name, array in arrays.items() if name != "ids")
    return {**card, "parameters": size, "out": str(to)}
