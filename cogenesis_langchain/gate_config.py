"""The `privacy.gate` section: what the last check lets through, in general and for one endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cogenesis_langchain.normalize.canonical import squeeze
from cogenesis_langchain.sections import Endpoint, Name, Section

SendingRoute = Literal["cloud", "mask", "live", "fuse", "sketch"]
Bytes = Annotated[int, Field(ge=1024, le=16_777_216)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Score = Annotated[float, Field(ge=0, le=1)]


class EndpointGateConfig(Section):
    """Tighter rules for one endpoint; `privacy.gate`'s own hold where one is left out."""

    min_score: Score | None = None
    on_hit: Literal["local", "block"] | None = None
    routes: tuple[SendingRoute, ...] | None = None
    max_body_bytes: Bytes | None = None
    max_messages: Count | None = None
    max_requests_per_run: Count | None = None
    max_requests_per_live_run: Count | None = None
    max_requests_per_minute: Count | None = None


class GateConfig(Section):
    """The last check on the bytes that leave."""

    min_score: Score = 0.5
    """Detector findings below this score do not stop a request; known values always do."""
    on_hit: Literal["local", "block"] = "local"
    routes: tuple[SendingRoute, ...] = ("cloud", "mask", "live", "fuse", "sketch")
    """What may leave at all, whatever the rules decide."""
    max_body_bytes: Bytes = 65_536
    max_messages: Count = 256
    max_requests_per_run: Count = 8
    """Requests of one run of the router, further attempts included."""
    max_requests_per_live_run: Count = 64
    """The same where form `live` of fusion asks again and again."""
    max_requests_per_minute: Count | None = None
    """Requests of all users of this process together; None is no limit."""
    allow: tuple[Name, ...] = Field(default=(), repr=False)
    """False alarms, in any spelling: what the detector finds and may leave. Never frees a known value."""
    endpoints: Mapping[Endpoint, EndpointGateConfig] = Field(default_factory=dict)
    """Tighter rules by endpoint, named as in `base_url`."""

    def at(self, base_url: str) -> GateConfig:
        """The rules that hold for one endpoint."""
        own = self.endpoints.get(base_url.rstrip("/"))
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))

    @model_validator(mode="after")
    def _only_tightens(self) -> Self:
        for text in self.allow:
            if not squeeze(text):
                raise PydanticCustomError(
                    "empty", "holds a text without a letter or digit", {"path": ("allow",)}
                )
        for url, own in self.endpoints.items():
            for name, value in own.model_dump(exclude_none=True).items():
                if not _as_tight(name, value, getattr(self, name)):
                    raise PydanticCustomError(
                        "looser",
                        "an endpoint's rule may only be tighter than privacy.gate's own",
                        {"path": ("endpoints", url, name)},
                    )
        return self


def _as_tight(name: str, own: Any, general: Any) -> bool:
    """Whether an endpoint's value lets through no more than the general one."""
    if name == "routes":
        return set(own) <= set(general)
    if name == "on_hit":
        return bool(own == "block" or general == "local")
    return general is None or bool(own <= general)
