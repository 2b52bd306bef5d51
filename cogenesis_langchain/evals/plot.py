"""Privacy against usefulness in one picture: SVG without scripts, fonts or links, light and dark. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 80, 70
_HEAD = 50  # pixels above which only the title stands
_LABEL, _CHAR = 17, 7.6  # height of a name, and width of a letter at most, in pixels
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
_Box = tuple[float, float, float, float]  # left, top, right, bottom
_STYLE = """
  svg { background: #ffffff; color: #1c2330; font: 13px system-ui, sans-serif }
  .grid { stroke: #d9dee7 } .line { stroke: #8792a5 } .quiet { fill: #5d6878 }
  .paper { fill: #ffffff } .ours, .other { stroke: #ffffff }
  .ours { fill: #1f6feb } .other { fill: #b3541e } text { fill: currentColor }
  @media (prefers-color-scheme: dark) {
    svg { background: #11151c; color: #e6eaf2 }
    .grid { stroke: #2a3240 } .line { stroke: #6b778c } .quiet { fill: #9aa6b8 }
    .paper { fill: #11151c } .ours, .other { stroke: #11151c }
    .ours { fill: #6aa8ff } .other { fill: #f0945c }
  }
"""
_OURS = ("mask", "free", "topic", "kind")


def draw(found: Mapping[str, Any]) -> str:
    """The record of `cogenesis eval linkage --json` as SVG: the fewest requests that were attacked together.

    Right: what is told is nearer to the request. Up: the worst attacker names the right person more often.
    A larger point took the local model longer; a square is no route of this router. Methods that sent
    nothing are not drawn.
    """
    points = _points(found["methods"])
    pool = min((one["requests"] for row in found["methods"] for one in row["linkage"]), default=1)
    title = "one request" if pool == 1 else f"up to {pool} requests of a person"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>How often what leaves tells {found['persons']} persons apart, and what it is worth</title>",
        f"<style>{_STYLE}</style>",
        f'<text x="{_LEFT}" y="24" font-weight="600">Whose request was it? {escape(title)}, '
        f"{found['persons']} persons</text>",
        f'<text x="{_LEFT}" y="42" class="quiet">right: closer to the request; down: more private; '
        "larger: more work for the local model</text>",
        *_legend(),
        *_axes(float(found["chance"])),
        *_marks(points, [_chance(float(found["chance"]))]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _points(methods: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float, float]]:
    """(method, similarity, top-1 of the worst attacker, seconds) of each method that sent something."""
    return [
        (row["method"], row["similarity"], row["linkage"][0]["worst"]["top1"], row["seconds"])
        for row in methods
        if row["linkage"] and row["linkage"][0]["worst"] and row["similarity"] is not None
    ]


def _chance(chance: float) -> _Box:
    """Where the words about chance stand."""
    return _LEFT, _y(chance) - _LABEL, _LEFT + 110, _y(chance)


def _axes(chance: float) -> list[str]:
    parts = []
    for tenth in range(0, 11, 2):
        share = tenth / 10
        x, y = _x(share), _y(share)
        parts += [
            f'<line class="grid" x1="{_x(0)}" y1="{y}" x2="{_x(1)}" y2="{y}"/>',
            f'<text class="quiet" x="{_x(0) - 10}" y="{y + 4}" text-anchor="end">{share:.0%}</text>',
            f'<text class="quiet" x="{x}" y="{_y(0) + 20}" text-anchor="middle">{share:.1f}</text>',
        ]
    y = _y(chance)
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    return [
        *parts,
        f'<line class="line" stroke-dasharray="4 4" x1="{_x(0)}" y1="{y}" x2="{_x(1)}" y2="{y}"/>',
        f'<text class="quiet" x="{_x(0) + 6}" y="{y - 5}">chance {chance:.1%}</text>',
        f'<text x="{_x(0.5)}" y="{HEIGHT - 22}" text-anchor="middle">similarity of what is told and what was '
        "asked (MiniLM cosine)</text>",
        f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">right person '
        "found (worst attacker)</text>",
    ]


def _marks(points: Sequence[tuple[str, float, float, float]], taken: list[_Box]) -> list[str]:
    """Each point with its name beside it; `taken` is where no name may stand."""
    discs = [(_x(similarity), _y(top1), _radius(seconds)) for _, similarity, top1, seconds in points]
    boxes = [*taken, *((x - r, y - r, x + r, y + r) for x, y, r in discs)]
    lines, parts = [], []
    for (name, similarity, top1, seconds), disc in zip(points, discs, strict=True):
        label = f"{name} {top1:.1%}"
        half = len(label) * _CHAR / 2
        x, y = _free(half, disc, boxes)
        box = _around(x, y, half)
        boxes.append(box)
        lines.append(f'<line class="line" x1="{disc[0]}" y1="{disc[1]}" x2="{x:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<g class="point"><title>{escape(name)}: similarity {similarity:.2f}, found {top1:.1%}, '
            f'{seconds:.1f} s of the local model</title><rect class="paper" x="{box[0]:.1f}" '
            f'y="{box[1]:.1f}" width="{2 * half:.1f}" height="{_LABEL}"/>{_shape(name in _OURS, *disc)}'
            f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(label)}</text></g>'
        )
    return [*lines, *parts]


def _free(half: float, disc: tuple[float, float, float], boxes: Sequence[_Box]) -> tuple[float, float]:
    """The middle of a name, `half` as wide, as near to its point as nothing else stands."""
    x, y, radius = disc
    near = (0.0, 0.0)
    for away in range(0, 200, 8):
        for left, down in _SIDES:
            near = (x + left * (radius + 5 + half + away), y + down * (radius + _LABEL / 2 + 2 + away))
            own = _around(*near, half)
            inside = own[0] > _LEFT and own[2] < WIDTH and own[1] > _HEAD and own[3] < HEIGHT - _BOTTOM
            if inside and not any(_meet(own, box) for box in boxes):
                return near
    return near


def _around(x: float, y: float, half: float) -> _Box:
    return x - half, y - _LABEL / 2, x + half, y + _LABEL / 2


def _meet(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _shape(ours: bool, x: float, y: float, radius: float) -> str:
    """A disc for the router's own methods and a square for the others, so that colour is not needed."""
    if ours:
        return f'<circle class="ours" cx="{x}" cy="{y}" r="{radius}"/>'
    side = round(2 * radius, 1)
    return f'<rect class="other" x="{x - radius:.1f}" y="{y - radius:.1f}" width="{side}" height="{side}"/>'


def _legend() -> list[str]:
    return [
        _shape(True, 500, 20, 5),
        '<text class="quiet" x="510" y="24">this router</text>',
        _shape(False, 594, 20, 5),
        '<text class="quiet" x="604" y="24">compared with</text>',
    ]


def _radius(seconds: float) -> float:
    """Area grows with time, up to about 20 s; what needs no model still is a point."""
    return round(4 + 4 * math.sqrt(min(max(seconds, 0.0), 20.0)), 1)


def _x(share: float) -> float:
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
