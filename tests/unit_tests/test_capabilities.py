"""What an endpoint can do is asked once, with the same bytes by everybody, and kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cogenesis_langchain import capabilities
from cogenesis_langchain.audit import Audit
from cogenesis_langchain.capabilities import Kept, ask
from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.errors import CloudError, GateError
from cogenesis_langchain.gate.frames import is_frame
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.testing import Able, RecordingCloud, Reply
from cogenesis_langchain.types import Capabilities, Dialect


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("cogenesis_langchain.cloud._WAIT_S", 0.001)


@pytest.fixture
def at(audit: Audit) -> Iterator[Callable[..., Cloud]]:
    """A cloud at an endpoint that is `able` to do so much."""
    opened: list[RecordingCloud] = []

    def build(able: Able | None = None, gate: dict[str, Any] | None = None) -> Cloud:
        server = RecordingCloud(able=able).__enter__()
        opened.append(server)
        config = CloudModelConfig(
            provider="openai_compatible", model="m", base_url=server.base_url, timeout_s=5
        )
        return Cloud(config, audit=audit, gate=GateConfig(**(gate or {})))

    yield build
    for server in opened:
        server.__exit__(None, None, None)


DIALECTS: tuple[Dialect, ...] = ("llama-server", "vllm", "prefix")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_dialect_that_goes_on_is_found(at: Callable[..., Cloud], dialect: Dialect) -> None:
    """An endpoint that begins a new answer instead does not know the dialect."""
    assert ask(at(Able(continuation=dialect)), live=True) == Capabilities(20, 0, True, dialect)


def test_plain_completions_come_last(at: Callable[..., Cloud]) -> None:
    """Where no chat goes on, a bare prompt may."""
    found = ask(at(Able(samples=False, continuation="completions")), live=True)
    assert found == Capabilities(20, 20, False, "completions")


def test_an_endpoint_that_cannot_go_on(at: Callable[..., Cloud]) -> None:
    """Drafts may come of it, form live not."""
    assert ask(at(Able(continuation=None)), live=True) == Capabilities(20, 0, True, None)


@pytest.mark.parametrize("listed", [5, 20, 200])
def test_the_longest_list_is_taken(at: Callable[..., Cloud], listed: int) -> None:
    """Endpoints refuse longer lists than they give, or cut them: the toy has 20 candidates at most."""
    assert ask(at(Able(listed=listed))).chat_logprobs == min(listed, 20)


def test_an_endpoint_without_log_probabilities(at: Callable[..., Cloud]) -> None:
    """It answers all the same, and can do nothing for fusion."""
    assert ask(at(Able(listed=0, continuation=None)), live=True) == Capabilities()


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_nothing_is_concluded_from_trouble(audit: Audit, status: int) -> None:
    """A refused key or a server that is down says nothing about what it can do."""
    with RecordingCloud(able=Able(listed=20)) as server:
        config = CloudModelConfig(provider="openai_compatible", base_url=server.base_url, timeout_s=5)
        server.able = _Broken(status)
        with pytest.raises(CloudError):
            ask(Cloud(config, audit=audit))


class _Broken(Able):
    """Answers everything with one status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        object.__setattr__(self, "status", status)

    def own(self, request: Any) -> Reply:
        del request
        return Reply.error(int(getattr(self, "status")))  # noqa: B009 (a frozen record)


def test_a_probe_tells_nothing(at: Callable[..., Cloud], audit: Audit) -> None:
    """Its words are pinned, it is on record with 0 bits, and stays within the gate's rules."""
    assert all(is_frame(text) for _, text in sections(capabilities.PROMPT))
    ask(at(Able(continuation="vllm")), live=True)
    entries = audit.receipts()
    assert {entry.receipt.bits for entry in entries} == {0.0}
    assert {entry.receipt.route for entry in entries} == {"fuse", "live"}
    pinned = {text for _, text in sections(capabilities.PROMPT)}
    for entry in entries:
        assert {message["content"] for message in json.loads(entry.body or "")["messages"]} <= pinned
    with pytest.raises(GateError):
        ask(at(gate={"routes": ["sketch"]}))


