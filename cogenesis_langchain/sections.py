"""What the sections of the policy file are made of: a strict base, and the types of their fields.

Nothing here prints a key, a private value or a user's name: such fields are left out of `repr`, and
validation errors never show their input.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from cogenesis_langchain.endpoints import check_endpoint
from cogenesis_langchain.errors import ConfigError

ENV_PREFIX = "os.environ/"


class EnvironmentKey(SecretStr):
    """A key that stands in an environment variable: read each time it is asked for, kept nowhere."""

    @property
    def variable(self) -> str:
        """Name of the variable."""
        return self._secret_value.removeprefix(ENV_PREFIX)

    @property
    def is_set(self) -> bool:
        """Whether the variable holds anything."""
        return bool(os.environ.get(self.variable))

    def get_secret_value(self) -> str:
        """The key. ConfigError names the variable where it is unset or empty."""
        if not self.is_set:
            raise ConfigError(f"environment variable {self.variable} is not set; export it and retry")
        return os.environ[self.variable]

    def _display(self) -> str:
        return self._secret_value

    def __len__(self) -> int:
        return len(os.environ.get(self.variable, ""))


def _environment_key(value: object) -> object:
    """Refuse a key written into the file, without repeating it. Code may pass a SecretStr of its own."""
    if value is None or isinstance(value, SecretStr):
        return value
    name = value.removeprefix(ENV_PREFIX) if isinstance(value, str) else ""
    if name == value or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"a key never stands in the file; write {ENV_PREFIX}NAME and set the variable NAME")
    return EnvironmentKey(f"{ENV_PREFIX}{name}")


def expanded(value: Path) -> Path:
    """The path with `~` replaced. ValueError where that home is not known."""
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("no such home directory is known: write the path in full") from None


def _text(value: object) -> object:
    """YAML reads 2024 or yes as a number or a boolean: ask for quotes rather than guess."""
    if isinstance(value, bool | int | float):
        raise ValueError("must be text; put it in quotes")
    return value


KeyReference = Annotated[
    SecretStr,
    BeforeValidator(_environment_key),
    WithJsonSchema({"type": "string", "pattern": "^os\\.environ/[A-Za-z_][A-Za-z0-9_]*$"}),
]
Endpoint = Annotated[str, AfterValidator(check_endpoint)]
FilePath = Annotated[Path, AfterValidator(expanded)]
Name = Annotated[str, BeforeValidator(_text), StringConstraints(min_length=1, max_length=200)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """What every section shares: frozen, unknown keys refused, inputs never shown in errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_left_out(cls, data: Any) -> Any:
        """A key whose lines are all commented out reads as null in YAML."""
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, Mapping) else data


class Keyed(Section):
    """A section that may need a key from the environment."""

    api_key: KeyReference | None = None
    """`os.environ/NAME`: the variable that holds the key. Not needed on loopback."""

    @property
    def missing_variable(self) -> str | None:
        """Name of the variable that should hold the key and does not; None where all is well."""
        key = self.api_key
        return key.variable if isinstance(key, EnvironmentKey) and not key.is_set else None
