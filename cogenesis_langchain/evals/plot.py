"""Privacy against usefulness in one picture: SVG without scripts, fonts or links, light and dark. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 60, 70
_LABEL = 15  # pixels between a point and its name
_STYLE = """
  svg { background: #ffffff; color: #1c2330; font: 13px system-ui, sans-serif }
  .grid { stroke: #d9dee7 } .line { stroke: #8792a5 } .quiet { fill: #5d6878 }
  .ours { fill: #1f6feb } .other { fill: #b3541e } text { fill: currentColor }
  @media (prefers-color-scheme: dark) {
    svg { background: #11151c; color: #e6eaf2 }
    .grid { stroke: #2a3240 } .line { stroke: #6b778c } .quiet { fill: #9aa6b8 }
    .ours { fill: #6aa8ff } .other { fill: #f0945c }
  }
"""
_OURS = ("mask", "free", "topic", "kind")


def draw(found: Mapping[str, Any]) -> str:
    """The record of `cogenesis eval linkage --json` as SVG: the fewest requests that were attacked together.

    Right: what is told is nearer to the request. Up: the worst attacker names the right person more often.
    A larger point took the local model longer. Methods that sent nothing are not drawn.
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
        *_axes(float(found["chance"])),
        *_marks(points),
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


def _marks(points: Sequence[tuple[str, float, float, float]]) -> list[str]:
    parts, taken = [], list[tuple[float, float]]()
    for name, similarity, top1, seconds in points:
        x, y, radius = _x(similarity), _y(top1), _radius(seconds)
        kind = "ours" if name in _OURS else "other"
        parts.append(
            f'<circle class="{kind}" cx="{x}" cy="{y}" r="{radius}"><title>{escape(name)}: similarity '
            f"{similarity:.2f}, found {top1:.1%}, {seconds:.1f} s of the local model</title></circle>"
        )
        place = (x - radius - 4, y - 6)
        while any(abs(place[0] - a) < 4 * _LABEL and abs(place[1] - b) < _LABEL for a, b in taken):
            place = (place[0], place[1] + _LABEL)
        taken.append(place)
        parts.append(
            f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="end">{escape(name)} {top1:.1%}</text>'
        )
    return parts


def _radius(seconds: float) -> float:
    """Area grows with time; what needs no model still is a point."""
    return round(4 + 4 * math.sqrt(max(seconds, 0.0)), 1)


def _x(share: float) -> float:
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
