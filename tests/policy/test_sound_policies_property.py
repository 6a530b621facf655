"""A policy in which no error is found decides on any event, with one of its actions and nothing raised."""

from __future__ import annotations

import math
from typing import Any

import pytest
from declared_policies import CREDIT, ESTIMATE, NOON, SCORE, Asked
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.config.decision_policy import DecisionPolicySettings, PolicyScope
from headrace.config.decision_policy_errors import policy_errors
from headrace.operators.policy import DecisionPolicy, KillSwitch, ReloadList, list_content

pytestmark = pytest.mark.property

WHEN = [
    "amount > 5",
    "weight / pieces < age - orders",
    "gift or not known",
    "'x' in item_ids and order_id not in item_ids",
    "country == channel or country != 'x' and hour_of_day in (1, 12)",
    "due - event_time > -floor * 1e18",
]
OF_KIND = {
    "score": ["score > 0.5 or missing(score)", "not score < 0.3"],
    "estimate": ["promise > 2", "quantile(0.5) > 2 and not missing(quantile(0.1))"],
}
KEYS = ["customer_id", "item_ids", ["country", "channel"], ["order_id"], "amount"]


LADDERS = [[[0.3, 9], [1, 0]], [[1, 0]], [[0.5, 4.0], [1.0, 4.0]]]


@st.composite
def policies(draw: st.DrawFn, scope: PolicyScope) -> dict[str, Any]:
    """Policies, most of which are sound."""
    action = st.sampled_from(scope.actions)
    number = st.sampled_from([0.0, 1.0, -2.5, 1e12])
    policy: dict[str, Any] = {}
    consequence = {"action": action, "code": st.just("kill_switch")}
    further: dict[str, Any] = {}
    form = draw(st.sampled_from(["", "thresholds", "cost", "ladder"])) if scope.kind == "score" else "promise"
    if form == "thresholds":
        scores = st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0]), max_size=3).map(sorted)
        policy[form] = dict(zip(scope.actions[1:], draw(scores), strict=False))
    elif form == "cost":
        keys = ["fixed", "share", "fixed_if_1", "share_if_1", "fixed_if_0", "share_if_0"]
        share = st.sampled_from([0.0, 0.5, -1.0, 1000.0])
        costs = st.fixed_dictionaries({}, optional={key: share if "share" in key else number for key in keys})
        policy[form] = {
            "actions": draw(st.dictionaries(action, costs, min_size=2)),
            **draw(st.fixed_dictionaries({}, optional={"of": of_number, "missing_as": number})),
        }
    elif form == "ladder":
        policy[form] = draw(st.sampled_from(LADDERS))
        further["limit"] = st.sampled_from([0.0, 3.0, 3.0])
    elif draw(st.booleans()):
        further["promise"] = st.sampled_from([0.1, 0.5, 0.9]) if form else st.just(0.5)
    if form == "promise" and draw(st.booleans()):
        policy[form] = draw(st.sampled_from([0.1, 0.9]))
    if form == "ladder" and draw(st.booleans()):
        policy["raise_at_most"] = draw(st.sampled_from([1.0, 2.0]))
    rule = {"when": st.sampled_from([*WHEN, *OF_KIND[scope.kind]]), **consequence}
    listed = {"file": st.just("f"), "key": st.sampled_from(KEYS), **consequence}
    capacity = st.fixed_dictionaries({"per_day_max": st.integers(0, 3), "otherwise": action})
    names = st.sampled_from(["a", "b", "c"])
    return policy | draw(
        st.fixed_dictionaries(
            {
                "lists": st.dictionaries(names, st.fixed_dictionaries(listed, optional=further), max_size=1),
                "rules": st.dictionaries(names, st.fixed_dictionaries(rule, optional=further), max_size=2),
            },
            optional={
                "capacity": st.dictionaries(action, capacity, max_size=2),
                "zone": st.sampled_from(["UTC", "Asia/Tokyo"]),
                "deadline": st.fixed_dictionaries({"wait_ms_max": st.just(5), "action": action}),
                "kill_switch": st.fixed_dictionaries({}, optional={"action": action}),
                "fallback": action,
            },
        )
    )


of_number = st.sampled_from(["amount", "pieces", "age", "due", "hour_of_day"])
maybe_number = st.none() | st.sampled_from([0.0, 1.0, -1e15, 1e15])
maybe_integer = st.none() | st.sampled_from([0, 1, -(2**53), 2**53])
maybe_text = st.none() | st.sampled_from(["x", "y"])
events = st.builds(
    Asked,
    customer_id=st.sampled_from(["x", "y"]),
    order_id=maybe_text,
    country=maybe_text,
    weight=maybe_number,
    pieces=maybe_integer,
    due=maybe_integer,
    gift=st.none() | st.booleans(),
    known=st.booleans(),
    item_ids=st.none() | st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
)
features = st.tuples(*[st.sampled_from([0.0, 1.0, math.nan, math.inf, 1e300])] * 2)
scores = st.floats(0.0, 1.0)
quantiles = st.tuples(*[st.sampled_from([0.0, 1.0, 2.5, math.nan, math.inf])] * 3)
asked = st.lists(
    st.tuples(
        events,
        features,
        scores,
        quantiles,
        st.sampled_from([NOON, NOON + 1, -1]),
        st.booleans(),
        st.none() | st.sampled_from([0.0, 3.0, 1e15]),
        st.sampled_from(["", "", "", "failed", "on", "off", "load"]),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([SCORE, CREDIT, ESTIMATE]), st.booleans(), asked)
def test_a_sound_policy_decides_on_any_event(
    data: st.DataObject, scope: PolicyScope, shadow: bool, asked: list[Any]
) -> None:
    """P-DEC-1."""
    read = data.draw(policies(scope))
    found = list(policy_errors("d", read, scope, texts=()))
    assert all(invalid.key.startswith("d.") and invalid.message for invalid in found)
    try:
        given = DecisionPolicySettings.model_validate(read)
    except ValidationError:
        return
    assert list(policy_errors("d", given.model_dump(), scope, texts=())) == found
    if found:
        event("unsound")
        return
    event(f"sound, with {', '.join(sorted(set(read) & {'cost', 'ladder', 'thresholds', 'promise'}))}")
    policy = DecisionPolicy("d", given, scope, shadow=shadow)
    for name, each in given.lists.items():
        policy.command(ReloadList(f"d.{name}", *list_content(["\t".join(["x"] * len(each.key))])))
    for one, values, score, levels, at, overdue, granted, happens in asked:
        last = granted if given.ladder else None
        if happens in {"on", "off"}:
            policy.command(KillSwitch(on=happens == "on"))
        if happens == "load":
            before = policy.save()
            policy = DecisionPolicy("d", given, scope, shadow=shadow)
            policy.load(before)
            assert policy.save() == before
        said = levels if scope.kind == "estimate" else score
        if happens == "failed":
            verdict = policy.fallback("x", one, values, at, overdue, last)
            assert verdict.promise is None
        else:
            more = (last,) if given.ladder else ()
            verdict = policy.decide(one, values, said, at, overdue, *more)
            assert repr(verdict) == repr(policy.decide(one, values, said, at, overdue, *more))
            assert given.promise is None or verdict.promise is not None
        policy.commit(verdict, at)
        assert verdict.action in scope.actions
        assert (verdict.limit is None) == (given.ladder is None)
        if verdict.limit is not None:
            assert (verdict.limit == 0.0) or verdict.action != scope.actions[-1]
            assert policy.wants_reasons(verdict) in {True, False}
    assert sum(policy.paths().values()) == len(asked)
