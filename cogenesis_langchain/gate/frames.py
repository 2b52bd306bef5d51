"""Our own prompts that go to a cloud, pinned by hash: text that the detector need not read. Pure.

A prompt that changes is no longer ours until somebody has read it and pinned it anew: until then parts of
it are refused as frames, and the detector reads them like any other text.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from cogenesis_langchain.prompt_files import sections

# SHA-256 of every piece around the slots. tests/unit_tests/test_frames.py prints these lines after a change.
FRAMES: frozenset[str] = frozenset(
    {
        "05eb4e4e1ce5482c2b45877148121314143e90a5819df91f093262b6119d6fa2",  # probe.v1.txt
        "621c8a4298847f59f633adcfcf201afed755298c908cdf18d55e160ed47c0e21",  # probe.v1.txt
        "2f55080437b2c81388b8a4096139d1a2d8814e0da0602650c04b1df254deaf77",  # probe.v1.txt
        "28fe2e74003fe0815e73b090eef84c0480eab61398b4a9a595cfbd564d21f094",  # draft.v1.txt
        "45a308e55b8150281c17612c997eab88a1774539f8b57edeb9be49baff2baf19",  # mask.v2.txt
        "9f5e7ecf5dd83401bc15777a25813fc4a922f391327386a89860b3d4097f5695",  # sketch.v1.txt
        "90cf98ba640d56c0439834e15dccef0a08d9062dc975ce5f735dcfee19ef60ac",  # sketch.v1.txt
    }
)
_MIN_CUT = 20  # shorter pieces stay in: cutting them out could break up what the detector must see
_SLOT = re.compile(r"\{\w+\}")


def is_frame(text: str) -> bool:
    """Whether `text` is a piece of a pinned prompt, byte for byte."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() in FRAMES


def without_frames(text: str) -> str:
    """`text` with the pinned pieces blanked; offsets stay what they were."""
    for frame in _texts():
        text = text.replace(frame, " " * len(frame))
    return text


def pieces(prompt: str) -> tuple[str, ...]:
    """What `prompts/PROMPT` consists of around its role lines and slots."""
    return tuple(piece for _, text in sections(prompt) for piece in _SLOT.split(text) if piece)


@cache
def _texts() -> tuple[str, ...]:
    """The pinned pieces of all prompts that are long enough to cut out, longest first."""
    names = (file.name for file in files("cogenesis_langchain").joinpath("prompts").iterdir())
    found = {piece for name in names if name.endswith(".txt") for piece in pieces(name)}
    frames = (piece for piece in found if len(piece) >= _MIN_CUT and is_frame(piece))
    return tuple(sorted(frames, key=len, reverse=True))
