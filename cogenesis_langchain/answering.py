"""A text on its way to the person: streamed as it is written, timed, and kept in the vault."""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from cogenesis_langchain.interning import intern_message
from cogenesis_langchain.links import strip_links
from cogenesis_langchain.placeholders import StreamRestorer
from cogenesis_langchain.preamble import without_preamble
from cogenesis_langchain.request import Request, Update
from cogenesis_langchain.streaming import emit, ended_by
from cogenesis_langchain.types import Finish, Pieces

CUT = "the text is cut at its limit of tokens: raise {} in the policy file"
OF_CLOUD = "models.cloud.max_tokens"
OF_LOCAL = "models.local.max_tokens (prompt and text share models.local.n_ctx)"


class Answer:
    """One text in the making. `config` is the node's, whose listeners get it; `timings` the run's."""

    def __init__(self, request: Request, config: RunnableConfig, timings: dict[str, float]) -> None:
        self.request = request
        self.timings = timings
        self._config = config
        self._times: list[float] = []
        self._finish: Finish | None = None

    def written(self, tokens: Pieces) -> Update:
        """Of what the local model writes, the text without its preambles and made-up links."""
        pieces = without_preamble(self._watched(tokens))
        update = self._emitted(strip_links(pieces, self.request.supplied()))
        made = self._times
        if len(made) > 1:  # counted where the model gives them: links and preambles are held back in between
            self.timings["tokens_per_s"] = (len(made) - 1) / max(made[-1] - made[0], 1e-9)
        return update

    def restored(self, deltas: Pieces) -> Update:
        """The cloud's own text, its placeholders restored as it streams (routes mask and cloud)."""
        restorer = StreamRestorer(self.request.engine.vault.table(self.request.scope))

        def pieces() -> Iterator[str]:
            for delta in self._watched(deltas):
                if text := restorer.feed(delta):
                    yield text
            if text := restorer.close():
                yield text

        return self._emitted(strip_links(pieces(), self.request.supplied()))

    def _emitted(self, pieces: Iterator[str]) -> Update:
        """Streams `pieces` to whoever listens; the whole text goes into the vault."""
        first: list[float] = []

        def timed() -> Iterator[str]:
            for piece in pieces:
                if not first:
                    first.append(time.perf_counter())
                yield piece

        request, vault, message_id = self.request, self.request.engine.vault, str(uuid.uuid4())
        prompt = str(request.state["messages"][-1].content)
        text = emit(
            timed(), handle=prompt, message_id=message_id, config=self._config, ended=lambda: self._finish
        )
        if first:
            self.timings["first_token_ms"] = (first[0] - request.context.started) * 1000
        message = AIMessage(content=text, id=message_id, response_metadata=ended_by(self._finish))
        return {
            "messages": [intern_message(message, vault, request.scope)],
            "text": vault.put(request.scope, text),
            "finish_reason": self._finish,
            "timings": self.timings,
        }

    def _watched(self, pieces: Pieces) -> Iterator[str]:
        """`pieces`, with the moment of each and how they end; closes them when their reader stops."""
        with closing(self._ended(pieces)) as passed:
            for piece in passed:
                self._times.append(time.perf_counter())
                yield piece

    def _ended(self, pieces: Pieces) -> Generator[str, None, None]:
        finish = yield from pieces
        stopped = self.request.context.cancel.is_set()  # then it was neither finished nor cut
        self._finish = None if stopped else finish
