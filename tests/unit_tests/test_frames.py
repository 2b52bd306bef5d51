"""Prompts that go to a cloud are pinned by hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cogenesis_langchain.gate import frames
from cogenesis_langchain.sketch import frame_texts
from cogenesis_langchain.types import Sendable


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("prompt", ["sketch.v1.txt", "draft.v1.txt", "probe.v1.txt", "mask.v2.txt"])
def test_pins_match_the_prompts(prompt: str) -> None:
    """A prompt that changes fails here until somebody has read it and pinned it anew."""
    missing = [f'        "{_sha256(text)}",  # {prompt}' for text in frames.pieces(prompt)]
    missing = [line for line in missing if line.split('"')[1] not in frames.FRAMES]
    assert not missing, "a prompt changed; read it, then put this into FRAMES of frames.py:\n" + "\n".join(
        missing
    )


def test_sketch_parts_are_the_pinned_pieces() -> None:
    """What `sketch` sends as frame is cut the way `frames` cuts it."""
    assert frames.pieces("sketch.v1.txt") == frame_texts()


def test_no_pin_is_stale() -> None:
    """A pin without a prompt would let a withdrawn text pass as ours."""
    prompts = Path(frames.__file__).parents[1] / "prompts"
    now = {_sha256(text) for file in prompts.glob("*.txt") for text in frames.pieces(file.name)}
    assert now >= frames.FRAMES


def test_unpinned_text_is_no_frame() -> None:
    """One changed character makes a frame ordinary text."""
    text = frame_texts()[0]
    assert frames.is_frame(text)
    assert not frames.is_frame(text + " ")


def test_blanking_keeps_offsets() -> None:
    """What remains for the detector stands where it stood."""
    frame = max(frame_texts(), key=len)
    text = f"{frame}Ann Example{frame}"
    rest = frames.without_frames(text)
    assert rest.strip() == "Ann Example"
    assert rest.index("Ann") == text.index("Ann Example")
    assert len(rest) == len(text)


def test_short_pieces_are_never_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pinned full stop must not break up a mail address before the detector sees it."""
    dot = hashlib.sha256(b".").hexdigest()
    monkeypatch.setattr(frames, "FRAMES", frames.FRAMES | {dot})
    frames._texts.cache_clear()
    try:
        assert frames.without_frames("ann@tidewell.example") == "ann@tidewell.example"
    finally:
        frames._texts.cache_clear()


def test_frames_are_sendable_by_origin() -> None:
    """The sketch prompt's parts are frames and nothing else but the task."""
    from cogenesis_langchain.sketch import sketch_messages

    parts = [part for message in sketch_messages(Sendable("TASK", "generalize")) for part in message.parts]
    assert all(frames.is_frame(part.text) for part in parts if part.origin == "frame")
    assert [part.text for part in parts if part.origin != "frame"] == ["TASK"]
