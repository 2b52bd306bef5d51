"""The policy file: YAML -> frozen `Config`. Unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from cogenesis_langchain.settings import (
    LimitsConfig,
    ModelsConfig,
    PrivacyConfig,
    RoutingConfig,
    Section,
    StoreConfig,
    VocabularyConfig,
)


class Config(Section):
    """A whole policy file."""

    version: Literal[1] = 1
    models: ModelsConfig = ModelsConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    presidio: dict[str, Any] | Path = Field(default_factory=dict, repr=False)
    store: StoreConfig = Field(default_factory=StoreConfig)
    vocabulary: VocabularyConfig = VocabularyConfig()
    routing: RoutingConfig = RoutingConfig()
    limits: LimitsConfig = LimitsConfig()
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `load` accepted but the user should know."""
        return self._warnings

    @model_validator(mode="after")
    def _trusted(self) -> Self:
        local, server = self.models.local, self.store.server
        if local.base_url and not self.privacy.trusts(local.base_url):
            raise ValueError("models.local.base_url must be loopback or in privacy.trusted_endpoints")
        if server and not self.privacy.trusts(server.base_url):
            raise ValueError("store.server.base_url must be loopback or in privacy.trusted_endpoints")
        return self


def load(source: Path | str | Mapping[str, Any] | Config | None = None) -> Config:
    """Read a config from a mapping."""
    if isinstance(source, Config):
        return source
    return Config.model_validate(source or {})
