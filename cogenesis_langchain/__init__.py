"""Write as yourself with a large cloud model that never learns who you are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogenesis_langchain.config import Config
    from cogenesis_langchain.engine import Engine
    from cogenesis_langchain.errors import CoGenesisError, ConfigError, InputError
    from cogenesis_langchain.graph import create_privacy_router
    from cogenesis_langchain.router import PrivacyRouter, last_text
    from cogenesis_langchain.state import RouterContext
    from cogenesis_langchain.types import ContextItem, Level, Route

_HOME = {
    "Config": "config",
    "ConfigError": "errors",
    "ContextItem": "types",
    "CoGenesisError": "errors",
    "Engine": "engine",
    "InputError": "errors",
    "Level": "types",
    "PrivacyRouter": "router",
    "Route": "types",
    "RouterContext": "state",
    "create_privacy_router": "graph",
    "last_text": "router",
}

__all__ = [
    "CoGenesisError",
    "Config",
    "ConfigError",
    "ContextItem",
    "Engine",
    "InputError",
    "Level",
    "PrivacyRouter",
    "Route",
    "RouterContext",
    "create_privacy_router",
    "last_text",
]


def __getattr__(name: str) -> object:
    """Imports a public name at first use, so that `import cogenesis_langchain` loads no framework."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
