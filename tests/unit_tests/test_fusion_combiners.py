"""What a cloud lists becomes a distribution over local tokens, and each combiner makes one of two."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from cogenesis_langchain.errors import ConfigError, ModelCorruptError
from cogenesis_langchain.fusion import learned, paper
from cogenesis_langchain.fusion.combiners import CLIP, COMBINERS, PULL, Facts, combiner
from cogenesis_langchain.fusion.distributions import (
    LEAST_TAIL,
    Floats,
    Listed,
    TokenBytes,
    Vocabulary,
    likeliest,
    listed_of,
    log_softmax,
    softmax,
    spread,
)
from cogenesis_langchain.fusion.features import SCALARS, WHOLE, Head, Seen, scalars
from cogenesis_langchain.types import TopLogprobs

V = 900


def drawn(seed: int, size: int = V) -> Floats:
    """(size,) Some distribution, with a few likely tokens and a long tail."""
    return log_softmax((np.random.default_rng(seed).normal(size=size) * 3).astype(np.float32))


def top(**shares: float) -> TopLogprobs:
    """A list of candidates by their text."""
    tokens = tuple(token.encode() for token in shares)
    return TopLogprobs(tokens[0], 0.0, tokens, tuple(math.log(share) for share in shares.values()))


def vocabulary(*pieces: str, control: int = 0) -> Vocabulary:
    """Tokens of these texts, and `control` tokens without text behind them."""
    data = [piece.encode() for piece in pieces] + [b""] * control
    return Vocabulary(TokenBytes(data, np.array([not piece for piece in data])))


def even(size: int) -> Floats:
    """All tokens alike."""
    return np.full(size, -math.log(size), dtype=np.float32)


def by_id(listed: Listed) -> dict[int, float]:
    """Token -> probability."""
    return {int(i): float(np.exp(p)) for i, p in zip(listed.ids, listed.logprobs, strict=True)}


def weights() -> paper.Weights:
    """The paper's network for tokens 0 to 9, with a cloud that is always believed by three quarters."""
    wide, narrow = paper.HIDDEN
    ids = np.tile(np.arange(10), (2, 1))
    zeros = [
        np.zeros(shape, dtype=np.float32) for shape in ((2, 10, wide), (wide,), (wide, narrow), (narrow,))
    ]
    third = np.zeros(narrow + 1, dtype=np.float32)
    third[-1] = -math.log(3)
    return paper.Weights(ids, *zeros, third)


def made(name: str, tmp_path: Path, control: np.ndarray | None = None):  # type: ignore[no-untyped-def,type-arg]
    """The combiner of that name, with a file where it needs one."""
    path = None
    if name == "paper":
        path = tmp_path / "paper.npz"
        parts = weights()
        np.savez(path, **{one: getattr(parts, one) for one in paper.Weights.__dataclass_fields__})
    return combiner(name, control=control, path=path)


# --- Lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.01, 3.0, 1000.0])
@pytest.mark.parametrize("k", [1, 40, V, V + 1])
def test_the_likeliest_are_found_however_flat_or_sharp_the_law(scale: float, k: int) -> None:
    """The same as by sorting all of them."""
    logits = (np.random.default_rng(5).normal(size=V) * scale).astype(np.float32)
    assert sorted(likeliest(logits, k).tolist()) == sorted(np.argsort(-logits)[:k].tolist())


def test_softmax_gives_logarithms_and_what_they_are_of() -> None:
    """Both add up to 1, however high the logits lie."""
    logs, shares = softmax(drawn(1) + np.float32(300))
    assert logs == pytest.approx(drawn(1), abs=1e-4)
    assert shares == pytest.approx(np.exp(logs), rel=1e-5)
    assert float(shares.sum(dtype=np.float64)) == pytest.approx(1.0)


def test_a_shared_vocabulary_is_recognised_and_kept_exactly() -> None:
    """Each candidate is the local token of its bytes, the first token too; the tail is what is left."""
    words = vocabulary("a", " b", "c")
    given = top(**{"a": 0.6, " b": 0.3})
    assert words.exact([given])
    found = words.listed(given, even(3))
    assert found is not None
    assert by_id(found) == pytest.approx({0: 0.6, 1: 0.3}, abs=1e-6)
    assert found.tail == pytest.approx(0.1)
    assert not words.exact([given, top(zz=1.0)])
    assert not words.exact([])


