"""The local model: what a writer can do, and the one that runs in this process.

What is covered: one model, one state, one stream at a time; the state after reading a user's context is kept
in memory per scope and never serves another scope; content is tokenised as plain text inside vetted chat
templates, never the template inside a GGUF; no log, error or repr carries text.
What is not: states on disk, several streams at once (a server behind `RemoteWriter` does that).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from cogenesis_langchain.chat_templates import ChatTemplate
from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.writer_llama import CHUNK, Llama, default_threads
from cogenesis_langchain.writer_parts import (
    Cancel,
    Choices,
    Prompt,
    Snapshots,
    TextOut,
    Turn,
    Turnstile,
    common_prefix,
    is_set,
)
from cogenesis_langchain.writer_remote import RemoteWriter

__all__ = ["LlamaCppWriter", "Prompt", "RemoteWriter", "Turn", "Writer"]


@runtime_checkable
class Writer(Protocol):
    """A model on this machine or on a trusted endpoint. It may read Secret text; callers reveal it."""

    name: str

    def load(self) -> None:
        """Loads the model now instead of at first use."""
        ...

    def warm(self, prompt: Prompt, *, scope: str, cancel: Cancel | None = None) -> None:
        """Reads everything before the last part and keeps the state under `scope`; steps aside for others."""
        ...

    def write(
        self,
        prompt: Prompt,
        *,
        scope: str,
        max_tokens: int = 700,
        temperature: float = 0.7,
        seed: int | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[str]:
        """Pieces of text as they are written; closing the iterator frees the model for the next caller."""
        ...

    def choose(self, prompt: Prompt, options: Sequence[str], *, scope: str = "") -> str:
        """The option that the model finds likeliest; a function of prompt and options alone in scope ""."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...

    def clip(self, text: str, max_tokens: int) -> str:
        """The longest beginning of a text that has at most `max_tokens` tokens."""
        ...

    def forget(self, scope: str) -> None:
        """Drops what was kept under a scope."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...


class LlamaCppWriter:
    """A GGUF in this process.

    Args:
        path: the model file, already verified by `models.locate` or `models.check_gguf`.
        template: vetted control text.
        n_ctx: tokens of prompt and answer together; the model's own limit caps it.
        n_threads: None counts the processors this process may use.
        snapshot_bytes: memory for kept states. A token takes 28 KiB with the 1.5B model.

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
    ) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self._template = template
        self._n_ctx = n_ctx
        self._n_threads = n_threads or default_threads()
        self._loading = threading.Lock()
        self._turnstile = Turnstile()
        self._snapshots = Snapshots(snapshot_bytes)
        self._engine: Llama | None = None
        self._closed = False
        self._scope = ""  # whose tokens are in the live state, and which
        self._live: list[int] = []

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
            return self._engine

    def _check_open(self) -> None:
        if self._closed:
            raise WriterError("the local model was closed; make a new writer")

    def warm(self, prompt: Prompt, *, scope: str, cancel: Cancel | None = None) -> None:
        """Reads everything before the last part and keeps that state under `scope`.

        Blocks until read, or until `cancel` is set (what was read stays live for the next caller). Runs in
        the background: between two chunks it steps aside for `write` and `choose` and goes on after them.
        """
        llama = self._llama()
        stable, rest = self._tokens(llama, prompt)
        self._check_length(llama, len(stable) + len(rest))
        while True:
            with self._turnstile.background(cancel) as entered:
                if not entered:
                    return
                done = self._read(llama, scope, stable, lambda: self._turnstile.wanted or is_set(cancel))
                if done or not is_set(cancel):
                    self._keep(llama, scope)
                if done:
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
    ) -> Iterator[str]:
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
        stable, rest = self._tokens(llama, prompt)
        self._check_length(llama, len(stable) + len(rest))
        with self._turnstile.foreground(cancel) as entered:
            if not entered or not self._read_both(llama, scope, stable, rest, cancel):
                return
            room = min(max_tokens, llama.n_ctx - len(self._live))
            with llama.sampler(temperature, seed) as sample:
                yield from self._stream(llama, sample, room, cancel)

    def _stream(
        self, llama: Llama, sample: Callable[[], int], room: int, cancel: Cancel | None
    ) -> Iterator[str]:
        """The decoding loop; the prompt is read. Token by token: sample, show, feed."""
        out = TextOut(self._template.stop)
        for left in range(room, 0, -1):
            token = sample()
            if llama.ends(token) or is_set(cancel):
                break
            if text := out.feed(llama.piece(token)):
                yield text
            if out.stopped:
                return
            if left > 1:
                self._feed(llama, [token])
        if text := out.close():
            yield text

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
        stable, rest = self._tokens(llama, prompt)
        longest = max(len(llama.tokens(option)) for option in options)
        self._check_length(llama, len(stable) + len(rest) + longest)
        stops = [ids[0] for stop in self._template.stop if len(ids := llama.tokens(stop, special=True)) == 1]
        with self._turnstile.foreground():
            self._read_both(llama, scope, stable, rest, None)
            while (chosen := choices.chosen) is None:
                token = llama.likeliest(choices.allowed(), stops)
                choices.take(token)
                if token != Choices.END and choices.chosen is None:
                    self._feed(llama, [token])
        return chosen

    def count(self, text: str) -> int:
        """Tokens of a text, tokenised as plain text."""
        return len(self._llama().tokens(text))

    def clip(self, text: str, max_tokens: int) -> str:
        """The longest beginning with at most `max_tokens` tokens, whole characters only."""
        llama = self._llama()
        tokens = llama.tokens(text)
        keep = max_tokens = max(max_tokens, 0)
        while len(tokens) > max_tokens:
            start = llama.text(tokens[:keep])
            if start.startswith(" ") and not text.startswith(" "):
                start = start[1:]  # some tokenisers put a space before the first word
            text = text[: common_prefix(text, start)]
            # The beginning may split into more tokens than it had within the whole: then give way by one.
            tokens, keep = llama.tokens(text), keep - 1
        return text

    def forget(self, scope: str) -> None:
        """Drops every state of a scope, the live one included, and overwrites the bytes."""
        with self._turnstile.foreground():
            self._snapshots.forget(scope)
            if self._engine is not None and self._scope == scope:
                self._engine.clear(overwrite=True)
                self._live = []

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
        stable, rest = self._tokens(llama, prompt)
        self._check_length(llama, len(stable) + len(rest) + n_tokens)
        with self._turnstile.foreground(), llama.sampler(0.0, None, penalty=1.0) as sample:
            self._read_both(llama, "", stable, rest, None)
            yield
            for _ in range(n_tokens):
                llama.decode([sample()])
                yield
            self._live = []  # these tokens were not written down: the next caller starts clean

    # --- The live state: `_live` are the tokens it holds, `_scope` whose they are ------------------------

    def _tokens(self, llama: Llama, prompt: Prompt) -> tuple[list[int], list[int]]:
        """Tokens before the last part, and the rest up to where the answer begins."""
        out = llama.tokens(self._template.bos, special=True)
        control, previous = "", None
        stable = 0
        for turn in prompt:
            control += self._template.opening(turn.role, previous)
            for part in turn.parts:
                out += llama.tokens(control, special=True)
                control, stable = "", len(out)
                out += llama.tokens(part)
            control += self._template.closing(turn.role)
            previous = turn.role
        control += self._template.opening("assistant", previous)
        out += llama.tokens(control, special=True)
        return out[:stable], out[stable:]

    def _check_length(self, llama: Llama, n_tokens: int) -> None:
        if n_tokens >= llama.n_ctx:
            raise WriterError(
                f"the prompt has {n_tokens} tokens and n_ctx is {llama.n_ctx}; "
                "shorten the request or its context, or raise models.local.n_ctx"
            )

    def _read_both(
        self, llama: Llama, scope: str, stable: list[int], rest: list[int], cancel: Cancel | None
    ) -> bool:
        """Reads the prompt; keeps the state before the last part. False where cancelled on the way.

        In scope "" reading is split there whether that state was kept or not, so the numbers are the same.
        """
        whole = stable + rest
        self._check_live(llama)
        if not scope or self._shared(scope, whole) < len(stable):
            if not self._read(llama, scope, stable, lambda: is_set(cancel)):
                return False
            self._keep(llama, scope)
        # The last part is read again even where it is known: its logits are needed, and a batch of another
        # size rounds differently, so the same request with the same seed would not give the same text.
        self._trim(llama, min(common_prefix(self._live, whole), len(stable), len(whole) - 1))
        return self._advance(llama, whole, lambda: is_set(cancel))

    def _read(self, llama: Llama, scope: str, tokens: list[int], stop: Callable[[], bool]) -> bool:
        """Brings the live state to exactly `tokens`. False where `stop` said so between two chunks."""
        self._check_live(llama)
        shared = self._shared(scope, tokens)
        kept, state = self._snapshots.best(scope, tokens, exact=not scope)
        if state is not None and kept > shared:
            llama.restore(state)
            self._scope, self._live = scope, list(tokens[:kept])
            self._trim(llama, kept)
        elif shared:
            self._trim(llama, shared)
        else:
            llama.clear()
            self._scope, self._live = scope, []
        return self._advance(llama, tokens, stop)

    def _advance(self, llama: Llama, tokens: list[int], stop: Callable[[], bool]) -> bool:
        """Reads on from the live state, which is a prefix of `tokens`."""
        for at in range(len(self._live), len(tokens), CHUNK):
            if stop():
                return False
            self._feed(llama, tokens[at : at + CHUNK])
        return True

    def _check_live(self, llama: Llama) -> None:
        """Starts anew after an interrupt between decoding tokens and writing them down.

        Asked at each turn, so that who waited while the model was freed does not touch it: WriterError.
        """
        self._check_open()
        if llama.length() != len(self._live):
            llama.clear()
            self._live = []

    def _shared(self, scope: str, tokens: list[int]) -> int:
        """How much of `tokens` the live state holds already. Nothing in scope "": only exact states serve."""
        return common_prefix(self._live, tokens) if scope and scope == self._scope else 0

    def _trim(self, llama: Llama, n_tokens: int) -> None:
        """Shortens the live state; models that cannot forget their last tokens start anew."""
        if llama.length() <= n_tokens:
            return
        if llama.trim(n_tokens):
            del self._live[n_tokens:]
        else:
            llama.clear()
            self._live = []

    def _feed(self, llama: Llama, tokens: list[int]) -> None:
        llama.decode(tokens)
        self._live += tokens

    def _keep(self, llama: Llama, scope: str) -> None:
        """Keeps the live state, unless one that begins like it is kept already."""
        kept, _ = self._snapshots.best(scope, self._live, exact=not scope)
        if self._live and kept < len(self._live):
            self._snapshots.put(scope, self._live, llama.state())
