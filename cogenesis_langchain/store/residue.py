"""Are bytes of a purged text still in a file? Pure search over bytes; no knowledge of any format.

Covered: every stretch of at least 48 bytes of a text longer than that, wherever it starts and however a
database splits it over pages, and shorter texts as a whole. Not covered: values under 8 bytes (they occur
by chance; the rows that held them are overwritten), compressed or encrypted copies, and what the file
system, the drive or a backup keeps of blocks that were freed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_WINDOW = 24  # bytes compared at once: a remnant of 2 x 24 bytes holds one whole window
_SHORTEST = 8
_BLOCK = 1 << 20


class Residue:
    """Looks for `texts` in files, leaving out what `kept` texts (of other users) hold as well."""

    def __init__(self, texts: Iterable[str], kept: Iterable[str] = ()) -> None:
        pieces = set[bytes]()
        for text in texts:
            raw = text.encode()
            if len(raw) >= 2 * _WINDOW:
                pieces.update(raw[i : i + _WINDOW] for i in range(0, len(raw) - _WINDOW + 1, _WINDOW))
            elif len(raw) >= _SHORTEST:
                pieces.add(raw)
        shared = _Pieces(pieces).found_in(BytesIO("\0".join(kept).encode()))
        self._pieces = _Pieces(pieces - set(shared))

    def found_in(self, root: Path) -> tuple[list[Path], int]:
        """The files under `root` that still hold something, and how many files were read."""
        hits, read = [], 0
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                read += 1
                with path.open("rb") as file:
                    if next(self._pieces.found_in(file), None) is not None:
                        hits.append(path)
        return hits, read


class _Pieces:
    """Byte strings of 8 to 47 bytes, looked for all at once: by their first 8 bytes, then in full."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._by_head: dict[bytes, list[bytes]] = {}
        for piece in pieces:
            self._by_head.setdefault(piece[:_SHORTEST], []).append(piece)
        self._heads = np.unique(np.frombuffer(b"".join(self._by_head), dtype="<u8"))

    def found_in(self, file: BinaryIO) -> Iterator[bytes]:
        """Those that occur in the file, some of them more than once."""
        tail = b""
        while self._by_head and (block := file.read(_BLOCK)):
            data = tail + block
            for at in np.flatnonzero(np.isin(_words(data), self._heads)).tolist():
                for piece in self._by_head[data[at : at + _SHORTEST]]:
                    if data.startswith(piece, at):
                        yield piece
            tail = data[-2 * _WINDOW :]


def _words(data: bytes) -> NDArray[np.uint64]:
    """(n - 7,) uint64: the 8 bytes that start at each position of the n bytes."""
    count = max(0, len(data) - _SHORTEST + 1)
    words: NDArray[np.uint64] = np.ndarray((count,), dtype="<u8", buffer=data, strides=(1,))
    return words
