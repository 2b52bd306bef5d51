"""What must hold for the writing prompt, without a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.writer.parts import Prompt
from cogenesis_langchain.writer.prompt import PROMPT_FILE, TEMPLATE_ROOM, shorten, writing_prompt

# Fictional.
PROFILE = ["Name: Ada Quill", "Lives in Larkmere"]
WRITINGS = [
    ("A mail", "Hello you, the reeds came today. " * 12),
    ("", "Thanks for the jam. " * 30),
    ("An invitation", "See you on Thursday. " * 5),
]
OTHER = ["Calendar: Saturday, supper in the garden"]


def words(text: str) -> int:
    """One token a word, a separator or mark included."""
    return len(text.split())


def make(sketch: str | None, budget: int = 600, instruction: str = "Write to {text} and [plain]\n") -> Prompt:
    """The prompt of the fictional person."""
    return writing_prompt(PROFILE, WRITINGS, OTHER, instruction, sketch, budget, words)


def flat(prompt: Prompt) -> list[str]:
    """All parts in order."""
    return [part for turn in prompt for part in turn.parts]


def test_only_the_last_part_depends_on_the_sketch() -> None:
    """With a sketch, with an empty one and without one, everything before the last part is the same."""
    with_sketch, empty, without = flat(make("1. Greet\n2. Say when")), flat(make("")), flat(make(None))
    assert with_sketch[:-1] == empty[:-1] == without[:-1]
    assert empty[-1] == without[-1]
    assert "1. Greet\n2. Say when" in with_sketch[-1]
    assert "Hints" not in without[-1]
    assert "Hints" in with_sketch[-1]


def test_stable_context_comes_before_the_request() -> None:
    """Profile, writings and notes come before the instruction: they are read once for many requests."""
    parts = flat(make(None))
    order = [
        next(i for i, part in enumerate(parts) if needle in part)
        for needle in ("Ada Quill", "reeds", "Calendar", "Write to")
    ]
    assert order == sorted(order)


def test_slots_in_the_text_stay_text() -> None:
    """A request that imitates our slots and section marks is put in once, as it is."""
    parts = flat(make("{text}"))
    assert any("Write to {text} and [plain]\n" in part for part in parts)
    assert parts[-1].count("{text}") == 1


@given(st.integers(0, 900))
def test_everything_before_the_sketch_fits_the_budget(budget: int) -> None:
    """Context is clipped to the budget; what cannot fit at all is an InputError that names the numbers."""
    frames = dict(sections(PROMPT_FILE))
    asked = frames["instruction"].replace("{text}", "Write to {text} and [plain]\n")
    if budget < words(frames["system"]) + words(asked) + TEMPLATE_ROOM:
        with pytest.raises(InputError, match=rf"room for {budget};.*n_ctx"):
            make("1. Greet", budget)
        return
    parts = flat(make("1. Greet", budget))
    assert sum(words(part) for part in parts[:-1]) + TEMPLATE_ROOM <= budget
    assert any("Write to" in part for part in parts)


def test_one_long_writing_does_not_keep_out_the_others() -> None:
    """Several past texts are shown, the long ones shortened."""
    text = "\n".join(flat(make(None, 500)))
    assert "reeds" in text
    assert "jam" in text


def test_past_texts_are_earlier_answers() -> None:
    """Each is an assistant turn after a request with its title, or a neutral one."""
    turns = make(None, 900)
    assert [turn.role for turn in turns] == ["system", *["user", "assistant"] * 3, "user"]
    assert "A mail" in turns[1].parts[0]
    assert turns[2].parts[0].startswith("Hello you")
    assert turns[3].parts[0].endswith("a text of mine")


def test_a_long_instruction_is_never_shortened() -> None:
    """The error says how long the request is; its words are not in it."""
    with pytest.raises(InputError, match="takes 50") as caught:
        make(None, 400, instruction="zebra " * 5000)
    assert "zebra" not in str(caught.value)


def test_empty_sections_leave_no_headings() -> None:
    """Without context there is only the request."""
    parts = flat(writing_prompt([], [], [""], "Write a poem", None, 400, words))
    assert len(parts) == 3
    assert "About the person" not in "".join(parts)


@given(st.text(max_size=300), st.integers(0, 40))
def test_shorten_keeps_a_beginning(text: str, room: int) -> None:
    """Never longer than asked, always a beginning (and a mark that something is missing)."""
    short = shorten(text, room, words)
    assert words(short) <= room or not short
    assert text.startswith(short.removesuffix(" …"))
