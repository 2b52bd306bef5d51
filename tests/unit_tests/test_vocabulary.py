"""Additions to the closed lists: what would single somebody out is refused, with a reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cogenesis_langchain import additions, config
from cogenesis_langchain.closed_lists import SIZES, Vocabulary, shipped
from cogenesis_langchain.commands import vocabulary as command
from cogenesis_langchain.commands.main import app
from cogenesis_langchain.detect.lexicon import Lexicon
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import ConfigError, InputError
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.testing import FakeDetector, FakeEmbedder
from cogenesis_langchain.types import KnownValue, Level
from cogenesis_langchain.vocabulary_check import Checker
from cogenesis_langchain.vocabulary_suggest import FITS, LEAST, fits, propose

FREQUENT = ["night", "shift", "shifts", "train", "trains", "goat", "secret", "garden", "lamp", "rose"]
QUIET = FakeDetector(patterns={})
PLAIN = Lexicon(frozenset([*FREQUENT, "falconry", "zither"]))


def _checker(
    *, known: Sequence[str] = (), size: str = "full", detector: FakeDetector | None = None
) -> Checker:
    values = [KnownValues([KnownValue(value, "DECLARED", "declared")]) for value in known]
    return Checker(size, detector or QUIET, FakeEmbedder(), PLAIN, FREQUENT, values)


def _reason(name: str, **options: Any) -> str | None:
    [verdict] = _checker(**options).check({}, {name: "a description"})
    assert (verdict.bits == 0) == (not verdict.ok)
    return verdict.reason


# --- spelling, when a policy is loaded ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Rosalind", "small letters"),
        ("notes for Rosalind", "small letters"),
        ("ward 6", "digits"),
        ("room ④", "digits"),
        ("one two three four five", "at most 4"),
        ("well-known-one-two-three", "at most 4"),
        ("birthdays", "already"),
        ("birth day", "already"),
        ("four nine one seven", "numbers in words"),
        ("o'b'r'i'e'n", "single letters"),
        ("сlara", "one script"),  # a Cyrillic letter
        ("ｇａｒｄｅｎ", "one script"),
        ("weather, rain", "plain words"),
        ("a\nb", "plain words"),
        ("{topics}", "plain words"),
    ],
)
def test_a_policy_with_such_a_name_is_not_loaded(tmp_path: Path, name: str, says: str) -> None:
    """Every one of them is a fault with its line and key, beside the faults of other keys."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        f"version: 1\nvocabulary:\n  kinds: {{memos: x}}\n  topics:\n    {json.dumps(name)}: something\n"
    )
    with pytest.raises(ConfigError) as raised:
        config.load(path)
    assert f"{path}:3: key 'vocabulary.kinds.memos': the shipped lists" in str(raised.value)
    assert f"{path}:5: key 'vocabulary.topics." in str(raised.value)
    assert says in str(raised.value)
    with pytest.raises(ConfigError, match=r"vocabulary\.topics"):
        Vocabulary.load({}, {name: "something"})


@pytest.mark.parametrize("name", ["night shifts", "grown-up children", "children's books", "été"])
def test_plain_words_may_be_added(name: str) -> None:
    """Spaces, hyphens, apostrophes and accents are fine."""
    assert additions.fault(name) is None
    assert config.load({"version": 1, "vocabulary": {"topics": {name: "x"}}}).vocabulary.topics == {name: "x"}


@pytest.mark.parametrize("size", SIZES)
def test_names_of_any_size_are_taken(size: str) -> None:
    """Those of groups and of fine entries, also in the plural or turned round."""
    lists = shipped(size)
    for name in (*lists.topics, *lists.fine_topics):
        assert additions.fault(f"{name}s", {*lists.topics, *lists.fine_topics}) is not None
    assert additions.fault("planning project", {"project-planning"}) is not None


# --- the deeper look ---------------------------------------------------------------------------------


