"""Everything a router works with, built from the config at first use and shared by all its runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from cogenesis_langchain import models
from cogenesis_langchain.config import Config
from cogenesis_langchain.errors import CoGenesisError, ConfigError
from cogenesis_langchain.gate.allow import AllowList
from cogenesis_langchain.policy import Policy
from cogenesis_langchain.types import Capabilities, ContextItem, GenericTask, KnownValue, Level
from cogenesis_langchain.vault.vault import Bounds, Vault

if TYPE_CHECKING:
    from cogenesis_langchain.audit import Audit
    from cogenesis_langchain.cloud import Cloud
    from cogenesis_langchain.crypto import Keys
    from cogenesis_langchain.detect.detector import Detector, Once, Seen
    from cogenesis_langchain.embed import Embedder
    from cogenesis_langchain.fusion.combiners import Combiner
    from cogenesis_langchain.fusion.distributions import Vocabulary as TokenVocabulary
    from cogenesis_langchain.generalize import Vocabulary
    from cogenesis_langchain.known.matcher import KnownValues
    from cogenesis_langchain.rewrite import Plain
    from cogenesis_langchain.store import ContextSource
    from cogenesis_langchain.writer.local import Writer
    from cogenesis_langchain.writer.states import KeptStates

T = TypeVar("T")


class Engine:
    """The rooms of one configuration. Each is built once, at first use; any can be given (tests, adopters).

    Args:
        config: the loaded policy file.
        rooms: ready-made `keys`, `embedder`, `detector`, `store`, `writer`, `vocabulary`,
            `generalizer`, `audit` or `cloud`.
    """

    def __init__(self, config: Config, **rooms: Any) -> None:
        self.config = config
        bounds = Bounds(config.store.thread_days, config.store.thread_bytes)
        self.vault = Vault(self.data_dir / "vault", lambda: self.keys, bounds=bounds)
        self._rooms = dict(rooms)
        self._matchers: dict[str, tuple[tuple[KnownValue, ...], KnownValues | None]] = {}
        self._shares: Engine | None = None
        self.runs: WeakSet[threading.Event] = WeakSet()
        """The stop signs of the runs that are under way."""
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

    def with_rooms(self, **rooms: Any) -> Engine:
        """A twin with some rooms of its own: `explain --jsonl` holds each line's context in memory.

        What else the twin is first to need is built for both, so that many twins load one local model.
        """
        twin = Engine(self.config, **rooms)
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

    def detector_of_a_run(self, seen: Seen) -> Detector | Once:
        """The detector, which does not read again what is in `seen`; one of the caller's own as it is."""
        detector = self.detector
        once: Callable[[Detector, Seen], Once] | None = getattr(type(detector), "once", None)
        return once(detector, seen) if once else detector

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

    def generic_task(self, instruction: str) -> GenericTask:
        """Kind and topic from the closed lists, as `generalize` says or a room `generalizer` in its place."""
        from cogenesis_langchain.generalize import generalize

        given: Callable[[str], GenericTask] | None = self._found("generalizer")
        if given is not None:
            return given(instruction)
        return generalize(instruction, self.vocabulary, self.embedder, self.writer)

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

    def capabilities(self, *, probe: bool = True, anew: bool = False, user: str = "") -> Capabilities | None:
        """What the cloud can do for route fuse; None where that is not known and `probe` is False.

        Asked once for `user`, with constant bytes through the gate, and kept; `anew` asks whatever is kept.
        Raises what a send raises.
        """
        from cogenesis_langchain.capabilities import Kept

        given: Capabilities | None = self._found("capabilities")
        cloud, live = self.config.models.cloud, self.config.fuse.live.allow
        if given is not None or cloud is None:
            return given
        kept = self._room("abilities", lambda: Kept(self.data_dir / "capabilities.json"))
        if probe:
            return kept.of(self.cloud, cloud.model, live=live, user=user, anew=anew)
        return kept.get(self.cloud.endpoint, cloud.model, live=live)

    def combiner(self, vocabulary: TokenVocabulary | None = None) -> Combiner:
        """How route `fuse` joins two distributions, over a local vocabulary. ConfigError for a bad file."""
        from cogenesis_langchain.fusion.combiners import combiner

        fuse = self.config.fuse
        control = vocabulary.tokens.control if vocabulary is not None else None
        return combiner(fuse.combiner, control=control, path=fuse.combiner_file)

    @property
    def writer(self) -> Writer:
        """The local model, or a remote one on a trusted endpoint."""
        return self._room("writer", self._build_writer)

    def _build_writer(self) -> Writer:
        from cogenesis_langchain.writer.local import LlamaCppWriter, RemoteWriter

        local = self.config.models.local
        if local.provider == "openai_compatible":
            key = local.api_key.get_secret_value() if local.api_key else None
            return RemoteWriter(str(local.base_url), local.model, api_key=key)
        options: dict[str, Any] = {"n_ctx": local.n_ctx, "n_threads": local.n_threads, "states": self.states}
        if local.path is not None:
            path = Path(local.path).expanduser()
            models.check_gguf(path, local.sha256)
            chosen = models.template(local.chat_template or "chatml")
            return LlamaCppWriter(path, chosen, sha256=local.sha256, **options)
        entry = models.entry(local.model)
        chosen = models.template(local.chat_template or entry.chat_template or "chatml")
        return LlamaCppWriter(models.locate(local.model), chosen, sha256=entry.files[0].sha256, **options)

    def known(self, user: str, extra: Iterable[KnownValue] = ()) -> KnownValues:
        """The matcher of one user's known values and the policy's own, with `extra` for one request."""
        from cogenesis_langchain.known.matcher import KnownValues

        settings = self.config.privacy.known_values
        stored = [KnownValue(v.value, v.type, v.origin) for v in self.store.values(user) if v.enabled]
        stored += [KnownValue(value, "DECLARED", "declared") for value in settings.add]
        values = tuple(stored)
        rules: dict[str, Any] = {"min_length": settings.min_length, "ignore": settings.ignore}
        before, matcher = self._matchers.get(user, ((), None))
        if matcher is None or before != values:
            matcher = KnownValues(values, **rules)
            self._matchers[user] = values, matcher
        extra = tuple(extra)  # what one request hides is not kept
        return KnownValues(extra, base=matcher, **rules) if extra else matcher

    def values_of(self, item: ContextItem) -> Iterable[KnownValue]:
        """Known values that one context item brings: its structured fields, and what the detector finds."""
        from cogenesis_langchain.ingest import profile_values

        yield from profile_values(item)
        yield from self.detector.extract_values(item)

    def purge(self, user: str) -> dict[str, Any]:
        """Destroy the user's key, then delete what it sealed: context, threads, states, receipts' bodies.

        Each of these goes even where another one fails. Gives counts, as `PurgeReport` and with `threads`,
        `states` and `bodies`; raises what failed. A store of the caller's own is purged if it has a `purge`.
        """
        told: dict[str, Any] = {}
        with contextlib.ExitStack() as rest:  # done last to first, whatever the others raise
            rest.callback(lambda: told.update(bodies=self.audit.erase(user)))
            rest.callback(lambda: told.update(threads=self.vault.purge(user)))
            rest.callback(lambda: told.update(states=self._forget_reading(user)))
            rest.callback(self.keys.destroyer(user))
            rest.callback(self._matchers.pop, user, None)
            if purge := getattr(self.store, "purge", None):
                told |= asdict(purge(user))
        return told

    def _forget_reading(self, user: str) -> bool:
        """Deletes what the local model read of the user's context; whether there was any on disk."""
        found = self.states.forget(user)
        if self.built("writer"):
            self.writer.forget(user)
        return found

    def stop(self) -> None:
        """Ends every text that is being written, within a token. For signal handlers and shutdowns."""
        for cancel in list(self.runs):
            cancel.set()

    def warm(self) -> None:
        """Loads what the first request would wait for: models, pipeline, the cloud's client. Sends nothing.

        Raises what the rooms raise where a model is missing or broken.
        """
        from cogenesis_langchain import rewrite
        from cogenesis_langchain.generalize import warm

        writer = self.writer  # asked for once: after a `close` meanwhile no second model is loaded
        self.detector.warm()
        writer.load()
        if self.has_cloud:
            warm(self.vocabulary, self.embedder, writer)
            if any(step.level is Level.FREE for step in self.policy.steps):
                _ = self.lexicon
                rewrite.warm(writer)
            self.cloud.warm()

    def warm_in_background(self) -> threading.Thread:
        """`warm` in a thread; what fails there fails again, and is reported, at the first request."""

        def quietly() -> None:
            with contextlib.suppress(CoGenesisError, OSError):
                self.warm()

        thread = threading.Thread(target=quietly, name="cogenesis-warm-up")  # no daemon: C++ runs in it
        thread.start()
        return thread

    def close(self) -> None:
        """Frees the local model and closes the threads' files; what is asked for later is opened again."""
        with self._lock:
            writer = self._rooms.pop("writer", None)
        self.vault.close()
        if writer is not None:
            writer.close()
