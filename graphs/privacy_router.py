"""The privacy router for LangGraph's own server: `langgraph dev` in this folder, or a deployment of it.

The policy is the one of the command line ($COGENESIS_CONFIG, your own config.yaml, else preset:default).
The user is the one who is signed in (`langgraph_auth_user`, see LangGraph's custom authentication); on a
server without authentication, `user_id` of the run's context or configurable. Nothing happens at import.

What this file cannot cover: the server writes the input of each run into its own database before a graph
sees it, so run it where the texts themselves may lie. And the vault is in memory: a thread is readable by
the process that served it, so start one worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache
from typing import Any

from langchain_core.runnables import RunnableConfig

from cogenesis_langchain import Engine, InputError, PrivacyRouter, create_privacy_router


@cache
def shared_engine() -> Engine:
    """The rooms that all runs of this process share: one local model, one store, one vault."""
    return create_privacy_router().engine


async def make_graph(config: RunnableConfig) -> PrivacyRouter:
    """The router of one run. The server calls this for each run, and to draw the graph or read a thread.

    Raises ConfigError where the policy cannot be read.
    """
    configurable = config.get("configurable") or {}
    signed_in = _signed_in(configurable)
    user_id = signed_in or configurable.get("user_id")
    router = await asyncio.to_thread(_router, None if user_id is None else str(user_id))
    return _OneUser(**vars(router)) if signed_in else router


def _router(user_id: str | None) -> PrivacyRouter:
    """In a thread, because it reads files: the server refuses calls that block its event loop."""
    return create_privacy_router(engine=shared_engine(), user_id=user_id)


def _signed_in(configurable: Mapping[str, Any]) -> str | None:
    """The identity that the server's authentication has proven; None on a server without one."""
    user = configurable.get("langgraph_auth_user")
    found = user.get("identity") if isinstance(user, Mapping) else getattr(user, "identity", None)
    return found or configurable.get("langgraph_auth_user_id") or None


class _OneUser(PrivacyRouter):
    """Serves the signed-in user alone: a client may not ask for somebody else's context."""

    def stream(self, input: Any, config: Any = None, *, context: Any = None, **kwargs: Any) -> Iterator[Any]:
        self._check(context)
        return super().stream(input, config, context=context, **kwargs)

    def astream(
        self, input: Any, config: Any = None, *, context: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        self._check(context)
        return super().astream(input, config, context=context, **kwargs)

    def astream_events(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        self._check(kwargs.get("context"))
        return super().astream_events(input, config, **kwargs)

    def _check(self, context: Any) -> None:
        asked = context.get("user_id") if isinstance(context, Mapping) else getattr(context, "user_id", None)
        if asked not in (None, "", self.defaults.user_id):
            raise InputError("context.user_id is not the signed-in user; leave it out of the request")
