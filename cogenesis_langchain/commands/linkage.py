"""`cogenesis eval linkage`: whose request was it, what does it say of them, and what was it good for."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    bar,
    check_target,
    out,
    print_json,
    print_table,
    write_file,
)
from cogenesis_langchain.errors import ConfigError, InputError

if TYPE_CHECKING:
    from cogenesis_langchain.config import Config
    from cogenesis_langchain.evals.linkage import Assessed
    from cogenesis_langchain.evals.outgoing import Sent
    from cogenesis_langchain.evals.persons import Person

METHODS = ("raw", "presidio", "cut", "mask", "free", "topic", "kind")
POOLS = (1, 5)


def linkage(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Persons with their profile, earlier writings and requests: a list of CoGenesis records "
            '(.json), or .jsonl with {"tasks", "profile", "writings", "gold"} a line. '
            "Without it: the shipped fictional persons.",
        ),
    ] = None,
    requests: Annotated[
        list[int] | None,
        typer.Option("--requests", help="1: each request alone; 5: a person's pooled. Without it: both."),
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help=f"Of {', '.join(METHODS)}.", show_default=False)
    ] = ",".join(METHODS),
    size: Annotated[
        str | None, typer.Option("--size", help="The size of the closed lists; else what the policy says.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Only the first persons.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw privacy against usefulness into this .svg file.")
    ] = None,
    writer: Annotated[
        bool,
        typer.Option(
            "--writer", help="Also how likely the local model finds the real text, given the sketch."
        ),
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="A file where the local model's answers are kept, so that a run that was ended goes on. "
            "Of one model only. It holds what level free would tell: remove it afterwards.",
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link what would leave to the person who asked, as an attacker who holds everybody's profile.

    Each method's bodies are made by the real router in a dry run (mask, free, topic, kind), or are the
    request itself, after default Presidio, or up to its first ": " (raw, presidio, cut). top-1: how often the
    worst of three attackers names the right person; chance is one in the number of persons. Similarity of
    what is told and what was asked says what it is good for.

    Without level free, which takes longest, and resumable:
    cogenesis eval linkage --data dev.json --methods raw,cut,topic,kind --keep answers.jsonl --plot curve.svg
    """
    chosen, pools = _checked(methods, requests)
    for target in (plot, keep):
        if target is not None:
            check_target(target)
    from cogenesis_langchain.config import load
    from cogenesis_langchain.evals.attackers import check_installed
    from cogenesis_langchain.evals.persons import read_persons

    check_installed()
    settings = _sized(load(config, require_keys=False), size)
    persons = read_persons(data, limit)
    if writer:
        _check_writer(persons)
    with bar() as progress:
        sent = _bodies(settings, persons, chosen, keep, progress)
        assessed = _attacked(persons, sent, chosen, pools, progress)
        worth = usefulness(persons, sent, chosen, progress) if writer else {}
    found = _record(settings, persons, assessed, worth)
    if plot is not None:
        from cogenesis_langchain.evals.plot import draw

        write_file(plot, draw(found))
    if as_json:
        print_json(found)
    else:
        for pool in pools:
            _show(found, pool)
        _show_attributes(found, pools[-1])


def _checked(methods: str, requests: Sequence[int] | None) -> tuple[list[str], list[int]]:
    """The methods and pools. InputError names what is none."""
    chosen = list(dict.fromkeys(name.strip() for name in methods.split(",")))
    if unknown := [name for name in chosen if name not in METHODS]:
        raise InputError(f"--methods: there is no method {unknown[0]}; choose from {', '.join(METHODS)}")
    pools = sorted(set(requests or POOLS))
    if wrong := [pool for pool in pools if pool not in POOLS]:
        raise InputError(f"--requests {wrong[0]}: choose 1 (each alone) or 5 (a person's pooled)")
    return chosen, pools


def _check_writer(persons: Sequence[Person]) -> None:
    """Before the work, which takes long: InputError without a gold text, ModelMissingError without models."""
    from cogenesis_langchain import models
    from cogenesis_langchain.evals.usefulness import CLOUD, WRITER

    if not any(person.gold for person in persons):
        raise InputError("--writer needs persons with a `gold` text, and the data has none")
    for name in (CLOUD, WRITER):
        models.locate(name)


def _sized(config: Config, size: str | None) -> Config:
    if size is None:
        return config
    from cogenesis_langchain.closed_lists import SIZES

    if size not in SIZES:
        raise ConfigError(f"--size {size}: choose from {', '.join(SIZES)}")
    update = {"vocabulary": config.vocabulary.model_copy(update={"size": size})}
    return config.model_copy(update=update)


def _bodies(
    config: Config, persons: Sequence[Person], methods: Sequence[str], keep: Path | None, progress: Any
) -> list[Sent]:
    from cogenesis_langchain.evals.outgoing import Outgoing

    with tempfile.TemporaryDirectory(prefix="cogenesis-linkage-") as folder:
        outgoing = Outgoing(config, Path(folder), keep)
        try:
            numbered = list(enumerate(persons))
            return [
                sent
                for number, person in progress.track(numbered, description="what would leave")
                for sent in outgoing.of(number, person, methods)
            ]
        finally:
            outgoing.close()


