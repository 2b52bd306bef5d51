"""How the page of a trace looks: colours, depth of the tint, and the style sheet. Pure."""

from __future__ import annotations

from collections.abc import Mapping

DEPTH = 0.5
"""Opacity of the tint where the cloud alone decided."""
PALETTE = {
    "light": {
        "paper": "#ffffff", "ink": "#1c2330", "quiet": "#566072", "line": "#c9d0db", "block": "#f3f5f9",
        "fused": "#1f6feb", "cloud": "#c4631a", "mark": "#a3321f",
    },
    "dark": {
        "paper": "#11151c", "ink": "#e6eaf2", "quiet": "#a3aebf", "line": "#3a4456", "block": "#1a202a",
        "fused": "#5a98f0", "cloud": "#d9803f", "mark": "#ff9d85",
    },
}  # fmt: skip
"""Colour scheme -> colours; text on them keeps a contrast of 4.5 (tested)."""

_STYLE = """
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 6rem; background: var(--paper);
  color: var(--ink); font: 16px/1.6 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem }
p { margin: .4rem 0 } ul { margin: .4rem 0; padding-left: 1.2rem }
.quiet, th { color: var(--quiet); font-weight: 400 }
.skip { position: absolute; left: -99rem } .skip:focus { position: static }
.text, .said, pre, .pair span { white-space: pre-wrap }
.text { line-height: 2.1; font-size: 1.05rem }
.block, pre { background: var(--block); border: 1px solid var(--line); border-radius: 6px;
  padding: .8rem 1rem; margin: .5rem 0 }
pre { font: 13px/1.5 ui-monospace, monospace }
.fused, .cloud { padding: .12em 0 .06em; border-bottom: calc(1px + 3px * var(--w)) }
.fused { background: rgb(var(--fused-rgb) / calc(DEPTH * var(--w))); border-bottom-style: dotted;
  border-bottom-color: rgb(var(--fused-rgb)) }
.cloud { background: rgb(var(--cloud-rgb) / calc(DEPTH * var(--w))); border-bottom-style: solid;
  border-bottom-color: rgb(var(--cloud-rgb)) }
.held { border-top: 2px dashed var(--mark) }
[data-tip]:focus { outline: 2px solid var(--ink); outline-offset: 1px }
[data-tip]:hover::after, [data-tip]:focus::after { content: attr(data-tip); position: fixed; left: 0;
  right: 0; bottom: 0; z-index: 1; padding: .6rem 1rem; background: var(--ink); color: var(--paper);
  font: 14px/1.5 system-ui, sans-serif; white-space: pre-wrap; text-align: center }
[data-tip]:hover::after { z-index: 2 }
.pair { display: inline-flex; flex-direction: column; vertical-align: top; margin: 0 1px .5rem 0;
  max-width: 100%; line-height: 1.5; white-space: pre-wrap }
.pair span { min-height: 1.5em } .pair .up { border-top: 1px solid var(--line); color: var(--quiet) }
.pair .up.differs { border-top: 2px solid var(--mark); color: var(--mark); font-weight: 600 }
table { border-collapse: collapse; font-size: 14px; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto } summary { cursor: pointer; margin: .5rem 0 }
.sample { display: inline-block; min-width: 5.5em; padding: 0 .3em }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt } .skip { display: none }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  [data-tip]::after { content: none !important }
  .bodies details::details-content { content-visibility: visible; display: block; height: auto }
  .pair, tr { break-inside: avoid }
}
"""


def style() -> str:
    """The style sheet, with the colours of both schemes; on paper they are the light ones."""
    light, dark = (_colours(PALETTE[name]) for name in ("light", "dark"))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        + _STYLE.replace("DEPTH", str(DEPTH))
    )


def _colours(palette: Mapping[str, str]) -> str:
    plain = [f"--{name}: {colour}" for name, colour in palette.items()]
    mixed = [
        f"--{name}-rgb: {' '.join(map(str, bytes.fromhex(palette[name][1:])))}" for name in ("fused", "cloud")
    ]
    return "; ".join([*plain, *mixed])
