"""What each model finds likely at every token of the texts that persons really wrote (gold), kept on disk.

For a person and each of `SOURCES` the models read the gold text's beginning once. What is kept of a token is
the union of the `WIDTH` likeliest tokens of every source and the gold one, with all their log-probabilities
and what the rest has together, so that combiners can be fitted and compared without the models. Of the
cloud model with the person's context, which no cloud is ever shown, only the gold token's is kept.

The files hold what follows from private texts: remove the folder afterwards.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.closed_lists import Vocabulary
from cogenesis_langchain.conversing import as_prompt
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.evals.stand_in import InProcess
from cogenesis_langchain.files import make_folder
from cogenesis_langchain.fusion.distributions import likeliest
from cogenesis_langchain.generalize import generalize, task_sentence
from cogenesis_langchain.sketch import draft_messages
from cogenesis_langchain.types import Level, Sendable
from cogenesis_langchain.writer.parts import Prompt, Turn
from cogenesis_langchain.writer.prompt import writing_prompt

SOURCES = ("lw", "l0", "cg", "cb", "lb")
"""The local model with context and on the generic task; the cloud's on the generic task and on the
instruction itself (a trusted endpoint); the local one on the instruction alone."""
WIDTH = 256


@dataclass(frozen=True, slots=True)
class Setting:
    """What the kept numbers depend on. `tokens`: of gold; `context`: room for the person's context."""

    local: str
    cloud: str
    tokens: int = 160
    context: int = 800
    size: str = "medium"


@dataclass(frozen=True, slots=True)
class Gold:
    """One person's gold text of n tokens.

    `sentence`: the generic task. `tokens` (n,); `nll` maps sources, "cw" included, to (n,) nats. `ids` and
    `logs` hold for each token its u candidates, (u,), and (sources, u + 1), the rest as the last column.
    """

    person: int
    sentence: str = field(repr=False)
    tokens: NDArray[np.int64] = field(repr=False)
    nll: Mapping[str, NDArray[np.float64]] = field(repr=False)
    ids: list[NDArray[np.int32]] = field(repr=False)
    logs: list[NDArray[np.float64]] = field(repr=False)

    def at(self, token: int, source: str) -> NDArray[np.float64]:
        """(u + 1,) Log-probabilities of a source before gold token number `token`, in nats."""
        row: NDArray[np.float64] = self.logs[token][SOURCES.index(source)]
        return row


class Golds:
    """The kept numbers of persons, read where they are and made where they are not.

    Args:
        folder: where they are kept; made for one `Setting` alone, InputError for another one.
        setting: see there.
        models: the stand-ins for (local, cloud); for tests.
    """

    def __init__(
        self, folder: Path, setting: Setting, models: tuple[InProcess, InProcess] | None = None
    ) -> None:
        self.setting = setting
        self._folder = folder
        self._models = models
        self._vocabulary = Vocabulary.load({}, {}, size=setting.size)
        self._embedder: Any = None
        _claim(folder, setting)

    @property
    def models(self) -> tuple[InProcess, InProcess]:
        """The stand-ins for (local, cloud)."""
        if self._models is None:
            self._models = InProcess(self.setting.local), InProcess(self.setting.cloud)
        return self._models

    def close(self) -> None:
        """Frees the models."""
        for model in self._models or ():
            model.close()

    def of(self, numbered: Sequence[tuple[int, Person]]) -> Iterator[Gold]:
        """One of each person with a gold text, in order."""
        for number, person in numbered:
            file = self._folder / f"{number}.npz"
            if (found := _read(file, number)) is None:
                self._make(file, person)
                found = _read(file, number)
            if found is None:
                raise InputError(f"{file}: cannot be read back; is the disk full?")
            yield found

    def sentence(self, person: Person) -> str:
        """The generic task of a person's first request, as the router tells it.

        Where the router would ask the local model, the likeliest kind and topic are taken.
        """
        if self._embedder is None:
            from cogenesis_langchain.embed import Embedder

            self._embedder = Embedder.default()
        task = generalize(person.tasks[0], self._vocabulary, self._embedder, _Likeliest())
        level = Level.TOPIC if task.topic else Level.KIND
        return task_sentence(task, level, self._vocabulary).text

    def prompts(self, person: Person, sentence: str) -> dict[str, Prompt]:
        """Of the person's context ("w"), of the generic task ("0") and of the instruction alone ("b")."""
        local = self.models[0]
        room = self.setting.context
        whole = writing_prompt(
            [person.profile], person.writings[:1], (), person.tasks[0], None, room, local.count
        )
        bare = (Turn("system", whole[0].parts[:1]), Turn("user", whole[-1].parts[-2:]))
        return {"w": whole, "0": generic_prompt(sentence), "b": bare}

    def _make(self, file: Path, person: Person) -> None:
        local, cloud = self.models
        sentence = self.sentence(person)
        prompts = self.prompts(person, sentence)
        gold = local.tokens(person.gold)[: self.setting.tokens]
        if cloud.tokens(person.gold)[: self.setting.tokens] != gold:
            raise InputError(
                f"{local.name} and {cloud.name} share no vocabulary: compare two models of a family"
            )
        asked = {"lw": (local, "w"), "l0": (local, "0"), "cg": (cloud, "0"), "cb": (cloud, "b")}
        asked["lb"] = (local, "b")
        whole = {name: model.logprobs(prompts[which], gold) for name, (model, which) in asked.items()}
        rows = np.arange(len(gold))
        nll = {name: -logs[rows, gold] for name, logs in whole.items()}
        nll["cw"] = -cloud.logprobs(prompts["w"], gold)[rows, gold]
        _write(file, sentence, np.array(gold), nll, whole)


