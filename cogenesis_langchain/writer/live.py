"""The live state of the local model: which tokens it holds, whose, and what need not be read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogenesis_langchain.chat_templates import ChatTemplate
from cogenesis_langchain.errors import WriterError
from cogenesis_langchain.writer.llama import CHUNK, Llama
from cogenesis_langchain.writer.parts import Cancel, Prompt, Snapshots, common_prefix, is_set

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogenesis_langchain.writer.states import KeptStates


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """A prompt as token ids.

    `stable` is everything before the last part, `rest` goes on to where the answer begins. The first
    `lasting` of `stable` are the first turn: the frame and a user's profile, the same in every request.
    """

    stable: list[int]
    rest: list[int]
    lasting: int

    def __len__(self) -> int:
        return len(self.stable) + len(self.rest)


def tokens_of(llama: Llama, template: ChatTemplate, prompt: Prompt) -> Tokens:
    """Content is tokenised as plain text, part by part; only the template's own text is control text."""
    out = llama.tokens(template.bos, special=True)
    control, previous = "", None
    stable = lasting = 0
    for number, turn in enumerate(prompt):
        control += template.opening(turn.role, previous)
        for part in turn.parts:
            out += llama.tokens(control, special=True)
            control, stable = "", len(out)
            out += llama.tokens(part)
        if number == 0:
            lasting = len(out)
        control += template.closing(turn.role)
        previous = turn.role
    control += template.opening("assistant", previous)
    out += llama.tokens(control, special=True)
    return Tokens(out[:stable], out[stable:], min(lasting, stable))


