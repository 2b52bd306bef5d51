"""Re-emits the local model's tokens so that every LangGraph stream mode sees them, and nothing else does.

A chat model called inside a node would inherit every callback: stream handlers, but also tracers, debug
printers and whatever instrumentation hangs itself into LangChain, all of which would keep the text. So no
chat model is called. The handlers that serve a stream are told what a chat model would tell them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler

from cogenesis_langchain.types import Finish

_SERVES_A_STREAM = (_StreamingCallbackHandler, _V2StreamingCallbackHandler)


def _stream_handlers(config: RunnableConfig) -> CallbackManager | None:
    """A manager with this run's stream handlers alone; None where nobody streams."""
    given = config.get("callbacks")
    if not isinstance(given, BaseCallbackManager):
        return None
    handlers: list[BaseCallbackHandler] = [
        handler for handler in given.handlers if isinstance(handler, _SERVES_A_STREAM)
    ]
    if not handlers:
        return None
    manager = CallbackManager(handlers=[], parent_run_id=given.parent_run_id)
    manager.handlers = handlers  # after construction: instrumentation adds itself to every new manager
    manager.inheritable_handlers = []
    manager.tags, manager.inheritable_tags = list(given.tags), []
    manager.metadata = {**given.metadata, **(config.get("metadata") or {})}
    return manager


def ended_by(finish: Finish | None) -> dict[str, Any]:
    """What a message's metadata say of that, in LangChain's words."""
    return {"finish_reason": finish} if finish else {}


def emit(
    pieces: Iterator[str],
    *,
    handle: str,
    message_id: str,
    config: RunnableConfig,
    ended: Callable[[], Finish | None] = lambda: None,
) -> str:
    """Passes `pieces` through to whoever streams this run, and returns them joined.

    Args:
        pieces: the text as it is written; closed when the run ends early.
        handle: the vault handle that stands for the prompt in stream events.
        message_id: the id of the AIMessage that the node will return.
        config: the node's config, whose callbacks carry the stream handlers.
        ended: why the text ended; asked after its last piece.
    """
    manager = _stream_handlers(config)
    if manager is None:
        return "".join(pieces)
    said: list[str] = []
    (run,) = manager.on_chat_model_start(
        {"name": "cogenesis"}, [[HumanMessage(content=handle)]], run_id=uuid4(), name="cogenesis"
    )
    try:
        for piece in pieces:
            said.append(piece)
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece, id=message_id))
            run.on_llm_new_token(piece, chunk=chunk)
        why = ended_by(ended())
        last = AIMessageChunk(content="", id=message_id, chunk_position="last", response_metadata=why)
        run.on_llm_new_token("", chunk=ChatGenerationChunk(message=last, generation_info=why))
    except BaseException as error:
        run.on_llm_error(RuntimeError(type(error).__name__))  # its own words may quote the text
        raise
    text = "".join(said)
    message = AIMessage(content=text, id=message_id, response_metadata=why)
    run.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message, generation_info=why)]]))
    return text