class _Likeliest:
    """In place of the local model: the first option, which is the likeliest."""

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:  # noqa: ARG002
        return options[0]


def generic_prompt(sentence: str) -> Prompt:
    """The pinned frame around a generic task, as the cloud is sent it."""
    return as_prompt(draft_messages(Sendable(sentence, "generalize")))


def _claim(folder: Path, setting: Setting) -> None:
    """Raises InputError where the folder holds numbers made in another way, or no such numbers."""
    file, wanted = folder / "setting.json", json.dumps(asdict(setting), indent=1)
    try:
        if file.exists():
            if json.loads(file.read_text(encoding="utf-8")) != json.loads(wanted):
                raise InputError(
                    f"{folder} holds numbers of other models or limits: name another --work folder"
                )
            return
        make_folder(folder)
        if any(folder.iterdir()):
            raise InputError(
                f"{folder} is not empty and holds no numbers of this command: name another folder"
            )
        file.write_text(wanted, encoding="utf-8")
    except (OSError, ValueError):
        raise InputError(f"{folder}: no folder to work in; name another one with --work") from None


def _write(
    file: Path, sentence: str, gold: NDArray[Any], nll: Mapping[str, Any], whole: Mapping[str, NDArray[Any]]
) -> None:
    """Beside and renamed, so that an ended run leaves no half file. Owner-only, as the folder is."""
    ids, values = [], []
    for token in range(len(gold)):
        best = [likeliest(logs[token], WIDTH) for logs in whole.values()]
        union = np.unique(np.concatenate([*best, gold[token : token + 1]])).astype(np.int32)
        ids.append(union)
        values.append(np.stack([logs[token, union] for logs in whole.values()]).astype(np.float32))
    half = file.with_suffix(".part")
    with half.open("wb") as stream:
        np.savez_compressed(
            stream,
            y=gold,
            names=np.array(list(whole)),
            n=np.array([len(union) for union in ids]),
            u=np.concatenate(ids),
            v=np.concatenate(values, axis=1),
            goldlp=np.stack([-nll[name] for name in whole]),
            cw=-nll["cw"],
            task=sentence,
        )
    os.replace(half, file)


def _read(file: Path, number: int) -> Gold | None:
    """None where there is no file, or a damaged one."""
    try:
        with np.load(file) as kept:
            data = {name: kept[name] for name in kept.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    cuts = np.cumsum(data["n"])[:-1]
    values = np.split(data["v"].astype(np.float64), cuts, axis=1)
    nll = {name: -row.astype(np.float64) for name, row in zip(SOURCES, data["goldlp"], strict=False)}
    nll["cw"] = -data["cw"].astype(np.float64)
    if "lb" not in nll:
        nll["lb"] = -data["lb"].astype(np.float64)
    return Gold(
        number,
        str(data["task"]),
        data["y"].astype(np.int64),
        nll,
        np.split(data["u"], cuts),
        [_with_rest(rows) for rows in values],
    )


def _with_rest(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(sources, u + 1) With what all other tokens have together as the last column."""
    rest = np.maximum(1 - np.exp(logs).sum(axis=1, keepdims=True), 1e-6)
    return np.concatenate([logs, np.log(rest)], axis=1)
