"""What must hold for form `live` of fusion: only the shadow is shown, and nothing else shows anything."""

# ruff: noqa: D102 - the toys have the methods of the protocols, described there

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from cogenesis_langchain.errors import CloudError, GateHit
from cogenesis_langchain.fuse import live as room
from cogenesis_langchain.fuse.asking import Asking
from cogenesis_langchain.fuse.live import Live, alike, fuse_live
from cogenesis_langchain.fuse.sampling import Sampler
from cogenesis_langchain.fusion.combiners import combiner
from cogenesis_langchain.fusion.distributions import (
    NEVER,
    TokenBytes,
    Vocabulary,
    log_softmax,
    softmax,
    spread,
)
from cogenesis_langchain.fusion.shadow import Budget, Law, Shadow, Shares
from cogenesis_langchain.types import Draft, TokenTrace, TopLogprobs

END, NORA = 0, 1
PIECES = [b"", b" Nora", b" we", b" are", b" so", b" happy", b" sad", b"ly", b",", b" \xc3", b"\xa9"]
CONTROL = np.array([not piece for piece in PIECES])
V = len(PIECES)


def logits_of(*about: object, spread: float = 2.0) -> NDArray[np.float32]:
    """(V,) Some logits for each history, the end never."""
    rng = np.random.default_rng(np.frombuffer(repr(about).encode(), dtype=np.uint8).tolist())
    out = rng.normal(0.0, spread, V).astype(np.float32)
    out[END] = -20.0
    out[PIECES.index(b"ly") :] -= 3.0
    out[PIECES.index(b",")] += 3.0
    return out


class Toy:
    """A model whose next token depends on all before it: the text on a context too, the shadow not."""

    def __init__(self, context: str, *, eager: float = 0.0, room: int = 200, ends_at: int = 10**9) -> None:
        self.vocabulary = Vocabulary(TokenBytes(PIECES, CONTROL))
        self.pieces: Sequence[bytes] = PIECES
        self.stop: tuple[str, ...] = ()
        self.room = room
        self.text: list[int] = []
        self.shadow: list[int] | None = []
        self._context, self._eager, self._ends_at = context, eager, ends_at

    @property
    def logits(self) -> NDArray[np.float32]:
        out = logits_of(self._context, self.text)
        out[NORA] = self._eager
        if self._context == "paul":
            out[PIECES.index(b"ly")] = 8.0  # always in the middle of a word
        if len(self.text) >= self._ends_at:
            out[END] = 50.0
        return out

    @property
    def shadow_logits(self) -> NDArray[np.float32]:
        assert self.shadow is not None, "given up"
        out = logits_of("public", self.shadow)
        out[NORA] = -6.0  # hardly anybody would think of her
        out[END] = 4.0  # and anybody would rather stop
        return out

    def feed(self, token: int | None, shadow_token: int | None = None) -> None:
        if token is not None:
            self.text.append(token)
        if shadow_token is not None:
            assert self.shadow is not None, "given up"
            self.shadow.append(shadow_token)

    def end_shadow(self) -> None:
        self.shadow = None

    def ends(self, token: int) -> bool:
        return token == END


def top(token: bytes, *others: bytes) -> TopLogprobs:
    """A place of an answer: `token` with .7, the others share .2."""
    shares = [0.7, *[0.2 / len(others)] * len(others)]
    return TopLogprobs(token, math.log(0.7), (token, *others), tuple(map(math.log, shares)))


def talkative(asked: list[tuple[str, float]] | None = None) -> Callable[[str, float], Draft]:
    """A cloud that always has three more tokens to say."""

    def ask(text: str, nats: float) -> Draft:
        if asked is not None:
            asked.append((text, nats))
        return Draft((top(b" we", b" so"), top(b" are", b","), top(b" happy", b" sad")))

    return ask


