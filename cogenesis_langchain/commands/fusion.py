"""`cogenesis eval fusion`: what combining both models gets of the large one's gain from the context."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cogenesis_langchain.commands.common import (
    CloudModelOption,
    GoldContextOption,
    GoldTokensOption,
    JsonOption,
    LocalModelOption,
    bar,
    out,
    print_json,
    print_table,
)
from cogenesis_langchain.errors import InputError

if TYPE_CHECKING:
    from cogenesis_langchain.evals.fusion_runs import Runs

FORMS = ("text", "draft", "live", "trusted", "linkage")
COMBINERS = ("mean", "logmean", "delta", "learned", "paper")


def fusion(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Persons with profile, writings, requests and a real text (`gold`): CoGenesis records "
            "(.json), or .jsonl as in `cogenesis eval linkage`. Without it: the shipped fictional persons.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="So many persons.")] = None,
    first: Annotated[int, typer.Option("--from", min=0, help="The first person, counted from 0.")] = 0,
    forms: Annotated[str, typer.Option("--forms", help=f"Of {', '.join(FORMS)}.")] = "text,draft",
    combiners: Annotated[
        str,
        typer.Option("--combiners", help=f"Of {', '.join(COMBINERS)}. Live takes the last."),
    ] = "mean,logmean,delta,learned",
    fitted: Annotated[
        list[Path] | None,
        typer.Option(
            "--combiner-file",
            help="What cogenesis train combiner made: a .json for learned in place of the shipped one, or "
            "a .npz for paper. Repeatable.",
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("--k", min=0, help="Candidates that the endpoint lists; 0: as many as wanted.")
    ] = 20,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(
            "--epsilon", min=0.001, help="Live: nats a token, as a policy has it without. Repeatable."
        ),
    ] = None,
    nats: Annotated[
        float | None,
        typer.Option("--nats", min=0.1, help="Live: nats for a whole text, as a policy has it without."),
    ] = None,
    pace: Annotated[
        float | None,
        typer.Option(
            "--per-request", min=0, help="Live, trusted: tokens before the next request; 0: none need go by."
        ),
    ] = None,
    samples: Annotated[
        list[int] | None,
        typer.Option("--samples", min=1, help="Draft: drafts of one task, else 1. Repeatable."),
    ] = None,
    tokens: GoldTokensOption = 160,
    context: GoldContextOption = 800,
    local: LocalModelOption = "qwen2.5-coder-0.5b-instruct",
    cloud: CloudModelOption = "qwen2.5-coder-1.5b-instruct",
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="A folder where all that models said is kept, so that a run that was ended goes on. "
            "It holds what follows from private texts: remove it afterwards.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """How likely the text a person really wrote is, in nats a token: each model alone, and both combined.

    gap closed: the share of what the cloud model would gain from the person's context, had it been sent, that
    a form of fusion gets without sending it. Forms: text (the true text so far is known to all: an upper
    bound), draft, live and trusted (a live endpoint that may see the text; the context it never sees), and
    linkage: how often the writer is named among all persons of the file from what had gone up at a part of
    the text, for draft, live if asked for, and the text itself. Both models run in this process; live and
    trusted take a minute a person and more on two cores.

    cogenesis eval fusion --data dev.json --limit 44 --work kept --forms text,draft,linkage
    """
    chosen = _named("--forms", forms, FORMS)
    names = _named("--combiners", combiners, COMBINERS)
    by_name = _by_combiner(fitted or [], names)
    from cogenesis_langchain.evals.fusion_runs import Runs
    from cogenesis_langchain.evals.gold import Setting
    from cogenesis_langchain.evals.persons import read_persons

    persons = read_persons(data)
    numbered = [(n, one) for n, one in enumerate(persons) if one.gold.strip() and n >= first][:limit]
    if not numbered:
        raise InputError("no person from there on has a `gold` text, and without one nothing can be measured")
    if "linkage" in chosen:
        from cogenesis_langchain.evals.attackers import check_installed

        check_installed()
    with _folder(work) as folder:
        runs = Runs(folder, Setting(local, cloud, tokens, context), persons, names, k, by_name)
        try:
            found = _measured(runs, numbered, chosen, epsilon, nats, pace, sorted(set(samples or [1])))
        finally:
            runs.close()
    if as_json:
        print_json(found)
    else:
        _show(found)


def _measured(
    runs: Runs,
    numbered: Sequence[tuple[int, Any]],
    forms: Sequence[str],
    epsilon: Sequence[float] | None,
    nats: float | None,
    pace: float | None,
    samples: Sequence[int],
) -> dict[str, Any]:
    from cogenesis_langchain.evals.fusion import alone
    from cogenesis_langchain.evals.fusion_runs import COMPARED
    from cogenesis_langchain.fuse.asking import Live

    with bar() as progress:
        reading = progress.track(runs.golds.of(numbered), total=len(numbered), description="reading texts")
        golds = list(reading)
        rows = alone(golds)
        if "text" in forms:
            steps = runs.forced(golds)
            rows += list(progress.track(steps, total=len(golds), description="combining"))[-1]
        if "draft" in forms:
            steps = runs.drafted(golds, samples)
            rows += list(progress.track(steps, total=len(golds), description="drafts"))[-1]
        sent: dict[str, Any] = {}
        each = (epsilon or [Live().nats_per_token]) if "live" in forms else []
        for name, live in runs.lives(each, nats, "trusted" in forms, pace).items():
            walks = list(progress.track(runs.walks(golds, live), total=len(golds), description=name))
            rows.append(runs.walked(name, golds, walks))
            if not live.trusted:
                sent[name] = walks
        linkage: list[dict[str, Any]] = []
        if "linkage" in forms:
            attacks = runs.linked(golds, sent)
            methods = len(sent) + len(COMPARED)
            for part in progress.track(attacks, total=methods, description="attacks"):
                linkage += part
    return runs.record(golds) | {"rows": [row.as_dict() for row in rows], "linkage": linkage}


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="cogenesis-fusion-") as folder:
        yield Path(folder)


def _by_combiner(given: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    from cogenesis_langchain.evals.fusion_runs import FILES

    found = {}
    for path in given:
        name = next((name for name, ending in FILES.items() if path.suffix == ending), None)
        if name is None or name not in names:
            raise InputError(
                f"--combiner-file {path}: needs a .json with --combiners learned, or a .npz with paper"
            )
        found[name] = path
    return found


def _named(option: str, given: str, known: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in given.split(",")))
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{option}: there is no {unknown[0]!r}; choose from {', '.join(known)}")
    return names


def _show(found: dict[str, Any]) -> None:
    listed = found["k"] or "all"
    title = f"{found['persons']} persons, {found['tokens']} tokens; {listed} candidates of {found['cloud']}"
    table = Table(title=title)
    table.add_column("setting")
    table.add_column("way")
    for name in ("nats/token", "95 %", "gap closed", "95 %", ""):
        table.add_column(name, justify="right" if name else "left")
    for row in found["rows"]:
        gap = row["gap_closed"]
        table.add_row(
            row["setting"],
            row["name"] + (" (never sent)" if row["never_sent"] else ""),
            f"{row['nll']:.3f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            "" if gap is None else f"{gap:.0%}",
            "" if gap is None else f"{row['gap_low']:.0%} to {row['gap_high']:.0%}",
            ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in row["more"].items()),
        )
    print_table(table)
    if found["linkage"]:
        _show_linkage(found)
    out.print(
        f"gap closed: of the way from {found['local']} with context to {found['cloud']} with context, "
        "which is never sent and only computed here.",
        style="dim",
    )


def _show_linkage(found: dict[str, Any]) -> None:
    methods = list(dict.fromkeys(one["method"] for one in found["linkage"]))
    shares = list(dict.fromkeys(one["share"] for one in found["linkage"]))
    table = Table(title=f"the writer named among {found['profiles']} profiles, by what had gone up")
    table.add_column("what went up")
    for share in shares:
        table.add_column(f"at {share:.0%}", justify="right")
    for method in methods:
        cells = [
            f"{one['top1']:.0%} ({one['low']:.0%} to {one['high']:.0%})"
            for one in found["linkage"]
            if one["method"] == method
        ]
        table.add_row(method, *cells)
    print_table(table)
