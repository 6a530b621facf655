"""A declared decision's policy against plain ones: capacity, least cost, ladder, and a state that goes on."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from declared_policies import ACTIONS, CREDIT, DAY, NOON, SCORE, Asked, said
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.decision_policy import ActionCost, DecisionPolicySettings
from headrace.operators.policy import DecisionPolicy, KillSwitch, ReloadList, list_content
from headrace.operators.policy.expected_costs import expected_cost

pytestmark = pytest.mark.property

THRESHOLDS = {"step_up": 0.2, "review": 0.5, "block": 0.9}
scores = st.sampled_from([0.1, 0.3, 0.6, 0.6, 0.6, 0.95])
arrivals = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, DAY - 1),
        scores,
        st.sampled_from(["", "", "", "", "save", "shadow", "live", "forgetful", "mindful", "failed"]),
    ),
    max_size=80,
)
numbers = st.integers(0, 5)


def limited(numbers: tuple[int, int, int], days: int) -> DecisionPolicySettings:
    """Capacities that lead from the last action to the first."""
    before = dict(zip(ACTIONS[1:], ACTIONS, strict=False))
    capacity = {
        action: {"per_day_max": number, "otherwise": before[action], "days_remembered_max": days}
        for action, number in zip(ACTIONS[1:], numbers, strict=True)
    }
    policy = {"thresholds": THRESHOLDS, "capacity": capacity, "fallback": "review"}
    return DecisionPolicySettings.model_validate(policy)


@settings(max_examples=200, deadline=None)
@given(arrivals, st.tuples(numbers, numbers, numbers), st.integers(1, 3))
def test_an_action_is_taken_no_more_often_on_a_day_than_allowed(
    arrived: list[tuple[int, int, float, str]], per_day: tuple[int, int, int], shards: int
) -> None:
    """Whatever the order, across restarts, shards, shadow, failed models, and forgotten days: P-LIM-1."""
    policies = [
        DecisionPolicy("d", limited(per_day, 3), SCORE, shard=n, shards=shards) for n in range(shards)
    ]
    days, shadow = 3, False
    taken = {True: Counter[tuple[int, str]](), False: Counter[tuple[int, str]]()}
    for number, (day, at, score, happens) in enumerate(arrived):
        shard, time = number % shards, day * DAY + at
        shadow = {"shadow": True, "live": False}.get(happens, shadow)
        days = {"forgetful": 1, "mindful": 5}.get(happens, days)
        now = limited(per_day, days)
        policies[shard].configure(now, SCORE, shadow=shadow)
        if happens == "save":
            again = DecisionPolicy("d", now, SCORE, shadow=shadow, shard=shard, shards=shards)
            again.load(policies[shard].save())
            policies[shard] = again
        policy, asked = policies[shard], Asked(event_time=time)
        before = policy.save()
        if happens == "failed":
            verdict = policy.fallback("x", asked, (), time, False)
        else:
            verdict = policy.decide(asked, (0.0, 0.0), score, time, False)
        assert policy.save() == before
        policy.commit(verdict, time)
        taken[shadow][day, verdict.action] += 1
    for counted in taken.values():
        for action, most in zip(ACTIONS[1:], per_day, strict=True):
            assert all(counted[day, action] <= most for day in range(7)), counted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60), numbers, st.integers(1, 4))
def test_nothing_is_withheld_while_the_days_are_remembered(
    days: list[int], per_day: int, shards: int
) -> None:
    given = limited((9**6, per_day, 9**6), 10)
    policies = [DecisionPolicy("d", given, SCORE, shard=each, shards=shards) for each in range(shards)]
    taken = Counter[int]()
    for day in [each for each in days for _ in range(per_day * shards)]:
        for policy in policies:
            verdict = policy.decide(Asked(), (0.0, 0.0), 0.6, day * DAY, False)
            policy.commit(verdict, day * DAY)
            taken[day] += verdict.action == "review"
    assert all(taken[day] == per_day for day in days)
    unused = [sum(policy.unused(day)["review"] for policy in policies) for day in range(10)]
    assert unused == [0 if day in days else per_day for day in range(10)]


money = st.sampled_from([0.0, 1.0, -2.0, 5.0, 0.5, 10.0])
costs = st.dictionaries(
    st.sampled_from(ACTIONS),
    st.builds(
        ActionCost,
        fixed=money,
        share=money,
        fixed_if_1=money,
        share_if_1=money,
        fixed_if_0=money,
        share_if_0=money,
    ),
    min_size=2,
)


@settings(max_examples=300, deadline=None)
@given(
    costs,
    st.lists(
        st.tuples(
            st.floats(0.0, 1.0), st.none() | st.floats(-1e6, 1e6), st.sampled_from([math.nan, 0.0, 3.5])
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["weight", "age", "amount", None]),
)
def test_the_action_is_the_one_of_least_cost(
    actions: dict[str, ActionCost], asked: list[tuple[float, float | None, float]], of: str | None
) -> None:
    """P-LIM-4."""
    given = {
        "cost": {"of": of, "missing_as": 4.0, "actions": {k: v.model_dump() for k, v in actions.items()}}
    }
    policy = DecisionPolicy("d", DecisionPolicySettings.model_validate(given), SCORE)
    for score, weight, age in asked:
        value = {"weight": weight, "age": age, "amount": 10.0, None: 0.0}[of]
        value = 4.0 if value is None or math.isnan(value) else value
        expected = {name: expected_cost(actions[name], score, value) for name in ACTIONS if name in actions}
        verdict = policy.decide(Asked(weight=weight), (0.0, age), score, NOON, False)
        assert said(verdict)["costs"] == expected
        assert verdict.action == min(expected, key=lambda name: (expected[name], ACTIONS.index(name)))


bounds = st.lists(st.floats(0.0, 0.99), unique=True, max_size=5).map(sorted)
limits = st.lists(st.sampled_from([0.0, 10.0, 100.0, 2500.0, 1e6]), min_size=6, max_size=6)
lasts = st.none() | st.sampled_from([0.0, 1.0, 10.0, 70.0, 1e6])


@settings(max_examples=300, deadline=None)
@given(bounds, limits, st.none() | st.sampled_from([1.0, 1.5, 10.0]), st.lists(st.floats(0.0, 1.0)), lasts)
def test_a_higher_score_never_has_a_higher_limit(
    to: list[float], limits: list[float], factor: float | None, scores: list[float], last: float | None
) -> None:
    """P-LIM-3."""
    ladder = list(zip([*to, 1.0], sorted(limits, reverse=True), strict=False))
    given = {"ladder": ladder, "raise_at_most": factor}
    policy = DecisionPolicy("d", DecisionPolicySettings.model_validate(given), CREDIT)
    smallest = min((limit for _, limit in ladder if limit), default=0.0)
    before = math.inf
    for score in sorted([*scores, *to, 0.0, 1.0]):
        verdict = policy.decide(Asked(), (), score, NOON, False, last)
        allowed = next(limit for bound, limit in ladder if score <= bound)
        limit = verdict.limit
        assert limit is not None
        assert limit <= min(before, allowed)
        assert verdict.action == ("grant" if limit > 0.0 else "refuse")
        if factor is None or last is None:
            assert limit == allowed
        else:
            assert limit == min(allowed, last * factor or smallest)
        before = limit


LISTED = {
    name: {"file": "x", "key": key, "action": action, "code": "kill_switch"}
    for name, key, action in (
        ("first", "country", "approve"),
        ("second", ["customer_id", "country"], "block"),
        ("third", "item_ids", "review"),
        ("fourth", "country", "step_up"),
    )
}
few = st.sets(st.sampled_from("abcd"), max_size=4)
pairs = st.sets(st.sampled_from([f"{one}\t{other}" for one in "ab" for other in "abcd"]), max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(few, pairs, few, few),
    st.sampled_from("ab"),
    st.none() | st.sampled_from("abcd"),
    st.none() | st.lists(st.sampled_from("abcd"), max_size=3).map(tuple),
)
def test_the_first_list_that_has_the_event_decides(
    entries: tuple[set[str], ...], customer: str, country: str | None, items: tuple[str, ...] | None
) -> None:
    policy = DecisionPolicy("d", DecisionPolicySettings.model_validate({"lists": LISTED}), SCORE)
    for name, values in zip(LISTED, entries, strict=True):
        policy.command(ReloadList(f"d.{name}", *list_content(values)))
    on = {
        "list.first": country in entries[0],
        "list.second": f"{customer}\t{country}" in entries[1],
        "list.third": any(item in entries[2] for item in items or ()),
        "list.fourth": country in entries[3],
    }
    expected = next((name for name, found in on.items() if found), "model")
    asked = Asked(customer_id=customer, country=country, item_ids=items)
    assert policy.decide(asked, (0.0, 0.0), 0.0, NOON, False).counter == expected


steps = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(0, 4), scores),
        st.tuples(st.just("fail"), st.integers(0, 4), scores),
        st.tuples(st.just("switch"), st.booleans()),
        st.tuples(st.just("reload"), few),
        st.tuples(st.just("back"), st.integers(0, 4)),
        st.tuples(st.just("shadow"), st.booleans()),
    ),
    max_size=30,
)


def play(policy: DecisionPolicy, given: DecisionPolicySettings, steps: list[Any]) -> list[Any]:
    found = []
    for what, *more in steps:
        if what in {"decide", "fail"}:
            time, asked = more[0] * DAY, Asked(country="a")
            decided = (
                policy.decide(asked, (0.0, 1.0), more[1], time, False)
                if what == "decide"
                else policy.fallback("x", asked, (0.0, 1.0), time, False)
            )
            policy.commit(decided, time)
            found.append(decided)
        elif what == "switch":
            policy.command(KillSwitch(on=more[0]))
        elif what == "reload":
            policy.command(ReloadList("d.first", *list_content(more[0])))
        elif what == "back":
            policy.put_back(more[0] * DAY)
        else:
            policy.configure(given, SCORE, shadow=more[0])
    return found


@settings(max_examples=150, deadline=None)
@given(steps, steps)
def test_a_saved_state_goes_on_with_the_same_verdicts_and_bytes(before: list[Any], after: list[Any]) -> None:
    """P-DEC-2."""
    given = limited((2, 1, 1), 2).model_copy(
        update={"lists": DecisionPolicySettings.model_validate({"lists": LISTED}).lists}
    )
    one = DecisionPolicy("d", given, SCORE)
    play(one, given, before)
    other = DecisionPolicy("d", given, SCORE, shadow=one.shadow)
    other.load(one.save())
    assert other.save() == one.save()
    assert other.digests == one.digests
    assert play(other, given, after) == play(one, given, after)
    assert other.save() == one.save()
