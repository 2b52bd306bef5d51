"""Rampart, by National Design Studio (CC BY 4.0): a small BERT finds names, addresses and numbers here.

It reads lower case only, so the case of the text makes no difference to it. The text is read in overlapping
windows of the length it was trained on; each answers for its middle, so nothing is cut at a border.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain import models
from cogenesis_langchain.errors import ModelCorruptError
from cogenesis_langchain.onnx_session import feed, open_model
from cogenesis_langchain.types import PrivateSpan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOURCE = "rampart"

WINDOW = 480
"""Characters read at once."""
OVERLAP = 64
MAX_TOKENS = 160
"""Of one window. Prose has about 110; of what is denser only the longer words are read, up to this many."""
THRESHOLD = 0.45
HINT = "PERSON_HINT"
"""Type of the words that may be part of a person's name: no finding, yet support for spaCy's."""
HINT_SCORE = 0.02

_TYPES = {
    "GIVEN_NAME": "PERSON",
    "SURNAME": "PERSON",
    "EMAIL": "EMAIL_ADDRESS",
    "PHONE": "PHONE_NUMBER",
    "URL": "URL",
    "TAX_ID": "TAX_ID",
    "BANK_ACCOUNT": "BANK_ACCOUNT",
    "ROUTING_NUMBER": "BANK_ACCOUNT",
    "GOVERNMENT_ID": "GOVERNMENT_ID",
    "PASSPORT": "PASSPORT",
    "DRIVERS_LICENSE": "DRIVER_LICENSE",
    "BUILDING_NUMBER": "LOCATION",
    "STREET_NAME": "LOCATION",
    "SECONDARY_ADDRESS": "LOCATION",
    "CITY": "LOCATION",
    "STATE": "LOCATION",
    "ZIP_CODE": "LOCATION",
}
TYPES: tuple[str, ...] = tuple(dict.fromkeys(_TYPES.values()))
"""Presidio's names for what it finds."""

_PERSON = TYPES.index("PERSON")
_BETWEEN = re.compile(r"[\s\-'’.]{0,3}")
_BETWEEN_LINES = re.compile(r"[\s,\-'’.]{0,4}")  # of one address


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the text and how likely it is each of TYPES; `outside` is what is left."""

    start: int
    end: int
    outside: float
    scores: Sequence[float]


class Rampart:
    """Text -> spans. Loaded on first use; any number of threads may call it.

    `directory` holds the files of the catalogue model; raises ModelMissingError or ModelCorruptError.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any, NDArray[np.float32]] | None = None

    @classmethod
    def default(cls) -> Rampart:
        """The model of the catalogue, verified; ModelMissingError names the command that gets it."""
        return cls(models.locate(models.RAMPART))

    def find(self, text: str) -> list[PrivateSpan]:
        """Spans of `text` with source "rampart": findings, and hints of type HINT apart from them."""
        words = list(self._words(text))
        hints = [w for w in words if w.scores[_PERSON] >= HINT_SCORE]
        return [
            *join(text, words),
            # Certain, so that no threshold of Presidio's drops them.
            *(PrivateSpan(HINT, w.start, w.end, 1.0, SOURCE) for w in hints),
        ]

    def warm(self) -> None:
        """Load now rather than on first use."""
        self._load()

    def _words(self, text: str) -> Iterator[Word]:
        tokenizer, session, groups = self._load()
        step = WINDOW - OVERLAP
        last = max(len(text) - OVERLAP, 1)
        for at in range(0, last, step):
            first = at + OVERLAP // 2 if at else 0
            behind = at + WINDOW - OVERLAP // 2 if at + step < last else len(text)
            encoded = tokenizer.encode(_readable(text[at : at + WINDOW]), add_special_tokens=False)
            kept = _kept(encoded.word_ids, encoded.offsets)
            if not kept:
                continue
            ids = encoded.ids
            likely = _likely(tokenizer, session, [ids[i] for i in kept]) @ groups
            for word in _by_word(encoded.word_ids, encoded.offsets, kept, likely, at):
                if first <= word.start < behind:
                    yield word

    def _load(self) -> tuple[Any, Any, NDArray[np.float32]]:
        with self._lock:
            if self._loaded is None:
                tokenizer, session = open_model(self._directory, models.RAMPART, "onnx/model_q4.onnx")
                tokenizer.no_truncation()
                tokenizer.no_padding()
                self._loaded = tokenizer, session, _groups(self._directory)
            return self._loaded