def test_common_words_are_accepted_with_the_bits_they_add() -> None:
    """Exactly what the lists would tell more with them, for kinds and for topics."""
    checker = _checker(size="small")
    kind, topic = checker.check({"garden lamp": "x"}, {"night shifts": "y"})
    before = Vocabulary.load(size="small").bits(Level.TOPIC)
    for verdict, with_it in (
        (kind, Vocabulary.load({"garden lamp": "x"}, {}, size="small")),
        (topic, Vocabulary.load({}, {"night shifts": "y"}, size="small")),
    ):
        assert verdict.ok
        assert verdict.bits == pytest.approx((with_it.bits(Level.TOPIC) or 0) - (before or 0))
        assert verdict.bits > 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rosalind", "in no English dictionary"),
        ("garden rosalind", "in no English dictionary"),
        ("falconry", "'falconry' is a rare word"),
        ("zither garden", "'zither' is a rare word"),
        ("ward 6", "digits"),
    ],
)
def test_names_and_rare_words_are_refused(name: str, says: str) -> None:
    """A dictionary tells names from words, and how often a word is written tells who might be meant."""
    assert says in (_reason(name) or "")


def test_words_of_the_shipped_lists_are_never_rare() -> None:
    """What we ship was chosen to be common enough."""
    checker = Checker("full", QUIET, FakeEmbedder(), Lexicon(frozenset(["teamwork", "eulogy"])), [])
    assert [verdict.reason for verdict in checker.check({}, {"teamwork eulogy": ""})] == [None]


def test_known_values_are_refused_without_saying_whose_or_what() -> None:
    """Any user's value counts, and the reason names neither."""
    reason = _reason("secret garden", known=["Bartholomew Quill", "Secret Garden"])
    assert reason == "it holds a private value of somebody whose context is stored here"
    assert _reason("secret garden", known=["Bartholomew Quill"]) is None


def test_what_the_detector_finds_is_refused() -> None:
    """In the sentence as it would go out, and in the name with capitals, unless it is a lone plural."""
    in_small = FakeDetector(patterns={"PHRASE": r"night train\b"})
    assert "nothing that holds it would be sent" in (_reason("night train", detector=in_small) or "")
    as_name = FakeDetector(patterns={"PERSON": r"\b(?:Rose|Goat|Trains)\b"})
    assert "may be read as the name" in (_reason("rose", detector=as_name) or "")
    assert _reason("trains", detector=as_name) is None
    once = FakeDetector(patterns={"PERSON": r"about Goat\b"})
    assert _reason("goat", detector=once) is None


def test_a_second_word_for_the_same_is_refused() -> None:
    """The entry that has it is named."""
    lists = shipped("full").fine_topics
    assert lists["shopping"].phrase == "a purchase"
    plain = Lexicon(frozenset(["a", "purchase"]))
    checker = Checker("tiny", QUIET, FakeEmbedder(), plain, [])
    [verdict] = checker.check({}, {"a purchase": ""})
    assert verdict.reason == "the lists have 'shopping', which means nearly the same"


# --- suggestions -------------------------------------------------------------------------------------

REQUESTS = [
    "please describe our goat for the farmer",
    "something short on the goats we sold",
    "my goat again, the small one",
    "falconry for beginners",
    "falconry gloves",
    "falconry hoods",
    "a lamp", "a lamp in the hall",
    "Rose wants it", "Rose came by", "Rose left us",
]  # fmt: skip


def test_common_words_of_three_badly_fitting_requests_are_proposed() -> None:
    """Not rare ones, not those of two requests, not names; singular and plural count as one."""
    found = list(propose(REQUESTS, [0.0] * len(REQUESTS), _checker(), FakeEmbedder()))
    assert [(one.name, one.requests) for one in found] == [("goat", 3)]
    assert found[0].bits == _checker().check({}, {"goat": ""})[0].bits


def test_fewer_than_three_requests_are_never_enough() -> None:
    """Whatever is asked for, and a request that is there three times is one request."""
    assert list(propose(["a lamp", "the lamp"], [0.0] * 2, _checker(), FakeEmbedder(), least=1)) == []
    assert list(propose(["a lamp"] * LEAST, [0.0] * LEAST, _checker(), FakeEmbedder())) == []


def test_requests_that_fit_do_not_count() -> None:
    """Two of the three goats fit a topic already."""
    scores = [FITS, FITS + 0.1] + [0.0] * (len(REQUESTS) - 2)
    assert list(propose(REQUESTS, scores, _checker(), FakeEmbedder())) == []


def test_a_word_that_says_less_than_the_lists_is_not_proposed() -> None:
    """It must be nearer to its requests than the best topic is: here goats are, and then no longer."""
    for score, count in ((0.2, 1), (FITS - 0.01, 0)):
        found = propose(REQUESTS[:3], [score] * 3, _checker(), FakeEmbedder())
        assert len(list(found)) == count


