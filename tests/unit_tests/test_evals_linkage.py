"""The linkage attack: a planted leak is found, what tells nothing links nobody, bodies are the router's."""

from __future__ import annotations

import json
import math
import random
import stat
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from cogenesis_langchain.commands import common
from cogenesis_langchain.commands import linkage as linkage_command
from cogenesis_langchain.commands.common import bar
from cogenesis_langchain.commands.linkage import METHODS
from cogenesis_langchain.commands.main import app
from cogenesis_langchain.config import load
from cogenesis_langchain.embed import Embedder
from cogenesis_langchain.errors import InputError, ModelMissingError
from cogenesis_langchain.evals import attackers, outgoing, presidio_default, usefulness
from cogenesis_langchain.evals.attackers import Holdings, Seen
from cogenesis_langchain.evals.attributes import infer, standing
from cogenesis_langchain.evals.linkage import Linked, assess, attack, judged
from cogenesis_langchain.evals.outgoing import Outgoing, RememberingWriter, Sent, strings, telling
from cogenesis_langchain.evals.persons import Person, read_persons
from cogenesis_langchain.evals.plot import draw
from cogenesis_langchain.evals.posterior import fit, softmax
from cogenesis_langchain.testing import FakeDetector, FakeEmbedder, FakeWriter
from cogenesis_langchain.writer import opening
from cogenesis_langchain.writer.parts import Turn

JOBS = ("baker", "sailor", "judge", "nurse", "potter", "pilot", "tailor", "miner")
PLAIN = ("apple", "river", "stone", "cloud", "lamp", "chair", "paper", "glass", "wheel", "bridge", "garden")
PERSONS, REQUESTS = 40, 4
WHOLE = '{"tasks": ["a"], "profile": {"Name": "a"}}'
"""A line of a file of persons."""


def person(number: int) -> Person:
    """Somebody with a job that four others have, an age, and words that nobody else has."""
    rng = random.Random(number)
    own = [f"own{number}x{i}" for i in range(4)]
    fields = {
        "name": f"Person{number}",
        "age": str(20 + rng.randrange(50)),
        "occupation": JOBS[number % len(JOBS)],
        "location": f"Town{number}, Land{number % 3}",
        "facts": "; ".join(f"keeps {word} {rng.choice(PLAIN)}" for word in own),
    }
    tasks = tuple(f"write about task{number}r{r} {rng.choice(PLAIN)}" for r in range(REQUESTS))
    return Person(str(number), tasks, fields, (("an earlier text", f"{own[0]} {rng.choice(PLAIN)}"),))


@pytest.fixture(scope="module")
def held() -> Holdings:
    """What an attacker holds of forty persons."""
    return Holdings([person(number) for number in range(PERSONS)], FakeEmbedder())


def bodies(held: Holdings, says: Any) -> list[Seen]:
    """What each request of each person sends: `says(number, request)`."""
    return [
        Seen(number, task, says(number, request))
        for number, one in enumerate(held.persons)
        for request, task in enumerate(one.tasks)
    ]


def by_attacker(linked: list[Linked]) -> dict[str, Linked]:
    """The figures of each attacker."""
    return {one.attacker: one for one in linked}


# --- the attackers ----------------------------------------------------------------------------------------


def test_a_planted_leak_is_found_by_every_attacker(held: Holdings) -> None:
    """Words of the person's own in each body give the person away, alone and pooled."""
    seen = bodies(held, lambda n, r: f"own{n}x{r} own{n}x{(r + 1) % 4}")
    found = attack(seen, held, together=(1, 5))
    assert all(one.top1 > 0.9 for count in (1, 5) for one in found[count])
    assert by_attacker(found[5])["trained"].worst_decile > 0.9
    assert by_attacker(found[1])["tfidf"].entropy < math.log2(PERSONS) / 2


def test_a_body_that_is_always_the_same_links_nobody(held: Holdings) -> None:
    """Every candidate stays as likely as before: nothing of how folds are crossed shows through."""
    found = attack(bodies(held, lambda n, r: "write a text"), held, together=(1, 5))
    for one in (*found[1], *found[5]):
        assert one.top1 == pytest.approx(1 / PERSONS)
        assert one.entropy == pytest.approx(math.log2(PERSONS), abs=1e-6)


