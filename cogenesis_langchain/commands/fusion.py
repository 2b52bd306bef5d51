"""`cogenesis eval fusion`: what combining both models gets of the large one's gain from the context."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    CloudModelOption,
    GoldContextOption,
    GoldTokensOption,
    JsonOption,
    LocalModelOption,
    bar,
    print_json,
)
from cogenesis_langchain.commands.fusion_tables import show
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.logprobs import LISTED

if TYPE_CHECKING:
    from rich.progress import Progress

    from cogenesis_langchain.evals.fusion import Row
    from cogenesis_langchain.evals.fusion_runs import Runs
    from cogenesis_langchain.evals.gold import Gold
    from cogenesis_langchain.fuse.asking import Live

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
        typer.Option("--combiners", help=f"Of {', '.join(COMBINERS)}. Live and linkage take the last."),
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
    ] = LISTED,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(
            "--epsilon",
            min=0.001,
            help="Live and linkage: nats a token, as a policy has it without. Repeatable.",
        ),
    ] = None,
    nats: Annotated[
        float | None,
        typer.Option(
            "--nats", min=0.1, help="Live and linkage: nats for a whole text, as a policy has it without."
        ),
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
    bound), draft, live and trusted (a live endpoint that may see the text; the context it never sees). Both
    models run in this process; live and trusted take a minute a person and more on two cores.

    linkage needs no true text: form live writes one for each person, of so many tokens. How often is the
    writer named, among all persons of the file, from what had gone up at a part of it? Compared with what
    draft sends and with the text itself. A minute a person too.

    cogenesis eval fusion --data dev.json --limit 44 --work kept --forms text,draft

    cogenesis eval fusion --data dev.json --limit 44 --work kept --forms linkage --epsilon 0.25 --epsilon 1
    """
    chosen = _named("--forms", forms, FORMS)
    names = _named("--combiners", combiners, COMBINERS)
    by_name = _by_combiner(fitted or [], names)
    from cogenesis_langchain.evals.fusion_runs import Runs
    from cogenesis_langchain.evals.gold import Setting
    from cogenesis_langchain.evals.persons import read_persons

    persons = read_persons(data)
    written = chosen == ["linkage"]
    numbered = [(n, one) for n, one in enumerate(persons) if n >= first and (written or one.gold.strip())]
    numbered = numbered[:limit]
    if not numbered:
        raise InputError("no person from there on has a `gold` text, which every form but linkage needs")
    if "linkage" in chosen:
        from cogenesis_langchain.evals.attackers import check_installed

        check_installed()
        if len(numbered) < 2:
            raise InputError("--forms linkage needs the texts of two persons at least: raise --limit")
    with _folder(work) as folder:
        runs = Runs(folder, Setting(local, cloud, tokens, context), persons, names, k, by_name)
        try:
            found = _measured(runs, numbered, chosen, epsilon, nats, pace, sorted(set(samples or [1])))
        finally:
            runs.close()
    if as_json:
        print_json(found)
    else:
        show(found)


def _measured(
    runs: Runs,
    numbered: Sequence[tuple[int, Any]],
    forms: Sequence[str],
    epsilon: Sequence[float] | None,
    nats: float | None,
    pace: float | None,
    samples: Sequence[int],
) -> dict[str, Any]:
    from cogenesis_langchain.fuse.asking import Live

    budgets = epsilon or [Live().nats_per_token]
    golds: list[Gold] = []
    rows: list[Row] = []
    with bar() as progress:
        if set(forms) != {"linkage"}:
            reading = runs.golds.of(numbered)
            golds += progress.track(reading, total=len(numbered), description="reading texts")
            lives = runs.lives(budgets if "live" in forms else [], nats, "trusted" in forms, pace)
            rows += _rows(runs, golds, forms, lives, samples, progress)
        numbers = [number for number, _ in numbered]
        lives = runs.lives(budgets if "linkage" in forms else [], nats, trusted=False, pace=pace)
        found = _linkage(runs, numbers, lives, progress) if lives else {"written": [], "linkage": []}
    return runs.record(len(numbered), golds) | {"rows": [row.as_dict() for row in rows]} | found


def _rows(
    runs: Runs,
    golds: Sequence[Gold],
    forms: Sequence[str],
    lives: Mapping[str, Live],
    samples: Sequence[int],
    progress: Progress,
) -> list[Row]:
    """What the true texts cost in every way."""
    from cogenesis_langchain.evals.fusion import alone

    rows, total = alone(golds), len(golds)
    if "text" in forms:
        rows += list(progress.track(runs.forced(golds), total=total, description="combining"))[-1]
    if "draft" in forms:
        steps = runs.drafted(golds, samples)
        rows += list(progress.track(steps, total=total, description="drafts"))[-1]
    for name, live in lives.items():
        walks = list(progress.track(runs.walks(golds, live), total=total, description=name))
        rows.append(runs.walked(name, golds, walks))
    return rows


def _linkage(
    runs: Runs, numbers: Sequence[int], lives: Mapping[str, Live], progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Of texts that form live writes: what they cost and told, and how often their writer is named."""
    from cogenesis_langchain.evals.fused_live import told
    from cogenesis_langchain.evals.fusion_runs import COMPARED

    written = {
        name: list(
            progress.track(runs.written(numbers, live), total=len(numbers), description=f"writing, {name}")
        )
        for name, live in lives.items()
    }
    attacks = runs.linked(numbers, written)
    parts = progress.track(attacks, total=len(written) + len(COMPARED), description="attacks")
    return {
        "linkage": [one for part in parts for one in part],
        "written": [told(name, walks) for name, walks in written.items()],
    }


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="cogenesis-fusion-") as folder:
        yield Path(folder)


def _by_combiner(given: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    from cogenesis_langchain.fusion.combiners import FILES

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
