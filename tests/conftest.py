"""Engines over fakes and a recording cloud, for tests that need no model."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import (
    FakeDetector,
    FakeEmbedder,
    FakeWriter,
    RecordingCloud,
    canary_context,
)

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # no test touches the system's keyring

USER = "dana"
INSTRUCTION = "Please write an invitation to my birthday party on Saturday at our house."

SHORT = "1. Greet\n2. Say why\n3. Ask for an answer\n4. Close"
"""A sketch of few words: what costs most in a stream is the client's reading of each."""


def policy(base_url: str, store: Path, /, **changes: Any) -> dict[str, Any]:
    """A policy with one rule that sketches everything; `changes` replace its sections."""
    data: dict[str, Any] = {
        "version": 1,
        "models": {"cloud": {"provider": "openai_compatible", "model": "stand-in", "base_url": base_url}},
        "store": {"path": str(store), "keys": "file"},  # never the keyring of who runs the tests
        "routing": {
            "decisions": [
                {
                    "name": "all",
                    "priority": 1,
                    "rules": {"all": [{"length": {"gt": 0}}]},
                    "action": {"route": "sketch"},
                }
            ]
        },
    }
    return data | changes


def routed(route: str, **action: Any) -> dict[str, Any]:
    """A routing section that sends everything one way (cloud: what is labelled public)."""
    rules = {"all": [{"label": "public"}]} if route == "cloud" else {"all": [{"length": {"gt": 0}}]}
    rule = {"name": route, "priority": 1, "rules": rules, "action": {"route": route, **action}}
    return {"decisions": [rule]}


@pytest.fixture
def cloud() -> Iterator[RecordingCloud]:
    """A real HTTP server on loopback that keeps every byte."""
    with RecordingCloud(default=SHORT) as server:
        yield server


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Form live by the same chance in every run: a shadow may part from its text at any token."""
    chance = random.Random(1)
    monkeypatch.setattr(
        "cogenesis_langchain.fusion.shadow.secrets", SimpleNamespace(SystemRandom=lambda: chance)
    )

    def generator(seed: int | None = None) -> np.random.Generator:
        return np.random.default_rng(chance.getrandbits(32) if seed is None else seed)

    monkeypatch.setattr("cogenesis_langchain.fuse.sampling.default_rng", generator)


@pytest.fixture
def server(cloud: RecordingCloud) -> RecordingCloud:
    """The same, where `cloud` is the client above the gate."""
    return cloud


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """An empty log."""
    return Audit(tmp_path / "audit")


@pytest.fixture
def make_engine(cloud: RecordingCloud, tmp_path: Path) -> Callable[..., Engine]:
    """Engines with fakes for every model; `rooms` and policy sections can be replaced."""

    def make(rooms: dict[str, Any] | None = None, **changes: Any) -> Engine:
        detector = FakeDetector()
        store = MemoryStore(canary_context(), values_of=detector.extract_values, user=USER)
        fakes = {"embedder": FakeEmbedder(), "detector": detector, "store": store, "writer": FakeWriter()}
        return Engine(load(policy(cloud.base_url, tmp_path, **changes)), **(fakes | (rooms or {})))

    return make


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    """The plain one: sketches everything, user `dana` has the canaries as context."""
    return make_engine()
