"""The local model in this process.

What is covered: one model, one state, one stream at a time; the state after reading a user's context is kept
in memory per scope, what was read of the profile also sealed on disk, and neither ever serves another scope;
content is tokenised as plain text inside vetted chat templates, never the template inside a GGUF; no log,
error or repr carries text.
What is not: several streams at once (a server behind `RemoteWriter` does that).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cogenesis_langchain.chat_templates import ChatTemplate
from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.types import Finish, Pieces
from cogenesis_langchain.writer.live import LiveState, Tokens, tokens_of
from cogenesis_langchain.writer.llama import Llama, default_threads
from cogenesis_langchain.writer.parts import (
    Cancel,
    Choices,
    Prompt,
    Snapshots,
    TextOut,
    Turnstile,
    is_set,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogenesis_langchain.fusion.distributions import Vocabulary
    from cogenesis_langchain.writer.states import KeptStates
    from cogenesis_langchain.writer.steps import LlamaSteps


class LlamaCppWriter:
    """A GGUF in this process.

    Args:
        path: the model file, already verified by `models.locate` or `models.check_gguf`.
        template: vetted control text.
        n_ctx: tokens of prompt and answer together; the model's own limit caps it.
        n_threads: None counts the processors this process may use.
        snapshot_bytes: memory for kept states. A token takes 28 KiB with the 1.5B model.
        states: states on disk; None keeps none there.
        sha256: of the model file, which states on disk belong to; without it, its size and time tell it.

    Raises (at first use): ModelMissingError, ModelCorruptError, WriterError (no memory for the context).
    """

    def __init__(
        self,
        path: str | Path,
        template: ChatTemplate,
        *,
        n_ctx: int = 4096,
        n_threads: int | None = None,
        snapshot_bytes: int = 512 << 20,
        states: KeptStates | None = None,
        sha256: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self._template = template
        self._n_ctx = n_ctx
        self._n_threads = n_threads or default_threads()
        self._loading = threading.Lock()
        self._turnstile = Turnstile()
        self._snapshots = Snapshots(snapshot_bytes)
        self._states = states
        self._sha256 = sha256
        self._engine: Llama | None = None
        self._live = LiveState(self._snapshots)
        self._vocabulary: Vocabulary | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"LlamaCppWriter({self.name!r}, n_ctx={self._n_ctx})"

    @property
    def n_ctx(self) -> int:
        """Tokens of prompt and answer together. Loads the model: its own limit caps the number."""
        return self._llama().n_ctx

    @property
    def snapshot_bytes(self) -> int:
        """Bytes that kept states take now."""
        return self._snapshots.bytes

    def load(self) -> None:
        """Loads the model now instead of at first use."""
        self._llama()

    def _llama(self) -> Llama:
        with self._loading:
            self._check_open()
            if self._engine is None:
                self._engine = Llama(self.path, self._n_ctx, self._n_threads)
                self._live = LiveState(self._snapshots, self._states, self._layout(self._engine))
            return self._engine

    def _layout(self, llama: Llama) -> str:
        """What a state on disk depends on besides its tokens."""
        model = self._sha256
        if model is None and self._states is not None:
            file = self.path.stat()
            model = f"{self.path.name} {file.st_size} {file.st_mtime_ns}"
        return f"{model} {self._template.name} {llama.layout}"

    def _check_open(self) -> None:
        if self._closed:
            raise WriterError("the local model was closed; make a new writer")

    def warm(self, prompt: Prompt, *, scope: str, cancel: Cancel | None = None) -> None:
        """Reads everything before the last part and keeps that state under `scope`.

        Blocks until read, or until `cancel` is set (what was read stays live for the next caller). Runs in
        the background: between two chunks it steps aside for `write` and `choose` and goes on after them.
        """
        llama = self._llama()
        tokens = self._tokens(llama, prompt)
        while True:
            with self._turnstile.background(cancel) as entered:
                if not entered:
                    return
                self._check_open()
                done = self._live.read(llama, scope, tokens, lambda: self._turnstile.wanted or is_set(cancel))
                if done or not is_set(cancel):
                    self._live.keep(llama, scope)
                if done:
                    self._live.keep_frame(llama)
                    return

    def write(
        self,
        prompt: Prompt,
        *,
        scope: str,
        max_tokens: int = 700,
        temperature: float = 0.7,
        seed: int | None = None,
        cancel: Cancel | None = None,
    ) -> Pieces:
        """Yields the answer in pieces of whole characters, until the model stops or the room is used up.

        Args:
            scope: whose context the prompt holds; only states kept under the same scope are reused.
            max_tokens: at most this many tokens, fewer where `n_ctx` leaves less room.
            temperature: 0 always takes the likeliest token.
            seed: the same prompt and seed, asked twice in a row, give the same text.
            cancel: ends the stream between two tokens or chunks.

        Raises:
            WriterError: the prompt leaves no room in `n_ctx`; the message names both numbers.
        """
        llama = self._llama()
        tokens = self._tokens(llama, prompt)
        with self._turnstile.foreground(cancel) as entered:
            if not entered or not self._read(llama, scope, tokens, cancel):
                return None
            room = min(max_tokens, llama.n_ctx - len(self._live.tokens))
            with llama.sampler(temperature, seed) as sample:
                return (yield from self._stream(llama, sample, room, cancel))

    def _stream(self, llama: Llama, sample: Callable[[], int], room: int, cancel: Cancel | None) -> Pieces:
        """The decoding loop; the prompt is read. Token by token: sample, show, feed."""
        out = TextOut(self._template.stop)
        finish: Finish | None = "length"
        for left in range(room, 0, -1):
            token = sample()
            if llama.ends(token) or is_set(cancel):
                finish = "stop" if llama.ends(token) else None
                break
            if text := out.feed(llama.piece(token)):
                yield text
            if out.stopped:
                return "stop"
            if left > 1:
                self._live.feed(llama, [token])
        if text := out.close():
            yield text
        return finish

    @contextmanager
    def steps(
        self, prompt: Prompt, *, scope: str, shadow: Prompt | None = None, cancel: Cancel | None = None
    ) -> Iterator[LlamaSteps]:
        """The model under the caller's hand, token by token (`protocol.Steps`); reads as `write` does.

        `shadow` is read into a second sequence, which no scope keeps. Raises WriterError as `write` does.
        """
        from cogenesis_langchain.writer.steps import LlamaSteps, vocabulary_of

        llama = self._llama()
        beside = self._tokens(llama, shadow) if shadow is not None else None
        tokens = self._tokens(llama, prompt, room=len(beside or ()))
        if self._vocabulary is None:
            self._vocabulary = vocabulary_of(llama)
        with self._turnstile.foreground(cancel) as entered:
            ready = entered and self._read(llama, scope, tokens, cancel)
            steps = LlamaSteps(llama, self._live, self._vocabulary, self._template.stop, ready=ready)
            with closing(steps):
                if beside is not None:
                    steps.read_shadow(beside.stable + beside.rest, cancel)
                yield steps

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """The option whose tokens are likeliest, one token at a time (temperature 0).

        The model can say nothing but an option. In scope "" the answer depends on prompt and options
        alone: the state before the last part is used only if exactly it was kept, and nothing after it is.

        Raises:
            ValueError: there are no options.
            WriterError: as `write`.
        """
        if not options:
            raise ValueError("choose needs at least one option")
        llama = self._llama()
        choices = Choices({option: llama.tokens(option) for option in options})
        if (only := choices.chosen) is not None:
            return only
        tokens = self._tokens(llama, prompt, room=max(len(llama.tokens(option)) for option in options))
        stops = [ids[0] for stop in self._template.stop if len(ids := llama.tokens(stop, special=True)) == 1]
        with self._turnstile.foreground():
            self._read(llama, scope, tokens)
            while (chosen := choices.chosen) is None:
                token = llama.likeliest(choices.allowed(), stops)
                choices.take(token)
                if token != Choices.END and choices.chosen is None:
                    self._live.feed(llama, [token])
        return chosen

    def score(self, prompt: Prompt, text: str, *, scope: str = "") -> NDArray[np.float64]:
        """(n_tokens,) Log-probability, in nats, of each token of `text` as the answer to `prompt`.

        The state before the last part of the prompt is kept under `scope`, as `write` does. The text's end
        is no token of it. Raises WriterError as `write` does, and where prompt and text leave no room.
        """
        import numpy as np

        llama = self._llama()
        wanted = llama.tokens(text)
        tokens = self._tokens(llama, prompt, room=len(wanted))
        with self._turnstile.foreground():
            self._read(llama, scope, tokens)
            return self._live.score(llama, wanted) if wanted else np.empty(0)

    def count(self, text: str) -> int:
        """Tokens of a text, tokenised as plain text."""
        return len(self._llama().tokens(text))

    def forget(self, scope: str) -> None:
        """Drops every state of a scope, live, in memory (overwritten) and on disk."""
        with self._turnstile.foreground():
            self._snapshots.forget(scope)
            if self._states is not None:
                self._states.forget(scope)
            if self._engine is not None and self._live.scope == scope:
                self._live.clear(self._engine, overwrite=True)

    def close(self) -> None:
        """Frees the model once the stream in progress has ended. Calls that wait or come later raise."""
        with self._turnstile.foreground(), self._loading:
            self._closed = True
            self._snapshots.clear()
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def __enter__(self) -> LlamaCppWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bare_loop(self, prompt: Prompt, n_tokens: int) -> Iterator[None]:
        """The yardstick of `cogenesis bench`: the shortest loop over llama.cpp, likeliest token each time.

        The first item comes when the prompt is read, then one per token.
        """
        llama = self._llama()
        tokens = self._tokens(llama, prompt, room=n_tokens)
        with self._turnstile.foreground(), llama.sampler(0.0, None, penalty=1.0) as sample:
            self._read(llama, "", tokens)
            yield
            for _ in range(n_tokens):
                llama.decode([sample()])
                yield
            self._live.tokens = []  # these tokens were not written down: the next caller starts clean

    def _tokens(self, llama: Llama, prompt: Prompt, *, room: int = 0) -> Tokens:
        tokens = tokens_of(llama, self._template, prompt)
        if len(tokens) + room >= llama.n_ctx:
            raise WriterError(
                f"the prompt has {len(tokens) + room} tokens and n_ctx is {llama.n_ctx}; "
                "shorten the request or its context, or raise models.local.n_ctx"
            )
        return tokens

    def _read(self, llama: Llama, scope: str, tokens: Tokens, cancel: Cancel | None = None) -> bool:
        # Asked with the turn, so that who waited while the model was freed does not touch it.
        self._check_open()
        return self._live.read_both(llama, scope, tokens, cancel)
