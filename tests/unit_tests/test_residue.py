from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.store.residue import Residue

TEXT = "Marigold Fennimore of Wexcombe Hollow kept nineteen ledgers, and the eighth one was blue. " * 3


def holds(folder: Path, data: bytes, residue: Residue) -> bool:
    """Whether a file with these bytes is reported."""
    (folder / "file").write_bytes(data)
    hits, read = residue.found_in(folder)
    assert read == 1
    return bool(hits)


@given(start=st.integers(0, len(TEXT) - 48), pad=st.integers(0, 40))
def test_any_remnant_of_48_bytes_is_found(
    tmp_path_factory: pytest.TempPathFactory, start: int, pad: int
) -> None:
    """Wherever a remnant starts in the text and wherever it lies in the file."""
    folder = tmp_path_factory.mktemp("residue")
    data = b"\xff" * pad + TEXT.encode()[start : start + 48] + b"\xff" * 7
    assert holds(folder, data, Residue([TEXT]))


def test_a_remnant_across_blocks_is_found(tmp_path: Path) -> None:
    """The file is read in pieces of 1 MiB; nothing hides on the seam."""
    for offset in (0, 1, 23, 24, 47):
        data = b"." * ((1 << 20) - offset) + TEXT.encode()[:48] + b"." * 10
        assert holds(tmp_path, data, Residue([TEXT]))
        data = b"." * ((1 << 20) - offset) + b"Bluebell Cottage" + b"." * 10
        assert holds(tmp_path, data, Residue(["Bluebell Cottage"]))


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 23, b"x" * 24, b"Marigold Fennimore", b"\0" * 5000])
def test_other_bytes_are_not_reported(tmp_path: Path, data: bytes) -> None:
    """Empty, short and foreign files are clean, and so is a remnant of less than 24 bytes."""
    assert not holds(tmp_path, data, Residue([TEXT, "Bluebell Cottage", "tiny"]))


def test_what_others_hold_is_left_out(tmp_path: Path) -> None:
    """Stretches that a kept text has as well are no residue; the rest of the text still is."""
    kept = TEXT[:100]
    residue = Residue([TEXT, "Bluebell Cottage"], ["we like Bluebell Cottage", kept])
    assert not holds(tmp_path, b"Bluebell Cottage " + kept.encode(), residue)
    assert holds(tmp_path, TEXT.encode(), Residue([TEXT, "x"], [TEXT[:40]]))
