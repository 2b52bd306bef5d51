"""The sections of the policy file as frozen records; `config.load` fills and checks them.

Defaults are the safe ones: no cloud, everything local. `privacy.gate` is in `gate_config`.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import Field, model_validator

from cogenesis_langchain.endpoints import is_loopback, origin
from cogenesis_langchain.files import under_home
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.sections import (
    ENV_PREFIX,
    Endpoint,
    FilePath,
    Keyed,
    Name,
    Section,
    Sha256,
)


class CloudModelConfig(Keyed):
    """The large model that must not learn who asks. Left out, nothing ever leaves the machine."""

    provider: Literal["openai", "openai_compatible"] = "openai"
    model: Name = "gpt-4o-mini"
    base_url: Endpoint = "https://api.openai.com/v1"
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Seconds for one whole call."""
    max_tokens: Annotated[int, Field(ge=16, le=100_000)] = 600
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider == "openai_compatible" and "base_url" not in self.model_fields_set:
            raise ValueError("provider openai_compatible needs base_url")
        if self.api_key is None and not is_loopback(self.base_url):
            raise ValueError(f"an endpoint off this machine needs api_key: {ENV_PREFIX}NAME")
        return self


class LocalModelConfig(Keyed):
    """The small model that reads the private context: in process, or a server on a trusted endpoint."""

    provider: Literal["llama_cpp", "openai_compatible"] = "llama_cpp"
    model: Name = "qwen2.5-coder-1.5b-instruct"
    """A name of `cogenesis models list`, or the model name the server expects."""
    path: FilePath | None = None
    """A GGUF file of one's own instead of a catalogue model; needs `chat_template`."""
    sha256: Sha256 | None = None
    """Hex SHA-256 of `path`, checked before use."""
    chat_template: Literal["chatml", "llama3", "gemma", "mistral"] | None = None
    base_url: Endpoint | None = None
    n_ctx: Annotated[int, Field(ge=512, le=1_048_576)] = 4096
    """Tokens of context window."""
    n_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    max_tokens: Annotated[int, Field(ge=16, le=100_000)] = 700
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.6

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider == "openai_compatible":
            self._check_server()
            return self
        if self.base_url or self.api_key:
            raise ValueError("base_url and api_key belong to provider openai_compatible")
        if self.path and not self.chat_template:
            raise ValueError("path needs chat_template: chatml, llama3, gemma or mistral")
        if not self.path and (self.sha256 or self.chat_template):
            raise ValueError("sha256 and chat_template describe a file given as path")
        return self

    def _check_server(self) -> None:
        if not self.base_url:
            raise ValueError("provider openai_compatible needs base_url")
        if self.path or self.sha256 or self.chat_template:
            raise ValueError("path, sha256 and chat_template belong to provider llama_cpp")
        tag = self.model.lower().rpartition(":")[2]
        if ":" in self.model and (tag == "cloud" or tag.endswith("-cloud")):
            # Ollama forwards such names to its own cloud through localhost.
            raise ValueError("a :cloud model runs on somebody else's machine; name a model that runs here")


class ModelsConfig(Section):
    """Both models; without `cloud` every request is answered locally."""

    cloud: CloudModelConfig | None = None
    local: LocalModelConfig = LocalModelConfig()


class KnownValuesConfig(Section):
    """How the values that must never leave are matched, and what the file itself adds to them."""

    min_length: Annotated[int, Field(ge=1, le=64)] = 3
    """Characters; shorter values do not count alone."""
    ignore: tuple[Name, ...] = Field(default=(), repr=False)
    """Values that may leave although the context holds them."""
    add: tuple[Name, ...] = Field(default=(), repr=False)
    """Values that must never leave, for every user."""


class LedgerConfig(Section):
    """Caps on what one user tells one endpoint under one key in any 24 hours; None is no cap."""

    max_bits_per_day: Annotated[float, Field(gt=0)] | None = None
    """Bits that kinds and topics tell; under it `mask` and level `free`, without a bound, never go."""
    max_requests_per_day: Annotated[int, Field(gt=0)] | None = None
    """Attempts, those of text labelled public included."""

    @property
    def capped(self) -> bool:
        """Whether there is any cap at all."""
        return self.max_bits_per_day is not None or self.max_requests_per_day is not None