def written(
    steps: Toy,
    ask: Callable[[str, float], Draft],
    live: Live | None = None,
    *,
    private: Callable[[bytes], bool] = lambda _: False,
    max_tokens: int = 40,
    seed: int = 0,
    cut: bool = True,
    cancel: threading.Event | None = None,
) -> tuple[str, list[TokenTrace]]:
    """The text and its trace."""
    trace: list[TokenTrace] = []
    pieces = fuse_live(
        steps,
        ask,
        combiner("mean", control=CONTROL),
        live or Live(0.5, 1000.0),
        Sampler(0.7, seed),
        private,
        max_tokens=max_tokens,
        public_taste=Sampler(0.7, seed) if cut else None,
        uniform=np.random.default_rng(seed).random,
        cancel=cancel,
        trace=trace,
    )
    return "".join(pieces), trace


def shown(trace: list[TokenTrace]) -> bytes:
    """The whole shadow."""
    return b"".join(one.shadow or b"" for one in trace)


def test_all_that_is_asked_is_the_shadow() -> None:
    """Each request holds the shadow so far, whole characters of it, and nothing of the text."""
    asked: list[tuple[str, float]] = []
    text, trace = written(Toy("nora"), talkative(asked))
    assert len(asked) > 5
    assert asked[0] == ("", 0.0)
    shadow = shown(trace).decode(errors="replace")
    assert all(shadow.startswith(said) for said, _ in asked)
    assert shadow != text


def test_known_values_are_never_in_the_shadow() -> None:
    """A model that writes a name at every turn: no request and no shadow has it, whatever the chance."""
    for seed in range(5):
        asked: list[tuple[str, float]] = []
        text, trace = written(
            Toy("nora", eager=6.0),
            talkative(asked),
            Live(100.0, 1e6),
            private=lambda text: text.endswith(PIECES[NORA]),
            seed=seed,
        )
        assert text.count("Nora") > 5
        assert b"Nora" not in shown(trace)
        assert not any("Nora" in said for said, _ in asked)
        assert {one.piece for one in trace if one.held} == {b" Nora"}


def test_the_same_loop_would_show_what_is_not_held() -> None:
    """So that the test above can fail."""
    _, trace = written(Toy("nora", eager=6.0), talkative(), Live(100.0, 1e6))
    assert b"Nora" in shown(trace)


class Scripted(Shadow):
    """A shadow that says what it is told, and notes what it would have been drawn from."""

    script: Sequence[int] = ()
    public: list[Shares]

    def release(self, token: int, law: Law, public: Shares) -> int:
        super().release(token, law, public)
        type(self).public.append(public)
        return self.script[self.budget.released - 1]


@pytest.mark.parametrize("cut", [True, False])
def test_requests_and_the_public_law_depend_on_the_shadow_alone(
    monkeypatch: pytest.MonkeyPatch, *, cut: bool
) -> None:
    """Two persons, two texts, one shadow: the same requests at the same tokens, the same public laws."""
    monkeypatch.setattr(room, "Shadow", Scripted)
    Scripted.script = np.random.default_rng(1).integers(2, V, 60).tolist()
    seen = []
    for context, seed in (("nora", 1), ("paul", 2)):
        Scripted.public = []
        asked: list[tuple[str, float]] = []
        steps = Toy(context, eager=2.0)
        _, trace = written(
            steps, talkative(asked), private=lambda text: text.endswith(b"Nora"), seed=seed, cut=cut
        )
        seen.append((steps.text, asked, np.array(Scripted.public), shown(trace)))
    first, second = seen
    assert first[0] != second[0]
    assert first[1] == second[1]
    assert len(first[1]) > 3
    assert (first[2] == second[2]).all()


def test_the_public_law_is_the_mean_of_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local one after the shadow, without control tokens, and the cloud's whole list with its tail."""
    monkeypatch.setattr(room, "Shadow", Scripted)
    Scripted.script, Scripted.public = [2, 2], []
    steps = Toy("nora")
    generic = log_softmax(np.where(CONTROL, NEVER, steps.shadow_logits).astype(np.float32))
    listed = steps.vocabulary.listed(top(b" we", b" so"), generic)
    assert listed is not None
    written(steps, talkative(), max_tokens=1, cut=False)
    mean = (np.exp(generic) + np.exp(spread(listed, generic))) / 2
    assert Scripted.public[0] == pytest.approx(mean, rel=1e-5)


