from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain import route
from cogenesis_langchain.logic import holds, satisfiable
from cogenesis_langchain.types import (
    All,
    Any_,
    Compare,
    Condition,
    Decision,
    Level,
    Match,
    Not,
    Policy,
    Route,
    Rule,
    Signals,
    Step,
)

KNOWN = Signals(
    entities=frozenset({"PERSON"}),
    spans=2,
    known_values=1,
    kind="invitation",
    topic="wedding",
    length=120,
    context_overlap=0.25,
    turns=1,
    user="u",
)
LOCAL = Step(Route.LOCAL)
SKETCH = Step(Route.SKETCH, Level.TOPIC)
ALWAYS = Compare("length", gte=0)
PUBLIC = Match("label", ("public",))


def rule(name: str, priority: int, when: Condition, step: Step, *on_failure: Step, ask: bool = False) -> Rule:
    """A rule in one line."""
    return Rule(name, priority, when, step, ask, on_failure)


def decide(policy: Policy, signals: Signals = KNOWN, **options: object) -> Decision:
    """`route.decide` for a user with context."""
    return route.decide(signals, policy, **({"context_known": True} | options))  # type: ignore[arg-type]


SKETCHES = Policy((rule("writing", 50, ALWAYS, SKETCH, Step(Route.SKETCH, Level.KIND), LOCAL, ask=True),))

levels = st.sampled_from(list(Level))
steps = st.one_of(
    st.sampled_from([Route.CLOUD, Route.MASK, Route.LOCAL, Route.BLOCK]).map(Step),
    st.builds(Step, st.sampled_from(route.LEVELLED), st.one_of(st.none(), levels)),
)
leaves = st.one_of(
    st.builds(Match, st.just("kind"), st.lists(st.sampled_from(["a", "b"]), min_size=1).map(tuple)),
    st.builds(
        Match, st.sampled_from(["entity", "tag"]), st.lists(st.sampled_from("xy"), min_size=1).map(tuple)
    ),
    st.builds(Match, st.just("label"), st.just(("public",))),
    st.builds(Compare, st.just("spans"), gte=st.integers(0, 3), lte=st.one_of(st.none(), st.integers(0, 3))),
    st.builds(Compare, st.just("length"), gt=st.integers(0, 3), lt=st.one_of(st.none(), st.integers(0, 5))),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=1, max_size=3).map(tuple).map(All),
        st.lists(inner, min_size=1, max_size=3).map(tuple).map(Any_),
    ),
    max_leaves=6,
)
signals = st.builds(
    Signals,
    entities=st.one_of(st.none(), st.frozensets(st.sampled_from("xyz"))),
    spans=st.one_of(st.none(), st.integers(0, 4)),
    kind=st.one_of(st.none(), st.sampled_from(["a", "b", "c"])),
    length=st.one_of(st.none(), st.integers(0, 6)),
    tags=st.frozensets(st.sampled_from("xyz")),
    label=st.sampled_from([None, "public", "draft"]),
)
rules = st.builds(
    Rule,
    name=st.sampled_from(["one", "two", "three"]),
    priority=st.integers(0, 100),
    when=conditions,
    step=steps,
    ask=st.booleans(),
    on_failure=st.lists(steps, max_size=3).map(tuple),
)
policies = st.builds(Policy, rules=st.lists(rules, max_size=3).map(tuple), default=steps)


@given(signals, policies, st.one_of(st.none(), steps), st.one_of(st.none(), steps), st.booleans(), st.data())
def test_a_decision_is_never_left_of_rule_floor_or_caller(
    given_signals: Signals,
    policy: Policy,
    floor: Step | None,
    caller: Step | None,
    context_known: bool,
    data: st.DataObject,
) -> None:
    """Whatever policy, thread and caller say, what comes out is at least as private as each of them."""
    plain = decide(policy, given_signals)
    capable = data.draw(st.one_of(st.none(), st.frozensets(st.sampled_from(list(Route)))))
    decision = decide(
        policy, given_signals, floor=floor, caller=caller, capable=capable, context_known=context_known
    )
    for bound in (plain.step, floor, caller):
        assert bound is None or decision.step.rank >= bound.rank
    assert context_known or not decision.step.route.sends
    if decision.step.route is Route.CLOUD:
        assert given_signals.label == "public"
        assert decision.rule is not None
    assert capable is None or decision.step.route in {*capable, Route.LOCAL, Route.BLOCK}
    assert decision.reasons


