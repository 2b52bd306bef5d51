"""What fusion is worth on true texts: the figures of hand-made numbers, toy models, what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cogenesis_langchain.commands.main import app
from cogenesis_langchain.config import load
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import CloudError, ConfigError, InputError
from cogenesis_langchain.evals import fused_draft, fused_linkage, fusion, fusion_runs, gold
from cogenesis_langchain.evals.attackers import Holdings, Seen
from cogenesis_langchain.evals.fused_draft import KeptDrafts, drafted
from cogenesis_langchain.evals.fused_linkage import SHARES, linked, masked, parts
from cogenesis_langchain.evals.fused_live import Walk, Walks, told, walked
from cogenesis_langchain.evals.fused_private import Hidden, hidden
from cogenesis_langchain.evals.fusion import ORACLE, alone, forced, likeliest
from cogenesis_langchain.evals.gold import Gold, Golds, Setting
from cogenesis_langchain.evals.linkage import Linked
from cogenesis_langchain.evals.persons import Person
from cogenesis_langchain.fake_steps import FakeSteps
from cogenesis_langchain.fuse.asking import Live
from cogenesis_langchain.fusion.combiners import combiner
from cogenesis_langchain.fusion.distributions import Vocabulary, log_softmax
from cogenesis_langchain.fusion.features import Fused
from cogenesis_langchain.testing import FakeDetector, FakeEmbedder
from cogenesis_langchain.types import Draft, TopLogprobs
from cogenesis_langchain.writer.parts import Turn

MEAN = combiner("mean")
SETTING = Setting("toy-small", "toy-large", tokens=24)


class Toy:
    """A model over bytes that, the larger, the surer expects each byte of what its prompt ends with."""

    def __init__(self, name: str, *, sure: float = 2.0, shift: int = 0) -> None:
        self.name, self._sure, self._shift = name, sure, shift
        self.asked: list[str] = []
        self.drafts = 0

    @property
    def vocabulary(self) -> Vocabulary:
        """Bytes and an end."""
        return FakeSteps("", None).vocabulary

    def tokens(self, text: str) -> list[int]:
        """Bytes, or others where it is to be of another family."""
        return [byte + self._shift for byte in text.encode()]

    def count(self, text: str) -> int:
        """Bytes."""
        return len(text.encode())

    def logprobs(self, prompt: Any, tokens: Any) -> Any:
        """(n, V) Bytes that stand in the prompt are likelier."""
        text = "".join(part for turn in prompt for part in turn.parts)
        self.asked.append(text)
        logits = np.zeros((len(tokens), len(self.vocabulary.tokens.pieces)), dtype=np.float32)
        logits[:, sorted(set(text.encode()))] = self._sure
        return np.stack([log_softmax(row) for row in logits])

    def drafted(self, prompt: Any, prefix: str, *, tokens: int, k: int, rng: Any) -> Draft:
        """Goes on with the alphabet, each letter nearly sure; another one with each number drawn."""
        self.drafts += 1
        first = 0 if rng is None else int(rng.integers(26))
        said = bytes(97 + (first + len(prefix) + n) % 26 for n in range(tokens))
        return draft_of(said)

    def close(self) -> None:
        """Nothing."""


def draft_of(said: bytes) -> Draft:
    """A draft a byte a token, each with probability .9 and the next byte with .05."""
    high, low = float(np.log(0.9)), float(np.log(0.05))
    tops = [TopLogprobs(bytes([b]), high, (bytes([b]), bytes([(b + 1) % 256])), (high, low)) for b in said]
    return Draft(tuple(tops))


class Kept(Golds):
    """Without the chooser of generic tasks."""

    def sentence(self, person: Person) -> str:
        """Of everybody the same."""
        return "Write a letter."


def person(name: str, text: str = "zebras and quiet foxes jump") -> Person:
    """A fictional person with a true text."""
    return Person(name, ("Write to my aunt.",), {"name": name, "facts": f"keeps {name}bees"}, (), text)


PERSONS = [person("Ada"), person("Bob", "quartz of the vexed king")]
NUMBERED = list(enumerate(PERSONS))


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> tuple[Toy, Toy]:
    """A small and a large toy; of each token eight candidates are kept."""
    monkeypatch.setattr(gold, "WIDTH", 8)
    return Toy("toy-small", sure=1.0), Toy("toy-large", sure=3.0)


def golds_in(folder: Path, models: Any, setting: Setting = SETTING) -> list[Gold]:
    """What is kept there of two persons."""
    return list(Kept(folder, setting, models).of(NUMBERED))


def made(nll: dict[str, list[float]], number: int = 0) -> Gold:
    """A gold text of which only the costs matter."""
    costs = {name: np.array(values) for name, values in nll.items()}
    tokens = np.zeros(len(costs["lw"]), dtype=np.int64)
    return Gold(number, "Write a letter.", tokens, costs, [], [])


# --- figures ----------------------------------------------------------------------------------------------


def test_the_gap_is_between_local_with_context_and_cloud_with_context() -> None:
    """4 nats and 2: what costs 3.5 closes a quarter; the oracle takes the better of two."""
    rest = {"l0": [0.0, 0.0], "lb": [0.0, 0.0], "cb": [0.0, 0.0]}
    texts = [
        made(rest | {"lw": [4.0, 4.0], "cw": [2.0, 2.0], "cg": [3.0, 9.0]}),
        made(rest | {"lw": [4.0, 4.0], "cw": [2.0, 2.0], "cg": [5.0, 5.0]}, 1),
    ]
    found = {row.name: row.as_dict() for row in alone(texts)}
    assert found["local with context"]["gap_closed"] == 0.0
    assert (found[fusion.NEVER_SENT]["gap_closed"], found[fusion.NEVER_SENT]["never_sent"]) == (1.0, True)
    assert found[ORACLE]["nll"] == 3.75
    own = fusion.row("x", "y", texts, [np.array([3.5, 3.5]), np.array([3.5])]).as_dict()
    assert (own["gap_closed"], own["gap_low"], own["gap_high"], own["tokens"]) == (0.25, 0.25, 0.25, 3)


def test_there_is_no_share_of_a_gap_that_is_none() -> None:
    """Where the context helps the cloud's model no further than the local one."""
    text = made({"lw": [2.0], "cw": [2.5]})
    assert fusion.row("x", "y", [text], [np.array([1.0])]).as_dict()["gap_closed"] is None


