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
_TABLE_BITS = 22
_MIX = np.uint64(0x9E3779B97F4A7C15)


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
    """Byte strings of 8 to 47 bytes, looked for all at once: by their first 8 or 24 bytes, then in full."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._by_head: dict[bytes, list[bytes]] = {}
        self._tables = {size: np.zeros(1 << _TABLE_BITS, dtype=bool) for size in (_SHORTEST, _WINDOW)}
        for piece in pieces:
            head = piece[: _WINDOW if len(piece) >= _WINDOW else _SHORTEST]
            self._by_head.setdefault(head, []).append(piece)
        for size, table in self._tables.items():
            heads = b"".join(head for head in self._by_head if len(head) == size)
            table[_slots(heads, size)[::size]] = True

    def found_in(self, file: BinaryIO) -> Iterator[bytes]:
        """Those that occur in the file, some of them more than once."""
        tail = b""
        while self._by_head and (block := file.read(_BLOCK)):
            data = tail + block
            for size, table in self._tables.items():
                for at in np.flatnonzero(table[_slots(data, size)]).tolist():
                    for piece in self._by_head.get(data[at : at + size], ()):
                        if data.startswith(piece, at):
                            yield piece
            tail = data[-2 * _WINDOW :]


def _slots(data: bytes, size: int) -> NDArray[np.uint64]:
    """(n - size + 1,) uint64: for each position of the n bytes, where its `size` bytes stand in a table.

    `size` is a multiple of 8. A few strangers share a slot, so what is found there is compared in full.
    """
    count = max(0, len(data) - size + 1)
    mixed = np.zeros(count, dtype=np.uint64)
    for at in range(0, size if count else 0, 8):
        words: NDArray[np.uint64] = np.ndarray((count,), dtype="<u8", buffer=data, offset=at, strides=(1,))
        mixed = (mixed ^ words) * _MIX
    return mixed >> np.uint64(64 - _TABLE_BITS)
