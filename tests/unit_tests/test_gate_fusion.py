"""The gate under fusion: requests for log-probabilities may pass, a text to continue as `live` alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from cogenesis_langchain.audit import Audit
from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.egress import Permit
from cogenesis_langchain.errors import CloudError, GateError, GateHit
from cogenesis_langchain.gate.answer import MAX_ANSWER_BYTES
from cogenesis_langchain.gate.shape import parse
from cogenesis_langchain.gate_config import GateConfig
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.settings import CloudModelConfig
from cogenesis_langchain.sketch import draft_messages, sketch_messages
from cogenesis_langchain.testing import Able, FakeDetector, RecordingCloud, Reply, canaries, leaked
from cogenesis_langchain.types import Dialect, Outbound, Sendable

TASK = Sendable("Write an invitation about a birthday party.", "generalize")
STORY = "Dear friends , we hope that you will come and be merry with us all day ."
BEGUN = Sendable("Dear friends , we", "shadow")
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)


@pytest.fixture
def make(server: RecordingCloud, audit: Audit) -> Callable[..., Cloud]:
    """Clouds at the recording server; `gate` as in the policy file, further settings as keywords."""

    def build(*, gate: dict[str, Any] | None = None, trusted: bool = False, **settings: Any) -> Cloud:
        values = {"provider": "openai_compatible", "model": "stand-in", "timeout_s": 5, **settings}
        config = CloudModelConfig(base_url=server.base_url, **values)
        return Cloud(config, audit=audit, gate=GateConfig(**(gate or {})), trusted=trusted)

    return build


def permit(outbound: Outbound, route: str = "live", **changes: Any) -> Permit:
    """A permit for exactly `outbound`, with the canaries known."""
    plain = Permit(outbound.sha256, outbound.endpoint, route, KnownValues(canaries()), FakeDetector())
    return replace(plain, user="dana", level="topic", bits=12.9, **changes)


def going_on(cloud: Cloud, prefix: Sendable = BEGUN, dialect: Dialect = "llama-server") -> Outbound:
    """A body that asks for eight more tokens."""
    return cloud.prepare_continuation(draft_messages(TASK), prefix, max_tokens=8, dialect=dialect)


# --- drafts ------------------------------------------------------------------------------------------


def test_a_draft_differs_from_a_sketch_in_frame_and_settings_alone(make: Callable[..., Cloud]) -> None:
    """What is told of the request is the same sentence; the same task gives the same bytes."""
    cloud = make()
    draft = json.loads(cloud.prepare(draft_messages(TASK), max_tokens=400, logprobs=20, samples=2).body)
    sketch = json.loads(cloud.prepare(sketch_messages(TASK)).body)
    assert draft.keys() - sketch.keys() == {"logprobs", "top_logprobs", "n"}
    assert draft["messages"][-1]["content"] == TASK.text
    assert TASK.text in sketch["messages"][-1]["content"]
    again = make().prepare(draft_messages(TASK), max_tokens=400, logprobs=20, samples=2)
    assert json.loads(again.body) == draft


def test_exactly_the_prepared_bytes_arrive(
    server: RecordingCloud, make: Callable[..., Cloud], audit: Audit
) -> None:
    """What was shown is what the server reads and what the receipt keeps; preparing it sends nothing."""
    cloud = make()
    outbound = cloud.prepare(draft_messages(TASK), max_tokens=400, logprobs=20, samples=2)
    assert server.bodies == []
    server.script(Reply(samples=("Hi all .", "Hello .")))
    drafts = cloud.drafts(outbound, permit(outbound, "fuse"))
    assert [draft.text for draft in drafts] == [b"Hi all .", b"Hello ."]
    assert server.bodies == [outbound.body.encode()]
    assert [(entry.body, entry.receipt.status) for entry in audit.receipts("dana")] == [
        (outbound.body, "sent")
    ]


def test_openais_newer_name_of_the_limit(make: Callable[..., Cloud], server: RecordingCloud) -> None:
    """OpenAI's own newer models refuse the older one."""
    cloud = make(provider="openai", api_key=None)
    outbound = cloud.prepare(draft_messages(TASK), max_tokens=3, logprobs=5)
    assert json.loads(outbound.body)["max_completion_tokens"] == 3
    assert "max_tokens" not in json.loads(outbound.body)
    server.script(STORY)
    assert len(cloud.drafts(outbound, permit(outbound, "fuse"))[0].positions) == 3