def _attacked(
    persons: Sequence[Person],
    sent: Sequence[Sent],
    methods: Sequence[str],
    pools: Sequence[int],
    progress: Any,
) -> list[Assessed]:
    from cogenesis_langchain.embed import Embedder
    from cogenesis_langchain.evals.attackers import Holdings
    from cogenesis_langchain.evals.linkage import assess

    held = Holdings(persons, Embedder.default())
    return [
        assess(method, [row for row in sent if row.method == method], held, together=pools)
        for method in progress.track(list(methods), description="attacks")
    ]


def usefulness(
    persons: Sequence[Person], sent: Sequence[Sent], methods: Sequence[str], progress: Any
) -> dict[str, Any]:
    """Method -> figures of the gold texts' likelihood, with what each method tells of the first request."""
    from cogenesis_langchain.evals.outgoing import telling
    from cogenesis_langchain.evals.usefulness import WRITER, Row, StandIn, nll
    from cogenesis_langchain.writer.opening import of_catalogue

    told: dict[int, dict[str, str | None]] = {}
    for method in methods:
        first = [row for row in sent if row.method == method and row.request == 0]
        texts = iter(telling([row.text for row in first if row.text is not None]))
        for row in first:
            told.setdefault(row.person, {})[method] = None if row.text is None else next(texts)
    rows = [Row(person, told[number]) for number, person in enumerate(persons) if person.gold]
    cloud, local = StandIn(), of_catalogue(WRITER)
    try:
        steps = nll(rows, methods, cloud, local)
        figures = list(progress.track(steps, total=len(rows), description="reading the real texts"))[-1]
    finally:
        cloud.close()
        local.close()
    return {one.method: one.as_dict() for one in figures}


def _record(
    config: Config, persons: Sequence[Person], assessed: Sequence[Assessed], useful: dict[str, Any]
) -> dict[str, Any]:
    from cogenesis_langchain.closed_lists import Vocabulary
    from cogenesis_langchain.types import Level

    lists = config.vocabulary
    vocabulary = Vocabulary.load(lists.kinds, lists.topics, size=lists.size)
    bits = {level.value: vocabulary.bits(level) for level in (Level.TOPIC, Level.KIND)}
    return {
        "persons": len(persons),
        "requests": sum(len(person.tasks) for person in persons),
        "chance": round(1 / len(persons), 4),
        "size": lists.size,
        "bits": {name: round(value or 0.0, 2) for name, value in bits.items()},
        "methods": [
            one.as_dict()
            | {"bits": round(bits.get(one.method) or 0.0, 2) or None, "nll": useful.get(one.method)}
            for one in assessed
        ],
        "without_sketch": useful.get("none"),
    }


def _show(found: dict[str, Any], pool: int) -> None:
    requests = "one request" if pool == 1 else f"up to {pool} requests of a person together"
    table = Table(title=f"{requests}; {found['persons']} persons, chance {found['chance']:.3f}")
    table.add_column("method")
    names = ("sent", "bits", "tfidf", "minilm", "trained", "worst top-1", "95 %", "top-5", "entropy")
    for name in (
        *names,
        "worst tenth",
        "similarity",
        "stand there",
        *(["nll"] if found["without_sketch"] else []),
    ):
        table.add_column(name, justify="right")
    for row in found["methods"]:
        linked = next((one for one in row["linkage"] if one["requests"] == pool), None)
        if linked is None:
            table.add_row(row["method"], f"{row['send_rate']:.2f}")
            continue
        worst = linked["worst"]
        cells = [
            f"{row['send_rate']:.2f}",
            "" if row["bits"] is None else f"{row['bits']:.1f}",
            *(f"{one['top1']:.3f}" for one in linked["attackers"]),
            f"{worst['top1']:.3f}",
            f"{worst['low']:.3f}-{worst['high']:.3f}",
            f"{worst['top5']:.3f}",
            f"{worst['entropy']:.2f}",
            f"{worst['worst_decile']:.3f}",
            f"{row['similarity']:.2f}",
            str(sum(row["standing"].values())),
        ]
        table.add_row(row["method"], *cells, *([f"{row['nll']['nll']:.3f}"] if row["nll"] else []))
    print_table(table, figures=True)


def _show_attributes(found: dict[str, Any], pool: int) -> None:
    """What the bodies say of a person, in points above what is guessed without them."""
    rows = {
        row["method"]: one["attributes"]
        for row in found["methods"]
        for one in row["linkage"]
        if one["requests"] == pool
    }
    names = list(dict.fromkeys(one["attribute"] for attributes in rows.values() for one in attributes))
    if not names:
        return
    table = Table(title=f"guessed right above the prior, in points ({pool} requests)")
    table.add_column("method")
    for name in names:
        table.add_column(name, justify="right")
    for method, attributes in rows.items():
        points = {one["attribute"]: one for one in attributes}
        shown = (points.get(name) for name in names)
        cells = (
            f"{one['points']:+.1f} ({one['low']:+.1f} to {one['high']:+.1f})" if one else "" for one in shown
        )
        table.add_row(method, *cells)
    print_table(table, figures=True)
    out.print("bits: what the lists allow of one request; mask and free have no bound.", style="dim")
