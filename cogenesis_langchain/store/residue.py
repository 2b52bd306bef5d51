"""Are bytes of a purged text still in a file? Pure search over bytes; no knowledge of any format.

Covered: every stretch of at least 48 bytes of a text longer than that, wherever it starts and however a
database splits it over pages, and shorter texts as a whole. Not covered: values under 8 bytes (they occur
by chance; the rows that held them are overwritten), compressed or encrypted copies, and what the file
system, the drive or a backup keeps of blocks that were freed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_WINDOW = 24  # bytes compared at once: a remnant of 2 x 24 bytes holds one whole window
_SHORTEST = 8
_BLOCK = 1 << 20
_MIX = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


class Residue:
    """Looks for `texts` in files, leaving out what `kept` texts (of other users) hold as well."""

    def __init__(self, texts: Iterable[str], kept: Iterable[str] = ()) -> None:
        whole, windows = set[bytes](), set[bytes]()
        for text in texts:
            raw = text.encode()
            if len(raw) >= 2 * _WINDOW:
                windows.update(raw[i : i + _WINDOW] for i in range(0, len(raw) - _WINDOW + 1, _WINDOW))
            elif len(raw) >= _SHORTEST:
                whole.add(raw)
        shared = "\0".join(kept).encode()
        self._whole = [raw for raw in whole if raw not in shared]
        self._windows = windows - set(_matches(shared, windows))

    def found_in(self, root: Path) -> tuple[list[Path], int]:
        """The files under `root` that still hold something, and how many files were read."""
        hits, read = [], 0
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                read += 1
                if self._in_file(path):
                    hits.append(path)
        return hits, read

    def _in_file(self, path: Path) -> bool:
        longest = max([_WINDOW, *(len(raw) for raw in self._whole)])
        tail = b""
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                data = tail + block
                if any(raw in data for raw in self._whole):
                    return True
                if next(_matches(data, self._windows), None) is not None:
                    return True
                tail = data[-longest:]
        return False


def _matches(data: bytes, windows: set[bytes]) -> Iterator[bytes]:
    """The windows that occur in `data`: hash every position at once, then compare the bytes."""
    if not windows or len(data) < _WINDOW:
        return
    wanted = np.unique(_hashes(b"".join(windows))[::_WINDOW])
    for at in np.flatnonzero(np.isin(_hashes(data), wanted)):
        if (found := data[at : at + _WINDOW]) in windows:
            yield found


def _hashes(data: bytes) -> NDArray[np.uint64]:
    """(n - 23,) uint64: one hash for each 24-byte window of the n bytes."""
    words = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    count = len(data) - _WINDOW + 1
    parts = [words[8 * i : 8 * i + count] * mix for i, mix in enumerate(_MIX)]
    hashes: NDArray[np.uint64] = parts[0] ^ parts[1] ^ parts[2]
    return hashes
