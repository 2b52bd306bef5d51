"""`cogenesis vocabulary show|check|suggest`: the closed lists that go out, and additions to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    err,
    load_engine,
    out,
    print_json,
    print_table,
)
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.types import Level

if TYPE_CHECKING:
    from cogenesis_langchain.closed_lists import Vocabulary
    from cogenesis_langchain.vocabulary_check import Checker, Verdict

app = typer.Typer(
    help="The closed lists of kinds and topics: all that the cloud is told of a request.\n\n"
    "A policy chooses their size (`vocabulary: {size: small}`) and may add to them "
    "(`vocabulary: {topics: {night shifts: work at night}}`). Every entry makes each request tell a little "
    "more, and one that fits few people says who asks: `check` refuses it.",
    no_args_is_help=True,
)
REFUSED = 2
"""Exit code where an addition is refused."""
_Addition = Annotated[
    list[str] | None,
    typer.Option(help="NAME or NAME=DESCRIPTION; may be repeated. Names go out, descriptions stay here."),
]


@app.command()
def show(
    size: Annotated[
        str | None,
        typer.Option("--size", help="tiny, small, medium, large or full. Without it: the policy's."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What may go out in one size, additions included, and how much each size tells.

    bits: at most so much does one request tell the cloud, whatever your context holds: log2 of all the
    sentences there are, and of none. Rules of a policy use the names of its size.
    """
    from cogenesis_langchain.closed_lists import SIZES, Vocabulary
    from cogenesis_langchain.config import load

    if size is not None and size not in SIZES:
        raise InputError(f"--size {size}: choose from {', '.join(SIZES)}")
    own = load(config, require_keys=False).vocabulary
    lists = {name: Vocabulary.load(own.kinds, own.topics, size=name) for name in SIZES}
    chosen = lists[size or own.size]
    if as_json:
        print_json(_as_dict(chosen) | {"sizes": [_row(one, own.size) for one in lists.values()]})
        return
    for key, held in (("kind", _held(chosen, "kinds")), ("topic", _held(chosen, "topics"))):
        table = Table(
            title=f"{key}s of the size {chosen.size}", box=None, pad_edge=False, title_justify="left"
        )
        for column in (key, "what goes out", "for requests about" if key == "topic" else "for"):
            table.add_column(column, overflow="fold")
        for name, (phrase, fine) in held.items():
            table.add_row(*map(Text, (name, phrase, ", ".join(fine))))
        print_table(table)
        out.print()
    _show_sizes([_row(one, own.size) for one in lists.values()])