def join(text: str, words: Iterable[Word]) -> list[PrivateSpan]:
    """Neighbouring words of one type as one span; the lines of an address count as neighbours."""
    spans: list[PrivateSpan] = []
    for word in words:
        best = max(range(len(TYPES)), key=word.scores.__getitem__)
        score, kind = word.scores[best], TYPES[best]
        if score < THRESHOLD or score < word.outside:
            continue
        if spans and spans[-1].type == kind:
            between = _BETWEEN_LINES if kind == "LOCATION" else _BETWEEN
            if between.fullmatch(text, spans[-1].end, word.start):
                score, start = max(score, spans[-1].score), spans.pop().start
                spans.append(PrivateSpan(kind, start, word.end, score, SOURCE))
                continue
        spans.append(PrivateSpan(kind, word.start, word.end, score, SOURCE))
    return spans


def _groups(directory: Path) -> NDArray[np.float32]:
    """(labels, 1 + types): adds the likelihoods of the labels that are one type; column 0 is "outside"."""
    import numpy as np

    try:
        labels = json.loads((directory / "config.json").read_text(encoding="utf-8"))["id2label"]
        names = [labels[str(i)] for i in range(len(labels))]
        columns = [0 if n == "O" else 1 + TYPES.index(_TYPES[n.partition("-")[2]]) for n in names]
    except (OSError, ValueError, KeyError):
        raise ModelCorruptError(
            f"the labels of {models.RAMPART} in {directory} cannot be read; "
            f"run: cogenesis models pull {models.RAMPART}"
        ) from None
    groups = np.zeros((len(names), 1 + len(TYPES)), dtype=np.float32)
    groups[range(len(names)), columns] = 1.0
    return groups


def _likely(tokenizer: Any, session: Any, ids: Sequence[int]) -> NDArray[np.float32]:
    """(tokens, labels): the likelihood of each label; every row adds up to 1."""
    import numpy as np

    framed = np.array([[tokenizer.token_to_id("[CLS]"), *ids, tokenizer.token_to_id("[SEP]")]])
    logits = feed(
        session, input_ids=framed, attention_mask=np.ones_like(framed), token_type_ids=np.zeros_like(framed)
    )[0, 1:-1]
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: NDArray[np.float32] = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return out


def _kept(word_ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Indices of the tokens that are read: all, but of a window too dense for prose just the longer words."""
    count = len(word_ids)
    if count <= MAX_TOKENS:
        return list(range(count))
    length: dict[int, int] = {}
    for word, (start, end) in zip(word_ids, offsets, strict=True):
        length[word] = length.get(word, 0) + end - start
    return [i for i in range(count) if length[word_ids[i]] > 1][:MAX_TOKENS]


def _by_word(
    word_ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    kept: Sequence[int],
    likely: NDArray[np.float32],
    at: int,
) -> Iterator[Word]:
    """The mean over the tokens of each word; offsets are moved by `at`."""
    row = 0
    while row < len(kept):
        behind = row + 1
        while behind < len(kept) and word_ids[kept[behind]] == word_ids[kept[row]]:
            behind += 1
        mean = likely[row:behind].mean(axis=0).tolist()
        start, end = offsets[kept[row]][0], offsets[kept[behind - 1]][1]
        if end > start:
            yield Word(at + start, at + end, mean[0], mean[1:])
        row = behind


def _readable(text: str) -> str:
    # The tokenizer takes no half surrogate pairs, which broken input can hold; the length stays.
    return "".join("?" if "\ud800" <= char <= "\udfff" else char for char in text)