def test_a_list_is_cut_where_the_endpoint_cuts_it() -> None:
    """Two of three candidates, the rest never among them; without a limit everything, the rest as one."""
    logs = np.log(np.array([0.2, 0.4, 0.1, 0.3]))  # the last is the rest
    two, whole = likeliest(logs, 2), likeliest(logs, 0)
    assert (sorted(two.ids), round(two.tail, 6)) == ([0, 1], 0.4)
    assert np.exp(two.logprobs).sum() == pytest.approx(0.6)
    assert sorted(whole.ids) == [0, 1, 2, 3]
    assert np.exp(whole.logprobs).sum() + whole.tail == pytest.approx(1.0)


def test_combiners_are_charged_for_the_true_token(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """With the whole list the mean's cost is that of the mean probability, of the source that is asked."""
    texts = golds_in(tmp_path / "w", models)
    rows = {row.setting: row for row in list(forced(texts, [MEAN], 0))[-1]}
    truth = [np.exp(-np.stack([text.nll["lw"], text.nll["cg"]])).mean(axis=0) for text in texts]
    assert rows["true text, generic"].nll == pytest.approx(-np.log(np.concatenate(truth)), abs=1e-3)
    bare = rows["true text, instruction"].nll
    truth = [np.exp(-np.stack([text.nll["lw"], text.nll["cb"]])).mean(axis=0) for text in texts]
    assert bare == pytest.approx(-np.log(np.concatenate(truth)), abs=1e-3)


# --- what is kept -----------------------------------------------------------------------------------------


def test_only_the_person_s_own_prompts_hold_the_context(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """Of the cloud's three readings one does, the bound that is never sent; one tells nothing."""
    golds_in(tmp_path / "w", models)
    for toy, readings in ((models[0], 3), (models[1], 3)):
        of_ada = toy.asked[:readings]
        assert sum("Adabees" in text for text in of_ada) == 1
        assert sum("aunt" in text for text in of_ada) == 2


def test_kept_numbers_are_right_and_read_again(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """Candidates and the rest add up to 1, the true token is among them, and no model is asked twice."""
    first = golds_in(tmp_path / "w", models)
    asked = len(models[0].asked)
    again = golds_in(tmp_path / "w", models)
    assert len(models[0].asked) == asked
    for one, other in zip(first, again, strict=True):
        for at, token in enumerate(one.tokens):
            rows = [other.at(at, source) for source in gold.SOURCES]
            assert np.exp(rows).sum(axis=1) == pytest.approx(1.0)
            place = int(np.searchsorted(other.ids[at], token))
            assert other.ids[at][place] == token
            assert -rows[0][place] == pytest.approx(one.nll["lw"][at], abs=1e-5)
    assert oct((tmp_path / "w").stat().st_mode & 0o777) == "0o700"


def test_a_damaged_file_is_made_anew(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """As after a full disk."""
    (whole, _) = golds_in(tmp_path / "w", models)
    file = tmp_path / "w" / "0.npz"
    file.write_bytes(file.read_bytes()[:100])
    (again, _) = golds_in(tmp_path / "w", models)
    assert (again.nll["lw"] == whole.nll["lw"]).all()


def test_a_folder_serves_one_setting(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """Numbers of other models are not mixed in, and nobody's own folder is filled."""
    golds_in(tmp_path / "w", models)
    with pytest.raises(InputError, match="other models or limits"):
        Golds(tmp_path / "w", Setting("toy-small", "toy-other"), models)  # type: ignore[arg-type]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not empty"):
        Golds(tmp_path / "own", SETTING, models)  # type: ignore[arg-type]


def test_two_vocabularies_are_refused(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """Token by token only models of a family can be compared."""
    with pytest.raises(InputError, match="share no vocabulary"):
        golds_in(tmp_path / "w", (models[0], Toy("toy-large", shift=1)))


# --- drafts -----------------------------------------------------------------------------------------------


def with_drafts(folder: Path, text: str, *says: bytes) -> tuple[list[Gold], KeptDrafts]:
    """One person with that true text, and drafts that say what they are told."""
    toy = Toy("toy-large")
    told = iter(says)
    toy.drafted = lambda *_, **__: draft_of(next(told))  # type: ignore[method-assign]
    models: Any = (Toy("toy-small"), Toy("toy-large"))
    texts = list(Kept(folder / "w", SETTING, models).of([(0, person("Ada", text))]))
    return texts, KeptDrafts(folder / "d", lambda: toy)  # type: ignore[arg-type,return-value]


def rows_of(texts: list[Gold], drafts: KeptDrafts, samples: list[int]) -> dict[str, Any]:
    """By setting."""
    steps = drafted(texts, drafts, FakeSteps("", None).vocabulary, [MEAN], samples)
    return {row.setting: row for row in list(steps)[-1]}


def test_a_draft_of_the_very_text_is_followed_from_the_second_token(
    tmp_path: Path, models: tuple[Toy, Toy]
) -> None:
    """Every token is a mean with the .9 that the draft gave it."""
    texts, drafts = with_drafts(tmp_path, "quiet foxes", b"quiet foxes and more")
    row = rows_of(texts, drafts, [1])["draft, samples 1, 12 bytes"]
    assert row.more == {"in_step": pytest.approx(10 / 11)}
    wanted = -np.log((np.exp(-texts[0].nll["lw"]) + 0.9 * 1 / (0.9 + 0.05 + 0.05)) / 2)
    assert row.nll[0] == pytest.approx(texts[0].nll["lw"][0])
    assert row.nll[1:] == pytest.approx(wanted[1:], abs=1e-3)


def test_out_of_step_the_local_model_is_alone(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """Nothing in common: each token costs what it costs locally."""
    texts, drafts = with_drafts(tmp_path, "quiet foxes", b"0123456789 0123456789")
    for row in rows_of(texts, drafts, [1]).values():
        assert row.nll == pytest.approx(texts[0].nll["lw"])
        assert row.more["in_step"] == 0


def test_more_samples_help_where_one_says_the_text(tmp_path: Path, models: tuple[Toy, Toy]) -> None:
    """The second draft is heard with two samples only; drafts are made once and kept."""
    texts, drafts = with_drafts(tmp_path, "quiet foxes", b"0123456789", b"quiet foxes and more")
    one = rows_of(texts, drafts, [1])["draft, samples 1, 12 bytes"]
    two = rows_of(texts, drafts, [1, 2])["draft, samples 2, 12 bytes"]
    assert two.more["in_step"] == pytest.approx(10 / 11)
    assert one.more["in_step"] == 0
    assert two.nll.sum() < one.nll.sum()
    assert rows_of(texts, drafts, [2])["draft, samples 2, 12 bytes"].nll == pytest.approx(two.nll)


def test_a_candidate_that_is_not_kept_counts_as_the_rest() -> None:
    """Its probability is not given to a kept one."""
    vocabulary = FakeSteps("", None).vocabulary
    listed = vocabulary.listed(draft_of(b"q").positions[0], np.zeros(300, dtype=np.float32))
    assert listed is not None
    found = fused_draft._columns(listed, np.array([3, ord("r")], dtype=np.int32))
    assert found.ids.tolist() == [1, 2]
    assert np.exp(found.logprobs) == pytest.approx([0.05, 0.9])


# --- live -------------------------------------------------------------------------------------------------


class Writer:
    """Gives toy steps that want to say one thing, and another in the shadow."""

    def __init__(self, text: str, shadow: str) -> None:
        self._says = text, shadow
        self.shadows: list[Any] = []

    @contextmanager
    def steps(self, prompt: Any, *, scope: str, shadow: Any = None) -> Iterator[FakeSteps]:
        """As the writer's own."""
        self.shadows.append(shadow)
        yield FakeSteps(self._says[0], None if shadow is None else self._says[1])

    def close(self) -> None:
        """Nothing."""


SAID, BESIDE = "0" * 40, "ab cd ef gh ij kl mn op qr st "
PROMPTS = {name: (Turn("user", (name,)),) for name in "w0b"}


class Deaf:
    """A combiner that goes by the local model alone."""

    name = "deaf"

    def fuse(self, local: Any, *_: Any) -> Fused:
        """Nothing of the cloud."""
        return Fused(local, 0.0)


def walks_in(folder: Path, writer: Writer, cloud: Any, combiner: Any = MEAN) -> Walks:
    """Kept there, by twenty candidates."""
    return Walks(folder, lambda: writer, lambda: cloud, combiner, 20)  # type: ignore[arg-type,return-value]


def hidden_of(name: str, task: str = "Write to my aunt.", patterns: Any = MappingProxyType({})) -> Hidden:
    """What must not show of a person with that name and request, by a detector of these patterns."""
    engine = Engine(load("preset:default", require_keys=False), detector=FakeDetector(patterns=patterns))
    return hidden(engine, Person("one", (task,), {"name": name}))


def walk(folder: Path, cloud: Any, live: Live, name: str = "") -> tuple[Gold, Walk, Writer]:
    """Ada's text, forced on the loop."""
    writer = Writer(SAID, BESIDE)
    tokens = np.frombuffer(b"quillfeather and foxes", dtype=np.uint8).astype(np.int64)
    nll = {"lw": np.full(len(tokens), 9.0), "cw": np.full(len(tokens), 1.0)}
    text = Gold(0, "Write a letter.", tokens, nll, [], [])
    return text, walks_in(folder, writer, cloud).along(text, lambda: (PROMPTS, hidden_of(name)), live), writer


class Quiet(Toy):
    """A cloud that knows nearly nothing, so that the local model says what it wants to."""

    def drafted(self, prompt: Any, prefix: str, *, tokens: int, k: int, rng: Any) -> Draft:
        """Names one unlikely byte."""
        self.drafts += 1
        self.asked.append(prefix)
        return Draft((TopLogprobs(b"~", -14.0, (b"~",), (-14.0,)),))


def write(folder: Path, text: str, shadow: str, live: Live) -> tuple[Walk, Toy]:
    """What the loop writes with a model that wants to say `text`, and `shadow` without the context."""
    toy = Quiet("toy-large")
    walks = walks_in(folder, Writer(text, shadow), toy, Deaf())
    return walks.written(0, 60, lambda: (PROMPTS, hidden_of("Quillfeather")), live), toy


def test_the_true_text_is_walked_and_only_the_shadow_is_asked_about(tmp_path: Path) -> None:
    """A cost for each token; what went up begins what went up later, and holds none of a known value."""
    toy = Toy("toy-large")
    text, found, writer = walk(tmp_path / "l", toy, Live(max_nats=100), "Quillfeather")
    assert len(found.nll) == len(text.tokens) == found.tokens == found.released
    assert writer.shadows == [PROMPTS["0"]]
    ups = [up for _, up in found.asked]
    assert toy.drafts == len(ups) > 1
    assert all(later.startswith(earlier) for earlier, later in pairwise(ups))
    assert not any("qui" in up for up in ups)
    assert found.went_up(0.0) == ""
    assert found.went_up(1.0) == ups[-1]


def test_costs_are_those_of_the_distribution_that_the_loop_made(tmp_path: Path) -> None:
    """A cloud that fails leaves the local model alone: it expects another byte than the true one."""

    class Broken(Toy):
        def drafted(self, *_: Any, **__: Any) -> Draft:
            raise CloudError("no")

    _, found, _ = walk(tmp_path / "l", Broken("toy-large"), Live())
    wanted = -float(log_softmax(FakeSteps(SAID, BESIDE).logits)[ord("q")])
    assert found.nll == pytest.approx([wanted] * len(found.nll))
    assert (len(found.asked), found.heard) == (1, 0)


def test_a_trusted_endpoint_sees_the_text_and_no_context(tmp_path: Path) -> None:
    """No second sequence, no shadow tokens, no gate; each prefix begins the true text."""
    text, found, writer = walk(tmp_path / "l", Toy("toy-large"), Live(trusted=True), "Quillfeather")
    truth = bytes(text.tokens.tolist()).decode()
    assert writer.shadows == [None]
    assert (found.released, found.stopped) == (0, False)
    assert len(found.asked) > 1
    assert all(truth.startswith(up) for _, up in found.asked)


def test_a_walk_is_kept_by_its_setting(tmp_path: Path) -> None:
    """The same is read again; another budget is walked anew; a file that is none is named."""
    _, first, _ = walk(tmp_path / "l", Toy("toy-large"), Live())
    _, again, writer = walk(tmp_path / "l", Toy("toy-large"), Live())
    assert (again, writer.shadows) == (first, [])
    _, _, writer = walk(tmp_path / "l", Toy("toy-large"), Live(nats_per_token=4.0))
    assert len(writer.shadows) == 1
    for file in (tmp_path / "l").glob("*.json"):
        file.write_text("{}")
    with pytest.raises(InputError, match="no kept walk"):
        walk(tmp_path / "l", Toy("toy-large"), Live())


def test_walks_are_reported_per_token(tmp_path: Path) -> None:
    """Two requests and three heard of four tokens."""
    text = made({"lw": [4.0] * 4, "cw": [2.0] * 4})
    row = walked("live", "mean", [text], [gone(4, [(0, ""), (3, "ab")], nll=[3.0] * 4)]).as_dict()
    assert row["more"] == {"requests_per_token": 0.5, "heard": 0.75, "released": 1.0}
    assert row["gap_closed"] == 0.5


def gone(tokens: int, asked: list[tuple[int, str]], text: str = "", **more: Any) -> Walk:
    """A walk of which the whole shadow was released, and three tokens had the cloud's list."""
    usual: dict[str, Any] = {"nll": [], "same": 1, "charged": 5.0, "spent": 2.0, "stopped": False}
    return Walk(text, tokens, asked=asked, heard=3, released=tokens, **usual | more)


# --- written texts ----------------------------------------------------------------------------------------

PLAIN = "we are glad to see you all at our table on the day of the feast by the lake"


def test_where_both_say_the_same_the_shadow_is_the_text(tmp_path: Path) -> None:
    """All of it is released at no cost; what is charged goes by its length alone."""
    found, toy = write(tmp_path / "l", PLAIN, PLAIN, Live())
    assert found.text == PLAIN
    assert found.nll == []
    assert found.tokens == found.released == found.same
    assert found.spent < 0.5
    assert found.charged == pytest.approx(Live().max_nats / 2 + Live().nats_per_token * found.asked[-1][0])
    assert toy.drafts == len(found.asked) > 1
    assert all(PLAIN.startswith(up) for _, up in found.asked)


def test_known_values_and_what_looks_like_a_name_stay_out_of_the_shadow(tmp_path: Path) -> None:
    """However much may be told, and whoever the name belongs to."""
    said = "we are glad that quillfeather and Brackwater sing with us by the lake in the old town"
    found, _ = write(tmp_path / "l", said, PLAIN, Live(nats_per_token=8.0, max_nats=10_000))
    assert found.text == said
    assert 0 < found.same < found.tokens
    assert not any(word in up for _, up in found.asked for word in ("quill", "Brack"))


def test_a_known_value_that_the_shadow_says_by_chance_is_not_sent(tmp_path: Path) -> None:
    """As at the gate: it ends there, and the walk says so."""
    found, toy = write(
        tmp_path / "l", PLAIN, "dear quillfeather " * 20, Live(nats_per_token=1e-6, max_nats=1e-3)
    )
    assert found.stopped
    assert toy.drafts == len(found.asked) >= 1
    assert not any("quillfeather" in up for _, up in found.asked)
    assert found.text == PLAIN


def test_what_the_router_finds_private_is_held_and_veiled() -> None:
    """A known value from its first letters on; a name in the request; and any name in the shadow itself."""
    names = {"PERSON": r"[A-Z][a-z]+ [A-Z][a-z]+"}
    found = hidden_of("Quillfeather", "Write to Nora Bell of the zoo.", names)
    assert found.known.hits("dear quillfeather")
    assert [found.private(text) for text in (b"my dear nora", b"dear quillf", b"on 3", b"dear aunt")] == [
        True,
        True,
        True,
        False,
    ]
    assert found.veil("I met Tom Ray there") == "I met someone there"


def test_what_goes_up_is_veiled(tmp_path: Path) -> None:
    """A name that the shadow says, which is nobody's, is not what the stand-in goes on from."""
    toy, said = Quiet("toy-large"), "I met Tom Ray there and we sang all the day by the lake"
    private = hidden_of("Quillfeather", patterns={"PERSON": "Tom Ray"})
    walks = walks_in(tmp_path / "l", Writer(PLAIN, said), toy, Deaf())
    found = walks.written(0, 60, lambda: (PROMPTS, private), Live(nats_per_token=1e-6, max_nats=1e-3))
    assert found.asked[-1][1].startswith("I met someone there")
    assert not any("Tom Ray" in up for up in toy.asked)


def test_a_written_text_can_be_written_again(tmp_path: Path) -> None:
    """By person the chance is fixed, of the text and of its shadow; others have another one."""

    def some(folder: str, toy: Toy) -> list[Walk]:
        walks = walks_in(tmp_path / folder, Writer(PLAIN, BESIDE * 4), toy)
        return [walks.written(n, 20, lambda: (PROMPTS, hidden_of("")), Live()) for n in range(6)]

    first = some("a", Toy("toy-large"))
    assert some("b", Toy("toy-large")) == first
    assert len({one.text for one in first}) > 1
    assert len({one.went_up(1.0) for one in first}) > 1
    toy = Toy("toy-large")
    assert some("a", toy) == first
    assert toy.drafts == 0


def test_what_written_texts_told_is_a_mean_over_them() -> None:
    """Nats a text, shares of all tokens, and how many texts the gate ended."""
    walks = [
        gone(4, [(0, ""), (3, "ab")]),
        gone(12, [(0, "")], charged=15.0, spent=4.0, same=7, stopped=True),
    ]
    found = told("live", walks)
    assert (found["persons"], found["tokens"], found["charged"], found["spent"]) == (2, 16, 10.0, 3.0)
    assert (found["requests_per_token"], found["released"], found["same"]) == (0.1875, 1.0, 0.5)
    assert (found["heard"], found["stopped"]) == (0.375, 0.5)


# --- linkage ----------------------------------------------------------------------------------------------


def test_the_worst_attacker_counts_on_what_had_gone_up_at_each_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text is assigned to its own person, with the request that the attacker does not see in it."""
    met: list[list[Seen]] = []

    def attacked(seen: list[Seen], held: Holdings) -> dict[int, list[Linked]]:
        met.append(seen)
        return {1: [Linked(name, top1, 0.0, 1.0, 1.0, 0.0, 1.0) for name, top1 in (("a", 0.2), ("b", 0.5))]}

    monkeypatch.setattr(fused_linkage, "attack", attacked)
    held = Holdings(PERSONS, FakeEmbedder())
    found = linked(held, [1, 0], "live", [[f"{n} at {share}" for share in SHARES] for n in range(2)])
    assert [(one["share"], one["attacker"], one["top1"]) for one in found] == [(s, "b", 0.5) for s in SHARES]
    assert [(one.person, one.request, one.text) for one in met[1]] == [
        (1, "Write to my aunt.", "0 at 0.25"),
        (0, "Write to my aunt.", "1 at 0.25"),
    ]


def test_masking_hides_the_profile_s_words_and_names_within_sentences() -> None:
    """Name, age and place anywhere; other capitals where no sentence begins."""
    ada = Person("ada", ("x",), {"name": "Ada Thornquist", "age": "44", "location": "Brackwater"})
    hidden = masked("Dear Bob, ada is 44. She left brackwater with Carol.", ada)
    for word in ("ada", "44", "brackwater", "Carol", "Bob"):
        assert word not in hidden
    assert "She left" in hidden
    assert parts("0123456789") == ["0", "01", "01234", "0123456789"]


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Toys in place of catalogue models, and a file of two persons."""
    monkeypatch.setattr(gold, "WIDTH", 8)
    monkeypatch.setattr(gold, "InProcess", lambda name: Toy(name, sure=3.0 if "1.5b" in name else 1.0))
    monkeypatch.setattr(fusion_runs.models, "locate", lambda name: Path(name))
    monkeypatch.setattr(Golds, "sentence", Kept.sentence)
    file = tmp_path / "persons.jsonl"
    lines = [
        {"id": one.id, "tasks": list(one.tasks), "profile": {"Name": one.id}, "gold": one.gold}
        for one in PERSONS
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_the_command_prints_every_way_in_both_forms(toys: Path, tmp_path: Path) -> None:
    """JSON for machines with the bound marked; a table that says what is never sent; a second run agrees."""
    arguments = ["eval", "fusion", "--data", str(toys), "--combiners", "mean,delta", "--samples", "1"]
    arguments += ["--work", str(tmp_path / "w"), "--tokens", "16"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    ways = {(row["setting"], row["name"]) for row in found["rows"]}
    assert {
        ("alone", ORACLE),
        ("true text, generic", "delta"),
        ("draft, samples 1, 12 bytes", "mean"),
    } <= ways
    assert [row["name"] for row in found["rows"] if row["never_sent"]] == [fusion.NEVER_SENT]
    assert (found["persons"], found["tokens"]) == (2, 32)
    shown = CliRunner().invoke(app, arguments)
    assert "never sent" in shown.stdout
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout) == found


@pytest.fixture
def attacked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the attackers get, by method; they find the writer half of the time."""
    monkeypatch.setattr("cogenesis_langchain.embed.Embedder.default", FakeEmbedder)
    met: dict[str, Any] = {}

    def linked(held: Holdings, whose: Any, method: str, sent: Any) -> list[dict[str, Any]]:
        met[method] = sent
        figures = {"method": method, "top1": 0.5, "low": 0.0, "high": 1.0}
        return [figures | {"share": share} for share in SHARES]

    monkeypatch.setattr(fused_linkage, "linked", linked)
    return met


def test_shadows_are_compared_with_the_draft_s_body_and_the_text_itself(
    toys: Path, tmp_path: Path, attacked: dict[str, Any]
) -> None:
    """Beginnings of the first setting's texts, plain and masked; the task alone, and with each shadow."""
    runs = fusion_runs.Runs(tmp_path / "w", SETTING, PERSONS, ["mean"], 20)
    first = [gone(10, [(0, ""), (5, f"up {n}")], f"0123456789 and Bob {n}") for n in range(2)]
    second = [gone(10, [(0, "")], "else") for _ in range(2)]
    found = list(runs.linked([0, 1], {"live, 1": first, "live, 2": second}))
    methods = [*fusion_runs.COMPARED, "live, 1", "live, 2"]
    assert [part[0]["method"] for part in found] == methods == [*attacked]
    assert attacked["the text"][1] == ["01", "01234", "0123456789", "0123456789 and Bob 1"]
    assert "Bob" not in attacked["the text, masked"][1][-1]
    assert attacked["draft"] == [["Write a letter."] * 4] * 2
    assert attacked["live, 1"][1] == [*["Write a letter.\n"] * 2, *["Write a letter.\nup 1"] * 2]
    assert attacked["live, 2"][1] == ["Write a letter.\n"] * 4


def test_linkage_alone_reads_no_true_text(
    toys: Path, tmp_path: Path, attacked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are written in each setting, told of in JSON and tables, and kept for the next run."""
    toys.write_text(toys.read_text().replace(PERSONS[1].gold, ""))
    writer = Writer(PLAIN, BESIDE * 4)
    monkeypatch.setattr(fusion_runs.Runs, "_writer", property(lambda _: writer))
    monkeypatch.setattr(fusion_runs, "hidden", lambda _, __: hidden_of("Quillfeather"))
    monkeypatch.setattr(Golds, "of", None)
    arguments = ["eval", "fusion", "--data", str(toys), "--combiners", "mean", "--forms", "linkage"]
    arguments += ["--work", str(tmp_path / "w"), "--epsilon", "0.25", "--epsilon", "1", "--tokens", "60"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["method"] for row in found["written"]] == [f"live, {n} nats a token" for n in ("0.25", "1")]
    assert (found["rows"], found["tokens"], found["persons"], len(found["linkage"])) == ([], 0, 2, 20)
    assert attacked["the text"][0][-1].endswith("feast by the lake")
    shown = CliRunner().invoke(app, arguments).stdout
    assert "50% (0% to 100%)" in shown
    assert "texts that form live wrote" in shown
    assert len(writer.shadows) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--forms", "text,dream"], "no 'dream'"),
        (["--combiners", "magic"], "no 'magic'"),
        (["--combiners", "mean,paper"], "needs a file of weights"),
        (["--combiner-file", "own.npz"], "with paper"),
        (["--combiner-file", "own.txt"], "needs a .json"),
        (["--combiner-file", "own.json"], "own.json: cannot be read"),
        (["--from", "99"], "`gold`"),
        (["--forms", "linkage", "--limit", "1"], "two persons"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_model_is_loaded(
    toys: Path, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the option named."""
    monkeypatch.setattr(gold, "InProcess", None)
    done = CliRunner().invoke(app, ["eval", "fusion", "--data", str(toys), *arguments])
    assert isinstance(done.exception, (InputError, ConfigError))
    assert says in str(done.exception)
