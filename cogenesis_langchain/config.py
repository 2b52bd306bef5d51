"""The policy file: YAML -> frozen `Config`, every fault in one error with file, line and key.

Where it is looked for, in this order: what `load` is given (a file, `preset:NAME`, or a mapping), the
variable COGENESIS_CONFIG, the user's own file (`user_file`), the preset `default`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_config_path
from pydantic import Field, PlainValidator, PrivateAttr, ValidationError, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from cogenesis_langchain import additions, rules, yaml_lines
from cogenesis_langchain.advice import advice, faults_of, not_set
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.faults import Fault, KeyPath, suggest
from cogenesis_langchain.files import under_home
from cogenesis_langchain.routing_config import RoutingConfig, read_policy, rule_faults
from cogenesis_langchain.sections import ENV_PREFIX, Keyed, Section, expanded
from cogenesis_langchain.settings import (
    FuseConfig,
    LimitsConfig,
    ModelsConfig,
    PrivacyConfig,
    StoreConfig,
    VocabularyConfig,
)
from cogenesis_langchain.types import Policy

__all__ = ["PRESETS", "Config", "json_schema", "load", "preset_text", "user_file"]

PRESETS = ("default", "strict", "offline", "observe")
_PRESET_PREFIX = "preset:"
_PACKAGE = "cogenesis_langchain"


def _presidio(value: Any) -> dict[str, Any] | Path:
    if isinstance(value, str | Path):
        return expanded(Path(value))
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError("must be Presidio's own YAML as a mapping, or the path of a file that holds it")


class Config(Section):
    """A whole policy file. `warnings` says what was accepted but may surprise."""

    version: Literal[1] = 1
    models: ModelsConfig = ModelsConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    presidio: Annotated[
        dict[str, Any] | Path,
        PlainValidator(_presidio),
        WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]}),
    ] = Field(default_factory=dict, repr=False)
    """Presidio's own schema (`nlp_configuration`, `recognizer_registry`), or the path of a file with it."""
    store: StoreConfig = Field(default_factory=StoreConfig)
    vocabulary: VocabularyConfig = VocabularyConfig()
    routing: RoutingConfig = RoutingConfig()
    fuse: FuseConfig = FuseConfig()
    limits: LimitsConfig = LimitsConfig()
    _source: str = PrivateAttr(default="config")
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    def __repr__(self) -> str:
        return f"Config({self._source})"

    __str__ = __repr__

    @property
    def source(self) -> str:
        """The file or preset this came from."""
        return self._source

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `load` accepted but the user should know."""
        return self._warnings

    def policy(self) -> Policy:
        """The routing part as `route.decide` reads it, highest priority first. ConfigError as in `load`."""
        policy, faults = read_policy(self.routing, observe=self.privacy.mode == "observe")
        if faults:
            raise ConfigError(yaml_lines.report(yaml_lines.Document(self._source, None), faults))
        return policy

    def missing_variables(self) -> Iterator[tuple[KeyPath, str]]:
        """(key, variable) of every key whose environment variable is not set."""
        keyed: list[tuple[KeyPath, Keyed | None]] = [
            (("models", "cloud", "api_key"), self.models.cloud),
            (("models", "local", "api_key"), self.models.local),
            (("store", "server", "api_key"), self.store.server),
        ]
        for path, section in keyed:
            if section is not None and section.missing_variable:
                yield path, section.missing_variable

    @model_validator(mode="after")
    def _gates(self) -> Self:
        """A rule for an address that is no model's would be a typo that loosens."""
        cloud = self.models.cloud
        for url in self.privacy.gate.endpoints:
            if cloud is not None and url != cloud.base_url:
                raise PydanticCustomError(
                    "no_such_endpoint",
                    "no model of this file is there: correct it, or remove it",
                    {"path": ("privacy", "gate", "endpoints", url)},
                )
        return self

    @model_validator(mode="after")
    def _live(self) -> Self:
        """What gives away some of a text is never switched on by naming it once."""
        if not self.fuse.live.allow:
            for path in self.routing.live():
                raise PydanticCustomError(
                    "live_not_allowed",
                    "form live gives away something of each text: see docs/fusion.md, "
                    "then set fuse.live.allow: true, or use form draft",
                    {"path": path},
                )
        return self

    @model_validator(mode="after")
    def _trusted(self) -> Self:
        server = self.store.server
        asked: list[tuple[KeyPath, str | None]] = [
            (("models", "local", "base_url"), self.models.local.base_url),
            (("store", "server", "base_url"), server.base_url if server else None),
        ]
        for path, url in asked:
            if url and not self.privacy.trusts(url):
                raise PydanticCustomError(
                    "untrusted",
                    "private text goes there: use loopback, or add it to privacy.trusted_endpoints",
                    {"path": path},
                )
        return self


def user_file() -> Path:
    """Where the user's own policy file is looked for."""
    return under_home(lambda: user_config_path("cogenesis")) / "config.yaml"