class LiveState:
    """Reads prompts into the model, from the best of what is known. Only for the turnstile's holder.

    Args:
        snapshots: states kept in memory.
        states: states kept on disk, if any.
        layout: what a state on disk depends on besides its tokens.
    """

    def __init__(self, snapshots: Snapshots, states: KeptStates | None = None, layout: str = "") -> None:
        self.tokens: list[int] = []
        self.scope = ""
        self._snapshots = snapshots
        self._states = states
        self._layout = layout

    def check(self, llama: Llama) -> None:
        """Starts anew after an interrupt between decoding tokens and writing them down."""
        if llama.length() != len(self.tokens):
            self.clear(llama)

    def clear(self, llama: Llama, *, overwrite: bool = False) -> None:
        """Empties the state."""
        llama.clear(overwrite=overwrite)
        self.tokens = []

    def read_both(self, llama: Llama, scope: str, tokens: Tokens, cancel: Cancel | None) -> bool:
        """Reads the prompt; keeps the state before the last part. False where cancelled on the way.

        In scope "" reading is split there whether that state was kept or not, so the numbers are the same.
        """
        stable, whole = tokens.stable, tokens.stable + tokens.rest
        self.check(llama)
        if not scope or self._shared(scope, whole) < len(stable):
            if not self.read(llama, scope, tokens, lambda: is_set(cancel)):
                return False
            self.keep(llama, scope)
        # The last part is read again even where it is known: its logits are needed, and a batch of another
        # size rounds differently, so the same request with the same seed would not give the same text.
        self._trim(llama, min(common_prefix(self.tokens, whole), len(stable), len(whole) - 1))
        return self._advance(llama, whole, lambda: is_set(cancel))

    def read(self, llama: Llama, scope: str, tokens: Tokens, stop: Callable[[], bool]) -> bool:
        """Brings the state to exactly the stable tokens. False where `stop` said so between two chunks.

        On the way a user's first turn goes to disk, where it is worth more than one chunk.
        """
        self.check(llama)
        self._start(llama, scope, tokens)
        if scope and len(self.tokens) < tokens.lasting and tokens.lasting > CHUNK:
            lasting = tokens.stable[: tokens.lasting]
            if not self._advance(llama, lasting, stop):
                return False
            if self._states is not None:
                self._states.put(scope, self._layout, lasting, llama.state)
        return self._advance(llama, tokens.stable, stop)

    def keep(self, llama: Llama, scope: str) -> None:
        """Keeps the state in memory, unless one that begins like it is kept already."""
        kept, _ = self._snapshots.best(scope, self.tokens, exact=not scope)
        if self.tokens and kept < len(self.tokens):
            self._snapshots.put(scope, self.tokens, llama.state())

    def keep_frame(self, llama: Llama) -> None:
        """Keeps the state on disk, exactly as it is: a frame that holds nobody's text, in scope ""."""
        if self._states is not None and not self.scope and len(self.tokens) > CHUNK:
            self._states.put("", self._layout, self.tokens, llama.state)

    def feed(self, llama: Llama, tokens: list[int]) -> None:
        """Reads tokens at the end."""
        llama.decode(tokens)
        self.tokens += tokens

    def score(self, llama: Llama, tokens: list[int]) -> NDArray[np.float64]:
        """(n,) Log-probability of each token after what is read and the tokens before it, in nats.

        Reads all but the last one, CHUNK at a time: memory does not grow with the length.
        """
        import numpy as np

        parts = [_log_probabilities(llama.last_logits(), tokens[:1])]
        for at in range(0, len(tokens) - 1, CHUNK):
            chunk = tokens[at : min(at + CHUNK, len(tokens) - 1)]
            logits = llama.decode_all(chunk)
            self.tokens += chunk
            parts.append(_log_probabilities(logits, tokens[at + 1 : at + 1 + len(chunk)]))
        return np.concatenate(parts)

    def _start(self, llama: Llama, scope: str, tokens: Tokens) -> None:
        """The beginning of the stable tokens, from where most of it is known: live, in memory, on disk."""
        stable = tokens.stable
        shared = self._shared(scope, stable)
        kept, state = self._snapshots.best(scope, stable, exact=not scope)
        if state is not None and kept > shared:
            llama.restore(state)
            self._hold(llama, scope, stable[:kept])
        elif shared:
            self._trim(llama, shared)
        else:
            self.clear(llama)
            self.scope = scope
        if len(self.tokens) < (tokens.lasting if scope else len(stable)):
            self._start_from_disk(llama, scope, stable)

    def _start_from_disk(self, llama: Llama, scope: str, stable: list[int]) -> None:
        if self._states is None:
            return
        kept, state = self._states.best(scope, self._layout, stable, exact=not scope)
        if state is None or kept <= len(self.tokens):
            return
        try:
            llama.restore(state)
        except WriterError:  # another build of llama.cpp may differ in what no version tells
            self._states.drop(scope, self._layout)
            self.clear(llama)
            return
        self._hold(llama, scope, stable[:kept])

    def _hold(self, llama: Llama, scope: str, tokens: list[int]) -> None:
        """The model has a state that begins with `tokens`: exactly they are kept of it."""
        self.scope, self.tokens = scope, tokens
        self._trim(llama, len(tokens))

    def _advance(self, llama: Llama, tokens: list[int], stop: Callable[[], bool]) -> bool:
        """Reads on from the live state, which is a prefix of `tokens`."""
        for at in range(len(self.tokens), len(tokens), CHUNK):
            if stop():
                return False
            self.feed(llama, tokens[at : at + CHUNK])
        return True

    def _shared(self, scope: str, tokens: list[int]) -> int:
        """How much of `tokens` the live state holds already. Nothing in scope "": only exact states serve."""
        return common_prefix(self.tokens, tokens) if scope and scope == self.scope else 0

    def _trim(self, llama: Llama, n_tokens: int) -> None:
        """Shortens the live state; models that cannot forget their last tokens start anew."""
        if llama.length() <= n_tokens:
            return
        if llama.trim(n_tokens):
            del self.tokens[n_tokens:]
        else:
            self.clear(llama)


def _log_probabilities(logits: NDArray[np.float32], tokens: list[int]) -> NDArray[np.float64]:
    """(n,) Of `tokens` (n,) under `logits` (n, vocabulary). Row by row: no second copy of all of them."""
    import numpy as np

    out = np.empty(len(tokens))
    for i, (row, token) in enumerate(zip(logits, tokens, strict=True)):
        best = row.max()
        out[i] = float(row[token] - best) - np.log(np.exp(row - best).sum(dtype=np.float64))
    return out
