"""Re-emits the local model's tokens so that every LangGraph stream mode sees them, and no tracer does.

A chat model called inside a node inherits every callback: stream handlers, but also tracers, which would
store the text. The shell model below is called with the stream handlers alone, its input is a vault handle,
and LangSmith's ambient tracer is off around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import BaseCallbackManager, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
from langsmith import tracing_context
from pydantic import PrivateAttr


class _Shell(BaseChatModel):
    """Looks like a chat model to LangGraph; its tokens come from an iterator it was given."""

    _pieces: Iterator[str] = PrivateAttr()
    _message_id: str = PrivateAttr()
    _written: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, pieces: Iterator[str], message_id: str) -> None:
        super().__init__(cache=False)
        self._pieces = pieces
        self._message_id = message_id

    @property
    def _llm_type(self) -> str:
        return "cogenesis"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self._pieces:
            self._written.append(piece)
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece, id=self._message_id))
            if run_manager is not None:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", id=self._message_id, chunk_position="last")
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._written.extend(self._pieces)
        message = AIMessage(content="".join(self._written), id=self._message_id)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _stream_handlers_only(callbacks: Any) -> Any:
    """The same callback manager with tracers and loggers left out."""
    if not isinstance(callbacks, BaseCallbackManager):
        return []
    manager = callbacks.copy()
    streams = (_StreamingCallbackHandler, _V2StreamingCallbackHandler)
    manager.handlers = [h for h in manager.handlers if isinstance(h, streams)]
    manager.inheritable_handlers = [h for h in manager.inheritable_handlers if isinstance(h, streams)]
    return manager


def emit(pieces: Iterator[str], *, handle: str, message_id: str, config: RunnableConfig) -> str:
    """Passes `pieces` through to whoever streams this run, and returns them joined.

    Args:
        pieces: the text as it is written; closed when the run ends early.
        handle: the vault handle that stands for the prompt in stream events.
        message_id: the id of the AIMessage that the node will return.
        config: the node's config, whose callbacks carry the stream handlers.
    """
    shell = _Shell(pieces, message_id)
    quiet: RunnableConfig = {**config, "callbacks": _stream_handlers_only(config.get("callbacks"))}
    with tracing_context(enabled=False):
        shell.invoke([HumanMessage(content=handle)], quiet)
    return "".join(shell._written)
