"""The versioned prompt files in `prompts/`: sections headed `[name]`, with `{slot}` where text goes. Pure."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^\[(\w+)\]\n", re.MULTILINE)


@cache
def sections(name: str) -> tuple[tuple[str, str], ...]:
    """(section name, text without surrounding blank lines) pairs of `prompts/NAME`, in order."""
    text = files("cogenesis_langchain").joinpath("prompts", name).read_text(encoding="utf-8")
    _, *pieces = _HEAD.split(text)
    return tuple((head, body.strip("\n")) for head, body in zip(pieces[::2], pieces[1::2], strict=True))
