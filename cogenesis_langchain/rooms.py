"""The rooms of one configuration: what there is to work with, and how each is built."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cogenesis_langchain.config import Config
from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.gate.allow import AllowList
from cogenesis_langchain.types import Policy
from cogenesis_langchain.vault.vault import Bounds, Vault

if TYPE_CHECKING:
    from cogenesis_langchain.audit import Audit
    from cogenesis_langchain.cloud import Cloud
    from cogenesis_langchain.crypto import Keys
    from cogenesis_langchain.detect.detector import Detector
    from cogenesis_langchain.embed import Embedder
    from cogenesis_langchain.generalize import Vocabulary
    from cogenesis_langchain.rewrite import Plain
    from cogenesis_langchain.store import ContextSource
    from cogenesis_langchain.writer.protocol import Writer
    from cogenesis_langchain.writer.states import KeptStates

T = TypeVar("T")


class Rooms:
    """Each room is built once, at first use, and any can be given (tests, adopters). See `Engine`."""

    def __init__(self, config: Config, **rooms: Any) -> None:
        self.config = config
        bounds = Bounds(config.store.thread_days, config.store.thread_bytes)
        self.vault = Vault(self.data_dir / "vault", lambda: self.keys, bounds=bounds)
        self._rooms = dict(rooms)
        self._shares: Self | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Engine(rooms built: {', '.join(sorted(self._rooms)) or 'none'})"

    def _room(self, name: str, build: Callable[[], T]) -> T:
        if self._shares is not None and name not in self._rooms:
            return self._shares._room(name, build)
        with self._lock:
            if name not in self._rooms:
                self._rooms[name] = build()
            room: T = self._rooms[name]
            return room

    def built(self, name: str) -> bool:
        """Whether a room exists already (nothing is built by asking)."""
        return self._found(name) is not None

    def _found(self, name: str) -> Any:
        """A room that exists, of this engine or of the one it shares with; None where there is none."""
        if name in self._rooms or self._shares is None:
            return self._rooms.get(name)
        return self._shares._found(name)

    def with_rooms(self, **rooms: Any) -> Self:
        """A twin with some rooms of its own: `explain --jsonl` holds each line's context in memory.

        What else the twin is first to need is built for both, so that many twins load one local model.
        """
        twin = type(self)(self.config, **rooms)
        twin._shares = self
        return twin

    @cached_property
    def policy(self) -> Policy:
        """The routing rules, highest priority first."""
        return self.config.policy()

    @property
    def data_dir(self) -> Path:
        """Where context and receipts live."""
        return Path(self.config.store.path).expanduser()

    @property
    def keys(self) -> Keys:
        """The users' keys; without `store.encrypt`, ciphers that seal nothing."""
        from cogenesis_langchain.crypto import Keys

        store = self.config.store
        folder = store.keys_path or self.data_dir / "keys"
        return self._room("keys", lambda: Keys(folder, backend=store.keys, seal=store.encrypt))

    @property
    def states(self) -> KeptStates:
        """What the local model has read of the users' profiles, on disk."""
        from cogenesis_langchain.writer.states import KeptStates

        size = self.config.store.state_bytes
        return self._room(
            "states", lambda: KeptStates(self.data_dir / "state", lambda: self.keys, max_bytes=size)
        )

    @property
    def embedder(self) -> Embedder:
        """MiniLM on this machine."""
        from cogenesis_langchain.embed import Embedder

        return self._room("embedder", Embedder.default)

    @property
    def detector(self) -> Detector:
        """The tier that the policy names, with the adopter's own detectors."""
        from cogenesis_langchain.detect.detector import Detector
        from cogenesis_langchain.detect.extra import load as named

        privacy = self.config.privacy
        return self._room(
            "detector",
            lambda: Detector(
                privacy.tier, presidio=self.config.presidio or None, extra=named(privacy.detectors)
            ),
        )

    @property
    def store(self) -> ContextSource:
        """The private context of all users, one collection each."""
        from cogenesis_langchain.store import ContextStore

        return self._room(
            "store",
            lambda: ContextStore(
                self.data_dir, lambda: self.embedder, keys=self.keys, server=self.config.store.server
            ),
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The closed lists of kinds and topics in the policy's size, with the user's additions."""
        from cogenesis_langchain.generalize import Vocabulary

        own = self.config.vocabulary
        return self._room("vocabulary", lambda: Vocabulary.load(own.kinds, own.topics, size=own.size))

    @property
    def lexicon(self) -> Plain:
        """The plain words of the language: all that level `free` may say."""
        from cogenesis_langchain.detect import lexicon

        return self._room("lexicon", lambda: lexicon.load())

    @cached_property
    def allowed(self) -> AllowList:
        """What the detector finds and the policy calls a false alarm."""
        return AllowList(self.config.privacy.gate.allow)

    @property
    def audit(self) -> Audit:
        """Receipts of what left."""
        from cogenesis_langchain.audit import Audit

        caps = self.config.privacy.ledger
        return self._room("audit", lambda: Audit(self.data_dir / "audit", keys=self.keys, caps=caps))

    @property
    def cloud(self) -> Cloud:
        """The one door to the cloud model. Raises ConfigError where the policy names none."""
        return self._room("cloud", self._build_cloud)

    def _build_cloud(self) -> Cloud:
        from cogenesis_langchain.cloud import Cloud

        settings = self.config.models.cloud
        if settings is None:
            raise ConfigError("no cloud model is configured; add models.cloud to the policy file")
        gate, trusted = self.config.privacy.gate, self.trusts_cloud
        return Cloud(settings, audit=self.audit, gate=gate, trusted=trusted)

    @property
    def has_cloud(self) -> bool:
        """Whether anything could be sent at all."""
        return self.built("cloud") or self.config.models.cloud is not None

    @property
    def trusts_cloud(self) -> bool:
        """Whether `privacy.trusted_endpoints` lists the cloud's own address."""
        cloud = self.config.models.cloud
        return cloud is not None and self.config.privacy.lists(cloud.base_url)

    @property
    def writer(self) -> Writer:
        """The local model, or a remote one on a trusted endpoint."""
        from cogenesis_langchain.writer.opening import configured

        return self._room("writer", lambda: configured(self.config.models.local, self.states))
