"""What the README shows works: its policies load, its commands parse, its Python runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from cogenesis_langchain import graph
from cogenesis_langchain.commands.main import app
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_policies_load(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every YAML block is a policy, or a part of one, without a fault."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
    path = tmp_path / "policy.yaml"
    path.write_text(text if "version:" in text else f"version: 1\n{text}", encoding="utf-8")
    assert load(path).version == 1


def commands() -> list[str]:
    """The `cogenesis` lines of the shell blocks and of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line.partition("   #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    lines += [line.strip().replace("$(BIN)/cogenesis", "cogenesis") for line in makefile.splitlines()]
    return [line for line in lines if line.startswith("cogenesis ")]


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line: str) -> None:
    """Every `cogenesis` line of README and Makefile names a command and options that exist."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = command.make_context("cogenesis", list(words), resilient_parsing=True)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.parse_args(type(context)(command, parent=context), words)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_runs(
    text: str, make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Every Python block runs as it stands, over fakes, and prints a text."""
    monkeypatch.setattr(graph, "Engine", lambda config: make_engine())
    exec(compile(text, "README.md", "exec"), {"__name__": "readme"})
    assert len(capsys.readouterr().out) > 40


def test_make_targets_exist() -> None:
    """Every `make X` that the README names is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


def test_the_house_is_complete() -> None:
    """Every file and folder that the README's tree names is there."""
    tree = next(block for block in README.split("```") if block.strip().startswith("cogenesis_langchain/"))
    names = re.findall(r"^  (\S+)", tree, re.MULTILINE)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / "cogenesis_langchain" / name).exists()] == []
