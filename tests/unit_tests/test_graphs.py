"""LangGraph's server loads the graph by its configuration file; these tests do what it does, with fakes."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from cogenesis_langchain import CoGenesisError, PrivacyRouter
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.testing import RecordingCloud, leaked
from tests.conftest import INSTRUCTION, USER

ROOT = Path(__file__).parents[2]
GIVEN = {"messages": [{"role": "user", "content": INSTRUCTION}]}


def load(reference: str) -> tuple[ModuleType, Callable[..., Any]]:
    """The module and the factory behind `./file.py:name`."""
    path, _, name = reference.partition(":")
    spec = importlib.util.spec_from_file_location("served_graph", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, getattr(module, name)


@pytest.fixture
def factory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The factory of langgraph.json over an engine of fakes."""
    module, make_graph = load(json.loads((ROOT / "langgraph.json").read_text())["graphs"]["privacy_router"])
    monkeypatch.setattr(module, "shared_engine", lambda: engine)
    return make_graph


def signed_in(identity: str, **more: Any) -> dict[str, Any]:
    """A configurable as the server fills it in for an authenticated request."""
    auth = {"langgraph_auth_user": SimpleNamespace(identity=identity), "langgraph_auth_user_id": identity}
    return {"configurable": {**auth, **more}}


def test_langgraph_json_names_things_that_exist() -> None:
    """Dependencies are this folder, every graph is an async factory of one config, no path is absolute."""
    text = (ROOT / "langgraph.json").read_text()
    config = json.loads(text)
    assert config["dependencies"] == ["."]
    for reference in config["graphs"].values():
        assert reference.startswith("./")
        factory = load(reference)[1]
        assert inspect.iscoroutinefunction(factory)
        assert list(inspect.signature(factory).parameters) == ["config"]


def test_nothing_happens_at_import() -> None:
    """Loading the file builds no engine and loads no model, detector, store or cloud client."""
    code = (
        "import runpy, sys\n"
        f"module = runpy.run_path({str(ROOT / 'graphs' / 'privacy_router.py')!r})\n"
        "assert module['shared_engine'].cache_info().currsize == 0\n"
        "heavy = {'llama_cpp', 'chromadb', 'spacy', 'presidio_analyzer', 'openai', 'onnxruntime'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


async def test_the_signed_in_user_is_served(factory: Callable[..., Any], cloud: RecordingCloud) -> None:
    """The proven identity is the user; the run streams, sends a generic task and keeps the rest."""
    graph = await factory(signed_in(USER))
    assert isinstance(graph, PrivacyRouter)
    served = graph.copy({"checkpointer": InMemorySaver()})  # what the server does with its own checkpointer
    config = {"configurable": {"thread_id": "one"}}
    modes = [mode async for mode, _ in served.astream(GIVEN, config, stream_mode=["values", "messages"])]
    assert {"values", "messages"} == set(modes)
    found = await served.ainvoke(GIVEN, {"configurable": {"thread_id": "two"}}, context={"label": "x"})
    assert found["route"] == "sketch"
    assert len(cloud.bodies) == 2
    assert not leaked(cloud.raw)


async def test_a_client_cannot_ask_for_somebody_else(factory: Callable[..., Any]) -> None:
    """With authentication, another `user_id` in context is an error and one in configurable is ignored."""
    graph = await factory(signed_in("mallory", user_id=USER))
    assert graph.defaults.user_id == "mallory"
    for context in ({"user_id": USER}, SimpleNamespace(user_id=USER)):
        with pytest.raises(CoGenesisError, match="signed-in"):
            await graph.ainvoke(GIVEN, context=context)
        with pytest.raises(CoGenesisError, match="signed-in"):
            graph.invoke(GIVEN, context=context)
        with pytest.raises(CoGenesisError, match="signed-in"):
            [event async for event in graph.astream_events(GIVEN, version="v2", context=context)]
        with pytest.raises(CoGenesisError, match="signed-in"):
            await graph.copy().ainvoke(GIVEN, context=context)
    found = await graph.ainvoke(GIVEN)
    assert found["route"] == "local"  # mallory has no context of her own
    assert not leaked(found["text"])


async def test_without_authentication_the_caller_names_the_user(factory: Callable[..., Any]) -> None:
    """`user_id` comes from configurable or from the run's context; without either the run is an error."""
    graph = await factory({"configurable": {"user_id": USER}})
    assert (await graph.ainvoke(GIVEN))["route"] == "sketch"
    graph = await factory({})
    assert (await graph.ainvoke(GIVEN, context={"user_id": USER}))["route"] == "sketch"
    with pytest.raises(InputError):
        await graph.ainvoke(GIVEN)
