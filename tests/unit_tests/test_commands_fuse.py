"""`--route fuse` on the command line: forms, the page of a trace, the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cogenesis_langchain.commands import demo, running
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.store import ContextStore
from cogenesis_langchain.testing import FakeDetector, FakeEmbedder, FakeWriter, RecordingCloud, leaked
from cogenesis_langchain.types import Route
from tests.conftest import INSTRUCTION, USER, routed
from tests.unit_tests.test_commands import Run, cogenesis, use  # noqa: F401  (a fixture)

EngineMaker = Callable[..., Engine]
pytestmark = pytest.mark.usefixtures("settled")
MEAN = {"combiner": "mean"}


@pytest.fixture
def engine(make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Sketches everything unless another form is asked for; live is allowed."""
    engine = make_engine(routing=routed("mask"), fuse={**MEAN, "live": {"allow": True}})
    use(engine, monkeypatch)
    return engine


@pytest.mark.parametrize("form", ["draft", "live"])
def test_write_in_both_forms_makes_the_page(
    cogenesis: Run,  # noqa: F811
    engine: Engine,
    cloud: RecordingCloud,
    tmp_path: Path,
    form: str,
) -> None:
    """The text on stdout, the page in the file, readable by its owner alone; stdout says nothing else."""
    page = tmp_path / "out.html"
    done = cogenesis(
        "write", INSTRUCTION, "-u", USER, "--route", "fuse", "--form", form, "--trace", str(page), "--json"
    )
    assert done.code == 0, done.err
    assert done.json["route"] == ("fuse" if form == "draft" else "live")
    assert not leaked(cloud.raw)
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "Quillon" in html
    assert page.stat().st_mode & 0o077 == 0
    assert str(page) in done.err


def test_a_draft_is_followed_by_how_warm_it_was_drawn(
    cogenesis: Run,  # noqa: F811
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cloud's temperature and the local one are two: the policy's own say which."""
    given: dict[str, Any] = {}

    def fused(*_rooms: Any, **options: Any) -> Iterator[str]:
        given.update(options)
        yield "Dear Quillon"

    monkeypatch.setattr("cogenesis_langchain.fuse.draft.fuse_draft", fused)
    assert cogenesis("write", INSTRUCTION, "-u", USER, "--route", "fuse", "--json").json["route"] == "fuse"
    models = engine.config.models
    assert models.cloud is not None
    assert (given["drafted_at"], given["temperature"]) == (models.cloud.temperature, models.local.temperature)
    assert given["drafted_at"] != given["temperature"]


def test_a_form_that_the_policy_does_not_allow_is_said(
    cogenesis: Run,  # noqa: F811
    make_engine: EngineMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks for live and gets a draft learns why, and what would allow it."""
    use(make_engine(routing=routed("mask"), fuse=MEAN), monkeypatch)
    asked = ("write", INSTRUCTION, "-u", USER, "--route", "fuse")
    assert "fuse.live.allow" in cogenesis(*asked, "--form", "live").err
    assert "note: the caller" not in cogenesis(*asked).err


def test_no_page_of_a_text_that_was_not_fused(
    cogenesis: Run,  # noqa: F811
    engine: Engine,
    tmp_path: Path,
) -> None:
    """It says so instead of writing an empty one."""
    page = tmp_path / "out.html"
    done = cogenesis("write", INSTRUCTION, "-u", USER, "--route", "local", "--trace", str(page))
    assert done.code == 0
    assert not page.exists()
    assert "not of route fuse" in done.err


def test_a_page_that_cannot_be_written_costs_no_text(
    cogenesis: Run,  # noqa: F811
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The text is out by then, stdout one document, and the exit code tells of it."""

    def full(path: Path, text: str) -> None:
        del text
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(running, "write_file", full)
    page = tmp_path / "out.html"
    done = cogenesis("write", INSTRUCTION, "-u", USER, "--route", "fuse", "--trace", str(page), "--json")
    assert (done.code, done.json["route"]) == (2, "fuse")
    assert done.json["text"]
    assert f"{page}: No space left on device" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--form", "live"), "--form goes with --route fuse"),
        (("--route", "sketch", "--form", "draft"), "--form goes with --route fuse"),
        (("--route", "fuse", "--trace", "/nowhere/at/all/page.html"), "there is no folder"),
    ],
)
def test_what_does_not_go_together_sends_nothing(
    cogenesis: Run,  # noqa: F811
    engine: Engine,
    cloud: RecordingCloud,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    """Found out before the work is done, with exit code 2."""
    done = cogenesis("write", INSTRUCTION, "-u", USER, *arguments)
    assert (done.code, cloud.requests) == (2, [])
    assert says in done.err


@pytest.mark.parametrize(("form", "route"), [("draft", "fuse"), ("live", "live")])
def test_explain_shows_the_first_body_and_asks_nobody(
    cogenesis: Run,  # noqa: F811
    engine: Engine,
    cloud: RecordingCloud,
    form: str,
    route: str,
) -> None:
    """Also what form live will send besides."""
    done = cogenesis("explain", INSTRUCTION, "-u", USER, "--route", "fuse", "--form", form, "--json")
    assert (done.json["route"], cloud.requests) == (route, [])
    assert '"top_logprobs":20' in done.json["outbound"][0]["body"]
    assert any("first of up to" in warning for warning in done.json["warnings"]) is (form == "live")


@pytest.mark.parametrize("form", ["draft", "live"])
def test_demo_shows_what_left_and_makes_the_page(
    cogenesis: Run,  # noqa: F811
    cloud: RecordingCloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    form: str,
) -> None:
    """The shipped person, the policy that the demo makes, and the page where one looks for it."""
    route = Route.LIVE if form == "live" else Route.FUSE

    @contextmanager
    def fake_engine(*_args: Any) -> Iterator[tuple[Engine, str]]:
        store = ContextStore(tmp_path / "store", FakeEmbedder())
        rooms = {"embedder": FakeEmbedder(), "detector": FakeDetector(), "writer": FakeWriter()}
        own = demo.demo_policy(route, cloud.base_url, tmp_path)
        own["fuse"] |= MEAN
        yield Engine(load(own), store=store, **rooms), f"{cloud.base_url} (stand-in, test)"

    monkeypatch.setattr(demo, "_engine", fake_engine)
    monkeypatch.chdir(tmp_path)
    shown = cogenesis("demo", "--route", "fuse", "--form", form)
    assert shown.code == 0, shown.err
    assert "Exactly these bytes leave" in shown.out
    assert ("The draft that came back" if form == "draft" else "bodies that left") in shown.out
    assert (tmp_path / demo.TRACE_FILE).exists()
