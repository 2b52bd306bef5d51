"""The router as callers meet it: a Runnable like any other, whose loop sees vault handles only."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableGenerator, ensure_config
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateUpdate

from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.interning import intern_messages, plain_answer, reveal, text_of, to_messages
from cogenesis_langchain.nodes import CHECKPOINTER
from cogenesis_langchain.state import (
    RouterContext,
    RouterInput,
    RouterOutput,
    RouterState,
    RunContext,
    check_owner,
    resolve_context,
)
from cogenesis_langchain.vault.vault import Scope, is_handle

_PARENT_RUNTIME = "__pregel_runtime"  # LangGraph's key in config["configurable"]


class PrivacyRouter(CompiledStateGraph[RouterState, RouterContext, RouterInput, RouterOutput]):
    """A compiled graph whose loop sees vault handles only: texts go in before it and come back after it.

    Works as a Runnable (invoke, batch, stream, their async twins, astream_events), in a chain, as a tool, and
    as a subgraph. The user comes from `context=`, else from construction; see `create_privacy_router`.
    """

    def __init__(self, *, engine: Engine, defaults: RouterContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.engine = engine
        self.defaults = defaults

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, *, context: Any = None, **kwargs: Any
    ) -> Any:
        """Runs one request (a string, messages, a prompt value, a state) and returns the final state."""
        run = self._start(input, config, context)
        try:
            self._owned(run)
            found = super().invoke(run.input, run.config, context=run.context, **kwargs)
            return reveal(found, self.engine.vault, run.scope)
        finally:
            self._end(run)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, *, context: Any = None, **kwargs: Any
    ) -> Any:
        """The async twin of `invoke`."""
        run = await asyncio.to_thread(self._start, input, config, context)
        try:
            await self._aowned(run)
            found = await super().ainvoke(run.input, run.config, context=run.context, **kwargs)
            return reveal(found, self.engine.vault, run.scope)
        finally:
            self._end(run)

    def stream(
        self, input: Any, config: RunnableConfig | None = None, *, context: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Like every compiled graph's `stream`; in every mode the texts are readable again."""
        if isinstance(context, RunContext):  # from one of these doors, which has interned and will restore
            yield from super().stream(input, config, context=context, **kwargs)
            return
        run = self._start(input, config, context)
        try:
            self._owned(run)
            for chunk in super().stream(run.input, run.config, context=run.context, **kwargs):
                yield reveal(chunk, self.engine.vault, run.scope)
        finally:
            self._end(run)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, *, context: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """The async twin of `stream`. Cancelling it stops the local model within a token."""
        if isinstance(context, RunContext):
            async for chunk in super().astream(input, config, context=context, **kwargs):
                yield chunk
            return
        run = await asyncio.to_thread(self._start, input, config, context)
        try:
            await self._aowned(run)
            async for chunk in super().astream(run.input, run.config, context=run.context, **kwargs):
                yield reveal(chunk, self.engine.vault, run.scope)
        finally:
            self._end(run)

    async def astream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """LangChain's event stream; the token events are readable, the graph's own events hold handles."""
        if kwargs.get("version") == "v3":
            raise InputError('astream_events version "v3" is not supported: use "v2", or astream')
        run = await asyncio.to_thread(self._start, input, config, kwargs.pop("context", None))
        try:
            await self._aowned(run)
            async for event in super().astream_events(run.input, run.config, context=run.context, **kwargs):
                yield reveal(event, self.engine.vault, run.scope)
        finally:
            self._end(run)

    def transform(
        self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """In a chain: partial states with one AIMessageChunk each, then the whole state."""
        for given in _last(input):
            for mode, chunk in self.stream(given, config, stream_mode=["messages", "values"], **kwargs):
                if mode == "messages" and isinstance(chunk[0], AIMessageChunk):
                    yield {"messages": [chunk[0]]}
                elif mode == "values":
                    final = chunk
            yield final

    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """The async twin of `transform`."""
        given = [item async for item in input]
        for one in _last(iter(given)):
            async for mode, chunk in self.astream(one, config, stream_mode=["messages", "values"], **kwargs):
                if mode == "messages" and isinstance(chunk[0], AIMessageChunk):
                    yield {"messages": [chunk[0]]}
                elif mode == "values":
                    final = chunk
            yield final

    def _start(self, given: Any, config: RunnableConfig | None, context: Any) -> _Run:
        config = ensure_config(merge_configs(self.config, config))
        configurable = config.get("configurable", {})
        if context is None:
            context = getattr(configurable.get(_PARENT_RUNTIME), "context", None)
        resolved = resolve_context(context, self.defaults)
        named = configurable.get("thread_id")
        thread = str(uuid.uuid4() if named is None else named)
        scope = (cast(str, resolved.user_id), thread)
        run_context = RunContext(
            **{one.name: getattr(resolved, one.name) for one in fields(resolved)},
            thread=thread,
            started=time.perf_counter(),
        )
        self.engine.runs.add(run_context.cancel)
        run = _Run(given, config, run_context, scope, named is not None, self._outlives(config))
        if run.kept:
            self.engine.vault.keep(scope)
        try:
            if isinstance(given, Command):
                return replace(run, input=self._interned_command(given, scope))
            if given is None:
                return run
            messages = self._intern(given, scope)
            run_context.given.update(str(message.content) for message in messages)
            return replace(run, input={"messages": messages})
        except BaseException:
            self._end(run)
            raise

    def _outlives(self, config: RunnableConfig) -> bool:
        """Whether this thread's checkpoints outlive the process, and with them what its handles stand for."""
        configurable = config.get("configurable", {})
        saver = self.checkpointer
        if not isinstance(saver, BaseCheckpointSaver):
            saver = configurable.get(CHECKPOINTER)  # a parent graph's own
        kept = isinstance(saver, BaseCheckpointSaver) and type(saver) is not InMemorySaver
        return kept and configurable.get("thread_id") is not None

    def _owned(self, run: _Run) -> None:
        """Raises InputError where the thread is another user's: its state is nobody else's to see."""
        if run.named and isinstance(self.checkpointer, BaseCheckpointSaver):
            check_owner(super().get_state(run.config).values, self.engine.vault.owner(run.scope))

    async def _aowned(self, run: _Run) -> None:
        if run.named and isinstance(self.checkpointer, BaseCheckpointSaver):
            check_owner((await super().aget_state(run.config)).values, self.engine.vault.owner(run.scope))

    def bulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:
        """As every graph's; also behind `update_state`. Messages are interned first."""
        return super().bulk_update_state(config, self._interned_updates(config, supersteps))

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:
        """The async twin of `bulk_update_state`."""
        return await super().abulk_update_state(config, self._interned_updates(config, supersteps))

    def _interned_updates(self, config: RunnableConfig, supersteps: Any) -> list[list[StateUpdate]]:
        user = resolve_context(None, self.defaults).user_id
        scope = (cast(str, user), str(config.get("configurable", {}).get("thread_id")))
        kept, vault = self._outlives(config), self.engine.vault
        if kept:
            vault.keep(scope)
        try:
            return [
                [update._replace(values=self._interned_values(update.values, scope)) for update in step]
                for step in supersteps
            ]
        finally:
            if kept:
                vault.end(scope)

    def _interned_values(self, values: Any, scope: Scope) -> Any:
        if isinstance(values, Mapping) and "messages" in values:
            messages = intern_messages(to_messages(values), self.engine.vault, scope)
            return {**values, "messages": messages}
        return values

    def _interned_command(self, command: Command[Any], scope: Scope) -> Command[Any]:
        """Of an answer to `ask`, what counts and nothing else: it is written to the checkpoint as it is."""
        return replace(
            command, update=self._interned_values(command.update, scope), resume=plain_answer(command.resume)
        )

    def _intern(self, given: Any, scope: Scope) -> list[BaseMessage]:
        messages = to_messages(given)
        texts = [text_of(message) for message in messages if not is_handle(message.content)]
        limit = self.engine.config.limits.max_chars
        if sum(map(len, texts)) > limit:
            raise InputError(
                f"the request has {sum(map(len, texts))} characters and the limit is {limit}; "
                "shorten it, or raise limits.max_chars in the policy file"
            )
        if not messages or not (text_of(messages[-1]).strip()):
            raise InputError("the request is empty: say what should be written")
        return intern_messages(messages, self.engine.vault, scope)

    def _end(self, run: _Run) -> None:
        run.context.cancel.set()
        if run.kept or not run.named:
            self.engine.vault.end(run.scope)


@dataclass(frozen=True)
class _Run:
    """One call: what the loop gets, and whose vault scope it works in.

    `named`: the caller named a thread. `kept`: its checkpoints outlive the process, and so does its vault.
    """

    input: Any = field(repr=False)
    config: RunnableConfig
    context: RunContext
    scope: Scope = field(repr=False)
    named: bool
    kept: bool


def _last(items: Iterator[Any]) -> Iterator[Any]:
    """The input of a chain step: chunks are added up where they can be, else the last one counts."""
    final: Any = None
    for number, item in enumerate(items):
        try:
            final = item if number == 0 else final + item
        except TypeError:
            final = item
    yield final


def _text_chunks(states: Iterator[Any]) -> Iterator[str]:
    streamed = False
    for state in states:
        messages = state.get("messages") or []
        last = messages[-1] if messages else None
        if isinstance(last, AIMessageChunk):
            streamed = True
            yield last.text
        elif isinstance(last, AIMessage) and not streamed:
            yield last.text


async def _atext_chunks(states: AsyncIterator[Any]) -> AsyncIterator[str]:
    streamed = False
    async for state in states:
        for text in _text_chunks(iter([state])):
            last = state["messages"][-1]
            if isinstance(last, AIMessageChunk) or not streamed:
                yield text
            streamed = True


last_text: RunnableGenerator[Any, str] = RunnableGenerator(_text_chunks, _atext_chunks, name="last_text")
"""State -> the text of its last AI message, streaming: `prompt | router | last_text | parser`."""
