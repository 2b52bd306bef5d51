"""Local sentence embeddings: all-MiniLM-L6-v2 in ONNX. Nothing leaves the machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain import models
from cogenesis_langchain.onnx_session import feed, open_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 384
MAX_TOKENS = 256
BATCH = 32
BATCH_CHARACTERS = 8000  # of the longest text times the texts: more overflows the processor's caches


class Embedder:
    """Texts -> vectors of unit length, so that a dot product is the cosine similarity.

    `directory` holds `model.onnx` and `tokenizer.json`. Loaded on first use; any number of threads may
    call it. Raises ModelMissingError or ModelCorruptError when the files cannot be used.
    """

    model = models.EMBEDDER
    """The name in the catalogue: vectors of another model are not to be compared with these."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    @classmethod
    def default(cls) -> Embedder:
        """The embedder of the catalogue, verified; ModelMissingError names the command that gets it."""
        return cls(models.locate(models.EMBEDDER))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 384) float32, each row of unit length; what lies beyond 256 tokens of a text is not read.

        A text without any word still has a vector: that of the two frame tokens.
        """
        import numpy as np

        tokenizer, session = self._load()
        out = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        # Texts of like length share a batch, so that little padding is computed.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        while order:
            fits = BATCH_CHARACTERS // max(1, min(len(texts[order[-1]]), MAX_TOKENS * 4))
            rows = [order.pop() for _ in range(max(1, min(BATCH, fits, len(order))))]
            out[rows] = _run(tokenizer, session, [_clean(texts[row]) for row in rows])
        return out

    def warm(self) -> None:
        """Load now rather than on first use."""
        self._load()

    def words(self) -> frozenset[str]:
        """The whole words it reads as one piece, in small letters: about 20,000 that are often written."""
        tokenizer, _ = self._load()
        return frozenset(piece for piece in tokenizer.get_vocab() if piece.isalpha())

    def _load(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _open(self._directory)
            return self._loaded


def _open(directory: Path) -> tuple[Any, Any]:
    tokenizer, session = open_model(directory, models.EMBEDDER)
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106 (no password)
    return tokenizer, session


def _run(tokenizer: Any, session: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, 384): the mean over the tokens of each text, scaled to unit length."""
    import numpy as np

    encoded = tokenizer.encode_batch(list(texts))
    mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
    states = feed(
        session,
        input_ids=np.array([one.ids for one in encoded], dtype=np.int64),
        attention_mask=mask,
        token_type_ids=np.array([one.type_ids for one in encoded], dtype=np.int64),
    )
    weights = mask[:, :, None].astype(np.float32)  # (n, tokens, 1)
    mean = (states * weights).sum(axis=1) / weights.sum(axis=1)
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _clean(text: str) -> str:
    # The tokenizer takes no half surrogate pairs, which broken input can hold. Far more characters than
    # 256 tokens need are not tokenised at all.
    return text[: MAX_TOKENS * 64].encode("utf-8", "replace").decode()
