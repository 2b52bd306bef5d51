"""Known values: the strings that must never leave, found in any spelling the canonical form undoes.

This is the guarantee; detectors are only recall. One pass of Aho-Corasick over each view of the text
(`normalize.views`), squeezed and with digits taken for the letters that they are written for, so the time
does not grow with the number of values. What the automaton finds is then compared exactly. Long values are
also found with one letter wrong (`typos`).

Values that say nothing alone ("May", "42", "garden") are *weak*: they count when another known value stands
beside them, or when the text spells them with the capitals of a name in the middle of a sentence. What the
user declared always counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import compress

from cogenesis_langchain.known.automaton import finder
from cogenesis_langchain.known.signs import Signs
from cogenesis_langchain.known.spellings import ADDRESS_TYPES, national, spellings
from cogenesis_langchain.known.typos import SHORTEST, NearMisses
from cogenesis_langchain.normalize.canonical import Canonical, fold, squeeze, views
from cogenesis_langchain.normalize.letters import DIGITS, written_for
from cogenesis_langchain.types import KnownValue, PrivateSpan

SOURCE = "known"

_LONG = 6  # squeezed characters from which a value is found however it is cut into words
_DIGITS = 8  # digits from which a value is found inside longer numbers, too
_NEAR = 24  # characters of the text between two values that count as standing together
_NAMED_TYPES = ADDRESS_TYPES | {"PERSON", "NAME", "ORGANIZATION"}
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_SENTENCE_END = frozenset(".!?:;\n\"'“”‘’([{•-*>#")
_APART = re.compile(r"[ \t\u00a0'’]")  # between words, not inside one
_AROUND = 80  # characters of an identifier that are looked at on each side
_IDENTIFIER = re.compile(r"[@/#\\_]|\w\.\w")
_SKELETON = str.maketrans({**DIGITS, "i": "l"})


@cache
def common_words() -> frozenset[str]:
    """Shipped words, in canonical form, that give nobody away alone."""
    file = resources.files("cogenesis_langchain") / "data" / "common_words.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


@dataclass(frozen=True, slots=True, repr=False)
class _Pattern:
    """One spelling to look for. `cased`: as it is written if it is a name with a capital, else ""."""

    type: str
    words: tuple[str, ...]
    squeezed: str
    weak: bool
    cased: str
    number: bool
    digits: int
    near: bool

    @property
    def skeleton(self) -> str:
        return self.squeezed.translate(_SKELETON)


@dataclass(frozen=True, slots=True)
class _Hit:
    pattern: _Pattern
    start: int
    end: int
    score: float
    weak: bool


class KnownValues:
    """An immutable matcher for one user's values, safe to share between threads.

    `min_length` is in letters and digits; shorter values are weak. `ignore` names values, in any spelling,
    that never count. The values of `base`, a matcher by the same rules, count too. All stay readable.
    """

    def __init__(
        self,
        values: Iterable[KnownValue],
        *,
        min_length: int = 3,
        ignore: Iterable[str] = (),
        base: KnownValues | None = None,
    ) -> None:
        values = tuple(values)
        self.values: tuple[KnownValue, ...] = (*(base.values if base else ()), *values)
        self.min_length, self.ignore = min_length, tuple(ignore)
        ignored = {squeeze(text) for text in self.ignore}
        self._spelt: dict[str, _Pattern] = dict(base._spelt) if base else {}
        patterns = self._spelt
        bare = [v for v in self.values if v.origin == "declared" and _weight(squeeze(v.value)) < 2]
        self._signs = Signs(value for value in bare if value.value not in self.ignore)
        for value in values:
            for spelling in spellings(value):
                pattern = _pattern(spelling, min_length)
                if pattern is None or pattern.squeezed in ignored:
                    continue
                before = patterns.get(pattern.squeezed)
                if before is None or (before.weak and not pattern.weak):
                    patterns[pattern.squeezed] = pattern
        self._size = len(patterns) + len(self._signs)
        alike: dict[str, list[_Pattern]] = {}
        for pattern in patterns.values():
            alike.setdefault(pattern.skeleton, []).append(pattern)
        self._patterns = finder(alike)
        self._by_skeleton = {skeleton: same[0] for skeleton, same in alike.items() if same[0].near}
        self._misses = NearMisses(self._by_skeleton)

    def find(self, text: str, *, message: int = 0) -> list[PrivateSpan]:
        """Where known values stand in `text`: sorted, not overlapping, source "known".

        Offsets are those of `text` itself, whatever spelling was undone to find the value.
        """
        if not self._size:
            return []
        hits = [hit for view in views(text) for hit in self._in_view(view, text)]
        strong = [h for h in hits if not h.weak]
        weak = [h for h in hits if h.weak]
        counted = strong + _in_context(text, weak, strong)
        spans = [PrivateSpan(h.pattern.type, h.start, h.end, h.score, SOURCE, message) for h in counted]
        spans += [PrivateSpan(kind, a, b, 1.0, SOURCE, message) for a, b, kind in self._signs.find(text)]
        return merged(spans)

    def hits(self, text: str) -> bool:
        """Whether any known value stands in `text`."""
        return bool(self.find(text))

    def __len__(self) -> int:
        """The number of distinct strings looked for, parts of names and addresses included."""
        return self._size

    def __repr__(self) -> str:
        return f"KnownValues({self._size} values)"

    def _in_view(self, view: Canonical, text: str) -> Iterator[_Hit]:
        squeezed = view.text.replace(" ", "")
        if not squeezed:
            return
        skeleton = squeezed.translate(_SKELETON)
        where: Sequence[int] = range(len(squeezed))
        if len(squeezed) < len(view.text):
            zeros = view.text.replace(" ", "\0").encode("latin-1", "replace")  # a byte a character
            where = list(compress(range(len(zeros)), zeros))
        for last, same in self._patterns(skeleton):
            start, end = where[last - len(same[0].squeezed) + 1], where[last] + 1
            ends = view.ends_word(end)
            for pattern in same:
                whole = ends and view.begins_word(start, pattern.number)
                if whole or pattern.digits >= _DIGITS or _in_identifier(view, text, start, end, pattern):
                    hit = _compared(view, text, start, end, pattern)
                    if hit is not None:
                        yield hit
        yield from self._nearly(view, skeleton, where)

    def _nearly(self, view: Canonical, skeleton: str, where: Sequence[int]) -> Iterator[_Hit]:
        """Long values with one letter wrong: the same first letter, the same number of words or one."""

        def fits(start: int, end: int) -> bool:
            return view.begins_word(where[start]) and view.ends_word(where[end - 1] + 1)

        for first, last, word in self._misses.find(skeleton, fits):
            pattern = self._by_skeleton[word]
            start, end = where[first], where[last - 1] + 1
            words = view.text[start:end].split()
            alike = len(words) in (1, len(pattern.words)) and words[0][0] == pattern.squeezed[0]
            if alike and not all(word in common_words() for word in words):
                yield _Hit(pattern, *view.span(start, end), 0.9, weak=False)


def merged(spans: Iterable[PrivateSpan]) -> list[PrivateSpan]:
    """Sorted and without overlaps: spans that overlap become the one stretch they cover together.

    Nothing that any of them covered is uncovered by this. The longest gives the type; the score is the
    highest; the source is "known" if any of them was, else that of the longest.
    """
    out: list[PrivateSpan] = []
    best: list[PrivateSpan] = []
    for span in sorted(spans, key=lambda s: (s.message, s.start, -s.end)):
        if out and span.message == out[-1].message and span.start < out[-1].end:
            last, lead = out[-1], max(best[-1], span, key=lambda s: (s.end - s.start, s.score))
            best[-1] = lead
            source = SOURCE if SOURCE in (last.source, span.source) else lead.source
            out[-1] = PrivateSpan(
                lead.type,
                last.start,
                max(last.end, span.end),
                max(last.score, span.score),
                source,
                last.message,
            )
        else:
            out.append(span)
            best.append(span)
    return out


def is_common(text: str) -> bool:
    """Whether every word of `text` is a common one (or a number of at most three digits)."""
    words = fold(text).split(" ")
    return all(word in common_words() or (word.isdigit() and len(word) <= 3) for word in words)


def _weight(squeezed: str) -> int:
    """In letters; one character of a script written without spaces says about as much as two."""
    return len(squeezed) + len(_UNSPACED.findall(squeezed))


def _pattern(value: KnownValue, min_length: int) -> _Pattern | None:
    """What to look for; None where a value has less than two letters or digits."""
    words = tuple(fold(value.value).split())
    squeezed = "".join(words)
    weight = _weight(squeezed)
    if weight < 2:
        return None
    alone = len(words) == 1 or len(squeezed) < _LONG
    weak = value.origin != "declared" and (weight < min_length or (alone and is_common(value.value)))
    own = value.value.strip()
    named = value.type.upper() in _NAMED_TYPES and any(c.isupper() for c in own)
    near = not weak and value.origin != "phrase" and squeezed.isalpha() and len(squeezed) >= SHORTEST
    digits = 0 if squeezed.isalpha() else sum(map(str.isdigit, squeezed))
    return _Pattern(
        value.type,
        words,
        squeezed,
        weak,
        own if named else "",
        digits > 0 and bool(national(own)),
        digits,
        near,
    )


def _in_identifier(view: Canonical, text: str, start: int, end: int, pattern: _Pattern) -> bool:
    """Whether this is a rare name glued to other words in a URL, a mail address, a path or a hashtag."""
    if pattern.weak or not pattern.cased or len(pattern.squeezed) <= _LONG:
        return False
    first, last = view.span(start, end)
    before, after = text[max(first - _AROUND, 0) : first], text[last : last + _AROUND]
    left = before.split()[-1] if before[-1:].strip() else ""
    right = after.split()[0] if after[:1].strip() else ""
    return bool(_IDENTIFIER.search((left + text[first:last] + right).rstrip(".,;:!?'\")")))


def _compared(view: Canonical, text: str, start: int, end: int, pattern: _Pattern) -> _Hit | None:
    """The hit, if these are the letters of the value, cut into words by more than coincidence."""
    words = tuple(view.text[start:end].split())
    found = "".join(words)
    if found != pattern.squeezed and not written_for(found, pattern.squeezed):
        return None
    weak = pattern.weak
    span = view.span(start, end)
    joined = len(words) == 1 or words == pattern.words or 3 <= len(words) == len(found)
    joined = joined or bool(_UNSPACED.match(found))
    if not joined:
        if len(found) < _LONG and _APART.search(text, *span):
            return None
        # Everyday words in a row that make up a name: "good man" is Mr Goodman only in context.
        weak = weak or (found.isalpha() and all(word in common_words() for word in words))
    return _Hit(pattern, *span, 0.85 if weak else 1.0, weak)


def _in_context(text: str, weak: Sequence[_Hit], strong: Sequence[_Hit]) -> list[_Hit]:
    """The weak hits that count: beside another value, or spelt like a name inside a sentence."""
    if not weak:
        return []
    ordered = sorted({*weak, *strong}, key=lambda h: (h.start, h.end))
    counted = []
    for i, hit in enumerate(ordered):
        if hit.weak and (_beside_another(ordered, i) or _spelt_as_name(text, hit)):
            counted.append(hit)
    return counted


def _beside_another(ordered: Sequence[_Hit], i: int) -> bool:
    hit = ordered[i]
    for other in (*ordered[max(i - 1, 0) : i], *ordered[i + 1 : i + 2]):
        gap = max(other.start - hit.end, hit.start - other.end)
        if other.pattern is not hit.pattern and 0 <= gap <= _NEAR:
            return True
    return False


def _spelt_as_name(text: str, hit: _Hit) -> bool:
    if not hit.pattern.cased or _bare(text[hit.start : hit.end]) != _bare(hit.pattern.cased):
        return False
    before = text[max(hit.start - 8, 0) : hit.start].rstrip(" \t")
    return bool(before) and before[-1] not in _SENTENCE_END


def _bare(text: str) -> str:
    return "".join(char for char in text if char.isalnum())
