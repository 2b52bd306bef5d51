"""A toy of `writer.protocol.Steps`: a model that wants to say one text. For tests."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.fusion.distributions import TokenBytes, Vocabulary

_SURE = 6.0  # nats by which the next token stands out
_WORDS = re.compile(rb"\s*\S+|\s+")


class FakeSteps:
    """Says `text`, word by word, wherever it is led; the second sequence says `shadow`, if there is one.

    The vocabulary: all bytes, the words of both, and one token for the end.
    """

    stop: tuple[str, ...] = ()

    def __init__(
        self, text: str, shadow: str | None, *, delay_s: float = 0.0, cancel: threading.Event | None = None
    ) -> None:
        said = [_WORDS.findall(one.encode()) for one in (text, shadow or "")]
        pieces = [*(bytes([byte]) for byte in range(256)), *sorted({*said[0], *said[1]}), b""]
        control = np.array([not piece for piece in pieces])
        self.vocabulary = Vocabulary(TokenBytes(pieces, control))
        self._said = [[self.vocabulary.tokens.ids[word] for word in words] for words in said]
        self._beside = shadow is not None
        self._at = [0, 0]
        self._delay_s = delay_s
        self._cancel = cancel

    @property
    def pieces(self) -> Sequence[bytes]:
        """Bytes and words; none for the end."""
        return self.vocabulary.tokens.pieces

    @property
    def room(self) -> int:
        """Without end, but none where the caller cancelled."""
        return 0 if self._cancel is not None and self._cancel.is_set() else 1_000_000

    @property
    def logits(self) -> NDArray[np.float32]:
        """(V,) The next word of the text, or its end, stands out."""
        return self._logits(0)

    @property
    def shadow_logits(self) -> NDArray[np.float32]:
        """(V,) The same of the shadow. WriterError where there is none."""
        return self._logits(1)

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        """One step on, whatever was said."""
        if self._delay_s:
            time.sleep(self._delay_s)
        for sequence, given in enumerate((token, shadow_token)):
            self._at[sequence] += given is not None

    def end_shadow(self) -> None:
        """Gives up the second sequence."""
        self._beside = False

    def ends(self, token: int) -> bool:
        """Whether this is the end."""
        return not self.pieces[token]

    def _logits(self, sequence: int) -> NDArray[np.float32]:
        if sequence and not self._beside:
            raise WriterError("the local model has read nothing there")
        said, at = self._said[sequence], self._at[sequence]
        out = np.zeros(len(self.pieces), dtype=np.float32)
        out[said[at] if at < len(said) else -1] = _SURE + np.log(len(out))
        return out