@given(signals, policies)
def test_failures_move_right_and_end_local(given_signals: Signals, policy: Policy) -> None:
    """Following `after_failure` never moves left, never turns in circles, and ends at local or block."""
    decision = decide(policy, given_signals)
    current = decision.step
    for _ in range(len(decision.on_failure) + 2):
        following = route.after_failure(decision, current)
        assert following.rank >= current.rank
        current = following
    assert not current.route.sends


@given(conditions, signals)
def test_what_holds_is_satisfiable(condition: Condition, given_signals: Signals) -> None:
    """A condition that some request meets is never called contradictory, nor is its negation."""
    truth = holds(condition, given_signals)
    if truth is not None:
        assert satisfiable([condition if truth else Not(condition)])


@given(st.lists(rules, min_size=1, max_size=3, unique_by=lambda r: r.priority), signals)
def test_a_rule_that_decides_is_not_called_unreachable(found: list[Rule], given_signals: Signals) -> None:
    """No rule that wins for some request is reported as unreachable."""
    named = tuple(Rule(f"r{r.priority}", r.priority, r.when, r.step) for r in found)
    policy = Policy(named)
    winner = decide(policy, given_signals).rule
    unreachable = {p.rule for p in route.problems(policy) if p.key == ("rules",)}
    assert winner not in unreachable


def test_the_highest_priority_wins() -> None:
    """Of several rules that match, the one with the highest priority decides, wherever it stands."""
    low, high = rule("low", 1, ALWAYS, SKETCH), rule("high", 9, ALWAYS, LOCAL)
    for order in ((low, high), (high, low)):
        assert decide(Policy(order)).rule == "high"


def test_a_tie_built_in_code_takes_the_more_private_rule() -> None:
    """A tie that no check has seen still cannot send what the other rule keeps."""
    policy = Policy((rule("sends", 1, ALWAYS, SKETCH), rule("keeps", 1, ALWAYS, LOCAL)))
    assert decide(policy).step == LOCAL


@pytest.mark.parametrize("signal", ["spans", "kind", "length", "known_values", "context_overlap"])
def test_a_missing_signal_means_local(signal: str) -> None:
    """A rule that cannot be judged keeps the request here, and the reason names the signal."""
    when: Condition = Match("kind", ("x",)) if signal == "kind" else Compare(signal, gte=0)
    decision = decide(Policy((rule("needs", 9, when, LOCAL), rule("all", 1, Not(PUBLIC), SKETCH))), Signals())
    assert decision.step == LOCAL
    assert signal in decision.reasons[0]


def test_a_missing_signal_that_decides_nothing_is_no_matter() -> None:
    """`any` is true and `all` false without the rest being known."""
    assert holds(Any_((Compare("length", gte=0), Match("kind", ("x",)))), Signals(length=1)) is True
    assert holds(All((Compare("length", gte=9), Match("kind", ("x",)))), Signals(length=1)) is False


def test_no_label_is_known_not_missing() -> None:
    """A caller who sets no label has said something: `label: public` is then false, not unknown."""
    assert holds(PUBLIC, Signals()) is False


def test_cloud_needs_a_rule_and_a_label() -> None:
    """The text itself goes out only where a rule says cloud and the caller says public."""
    policy = Policy((rule("open", 1, ALWAYS, Step(Route.CLOUD)),))
    public = Signals(length=10, label="public")
    assert decide(policy, public).step == Step(Route.CLOUD)
    assert decide(policy, Signals(length=10)).step == LOCAL
    assert decide(Policy(default=Step(Route.CLOUD)), public).step == LOCAL