@app.command()
def check(
    file: Annotated[
        str | None, typer.Argument(help="A policy file or preset:NAME; by default your own.")
    ] = None,
    kind: _Addition = None,
    topic: _Addition = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse additions that would single somebody out, with the reason; give the bits of the others.

    Looked at are the additions of the policy file, or those given by --kind and --topic. Refused are names,
    rare words, digits, capitals, more than four words, known values of anybody in the store (never saying
    whose), and what the lists have already. Exit code 2 where one is refused. Nothing leaves this machine.
    """
    engine = load_engine(file)
    own = engine.config.vocabulary
    given = kind is not None or topic is not None
    kinds, topics = (_pairs(kind), _pairs(topic)) if given else (own.kinds, own.topics)
    try:
        with err.status("loading the dictionary and the detector"):
            verdicts = _checker(engine).check(kinds, topics) if kinds or topics else []
    finally:
        engine.close()
    if as_json:
        print_json(
            {
                "ok": all(verdict.ok for verdict in verdicts),
                "additions": [verdict.as_dict() for verdict in verdicts],
            }
        )
    else:
        _show_verdicts(verdicts, engine.config.source)
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(REFUSED)


@app.command()
def suggest(
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Requests of your own: .txt, one a line, or .jsonl with `instruction` or `text`."
        ),
    ],
    least: Annotated[
        int, typer.Option("--least", min=3, help="So many different requests must share a word.")
    ] = 3,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Topics to add where the lists fit your requests badly: common words that several of them share.

    Each one passes `check` and fits its requests better than what the lists have. covers: requests that
    hold it and fit no topic well. bits: what every request would tell more. Requests are read on this
    machine and not kept; only the words proposed are shown.
    """
    from cogenesis_langchain.vocabulary_suggest import FITS, fits, propose

    requests = list(_requests(data))
    engine = load_engine(config)
    try:
        with err.status("reading the requests"):
            scores = fits(requests, engine.vocabulary, engine.embedder)
            proposals = propose(requests, scores, _checker(engine), engine.embedder, least=least)
            found = [one.as_dict() for one in proposals]
    finally:
        engine.close()
    report = {"requests": len(requests), "fit_badly": sum(score < FITS for score in scores), "topics": found}
    if as_json:
        print_json(report)
    else:
        _show_proposals(report, least)


def _checker(engine: Any) -> Checker:
    """With the known values of everybody whose key is here."""
    from cogenesis_langchain.detect.lexicon import load
    from cogenesis_langchain.vocabulary_check import Checker

    store, embedder = engine.store, engine.embedder
    known = [engine.known(user) for user in store.users()]
    if locked := len(store.locked()):
        err.print(f"note: {locked} users' values cannot be read: their keys are gone", style="dim")
    return Checker(engine.config.vocabulary.size, engine.detector, embedder, load(), embedder.words(), known)


def _pairs(given: Sequence[str] | None) -> dict[str, str]:
    pairs = (one.partition("=") for one in given or ())
    return {name.strip(): means.strip() for name, _, means in pairs}


def _requests(path: Path) -> Iterator[str]:
    """The requests of a file. InputError names the line, never its text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start}); convert it first") from None
    if path.suffix.lower() not in (".txt", ".jsonl"):
        raise InputError(f"{path}: not a .txt or .jsonl file; see `cogenesis vocabulary suggest --help`")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise InputError(f"{path} holds no requests")
    for number, line in lines:
        yield line.strip() if path.suffix.lower() == ".txt" else _instruction(line, f"{path}, line {number}")


def _instruction(line: str, where: str) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: no JSON") from None
    text = (entry.get("instruction") or entry.get("text")) if isinstance(entry, dict) else entry
    if not isinstance(text, str):
        raise InputError(f"{where}: needs `instruction` or `text`")
    return text


def _held(lists: Vocabulary, key: str) -> dict[str, tuple[str, list[str]]]:
    """Group -> what goes out, and the fine entries it stands for."""
    groups, of = (lists.kinds, lists.kind_of) if key == "kinds" else (lists.topics, lists.topic_of)
    return {name: (entry.phrase, [fine for fine in of if of[fine] == name]) for name, entry in groups.items()}


def _as_dict(lists: Vocabulary) -> dict[str, Any]:
    return {"size": lists.size} | {
        key: [
            {"name": name, "phrase": phrase, "holds": fine}
            for name, (phrase, fine) in _held(lists, key).items()
        ]
        for key in ("kinds", "topics")
    }


def _row(lists: Vocabulary, in_use: str) -> dict[str, Any]:
    bits = {level: round(lists.bits(level) or 0.0, 3) for level in (Level.KIND, Level.TOPIC)}
    return {
        "size": lists.size,
        "kinds": len(lists.kinds),
        "topics": len(lists.topics),
        "bits_kind": bits[Level.KIND],
        "bits_topic": bits[Level.TOPIC],
        "in_use": lists.size == in_use,
    }


def _show_sizes(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="what one request tells at most", title_justify="left")
    for name in ("size", "kinds", "topics", "bits at kind", "bits at topic", ""):
        table.add_column(name, justify="left" if name in ("size", "") else "right")
    for row in rows:
        numbers = (
            str(row["kinds"]),
            str(row["topics"]),
            f"{row['bits_kind']:.2f}",
            f"{row['bits_topic']:.2f}",
        )
        table.add_row(row["size"], *numbers, "the policy's" if row["in_use"] else "")
    print_table(table, figures=True)


def _show_verdicts(verdicts: Sequence[Verdict], source: str) -> None:
    if not verdicts:
        out.print(f"{source} adds nothing to the lists", markup=False)
    for verdict in verdicts:
        style = "green" if verdict.ok else "bold red"
        out.print("ok     " if verdict.ok else "refused", style=style, end="  ")
        said = f"+{verdict.bits:.3f} bits for every request at `topic`" if verdict.ok else verdict.reason
        out.print(f"{verdict.list[:-1]} '{verdict.name}': {said}", markup=False)


def _show_proposals(report: dict[str, Any], least: int) -> None:
    found = report["topics"]
    out.print(f"{report['fit_badly']} of {report['requests']} requests fit no topic well")
    if not found:
        out.print(f"no common word is shared by {least} of them, so there is nothing to add")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("topic", "covers", "bits"):
        table.add_column(name, justify="left" if name == "topic" else "right")
    for one in found:
        table.add_row(Text(one["name"]), str(one["requests"]), f"+{one['bits']:.3f}")
    print_table(table)
    out.print("\nto add one, with a description in your own words, which stays here:", style="dim")
    out.print(f"vocabulary: {{topics: {{{found[0]['name']}: ...}}}}", markup=False)
