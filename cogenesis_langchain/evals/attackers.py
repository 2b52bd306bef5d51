"""Attackers that hold everybody's profile, see what left the machine, and say whose it was.

`tfidf` compares words and letters, `minilm` meanings, `trained` has seen pairs of profile and outgoing body
of *other* persons and learned what the mechanism lets through. Every number of a trained part comes from a
model that saw neither the test person nor the candidate: persons are dealt into folds, and there is a model
for each pair of folds. The first two are tried with and without the earlier writings of each person, and the
better way, on the other folds, counts. `posterior` makes probabilities of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cogenesis_langchain.closed_lists import Embeds
from cogenesis_langchain.errors import InputError
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.evals.posterior import Array, ridge

FOLDS = 5
_WRITING_CHARS = 600  # of each earlier writing are embedded
_WORDS = 1000  # of bodies, for which a probability is learned
_NEIGHBOURS = 12
_SHARP = 0.08  # width of the kernels, in cosines
_BACKGROUND = 3.0  # pseudo-counts of what bodies are like in general
_RIDGE = 3.0
_NOISE = 1e-5  # what is smaller is rounding


class _Words:
    """Documents by a vectorizer of scikit-learn, to be compared with texts."""

    def __init__(self, vectorizer: Any, documents: Sequence[str]) -> None:
        self._vectorizer, self._size = vectorizer, len(documents)
        try:
            self._known = vectorizer.fit_transform(documents)
        except ValueError:
            self._known = None

    def cosines(self, texts: Sequence[str]) -> Array:
        """(texts, documents) What they have in common; nothing where the documents hold no word at all."""
        if self._known is None:
            return np.zeros((len(texts), self._size))
        cosines: Array = (self._vectorizer.transform(texts) @ self._known.T).toarray()
        return cosines


@dataclass(frozen=True)
class Holdings:
    """What the attacker knows of each person, in the forms that are compared; made once for all methods.

    Every list has an entry, and every array a row, for each person.
    """

    persons: Sequence[Person]
    embedder: Embeds = field(repr=False)

    @cached_property
    def _met(self) -> dict[str, NDArray[np.float32]]:
        return {}

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), d) of unit length; each different text is embedded once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._met]
        if new:
            self._met.update(zip(new, self.embedder.embed(new), strict=True))
        return np.stack([self._met[text] for text in texts])

    @cached_property
    def documents(self) -> dict[str, list[str]]:
        """The profiles as texts, with the earlier writings and without."""
        titles = ["\n".join(t for t, _ in p.writings) for p in self.persons]
        texts = ["\n".join(t for _, t in p.writings) for p in self.persons]
        bare = [f"{p.profile}\n{t}" for p, t in zip(self.persons, titles, strict=True)]
        return {"profile": bare, "writings": [f"{b}\n{t}" for b, t in zip(bare, texts, strict=True)]}

    @cached_property
    def words(self) -> dict[str, _Words]:
        """The same by their words, and by the letters of these."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        settings: dict[str, dict[str, Any]] = {
            "words": {"ngram_range": (1, 2), "stop_words": "english"},
            "letters": {"analyzer": "char_wb", "ngram_range": (3, 5), "max_features": 200_000},
        }
        return {
            f"{unit} {source}": _Words(
                TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options), documents
            )
            for unit, options in settings.items()
            for source, documents in self.documents.items()
        }

    @cached_property
    def chunks(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """(vectors (m, d), whose (m,), whether from the text of a writing (m,))."""
        texts: list[str] = []
        whose: list[int] = []
        written: list[bool] = []
        for number, person in enumerate(self.persons):
            parts = [*person.clauses(), *(title for title, _ in person.writings if title)]
            pieces = [text[:_WRITING_CHARS] for _, text in person.writings]
            texts += parts + pieces
            whose += [number] * (len(parts) + len(pieces))
            written += [False] * len(parts) + [True] * len(pieces)
        return self.vectors(texts), np.array(whose), np.array(written)

    @cached_property
    def means(self) -> NDArray[np.float32]:
        """(n, d) The mean of a person's clauses and titles, of unit length."""
        vectors, whose, written = self.chunks
        rows = [vectors[(whose == n) & ~written].mean(axis=0) for n in range(len(self.persons))]
        means: NDArray[np.float32] = _unit(np.array(rows))
        return means

    @cached_property
    def folds(self) -> NDArray[np.int64]:
        """(n,) The fold of each person; always the same."""
        n = len(self.persons)
        return np.random.default_rng(20).permutation(n) % min(FOLDS, n)


@dataclass(frozen=True, slots=True)
class Seen:
    """A body that left: whose it is (what is to be guessed), the request behind it, and its text."""

    person: int
    request: str = field(repr=False)
    text: str = field(repr=False)


def check_installed() -> None:
    """Raises InputError where scikit-learn is missing, before any work is done."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise InputError(
            "the attackers need scikit-learn: install it with pip install 'cogenesis-langchain[evals]'"
        ) from None


# --- how well a body goes with a profile ------------------------------------------------------------------


def features(seen: Sequence[Seen], held: Holdings) -> dict[str, Array]:
    """Name -> (len(seen), persons): how well each body goes with each profile, in several ways."""
    found = _by_words(seen, held) | _by_meaning(seen, held) | _learned(seen, held)
    whose = np.array([one.person for one in seen])
    return {name: _unusual(np.asarray(scores, dtype=np.float64), whose) for name, scores in found.items()}


def _unusual(scores: Array, whose: Any) -> Array:
    """Scores less what a profile gets for the bodies of other persons: some profiles go with anything."""
    own = np.eye(scores.shape[1])[whose]  # (bodies, persons)
    sums, counts = own.T @ scores, own.sum(axis=0)
    rest = np.maximum(len(whose) - counts, 1)[:, None]
    others = (scores.sum(axis=0) - sums) / rest  # (persons, candidates)
    found = scores - others[whose]
    return np.where(np.abs(found) > _NOISE, found, 0.0)


def overlap(texts: Sequence[str], others: Sequence[str]) -> Array:
    """(texts, others) Cosines of their words, rare ones weighing more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return _Words(TfidfVectorizer(sublinear_tf=True, stop_words="english"), others).cosines(texts)


def _by_words(seen: Sequence[Seen], held: Holdings) -> dict[str, Any]:
    texts = [one.text for one in seen]
    found = {f"tfidf {name}": words.cosines(texts) for name, words in held.words.items()}
    for source in held.documents:
        found[f"tfidf both {source}"] = found[f"tfidf words {source}"] + found[f"tfidf letters {source}"]
    return found


def _by_meaning(seen: Sequence[Seen], held: Holdings) -> dict[str, Any]:
    vectors, whose, written = held.chunks
    cosines = held.vectors([one.text for one in seen]) @ vectors.T  # (bodies, chunks)
    everyone = range(len(held.persons))
    best = [cosines[:, (whose == n) & ~written].max(axis=1) for n in everyone]
    mean = [cosines[:, (whose == n) & ~written].mean(axis=1) for n in everyone]
    whole = [cosines[:, whose == n].max(axis=1) for n in everyone]
    top = [np.sort(cosines[:, whose == n], axis=1)[:, -3:].mean(axis=1) for n in everyone]
    named = {"best profile": best, "mean profile": mean, "best writings": whole, "top writings": top}
    return {f"minilm {name}": np.stack(scores, axis=1) for name, scores in named.items()}


def _learned(seen: Sequence[Seen], held: Holdings) -> dict[str, Any]:
    """What models say that were fitted on other persons' pairs; filled block by block of folds."""
    bags, bodies = bags_of(seen), held.vectors([one.text for one in seen])
    asked = held.vectors([one.request for one in seen])
    whose = np.array([one.person for one in seen])
    shape = (len(seen), len(held.persons))
    names = ("to profile", "from profile", "neighbours", "mechanism mean", "mechanism best")
    found = {f"trained {name}": np.zeros(shape) for name in names}
    folds = int(held.folds.max()) + 1
    for f, g in product(range(folds), repeat=2):
        # In the block of the right person too one more fold is left out, or the block itself would tell.
        left_out = (f, g) if f != g else (f, (f + 1) % folds)
        train = ~np.isin(held.folds[whose], left_out)
        rows, candidates = np.flatnonzero(held.folds[whose] == f), np.flatnonzero(held.folds == g)
        if not train.any() or not len(rows):
            continue
        scores = (
            *_mapped(bodies, held.means, whose, train, rows, candidates),
            _neighbours(bags, held.means, whose, train, rows, candidates),
            *_mechanism(bags, asked, held, train, rows, candidates),
        )
        for name, block in zip(names, scores, strict=True):
            found[f"trained {name}"][np.ix_(rows, candidates)] = block
    return found


def bags_of(seen: Sequence[Seen]) -> Array:
    """(bodies, words) Which of the commonest words stand in each body."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(binary=True, max_features=_WORDS)
    try:
        bags: Array = vectorizer.fit_transform([one.text for one in seen]).toarray().astype(np.float64)
    except ValueError:  # no word in any body
        return np.zeros((len(seen), 1))
    return bags


def _mapped(
    bodies: Any, profiles: Any, whose: Any, train: Any, rows: Any, candidates: Any
) -> tuple[Array, Array]:
    """Linear maps between the vectors of bodies and of profiles, either way; cosines about the mean."""
    x, y = bodies[train], profiles[whose[train]]
    told, meant = bodies[rows] - x.mean(axis=0), profiles[candidates] - y.mean(axis=0)
    guessed_profile = ridge(x, y, bodies[rows], _RIDGE) - y.mean(axis=0)
    guessed_body = ridge(y, x, profiles[candidates], _RIDGE) - x.mean(axis=0)
    return _unit(guessed_profile) @ _unit(meant).T, _unit(told) @ _unit(guessed_body).T


def _neighbours(bags: Array, profiles: Any, whose: Any, train: Any, rows: Any, candidates: Any) -> Array:
    """log p(words of the body | persons like the candidate) against what is usual."""
    cosines = profiles[candidates] @ profiles[whose[train]].T  # (candidates, training bodies)
    floor = np.sort(cosines, axis=1)[:, -min(5 * _NEIGHBOURS, cosines.shape[1])][:, None]
    weights = np.where(cosines >= floor, np.exp((cosines - cosines.max(axis=1, keepdims=True)) / _SHARP), 0)
    return _likelihood(bags[rows], weights, bags[train])


def _mechanism(
    bags: Array, asked: Any, held: Holdings, train: Any, rows: Any, candidates: Any
) -> tuple[Array, Array]:
    """What the mechanism would say of each clause and title, learned from others' requests and bodies."""
    vectors, whose, written = held.chunks
    chunks = np.flatnonzero(np.isin(whose, candidates) & ~written)
    cosines = vectors[chunks] @ asked[train].T
    weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / _SHARP)
    said = _likelihood(bags[rows], weights, bags[train])  # (rows, chunks)
    owners = whose[chunks]
    top = said.max(axis=1, keepdims=True)
    mean = [top[:, 0] + np.log(np.exp(said[:, owners == c] - top).mean(axis=1)) for c in candidates]
    best = [said[:, owners == c].max(axis=1) for c in candidates]
    return np.stack(mean, axis=1), np.stack(best, axis=1)


def _likelihood(bags: Array, weights: Any, known: Array) -> Array:
    """(rows, sources) log of p(words | a weighted mean of known bodies) over p(words | all of them)."""
    usual = known.mean(axis=0)
    met = usual > 0  # a word that no training body holds says nothing
    weights = weights / weights.sum(axis=1, keepdims=True)
    heard = 1 / (weights**2).sum(axis=1, keepdims=True)  # how many bodies really count
    mixed = (heard * (weights @ known[:, met]) + _BACKGROUND * usual[met]) / (heard + _BACKGROUND)
    likelihood: Array = bags[:, met] @ np.log(mixed / usual[met]).T
    return likelihood


def _unit(rows: Any) -> Any:
    """Rows of unit length; what is nothing but rounding becomes nothing."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > _NOISE, rows / np.maximum(length, _NOISE), 0)
