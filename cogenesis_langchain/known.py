"""Known values: the strings that must never leave, found in any spelling the canonical form undoes.

This is the guarantee; detectors are only recall. One pass of Aho-Corasick over the squeezed canonical
text, so the time does not grow with the number of values.

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
from typing import Any

from cogenesis_langchain.normalize import Canonical, fold, squeeze, views
from cogenesis_langchain.types import KnownValue, PrivateSpan

SOURCE = "known"

_LONG = 6  # squeezed characters from which a value is found however it is cut into words
_NEAR = 24  # characters of the text between two values that count as standing together
_TITLES = frozenset(
    ["mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam", "lady", "lord", "rev", "hon", "jr", "sr", "md"]
)
_ADDRESS_TYPES = frozenset({"LOCATION", "ADDRESS"})
_NAMED_TYPES = _ADDRESS_TYPES | {"PERSON", "NAME", "ORGANIZATION"}
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_SENTENCE_END = frozenset(".!?:;\n\"'“”‘’([{•-*>#")


@cache
def common_words() -> frozenset[str]:
    """Shipped words, in canonical form, that give nobody away alone."""
    file = resources.files("cogenesis_langchain") / "data" / "common_words.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


@dataclass(frozen=True, slots=True, repr=False)
class _Pattern:
    """One value to look for. `cased`: its own spelling if it is a name with a capital, else ""."""

    type: str
    spaced: str
    squeezed: str
    weak: bool
    cased: str


@dataclass(frozen=True, slots=True)
class _Hit:
    pattern: _Pattern
    start: int
    end: int


class KnownValues:
    """An immutable matcher for one user's values, safe to share between threads.

    `min_length` is in letters and digits; shorter values are weak. `ignore` names values, in any spelling,
    that never count. `values`, `min_length` and `ignore` stay readable, to build a wider matcher from.
    """

    def __init__(
        self, values: Iterable[KnownValue], *, min_length: int = 3, ignore: Iterable[str] = ()
    ) -> None:
        import ahocorasick

        self.values = tuple(values)
        self.min_length = min_length
        self.ignore = tuple(ignore)
        ignored = {squeeze(text) for text in self.ignore}
        patterns: dict[str, _Pattern] = {}
        for value in self.values:
            for part in _with_parts(value):
                pattern = _pattern(part, min_length)
                if pattern is None or pattern.squeezed in ignored:
                    continue
                before = patterns.get(pattern.squeezed)
                if before is None or (before.weak and not pattern.weak):
                    patterns[pattern.squeezed] = pattern
        self._size = len(patterns)
        self._automaton: Any = ahocorasick.Automaton()
        for squeezed, pattern in patterns.items():
            self._automaton.add_word(squeezed, pattern)
        if patterns:
            self._automaton.make_automaton()

    def find(self, text: str, *, message: int = 0) -> list[PrivateSpan]:
        """Where known values stand in `text`: sorted, not overlapping, source "known".

        Offsets are those of `text` itself, whatever spelling was undone to find the value.
        """
        if not self._size:
            return []
        hits = [hit for view in views(text) for hit in self._in_view(view)]
        strong = [h for h in hits if not h.pattern.weak]
        weak = [h for h in hits if h.pattern.weak]
        counted = strong + _in_context(text, weak, strong)
        return merged(
            PrivateSpan(h.pattern.type, h.start, h.end, 0.85 if h.pattern.weak else 1.0, SOURCE, message)
            for h in counted
        )

    def hits(self, text: str) -> bool:
        """Whether any known value stands in `text`."""
        return bool(self.find(text))

    def __len__(self) -> int:
        """The number of distinct strings looked for, parts of names and addresses included."""
        return self._size

    def __repr__(self) -> str:
        return f"KnownValues({self._size} values)"

    def _in_view(self, view: Canonical) -> Iterator[_Hit]:
        text = view.text
        squeezed = text.replace(" ", "")
        if not squeezed:
            return
        where = (
            range(len(text)) if len(squeezed) == len(text) else [i for i, c in enumerate(text) if c != " "]
        )
        for last, pattern in self._automaton.iter(squeezed):
            start, end = where[last - len(pattern.squeezed) + 1], where[last] + 1
            if _at_edges(text, start, end) and _same_words(text[start:end], pattern):
                yield _Hit(pattern, *view.span(start, end))


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
    return all(word in common_words() or _is_small_number(word) for word in fold(text).split(" "))


def _is_small_number(word: str) -> bool:
    return word.isdigit() and len(word) <= 3


def _with_parts(value: KnownValue) -> Iterator[KnownValue]:
    """The value, then what gives the same person away: parts of a name, lines of an address."""
    yield value
    kind = value.type.upper()
    if kind == "PERSON" or kind.endswith("NAME"):
        parts = [p for p in re.split(r"[\s,]+", value.value) if p[:1].isupper() and fold(p) not in _TITLES]
    elif kind in _ADDRESS_TYPES:
        parts = [p.strip() for p in re.split(r"[,;\n]", value.value)]
    else:
        return
    if len(parts) > 1:
        yield from (KnownValue(part, value.type, "field") for part in parts if part)


def _pattern(value: KnownValue, min_length: int) -> _Pattern | None:
    """What to look for; None where a value has less than two letters or digits."""
    spaced = fold(value.value)
    squeezed = spaced.replace(" ", "")
    # One character of a script written without spaces says about as much as two letters.
    weight = len(squeezed) + len(_UNSPACED.findall(squeezed))
    if weight < 2:
        return None
    alone = " " not in spaced or len(squeezed) < _LONG
    weak = value.origin != "declared" and (weight < min_length or (alone and is_common(spaced)))
    own = value.value.strip()
    named = value.type.upper() in _NAMED_TYPES and any(c.isupper() for c in own)
    return _Pattern(value.type, spaced, squeezed, weak, own if named else "")


def _at_edges(text: str, start: int, end: int) -> bool:
    """Whether the stretch begins and ends where words do; scripts without spaces have an edge everywhere."""
    before = start == 0 or text[start - 1] == " " or bool(_UNSPACED.match(text[start]))
    after = end == len(text) or text[end] == " " or bool(_UNSPACED.match(text[end - 1]))
    return before and after


def _same_words(found: str, pattern: _Pattern) -> bool:
    """Whether the words of the text are those of the value, joined up, or cut up beyond coincidence."""
    if found == pattern.spaced or " " not in found or len(pattern.squeezed) >= _LONG:
        return True
    return found.count(" ") == len(pattern.squeezed) - 1  # every letter on its own


def _in_context(text: str, weak: Sequence[_Hit], strong: Sequence[_Hit]) -> list[_Hit]:
    """The weak hits that count: beside another value, or spelt like a name inside a sentence."""
    if not weak:
        return []
    ordered = sorted({*weak, *strong}, key=lambda h: (h.start, h.end))
    counted = []
    for i, hit in enumerate(ordered):
        if hit.pattern.weak and (_beside_another(ordered, i) or _spelt_as_name(text, hit)):
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
    if not hit.pattern.cased or text[hit.start : hit.end] != hit.pattern.cased:
        return False
    before = text[max(hit.start - 8, 0) : hit.start].rstrip(" \t")
    return bool(before) and before[-1] not in _SENTENCE_END
