"""Every example is run as a newcomer runs it: its own process, real models, a real HTTP cloud on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cogenesis_langchain.errors import ModelError
from cogenesis_langchain.models import locate
from cogenesis_langchain.testing import RecordingCloud

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = "smollm2-135m-instruct"  # writes nonsense, and quickly
PRIVATE = ("achterberg", "robin", "tollgate", "imke", "dorrestein", "ladder", "nightjar")


@pytest.fixture(scope="module", autouse=True)
def _models() -> None:
    """Skips where the small models were not pulled (`make test` pulls them)."""
    try:
        for name in (SMALL, "all-minilm-l6-v2", "en_core_web_sm", "rampart"):
            locate(name)
    except ModelError as error:
        pytest.skip(str(error))


def policy_file(folder: Path, cloud: RecordingCloud, data: dict[str, Any]) -> Path:
    """`data` with the cloud on loopback, the small model as writer, and a store in `folder`."""
    models = {
        "cloud": {"provider": "openai_compatible", "model": "recording", "base_url": cloud.base_url},
        "local": {"provider": "llama_cpp", "model": SMALL, "n_ctx": 2048, "max_tokens": 24},
    }
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(data | {"models": models, "store": {"path": str(folder / "store")}}))
    return path


def run(name: str, *arguments: str, **environment: str) -> str:
    """The example's output. Without a key in the environment nothing can reach a real cloud."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "LANGSMITH_"))}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=kept | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything() -> dict[str, Any]:
    """A policy that sketches whatever comes, so that the small model's choices decide nothing."""
    rule = {
        "name": "all",
        "priority": 1,
        "rules": {"length": {"gt": 0}},
        "action": {"route": "sketch", "level": "topic"},
    }
    return {"version": 1, "routing": {"decisions": [rule]}}


@pytest.mark.parametrize("name", ["lcel_chain.py", "subgraph.py"])
def test_the_example_writes_and_only_a_generic_task_leaves(name: str, tmp_path: Path) -> None:
    """One request leaves, without a private word of request or context, and a text is printed."""
    with RecordingCloud() as cloud:
        path = policy_file(tmp_path, cloud, everything())
        printed = run(name, COGENESIS_CONFIG=str(path))
        assert len(cloud.bodies) == 1
        sent = cloud.raw.decode().lower()
    assert len(printed.strip()) > 20
    if name == "subgraph.py":  # the larger graph's own state and context work around the router
        assert printed.rstrip().endswith("Robin & Imke")
    assert not [word for word in PRIVATE if word in sent]


def test_own_policy_sends_what_its_dry_run_showed(tmp_path: Path) -> None:
    """The bytes of the dry run are the bytes that arrive; the policy file's own rules decide."""
    own = yaml.safe_load((EXAMPLES / "own_policy.yaml").read_text())
    with RecordingCloud() as cloud:
        printed = run("own_policy.py", str(policy_file(tmp_path, cloud, own)))
        bodies = [body.decode() for body in cloud.bodies]
        endpoint = f"{cloud.base_url}/chat/completions"
    assert "route sketch" in printed
    assert len(bodies) == 1
    assert bodies[0] in printed
    assert f"would go to {endpoint}:" in printed
    assert not [word for word in PRIVATE if word in bodies[0].lower()]
    assert "1 request(s) left this machine" in printed


def test_own_policy_is_valid_as_it_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key the shipped file loads without a warning; without one the error names the variable."""
    from cogenesis_langchain.config import load
    from cogenesis_langchain.errors import ConfigError

    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    loaded = load(EXAMPLES / "own_policy.yaml")
    assert loaded.warnings == ()
    assert [rule.name for rule in loaded.policy().rules] == [
        "health-stays",
        "long-threads-tell-less",
        "everything-else",
    ]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        load(EXAMPLES / "own_policy.yaml")