def test_a_request_that_names_a_topic_fits() -> None:
    """By its cue words; one that shares nothing with the lists does not."""
    good, bad = fits(["a song about dogs and cats", "qqqq wwww"], shipped("full"), FakeEmbedder())
    assert good >= FITS > bad


# --- the command -------------------------------------------------------------------------------------


@pytest.fixture
def run(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`cogenesis vocabulary ARGUMENTS` with a small dictionary; the store is Dana's."""
    monkeypatch.setattr(command, "load_engine", lambda *_: engine)
    monkeypatch.setattr(command, "_checker", lambda _engine: _checker(known=["Secret Garden"]))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["vocabulary", *arguments])

    return call


def test_show_tells_lists_and_bits_of_every_size(run: Any) -> None:
    """One size in full, all five side by side."""
    done = run("show", "--config", "preset:default", "--size", "tiny", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    lists = shipped("tiny")
    assert [kind["phrase"] for kind in found["kinds"]] == [entry.phrase for entry in lists.kinds.values()]
    assert {name for topic in found["topics"] for name in topic["holds"]} == lists.fine_topics.keys()
    assert [row["size"] for row in found["sizes"]] == list(SIZES)
    for row in found["sizes"]:
        assert row["bits_topic"] == pytest.approx(shipped(row["size"]).bits(Level.TOPIC), abs=0.001)
    assert [row["size"] for row in found["sizes"] if row["in_use"]] == [
        config.load("preset:default").vocabulary.size
    ]
    table = run("show", "--config", "preset:default")
    assert all(size in table.stdout for size in SIZES)
    assert isinstance(run("show", "--size", "huge").exception, InputError)


def test_check_exits_2_where_one_is_refused(run: Any) -> None:
    """All verdicts are given; the private value itself is only what was typed."""
    done = run(
        "check", "--topic", "secret garden=where we meet", "--topic", "goat", "--kind", "falconry", "--json"
    )
    assert done.exit_code == command.REFUSED
    found = json.loads(done.stdout)
    assert [(one["list"], one["name"], one["ok"]) for one in found["additions"]] == [
        ("kinds", "falconry", False),
        ("topics", "secret garden", False),
        ("topics", "goat", True),
    ]
    assert not found["ok"]
    assert "where we meet" not in done.stdout
    assert run("check", "--topic", "goat").exit_code == 0


def test_check_without_names_looks_at_the_policy(run: Any, engine: Engine) -> None:
    """Its additions, or nothing where it has none."""
    assert "adds nothing" in run("check").stdout
    own = engine.config.vocabulary.model_copy(update={"topics": {"falconry": "x"}})
    engine.config = engine.config.model_copy(update={"vocabulary": own})
    done = run("check")
    assert done.exit_code == command.REFUSED
    assert "refused  topic 'falconry'" in done.stdout


def test_suggest_shows_words_and_never_requests(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From lines or from objects; what it prints are the words that passed."""
    monkeypatch.setattr("cogenesis_langchain.vocabulary_suggest.fits", lambda texts, *_: [0.0] * len(texts))
    lines, objects = tmp_path / "mine.txt", tmp_path / "mine.jsonl"
    lines.write_text("\n".join(REQUESTS) + "\n", encoding="utf-8")
    rows = [{"instruction": REQUESTS[0]}, {"text": REQUESTS[1]}, REQUESTS[2]]
    objects.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for path, count in ((lines, len(REQUESTS)), (objects, 3)):
        done = run("suggest", "--data", str(path), "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["requests"], found["fit_badly"]) == (count, count)
        assert [one["name"] for one in found["topics"]] == ["goat"]
    shown = run("suggest", "--data", str(lines)).stdout
    assert "topics: {goat: ...}" in shown
    assert "farmer" not in shown


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"  \n", "holds no requests"),
        ("a.txt", b"\xff", "no UTF-8"),
        ("a.csv", b"x", "not a .txt or .jsonl"),
        ("a.jsonl", b'"fine"\n{"no": "Zanzibarian"}', "line 2: needs"),
        ("a.jsonl", b"Zanzibarian", "line 1: no JSON"),
    ],
)
def test_faulty_files_are_named_and_not_quoted(
    run: Any, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    """With the line where there is one."""
    (tmp_path / name).write_bytes(content)
    error = run("suggest", "--data", str(tmp_path / name)).exception
    assert isinstance(error, InputError)
    assert says in str(error)
    assert "Zanzibarian" not in str(error)
    assert isinstance(run("suggest", "--data", str(tmp_path / "none.txt")).exception, InputError)
