"""The main job with every real room: models, detector, store on disk, and a cloud that records its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cogenesis_langchain.commands.demo import PERSON_FILES, demo_policy, demo_request, person_dir
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.graph import create_privacy_router
from cogenesis_langchain.ingest import read_items
from cogenesis_langchain.testing import Recorded, RecordingCloud
from cogenesis_langchain.types import ContextItem

pytestmark = pytest.mark.integration

# Fictional, like the shipped person.
OTHER = [
    ContextItem("profile", "Name: Lowie Hartgers\nEmployer: Zeilmakerij Hartgers\nHome: Kade 3, Westerzijl"),
    ContextItem("writing", "Good morning all! Lowie here. The sail is torn, the mood is not."),
]


@pytest.fixture(scope="module")
def cloud() -> Iterator[RecordingCloud]:
    """A real HTTP server in this process."""
    with RecordingCloud() as server:
        yield server


@pytest.fixture(scope="module")
def engine(cloud: RecordingCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Everything real; the text is cut short."""
    policy = demo_policy(None, cloud.base_url, tmp_path_factory.mktemp("store"))
    policy["models"]["local"] = {"max_tokens": 32}
    engine = Engine(load(policy))
    items = list(read_items([person_dir() / name for name in PERSON_FILES]))
    engine.store.add(demo_request()["user"], items, values_of=engine.values_of)  # type: ignore[attr-defined]
    engine.store.add("other", OTHER, values_of=engine.values_of)  # type: ignore[attr-defined]
    yield engine
    engine.close()


@dataclass(frozen=True)
class Run:
    """The answer to the demo's request, and what the cloud was sent for it."""

    found: dict[str, Any]
    requests: list[Recorded]


@pytest.fixture(scope="module")
def run(engine: Engine, cloud: RecordingCloud) -> Run:
    """The main job, once."""
    request, before = demo_request(), len(cloud.requests)
    found = create_privacy_router(engine=engine, user_id=request["user"]).invoke(request["instruction"])
    return Run(dict(found), list(cloud.requests[before:]))


def words_of_profile() -> list[str]:
    """Every value of the person's profile, and the names and numbers in it."""
    profile = json.loads((person_dir() / "profile.json").read_text(encoding="utf-8"))
    values = [value for key, value in profile.items() if key not in ("note", "way of writing")]
    names = (
        "Maren Quistgaard Orgelhof Tandrup Fjordgade Skaldvig Ilya Berezhnoy Tove Bassoon Brattsund organs"
    )
    return [str(value) for value in values] + names.split()


def test_only_a_generic_task_leaves(engine: Engine, run: Run) -> None:
    """Route sketch; the recorded bytes hold no value of the profile; the text is the person's."""
    found = run.found
    assert found["route"] == "sketch", found["warnings"]
    (request,) = run.requests
    own = (request.header("host"), request.header("content-length"))  # a port may hold the age by chance
    told = [value for _, value in request.headers if value not in own]
    sent = "\n".join([request.line, *told, request.body.decode()]).casefold()
    assert [value for value in words_of_profile() if value.casefold() in sent] == []
    assert found["outbound"][0]["body"].encode() == run.requests[0].body
    assert len(found["text"].split()) > 8
    assert found["receipts"][0]["bits"] < 14
    assert engine.audit.verify().ok


def test_bodies_are_identical_for_another_person(engine: Engine, cloud: RecordingCloud, run: Run) -> None:
    """The same instruction over another person's context: the same bytes leave."""
    before = len(cloud.bodies)
    create_privacy_router(engine=engine, user_id="other").invoke(demo_request()["instruction"])
    assert cloud.bodies[before:] == [one.body for one in run.requests]


def test_with_the_cloud_killed_it_is_answered_here(engine: Engine) -> None:
    """Nobody listens any more: the same request is written locally, and the answer says so."""
    with RecordingCloud() as gone:
        base_url = gone.base_url
    policy = demo_policy(None, base_url, engine.data_dir)
    policy["models"]["local"] = {"max_tokens": 16}
    rooms = {name: getattr(engine, name) for name in ("embedder", "detector", "store", "writer")}
    router = create_privacy_router(engine=Engine(load(policy), **rooms), user_id=demo_request()["user"])
    found = router.invoke(demo_request()["instruction"])
    assert found["route"] == "local"
    assert found["text"]
    assert any("cloud" in warning for warning in found["warnings"])
