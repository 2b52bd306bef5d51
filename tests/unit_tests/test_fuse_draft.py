"""What must hold for form `draft` of fusion: keeping in step with drafts, sampling, and every bad draft."""

# ruff: noqa: D102 - the toy has the methods of `writer.protocol.Steps`, described there

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from cogenesis_langchain.fuse.draft import fuse_draft
from cogenesis_langchain.fuse.sampling import LOOK_BACK, TOP_K, Drawn, Sampler
from cogenesis_langchain.fusion import syncing
from cogenesis_langchain.fusion.combiners import Combiner, Facts, Fused, combiner
from cogenesis_langchain.fusion.distributions import Floats, Listed, TokenBytes, Vocabulary
from cogenesis_langchain.fusion.syncing import Follow
from cogenesis_langchain.types import Draft, TokenTrace, TopLogprobs

END = 0
PIECES = [
    b"",
    b"Dear",
    b" all",
    b",",
    b" we",
    b" are",
    b" happy",
    b" sad",
    b"!",
    b" ha",
    b"ppy",
    b"\xc3",
    b"\xa9",
]
ID = {piece: number for number, piece in enumerate(PIECES)}


class Toy:
    """A model that says one sentence: the likeliest token is the next of `says`, then the end."""

    def __init__(self, says: Sequence[bytes], *, sure: float = 1.0, room: int = 50) -> None:
        control = np.array([not piece for piece in PIECES])
        self.vocabulary = Vocabulary(TokenBytes(PIECES, control))
        self.pieces: Sequence[bytes] = PIECES
        self.stop: tuple[str, ...] = ("<|im_end|>",)
        self.room = room
        self.fed: list[int] = []
        self._says = [ID[piece] for piece in says]
        self._sure = sure

    @property
    def logits(self) -> NDArray[np.float32]:
        out = np.zeros(len(PIECES), dtype=np.float32)
        out[END] = -5.0
        out[self._says[len(self.fed)] if len(self.fed) < len(self._says) else END] = self._sure
        return out

    @property
    def shadow_logits(self) -> NDArray[np.float32]:
        raise AssertionError("form draft has no shadow")

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        assert token is not None
        assert shadow_token is None
        self.fed.append(token)

    def end_shadow(self) -> None: ...

    def ends(self, token: int) -> bool:
        return token == END


def position(token: bytes, *others: bytes, sure: float = 0.95) -> TopLogprobs:
    """A position where the cloud took `token`, and what else it thought of."""
    rest = [math.log((1 - sure) / (len(others) + 1))] * len(others)
    return TopLogprobs(token, math.log(sure), (token, *others), (math.log(sure), *rest))


def draft(*tokens: bytes, ended: bool = True) -> Draft:
    """A draft of these tokens."""
    return Draft(tuple(position(token) for token in tokens), ended)


def write(toy: Toy, drafts: Sequence[Draft], name: str = "mean") -> tuple[str, list[TokenTrace]]:
    """The likeliest text."""
    trace: list[TokenTrace] = []
    made = combiner(name, control=toy.vocabulary.tokens.control)
    return "".join(fuse_draft(toy, drafts, made, temperature=0, trace=trace)), trace


SAYS = (b"Dear", b" all", b",", b" we", b" are", b" sad", b"!")


def test_in_step_the_cloud_has_a_say() -> None:
    """The draft's word takes the place of one that the local model was not sure of."""
    text, trace = write(Toy(SAYS), [draft(b"Dear", b" all", b",", b" we", b" are", b" happy")])
    assert text == "Dear all, we are happy!"
    assert [one.by for one in trace] == ["local", *["fused"] * 4, "cloud", "local"]
    assert trace[5].cloud == b" happy"
    assert trace[1].weight > 0
    assert trace[6].weight == 0


def test_out_of_step_the_local_model_writes_alone() -> None:
    """A draft that begins otherwise has no say, however sure the cloud was."""
    text, trace = write(Toy(SAYS, sure=9.0), [draft(b" we", b" are", b" happy")])
    assert text == "Dear all, we are sad!"
    assert [one.by for one in trace] == ["local"] * 7


def test_the_text_comes_back_into_step() -> None:
    """Another beginning, and then the same words as in the draft: from there the cloud has a say again."""
    text, _ = write(Toy(SAYS), [draft(b"Zzz", b"!", b" all", b",", b" we", b" are", b" happy")])
    assert text == "Dear all, we are happy!"


def test_the_draft_of_another_vocabulary() -> None:
    """The cloud's tokens are cut elsewhere: within one of them, what is left of it is what it expected."""
    text, trace = write(Toy(SAYS), [draft(b"Dear all", b", we are ", b"sad")])
    assert text == "Dear all, we are sad!"
    assert [one.by for one in trace[:3]] == ["local", "fused", "fused"]
    follow = Follow([draft(b"Dear all", b",")])
    follow.advance(b"Dear")
    place = follow.here()
    assert place is not None
    assert place.top.tokens == (b" all",)