class PrivacyConfig(Section):
    """Detection, known values, gate and ledger."""

    mode: Literal["enforce", "observe"] = "enforce"
    """`observe` decides, builds and logs, and sends nothing."""
    tier: Literal["fast", "balanced", "thorough"] = "balanced"
    detectors: tuple[str, ...] = ()
    """Detectors of your own that run beside ours, as `package.module:name`; async ones will do."""
    known_values: KnownValuesConfig = KnownValuesConfig()
    gate: GateConfig = GateConfig()
    ledger: LedgerConfig = LedgerConfig()
    trusted_endpoints: tuple[Endpoint, ...] = ()
    """Where private text may go off this machine: writer, Chroma server, Postgres. Loopback always may."""

    def lists(self, url: str) -> bool:
        """Whether the origin of `url` stands in `trusted_endpoints`; loopback alone is not enough."""
        return origin(url) in {origin(trusted) for trusted in self.trusted_endpoints}

    def trusts(self, url: str) -> bool:
        """Whether private text may go to `url`: loopback, or the origin of a trusted endpoint."""
        return is_loopback(url) or self.lists(url)


class ServerConfig(Keyed):
    """A Chroma server instead of files on disk."""

    base_url: Endpoint

    @property
    def host(self) -> str:
        """Host name or address."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        """Port, the scheme's own one where the URL names none."""
        return origin(self.base_url)[2]

    @property
    def ssl(self) -> bool:
        """Whether to speak TLS."""
        return self.base_url.startswith("https:")


class StoreConfig(Section):
    """Where private context, receipts and keys live."""

    path: FilePath = Field(default_factory=lambda: under_home(lambda: user_data_path("cogenesis")))
    server: ServerConfig | None = None
    encrypt: bool = True
    """Seal what lies on disk, under a key for each user. What was written otherwise is refused."""
    keys: Literal["auto", "keyring", "file"] = "auto"
    """Where new keys go: the system's keyring, files, or `auto`: a keyring that encrypts, else files."""
    keys_path: FilePath | None = None
    """Folder of the keys; the subfolder `keys` of `path` where it is left out."""
    thread_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    """Days after its last use that a thread's texts are kept for the run that resumes it."""
    thread_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    """The same in bytes for each user; threads used within a day always stay."""
    state_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Disk for what the local model has read of the users' profiles, of all users together; 0 keeps none."""


class VocabularyConfig(Section):
    """The size of the closed lists, and additions to them: name -> description. Names go out."""

    size: Literal["tiny", "small", "medium", "large", "full"] = "medium"
    """How finely a request is told: fewer groups tell less, and link less to the person who asks."""
    kinds: dict[Name, Name] = Field(default_factory=dict)
    topics: dict[Name, Name] = Field(default_factory=dict)


class LiveConfig(Section):
    """Form `live` of fuse: a shadow of the text goes up as it is written, within a budget of information."""

    allow: bool = False
    """Whether `form: live` and `--form live` may be used at all."""
    nats_per_token: Annotated[float, Field(gt=0, le=8)] = 0.25
    """What each token of the shadow is charged, as a Renyi divergence of order 2; a nat is 1.44 bits."""
    max_nats: Annotated[float, Field(gt=0, le=10_000)] = 40.0
    """What the shadow of one text may tell, half of it charged with its first token; the rest is local."""
    block: Annotated[int, Field(ge=1, le=64)] = 8
    """Tokens by which one request asks to continue the shadow."""
    max_requests: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Requests for one text."""
    tokens_per_request: Annotated[float, Field(ge=0, le=64)] = 3.0
    """Tokens that go by before the next request at least; 0 asks whenever the cloud's words are left."""

    @property
    def end_bits(self) -> float:
        """What the place where a text ends tells, and the nat that `fusion.shadow` explains."""
        return math.log2(math.e * (self.max_requests + 1))


class FuseConfig(Section):
    """How route `fuse` joins what both models would say next."""

    combiner: Literal["learned", "mean", "logmean", "delta", "paper"] = "learned"
    combiner_file: FilePath | None = None
    """Coefficients of your own, from `cogenesis train combiner`, in place of the shipped ones."""
    samples: Annotated[int, Field(ge=1, le=8)] = 1
    """Drafts of one request (form draft), where the endpoint gives several."""
    draft_tokens: Annotated[int, Field(ge=16, le=100_000)] = 400
    """Length limit of a draft."""
    live: LiveConfig = LiveConfig()

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if self.combiner == "paper" and self.combiner_file is None:
            raise ValueError("combiner paper needs combiner_file; make one: cogenesis train combiner --paper")
        return self


class LimitsConfig(Section):
    """Bounds on one request."""

    max_chars: Annotated[int, Field(ge=100, le=1_000_000)] = 100_000
