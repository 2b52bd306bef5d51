"""What of a known value still stands in a masked text."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from cogenesis_langchain.gate.remains import remains
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.store import MemoryStore
from cogenesis_langchain.testing import FakeDetector, RecordingCloud
from cogenesis_langchain.types import ContextItem, KnownValue
from tests.conftest import INSTRUCTION, USER, routed

PHRASE = KnownValue("a three-legged heron named after the dentist", "PHRASE", "phrase")
NAME = KnownValue("Quillon Vexmoor", "PERSON", "declared")
PIANO = KnownValue("the green piano that we sank", "PHRASE", "phrase")
KNOWN = KnownValues([PHRASE, NAME, PIANO])
BLOB = base64.b64encode(NAME.value.encode()).decode()


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("nothing here", "nothing here", False),
        (f"see {PHRASE.value}.", f"see {PHRASE.value}.", True),
        (f"see {PHRASE.value}.", "see [[X1]].", False),
        (f"see {PHRASE.value}.", "see a three-legged heron named after the [[O1]].", True),
        (f"see {PHRASE.value.upper()}.", "see A THREE-LEGGED [[O1]].", True),
        (f"the heron saw {PHRASE.value}.", "the heron saw [[X1]].", False),
        (f"by {NAME.value}", "by Quillon [[P1]]", True),
        (f"see {PHRASE.value}.", "see a [[X1]] after the [[O1]].", False),
        ("the green piano that we sank", "the green piano that [[P1]]", True),
        (f"by {BLOB} now", f"by {BLOB[:9]}[[P1]] now", True),
        (f"by {BLOB} now", "by [[P1]] now", False),
    ],
)
def test_a_piece_of_a_known_value_counts(before: str, after: str, left: bool) -> None:
    """The whole, a rare word or its piece, most of the words; not a few common ones, nor those elsewhere."""
    assert remains(KNOWN, before, after) is left


@pytest.mark.parametrize("said", ["the dentist", "another dentist"])
def test_a_half_masked_phrase_keeps_the_request_here(
    make_engine: Any, cloud: RecordingCloud, said: str
) -> None:
    """In a text of others the detector takes a part of a known phrase: the rest must not leave."""
    detector = FakeDetector(patterns={"ORGANIZATION": "dentist"})
    store = MemoryStore([ContextItem("note", "x")], values_of=lambda _: [PHRASE], user=USER)
    engine = make_engine({"detector": detector, "store": store}, routing=routed("mask"))
    text = PHRASE.value if said == "the dentist" else f"a heron and {said}"
    said_by_others = ToolMessage(text, tool_call_id="1")
    found = create_privacy_router(engine=engine, user_id=USER).invoke(
        [HumanMessage(INSTRUCTION), said_by_others]
    )
    assert (found["route"] == "local") == (said == "the dentist")
    assert b"three-legged" not in cloud.raw
    assert bool(cloud.requests) == (said != "the dentist")


def test_a_value_cut_over_two_messages_leaves_no_half(make_engine: Any, cloud: RecordingCloud) -> None:
    """The detector masks the half in one message; the half in the other is no known value alone."""
    company = KnownValue("Quarrelyn Bakehouse", "ORGANIZATION", "declared")
    store = MemoryStore([ContextItem("note", "x")], values_of=lambda _: [company], user=USER)
    rooms = {"detector": FakeDetector(patterns={"ORGANIZATION": "Quarrelyn"}), "store": store}
    router = create_privacy_router(engine=make_engine(rooms, routing=routed("mask")), user_id=USER)
    found = router.invoke(
        [HumanMessage(INSTRUCTION), AIMessage("It was Quarrelyn"), HumanMessage("Bakehouse")]
    )
    assert (found["route"], cloud.requests) == ("local", [])
    assert router.invoke([HumanMessage(INSTRUCTION), HumanMessage("at a bakehouse")])["route"] == "mask"
