"""Why a text ends is told on every route, streamed or not; one that was cut says what to raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from cogenesis_langchain.answering import CUT, OF_CLOUD, OF_LOCAL
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.router import PrivacyRouter
from cogenesis_langchain.testing import FakeWriter, RecordingCloud, Reply
from cogenesis_langchain.types import Capabilities
from tests.conftest import INSTRUCTION, USER, routed

pytestmark = pytest.mark.usefixtures("settled")

ROUTES = ("local", "sketch", "fuse", "live", "mask", "cloud")
FEW = 16  # tokens: fewer than the fakes would say


@pytest.fixture
def router(make_engine: Callable[..., Engine], cloud: RecordingCloud) -> Callable[..., PrivacyRouter]:
    """Routers that go one way, whose models may write `tokens` tokens."""

    def make(route: str, tokens: int = 5000, **rooms: Any) -> PrivacyRouter:
        if route in ("mask", "cloud"):  # the fake server does not count: it says that it was cut
            cloud.script(Reply("Once upon a", finish="length" if tokens == FEW else "stop"))
        base = {"provider": "openai_compatible", "model": "stand-in", "base_url": cloud.base_url}
        sections = {
            "models": {"cloud": base, "local": {"max_tokens": tokens, "n_ctx": 9000}},
            "routing": routed("fuse", form="live") if route == "live" else routed(route),
            "fuse": {"combiner": "mean", "live": {"allow": True}},
        }
        able = Capabilities(chat_logprobs=20, samples=True, continuation="llama-server")
        engine = make_engine({"capabilities": able, **rooms}, **sections)
        return create_privacy_router(engine=engine, user_id=USER, label="public")

    return make


@pytest.mark.parametrize("route", ROUTES)
def test_a_text_that_was_cut_says_so(router: Callable[..., PrivacyRouter], route: str) -> None:
    """The warning names the setting of the model that wrote it; LangChain users look at the message."""
    found = router(route, FEW).invoke(INSTRUCTION)
    assert found["route"] == route
    assert found["warnings"] == [CUT.format(OF_CLOUD if route in ("mask", "cloud") else OF_LOCAL)]
    assert found["messages"][-1].response_metadata == {"finish_reason": "length"}


@pytest.mark.parametrize("route", ROUTES)
def test_a_text_that_was_finished_needs_no_word(router: Callable[..., PrivacyRouter], route: str) -> None:
    """The message says `stop`, and nobody is warned."""
    found = router(route).invoke(INSTRUCTION)
    assert found["route"] == route
    assert found["warnings"] == []
    assert found["messages"][-1].response_metadata == {"finish_reason": "stop"}


@pytest.mark.parametrize("route", ROUTES)
def test_a_stream_ends_with_the_reason(router: Callable[..., PrivacyRouter], route: str) -> None:
    """As a chat model's does: on the last chunk, and nowhere before it."""
    stream = router(route, FEW).stream(INSTRUCTION, stream_mode="messages")
    chunks = [chunk for chunk, _ in stream if isinstance(chunk, AIMessageChunk)]
    assert [chunk.response_metadata for chunk in chunks[:-1]] == [{}] * (len(chunks) - 1)
    assert chunks[-1].response_metadata == {"finish_reason": "length"}


class Silent(FakeWriter):
    """A writer that does not say why it ends, as those of adopters may."""

    def write(self, prompt: Any, *, scope: str, **options: Any) -> Iterator[str]:  # type: ignore[override]
        """A list has no ending."""
        return iter(list(super().write(prompt, scope=scope, **options)))


def test_nothing_is_said_where_nobody_knows(router: Callable[..., PrivacyRouter]) -> None:
    """A writer without a reason writes all the same."""
    found = router("local", FEW, writer=Silent()).invoke(INSTRUCTION)
    assert found["text"]
    assert found["messages"][-1].response_metadata == {}
    assert found["warnings"] == []


def test_who_stops_a_text_is_told_of_no_limit(router: Callable[..., PrivacyRouter]) -> None:
    """It was neither finished nor cut."""
    made = router("local")

    class Stopped(FakeWriter):
        def write(self, prompt: Any, **options: Any) -> Any:
            for number, piece in enumerate(super().write(prompt, **options | {"cancel": None})):
                if number == 3:
                    made.engine.stop()
                yield piece
            return "length"

    made.engine._rooms["writer"] = Stopped()
    found = made.invoke(INSTRUCTION)
    assert found["messages"][-1].response_metadata == {}
    assert found["warnings"] == []
