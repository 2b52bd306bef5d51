"""The parts of the writer that need no model: what a prompt is, who is next, what is kept, where to stop.

Pure Python without dependencies, so that every rule here is tested without a model.
"""

from __future__ import annotations

import codecs
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation with the local model.

    Each part is tokenised on its own and as plain text, so the tokens of the first parts are a prefix of
    the tokens of all parts, and text that imitates control tokens stays text.
    """

    role: Role
    parts: tuple[str, ...] = field(repr=False)


Prompt = tuple[Turn, ...]


class Cancel(Protocol):
    """What a caller may hand in to stop early; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class Turnstile:
    """One holder at a time; the background steps aside for the foreground.

    Not bound to threads: a stream may be started in one thread and closed in another, as async code does.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held = False
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether somebody in the foreground waits; a background holder should then let go."""
        return self._waiting > 0

    @contextmanager
    def foreground(self, cancel: Cancel | None = None) -> Iterator[bool]:
        """Waits for its turn; yields False, without a turn, where `cancel` is set."""
        with self._condition:
            self._waiting += 1
            try:
                while self._held and not is_set(cancel):
                    self._condition.wait(0.05 if cancel is not None else None)
                entered = not self._held and not is_set(cancel)
                self._held = self._held or entered
            finally:
                self._waiting -= 1
                self._condition.notify_all()
        try:
            yield entered
        finally:
            if entered:
                self._let_go()

    @contextmanager
    def background(self, cancel: Cancel | None = None) -> Iterator[bool]:
        """As `foreground`, but goes in only when nobody in the foreground waits."""
        with self._condition:
            while (self._held or self._waiting) and not is_set(cancel):
                self._condition.wait(0.05 if cancel is not None else None)
            entered = not self._held and not self._waiting and not is_set(cancel)
            self._held = self._held or entered
        try:
            yield entered
        finally:
            if entered:
                self._let_go()

    def _let_go(self) -> None:
        with self._condition:
            self._held = False
            self._condition.notify_all()


def is_set(cancel: Cancel | None) -> bool:
    """Whether a caller wants to stop."""
    return cancel is not None and cancel.is_set()


def common_prefix(left: Sequence[object], right: Sequence[object]) -> int:
    """How many first items two sequences share: tokens, or characters."""
    for i, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return i
    return min(len(left), len(right))


class Snapshots:
    """States of the model after reading a prefix, least recently used out first.

    A state is only ever found under the scope it was kept under: what one user's context left behind
    never serves another. Not locked: the holder of the turnstile uses it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._states: OrderedDict[tuple[str, tuple[int, ...]], bytearray] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def best(self, scope: str, tokens: Sequence[int], *, exact: bool = False) -> tuple[int, bytearray | None]:
        """The state that shares the longest prefix with `tokens`, and that prefix's length in tokens.

        With `exact`, only a state of just these tokens counts.
        """
        if exact:
            found = self._states.get((scope, tuple(tokens)))
            if found is not None:
                self._states.move_to_end((scope, tuple(tokens)))
            return (len(tokens), found) if found is not None else (0, None)
        longest, key = 0, None
        for candidate in self._states:
            if candidate[0] == scope and (shared := common_prefix(candidate[1], tokens)) > longest:
                longest, key = shared, candidate
        if key is None:
            return 0, None
        self._states.move_to_end(key)
        return longest, self._states[key]

    def put(self, scope: str, tokens: Sequence[int], state: bytearray) -> None:
        """Keeps a state; shorter states of the same scope that it makes needless go, then the oldest.

        Scope "" keeps them all: there only an exact state is ever used.
        """
        key = (scope, tuple(tokens))
        needless = [
            old
            for old in self._states
            if old[0] == scope and (old == key or (scope and key[1][: len(old[1])] == old[1]))
        ]
        for old in needless:
            self._drop(old)
        if len(state) > self._max_bytes:
            return
        self._states[key] = state
        self.bytes += len(state)
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._states)))

    def forget(self, scope: str) -> None:
        """Drops every state of a scope and overwrites its bytes."""
        for key in [key for key in self._states if key[0] == scope]:
            state = self._drop(key)
            state[:] = bytes(len(state))

    def clear(self) -> None:
        """Drops everything."""
        for scope in {key[0] for key in self._states}:
            self.forget(scope)

    def _drop(self, key: tuple[str, tuple[int, ...]]) -> bytearray:
        state = self._states.pop(key)
        self.bytes -= len(state)
        return state


class TextOut:
    """Turns the bytes of tokens into text: whole characters only, and nothing from a stop string on.

    Text that may be the beginning of a stop string is held back until it is known not to be one.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def feed(self, piece: bytes) -> str:
        """The text that may be shown after one more token; sets `stopped` at a stop string."""
        self._held += self._decoder.decode(piece)
        cuts = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if cuts:
            self.stopped = True
            out, self._held = self._held[: min(cuts)], ""
            return out
        keep = max((self._overlap(stop) for stop in self._stops), default=0)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def close(self) -> str:
        """What was held back; the beginning of an unfinished character is dropped."""
        out, self._held = self._held, ""
        return "" if self.stopped else out

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that begins `stop`."""
        for size in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:size]):
                return size
        return 0


class Choices:
    """The grammar of literal alternatives, as a tree over their tokens: `{token: subtree}`.

    The walk ends as soon as one option is left, which saves the model most of the tokens that a grammar
    over text would have it write.
    """

    END = -1

    def __init__(self, options: Mapping[str, Sequence[int]]) -> None:
        self._left = {option: tuple(tokens) for option, tokens in options.items()}
        self._depth = 0

    @property
    def chosen(self) -> str | None:
        """The option, once only one is left (or only options of the very same tokens)."""
        first = next(iter(self._left))
        same = all(tokens == self._left[first] for tokens in self._left.values())
        return first if same else None

    def allowed(self) -> list[int]:
        """Tokens that continue an option, in a stable order; END where one option could end here."""
        nexts = (
            tokens[self._depth] if len(tokens) > self._depth else self.END for tokens in self._left.values()
        )
        return list(dict.fromkeys(nexts))

    def take(self, token: int) -> None:
        """Narrows to the options that go on with `token`."""
        at = self._depth
        self._left = {
            option: tokens
            for option, tokens in self._left.items()
            if (tokens[at] if len(tokens) > at else self.END) == token
        }
        self._depth += 1
