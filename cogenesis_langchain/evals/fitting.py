"""Fitting the head that chooses kind and topic, on labelled requests, and what it would be right on unseen.

Deterministic: the same requests and vectors give the same coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.chooser import Head, cue_scores, features
from cogenesis_langchain.closed_lists import SIZES, Embeds, Entry, Vocabulary, shipped
from cogenesis_langchain.evals.labelled import Labelled
from cogenesis_langchain.generalize import read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

STRENGTH = {"kinds": 8.0, "topics": 8.0}
"""Inverse of the penalty on large coefficients, chosen by cross-validation on the training requests."""
_FIRST = 2.0  # weight of the likeliest label beside the others of a request
_ROUNDS = 120


@dataclass(frozen=True, slots=True)
class Material:
    """Requests as a head sees them: features (n, f), and (request, class, weight) of each label."""

    names: tuple[str, ...]
    classes: int
    seen: Array
    labels: tuple[tuple[int, int, float], ...]


def material(
    rows: Sequence[Labelled], queries: Array, embedder: Embeds, lists: Vocabulary, key: str
) -> Material:
    """What `rows` and the descriptions of the entries teach; `queries` (n, d) are the vectors of `rows`."""
    import numpy as np

    entries: Mapping[str, Entry] = lists.kinds if key == "kinds" else lists.topics
    names = tuple(entries)
    place: dict[str | None, int] = {name: number for number, name in enumerate((*names, None))}
    described = embedder.embed([entry.description for entry in entries.values()])
    cues = cue_scores([read(row.instruction) for row in rows], list(entries.values()))
    silent = np.zeros((len(names), len(names)), dtype=np.float32)
    labels = [
        (number, place[name], weight)
        for number, row in enumerate(rows)
        for name, weight in _weights(row.kinds if key == "kinds" else row.topics)
    ]
    labels += [(len(rows) + number, number, 1.0) for number in range(len(names))]
    seen = features(np.vstack([queries, described]), np.vstack([cues, silent]))
    return Material(names, len(names) + (key == "topics"), seen, tuple(labels))


def fit(given: Material, strength: float, without: Any = ()) -> Head:
    """The head of one list, from all requests but those numbered in `without`."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    left_out = set(without)
    used = [label for label in given.labels if label[0] not in left_out]
    rows, classes, weights = (np.array(column) for column in zip(*used, strict=True))
    model = LogisticRegression(C=strength, max_iter=_ROUNDS, tol=1e-3)
    model.fit(given.seen[rows, :-1].astype(np.float64), classes, sample_weight=weights)
    found = np.zeros((given.seen.shape[1], given.classes), dtype=np.float32)
    found[-1] = -20.0  # a class that no request showed
    found[:-1, model.classes_], found[-1, model.classes_] = model.coef_.T, model.intercept_
    return Head(given.names, found)


def cross_fitted(given: Material, strength: float, n: int, folds: int = 4) -> Iterator[tuple[Any, Array]]:
    """(numbers of requests, their (m, classes) scores by a head that saw none of them), fold by fold."""
    import numpy as np

    fold = np.random.default_rng(3).permutation(n) % folds
    for number in range(folds):
        left = np.flatnonzero(fold == number)
        yield left, given.seen[left] @ fit(given, strength, left.tolist()).weights


def right(given: Material, rows: Sequence[Labelled], key: str) -> dict[str, float]:
    """Size -> share of `rows` whose likeliest group is accepted, by heads that saw none of them."""
    import numpy as np

    made = np.zeros((len(rows), given.classes), dtype=np.float32)
    for numbers, scores in cross_fitted(given, STRENGTH[key], len(rows)):
        made[numbers] = np.exp(scores - scores.max(axis=1, keepdims=True))
    found = {}
    for size in SIZES:
        lists = shipped(size)
        of = lists.kind_of if key == "kinds" else lists.topic_of
        groups = [*dict.fromkeys(of.values()), None]
        fine = (*given.names, None)
        adds = np.array([[of.get(name or "") == group for group in groups] for name in fine])
        best = (made @ adds[: given.classes]).argmax(axis=1)
        wanted = [
            {of.get(name or "") for name in (row.kinds if key == "kinds" else row.topics)} for row in rows
        ]
        hits = [groups[place] in accepted for place, accepted in zip(best, wanted, strict=True)]
        found[size] = sum(hits) / len(hits)
    return found


def _weights(names: Sequence[Any]) -> list[tuple[Any, float]]:
    total = len(names) + _FIRST - 1
    return [(name, (_FIRST if number == 0 else 1.0) / total) for number, name in enumerate(names)]
