"""The local model token by token: its logits, and a second sequence beside the text, for fusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.fusion.distributions import TokenBytes, Vocabulary
from cogenesis_langchain.writer.live import LiveState
from cogenesis_langchain.writer.llama import CHUNK, Llama
from cogenesis_langchain.writer.parts import Cancel, is_set

Floats = NDArray[np.float32]


def vocabulary_of(llama: Llama) -> Vocabulary:
    """The model's vocabulary; tokens without bytes, and those that end a text, are control tokens."""
    pieces = llama.pieces
    control = [not piece or llama.ends(token) for token, piece in enumerate(pieces)]
    return Vocabulary(TokenBytes(pieces, np.array(control, dtype=bool)))


class LlamaSteps:
    """`protocol.Steps` over llama.cpp. Only for the turnstile's holder, until `close`.

    Sequence 0 is the text and belongs to `live`, so that its state serves the next request; sequence 1 is
    the shadow. Both share the context's room.
    """

    def __init__(
        self, llama: Llama, live: LiveState, vocabulary: Vocabulary, stop: tuple[str, ...], *, ready: bool
    ) -> None:
        self.vocabulary = vocabulary
        self.stop = stop
        self._llama = llama
        self._live = live
        self._ready = ready
        # Where logits of each sequence lie: a row of the last pass, or a copy where that was the other's.
        self._rows: list[int | Floats | None] = [-1, None]

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of every token by id; none for control tokens."""
        return self.vocabulary.tokens.pieces

    @property
    def room(self) -> int:
        """Steps that may still be taken; with a shadow each takes two tokens."""
        if not self._ready:
            return 0
        used = len(self._live.tokens)
        if self._rows[1] is None:
            return self._llama.n_ctx - used
        return (self._llama.n_ctx - used - self._llama.length(1)) // 2

    @property
    def logits(self) -> Floats:
        """(V,) After what was fed."""
        return self._logits(0)

    @property
    def shadow_logits(self) -> Floats:
        """(V,) After what was fed to the shadow."""
        return self._logits(1)

    def read_shadow(self, tokens: Sequence[int], cancel: Cancel | None = None) -> None:
        """Reads a prompt into the second sequence; a cancel leaves no steps to take."""
        if not self._ready:
            return
        self._rows = [self.logits.copy(), -1]
        for at in range(0, len(tokens), CHUNK):
            if is_set(cancel):
                self._ready = False
                return
            chunk = tokens[at : at + CHUNK]
            self._llama.decode_in(chunk, [1] * len(chunk))
            self._rows[1] = len(chunk) - 1

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        """One token for the text, one for the shadow, or both in one pass."""
        given = {s: t for s, t in enumerate((token, shadow_token)) if t is not None}
        for sequence in given:
            self._logits(sequence)  # there must be such a sequence
        for sequence, row in enumerate(self._rows):
            if row is not None and sequence not in given:
                self._rows[sequence] = self._logits(sequence).copy()
        if shadow_token is None and token is not None:
            self._live.feed(self._llama, [token])
        else:
            self._llama.decode_in(list(given.values()), list(given))
            self._live.tokens += [token] if token is not None else []
        for row, sequence in enumerate(given):
            self._rows[sequence] = row

    def end_shadow(self) -> None:
        """Gives up the second sequence, and its room."""
        if self._rows[1] is not None:
            self._rows[1] = None
            self._llama.drop_second()

    def ends(self, token: int) -> bool:
        """Whether the model says with it that it has finished."""
        return self._llama.ends(token)

    def close(self) -> None:
        """No further steps, and no second sequence."""
        self.end_shadow()
        self._ready = False

    def _logits(self, sequence: int) -> Floats:
        row = self._rows[sequence]
        if row is None or not self._ready:
            raise WriterError("the local model has read nothing there")
        return self._llama.logits(row) if isinstance(row, int) else row
