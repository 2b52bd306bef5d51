"""What must hold for the shadow: its whole distribution stays within the budget, by exact enumeration."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from cogenesis_langchain.errors import ConfigError
from cogenesis_langchain.fusion.shadow import Budget, Law, Shadow, Shares, coupled, drawn, nearest, worthwhile

V, LENGTH = 4, 3
PRIVATE = 3
"""A token that the shadow must not take over."""
ALL = np.arange(V)


def some_law(*about: object) -> Shares:
    """(V,) One law for each history, sharp as those of models are."""
    seed = np.frombuffer(repr(about).encode(), dtype=np.uint8)
    return np.random.default_rng(seed.tolist()).dirichlet(np.full(V, 0.4))


def public_law(said: tuple[int, ...]) -> Shares:
    """r: of the shadow alone."""
    return 0.95 * some_law("public", said) + 0.05 / V


def shadows(context: str, budget: Budget) -> dict[tuple[int, ...], float]:
    """The shadow's whole distribution: every text, every shadow, every draw."""
    found: dict[tuple[int, ...], float] = defaultdict(float)

    def walk(text: tuple[int, ...], said: tuple[int, ...], budget: Budget, share: float) -> None:
        if len(said) == LENGTH:
            found[said] += share
            return
        law = some_law(context, text, said)
        free = law.copy()
        free[PRIVATE] = 0.0
        public = public_law(said)
        budget = copy.copy(budget)
        near = worthwhile(free, public, budget.room())
        budget.pay(near.nats)
        for token in range(V):
            kept, beyond = coupled(token, Law(ALL, free), public, near)
            given = (1 - kept) * beyond / beyond.sum()
            given[token] += kept
            for next_one in range(V):
                walk((*text, token), (*said, next_one), budget, share * law[token] * given[next_one])

    walk((), (), budget, 1.0)
    return found


def without_context() -> dict[tuple[int, ...], float]:
    """The shadow of nobody's text."""
    found: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(LENGTH):
        laws = {said: public_law(said) for said in found}
        found = {(*said, token): found[said] * laws[said][token] for said in found for token in range(V)}
    return found


@pytest.mark.parametrize(("nats", "context"), [(0.2, "nora"), (2.0, "paul")])
def test_the_whole_shadow_tells_at_most_its_budget(nats: float, context: str) -> None:
    """D2, and so KL and the mutual information, of the shadow with a context against the one without."""
    budget = Budget(nats / 2 / LENGTH, nats)
    with_it, without = shadows(context, budget), without_context()
    assert math.fsum(with_it.values()) == pytest.approx(1.0, abs=1e-6)
    renyi = math.log(sum(share**2 / without[said] for said, share in with_it.items()))
    divergence = sum(share * math.log(share / without[said]) for said, share in with_it.items() if share)
    assert 0.0 < divergence <= renyi <= budget.charged(LENGTH) + 1e-6
    assert renyi > 0.1 * nats  # nor is the bound so loose that nothing is tested


def test_a_shadow_without_budget_is_the_one_without_context() -> None:
    """However T and S are coupled."""
    with_it, without = shadows("nora", Budget(1e-12, 1e-9)), without_context()
    assert [with_it[said] for said in without] == pytest.approx(list(without.values()), abs=1e-4)