# --- kept ------------------------------------------------------------------------------------------------


def test_what_was_found_is_kept_by_endpoint_and_model(tmp_path: Path) -> None:
    """The next process need not ask; another model or address does."""
    kept = Kept(tmp_path / "new" / "capabilities.json")
    can = Capabilities(20, 0, True, "vllm")
    kept.put("https://a.example/v1", "m", can, live=True)
    kept.put("https://b.example/v1", "m", Capabilities(5), live=False)
    again = Kept(tmp_path / "new" / "capabilities.json")
    assert again.get("https://a.example/v1", "m", live=True) == can
    assert again.get("https://b.example/v1", "m", live=False) == Capabilities(5)
    assert again.get("https://a.example/v1", "other", live=False) is None


CANNOT = [(Capabilities(), False), (Capabilities(), True), (Capabilities(20, 0, True), True)]


@pytest.mark.parametrize(("found", "live"), CANNOT)
def test_what_it_could_not_do_is_asked_again_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Capabilities, live: bool
) -> None:
    """Servers learn; until then neither this process nor the next one asks for nothing."""
    now = 1_000_000.0
    monkeypatch.setattr(capabilities.time, "time", lambda: now)
    path = tmp_path / "capabilities.json"
    kept = Kept(path)
    kept.put("e", "m", found, live=live)
    for one in (kept, Kept(path)):
        now = 1_000_000.0 + capabilities.AGAIN_S - 1
        assert one.get("e", "m", live=live) == found
        now += 1
        assert one.get("e", "m", live=live) is None
        now = 999_999.0  # somebody has set the clock back
        assert one.get("e", "m", live=live) is None


def test_what_nobody_asked_is_no_failure(tmp_path: Path) -> None:
    """Who was asked for drafts alone may well go on with a text."""
    kept = Kept(tmp_path / "capabilities.json")
    kept.put("e", "m", Capabilities(20), live=False)
    assert kept.get("e", "m", live=False) == Capabilities(20)
    assert kept.get("e", "m", live=True) is None


def test_a_disk_that_refuses_is_no_reason_to_ask_again(tmp_path: Path) -> None:
    """This process knows what it was told."""
    (tmp_path / "file").write_text("no folder")
    kept = Kept(tmp_path / "file" / "capabilities.json")
    kept.put("e", "m", Capabilities(), live=False)
    assert kept.get("e", "m", live=False) == Capabilities()


