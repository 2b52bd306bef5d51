"""llama.cpp as far as we use it: the only importer of llama_cpp.

The high-level `llama_cpp.Llama` is not used: it reads the GGUF's own chat template, redirects the process's
stdout while loading, keeps a scores array of n_batch x vocabulary, and saves states together with it.
Sampling runs in C on the logits where they lie, so a token costs Python a few microseconds.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.errors import ModelCorruptError, ModelMissingError, WriterError
from cogenesis_langchain.writer.parts import Choices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 64  # tokens per decode while reading: as fast as 512 on a CPU, and a cancel waits a second at most
SPIN = "1000"  # rounds: 25% more tokens a second than sleeping at once, and no stall beside a busy program
TOP_K, TOP_P = 40, 0.9
PENALTY = 1.1  # on tokens that were written already
LOOK_BACK = 256  # tokens that the repetition penalty looks at: what was written, never the prompt


class Llama:
    """The C library as far as we use it: one model, one context, one sequence and at times a second."""

    def __init__(self, path: Path, n_ctx: int, n_threads: int) -> None:
        self._lib = lib = _library()
        self._vocab_lock = threading.Lock()
        model = _load_model(lib, path)
        params = lib.llama_context_default_params()
        self.n_ctx = min(n_ctx, int(lib.llama_model_n_ctx_train(model)))
        params.n_ctx = self.n_ctx
        params.n_batch = params.n_ubatch = CHUNK
        params.n_threads = params.n_threads_batch = n_threads
        params.swa_full = True  # sliding-window models keep what a trimmed state needs
        params.n_seq_max, params.kv_unified = 2, True  # a second sequence takes room only while it is there
        self._on_gpu = bool(lib.llama_supports_gpu_offload())
        if not self._on_gpu:
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED  # reads more slowly on a CPU
        self._ctx = lib.llama_init_from_model(model, params)
        if not self._ctx:
            lib.llama_model_free(model)
            raise WriterError(f"no memory for a context of {n_ctx} tokens; lower models.local.n_ctx")
        self._vocab = lib.llama_model_get_vocab(model)
        self._memory = lib.llama_get_memory(self._ctx)
        self._free = weakref.finalize(self, _free, lib, self._ctx, model)
        self._free.atexit = False  # a thread may still be decoding; the system frees it all anyway

    def close(self) -> None:
        """Frees context and model. Later questions to the vocabulary raise WriterError."""
        with self._vocab_lock:
            self._free()

    @property
    def layout(self) -> str:
        """What the form of a copied state depends on, besides the model."""
        build = version("llama-cpp-python")
        return f"llama-cpp-python {build}, n_ctx {self.n_ctx}, {'gpu' if self._on_gpu else 'cpu'}"

    # Vocabulary: may be asked while another thread streams.

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids. Control text is `special`; content never is. WriterError for text that is no Unicode."""
        data = None
        with suppress(UnicodeEncodeError):  # which carries the text
            data = text.encode()
        if data is None:
            raise WriterError("the text holds half of a surrogate pair, which no model can read: remove it")
        room = len(data) + 8
        ids = (ctypes.c_int32 * room)()
        with self._vocab_lock:
            self._check_open()
            n = self._lib.llama_tokenize(self._vocab, data, len(data), ids, room, False, special)
        if n < 0:
            raise WriterError("the local model's tokeniser failed")
        return list(ids[:n])

    def piece(self, token: int) -> bytes:
        """The bytes of a token; none for control tokens."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            with self._vocab_lock:
                self._check_open()
                n = self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of every token by id: half a second and 6 MB for 152,000 tokens, at first use."""
        return [self.piece(token) for token in range(self._lib.llama_vocab_n_tokens(self._vocab))]

    def ends(self, token: int) -> bool:
        """Whether the model says that it has finished."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    def _check_open(self) -> None:
        if not self._free.alive:
            raise WriterError("the local model was closed; make a new writer")

    # State: only under the turnstile.

    def decode(self, tokens: list[int]) -> None:
        """Reads tokens at the end of the state; at most CHUNK of them."""
        ids = (ctypes.c_int32 * len(tokens))(*tokens)
        code = self._lib.llama_decode(self._ctx, self._lib.llama_batch_get_one(ids, len(tokens)))
        if code != 0:
            raise WriterError(f"the local model failed while reading (llama_decode: {code})")

    def decode_all(self, tokens: list[int]) -> NDArray[np.float32]:
        """Reads as `decode`; the logits after each token, (len(tokens), vocabulary).

        They lie in llama.cpp's own memory: use them before the next call.
        """
        import numpy as np

        n = len(tokens)
        ids, all_of_them = (ctypes.c_int32 * n)(*tokens), (ctypes.c_int8 * n)(*[1] * n)
        batch = self._lib.llama_batch_get_one(ids, n)
        batch.logits = all_of_them  # get_one asks for the last token's alone
        code = self._lib.llama_decode(self._ctx, batch)
        if code != 0:
            raise WriterError(f"the local model failed while reading (llama_decode: {code})")
        shape = (n, int(self._lib.llama_vocab_n_tokens(self._vocab)))
        return np.ctypeslib.as_array(self._lib.llama_get_logits(self._ctx), shape)

    def last_logits(self) -> NDArray[np.float32]:
        """The logits after the last token that was read, (1, vocabulary); as `decode_all`."""
        return self.logits()[None]

    def decode_in(self, tokens: Sequence[int], sequences: Sequence[int]) -> None:
        """Reads each token at the end of its sequence (0 or 1), at most CHUNK of them in one pass.

        `logits(i)` then holds what follows token `i`, where that was the last of its sequence.
        """
        n = len(tokens)
        last = {sequence: i for i, sequence in enumerate(sequences)}
        ids, one_each = (ctypes.c_int32 * n)(*tokens), (ctypes.c_int32 * n)(*[1] * n)
        lists = [(ctypes.c_int32 * 1)(sequence) for sequence in sequences]
        batch = self._lib.llama_batch_get_one(ids, n)  # holds no reference to what is given here and below
        batch.n_seq_id = one_each
        batch.seq_id = (ctypes.POINTER(ctypes.c_int32) * n)(
            *(ctypes.cast(one, ctypes.POINTER(ctypes.c_int32)) for one in lists)
        )
        batch.logits = (ctypes.c_int8 * n)(*(last[s] == i for i, s in enumerate(sequences)))
        code = self._lib.llama_decode(self._ctx, batch)
        if code != 0:
            raise WriterError(f"the local model failed while reading (llama_decode: {code})")

    def logits(self, row: int = -1) -> NDArray[np.float32]:
        """(vocabulary,) The logits after token `row` of the last call; as `decode_all`."""
        import numpy as np

        shape = (int(self._lib.llama_vocab_n_tokens(self._vocab)),)
        return np.ctypeslib.as_array(self._lib.llama_get_logits_ith(self._ctx, row), shape)

    def drop_second(self) -> None:
        """Empties sequence 1."""
        self._lib.llama_memory_seq_rm(self._memory, 1, -1, -1)

    def length(self, sequence: int = 0) -> int:
        """Tokens in the state, or in that of the second sequence."""
        return int(self._lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def clear(self, *, overwrite: bool = False) -> None:
        """Empties the state; `overwrite` also zeroes its memory."""
        self._lib.llama_memory_clear(self._memory, overwrite)

    def trim(self, n_tokens: int) -> bool:
        """Shortens the state; False where the model's kind of memory cannot."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, 0, n_tokens, -1))

    def state(self) -> bytearray:
        """A copy of the state, without the logits: 28 KiB per token with the 1.5B model."""
        size = self._lib.llama_state_seq_get_size(self._ctx, 0)
        state = bytearray(size)
        view = (ctypes.c_uint8 * size).from_buffer(state)
        if self._lib.llama_state_seq_get_data(self._ctx, view, size, 0) != size:
            raise WriterError("the state of the local model cannot be copied")
        return state

    def restore(self, state: bytearray) -> None:
        """Puts a copied state back."""
        self.clear()
        view = (ctypes.c_uint8 * len(state)).from_buffer(state)
        if self._lib.llama_state_seq_set_data(self._ctx, view, len(state), 0) == 0:
            raise WriterError("a kept state of the local model cannot be put back")

    # Sampling: in C, on the logits where they lie.

    @contextmanager
    def sampler(
        self, temperature: float, seed: int | None, *, penalty: float = PENALTY
    ) -> Iterator[Callable[[], int]]:
        """A function that samples the next token. Cut to TOP_K first, so the rest costs next to nothing."""
        lib, ctx = self._lib, self._ctx
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        parts: list[Any] = []
        if penalty != 1.0:
            n_vocab = lib.llama_vocab_n_tokens(self._vocab)
            parts += [
                lib.llama_sampler_init_top_k(TOP_K),
                lib.llama_sampler_init_penalties(n_vocab, LOOK_BACK, penalty, 0.0, 0.0),
            ]
        if temperature <= 0:
            parts.append(lib.llama_sampler_init_greedy())
        else:
            parts += [
                lib.llama_sampler_init_top_p(TOP_P, 1),
                lib.llama_sampler_init_temp(temperature),
                lib.llama_sampler_init_dist(secrets.randbits(31) if seed is None else seed & 0x7FFFFFFF),
            ]
        for part in parts:
            lib.llama_sampler_chain_add(chain, part)
        try:
            yield lambda: int(lib.llama_sampler_sample(chain, ctx, -1))
        finally:
            lib.llama_sampler_free(chain)

    def likeliest(self, allowed: Sequence[int], stops: Sequence[int]) -> int:
        """The allowed token with the highest logit; `Choices.END` counts as any of the stop tokens."""
        logits = self._lib.llama_get_logits_ith(self._ctx, -1)

        def logit(token: int) -> float:
            ids = stops if token == Choices.END else (token,)
            return max((float(logits[i]) for i in ids), default=float("-inf"))

        return max(allowed, key=logit)


