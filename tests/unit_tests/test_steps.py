"""What must hold for the local model led token by token, on a stand-in for llama.cpp with two sequences."""

# ruff: noqa: D102 - the stand-in has the methods of writer_llama.Llama, described there

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cogenesis_langchain.chat_templates import template
from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.writer import local as writer_module
from cogenesis_langchain.writer.llama import CHUNK
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.parts import Prompt, Turn
from cogenesis_langchain.writer.protocol import Stepping

V = 200
END = 0


class FakeLlama:
    """A token is a character. The logits after a sequence say its length, its last token and its number.

    They lie in one place that every pass overwrites, as llama.cpp's do.
    """

    made: FakeLlama

    def __init__(self, path: Path, n_ctx: int, n_threads: int) -> None:
        self.n_ctx = n_ctx
        self.layout = "fake"
        self.sequences: list[list[int]] = [[], []]
        self.pieces = [bytes([token]) if token else b"" for token in range(V)]
        self.on_decode: Callable[[], None] = lambda: None
        self.passes = 0
        self._output = np.zeros((CHUNK, 3), dtype=np.float32)
        FakeLlama.made = self

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(c) % V for c in text]

    def ends(self, token: int) -> bool:
        return token == END

    def decode(self, tokens: list[int]) -> None:
        self.decode_in(tokens, [0] * len(tokens))

    def decode_in(self, tokens: Sequence[int], sequences: Sequence[int]) -> None:
        assert 0 < len(tokens) <= CHUNK
        assert sum(map(len, self.sequences)) + len(tokens) <= self.n_ctx
        self.on_decode()
        self.passes += 1
        self._output[:] = np.nan
        last = {sequence: row for row, sequence in enumerate(sequences)}
        for row, (token, sequence) in enumerate(zip(tokens, sequences, strict=True)):
            self.sequences[sequence].append(token)
            if last[sequence] == row:
                self._output[row] = len(self.sequences[sequence]), token, sequence
        self._rows = len(tokens)

    def logits(self, row: int = -1) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._output[row % self._rows]
        return out

    def length(self, sequence: int = 0) -> int:
        return len(self.sequences[sequence])

    def drop_second(self) -> None:
        self.sequences[1] = []

    def clear(self, *, overwrite: bool = False) -> None:
        self.sequences = [[], []]

    def trim(self, n_tokens: int) -> bool:
        del self.sequences[0][n_tokens:]
        return True

    def state(self) -> bytearray:
        return bytearray(self.sequences[0])

    def restore(self, state: bytearray) -> None:
        self.sequences[0] = list(state)

    def close(self) -> None: ...


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> LlamaCppWriter:
    """A writer over the stand-in, with room for 1000 tokens."""
    monkeypatch.setattr(writer_module, "Llama", FakeLlama)
    made = LlamaCppWriter("model.gguf", template("chatml"), n_ctx=1000)
    made.load()
    return made


def prompt(text: str = "c" * 100) -> Prompt:
    """A prompt with this context."""
    return (Turn("user", (text, "write")),)


def after(token: str | int, length: int, sequence: int = 0) -> list[float]:
    """The logits after a sequence of that length which ends with `token`."""
    return [float(length), float(ord(token) if isinstance(token, str) else token), float(sequence)]


def test_one_sequence_is_read_and_led(writer: LlamaCppWriter) -> None:
    """The logits are those after the prompt, then after each token that was fed."""
    assert isinstance(writer, Stepping)
    with writer.steps(prompt(), scope="ada") as steps:
        n = FakeLlama.made.length()
        assert list(steps.logits) == after("\n", n)
        assert steps.room == 1000 - n
        steps.feed(ord("a"))
        assert list(steps.logits) == after("a", n + 1)
        assert steps.room == 1000 - n - 1
        with pytest.raises(WriterError, match="nothing there"):
            _ = steps.shadow_logits
        with pytest.raises(WriterError, match="nothing there"):
            steps.feed(1, 2)
    assert bytes(FakeLlama.made.sequences[0]).endswith(b"assistant\na")