def test_every_request_is_charged_what_was_shown_since() -> None:
    """By the number of tokens, however little they told; never more than `max_nats` in all."""
    asked: list[tuple[str, float]] = []
    _, trace = written(Toy("nora"), talkative(asked), Live(0.5, 16.0))
    released = [one for one in trace if one.shadow is not None]
    assert len(released) == 16  # half of 16 from the start, the rest by .5, whatever the text
    charged = 0.0
    for said, nats in asked:
        charged += nats
        tokens = round((charged - 8.0) / 0.5) if charged else 0
        assert shown(released[:tokens]).decode() == said
    assert 8.0 < charged <= 16.0


def test_after_the_budget_the_local_model_goes_on_alone() -> None:
    """Nothing more is shown or asked, the second sequence is given up, the text is completed."""
    steps, asked = Toy("nora"), list[tuple[str, float]]()
    _, trace = written(steps, talkative(asked), Live(0.5, 4.0))
    assert len(trace) == 40
    assert [one.shadow is None for one in trace] == [False] * 4 + [True] * 36
    assert all(one.by == "local" for one in trace[4:])
    assert steps.shadow is None
    assert len(asked) <= 3


def test_once_the_two_have_parted_nothing_more_is_asked() -> None:
    """The cloud is of no use then; that it stops is counted with the end of the text."""
    asked: list[tuple[str, float]] = []
    _, trace = written(Toy("nora", eager=9.0), talkative(asked), Live(0.001, 1.0), max_tokens=100)
    assert sum(one.shadow is not None for one in trace) < 60
    assert len(trace) == 100
    assert trace[-1].shadow is None


@pytest.mark.parametrize("error", [CloudError("down"), GateHit("a private value")])
@pytest.mark.parametrize("at", [0, 2])
def test_an_error_ends_the_clouds_part_for_good(error: Exception, at: int) -> None:
    """The text is completed; what the cloud said before is not used any more."""
    asked: list[tuple[str, float]] = []

    def ask(text: str, nats: float) -> Draft:
        draft = talkative(asked)(text, nats)
        if len(asked) > at:
            raise error
        return draft

    steps = Toy("nora")
    _, trace = written(steps, ask)
    assert len(asked) == at + 1
    assert len(trace) == 40
    last = max((n for n, one in enumerate(trace) if one.shadow is not None), default=-1)
    assert last < 30
    assert all(one.by == "local" for one in trace[last + 1 :])
    assert steps.shadow is None


NAN = TopLogprobs(b" we", math.nan, (b" we", b" so"), (math.nan, math.nan))
FOREIGN = TopLogprobs(b" wearied", -0.1, (b" wearied", "日".encode()), (-0.1, -3.0))
STRAY = TopLogprobs(b"", -0.1, (b"", b"<|im_end|>"), (-0.1, -3.0))
EMPTY = TopLogprobs(b" we", -0.1, (), ())


@pytest.mark.parametrize("bad", [NAN, FOREIGN, STRAY, EMPTY, TopLogprobs(b"ly", 5.0, (b"ly",), (5.0,))])
def test_a_bad_answer_is_no_obstacle(bad: TopLogprobs) -> None:
    """NaN, another vocabulary, control tokens, no list, positive numbers: the text is completed."""
    text, trace = written(Toy("nora"), lambda *_: Draft((bad, bad)))
    assert len(trace) == 40
    assert text
    assert all(0.0 <= one.weight <= 1.0 for one in trace)


@pytest.mark.parametrize("draft", [Draft(()), Draft((STRAY,), ended=True)])
def test_an_answer_without_text_is_the_last(draft: Draft) -> None:
    """A cloud that has nothing to say is not asked again."""
    asked = []
    _, trace = written(Toy("nora"), lambda text, _: (asked.append(text), draft)[1])
    assert asked == [""]
    assert len(trace) == 40
    assert all(one.by == "local" for one in trace)


@pytest.mark.parametrize("live", [Live(0.5, 1000.0), Live(0.5, 1000.0, max_requests=4), Live(trusted=True)])
def test_requests_are_few(live: Live) -> None:
    """At most one for three tokens, and `max_requests`: .35 a token over a text of 80."""
    asked: list[tuple[str, float]] = []
    _, trace = written(Toy("nora"), talkative(asked), live, max_tokens=80)
    assert len(trace) == 80
    assert 3 < len(asked) <= min(0.35 * 80, live.max_requests)


