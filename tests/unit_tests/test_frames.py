"""Prompts that go to a cloud are pinned by hash."""

from __future__ import annotations

import hashlib

import pytest

from cogenesis_langchain import frames
from cogenesis_langchain.sketch import frame_texts
from cogenesis_langchain.types import Sendable


def test_pins_match_the_prompts() -> None:
    """A prompt that changes fails here until somebody has read it and pinned it anew."""
    pieces = {hashlib.sha256(text.encode()).hexdigest(): text for text in frame_texts()}
    missing = "\n".join(f'        "{sha256}",' for sha256 in pieces if sha256 not in frames.FRAMES)
    assert not missing, (
        f"a sketch prompt changed; read it, then put these into FRAMES of frames.py:\n{missing}"
    )


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

    parts = [part for _, parts in sketch_messages(Sendable("TASK", "generalize")) for part in parts]
    assert all(frames.is_frame(part.text) for part in parts if part.origin == "frame")
    assert [part.text for part in parts if part.origin != "frame"] == ["TASK"]