def test_foreign_candidates_hand_their_mass_to_what_they_begin_and_what_begins_them() -> None:
    """In the local model's proportions: the cloud's " the" is our " t" or " there", never "he"."""
    words = vocabulary(" t", " there", " that", "he")
    local = np.log(np.array([0.1, 0.3, 0.4, 0.2], dtype=np.float32))
    found = words.listed(top(**{" the": 0.8}), local)
    assert found is not None
    assert by_id(found) == pytest.approx({0: 0.2, 1: 0.6}, abs=1e-6)
    assert found.tail == pytest.approx(0.2)


def test_mass_that_no_local_token_can_take_stays_in_the_tail() -> None:
    """An unknown script is not handed to anybody."""
    found = vocabulary("a", "b").listed(top(a=0.5, ж=0.4), even(2))
    assert found is not None
    assert by_id(found) == pytest.approx({0: 0.5}, abs=1e-6)
    assert found.tail == pytest.approx(0.5)


@pytest.mark.parametrize("ending", ["", "<|im_end|>", "</s>", "<end_of_turn>", "<｜end▁of▁sentence｜>"])
def test_control_tokens_are_masked(ending: str) -> None:
    """Whether its own text ends there says nothing of ours: the rest is scaled up."""
    found = vocabulary("a", "b", control=1).listed(top(**{ending: 0.8, "a": 0.15}), even(3))
    assert found is not None
    assert by_id(found) == pytest.approx({0: 0.75}, abs=1e-6)
    assert found.tail == pytest.approx(0.25)


def test_texts_that_look_like_markup_are_no_control_tokens() -> None:
    """`<b>` and `[1]` are text that somebody may write."""
    assert vocabulary("<b>", "[1]").exact([top(**{"<b>": 0.5, "[1]": 0.4})])


@pytest.mark.parametrize("logprobs", [(), (float("nan"),), (float("-inf"),), (float("-inf"), float("nan"))])
def test_a_list_without_anything_usable_is_none(logprobs: tuple[float, ...]) -> None:
    """The text then goes on without the cloud."""
    tokens = tuple(b"ab"[n : n + 1] for n in range(len(logprobs)))
    assert vocabulary("a", "b").listed(TopLogprobs(b"a", 0.0, tokens, logprobs), even(2)) is None


def test_broken_probabilities_still_make_a_distribution() -> None:
    """Positive log-probabilities, and a sum above 1, are scaled down; a NaN beside good ones is left out."""
    words = vocabulary("a", "b", "c")
    for logprobs in ((3.0, -0.1, -0.2), (-0.1, float("nan"), -0.1)):
        found = words.listed(TopLogprobs(b"a", 0.0, (b"a", b"b", b"c"), logprobs), even(3))
        assert found is not None
        assert sum(by_id(found).values()) + found.tail == pytest.approx(1, abs=1e-5)
        assert found.tail >= LEAST_TAIL


def test_the_tail_is_spread_by_the_local_model_and_never_filled_with_zeros() -> None:
    """Listed tokens keep their mass, the others share the tail in the local proportions, all adds up to 1."""
    local = drawn(1)
    listed = Listed(np.array([3, 5]), np.log(np.array([0.6, 0.3], dtype=np.float32)), 0.1)
    found = spread(listed, local)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-4)
    assert np.exp(found[[3, 5]]) == pytest.approx([0.6, 0.3], abs=1e-6)
    assert found[10] - found[20] == pytest.approx(float(local[10] - local[20]), abs=1e-4)
    assert found.max() == found[3]  # the paper's zeros would beat every listed token


def test_the_tail_needs_somebody_to_go_to() -> None:
    """Where the local model finds nothing off the list possible, no number is broken."""
    sure = np.array([0.0, -np.inf, -np.inf], dtype=np.float32)
    sure = np.maximum(sure, -1e4)
    found = spread(Listed(np.array([0]), np.log(np.array([0.9], dtype=np.float32)), 0.1), sure)
    assert np.isfinite(found).all()


# --- Combiners -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMBINERS)
@pytest.mark.parametrize("k", [1, 5, 20, 400, 0])
@pytest.mark.parametrize("generic", [True, False])
@pytest.mark.parametrize("matched", [None, 0, 30])
def test_every_combiner_makes_a_distribution(
    name: str, k: int, generic: bool, matched: int | None, tmp_path: Path
) -> None:
    """Of short lists and whole ones, with and without the local model's generic view, in step or not."""
    local, cloud = drawn(1), drawn(2)
    fused = made(name, tmp_path).fuse(
        local, listed_of(cloud, k), drawn(3) if generic else None, Facts(4, matched)
    )
    assert fused.logprobs.shape == (V,)
    assert np.isfinite(fused.logprobs).all()
    assert np.exp(fused.logprobs).sum() == pytest.approx(1, abs=2e-3)
    assert 0 <= fused.weight <= 1