def test_a_trusted_endpoint_sees_the_text_and_nothing_is_counted() -> None:
    """One sequence, no budget: every request is the beginning of the text, and tells 0."""
    steps, asked = Toy("nora", eager=3.0), list[tuple[str, float]]()
    steps.shadow = None
    text, trace = written(steps, talkative(asked), Live(0.5, 1.0, trusted=True), private=lambda _: True)
    assert len(asked) > 5
    assert all(text.startswith(said) for said, _ in asked)
    assert {nats for _, nats in asked} == {0.0}
    assert all(one.shadow is None and not one.held for one in trace)


def test_the_text_may_end_and_the_shadow_never_does() -> None:
    """Whether a text ends is the local model's business: no control token is ever shown."""
    _, trace = written(Toy("nora", ends_at=12), talkative(), Live(0.01, 0.4))
    assert len(trace) == 12
    assert all(one.shadow for one in trace)


def test_cancelling_stops_between_tokens() -> None:
    """No further token, no further request."""
    cancel, asked = threading.Event(), list[str]()

    def ask(text: str, nats: float) -> Draft:
        asked.append(text)
        if len(asked) == 2:
            cancel.set()
        return talkative()(text, nats)

    _, trace = written(Toy("nora"), ask, cancel=cancel)
    assert len(asked) == 2
    assert len(trace) < 20


BEGINS = TokenBytes(PIECES, CONTROL).begins
WORD = softmax(np.where(np.array(PIECES) == b" we", 9.0, 0.0).astype(np.float32))[1]
REST = softmax(np.where(np.array(PIECES) == b"ly", 9.0, 0.0).astype(np.float32))[1]


def test_a_block_is_heard_until_the_shadow_leaves_it() -> None:
    """By bytes: another vocabulary's tokens are waited for; between their bytes nothing is heard."""
    asked: list[tuple[str, float]] = []
    cloud = Asking(talkative(asked), Live(), BEGINS, Budget(0.5, 40.0))
    assert cloud.here(WORD) == top(b" we", b" so")
    cloud.show(b" w")
    assert cloud.here(WORD) is None
    cloud.show(b"e")
    assert cloud.here(WORD) == top(b" are", b",")
    cloud.show(b" so")
    assert cloud.here(REST) is None
    cloud.show(b" sad")
    assert len(asked) == 1
    assert cloud.here(REST) is None  # in the middle of a word
    assert cloud.here(WORD) == top(b" we", b" so")
    assert asked[1] == (" we so sad", 20.0 + 4 * 0.5)


def test_half_a_character_is_never_sent() -> None:
    """The shadow waits for the other half."""
    asked: list[tuple[str, float]] = []
    cloud = Asking(talkative(asked), Live(tokens_per_request=0), BEGINS, None)
    cloud.here(WORD)
    cloud.show(b" \xc3")
    assert cloud.here(WORD) is None
    cloud.show(b"\xa9")
    assert cloud.here(WORD) is not None
    assert [text for text, _ in asked] == ["", " é"]


def test_alike_counts_bytes_from_the_end() -> None:
    """What a combiner knows about how far T and S agree."""
    assert alike(b"we are happy", b"you are happy") == len(b" are happy")
    assert alike(b"", b"you") == 0
    assert alike(b"x" * 500, b"x" * 500) == room.LOOK_BACK


def test_the_cloud_is_not_heard_where_the_texts_differ() -> None:
    """Two or three words must be the same before T takes what the cloud says of S."""
    _, trace = written(Toy("nora", eager=3.0), talkative(), Live(0.01, 1000.0))
    text, shadow = b"", b""
    for one in trace:
        if one.by != "local":
            assert text == shadow or alike(text, shadow) >= room.LEAST
        text, shadow = text + one.piece, shadow + (one.shadow or b"")
    assert any(one.by == "local" and one.shadow for one in trace)
    assert trace[0].by != "local"
