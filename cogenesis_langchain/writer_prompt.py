"""The prompt with which the local model writes: what never changes first, the sketch last. Pure.

Everything before the last part is the same with a sketch, with an empty one and without one, so the model
can read it while the cloud drafts, and need not read it again for the next request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.writer_parts import Prompt, Turn

PROMPT_FILE = "write.v1.txt"
TEMPLATE_ROOM = 48  # tokens that a chat template adds at most around two turns and before the answer
LEAST = 40  # a piece of context with less room than this many tokens is left out
CUT = " …"

Count = Callable[[str], int]


def writing_prompt(
    profile: Sequence[str],
    writings: Sequence[str],
    other: Sequence[str],
    instruction: str,
    sketch: str | None,
    budget_tokens: int,
    count: Count,
) -> Prompt:
    """System turn and user turn; the last part of the user turn holds the sketch, or asks without one.

    Args:
        profile: what the person says about themselves; half of the room for context at most.
        writings: past texts, most relevant first; two thirds of what the profile leaves.
        other: device records, notes, earlier turns, most relevant first; the rest.
        instruction: the request, never shortened.
        sketch: the outline as text; None and "" mean there is none.
        budget_tokens: room for everything before the last part.
        count: tokens of a text, as the writer counts them.

    Raises:
        InputError: the instruction alone does not fit; the message names both numbers.
    """
    frames = _frames()
    request = frames["instruction"].replace("{text}", instruction)
    fixed = count(frames["system"]) + count(request) + TEMPLATE_ROOM
    if fixed > budget_tokens:
        raise InputError(
            f"the request takes {fixed} tokens and the local model has room for {max(budget_tokens, 0)}; "
            "shorten it, or raise models.local.n_ctx"
        )
    left = budget_tokens - fixed
    parts: dict[str, str] = {}
    for name, items, share in (
        ("profile", profile, 1 / 2),
        ("writings", writings, 2 / 3),
        ("other", other, 1),
    ):
        separator = "\n---\n" if name == "writings" else "\n"
        part = _section(frames[name], items, separator, int(left * share), count)
        left -= count(part)
        parts[name] = part
    last = frames["sketch"].replace("{text}", sketch) if sketch else frames["plain"]
    # Past texts stand with the system's words, as examples. In the person's own turn, small models copy them.
    system = tuple(part for part in (frames["system"], parts["profile"], parts["writings"]) if part)
    user = tuple(part for part in (parts["other"], request, last) if part)
    return Turn("system", system), Turn("user", user)


def _section(frame: str, items: Iterable[str], separator: str, room: int, count: Count) -> str:
    """One section of context within `room` tokens; "" where nothing fits."""
    text = ""
    for item in items:
        free = room - count(frame.replace("{text}", text + separator))
        if free < LEAST:
            break
        # Half of what is free, so that one long text does not keep out all the others.
        clipped = shorten(item.strip(), max(free // 2, LEAST), count) if separator != "\n" else item.strip()
        clipped = shorten(clipped, free, count)
        if clipped:
            text += separator + clipped if text else clipped
    return frame.replace("{text}", text) if text else ""


def shorten(text: str, max_tokens: int, count: Count) -> str:
    """`text`, or its beginning up to the end of a word, in at most `max_tokens` tokens."""
    kept, marked, tokens = text, text, count(text)
    while tokens > max_tokens and kept:
        size = min(len(kept) - 1, int(len(kept) * max_tokens / tokens))
        kept = kept[: max(size, 0)]
        kept = kept.rsplit(maxsplit=1)[0] if len(kept.split(maxsplit=1)) > 1 else kept
        marked = kept + CUT if kept else ""
        tokens = count(marked)
    return marked


@cache
def _frames() -> dict[str, str]:
    """The sections of the prompt file by name, as they stand there; each holds at most one `{text}`."""
    text = files("cogenesis_langchain").joinpath("prompts", PROMPT_FILE).read_text(encoding="utf-8")
    _, *pieces = re.split(r"^\[(\w+)\]\n", text, flags=re.MULTILINE)
    frames = dict(zip(pieces[::2], pieces[1::2], strict=True))
    return frames | {name: frames[name].rstrip("\n") for name in ("system", "sketch", "plain")}