def test_unknown_context_means_local() -> None:
    """An unknown user or an empty store keeps every request here."""
    assert decide(SKETCHES, context_known=False).step == LOCAL


def test_block_stays_block() -> None:
    """Nothing loosens a block: no caller, no failure, no unknown context."""
    policy = Policy((rule("no", 1, ALWAYS, Step(Route.BLOCK)),))
    for options in ({}, {"caller": SKETCH}, {"context_known": False}, {"capable": set()}):
        decision = decide(policy, **options)
        assert decision.step == Step(Route.BLOCK)
        assert route.after_failure(decision, decision.step) == Step(Route.BLOCK)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (Step(Route.LOCAL), LOCAL),
        (Step(Route.MASK), SKETCH),
        (Step(Route.SKETCH), SKETCH),
        (Step(Route.SKETCH, Level.KIND), Step(Route.SKETCH, Level.KIND)),
        (Step(Route.SKETCH, Level.FREE), SKETCH),
        (Step(Route.CLOUD, Level.KIND), Step(Route.SKETCH, Level.KIND)),
        (Step(Route.LOCAL, Level.FREE), LOCAL),
    ],
)
def test_a_caller_tightens_and_never_loosens(caller: Step, expected: Step) -> None:
    """`--route` and `--level` move right only; what would move left is refused with a reason."""
    decision = decide(SKETCHES, caller=caller)
    assert decision.step == expected
    if caller.rank < SKETCH.rank and expected == SKETCH and caller.level is not None:
        assert any("less private" in reason for reason in decision.reasons)


def test_a_callers_level_on_mask_means_sketch() -> None:
    """Who lets the cloud learn only the kind does not want a masked text sent."""
    policy = Policy((rule("mask", 1, ALWAYS, Step(Route.MASK)),))
    assert decide(policy, caller=Step(Route.MASK, Level.KIND)).step == Step(Route.SKETCH, Level.KIND)


@pytest.mark.parametrize(
    ("ruled", "caller", "expected"),
    [
        (Step(Route.SKETCH, Level.KIND), Step(Route.FUSE), Step(Route.FUSE, Level.KIND)),
        (Step(Route.FUSE, Level.KIND), Step(Route.SKETCH, Level.TOPIC), Step(Route.SKETCH, Level.KIND)),
        (SKETCH, Step(Route.FUSE, Level.KIND), Step(Route.FUSE, Level.KIND)),
        (SKETCH, Step(Route.LIVE), SKETCH),
        (Step(Route.LIVE, Level.KIND), Step(Route.FUSE), Step(Route.FUSE, Level.KIND)),
        (Step(Route.MASK), Step(Route.LIVE, Level.KIND), Step(Route.LIVE, Level.KIND)),
        (Step(Route.FUSE, Level.TOPIC), Step(Route.CLOUD, Level.KIND), Step(Route.FUSE, Level.KIND)),
        (Step(Route.LIVE, Level.TOPIC), Step(Route.CLOUD, Level.KIND), Step(Route.LIVE, Level.KIND)),
    ],
)
def test_a_caller_chooses_between_equals(ruled: Step, caller: Step, expected: Step) -> None:
    """A draft is as private as a sketch, so the caller may have either; the level only ever tightens."""
    assert decide(Policy((rule("one", 1, ALWAYS, ruled),)), caller=caller).step == expected


def test_what_cannot_run_falls_to_the_right() -> None:
    """Without a capability the rule's fallbacks are taken, and local in the end."""
    assert decide(SKETCHES, capable={Route.MASK}).step == LOCAL
    only_kind = decide(SKETCHES, capable=lambda step: step.level is Level.KIND)
    assert only_kind.step == Step(Route.SKETCH, Level.KIND)
    assert only_kind.on_failure == (LOCAL,)
    assert only_kind.ask


