"""Who imports what from outside, and who may open a connection: read from the syntax tree, nothing is run.

Who may import whom among our own rooms is the business of `lint-imports` (pyproject.toml).
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cogenesis_langchain"

HOMES = {
    "ahocorasick": {"known.automaton"},
    "chromadb": {"store.chroma"},
    "confusable_homoglyphs": {"normalize.letters"},
    "cryptography": {"seals"},
    "detect_secrets": {"detect.secrets"},
    "huggingface_hub": {"pull"},
    "keyring": {"crypto"},
    "langchain_openai": {"cloud"},
    "llama_cpp": {"writer.llama"},
    "onnxruntime": {"onnx_session"},
    "openai": set(),  # only through langchain_openai
    "presidio_analyzer": {"detect.pipelines", "detect.presidio_engine", "evals.presidio_default"},
    "sklearn": {"evals.attackers", "evals.fitting"},
    "spacy": {"detect.pipelines", "evals.presidio_default"},
    "srsly": {"detect.lexicon"},
    "tldextract": {"detect.presidio_engine"},
    "tokenizers": {"onnx_session"},
    "yaml": {"yaml_lines"},
}
"""Each heavy or sensitive dependency, and the only file that imports it."""

SLOW = {*HOMES, "langchain", "langchain_core", "langgraph"} - {"yaml", "ahocorasick"}
"""What no file imports at its top, but for the rooms that are nothing without it."""
FRAMEWORK_ROOMS = {
    "evals.cases",
    "evals.evasion",
    "graph",
    "router",
    "nodes",
    "sending",
    "answering",
    "request",
    "state",
    "interning",
    "masking",
    "streaming",
}

CONNECTING = {
    "httpx.Client": {"cloud", "devserver", "download", "store.chroma", "writer.remote"},
    "httpx.AsyncClient": {"cloud"},
    "httpx.HTTPTransport": {"egress"},
    "httpx.AsyncHTTPTransport": {"egress"},
    "chromadb.HttpClient": {"store.chroma"},
    "socket.socket": {"devserver"},  # looks for a free port on loopback
}
"""Every call that can open a connection, and the files that make it."""
NETWORK_MODULES = {
    "aiohttp", "asyncio.streams", "ftplib", "grpc", "http.client", "http.server", "imaplib", "poplib",
    "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib.request", "urllib3",
    "websockets", "xmlrpc",
}  # fmt: skip
NETWORK_HOMES = {
    "socket": {"devserver", "recording", "tap"},
    "socketserver": {"recording"},
    "http.client": {"recording"},  # the bench asks the server itself
    "ssl": {"download", "endpoints"},
    "urllib.request": {"download"},  # url2pathname for file:// addresses
}


def rooms() -> dict[str, ast.Module]:
    """Module name below the package -> its tree."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


ROOMS = rooms()


def imports(tree: ast.AST, *, top_only: bool = False) -> Iterator[str]:
    """Dotted names imported at run time: no TYPE_CHECKING blocks and, if asked, no function bodies."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports(node, top_only=top_only)


@cache
def imported(*, top_only: bool = False) -> dict[str, frozenset[str]]:
    """Room -> the dotted names it imports."""
    return {room: frozenset(imports(tree, top_only=top_only)) for room, tree in ROOMS.items()}


def importers(module: str, *, top_only: bool = False) -> set[str]:
    """Rooms that import `module` or something below it."""
    return {
        room
        for room, names in imported(top_only=top_only).items()
        if any(f"{name}.".startswith(f"{module}.") for name in names)
    }


@pytest.mark.parametrize("module", sorted(HOMES))
def test_each_heavy_dependency_has_one_home(module: str) -> None:
    """Exactly the named file imports it, so replacing a dependency means reading one file."""
    assert importers(module) == HOMES[module]


@pytest.mark.parametrize("module", sorted(SLOW))
def test_heavy_dependencies_are_imported_when_needed(module: str) -> None:
    """No room imports them at its top; only the graph's rooms need the framework from the start."""
    assert importers(module, top_only=True) <= FRAMEWORK_ROOMS
    if module in HOMES:
        assert not importers(module, top_only=True)


def test_only_named_files_can_open_a_connection() -> None:
    """Clients, transports and sockets are made in the rooms that must, and the gate's own are in `egress`."""
    found: dict[str, set[str]] = {}
    for room, tree in ROOMS.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            connects = name.startswith(("httpx.", "socket.", "chromadb.", "asyncio.open", "urllib."))
            harmless = name in (
                "httpx.Request", "httpx.Response", "httpx.Timeout", "httpx.URL",
                "chromadb.PersistentClient", "chromadb.Settings", "chromadb.config.Settings",
            )  # fmt: skip
            if connects and not harmless:
                found.setdefault(name, set()).add(room)
    assert found == CONNECTING
    for name in CONNECTING:  # so that no client hides behind another name
        assert not importers(name), f"write {name} in full"


@pytest.mark.parametrize("module", sorted(NETWORK_MODULES))
def test_network_modules_have_one_home(module: str) -> None:
    """The standard library's ways to the network, and others', are imported where named, nowhere else."""
    assert importers(module) == NETWORK_HOMES.get(module, set())


def test_the_gate_is_short_enough_to_audit() -> None:
    """`egress.py` can be read in one sitting: about 200 lines, and its docstring says what is not covered."""
    text = (PACKAGE / "egress.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 240
    assert "not covered" in (ast.get_docstring(ROOMS["egress"]) or "").lower()


def test_graphs_and_examples_use_public_names_only() -> None:
    """What newcomers copy imports from `cogenesis_langchain` itself, never from a room."""
    for path in [*(ROOT / "graphs").glob("*.py"), *(ROOT / "examples").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not str(node.module).startswith("cogenesis_langchain."), path
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("cogenesis_langchain.") for alias in node.names), path


def test_every_dependency_is_declared() -> None:
    """What the package imports is the standard library, itself, or named in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["evals"]]
    declared = " ".join(needed).lower().replace("-", "_")
    shipped_with = {  # module -> the declared package that brings it, where the names differ
        "ahocorasick": "pyahocorasick", "certifi": "httpx",
        "pydantic_core": "pydantic", "sklearn": "scikit_learn", "spacy": "presidio_analyzer",
        "srsly": "presidio_analyzer", "tldextract": "presidio_analyzer",
        "yaml": "pyyaml",
    }  # fmt: skip
    tops = {name.split(".")[0] for names in imported().values() for name in names}
    for name in tops - set(sys.stdlib_module_names) - {"cogenesis_langchain"}:
        assert shipped_with.get(name, name) in declared, name
