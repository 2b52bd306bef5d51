"""Everything a router works with, shared by all its runs: its rooms, and what takes several of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from cogenesis_langchain.config import Config
from cogenesis_langchain.errors import CoGenesisError
from cogenesis_langchain.rooms import Rooms
from cogenesis_langchain.types import Capabilities, ContextItem, GenericTask, KnownValue, Level

if TYPE_CHECKING:
    from cogenesis_langchain.detect.detector import Detector, Once, Seen
    from cogenesis_langchain.fusion.combiners import Combiner
    from cogenesis_langchain.fusion.distributions import Vocabulary as TokenVocabulary
    from cogenesis_langchain.known.matcher import KnownValues


class Engine(Rooms):
    """The rooms of one configuration. Each is built once, at first use; any can be given (tests, adopters).

    Args:
        config: the loaded policy file.
        rooms: ready-made `keys`, `embedder`, `detector`, `store`, `writer`, `vocabulary`,
            `generalizer`, `audit` or `cloud`.
    """

    def __init__(self, config: Config, **rooms: Any) -> None:
        super().__init__(config, **rooms)
        self._matchers: dict[str, tuple[tuple[KnownValue, ...], KnownValues | None]] = {}
        self.runs: WeakSet[threading.Event] = WeakSet()
        """The stop signs of the runs that are under way."""

    def detector_of_a_run(self, seen: Seen) -> Detector | Once:
        """The detector, which does not read again what is in `seen`; one of the caller's own as it is."""
        detector = self.detector
        once: Callable[[Detector, Seen], Once] | None = getattr(type(detector), "once", None)
        return once(detector, seen) if once else detector

    def generic_task(self, instruction: str) -> GenericTask:
        """Kind and topic from the closed lists, as `generalize` says or a room `generalizer` in its place."""
        from cogenesis_langchain.generalize import generalize

        given: Callable[[str], GenericTask] | None = self._found("generalizer")
        if given is not None:
            return given(instruction)
        return generalize(instruction, self.vocabulary, self.embedder, self.writer)

    def capabilities(
        self,
        *,
        probe: bool = True,
        anew: bool = False,
        user: str = "",
        cancel: threading.Event | None = None,
    ) -> Capabilities | None:
        """What the cloud can do for route fuse; None where that is not known and `probe` is False.

        Asked once for `user`, with constant bytes through the gate, and kept; `anew` asks whatever is kept.
        `cancel` ends the waiting for another request's probe. Raises what a send raises.
        """
        from cogenesis_langchain.capabilities import Kept

        given: Capabilities | None = self._found("capabilities")
        cloud, live = self.config.models.cloud, self.config.fuse.live.allow
        if given is not None or cloud is None:
            return given
        kept = self._room("abilities", lambda: Kept(self.data_dir / "capabilities.json"))
        if probe:
            return kept.of(self.cloud, cloud.model, live=live, user=user, anew=anew, cancel=cancel)
        return kept.get(self.cloud.endpoint, cloud.model, live=live)

    def combiner(self, vocabulary: TokenVocabulary | None = None) -> Combiner:
        """How route `fuse` joins two distributions, over a local vocabulary. ConfigError for a bad file."""
        from cogenesis_langchain.fusion.combiners import combiner

        fuse = self.config.fuse
        control = vocabulary.tokens.control if vocabulary is not None else None
        return combiner(fuse.combiner, control=control, path=fuse.combiner_file)

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
