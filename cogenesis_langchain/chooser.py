"""How likely each entry of the closed lists is for a request: a trained head, cosines, cue words. Pure.

The head (`vocabulary/chooser.npz`, its card `chooser.json` beside it) is a multinomial logistic regression
over the numbers of the request's vector and the cue scores of the shipped entries, fitted by
`cogenesis train chooser`. Its coefficients are of one embedding model: for vectors of another, and for
entries that a user added, cosine and cue words say how likely an entry is.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from cogenesis_langchain.closed_lists import Embeds, Entry, Vocabulary, spaced
from cogenesis_langchain.errors import ModelCorruptError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FILE, CARD = "chooser.npz", "chooser.json"
# Against cosines, between 0 and 0.6 here, which say more of what a text is about than of its form.
CUES: Mapping[str, float] = {"kinds": 0.4, "topics": 0.2}
HEAD_CUES = 0.5
"""What a cue score counts among the features of the head."""
_SHARPNESS = 16.0  # of the probabilities that cosines and cue words make


@dataclass(frozen=True, slots=True)
class Head:
    """Coefficients (features, classes) of one list; the last feature is 1.

    Classes are the shipped fine entries in order; of topics, a last one says that none fits.
    """

    names: tuple[str, ...]
    weights: Array

    def log_shares(self, query: Array, cues: Array) -> Array:
        """(classes,) Log-probabilities, from a vector (d,) and the cue scores (entries,)."""
        return _log_softmax(features(query[None], cues[None])[0] @ self.weights)


@dataclass(frozen=True, slots=True)
class Shares:
    """How likely each fine entry is; `none`: that no entry fits. All sum to 1."""

    entries: Mapping[str, float]
    none: float

    def groups(self, group_of: Mapping[str, str]) -> list[tuple[str | None, float]]:
        """Groups with the probabilities of what they hold added up, likeliest first; None: nothing fits."""
        sums: dict[str | None, float] = {}
        for name, share in self.entries.items():
            sums[group_of[name]] = sums.get(group_of[name], 0.0) + share
        sums[None] = self.none
        return sorted(sums.items(), key=lambda pair: -pair[1])  # stable: ties stay in the order of the list


def shares(text: str, vocabulary: Vocabulary, embedder: Embeds) -> tuple[Shares, Shares]:
    """How likely each fine kind and topic is what `text` asks for. Raises what `embedder` raises."""
    query, words = embedder.embed([text])[0], spaced(text)
    heads = shipped_heads() if getattr(embedder, "model", None) == card()["model"] else {}
    lists = (("kinds", vocabulary.fine_kinds), ("topics", vocabulary.fine_topics))
    kinds, topics = (
        _shares(query, words, entries, vectors, heads.get(key), CUES[key])
        for (key, entries), vectors in zip(lists, vocabulary.vectors(embedder), strict=True)
    )
    return kinds, topics


def _shares(
    query: Array, words: str, entries: Mapping[str, Entry], vectors: Array, head: Head | None, weight: float
) -> Shares:
    """An added entry is as likely beside the shipped ones as its cosine and cues are beside theirs."""
    import numpy as np

    cues = np.array([entry.cue_score(words) for entry in entries.values()], dtype=np.float32)
    scores = _SHARPNESS * (vectors @ query + weight * cues)
    if head is None:
        return _as_shares(entries, np.exp(_log_softmax(scores)), 0.0)
    of = {name: place for place, name in enumerate(entries)}
    places = [of[name] for name in head.names]
    known = head.log_shares(query, cues[places])
    total = np.logaddexp.reduce(scores[places])
    logs = scores - total
    logs[places] = known[: len(places)]
    nothing = known[len(places) :]  # empty for kinds: some text is always asked for
    made = np.exp(_log_softmax(np.concatenate([logs, nothing])))
    return _as_shares(entries, made, float(made[len(logs) :].sum()))


def _as_shares(entries: Mapping[str, Entry], made: Array, none: float) -> Shares:
    return Shares(dict(zip(entries, made[: len(entries)].tolist(), strict=True)), none)


def features(queries: Array, cues: Array) -> Array:
    """(n, d + entries + 1) What a head sees of n requests: vectors (n, d), cue scores, and a 1."""
    import numpy as np

    ones = np.ones((len(queries), 1), dtype=np.float32)
    return np.hstack([queries, HEAD_CUES * cues, ones]).astype(np.float32)


def _log_softmax(scores: NDArray[Any]) -> Array:
    import numpy as np

    made: Array = scores - np.logaddexp.reduce(scores)
    return made


@cache
def card() -> Mapping[str, Any]:
    """What the shipped coefficients were fitted on, when, and their SHA-256."""
    found: Mapping[str, Any] = json.loads(_shipped(CARD))
    return found


@cache
def shipped_heads() -> Mapping[str, Head]:
    """The heads of kinds and topics. Raises ModelCorruptError where file, card and lists do not agree."""
    return read_heads(_shipped(FILE), card())


def read_heads(data: bytes, described: Mapping[str, Any]) -> Mapping[str, Head]:
    """The heads in a file as `write_heads` makes it. Raises ModelCorruptError; reads no pickle."""
    if hashlib.sha256(data).hexdigest() != described.get("sha256"):
        raise ModelCorruptError(f"{FILE} is not the file that {CARD} describes; install the package again")
    lists = Vocabulary.load(size="full")
    try:
        return {
            "kinds": _head(data, described, "kinds", tuple(lists.kinds), nothing=False),
            "topics": _head(data, described, "topics", tuple(lists.topics), nothing=True),
        }
    except (ValueError, KeyError, TypeError, BadZipFile):
        raise ModelCorruptError(f"{FILE} does not fit the lists; fit it: `cogenesis train chooser`") from None


def _head(
    data: bytes, described: Mapping[str, Any], key: str, names: tuple[str, ...], *, nothing: bool
) -> Head:
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        weights = file[key].astype(np.float32)
    wanted = (int(described["dimensions"]) + len(names) + 1, len(names) + nothing)
    if tuple(described[key]) != names or weights.shape != wanted or not np.isfinite(weights).all():
        raise ValueError
    return Head(names, weights)


def write_heads(heads: Mapping[str, Head], described: Mapping[str, Any]) -> tuple[bytes, str]:
    """The file (.npz, float16) and its card (JSON) for `heads`."""
    import numpy as np

    to = io.BytesIO()
    halves: dict[str, Any] = {key: head.weights.astype(np.float16) for key, head in heads.items()}
    np.savez_compressed(to, **halves)
    data = to.getvalue()
    names = {key: list(head.names) for key, head in heads.items()}
    full = {**described, "sha256": hashlib.sha256(data).hexdigest(), **names}
    return data, json.dumps(full, indent=1, ensure_ascii=False) + "\n"


def _shipped(name: str) -> bytes:
    return files("cogenesis_langchain").joinpath("vocabulary", name).read_bytes()


def cue_scores(texts: Sequence[str], entries: Sequence[Entry]) -> Array:
    """(n, entries) How clearly each text names each entry."""
    import numpy as np

    rows = [[entry.cue_score(words) for entry in entries] for words in map(spaced, texts)]
    return np.array(rows, dtype=np.float32).reshape(len(texts), len(entries))
