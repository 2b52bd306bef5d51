"""False alarms: what the detector finds and the policy allows (`privacy.gate.allow`). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cogenesis_langchain.known.matcher import SOURCE as KNOWN
from cogenesis_langchain.normalize.canonical import squeeze
from cogenesis_langchain.types import PrivateSpan


class AllowList:
    """Texts, in any spelling, that are no finding where the detector finds exactly them.

    A known value is never allowed by this, nor a longer finding that holds an allowed text.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._allowed = frozenset(map(squeeze, texts)) - {""}

    def keep(self, text: str, spans: Sequence[PrivateSpan]) -> list[PrivateSpan]:
        """The spans of `text` that still count."""
        if not self._allowed:
            return list(spans)
        return [s for s in spans if s.source == KNOWN or squeeze(text[s.start : s.end]) not in self._allowed]

    def __repr__(self) -> str:
        return f"AllowList({len(self._allowed)} texts)"