def _library() -> Any:
    """llama.cpp, silenced: its log lines may quote what it reads."""
    global _silent
    # Its threads meet several hundred times a token. Where they spin until all have come, one busy program
    # beside us makes a token take ten times as long, and a stand-in cloud on the same cores is one. Spinning
    # briefly before sleeping costs little either way. OpenMP reads this once, when it is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)
    import llama_cpp.llama_cpp as lib

    if _silent is None:
        _silent = lib.llama_log_callback(lambda *_: None)
        lib.llama_log_set(_silent, None)
        lib.llama_backend_init()
    return lib


_silent: Any = None  # the library keeps the pointer, so the callback must live on


def _load_model(lib: Any, path: Path) -> Any:
    if not path.is_file():
        raise ModelMissingError(f"{path.name} is not there; run: cogenesis models pull")
    with path.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    params = lib.llama_model_default_params()
    model = lib.llama_model_load_from_file(os.fsencode(path), params) if is_gguf else None
    if not model:
        raise ModelCorruptError(
            f"{path.name} is no GGUF that llama.cpp can load; run: cogenesis models verify, then pull again"
        )
    return model


def _free(lib: Any, ctx: Any, model: Any) -> None:
    lib.llama_free(ctx)
    lib.llama_model_free(model)


def default_threads() -> int:
    """Processors this process may use; half of them where there are many, since two often share a core."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        usable = os.cpu_count() or 1
    return usable if usable <= 4 else usable // 2
