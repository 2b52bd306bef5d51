"""What a writer can do. `LlamaCppWriter` runs in this process, `RemoteWriter` asks a trusted endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from cogenesis_langchain.writer.parts import Cancel, Prompt


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
    ) -> Iterator[str]:
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
