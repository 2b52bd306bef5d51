"""Who decided each token of a fused text, and what the cloud saw: one HTML page. Pure.

The page holds no script and names nothing to load, and its content policy forbids both; all that comes from
a model or a person is escaped. It is readable in light and dark, on paper, by keyboard and without colour.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from cogenesis_langchain.commands.trace_style import style
from cogenesis_langchain.types import TokenTrace

_WORDS = {"local": "the local model alone", "fused": "both models", "cloud": "the cloud's choice"}
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ZWJ = "\u200d"
_SKIN = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_FLAG_LETTERS = frozenset(map(chr, range(0x1F1E6, 0x1F200)))
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(found: Mapping[str, Any], tokens: Sequence[TokenTrace], *, asked: str = "") -> str:
    """The page as one self-contained document.

    `found` is the record of a run (`commands.running.record`): its route, level, `outbound` bodies, receipts
    and warnings are shown. `asked` is the person's request, shown where given. The page holds the text that
    was written: it is as private as that, and belongs into a file of its owner alone.
    """
    live = any(token.shadow is not None for token in tokens)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">',
        f"<title>Who decided each token</title><style>{style()}</style></head><body>",
        *_head(found, tokens, asked),
        *_text(tokens),
        *(_shadow(tokens) if live else ()),
        *_bodies(found),
        *_table(tokens, live),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def counts(tokens: Sequence[TokenTrace]) -> dict[str, float]:
    """Figures under the title: tokens by who decided, mean share of the cloud, and what its shadow got.

    `agreed`: tokens that are what the cloud found likeliest, of those where it was asked. `released`: tokens
    of the shadow; `same` of them are the text's own.
    """
    by = Counter(token.by for token in tokens)
    asked = [token for token in tokens if token.cloud is not None]
    up = [token for token in tokens if token.shadow is not None]
    return {
        "tokens": len(tokens),
        **{name: by[name] for name in ("local", "fused", "cloud")},
        "weight": sum(_weight(token) for token in tokens) / len(tokens) if tokens else 0.0,
        "asked": len(asked),
        "agreed": sum(token.cloud == token.piece for token in asked),
        "held": sum(token.held for token in tokens),
        "released": len(up),
        "same": sum(token.shadow == token.piece for token in up),
    }


def _head(found: Mapping[str, Any], tokens: Sequence[TokenTrace], asked: str) -> Iterator[str]:
    number = counts(tokens)
    place = str(found.get("route")) + (f", level {found['level']}" if found.get("level") else "")
    yield '<a class="skip" href="#cloud">Skip to what the cloud saw</a>'
    yield "<h1>Who decided each token</h1>"
    yield f'<p class="quiet">Route {_safe(place)}. This page holds the text itself: '
    yield "it is as private as that.</p>"
    if asked:
        yield f'<p>Asked: <bdi class="asked">{_safe(asked)}</bdi></p>'
    yield "<ul>"
    yield f"<li>{number['tokens']} tokens: {number['local']} by {_WORDS['local']}, {number['fused']} by "
    yield f"{_WORDS['fused']}, {number['cloud']} {_WORDS['cloud']}; the cloud's share is "
    yield f"{number['weight']:.0%} over all.</li>"
    if number["asked"]:
        share = number["agreed"] / number["asked"]
        yield f"<li>Where the cloud's view was at hand ({number['asked']} tokens), {share:.0%} of the tokens "
        yield "are what it found likeliest.</li>"
    if number["released"]:
        share = number["same"] / number["released"]
        yield f"<li>{number['released']} tokens of the shadow were released; {share:.0%} of them are the "
        yield f"text's own. {number['held']} tokens of the text were held back as private.</li>"
    yield "</ul>"
    for warning in found.get("warnings") or ():
        yield f"<p><strong>Note:</strong> {_safe(str(warning))}</p>"


def _text(tokens: Sequence[TokenTrace]) -> Iterator[str]:
    yield "<h2>The text</h2>"
    yield '<p class="quiet">Point at a token, or reach it with the Tab key, to see the share and what the '
    yield "cloud found likeliest. Deeper tint and thicker line: more of the cloud.</p><ul>"
    yield f'<li><span class="sample">plain</span> {_WORDS["local"]}</li>'
    yield f'<li><span class="sample fused" style="--w:.6">dotted line</span> {_WORDS["fused"]}</li>'
    yield f'<li><span class="sample cloud" style="--w:1">full line</span> {_WORDS["cloud"]}</li>'
    if any(token.held for token in tokens):
        yield '<li><span class="sample held">dashes above</span> private: held back from the shadow</li>'
    yield "</ul>"
    spans = "".join(_span(text, group) for text, group in units(tokens))
    yield f'<div class="text block" dir="auto">{spans or "(nothing was written)"}</div>'


def _span(text: str, group: Sequence[TokenTrace]) -> str:
    """One stretch of the text; what the cloud had no part in is plain, so that Tab passes it over."""
    token = max(group, key=_weight)
    names = ([token.by] if token.by != "local" else []) + (["held"] if any(t.held for t in group) else [])
    if not names and all(one.cloud is None for one in group):
        return _safe(text)
    tip = "; ".join(_told(one) for one in group)
    chosen = f' class="{" ".join(names)}"' if names else ""
    depth = f'style="--w:{_weight(token):.2f}"'
    return f'<span{chosen} {depth} tabindex="0" data-tip="{_safe(tip)}">{_safe(text)}</span>'


def _told(token: TokenTrace) -> str:
    """One token in words, for the line that hovering shows."""
    words = f"\u201c{_visible(token.piece)}\u201d: {_WORDS[token.by]}"
    if token.by != "local":
        words += f", cloud's share {_weight(token):.0%}"
    if token.cloud is not None:
        words += f", cloud's likeliest \u201c{_visible(token.cloud)}\u201d"
    return words + (", held back from the shadow" if token.held else "")


def _shadow(tokens: Sequence[TokenTrace]) -> Iterator[str]:
    """The released prefix under the text it stands for, and again as it reads."""
    yield "<h2>The shadow that was released</h2>"
    yield '<p class="quiet">Above: the text, which stayed here. Below: the token that the released '
    yield "prefix got in its place; what differs is bold under a thicker line, and a dash is nothing "
    yield "released. Names and numbers that the detector finds in it go out in general words.</p>"
    told = max(at for at, token in enumerate(tokens, 1) if token.shadow is not None)
    pairs = "".join(_pair(text, group) for text, group in units(tokens[:told]))
    yield f'<div class="block">{pairs}</div>'
    if told < len(tokens):
        yield f'<p class="quiet">After that nothing was released: {len(tokens) - told} of the tokens.</p>'
    whole = b"".join(token.shadow or b"" for token in tokens).decode("utf-8", "replace")
    yield f'<p class="quiet">The shadow as it reads:</p><pre dir="auto">\n{_safe(whole)}</pre>'


def _pair(text: str, group: Sequence[TokenTrace]) -> str:
    """One stretch of the text over what was released in its place; the lines of the text end here too."""
    up = b"".join(token.shadow or b"" for token in group)
    differs = " differs" if up and up != b"".join(token.piece for token in group) else ""
    held = ' class="held"' if any(token.held for token in group) else ""
    below = _safe(_visible(up)) if up else "&ndash;"
    shown = f'<span{held}>{_safe(_visible(text.encode()))}</span><span class="up{differs}">{below}</span>'
    return f'<span class="pair">{shown}</span>' + "<br>" * ("\n" in text)


def _bodies(found: Mapping[str, Any]) -> Iterator[str]:
    receipts = {one["body_sha256"]: one for one in found.get("receipts") or ()}
    bodies = found.get("outbound") or ()
    yield '<h2 id="cloud">What the cloud saw</h2><div class="bodies">'
    if not bodies:
        yield "<p>Nothing was prepared for a cloud, and nothing was sent.</p>"
    for number, one in enumerate(bodies, 1):
        digest = hashlib.sha256(one["body"].encode("utf-8", "surrogatepass")).hexdigest()
        last = number == len(bodies)
        opened = " open" if last or number <= 2 else ""
        yield f"<details{opened}><summary>Request {number} of {len(bodies)} to {_safe(one['endpoint'])}: "
        yield f"{_safe(_fate(receipts.get(digest)))}</summary>"
        if last:
            yield from _readable(one["body"])
        yield f'<p class="quiet">Its exact bytes, SHA-256 {digest}:</p>'
        yield f"<pre>\n{_safe(one['body'])}</pre></details>"
    yield "</div>"


def _fate(receipt: Mapping[str, Any] | None) -> str:
    if receipt is None:
        return "prepared; no receipt says that it left"
    bits = receipt["bits"]
    told = "tells no bounded number of bits" if bits is None else f"tells at most {bits:.1f} bits"
    return f"{receipt['status']}, {told}"


def _readable(body: str) -> Iterator[str]:
    """The messages of a body one by one; nothing where it has none."""
    try:
        said = json.loads(body)["messages"]
        pairs = [(str(one["role"]), one["content"]) for one in said if isinstance(one["content"], str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    for role, text in pairs:
        yield f'<p class="quiet">{_safe(role)}</p><div class="block said" dir="auto">{_safe(text)}</div>'


def _table(tokens: Sequence[TokenTrace], live: bool) -> Iterator[str]:
    """Every token in a row, for those who read no colours and for copying."""
    yield f"<h2>Token by token</h2><details><summary>All {len(tokens)} tokens as a table</summary>"
    yield '<div class="scroll"><table><thead><tr>'
    names = ["#", "token", "decided by", "cloud's share", "cloud's likeliest"]
    yield "".join(f'<th scope="col">{name}</th>' for name in names + ["released"] * live)
    yield "</tr></thead><tbody>"
    for number, token in enumerate(tokens, 1):
        by = _WORDS[token.by] + (", held back" if token.held else "")
        share = "" if token.by == "local" else f"{_weight(token):.0%}"
        others = [token.cloud, token.shadow][: 1 + live]
        cells = [_visible(token.piece), by, share, *("" if one is None else _visible(one) for one in others)]
        row = "".join(f"<td>{_safe(cell)}</td>" for cell in cells)
        yield f'<tr><td class="number">{number}</td>{row}</tr>'
    yield "</tbody></table></div></details>"


def units(tokens: Iterable[TokenTrace]) -> Iterator[tuple[str, tuple[TokenTrace, ...]]]:
    """(text, its tokens): tokens are joined until they end on a whole character as a reader sees it.

    Bytes that are no UTF-8 come out as replacement characters.
    """
    text = ""
    group: tuple[TokenTrace, ...] = ()
    for more, added in _whole(tokens):
        if group and not _goes_on(text, more):
            yield text, group
            text, group = "", ()
        text, group = text + more, (*group, *added)
    if group:
        yield text, group


def _whole(tokens: Iterable[TokenTrace]) -> Iterator[tuple[str, tuple[TokenTrace, ...]]]:
    """The same by code points: a token that ends inside one is joined with the next."""
    decoder = getincrementaldecoder("utf-8")("replace")
    text = ""
    group: tuple[TokenTrace, ...] = ()
    for token in tokens:
        text, group = text + decoder.decode(token.piece), (*group, token)
        if not decoder.getstate()[0]:
            yield text, group
            text, group = "", ()
    if group:
        yield text + decoder.decode(b"", True), group


def _goes_on(before: str, after: str) -> bool:
    """Whether `after` begins with what belongs to the character that `before` ends with."""
    if not before or not after:
        return True
    flags = [c in _FLAG_LETTERS for c in (before[-2:-1] or " ") + before[-1] + after[0]]
    return (
        before[-1] == _ZWJ
        or after[0] == _ZWJ
        or after[0] in _SKIN
        or unicodedata.category(after[0]).startswith("M")
        or flags == [False, True, True]
    )


def _weight(token: TokenTrace) -> float:
    """Between 0 and 1, whatever a combiner said; 0 for what the local model decided alone."""
    if token.by == "local" or not math.isfinite(token.weight):
        return 0.0
    return min(max(token.weight, 0.0), 1.0)


def _visible(piece: bytes) -> str:
    """A token in one line: line breaks and lone spaces are drawn, half characters named by their bytes."""
    text = piece.decode("utf-8", "backslashreplace")
    drawn = text.replace("\r\n", "\u23ce").replace("\n", "\u23ce").replace("\t", "\u21e5")
    return drawn if drawn.strip(" ") else "\u2423" * len(drawn)


def _safe(text: str) -> str:
    """Escaped for HTML; what would steer the reader's screen (controls, turns of direction) by its number."""
    lines = text.replace("\r\n", "\n")
    return escape("".join(f"[U+{ord(c):04X}]" if _steers(c) else c for c in lines))


def _steers(letter: str) -> bool:
    return letter in _BIDI or (unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t")