@pytest.mark.parametrize("nats", [0.0, 0.01, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("mass", [1.0, 0.6])
def test_the_nearest_law_is_within_reach_and_no_other_is_nearer(nats: float, mass: float) -> None:
    """Against a thousand laws on the same sphere: none overlaps more with the text's."""
    rng = np.random.default_rng(7)
    law, public = mass * rng.dirichlet(np.full(V, 0.3)), rng.dirichlet(np.ones(V)) * 0.9
    near = nearest(law, public, nats)
    shares = np.append(near.shares, near.level * 0.1)
    everywhere = np.append(public, 0.1)
    assert shares.sum() == pytest.approx(1.0)
    assert near.nats == pytest.approx(math.log((shares**2 / everywhere).sum()), abs=1e-6)
    assert near.nats <= nats + 1e-9
    overlap = np.minimum(np.append(law, 0.0), shares).sum()
    others = rng.dirichlet(np.full(V + 1, 0.5), size=1000)
    low, high = np.zeros((1000, 1)), np.ones((1000, 1))  # as far towards each of them as the budget allows
    for _ in range(40):
        part = (low + high) / 2
        mixed = part * others + (1 - part) * everywhere
        fits = np.log((mixed**2 / everywhere).sum(axis=1, keepdims=True)) <= nats
        low, high = np.where(fits, part, low), np.where(fits, high, part)
    mixed = low * others + (1 - low) * everywhere
    assert (np.minimum(np.append(law, 0.0), mixed).sum(axis=1) <= overlap + 1e-6).all()


def test_with_enough_budget_the_shadow_is_the_text() -> None:
    """Then p is within reach, and the coupling never parts them."""
    law, public = Law(ALL, some_law("p")), public_law(())
    near = nearest(law.shares, public, 100.0)
    assert near.shares == pytest.approx(law.shares, abs=1e-6)
    assert all(coupled(token, law, public, near)[0] > 1 - 1e-6 for token in range(V))


def test_where_nothing_is_private_in_the_law_following_is_free() -> None:
    """p = r costs nothing and parts nothing."""
    public = public_law(())
    near = nearest(public.copy(), public, 0.0)
    assert near.nats == pytest.approx(0.0, abs=1e-9)
    assert coupled(1, Law(ALL, public), public, near)[0] == pytest.approx(1.0)


def test_what_nobody_would_say_is_never_taken_over() -> None:
    """A public probability of nothing, as of numbers too small to write: no budget pays for it."""
    near = nearest(np.array([0.7, 0.3]), np.array([0.0, 1.0]), 1e6)
    assert near.shares == pytest.approx([0.0, 1.0])
    assert near.nats == pytest.approx(0.0, abs=1e-9)


def test_what_is_held_is_never_taken_over() -> None:
    """A text that always says it: the shadow says it as often as it does for nobody."""
    law, public = np.array([0.0, 0.0, 0.0, 0.0]), public_law(())
    near = nearest(law, public, 100.0)
    kept, beyond = coupled(PRIVATE, Law(ALL, law), public, near)
    assert kept == 0.0
    assert beyond / beyond.sum() == pytest.approx(public)
    assert near.nats == pytest.approx(0.0, abs=1e-9)


def test_what_is_charged_covers_what_is_spent() -> None:
    """Half from the first token on, the rest token by token; the number of tokens is known beforehand."""
    budget = Budget(0.5, 20.0)
    assert budget.tokens == 20
    assert budget.charged(0) == 0.0
    assert budget.charged(1) == pytest.approx(10.5)
    for n in range(1, 21):
        assert budget.open
        assert budget.room() == pytest.approx(budget.charged(n) - budget.spent)
        budget.pay(9.0 if n == 1 else 0.1)
        assert budget.spent <= budget.charged(n)
    assert not budget.open
    assert budget.charged(20) == budget.charged(1000) == pytest.approx(20.0)


def test_what_is_not_worth_its_price_is_not_paid() -> None:
    """A rare token that is likely here is followed; one that is unlikely here too is left to chance."""
    public = np.array([0.9, 1e-5, 0.1 - 1e-5])
    likely = worthwhile(np.array([0.1, 0.9, 0.0]), public, 50.0, 20.0)
    unlikely = worthwhile(np.array([0.75, 0.05, 0.2]), public, 50.0, 20.0)
    assert likely.shares[1] > 0.8
    assert unlikely.shares[1] < 0.01
    assert unlikely.nats < 0.5
    assert nearest(np.array([0.75, 0.05, 0.2]), public, 50.0).nats > 4.0


@pytest.mark.parametrize(
    ("nats", "most"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0)]
)
def test_a_budget_is_two_numbers_above_zero(nats: float, most: float) -> None:
    """Anything else is a mistake in the file."""
    with pytest.raises(ConfigError, match="above 0"):
        Budget(nats, most)


def test_drawn_never_gives_what_has_no_share() -> None:
    """At both ends, and where rounding could run over."""
    shares = np.array([0.0, 0.3, 0.0, 0.7, 0.0])
    assert [drawn(shares, number) for number in (0.0, 0.29, 0.31, 1.0 - 1e-16, 1.0)] == [1, 1, 3, 3, 3]


def released(uniform: Callable[[], float]) -> Sequence[int]:
    """A shadow of a text that says one thing."""
    one = Shadow(Budget(0.2, 30.0), uniform)
    return [one.release(0, Law(ALL, np.eye(V)[0]), np.full(V, 0.25)) for _ in range(50)]


def test_the_shadow_takes_over_what_it_can_afford() -> None:
    """A token of public probability .25 costs 1.4 nats in full: some are taken over, not all."""
    tokens = released(np.random.default_rng(3).random)
    assert 15 < sum(token == 0 for token in tokens) < 50


def test_no_seed_is_shared() -> None:
    """By default chance is the system's own: two shadows of one text differ."""
    law = Law(ALL, np.eye(V)[0])
    pair = [Shadow(Budget(0.01, 2.0)) for _ in range(2)]
    first, second = ([one.release(0, law, np.full(V, 0.25)) for _ in range(25)] for one in pair)
    assert first != second