def test_both_sequences_grow_in_one_pass(writer: LlamaCppWriter) -> None:
    """Text and shadow each have their own logits, in one pass, or with one standing still."""
    shadow = prompt("s" * 150)  # more than two chunks
    with writer.steps(prompt(), scope="ada", shadow=shadow) as steps:
        fake = FakeLlama.made
        n, m = fake.length(), fake.length(1)
        assert list(steps.logits) == after("\n", n)
        assert list(steps.shadow_logits) == after("\n", m, 1)
        assert steps.room == (1000 - n - m) // 2
        passes = fake.passes
        steps.feed(ord("a"), ord("x"))
        assert fake.passes == passes + 1
        assert list(steps.logits) == after("a", n + 1)
        assert list(steps.shadow_logits) == after("x", m + 1, 1)
        steps.feed(ord("b"))
        assert list(steps.logits) == after("b", n + 2)
        assert list(steps.shadow_logits) == after("x", m + 1, 1)
        steps.feed(None, ord("y"))
        assert list(steps.logits) == after("b", n + 2)
        assert list(steps.shadow_logits) == after("y", m + 2, 1)


def test_nothing_of_the_shadow_is_left(writer: LlamaCppWriter) -> None:
    """Given up half-way, at the end, or by an error: its room is free, and the text's state serves on."""
    fake = FakeLlama.made
    with writer.steps(prompt(), scope="ada", shadow=prompt("s")) as steps:
        steps.feed(1, 2)
        steps.end_shadow()
        assert not fake.sequences[1]
        assert steps.room == 1000 - fake.length()
        steps.feed(3)
        assert list(steps.logits) == after(3, fake.length())
    for error in (WriterError("broken"), KeyboardInterrupt()):
        with suppress(type(error)), writer.steps(prompt(), scope="ada", shadow=prompt("s")) as steps:
            steps.feed(1, 2)
            raise error
        assert not fake.sequences[1]
    with writer.steps(prompt(), scope="ada") as steps:
        assert steps.room > 0
        with pytest.raises(WriterError):
            _ = steps.shadow_logits


def test_steps_are_over_at_the_end(writer: LlamaCppWriter) -> None:
    """Who keeps them cannot touch the next caller's state."""
    with writer.steps(prompt(), scope="ada") as steps:
        pass
    assert steps.room == 0
    with pytest.raises(WriterError):
        _ = steps.logits
    with pytest.raises(WriterError):
        steps.feed(1)


def test_what_was_read_serves_the_same_scope_only(writer: LlamaCppWriter) -> None:
    """A second request of the same user reads little; another user's reads all, and nothing of the first."""
    fake = FakeLlama.made
    with writer.steps(prompt(), scope="ada"):
        first = fake.passes
    with writer.steps(prompt(), scope="ada") as steps:
        assert fake.passes == first + 1
        assert list(steps.logits) == after("\n", fake.length())
    with writer.steps(prompt("d" * 100), scope="ben"):
        assert ord("c") not in fake.sequences[0][20:110]
        assert fake.passes > first + 2


def test_cancel_leaves_no_steps(writer: LlamaCppWriter) -> None:
    """Set before, while the prompt is read, or while the shadow is: no room, and the model is free."""
    fake, cancel = FakeLlama.made, threading.Event()
    cancel.set()
    with writer.steps(prompt(), scope="ada", cancel=cancel) as steps:
        assert steps.room == 0
    for passes in (1, 3):
        cancel.clear()
        until = iter(range(passes - 1))
        fake.on_decode = lambda until=until: cancel.set() if next(until, None) is None else None  # type: ignore[misc]
        with writer.steps(
            prompt(str(passes) * 90), scope="eve", shadow=prompt("s" * 200), cancel=cancel
        ) as steps:
            assert steps.room == 0
        assert not fake.sequences[1]
    fake.on_decode = lambda: None
    with writer.steps(prompt(), scope="ada") as steps:
        assert steps.room > 0


def test_a_shadow_needs_room_too(writer: LlamaCppWriter) -> None:
    """Both prompts have to fit together; the message names the numbers."""
    with (
        pytest.raises(WriterError, match="n_ctx"),
        writer.steps(prompt("c" * 600), scope="ada", shadow=prompt("s" * 600)),
    ):
        pass


def test_the_vocabulary_is_read_once(writer: LlamaCppWriter) -> None:
    """Bytes by id; what has none, or ends a text, is a control token."""
    with writer.steps(prompt(), scope="ada") as steps:
        first = steps.vocabulary
        assert steps.pieces[ord("a")] == b"a"
        assert first.tokens.control.tolist() == [True] + [False] * (V - 1)
        assert steps.ends(END)
        assert steps.stop == ("<|im_end|>", "<|endoftext|>")
    with writer.steps(prompt(), scope="ben") as steps:
        assert steps.vocabulary is first
