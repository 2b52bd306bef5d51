"""A real server in another process: what it can do is found, drafts and continuations come of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.capabilities import ask
from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.devserver import StandIn, stand_in_cloud
from cogenesis_langchain.egress import Permit
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.sections import EnvironmentKey
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.sketch import draft_messages
from cogenesis_langchain.testing import FakeDetector, canaries
from cogenesis_langchain.types import Capabilities, Outbound, Route, Sendable

pytestmark = pytest.mark.integration

TASK = Sendable("Write an invitation about a birthday party.", "generalize")
KEY = "COGENESIS_TEST_STAND_IN"


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    """llama-server where its build suits this processor, else the server of llama-cpp-python."""
    with stand_in_cloud("smollm2-135m-instruct", threads=2, n_ctx=1024) as running:
        yield running


@pytest.fixture
def door(server: StandIn, audit: Audit, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The gate in front of it."""
    monkeypatch.setenv(KEY, server.api_key)
    config = CloudModelConfig(
        provider="openai_compatible",
        model=server.model,
        base_url=server.base_url,
        api_key=EnvironmentKey(f"os.environ/{KEY}"),
        timeout_s=60,
    )
    return Cloud(config, audit=audit)


@pytest.fixture(scope="module")
def found() -> dict[str, Capabilities]:
    """What the first test finds, for the next one."""
    return {}


def permit(outbound: Outbound, route: Route) -> Permit:
    """A permit for exactly `outbound`."""
    return Permit(
        outbound.sha256, outbound.endpoint, route, KnownValues(canaries()), FakeDetector(), user="dana"
    )


def test_a_real_server_is_probed(server: StandIn, door: Cloud, found: dict[str, Capabilities]) -> None:
    """Both give long lists; llama-server goes on with a chat, the other one with a bare prompt."""
    can = found["can"] = ask(door, live=True)
    assert can.chat_logprobs == 200
    assert can.continuation == {"llama-server": "llama-server"}.get(server.engine, "completions")


def test_a_real_draft_spells_its_text(door: Cloud) -> None:
    """Token for token, with candidates that sum to no more than 1, the token taken among them."""
    outbound = door.prepare(draft_messages(TASK), max_tokens=12, logprobs=20)
    (draft,) = door.drafts(outbound, permit(outbound, Route.FUSE))
    assert 4 <= len(draft.positions) <= 12
    assert draft.text.decode().strip()
    assert all(10 <= len(one.tokens) <= 20 for one in draft.positions)
    assert all(one.logprobs == tuple(sorted(one.logprobs, reverse=True)) for one in draft.positions)
    assert sum(one.token in one.tokens for one in draft.positions) >= len(draft.positions) - 2


def test_a_real_text_goes_on(door: Cloud, found: dict[str, Capabilities]) -> None:
    """The next word is expected with the blank before it, with which no new answer begins."""
    can = found.get("can") or ask(door, live=True)
    assert can.continuation
    begun = Sendable("You are warmly invited to a birthday", "shadow")
    outbound = door.prepare_continuation(draft_messages(TASK), begun, max_tokens=4, dialect=can.continuation)
    (draft,) = door.drafts(outbound, permit(outbound, Route.LIVE))
    assert b" party" in draft.positions[0].tokens