@pytest.mark.parametrize("name", COMBINERS)
def test_whether_the_text_ends_is_the_local_models_business(name: str, tmp_path: Path) -> None:
    """Control tokens keep the probability that the local model gives them, whatever the cloud says."""
    control = np.zeros(V, dtype=bool)
    control[-3:] = True
    local = drawn(1)
    local[-1] = local.max() + 1
    local = log_softmax(local)
    fused = made(name, tmp_path, control).fuse(local, listed_of(drawn(2), 20), drawn(3), Facts())
    assert fused.logprobs[-3:] == pytest.approx(local[-3:], abs=1e-6)
    assert np.exp(fused.logprobs).sum() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", COMBINERS)
def test_a_text_that_ends_for_sure_ends(name: str, tmp_path: Path) -> None:
    """Nothing of the cloud's is weighed where the local model has finished."""
    control = np.arange(V) == V - 1
    local = log_softmax(np.where(control, 40.0, 0.0).astype(np.float32))
    fused = made(name, tmp_path, control).fuse(local, listed_of(drawn(2), 20), None, Facts())
    assert fused.weight == 0
    assert fused.logprobs.argmax() == V - 1


def test_the_plain_combiners_are_their_formulas() -> None:
    """Means of probabilities and of their logarithms; the local model moved by a clipped difference."""
    local, generic, listed = drawn(1), drawn(3), listed_of(drawn(2), 20)
    cloud = spread(listed, generic)
    for name, wanted in {
        "mean": np.log((np.exp(local) + np.exp(cloud)) / 2),
        "logmean": log_softmax((local + cloud) / 2),
        "delta": log_softmax(local + PULL * np.clip(cloud - generic, -CLIP, CLIP)),
    }.items():
        found = combiner(name).fuse(local, listed, generic, Facts()).logprobs
        assert found == pytest.approx(wanted, abs=1e-3)


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    """The message says which names there are, and which command makes the file."""
    with pytest.raises(ConfigError, match="logmean"):
        combiner("median")
    for name in ("paper", "learned"):
        with pytest.raises(ConfigError, match="train combiner"):
            combiner(name, path=tmp_path / "none.json")
    with pytest.raises(ConfigError, match="train combiner"):
        combiner("paper")


# --- The learned one -----------------------------------------------------------------------------


def test_the_shipped_coefficients_fit_and_name_where_they_come_from() -> None:
    """At most 5,000 of them; the card in the file names models, data and persons."""
    file = Path(learned.__file__).parents[1] / "data" / learned.FILE
    card = json.loads(file.read_text(encoding="utf-8"))["card"]
    assert {"local", "cloud", "data", "rows", "persons", "date", "unseen"} <= card.keys()
    assert card["rows"][0] >= 44  # those before are only measured on
    assert learned.read(file.read_text(encoding="utf-8")).parameters == card["parameters"] <= 5000


def test_coefficients_that_do_not_fit_are_refused() -> None:
    """Other experts, another shape, no number, no JSON: an error that names the command, not another text."""
    file = Path(learned.__file__).parents[1] / "data" / learned.FILE
    good = json.loads(file.read_text(encoding="utf-8"))
    for change in (
        {"experts": good["experts"][1:]},
        {"scalars": SCALARS - 1},
        {"plain": good["plain"][1:]},
        {"generic": [[float("nan")] * len(good["experts"])] * (1 + SCALARS)},
        {"plain_apart": "x"},
    ):
        with pytest.raises(ModelCorruptError, match="train combiner"):
            learned.read(json.dumps({**good, **change}))
    for text in ("", "[]", '{"plain": []}'):
        with pytest.raises(ModelCorruptError, match="train combiner"):
            learned.read(text)