BROKEN = [
    b"", b"\xff", b"[]", b"null", b"[1]",
    b'{"e m": 5}', b'{"e m": {"chat_logprobs": "x"}}', b'{"e m": {"chat_logprobs": 20}}',
    b'{"e m": {"chat_logprobs": "x", "completions_logprobs": 0, "samples": true, "continuation": null}}',
    b'{"e m": {"chat_logprobs": 20, "completions_logprobs": 0, "samples": true, "continuation": "own"}}',
    b'{"e m": {"chat_logprobs": 0, "completions_logprobs": 0, "samples":1, "continuation": null,"asked":""}}',
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_no_knowledge(tmp_path: Path, content: bytes) -> None:
    """It is written anew."""
    path = tmp_path / "capabilities.json"
    path.write_bytes(content)
    assert Kept(path).get("e", "m", live=False) is None
    Kept(path).put("e", "m", Capabilities(20), live=False)
    assert Kept(path).get("e", "m", live=False) == Capabilities(20)


def test_an_engine_asks_once(make_engine: Callable[..., Any], cloud: RecordingCloud) -> None:
    """Nothing goes out to build a body; then a probe does, once for this process and the next."""
    engine = make_engine()
    assert engine.capabilities(probe=False) is None
    assert cloud.bodies == []
    found = engine.capabilities()
    sent = len(cloud.bodies)
    assert found is not None
    assert found.chat_logprobs
    assert sent > 0
    assert engine.capabilities() == found
    assert make_engine().capabilities(probe=False) == found
    assert len(cloud.bodies) == sent


def test_a_failure_is_not_repeated_until_somebody_asks_for_it(
    make_engine: Callable[..., Any], cloud: RecordingCloud
) -> None:
    """It takes three requests to tell; then only `anew` asks, and finds what has changed."""
    cloud.able = Able(listed=0)
    assert make_engine().capabilities() == Capabilities()
    assert len(cloud.bodies) == len(capabilities.LISTS)
    cloud.able = Able()
    assert make_engine().capabilities() == Capabilities()
    assert len(cloud.bodies) == len(capabilities.LISTS)
    found = make_engine().capabilities(anew=True)
    assert found.chat_logprobs
    assert make_engine().capabilities() == found


def test_a_probe_is_a_request_of_who_asked(make_engine: Callable[..., Any]) -> None:
    """It counts in that user's account and in nobody else's, so that it cannot use up what others may ask."""
    engine = make_engine()
    engine.capabilities(user="dana")
    (account,) = engine.audit.ledger()
    assert account.user == engine.audit.ledger("dana")[0].user
    assert (account.spent.requests, account.spent.bits) == (len(engine.audit.receipts(user="dana")), 0.0)
    assert engine.audit.ledger("boris") == []


class Slow:
    """In place of `ask`: begins, waits, and finds the endpoint down."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.times = threading.Event(), threading.Event(), 0

    def __call__(self, *_: Any, **__: Any) -> Capabilities:
        """Raises in the end."""
        self.times += 1
        self.begun.set()
        assert self.go_on.wait(60)
        raise CloudError("nobody answers")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """An endpoint that hangs."""
    made = Slow()
    monkeypatch.setattr(capabilities, "ask", made)
    return made


class Seen(threading.Event):
    """A stop sign that tells when it was looked at, which who waits does again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Event()

    def is_set(self) -> bool:
        """As ever."""
        self.looked.set()
        return super().is_set()


def test_who_waited_shares_the_failure(at: Callable[..., Cloud], slow: Slow, tmp_path: Path) -> None:
    """A cloud that hangs is waited for once and not once by each; who comes later asks anew."""
    kept, cloud, signs = Kept(tmp_path / "c.json"), at(), [Seen() for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(kept.of, cloud, "m", live=False)]
        assert slow.begun.wait(60)
        asking += [pool.submit(kept.of, cloud, "m", live=False, cancel=sign) for sign in signs]
        assert all(sign.looked.wait(60) for sign in signs)
        slow.go_on.set()
        assert [str(one.exception(60)) for one in asking] == ["nobody answers"] * 4
    assert slow.times == 1
    with pytest.raises(CloudError, match="nobody"):
        kept.of(cloud, "m", live=False)
    assert slow.times == 2


def test_who_is_stopped_waits_no_longer_and_asks_nothing(
    at: Callable[..., Cloud], slow: Slow, tmp_path: Path
) -> None:
    """Ctrl-C does not wait for another request's probe."""
    kept, cloud, cancel = Kept(tmp_path / "c.json"), at(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(kept.of, cloud, "m", live=False)
        assert slow.begun.wait(60)
        waiting = pool.submit(kept.of, cloud, "m", live=False, cancel=cancel)
        cancel.set()
        with pytest.raises(CloudError, match="stopped"):
            waiting.result(60)
        slow.go_on.set()
        with pytest.raises(CloudError, match="nobody"):
            asking.result(60)
    assert slow.times == 1


def test_what_was_asked_for_less_forgets_nothing(tmp_path: Path) -> None:
    """A policy without form live keeps what one with it has found in the same folder."""
    path, able = tmp_path / "c.json", Capabilities(20, 0, samples=True, continuation="vllm")
    Kept(path).put("e", "m", able, live=True)
    Kept(path).put("e", "m", Capabilities(20, 0, samples=True), live=False)
    assert Kept(path).get("e", "m", live=True) == able
