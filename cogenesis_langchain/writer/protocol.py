"""What a writer can do. `LlamaCppWriter` runs in this process, `RemoteWriter` asks a trusted endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cogenesis_langchain.types import Pieces
from cogenesis_langchain.writer.parts import Cancel, Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogenesis_langchain.fusion.distributions import Vocabulary


@runtime_checkable
class Writer(Protocol):
    """A model on this machine or on a trusted endpoint. It may read Secret text; callers reveal it."""

    name: str

    def load(self) -> None:
        """Loads the model now instead of at first use."""
        ...

    def warm(self, prompt: Prompt, *, scope: str, cancel: Cancel | None = None) -> None:
        """Reads everything before the last part and keeps the state under `scope`; steps aside for others."""
        ...

    def write(
        self,
        prompt: Prompt,
        *,
        scope: str,
        max_tokens: int = 700,
        temperature: float = 0.7,
        seed: int | None = None,
        cancel: Cancel | None = None,
    ) -> Pieces:
        """Pieces of text as they are written; closing the iterator frees the model for the next caller."""
        ...

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """The option that the model finds likeliest; a function of prompt and options alone in scope ""."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...

    def forget(self, scope: str) -> None:
        """Drops what was kept under a scope."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...


class Steps(Protocol):
    """The model under the caller's hand, token by token; V is the size of its vocabulary.

    `stop`: strings that end a text. Only for the one who holds it; what `logits` gave is gone after `feed`.
    """

    stop: tuple[str, ...]

    @property
    def vocabulary(self) -> Vocabulary:
        """The bytes of every token, and what other vocabularies' tokens are in it."""
        ...

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of every token by id; none for control tokens."""
        ...

    @property
    def room(self) -> int:
        """Steps that may still be taken; 0 where the caller cancelled before the prompt was read."""
        ...

    @property
    def logits(self) -> NDArray[np.float32]:
        """(V,) After what was fed."""
        ...

    @property
    def shadow_logits(self) -> NDArray[np.float32]:
        """(V,) After what was fed to the second sequence. WriterError where there is none."""
        ...

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        """One token for the text, one for the second sequence, or both in one pass."""
        ...

    def end_shadow(self) -> None:
        """Gives up the second sequence, and its room."""
        ...

    def ends(self, token: int) -> bool:
        """Whether the model says with it that it has finished."""
        ...


@runtime_checkable
class Stepping(Protocol):
    """A writer whose next-token distributions are at hand, as fusion needs them."""

    def steps(
        self, prompt: Prompt, *, scope: str, shadow: Prompt | None = None, cancel: Cancel | None = None
    ) -> AbstractContextManager[Steps]:
        """Reads the prompt under `scope`, and `shadow` into a second sequence that is gone at the end."""
        ...
