"""The privacy router: wiring only. Read `build` from top to bottom: that is the way of a request.

intern -> detect -> recall -> generalize -> decide -> (sketch | fuse | live | mask | cloud)
       -> ask -> send -> write -> finish -> restore
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from cogenesis_langchain import config as configuration
from cogenesis_langchain.config import Config
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.nodes import Nodes, guarded
from cogenesis_langchain.route import LEVELLED
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.sending import Sending
from cogenesis_langchain.state import RouterContext, RouterInput, RouterOutput, RouterState
from cogenesis_langchain.types import Level, Route


def create_privacy_router(
    config: Config | Mapping[str, Any] | str | Path | None = None,
    *,
    user_id: str | None = None,
    route: Route | str | None = None,
    level: Level | str | None = None,
    label: str | None = None,
    tags: tuple[str, ...] = (),
    checkpointer: BaseCheckpointSaver[Any] | bool | None = None,
    engine: Engine | None = None,
    name: str = "privacy_router",
) -> PrivacyRouter:
    """A compiled LangGraph that routes each request by policy, and is a Runnable like any other.

    Args:
        config: a policy file, `"preset:strict"`, a mapping, a loaded Config; None for the user's own file
            or the default preset.
        user_id: whose context is used where no `context=RouterContext(user_id=...)` can be passed
            (`prompt | router`, `as_tool`, a subgraph of somebody else's graph).
        route, level, label, tags: the same for the other fields of RouterContext.
        checkpointer: a LangGraph checkpointer, for threads and for `ask`.
        engine: ready-made rooms to share between routers; built from `config` otherwise.
        name: the name in traces and drawings.

    Raises:
        ConfigError: the policy cannot be read; names file, line and key.
    """
    engine = engine or Engine(configuration.load(config))
    defaults = RouterContext(user_id=user_id, route=route, level=level, label=label, tags=tags)
    compiled = build(engine).compile(checkpointer=checkpointer, name=name)
    return PrivacyRouter(engine=engine, defaults=defaults, **vars(compiled))


_NODES = (
    "detect", "recall", "generalize", "decide", "mask", "cloud", "ask", "send", "write", "block", "finish",
)  # fmt: skip
_GENERIC = tuple(route.value for route in LEVELLED)
"""Nodes that prepare the same task; what is asked with it differs."""


def build(engine: Engine) -> StateGraph[RouterState, RouterContext, RouterInput, RouterOutput]:
    """The graph before compilation."""
    nodes, sending = Nodes(engine), Sending(engine)
    graph = StateGraph(
        RouterState, context_schema=RouterContext, input_schema=RouterInput, output_schema=RouterOutput
    )
    for name in _NODES:
        graph.add_node(name, guarded(getattr(nodes, name, None) or getattr(sending, name)))
    for name in _GENERIC:
        graph.add_node(name, guarded(nodes.generic))
    graph.add_edge(START, "detect")
    graph.add_edge("detect", "recall")
    graph.add_conditional_edges("recall", nodes.wants_task, {True: "generalize", False: "decide"})
    graph.add_edge("generalize", "decide")
    graph.add_conditional_edges("decide", _by_route, _PLACES)
    for name in (*_GENERIC, "mask", "cloud"):
        graph.add_conditional_edges(name, _prepared, ["ask", "send", *_PLACES, "finish"])
    graph.add_conditional_edges("ask", _approved, ["send", *_PLACES, "finish"])
    graph.add_conditional_edges("send", _answered, [*_PLACES, "finish"])
    graph.add_edge("write", "finish")
    graph.add_edge("block", "finish")
    graph.add_edge("finish", END)
    return graph


_PLACES = [*_GENERIC, "mask", "cloud", "write", "block", "finish"]


def _by_route(state: RouterState, runtime: Runtime[RouterContext]) -> str:
    """The node of the route that is decided; a dry run ends where the first word would be written."""
    if state["route"] == Route.LOCAL:
        return "finish" if runtime.context.dry_run else "write"
    if state["route"] == Route.BLOCK:
        return "finish" if runtime.context.dry_run else "block"
    return state["route"]


def _prepared(state: RouterState, runtime: Runtime[RouterContext]) -> str:
    if not Route(state["route"]).sends:
        return _by_route(state, runtime)
    if runtime.context.dry_run:
        return "finish"
    return "ask" if state["ask"] else "send"


def _approved(state: RouterState, runtime: Runtime[RouterContext]) -> str:
    return "send" if Route(state["route"]).sends else _by_route(state, runtime)


def _answered(state: RouterState, runtime: Runtime[RouterContext]) -> str:
    """After a send: what came is written out, a finished text ends the run, a failure has moved right."""
    if state["text"]:
        return "finish"
    return "write" if state["sketch"] or state["drafts"] else _by_route(state, runtime)