def test_a_known_value_stops_a_draft(
    server: RecordingCloud, make: Callable[..., Cloud], audit: Audit
) -> None:
    """The gate reads these bodies like all others."""
    cloud = make()
    outbound = cloud.prepare(draft_messages(Sendable("Write to Quillon Vexmoor.", "generalize")), logprobs=20)
    with pytest.raises(GateHit):
        cloud.drafts(outbound, permit(outbound, "fuse"))
    assert server.bodies == []
    assert len(audit.refusals("dana")) == 1


def test_only_what_was_prepared_is_sent(make: Callable[..., Cloud], server: RecordingCloud) -> None:
    """Other bytes of the same sense are no body of ours; the error quotes none of them."""
    cloud = make()
    outbound = cloud.prepare(draft_messages(TASK), logprobs=20)
    for body in ("Quillon", "[]", '{"max_tokens": "Quillon"}', outbound.body.replace("party", "funeral")):
        with pytest.raises(GateError) as caught:
            cloud.drafts(Outbound(outbound.endpoint, body), permit(outbound, "fuse"))
        assert "Quillon" not in str(caught.value)
    assert server.bodies == []


# --- going on with a text ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_endpoint_goes_on_in_its_dialect(
    server: RecordingCloud, make: Callable[..., Cloud], dialect: Dialect
) -> None:
    """What comes is the next tokens, not a new answer; receipts name the address that was asked."""
    server.able = Able(continuation=dialect)
    server.script(STORY)
    cloud = make()
    outbound = going_on(cloud, dialect=dialect)
    (draft,) = cloud.drafts(outbound, permit(outbound))
    assert draft.text == b" hope that you will come and be merry"
    assert outbound.endpoint.endswith(server.requests[0].line.split()[1])