def test_a_thread_stays_where_it_was() -> None:
    """The thread's floor lifts every later decision."""
    floor = Step(Route.SKETCH, Level.KIND)
    assert decide(SKETCHES, floor=floor).step == floor
    assert decide(SKETCHES, floor=LOCAL).step == LOCAL


def test_needed_signals_are_those_that_rules_read() -> None:
    """What no rule reads need not be computed."""
    policy = Policy((rule("a", 1, All((PUBLIC, Not(Compare("spans", gt=1)))), LOCAL),))
    assert route.needed_signals(policy) == {"label", "spans"}


def test_reasons_never_quote_values() -> None:
    """Reasons name rules and signals; a user's id or a tag's text is not in them."""
    policy = Policy((rule("mine", 1, Match("user", ("anna-secret",)), SKETCH),))
    decision = decide(policy, Signals(user="anna-secret"))
    assert decision.rule == "mine"
    assert "anna-secret" not in " ".join(decision.reasons)


@pytest.mark.parametrize(
    ("above", "below", "part"),
    [
        (Compare("length", lte=100), Compare("length", lt=50), "rule 'above' (priority 9) matches first"),
        (Match("kind", ("a", "b")), Match("kind", ("b",)), "rule 'above' (priority 9) matches first"),
        (PUBLIC, All((Compare("spans", gte=1, lte=0), PUBLIC)), "contradict"),
        (PUBLIC, Compare("context_overlap", gt=1), "contradict"),
        (PUBLIC, All((Match("kind", ("a",)), Match("kind", ("b",)))), "contradict"),
        (PUBLIC, All((Match("tag", ("a",)), Not(Match("tag", ("a", "b"))))), "contradict"),
        (PUBLIC, Compare("turns", gt=1, lt=2), "contradict"),
    ],
)
def test_unreachable_rules_are_found(above: Condition, below: Condition, part: str) -> None:
    """A rule that no request can reach is a problem that says why."""
    policy = Policy((rule("above", 9, above, LOCAL), rule("below", 1, below, LOCAL)))
    ((found),) = route.problems(policy)
    assert (found.rule, found.key) == ("below", ("rules",))
    assert part in found.message


def test_rules_that_cover_everything_together_are_found() -> None:
    """Two rules may leave nothing for a third although neither does alone."""
    policy = Policy(
        (
            rule("short", 9, Compare("length", lt=10), LOCAL),
            rule("long", 8, Compare("length", gte=10), LOCAL),
            rule("never", 7, PUBLIC, LOCAL),
        )
    )
    assert [p.rule for p in route.problems(policy)] == ["never"]


def test_tags_and_entities_may_hold_several_values() -> None:
    """Two different tags at once are no contradiction; two kinds are."""
    both = All((Match("tag", ("a",)), Match("tag", ("b",))))
    assert route.problems(Policy((rule("both", 1, both, LOCAL),))) == []


def test_ties_left_turns_and_a_cloud_default_are_problems() -> None:
    """Same priority, a fallback to the left, and a default that sends the text are named."""
    policy = Policy(
        rules=(
            rule("a", 5, PUBLIC, SKETCH, Step(Route.MASK)),
            rule("b", 5, Match("kind", ("x",)), LOCAL),
        ),
        default=Step(Route.CLOUD),
    )
    found = {(p.rule, p.key) for p in route.problems(policy)}
    assert found == {(None, ()), ("a", ("on_failure", 0)), ("b", ("priority",))}


def test_many_rules_are_checked_quickly() -> None:
    """A policy of a hundred rules with long lists is judged within the budget, without recursion limits."""
    found = [
        rule(f"r{i}", i, All(tuple(Any_((Match("tag", (f"t{i}{j}",)), ALWAYS)) for j in range(12))), LOCAL)
        for i in range(20)
    ]
    assert isinstance(route.problems(Policy(tuple(found))), list)
