"""Real models: pulled into an empty cache, embedded with, served."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from cogenesis_langchain import devserver, models
from cogenesis_langchain.embed import Embedder
from cogenesis_langchain.errors import ModelCorruptError, ModelError

pytestmark = pytest.mark.integration
SMALL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """The catalogue's embedder."""
    models.pull([models.EMBEDDER])
    return Embedder.default()


def test_small_models_arrive_in_an_empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From nothing to verified files, with only the model in the cache afterwards; damage is found."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path))
    [report] = models.pull(["en_core_web_sm"])
    assert report.source in ("hub", "packages")
    assert report.downloaded > 0
    pipeline = models.locate("en_core_web_sm")
    assert (pipeline / "config.cfg").is_file()
    assert [path.suffix for path in (tmp_path / "partial").iterdir()] == [".lock"]
    model = pipeline / "ner/model"
    model.write_bytes(b"!" + model.read_bytes()[1:])
    with pytest.raises(ModelCorruptError):
        models.verify("en_core_web_sm")
    models.pull(["en_core_web_sm"])
    models.locate("en_core_web_sm")


def test_like_texts_lie_close(embedder: Embedder) -> None:
    """Vectors have unit length and order texts by meaning; a text's vector does not depend on its batch."""
    texts = [
        "an invitation to a birthday party",
        "please come and celebrate my 40th with us",
        "quarterly figures of the finance department",
    ]
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > far + 0.2
    np.testing.assert_allclose(embedder.embed([texts[1]])[0], vectors[1], atol=1e-4)


def test_odd_texts_have_vectors(embedder: Embedder) -> None:
    """Nothing, half a character and a megabyte all give finite vectors; beyond 256 tokens is unread."""
    long = "word " * 300
    vectors = embedder.embed(["", "\ud800", "x" * 1_000_000, long, long + "secret ending"])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[3], vectors[4], atol=1e-5)


def test_threads_share_one_embedder(embedder: Embedder) -> None:
    """Eight threads get what one gets."""
    alone = embedder.embed(["a letter to the landlord"])
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: embedder.embed(["a letter to the landlord"]), range(16)):
            np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("program", range(len(devserver._programs())))
def test_stand_in_cloud_answers(monkeypatch: pytest.MonkeyPatch, program: int) -> None:
    """Each server program found speaks chat completions with a key, streams, and is gone afterwards."""
    models.pull([SMALL])
    chosen = devserver._programs()[program]
    monkeypatch.setattr(devserver, "_programs", lambda: [chosen])
    try:
        with devserver.stand_in_cloud(SMALL, n_ctx=1024) as cloud:
            _ask(cloud)
    except ModelError as error:
        if "does not suit this processor" in str(error):
            pytest.skip(str(error))
        raise
    with pytest.raises(ProcessLookupError):
        os.kill(cloud.pid, 0)


def _ask(cloud: devserver.StandIn) -> None:
    body = {"model": cloud.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    url = f"{cloud.base_url}/chat/completions"
    with httpx.Client(trust_env=False, timeout=60) as client:
        assert client.post(url, json=body).status_code == 401
        headers = {"authorization": f"Bearer {cloud.api_key}"}
        answer = client.post(url, json=body, headers=headers).json()
        assert answer["choices"][0]["message"]["content"].strip()
        streamed = client.post(url, json=body | {"stream": True}, headers=headers).text
        assert streamed.count("data: ") > 3
        assert "data: [DONE]" in streamed
