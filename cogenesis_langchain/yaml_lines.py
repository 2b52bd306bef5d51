"""YAML with line numbers: the only importer of yaml. Safe tags only, duplicate keys are faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.faults import Fault, KeyPath, dotted

_MAX_BYTES = 1_000_000
_MAX_NODES = 100_000  # aliases are counted each time they are used: a small file can unfold to billions


@dataclass(frozen=True)
class Document:
    """One file's data, and the line (from 1) where each key or list entry stands."""

    name: str
    data: Any = field(repr=False)
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()

    def line(self, path: KeyPath) -> int | None:
        """Line of `path`, or of the nearest key above it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read(path: Path) -> Document:
    """Parse a file. ConfigError where it cannot be read, is no UTF-8 or no YAML."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {_MAX_BYTES} bytes, which no policy file is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: byte {error.start} is no UTF-8; save the file as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Document:
    """Parse text; `name` stands for it in errors. ConfigError names the line where the YAML breaks."""
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(name, None)
        lines: dict[KeyPath, int] = {(): node.start_mark.line + 1}
        found: list[Fault] = []
        for seen, (path, line, duplicate) in enumerate(_walk(node, ())):
            if seen > _MAX_NODES:
                raise ConfigError(f"{name}: unfolds to more than {_MAX_NODES} entries; use fewer aliases")
            if duplicate:
                found.append(Fault(path, "stands twice; keep one of them"))
            lines[path] = line
        return Document(name, loader.construct_document(node), lines, tuple(found))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: no valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"{name}: no valid YAML: a character or value that YAML does not allow") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


def _walk(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int, bool]]:
    """(path, line, is it a second key of that name) of everything below `node`."""
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield (*path, index), child.start_mark.line + 1, False
            yield from _walk(child, (*path, index))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            yield (*path, name), key.start_mark.line + 1, name in seen
            seen.add(name)
            yield from _walk(child, (*path, name))


def report(document: Document, faults: Iterable[Fault]) -> str:
    """One line for each fault with file, line and key, in the order of the file."""
    lines: dict[str, int] = {}
    for fault in faults:
        line = document.line(fault.path)
        where = f"{document.name}:{line}" if line else document.name
        key = f"key '{dotted(fault.path)}': " if fault.path else ""
        lines.setdefault(f"{where}: {key}{fault.message}", line or 0)
    return "\n".join(sorted(lines, key=lambda text: lines[text]))