def test_bodies_that_depend_on_nobody_link_nobody(held: Holdings) -> None:
    """Random words: no attacker is more than four standard errors above chance, and none is sure."""
    rng = random.Random(4)
    seen = bodies(held, lambda n, r: f"write a {rng.choice(PLAIN)} about {rng.choice(PLAIN)}")
    chance = 1 / PERSONS
    found = attack(seen, held, together=(1, 5))
    for count, rows in ((1, PERSONS * REQUESTS), (5, PERSONS)):
        bound = chance + 4 * math.sqrt(chance * (1 - chance) / rows)
        for one in found[count]:
            assert one.top1 <= bound, one
            assert one.entropy > math.log2(PERSONS) - 1
    for guessed in infer(seen, held):
        assert guessed.low <= 0 or guessed.points < 8, guessed


def test_no_model_saw_whom_it_scores_and_each_saw_as_many_others(
    held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folds are left out in every block, in the right person's own too: else it would stand out."""
    folds, blocks, learn = held.folds, list[tuple[int, int]](), attackers._mapped

    def watched(bodies: Any, profiles: Any, whose: Any, train: Any, rows: Any, candidates: Any) -> Any:
        seen = set(folds[whose[train]])
        (of_person,), (of_candidates,) = set(folds[whose[rows]]), set(folds[candidates])
        assert not seen & {of_person, of_candidates}
        assert len(seen) == attackers.FOLDS - 2
        blocks.append((of_person, of_candidates))
        return learn(bodies, profiles, whose, train, rows, candidates)

    monkeypatch.setattr(attackers, "_mapped", watched)
    attackers.features(bodies(held, lambda n, r: f"own{n}x0"), held)
    assert len(set(blocks)) == len(blocks) == attackers.FOLDS**2


def test_the_trained_attacker_learns_what_the_mechanism_lets_through(held: Holdings) -> None:
    """Code words for jobs share no word with any profile: only who saw other persons' pairs gains."""
    codes = dict(zip(JOBS, PLAIN[::-1], strict=False))
    seen = bodies(held, lambda n, r: f"write zz{codes[JOBS[n % len(JOBS)]]}zz")
    found = by_attacker(attack(seen, held, together=(1,))[1])
    assert found["trained"].top5 > 0.6  # five persons share a job
    assert found["trained"].top5 > 2 * max(found["tfidf"].top5, found["minilm"].top5)
    guessed = {one.attribute: one for one in infer(seen, held)}
    assert guessed["occupation"].low > 10
    assert guessed["age"].low <= 0


def test_a_private_fact_in_a_body_is_picked_among_ten(held: Holdings) -> None:
    """Ten points are the prior; the fact itself is found nearly always."""
    seen = bodies(held, lambda n, r: f"write that somebody keeps own{n}x0 own{n}x1 own{n}x2 own{n}x3")
    fact = next(one for one in infer(seen, held) if one.attribute == "private fact")
    assert fact.prior == pytest.approx(0.1)
    assert fact.low > 70


def test_profiles_without_a_word_link_nobody() -> None:
    """Letters and stop words alone are no fault of the program."""
    nobody = Holdings([Person(str(n), ("x",), {"name": "abcd"[n]}) for n in range(4)], FakeEmbedder())
    found = by_attacker(attack(bodies(nobody, lambda *_: "the"), nobody)[1])
    assert found["tfidf"].top1 == pytest.approx(0.25)


def test_ties_share_and_the_worst_tenth_is_of_persons() -> None:
    """Two candidates who are as likely share the first place; the figures are those of the posterior."""
    posterior = np.array([[0.4, 0.4, 0.2], [0.1, 0.8, 0.1]])
    one = judged("x", posterior, np.array([0, 1]))
    assert one.top1 == pytest.approx(0.75)
    assert one.top5 == 1.0
    assert one.worst_decile == pytest.approx(0.8)
    entropy = -2 * 0.4 * math.log2(0.4) - 0.2 * math.log2(0.2)
    assert one.entropy == pytest.approx((entropy - 0.8 * math.log2(0.8) - 0.2 * math.log2(0.1)) / 2)


def test_the_fit_finds_the_weights_that_made_the_choices() -> None:
    """A conditional logit on choices drawn with known weights gives these back, also from a steep start."""
    rng = np.random.default_rng(3)
    x, weights = rng.normal(size=(3000, 8, 2)), np.array([4.0, -1.0])
    drawn = np.array([rng.choice(8, p=p) for p in softmax(x @ weights)])
    assert fit(x, drawn) == pytest.approx(weights, abs=0.35)


# --- what is attacked -------------------------------------------------------------------------------------


def outgoing_of(folder: Path) -> Outgoing:
    """The real router over fakes."""
    config = load({"version": 1, "store": {"path": str(folder), "keys": "file"}})
    rooms: dict[str, Any] = {"detector": FakeDetector(), "embedder": FakeEmbedder(), "writer": FakeWriter()}
    return Outgoing(config, folder, **rooms)


def test_bodies_are_those_of_the_router(tmp_path: Path) -> None:
    """Raw and cut as they are, mask with placeholders, topic and kind without a word of the request."""
    made = outgoing_of(tmp_path)
    someone = Person("1", ("Invite them: greet Orla Venn of Quibbleton",), {"name": "Orla Venn"})
    sent = {one.method: one for one in made.of(0, someone, ["raw", "cut", "mask", "topic", "kind"])}
    assert sent["raw"].text == someone.tasks[0]
    assert sent["cut"].text == "Invite them"
    mask, told, only = (str(sent[name].text) for name in ("mask", "topic", "kind"))
    assert "Quibbleton" in mask
    assert "Orla" not in mask
    assert [sent[name].level for name in ("mask", "topic", "kind")] == [None, "topic", "kind"]
    lists = made.engine.vocabulary
    assert any(kind.phrase in only for kind in lists.kinds.values())
    assert any(f" about {topic.phrase}" in told for topic in lists.topics.values())
    assert " about " not in only
    assert not {"Orla", "Venn", "Quibbleton", "greet"} & set((told + only).split())


def test_default_presidio_sends_the_request_with_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it finds stands behind labels, overlapping findings behind one; it is loaded once."""
    loaded = [FakeDetector(patterns={"PERSON": "Orla Venn", "SURNAME": "Venn"})]
    monkeypatch.setattr(presidio_default, "PresidioDefault", loaded.pop)
    someone = Person("1", ("Greet Orla Venn of Quibbleton", "Write to Orla Venn"), {"name": "Orla Venn"})
    sent = [one.text for one in outgoing_of(tmp_path).of(0, someone, ["presidio"])]
    assert sent == ["Greet <PERSON> of Quibbleton", "Write to <PERSON>"]


def test_a_request_for_which_nothing_leaves_is_no_row_of_the_attack(tmp_path: Path, held: Holdings) -> None:
    """A veto on the kind itself keeps the body here: it lowers the send rate and is attacked by nobody."""
    made = outgoing_of(tmp_path)
    phrases = {f"motto {n}": kind.phrase for n, kind in enumerate(made.engine.vocabulary.kinds.values())}
    (sent,) = made.of(0, Person("1", ("Please write it",), phrases), ["topic"])
    assert (sent.text, sent.route) == (None, "local")
    rows = [Sent("topic", n, 0, None if n % 2 else f"own{n}x0") for n in range(PERSONS)]
    found = assess("topic", rows, held, together=(1,))
    assert (found.rows, found.sent, found.send_rate) == (PERSONS, PERSONS // 2, 0.5)
    nothing = assess("topic", [Sent("topic", 0, 0, None)], held)
    assert (nothing.linked, nothing.similarity) == ({}, None)


def test_every_string_of_a_body_counts_but_for_what_all_share() -> None:
    """All roles and fields are read; the frame around the task is what every body has."""
    body = {"messages": [{"role": "system", "content": "frame\none"}], "user": {"tag": "hidden"}, "n": 3}
    text = strings(json.dumps(body))
    assert text.split("\n") == ["system", "frame", "one", "hidden", "3"]
    assert telling([text, text.replace("one", "two")]) == ["one", "two"]


def test_answers_are_kept_by_hash_and_asked_for_once(tmp_path: Path) -> None:
    """A second run with the same file asks nothing; what depends on context is never kept."""
    keep, prompt = tmp_path / "kept", (Turn("user", ("a question about pears",)),)
    asked: list[str] = []

    def writer() -> FakeWriter:
        asked.append("once")
        return FakeWriter()

    first = RememberingWriter(writer, keep)
    chosen = first.choose(prompt, ["apples", "pears"])
    written = "".join(first.write(prompt, scope="", temperature=0.0, max_tokens=5))
    assert "".join(first.write(prompt, scope="me", temperature=0.0))
    assert (chosen, len(asked)) == ("pears", 3)
    with keep.open("a") as file:
        file.write('["cut off by Ctrl-C')
    again = RememberingWriter(writer, keep)
    assert again.choose(prompt, ["apples", "pears"]) == chosen
    assert "".join(again.write(prompt, scope="", temperature=0.0, max_tokens=5)) == written
    assert len(asked) == 3
    assert again.seconds == pytest.approx(sum(s for *_, s in again._answers.values()))
    assert stat.S_IMODE(keep.stat().st_mode) == 0o600
    assert len(keep.read_text().splitlines()) == 3
    assert 'pears"' not in keep.read_text().replace(json.dumps(chosen), "")
    assert again.choose((Turn("user", ("about apples",)),), ["apples", "pears"]) == "apples"
    third = RememberingWriter(writer, keep)  # what was kept after the line that was cut off is there
    assert third._answers == again._answers
    assert len(third._answers) == 3


def test_nothing_is_added_to_a_file_of_another_kind(tmp_path: Path) -> None:
    """A text that was named by mistake is left as it is."""
    for text in ("My diary.\nDear diary\n", '{"a": 1}\n', '["a"]\n', "x"):
        (tmp_path / "diary.txt").write_text(text)
        with pytest.raises(InputError, match="no file of kept answers"):
            RememberingWriter(FakeWriter, tmp_path / "diary.txt")


def test_private_values_that_stand_in_a_body_are_counted() -> None:
    """Names, places, employers and four words of a fact in a row; not everyday words."""
    someone = Person(
        "1",
        ("x",),
        {"name": "Orla Will", "location": "Quibbleton, Fenland", "employer": "Vex & Sons",
         "facts": "Breeds tiny blue newts at home; is writing a proposal for a new pond"},
    )  # fmt: skip
    assert standing("Write a letter about what will come, or a proposal for a plan.", someone) == []
    assert standing("Dear orla, welcome to QUIBBLETON", someone) == ["name", "place"]
    assert standing("from vex & sons: she breeds tiny blue newts", someone) == ["employer", "fact"]


# --- files, picture, command ------------------------------------------------------------------------------


def test_both_formats_are_read_alike(tmp_path: Path) -> None:
    """A CoGenesis record and a line of our own give the same person."""
    record = {
        "conversations": [{"from": "user", "value": "Write: x"}, {"from": "assistant", "value": "gold"}],
        "additional_tasks": ["Draft y"],
        "profile": [{"title": "t", "text": "w"}],
        "additional_profile": "Name: Orla Venn\nAge: 44 years\nPrivacy_info: one; two",
    }
    own = {
        "id": "1",
        "tasks": ["Write: x", "Draft y"],
        "gold": "gold",
        "profile": {"Name": "Orla Venn", "Age": "44 years", "Privacy_info": ["one", "two"]},
        "writings": [{"title": "t", "text": "w"}],
    }
    (tmp_path / "a.json").write_text(json.dumps([record, record]))
    (tmp_path / "b.jsonl").write_text(f"{json.dumps(own)}\n{json.dumps(own)}\n")
    first, second = read_persons(tmp_path / "a.json")[0], read_persons(tmp_path / "b.jsonl")[0]
    assert first == second
    assert (first.age, first.facts) == (44, ("one", "two"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{", "no JSON"),
        ("a.json", "{}", "needs a list"),
        ("a.json", '[{"conversations": [{"value": "SECRET"}]}]', "entry 1"),
        ("a.jsonl", f'{WHOLE}\n{{"tasks": ["SECRET"]}}', "line 2"),
        ("a.jsonl", f'{WHOLE}\n{{"tasks": [" "], "profile": {{"Name": "b"}}}}', "line 2"),
        ("a.jsonl", f'{WHOLE}\n{{"tasks": "SECRET", "profile": {{"Name": "b"}}}}', "line 2"),
        ("a.jsonl", f'{WHOLE}\n{{"tasks": ["SECRET"], "profile": {{"Name": null}}}}', "line 2"),
        ("a.jsonl", f'{WHOLE}\n{{"tasks": ["SECRET"], "profile": {{"Name": {{}}}}}}', "line 2"),
        ("a.jsonl", WHOLE, "fewer than two persons"),
        ("a.txt", "", "not a .json"),
    ],
)
def test_a_wrong_file_is_named_without_its_text(tmp_path: Path, name: str, text: str, says: str) -> None:
    """The entry or line stands in the error, what it holds does not."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_persons(tmp_path / name)
    assert "SECRET" not in str(caught.value)


def test_the_shipped_persons_are_enough_to_try_it() -> None:
    """At least twelve, each with five requests, private facts, an earlier text and a gold one."""
    persons = read_persons(None)
    assert len(persons) >= 12
    assert all(len(one.tasks) == 5 and one.facts and one.writings and one.gold and one.age for one in persons)
    assert len({one.id for one in persons}) == len(persons)


def test_the_picture_has_a_point_for_each_method_that_sent(held: Holdings) -> None:
    """Well-formed, without anything that is loaded or run, and without methods that sent nothing."""
    rows = [
        {"method": name, "similarity": 0.5, "seconds": 1.0,
         "linkage": [{"requests": 1, "worst": {"top1": 0.1}}] if name != "free" else []}
        for name in ("raw", "free", "topic")
    ]  # fmt: skip
    text = draw({"persons": 40, "chance": 0.025, "methods": rows})
    root = ET.fromstring(text)
    points = [one for one in root.iter() if one.get("class") == "point"]
    assert len(points) == 2
    shapes = [{part.get("class"): part.tag.rpartition("}")[2] for part in one} for one in points]
    assert [(one.get("other"), one.get("ours")) for one in shapes] == [("rect", None), (None, "circle")]
    assert "prefers-color-scheme: dark" in text
    assert not {"script", "image", "href"} & {one.tag.rpartition("}")[2] for one in root.iter()}
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_no_name_in_the_picture_stands_on_another_or_on_a_point() -> None:
    """Seven methods that did alike, as they do with few persons, can still be told apart."""
    rows = [
        {"method": name, "similarity": 0.97, "seconds": 0.5 * n,
         "linkage": [{"requests": 1, "worst": {"top1": 1.0 - 0.01 * n}}]}
        for n, name in enumerate(METHODS)
    ]  # fmt: skip
    root = ET.fromstring(draw({"persons": 4, "chance": 0.25, "methods": rows}))
    parts = [part for one in root.iter() if one.get("class") == "point" for part in one]
    papers = [part for part in parts if part.get("class") == "paper"]
    boxes = [tuple(float(one.get(key, "")) for key in ("x", "y", "width", "height")) for one in papers]
    for number, (x, y, width, height) in enumerate(boxes):
        assert 70 <= x <= x + width <= 720
        for a, b, wide, high in boxes[:number]:
            assert x >= a + wide or a >= x + width or y >= b + high or b >= y + height
    circles = [part for part in parts if part.tag.endswith("circle")]
    discs = [tuple(float(one.get(key, "")) for key in ("cx", "cy", "r")) for one in circles]
    for x, y, width, height in boxes:
        assert not any(x < a < x + width and y < b < y + height for a, b, _ in discs)
    assert (len(boxes), len(discs)) == (7, 4)


@pytest.fixture
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command over fakes."""
    made = outgoing.Outgoing
    fakes = {"detector": FakeDetector(), "embedder": FakeEmbedder(), "writer": FakeWriter()}
    monkeypatch.setattr(outgoing, "Outgoing", lambda *given, **rooms: made(*given, **(fakes | rooms)))
    monkeypatch.setattr(Embedder, "default", FakeEmbedder)


@pytest.mark.usefixtures("without_models")
def test_the_command_prints_every_column(tmp_path: Path) -> None:
    """One JSON document with all methods asked for, and a picture beside it; else tables."""
    some = [person(number) for number in range(12)]
    lines = [{"tasks": one.tasks[:1], "profile": dict(one.fields)} for one in some]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, lines)))
    picture = tmp_path / "curve.svg"
    arguments = ["eval", "linkage", "-c", "preset:default", "--data", str(tmp_path / "some.jsonl")]
    result = CliRunner().invoke(
        app, [*arguments, "--methods", "raw,topic,kind", "--plot", str(picture), "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["method"] for row in found["methods"]] == ["raw", "topic", "kind"]
    raw, topic, kind = found["methods"]
    assert (raw["bits"], topic["bits"], kind["bits"]) == (None, found["bits"]["topic"], found["bits"]["kind"])
    assert topic["bits"] > kind["bits"]
    assert [one["requests"] for one in topic["linkage"]] == [1, 5]
    assert topic["standing"] == kind["standing"] == {}
    assert raw["similarity"] == 1.0
    assert {one["attribute"] for one in topic["linkage"][0]["attributes"]} >= {"occupation", "private fact"}
    assert ET.parse(picture).getroot().tag.endswith("svg")
    shown = CliRunner().invoke(app, [*arguments, "--methods", "raw", "--requests", "1"])
    assert "worst top-1" in shown.stdout
    assert "private fact" in shown.stdout


class Fixed:
    """A stand-in cloud and a writer in one: a sketch repeats the task, and the longer, the likelier."""

    def __init__(self, *given: Any) -> None:
        self.told: list[str] = []

    def sketch(self, task: str) -> str:
        """The task."""
        self.told.append(task)
        return task

    def score(self, prompt: Any, text: str, *, scope: str = "") -> Any:
        """One token."""
        return np.array([-1.0])

    def count(self, text: str) -> int:
        """Words."""
        return len(text.split())

    def close(self) -> None:
        """Nothing is open."""


def test_the_writer_is_given_what_each_method_tells_of_the_first_request(
    held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sketch is drafted from what left, without the frame that all bodies share; from nothing else."""
    cloud = Fixed()
    monkeypatch.setattr(usefulness, "StandIn", lambda: cloud)
    monkeypatch.setattr(opening, "of_catalogue", Fixed)
    persons = [replace(one, gold="a text" if n < 2 else "") for n, one in enumerate(held.persons[:3])]
    sent = [
        Sent("topic", n, r, None if n == 1 else f"frame\nsaid {n} {r}\nuser")
        for n in range(3)
        for r in (0, 1)
    ]
    found = linkage_command.usefulness(persons, sent, ["topic"], bar())
    assert cloud.told == ["said 0 0"]
    assert found["topic"]["rows"] == 2
    assert found["topic"]["sketched"] == 0.5
    assert "none" in found


@pytest.mark.parametrize("gold", ["", "a text"])
def test_what_the_writer_needs_is_asked_for_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gold: str
) -> None:
    """Real texts and models: without them an attack of many minutes would end in an error."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path))
    monkeypatch.setattr(linkage_command, "_bodies", None)
    lines = [json.loads(WHOLE) | {"gold": gold}] * 2
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, lines)))
    arguments = [
        "eval",
        "linkage",
        "-c",
        "preset:default",
        "--data",
        str(tmp_path / "some.jsonl"),
        "--writer",
    ]
    with pytest.raises(ModelMissingError if gold else InputError, match="pull" if gold else "gold"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_figure_is_cut_on_a_screen(
    held: Holdings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """What is too wide goes into a second table that names the methods again."""
    rows = [Sent("topic", n, 0, f"own{n}x0", "sketch", "topic") for n in range(PERSONS)]
    found: dict[str, Any] = {"persons": PERSONS, "chance": 0.025, "without_sketch": None}
    found["methods"] = [assess("topic", rows, held, together=(1,)).as_dict() | {"bits": 7.3, "nll": None}]
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(common, "out", Console(highlight=False, soft_wrap=True, width=columns))
    linkage_command._show(found, 1)
    shown = capsys.readouterr().out
    worst = found["methods"][0]["linkage"][0]["worst"]
    assert f"{worst['low']:.3f}-{worst['high']:.3f}" in shown
    assert "similarity" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert shown.count("method") == {60: 3, 80: 2, 200: 1}[columns]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "raw,telepathy"], "telepathy"),
        (["--requests", "3"], "choose 1"),
        (["--size", "vast"], "choose from"),
        (["--plot", "/nowhere/at/all.svg"], "no folder"),
    ],
)
def test_a_wrong_option_is_named_before_any_work(arguments: list[str], says: str) -> None:
    """No model is loaded for a run that cannot end well."""
    result = CliRunner().invoke(app, ["eval", "linkage", "-c", "preset:default", *arguments])
    assert result.exit_code != 0
    assert says in str(result.exception)


def test_a_missing_extra_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn the error says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = CliRunner().invoke(app, ["eval", "linkage", "-c", "preset:default"])
    assert result.exit_code != 0
    assert "cogenesis-langchain[evals]" in str(result.exception)


def test_the_help_names_the_methods_that_exist() -> None:
    """The list that is shown without loading anything is the list that is run."""
    assert METHODS == outgoing.METHODS