@pytest.mark.parametrize("route", ["cloud", "mask", "fuse", "sketch"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_form_live_goes_on_with_a_text(
    server: RecordingCloud, make: Callable[..., Cloud], dialect: Dialect, route: str
) -> None:
    """A text in the making is budgeted on route live, and nowhere else."""
    outbound = going_on(make(), dialect=dialect)
    with pytest.raises(GateError, match="only route live"):
        make().drafts(outbound, permit(outbound, route))
    assert server.bodies == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_known_value_in_the_shadow_is_stopped(
    server: RecordingCloud, make: Callable[..., Cloud], dialect: Dialect
) -> None:
    """Also one that a detector finds; nothing leaves."""
    for text in ("Yours, Quillon Vexmoor", "Yours, Bram Oosterling"):
        outbound = going_on(make(), Sendable(text, "shadow"), dialect)
        with pytest.raises(GateHit):
            make().drafts(outbound, permit(outbound))
    assert not leaked(server.raw)
    assert server.bodies == []


def test_live_runs_have_a_cap_of_their_own(make: Callable[..., Cloud], server: RecordingCloud) -> None:
    """They ask again and again, which no other route does."""
    server.script(*[STORY] * 9)
    cloud = make(gate={"max_requests_per_run": 1, "max_requests_per_live_run": 3})
    outbound = going_on(cloud)
    leave = permit(outbound)
    for _ in range(3):
        cloud.drafts(outbound, leave)
    with pytest.raises(GateError, match="max_requests_per_live_run, 3"):
        cloud.drafts(outbound, leave)
    assert len(server.bodies) == 3


def test_an_address_that_does_not_suit_the_body_is_refused(
    make: Callable[..., Cloud], server: RecordingCloud
) -> None:
    """A permit for messages at the address of prompts, and the other way round."""
    cloud = make()
    chat, raw = going_on(cloud), going_on(cloud, dialect="completions")
    assert chat.endpoint != raw.endpoint
    for outbound, address in ((chat, raw.endpoint), (raw, chat.endpoint)):
        swapped = Outbound(address, outbound.body)
        with pytest.raises(GateError, match="not the one that was permitted"):
            cloud.drafts(swapped, permit(swapped))
    assert server.bodies == []


def test_both_addresses_are_one_account(
    make: Callable[..., Cloud], server: RecordingCloud, audit: Audit
) -> None:
    """The provider links them by the key, whichever address was asked."""
    server.able = Able(continuation="completions")
    server.script(STORY, STORY)
    cloud = make()
    for outbound in (going_on(cloud), going_on(cloud, dialect="completions")):
        cloud.drafts(outbound, permit(outbound))
    (account,) = audit.ledger("dana")
    assert (account.endpoint, account.spent.requests) == (cloud.endpoint, 2)


# --- an endpoint that may read private text --------------------------------------------------------------


def test_a_trusted_endpoint_may_read_what_is_private(
    make: Callable[..., Cloud], server: RecordingCloud
) -> None:
    """Nothing is searched there: the policy says that private text may go."""
    server.script(STORY)
    cloud = make(trusted=True)
    outbound = going_on(cloud, Sendable("Yours, Quillon Vexmoor", "trusted"))
    cloud.drafts(outbound, permit(outbound, trusted=True))
    assert b"Quillon Vexmoor" in server.raw


def test_nobody_is_trusted_by_a_permit_alone(make: Callable[..., Cloud], server: RecordingCloud) -> None:
    """Neither text nor permit for a trusted endpoint is taken by a gate that was made for another one."""
    cloud = make()
    with pytest.raises(GateError, match="trusted endpoint"):
        going_on(cloud, Sendable("Yours, Quillon Vexmoor", "trusted"))
    outbound = going_on(cloud, Sendable("Yours, Quillon Vexmoor", "shadow"))
    with pytest.raises(GateError, match="trusted_endpoints"):
        cloud.drafts(outbound, permit(outbound, trusted=True))
    assert server.bodies == []


def test_a_trusted_endpoint_is_searched_without_the_permits_word(make: Callable[..., Cloud]) -> None:
    """Other routes to it keep what they promise."""
    cloud = make(trusted=True)
    outbound = going_on(cloud, Sendable("Yours, Quillon Vexmoor", "shadow"))
    with pytest.raises(GateHit):
        cloud.drafts(outbound, permit(outbound))


# --- shapes and sizes --------------------------------------------------------------------------------------

PLAIN = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LAST = {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    "body",
    [
        PLAIN | {"logprobs": "Quillon"},
        PLAIN | {"top_logprobs": [20]},
        PLAIN | {"n": 1.5},
        PLAIN | {"n": -1},
        PLAIN | {"top_logprobs": 10**9},
        PLAIN | {"add_generation_prompt": "Quillon"},
        PLAIN | {"continue_final_message": 1},
        PLAIN | {"temperature": float("nan")},
        PLAIN | {"prompt": "Quillon"},
        PLAIN | {"suffix": "Quillon"},
        PLAIN | {"messages": [{**LAST, "prefix": True}, *PLAIN["messages"]]},
        PLAIN | {"messages": [*PLAIN["messages"], {**LAST, "prefix": "Quillon"}]},
        PLAIN | {"messages": [{"role": "user", "content": "hi", "prefix": True}]},
        {"model": "m", "prompt": ["Quillon"]},
        {"model": "m", "prompt": "hi", "echo": True},
        {"model": ["m"], "prompt": "hi"},
    ],
)
def test_settings_of_another_form_are_refused(body: dict[str, Any]) -> None:
    """Nothing rides along in a field that nobody reads; the error quotes none of it."""
    with pytest.raises(GateError) as caught:
        parse(json.dumps(body).encode())
    assert "Quillon" not in str(caught.value)


def test_a_prompt_is_read_like_a_message() -> None:
    """What a cloud would read is what the gate searches."""
    chat = parse(json.dumps({"model": "m", "prompt": "Yours, Quillon", "logprobs": 5}).encode())
    assert chat.texts == ("Yours, Quillon",)
    assert chat.raw
    assert chat.continued


@pytest.mark.parametrize(("logprobs", "fits"), [(20, True), (1, False)])
def test_an_answer_may_be_as_long_as_what_was_asked_for(
    make: Callable[..., Cloud], server: RecordingCloud, logprobs: int, fits: bool
) -> None:
    """Candidates take room; more than was asked for is refused all the same."""
    long = json.loads(json.dumps({"choices": [{"message": {"content": "Hi"}, "logprobs": {"content": []}}]}))
    long["choices"][0]["logprobs"]["content"] = [{"token": "Hi", "logprob": -1.0, "top_logprobs": []}]
    raw = json.dumps(long).encode() + b" " * (MAX_ANSWER_BYTES + 400 * 1000)
    server.script(Reply(raw=raw))
    cloud = make()
    outbound = cloud.prepare(draft_messages(TASK), max_tokens=400, logprobs=logprobs)
    if fits:
        assert cloud.drafts(outbound, permit(outbound, "fuse"))[0].text == b"Hi"
    else:
        with pytest.raises(CloudError, match="longer than"):
            cloud.drafts(outbound, permit(outbound, "fuse"))
