"""A model of the catalogue in this process, in place of a cloud or the local model: it reads and continues.

Nothing leaves the process, so a stand-in for the cloud may also be shown what a cloud never is (the person's
context), to know the upper bound. Not for the router: it has no turnstile and serves one caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain import models
from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.posterior import log_softmax
from cogenesis_langchain.fusion.distributions import likeliest
from cogenesis_langchain.types import Draft, TopLogprobs
from cogenesis_langchain.writer.parts import Prompt, common_prefix

if TYPE_CHECKING:
    from cogenesis_langchain.fusion.distributions import Vocabulary
    from cogenesis_langchain.writer.llama import Llama

N_CTX = 4096
_TEMPERATURE = 1.0  # of drafts: what an endpoint takes where nothing is said


class InProcess:
    """One model, loaded when it is first asked. Raises ModelMissingError, which names the command to pull it.

    Args:
        name: of the catalogue.
        n_ctx: tokens of prompt and text together.
    """

    def __init__(self, name: str, n_ctx: int = N_CTX) -> None:
        self.name = name
        self._path = models.locate(name)
        self._template = template(models.entry(name).chat_template or "chatml")
        self._n_ctx = n_ctx
        self._engine: Llama | None = None
        self._held: list[int] = []

    @property
    def _llama(self) -> Llama:
        if self._engine is None:
            from cogenesis_langchain.writer.llama import Llama, default_threads

            self._engine = Llama(self._path, self._n_ctx, default_threads())
        return self._engine

    def close(self) -> None:
        """Frees the model."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def tokens(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return self._llama.tokens(text)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokens(text))

    def piece(self, token: int) -> bytes:
        """The bytes of a token; none for control tokens."""
        return self._llama.piece(token)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of every token."""
        from cogenesis_langchain.writer.steps import vocabulary_of

        return vocabulary_of(self._llama)

    def logprobs(self, prompt: Prompt, tokens: Sequence[int]) -> NDArray[np.float32]:
        """(n, V) Log-probabilities in nats before each of `tokens`, as the answer to `prompt`."""
        from cogenesis_langchain.writer.llama import CHUNK

        parts = [_logs(self._read(self._ids(prompt), room=len(tokens)))]
        for at in range(0, len(tokens) - 1, CHUNK):
            chunk = list(tokens[at : min(at + CHUNK, len(tokens) - 1)])
            parts.append(_logs(self._llama.decode_all(chunk)))
            self._held += chunk
        return np.concatenate(parts)[: len(tokens)]

    def drafted(
        self, prompt: Prompt, prefix: str, *, tokens: int, k: int, rng: np.random.Generator | None
    ) -> Draft:
        """At most `tokens` more tokens after `prefix`, with the likeliest `k` of each, as an endpoint sends.

        Without `rng` always the likeliest token. A model that reads the prefix's text anew may cut it into
        other tokens than those that made it; so does an endpoint.
        """
        ids = self._ids(prompt) + self._llama.tokens(prefix)
        positions: list[TopLogprobs] = []
        logs = _logs(self._read(ids, room=tokens))[0]
        while True:
            token = int(logs.argmax()) if rng is None else _drawn(logs, rng)
            if self._llama.ends(token):
                return Draft(tuple(positions), ended=True)
            positions.append(self._position(logs, token, k))
            if len(positions) >= tokens:
                return Draft(tuple(positions))
            self._llama.decode([token])
            self._held.append(token)
            logs = _logs(self._llama.last_logits())[0]

    def _position(self, logs: NDArray[np.float32], token: int, k: int) -> TopLogprobs:
        best = likeliest(logs, k)
        best = best[np.argsort(-logs[best], kind="stable")]
        listed = [(piece, float(logs[i])) for i in best if (piece := self.piece(int(i)))]
        return TopLogprobs(
            self.piece(token), float(logs[token]), tuple(p for p, _ in listed), tuple(v for _, v in listed)
        )

    def _ids(self, prompt: Prompt) -> list[int]:
        from cogenesis_langchain.writer.live import tokens_of

        tokens = tokens_of(self._llama, self._template, prompt)
        return tokens.stable + tokens.rest

    def _read(self, ids: list[int], room: int) -> Any:
        """(1, V) Logits after `ids`; what the state begins with already is not read again."""
        from cogenesis_langchain.writer.llama import CHUNK

        if len(ids) + room > self._llama.n_ctx:
            raise InputError(
                f"a prompt of {len(ids) + room} tokens does not fit {self._llama.n_ctx}: "
                "lower --context or --tokens"
            )
        shared = min(common_prefix(self._held, ids), len(ids) - 1)
        if not shared or not self._llama.trim(shared):
            self._llama.clear()
            shared = 0
        self._held = list(ids)
        for at in range(shared, len(ids), CHUNK):
            self._llama.decode(ids[at : at + CHUNK])
        return self._llama.last_logits()


def _logs(logits: Any) -> NDArray[np.float32]:
    """(n, V) As log-probabilities in memory of their own."""
    logs: NDArray[np.float32] = log_softmax(logits).astype(np.float32, copy=False)
    return logs


def _drawn(logs: NDArray[np.float32], rng: np.random.Generator) -> int:
    """A token drawn by its probability."""
    return int((logs / _TEMPERATURE + rng.gumbel(size=logs.shape)).argmax())