def preset_text(name: str) -> str:
    """The YAML of a shipped preset. ConfigError names the nearest one."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset '{name}'; {suggest(name, PRESETS)}")
    return (files(_PACKAGE) / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def load(
    source: Path | str | Mapping[str, Any] | Config | None = None, *, require_keys: bool | None = None
) -> Config:
    """Read and check a policy.

    Args:
        source: a file, `preset:NAME`, a mapping of the same shape, a Config (given back as it is), or
            None for the user's own policy.
        require_keys: whether an unset `api_key` variable is an error. By default it is for files and
            mappings; a preset loads without (and warns), so that local use needs no account. Pass False
            where nothing will be sent.

    Raises ConfigError that lists every fault as `FILE:LINE: key 'a.b[0].c': what, and what instead`.
    """
    if isinstance(source, Config):
        return source
    document, base, is_preset = _open(source)
    data, faults = _resolve(document.data if document.data is not None else {})
    faults = [*document.faults, *faults]
    config: Config | None = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        faults += faults_of(error, Config)
        faults += rule_faults(data, _closed(VocabularyConfig()))
    else:
        faults += read_policy(config.routing, closed=_closed(config.vocabulary))[1]
        faults += _addition_faults(config.vocabulary)
        if require_keys or (require_keys is None and not is_preset):
            faults += [Fault(path, not_set(variable)) for path, variable in config.missing_variables()]
    if faults or config is None:
        raise ConfigError(yaml_lines.report(document, faults)) from None
    config = _anchored(config, base)
    config._source = document.name
    config._warnings = tuple(advice(config, config.policy()))
    return config


def json_schema() -> dict[str, Any]:
    """JSON Schema of the policy file, for editors."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cogenesis policy"
    schema["$defs"]["Condition"] = rules.condition_schema()
    schema["$defs"]["DecisionConfig"]["properties"]["rules"] = {"$ref": "#/$defs/Condition"}
    return schema


# --- From source to data --------------------------------------------------------------------------


def _open(
    source: Path | str | Mapping[str, Any] | None,
) -> tuple[yaml_lines.Document, Path | None, bool]:
    """The document, the folder that relative paths start from, and whether it is a preset."""
    if isinstance(source, Mapping):
        return yaml_lines.Document("config", dict(source)), None, False
    if source is None:
        chosen = os.environ.get("COGENESIS_CONFIG") or user_file()
        source = chosen if isinstance(chosen, str) or os.path.isfile(chosen) else f"{_PRESET_PREFIX}default"
    if str(source).startswith(_PRESET_PREFIX):
        name = str(source).removeprefix(_PRESET_PREFIX)
        return yaml_lines.parse(preset_text(name), str(source)), None, True
    path = under_home(Path(source).expanduser)
    if path.name in PRESETS and not path.exists():
        raise ConfigError(f"{path}: there is no such file; did you mean '{_PRESET_PREFIX}{path.name}'?")
    return yaml_lines.read(path), path.resolve().parent, False


def _resolve(data: Any, path: KeyPath = ()) -> tuple[Any, list[Fault]]:
    """A copy with `os.environ/NAME` replaced everywhere but in `api_key`, which is read at first use."""
    faults: list[Fault] = []
    if isinstance(data, Mapping):
        copy: Any = {}
        for key, value in data.items():
            copy[key], found = (value, []) if key == "api_key" else _resolve(value, (*path, str(key)))
            faults += found
        return copy, faults
    if isinstance(data, list | tuple):
        pairs = [_resolve(value, (*path, index)) for index, value in enumerate(data)]
        return [value for value, _ in pairs], [fault for _, found in pairs for fault in found]
    if isinstance(data, str) and data.startswith(ENV_PREFIX):
        name = data.removeprefix(ENV_PREFIX)
        if not os.environ.get(name):
            return None, [Fault(path, not_set(name))]
        return os.environ[name], []
    return data, []


def _anchored(config: Config, base: Path | None) -> Config:
    """Relative paths of a file start from the file's own folder."""
    if base is None:
        return config
    local, store = config.models.local, config.store
    keys = store.keys_path and base / store.keys_path
    update: dict[str, Any] = {
        "store": store.model_copy(update={"path": base / store.path, "keys_path": keys}),
        "models": config.models.model_copy(
            update={"local": local.model_copy(update={"path": local.path and base / local.path})}
        ),
    }
    if isinstance(config.presidio, Path):
        update["presidio"] = base / config.presidio
    return config.model_copy(update=update)


def _closed(added: VocabularyConfig) -> rules.Closed:
    """The names rules may use for kind and topic: those of the size in use and the user's additions."""

    def names(signal: str) -> frozenset[str] | None:
        if signal not in ("kind", "topic"):
            return None
        return _shipped_names(added.size, f"{signal}s") | set(
            added.kinds if signal == "kind" else added.topics
        )

    return names


def _addition_faults(added: VocabularyConfig) -> Iterator[Fault]:
    """Names that may not be added to the closed lists, which go out."""
    for key, names in (("kinds", added.kinds), ("topics", added.topics)):
        if not names:
            continue  # the shipped lists take half a second to read
        taken = _shipped_names("full", key) | _shipped_names(added.size, key)
        for name in names:
            if (why := additions.fault(name, taken)) is not None:
                yield Fault(("vocabulary", key, name), why)


@cache
def _shipped_names(size: str, key: str) -> frozenset[str]:
    name = f"{key}.yaml" if size == "full" else f"sizes/{size}.yaml"
    text = (files(_PACKAGE) / "vocabulary" / name).read_text(encoding="utf-8")
    data = yaml_lines.parse(text, name).data
    return frozenset(map(str, data if size == "full" else data[key]))
