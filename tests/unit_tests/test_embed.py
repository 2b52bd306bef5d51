"""The embedder without its model: what it does with missing and broken files, and how it batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogenesis_langchain import embed
from cogenesis_langchain.embed import DIMENSIONS, Embedder
from cogenesis_langchain.errors import ModelCorruptError, ModelMissingError


def test_missing_files_name_the_command(tmp_path: Path) -> None:
    """Nothing is loaded before it is needed, and then the error says what to run."""
    embedder = Embedder(tmp_path)
    with pytest.raises(ModelMissingError, match="cogenesis models pull all-minilm-l6-v2"):
        embedder.embed(["x"])


def test_broken_files_are_corrupt(tmp_path: Path) -> None:
    """Files that no runtime can read end in ModelCorruptError, not in a library's own error."""
    (tmp_path / "model.onnx").write_bytes(b"junk")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        Embedder(tmp_path).warm()


def test_the_runtime_makes_no_device_id_and_keeps_no_events(tmp_path: Path) -> None:
    """ONNX Runtime reports to its maker unless told not to before it loads; its files would show it."""
    home, model = tmp_path / "home", tmp_path / "model"
    for folder in (home, model):
        folder.mkdir()
    (model / "model.onnx").write_bytes(b"junk")
    (model / "tokenizer.json").write_bytes(b"{}")
    code = (
        "import sys\nfrom pathlib import Path\nfrom cogenesis_langchain.onnx_session import open_model\n"
        "try:\n    open_model(Path(sys.argv[1]), 'x')\nfinally:\n    print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(model)],
        env={"HOME": str(home)},  # nothing of the caller's: the runtime is silent in CI anyway
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n"
    assert "ModelCorruptError" in done.stderr
    assert not list(home.rglob("*"))


def test_rows_keep_their_place_and_batches_stay_small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However texts are sorted into batches, row i belongs to text i; long texts share less."""
    batches: list[int] = []

    def run(tokenizer: Any, session: Any, texts: list[str]) -> np.ndarray:
        batches.append(len(texts))
        return np.array([[len(text)] * DIMENSIONS for text in texts], dtype=np.float32)

    monkeypatch.setattr(embed, "_open", lambda directory: (None, None))
    monkeypatch.setattr(embed, "_run", run)
    texts = ["x" * n for n in (5, 900, 1, 3000, 0, *range(100))]
    out = Embedder(tmp_path).embed(texts)
    assert out.shape == (len(texts), DIMENSIONS)
    assert out.dtype == np.float32
    assert [int(row[0]) for row in out] == [len(text) for text in texts]
    assert max(batches) <= embed.BATCH
    assert batches[0] < embed.BATCH
    assert Embedder(tmp_path).embed([]).shape == (0, DIMENSIONS)