BAD = {
    "none at all": [],
    "an empty one": [Draft(())],
    "ends in mid-word": [draft(b"Dear", b" al", ended=False)],
    "never stops": [draft(*[b"Dear"] * 500, ended=False)],
    "no candidates": [Draft((TopLogprobs(b"Dear", 0.0, (), ()),))],
    "fewer log-probabilities than candidates": [Draft((TopLogprobs(b"Dear", 0.0, (b"Dear", b"!"), (0.0,)),))],
    "only a control token": [draft(b"<|im_end|>")],
    "not a number": [Draft((TopLogprobs(b"Dear", math.nan, (b"Dear",), (math.nan,)),))],
    "more than one": [Draft((TopLogprobs(b"Dear", 3.0, (b"Dear", b"!"), (3.0, 9.0)),))],
    "minus infinity": [Draft((TopLogprobs(b"Dear", -math.inf, (b"Dear",), (-math.inf,)),))],
    "tokens without bytes": [draft(b"", b"Dear", b"", b"")],
    "bytes that are no text": [draft(b"\xff\xfe", b"\x00")],
    "tokens that nobody has": [draft(b"Zzz", b"Qqq")],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_draft_costs_nothing(name: str) -> None:
    """Whatever the drafts are, the local model completes its text."""
    assert write(Toy(SAYS, sure=9.0), BAD[name])[0] == "Dear all, we are sad!"


def test_a_combiner_that_breaks_has_no_say() -> None:
    """Not a number, anywhere: the local distribution is taken."""

    class Broken:
        name = "broken"

        def fuse(self, local: Floats, listed: Listed, generic: Floats | None, facts: Facts) -> Fused:
            del listed, generic, facts
            out = local.copy()
            out[1] = np.nan
            return Fused(out, 0.5)

    made: Combiner = Broken()
    toy = Toy(SAYS)
    text = "".join(fuse_draft(toy, [draft(*SAYS)], made, temperature=0))
    assert text == "Dear all, we are sad!"


def test_whole_characters_room_and_cancel() -> None:
    """Half a character is never shown; the room and a set event end the text."""
    toy = Toy((b"Dear", b"\xc3", b"\xa9", b"!"), sure=9.0)
    made = combiner("mean")
    assert list(fuse_draft(toy, [], made, temperature=0)) == ["Dear", "é", "!"]
    assert list(fuse_draft(Toy(SAYS, room=0), [], made)) == []
    cancel = threading.Event()
    stream = fuse_draft(Toy(SAYS, sure=9.0), [], made, temperature=0, cancel=cancel)
    assert next(stream) == "Dear"
    cancel.set()
    assert list(stream) == []


def test_the_longest_match_wins_and_short_ones_do_not_count() -> None:
    """Two places end alike: the one where more before it is the same; fewer bytes than asked are no match."""
    tokens = (b"we are not here. ", b"they are not", b" x", b" but we are not", b" y", b".")
    follow = Follow([draft(*tokens)], least=8)
    follow.advance(b"Now we are not")
    place = follow.here()
    assert place is not None
    assert (place.position, place.matched) == (4, len(" we are not"))
    assert place.top.token == b" y"
    short = Follow([draft(*tokens)], least=12)
    short.advance(b"Now we are not")
    assert short.here() is None


def test_whole_text_equals_the_draft_so_far() -> None:
    """After the first word the cloud saw the very text: `matched` is None, at every place, in any draft."""
    follow = Follow([draft(b"Hi", b"!"), draft(b"Dear", b" all", b",")])
    assert follow.here() is None  # how a text begins is the person's own
    for piece in (b"Dear", b" all"):
        follow.advance(piece)
        place = follow.here()
        assert place is not None
        assert (place.draft, place.matched) == (1, None)
    follow.advance(b",")
    assert follow.here() is None  # its end: nothing was expected there


def test_equal_matches_go_on_from_the_last() -> None:
    """A phrase that the draft repeats: the text goes on where it was, not where the phrase comes first."""
    again = (b"and so on and on ", b"one", b" and so on and on ", b"two")
    follow = Follow([draft(*again)], least=6)
    follow.advance(b"well: on and on ")
    first = follow.here()
    assert first is not None
    assert first.top.token == b"one"
    follow.advance(b"one and so on and on ")
    second = follow.here()
    assert second is not None
    assert second.top.token == b"two"


def test_a_draft_that_repeats_itself_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of endless places that fit, some are compared: a cloud must not keep the machine busy."""
    compared: list[int] = []
    monkeypatch.setattr(syncing, "common_end", lambda *_: compared.append(1) or 0)
    follow = Follow([draft(*[b"-" * 200] * 50)])
    follow.advance(b"-" * 20)
    follow.here()
    assert 0 < len(compared) <= 200


def test_sentences_follow_each_other_where_asked() -> None:
    """At the beginning of a sentence the draft's next one has a say, with nothing matched."""
    given = draft(b"Dear all.", b" ", b"We", b" thank", b".", b"\n", b"Yours", b".")
    follow = Follow([given], sentences=True)
    follow.advance(b"Hello Ada! ")
    place = follow.here()
    assert place is not None
    assert (place.top.token, place.matched) == (b"We", 0)
    follow.advance(b"Come by!\n")
    place = follow.here()
    assert place is not None
    assert place.top.token == b"Yours"
    plain = Follow([given])
    plain.advance(b"Hello Ada! ")
    assert plain.here() is None


def reference(logits: NDArray[np.float64], last: Sequence[int], temperature: float) -> NDArray[np.float64]:
    """(V,) The shares of llama.cpp's chain, written out: top-k, penalty, top-p, temperature."""
    out = logits.copy()
    cut = np.sort(out)[-TOP_K]
    out[out < cut] = -np.inf
    for token in set(last):
        out[token] = out[token] / 1.1 if out[token] > 0 else out[token] * 1.1
    shares = np.exp(out - out.max())
    shares /= shares.sum()
    order = np.argsort(-shares)
    kept = order[np.cumsum(shares[order]) - shares[order] < 0.9]
    final = np.zeros(len(out))
    final[kept] = np.exp(out[kept] / temperature - (out[kept] / temperature).max())
    return np.asarray(final / final.sum())


def test_sampling_is_to_the_taste_of_the_model_in_c() -> None:
    """Its law is the chain written out (top-k 40, penalty, top-p, temperature), and it draws by that law."""
    logits = np.random.default_rng(3).normal(0, 4, 300) + 5
    likely = np.argsort(-logits)[:3].tolist()
    expected = reference(logits, likely, 0.7)
    sample = Sampler(0.7, 4)
    for token in likely:
        sample.remember(token)
    law = sample.law(logits.astype(np.float32))
    assert sorted(law.ids.tolist()) == np.flatnonzero(expected).tolist()
    assert law.shares == pytest.approx(expected[law.ids], rel=1e-4)
    counts = Counter(sample.draw(law) for _ in range(2000))
    drawn = np.array([counts[token] for token in range(300)]) / 2000
    assert np.abs(drawn - expected).sum() < 0.1


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_a_cloud_s_own_choice_is_followed_without_a_change_of_shares(temperature: float) -> None:
    """Coupled to a token that the cloud drew, at any temperature: the same shares, oftener that token."""
    random = np.random.default_rng(5)
    fused, cloud = np.log([0.4, 0.3, 0.2, 0.1]), np.log([0.1, 0.3, 0.3, 0.3])
    listed = Listed(np.arange(4), cloud.astype(np.float32), 1e-6)
    coupled: Counter[int] = Counter()
    same = apart = 0
    sample, alone = Sampler(1.0, 1, penalty=1.0), Sampler(1.0, 2, penalty=1.0)
    law = sample.law(fused)
    chances = np.exp(cloud / temperature) if temperature else np.eye(4)[1]
    for theirs in random.choice(4, size=4000, p=chances / chances.sum()).tolist():
        token = sample.draw(law, Drawn(theirs, listed, temperature))
        coupled[token] += 1
        same += token == theirs
        apart += alone.draw(law) == theirs
    kept = np.array([0.4, 0.3, 0.2, 0.1])  # top-p .9 leaves out what lies beyond
    kept[3] = 0.0
    expected = kept / kept.sum()
    assert np.abs(np.array([coupled[i] for i in range(4)]) / 4000 - expected).max() < 0.03
    assert same > (1.5 if temperature else 0.9) * apart


def test_seeds_repeat_and_old_words_are_forgotten() -> None:
    """The same seed, the same tokens; what lies LOOK_BACK tokens back is no repetition."""
    logits = np.random.default_rng(1).normal(0, 2, 500).astype(np.float32)
    runs = [[sample(logits) for _ in range(20)] for sample in (Sampler(0.7, 9), Sampler(0.7, 9))]
    assert runs[0] == runs[1]
    close = np.array([5.0, 4.9], dtype=np.float32)
    sample = Sampler(0.0)
    assert [sample(close), sample(close)] == [0, 1]
    sample = Sampler(0.0)
    sample.remember(0)
    for _ in range(LOOK_BACK):
        sample.remember(1)
    assert sample(close) == 0
