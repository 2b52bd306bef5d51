"""A toy of `writer.protocol.Steps`: a model over bytes that wants to say one text. For tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.fusion.distributions import TokenBytes, Vocabulary

END = 256
"""The token that ends a text; every other one is a byte."""
_SURE = 6.0  # nats by which the next byte stands out


class FakeSteps:
    """Says `text`, byte by byte, wherever it is led; the second sequence says `shadow`, if there is one."""

    stop: tuple[str, ...] = ()

    def __init__(
        self, text: str, shadow: str | None, *, delay_s: float = 0.0, cancel: threading.Event | None = None
    ) -> None:
        self._said = [text.encode(), None if shadow is None else shadow.encode()]
        self._at = [0, 0]
        self._delay_s = delay_s
        self._cancel = cancel
        control = np.zeros(END + 1, dtype=bool)
        control[END] = True
        pieces = [*(bytes([byte]) for byte in range(END)), b""]
        self.vocabulary = Vocabulary(TokenBytes(pieces, control))

    @property
    def pieces(self) -> Sequence[bytes]:
        """A byte each; none for the end."""
        return self.vocabulary.tokens.pieces

    @property
    def room(self) -> int:
        """Without end, but none where the caller cancelled."""
        return 0 if self._cancel is not None and self._cancel.is_set() else 1_000_000

    @property
    def logits(self) -> NDArray[np.float32]:
        """(257,) The next byte of the text, or its end, stands out."""
        return self._logits(0)

    @property
    def shadow_logits(self) -> NDArray[np.float32]:
        """(257,) The same of the shadow."""
        return self._logits(1)

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        """One step on, whatever was said."""
        if self._delay_s:
            time.sleep(self._delay_s)
        for sequence, given in enumerate((token, shadow_token)):
            self._at[sequence] += given is not None

    def end_shadow(self) -> None:
        """Gives up the second sequence."""
        self._said[1] = None

    def ends(self, token: int) -> bool:
        """Whether this is the end."""
        return token == END

    def _logits(self, sequence: int) -> NDArray[np.float32]:
        said, at = self._said[sequence], self._at[sequence]
        if said is None:
            raise WriterError("the local model has read nothing there")
        out = np.zeros(END + 1, dtype=np.float32)
        out[said[at] if at < len(said) else END] = _SURE + np.log(END)
        return out
