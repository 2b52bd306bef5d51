"""The prompt with which the local model writes: what never changes first, the sketch last. Pure.

Everything before the last part is the same with a sketch, with an empty one and without one, so the model
can read it while the cloud drafts, and need not read it again for the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.writer.parts import Prompt, Turn

PROMPT_FILE = "write.v1.txt"
TEMPLATE_ROOM = 48  # tokens that a chat template adds at most around two turns and before the answer
EXAMPLE_ROOM = 16  # the same around the two turns of a past text
LEAST = 40  # a piece of context with less room than this many tokens is left out
CUT = " …"

Count = Callable[[str], int]


def writing_prompt(
    profile: Sequence[str],
    writings: Sequence[tuple[str, str]],
    other: Sequence[str],
    instruction: str,
    sketch: str | None,
    budget_tokens: int,
    count: Count,
) -> Prompt:
    """A conversation in which the past texts are earlier answers; the last part holds the sketch, if any.

    Small models take the voice of answers they seem to have given, and the shape of them too: described as
    examples in one turn, they copied sentences or worked through the outline as headings.

    Args:
        profile: what the person says about themselves; half of the room for context at most.
        writings: (title, text) of past texts, most relevant last; two thirds of what the profile leaves.
        other: device records, notes, earlier turns, most relevant first; the rest.
        instruction: the request, never shortened.
        sketch: the outline as text; None and "" mean there is none.
        budget_tokens: room for everything before the last part.
        count: tokens of a text, as the writer counts them.

    Raises:
        InputError: the instruction alone does not fit; the message names both numbers.
    """
    frames = dict(sections(PROMPT_FILE))
    request = frames["instruction"].replace("{text}", instruction) + "\n\n"
    fixed = count(frames["system"]) + count(request) + TEMPLATE_ROOM
    if fixed > budget_tokens:
        raise InputError(
            f"the request takes {fixed} tokens and the local model has room for {max(budget_tokens, 0)}; "
            "shorten it, or raise models.local.n_ctx"
        )
    left = budget_tokens - fixed
    about = _section("\n\n" + frames["profile"], profile, left // 2, count)
    left -= count(about)
    examples, used = _examples(frames, writings, left * 2 // 3, count)
    notes = _section(frames["other"] + "\n\n", other, left - used, count)
    last = frames["sketch"].replace("{text}", sketch) if sketch else frames["plain"]
    user = tuple(part for part in (notes, request, last) if part)
    system = (frames["system"], about) if about else (frames["system"],)
    return Turn("system", system), *examples, Turn("user", user)


def _examples(
    frames: dict[str, str], writings: Sequence[tuple[str, str]], room: int, count: Count
) -> tuple[list[Turn], int]:
    """Past texts as (request, answer) turns, each with its share of the room; and the tokens they take."""
    turns: list[Turn] = []
    used = 0
    for number, (title, text) in enumerate(writings):
        asked = frames["example"].replace("{text}", title.strip() or frames["untitled"])
        share = (room - used) // (len(writings) - number) - count(asked) - EXAMPLE_ROOM
        answer = shorten(text.strip(), share, count) if share >= LEAST else ""
        if answer:
            turns += [Turn("user", (asked,)), Turn("assistant", (answer,))]
            used += count(asked) + count(answer) + EXAMPLE_ROOM
    return turns, used


def _section(frame: str, items: Iterable[str], room: int, count: Count) -> str:
    """One section of context within `room` tokens; "" where nothing fits."""
    text = ""
    for item in items:
        free = room - count(frame.replace("{text}", text + "\n"))
        if free < LEAST:
            break
        if clipped := shorten(item.strip(), free, count):
            text += f"\n{clipped}" if text else clipped
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
