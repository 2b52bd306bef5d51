"""The judge of the leak tests: it must see through every disguise, and see nothing in ordinary text."""

from __future__ import annotations

import json

import pytest

from cogenesis_langchain.evals.disguises import DISGUISES, disguised
from cogenesis_langchain.readings import DEPTH, readings, spelled
from cogenesis_langchain.testing import canaries, leaked

NAME = "Quillon Vexmoor"
PLAIN = "Please write an invitation to the summer party on Saturday; bring boots, and a cake for 12."


@pytest.mark.parametrize("name", DISGUISES)
def test_every_disguise_is_read(name: str) -> None:
    """Inside a body as the cloud gets it, each spelling of a name and of a number is found."""
    for value in (NAME, "+44 7700 900417", "Larkspinner Row"):
        for seed in "abc":
            content = f"Write to {disguised(value, name, seed)} soon."
            assert spelled(json.dumps({"messages": [{"role": "user", "content": content}]}).encode(), [value])


def test_ordinary_text_spells_nothing() -> None:
    """A judge that sees values everywhere would prove nothing."""
    assert spelled(json.dumps({"content": PLAIN * 5}), [known.value for known in canaries()]) == []
    assert leaked(PLAIN) == []


def test_values_cut_over_messages_are_joined() -> None:
    """The contents of two messages are also read as one, without the role that stands between them."""
    said = [{"role": "user", "content": "I am Quillon Vex"}, {"role": "user", "content": "moor, hello"}]
    assert spelled(json.dumps({"messages": said}), [NAME])


def test_decodings_of_decodings_are_undone_and_bounded() -> None:
    """Percent within base64 within JSON is read; a bomb of nested encodings ends."""
    text = disguised(disguised(NAME, "percent"), "base64")
    assert spelled(json.dumps({"a": json.dumps({"b": text})}), [NAME])
    bomb = "%25" * 2000 + "&amp;" * 2000
    assert len(readings(bomb)) <= 400
    assert DEPTH == 4


@pytest.mark.parametrize("form", ["UPPER", "zero-width", "confusables", "base64", "spaced letters"])
def test_leaked_reads_as_closely(form: str) -> None:
    """The helper that users' tests call sees through disguises too."""
    assert leaked(f"so: {disguised(NAME, form)}") == ["PERSON"]