def test_the_cut_changes_no_experts_whole_distribution() -> None:
    """Where a vocabulary is larger than a head, head and rest together are what the expert says of all."""
    local, generic = drawn(1, 4000), drawn(3, 4000)
    seen = Seen.of(local, listed_of(drawn(2, 4000), 20), generic, Facts())
    head = Head.of(seen)
    assert len(head.ids) < 1000
    inside, rest = learned.experts(head)
    assert np.exp(inside).sum(axis=1) + np.exp(rest) == pytest.approx(np.ones(len(rest)), abs=1e-3)
    assert inside[0] == pytest.approx(local[head.ids], abs=1e-3)


def test_a_cloud_that_saw_another_text_is_believed_less() -> None:
    """The same list weighs less where nothing agrees than where a long stretch or the whole text does."""
    one = combiner("learned")
    local, listed = drawn(1), listed_of(drawn(2), 20)
    told = [one.fuse(local, listed, None, Facts(30, matched)).weight for matched in (0, WHOLE, None)]
    assert told[0] < 0.5 * told[1]
    assert told[1] == told[2]


def test_an_agreeing_cloud_is_believed_more_than_a_lost_one() -> None:
    """A sure cloud that names what the local model also finds likely outweighs one that names nothing."""
    one = combiner("learned")
    local = drawn(1)
    best = np.argsort(-local)[:20]
    agreeing = Listed(best, local[best] - np.float32(np.log(np.exp(local[best]).sum() / 0.98)), 0.02)
    lost = Listed(np.argsort(local)[:20], np.full(20, math.log(0.02 / 20), dtype=np.float32), 0.98)
    shares = [one.fuse(local, listed, None, Facts(30)).weight for listed in (agreeing, lost)]
    assert shares[0] > shares[1]


def test_scalars_hold_no_token() -> None:
    """Renaming the tokens changes none of them, so the gate serves any vocabulary."""
    order = np.random.default_rng(0).permutation(V)
    local, generic, cloud = drawn(1), drawn(3), listed_of(drawn(2), 20)
    place = np.argsort(order)
    moved = Listed(place[cloud.ids], cloud.logprobs, cloud.tail)
    found = []
    for one in (
        Seen.of(local, cloud, generic, Facts(7)),
        Seen.of(local[order], moved, generic[order], Facts(7)),
    ):
        found.append(scalars(Head.of(one), one))
    assert found[0].shape == (SCALARS,)
    assert found[0] == pytest.approx(found[1], abs=1e-4)


# --- The paper's ---------------------------------------------------------------------------------


def test_the_papers_schedule() -> None:
    """The first P tokens, then T of every K + T."""
    on = [n for n in range(40) if paper.scheduled(n)]
    assert on == [*range(20), *range(25, 30), *range(35, 40)]


def test_the_papers_network_weighs_scores_and_leaves_the_local_model_alone_between(tmp_path: Path) -> None:
    """Its weight mixes log-probabilities; off the schedule the cloud counts nothing."""
    local, listed = drawn(1), listed_of(drawn(2), 20)
    one = made("paper", tmp_path)
    fused = one.fuse(local, listed, None, Facts(0))
    assert fused.weight == pytest.approx(0.75, abs=1e-5)
    assert fused.logprobs == pytest.approx(log_softmax(0.25 * local + 0.75 * spread(listed, local)), abs=1e-4)
    assert one.fuse(local, listed, None, Facts(21)).weight == 0


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    """Other shapes, other files and pickles."""
    path = tmp_path / "paper.npz"
    parts = {one: getattr(weights(), one) for one in paper.Weights.__dataclass_fields__}
    for change in (
        {"third": parts["third"][1:]},
        {"ids": parts["ids"][:, 1:]},
        {"second": parts["second"] * np.nan},
        {"first_bias": np.array([{}], dtype=object)},
    ):
        np.savez(path, **{**parts, **change})
        with pytest.raises(ModelCorruptError, match="--paper"):
            paper.load(path)
    path.write_text("no network")
    with pytest.raises(ModelCorruptError):
        paper.load(path)


@pytest.mark.parametrize("blank", [" [", "[Your", "<", "{{", "____"])
def test_a_cloud_proposes_no_blank_to_fill_in(blank: str) -> None:
    """ "Dear [Name]" is what nobody wants to have written: its share goes to the other candidates."""
    words = vocabulary(" all", " friends", blank)
    given = TopLogprobs(
        blank.encode(), 0.0, (blank.encode(), b" all", b" friends"), tuple(map(math.log, (0.8, 0.1, 0.05)))
    )
    listed = words.listed(given, even(3))
    assert listed is not None
    assert by_id(listed) == pytest.approx({0: 0.5, 1: 0.25}, abs=1e-3)
