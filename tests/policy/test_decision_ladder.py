"""Ladders of limits, promises and capacities of declared decisions."""

from __future__ import annotations

import pytest
from decision_policies import CAPACITY, LADDER, THRESHOLDS
from declared_policies import CREDIT, DAY, ESTIMATE, NOON, SCORE, Asked, ask, made, said

from headrace.config.decision_policy import DecisionPolicySettings
from headrace.operators.policy import DecisionPolicy, KillSwitch

PROMISE_RULES = {
    "hurry": {"when": "promise > 20 and quantile(0.5) < 10", "action": "hold", "code": "spread"},
    "gold": {"when": "known", "action": "promise", "code": "gold", "promise": 0.5},
}


class TestLadder:
    @pytest.mark.parametrize(
        ("score", "action", "limit"),
        [
            (0.0, "grant", 20_000.0),
            (0.02, "grant", 20_000.0),
            (0.021, "grant", 5000.0),
            (0.051, "refuse", 0.0),
        ],
    )
    def test_the_first_rung_that_is_not_exceeded_gives_the_limit(self, score, action, limit):
        verdict = ask(made(CREDIT, ladder=LADDER), score)
        assert (verdict.action, verdict.limit, verdict.path, verdict.codes) == (action, limit, "ladder", ())
        assert said(verdict)["limit"] == limit

    @pytest.mark.parametrize(
        ("last", "limit", "codes"),
        [
            (None, 20_000.0, ()),
            (3000.0, 6000.0, ("raise_limited",)),
            (10_000.0, 20_000.0, ()),
            (50_000.0, 20_000.0, ()),
            (0.0, 5000.0, ("raise_limited",)),
        ],
    )
    def test_a_limit_is_raised_by_no_more_than_the_factor(self, last, limit, codes):
        verdict = ask(made(CREDIT, ladder=LADDER, raise_at_most=2.0), 0.01, last=last)
        assert (verdict.limit, verdict.codes) == (limit, codes)
        if codes:
            assert said(verdict) == {
                "path": "ladder",
                "bound": 0.02,
                "limit": 20_000.0,
                "raised_from": last,
                "raised_to": limit,
            }

    def test_a_lower_limit_holds_at_once(self):
        policy = made(CREDIT, ladder=LADDER, raise_at_most=2.0)
        assert ask(policy, 0.03, last=20_000.0).limit == 5000.0
        assert ask(policy, 0.9, last=20_000.0).limit == 0.0

    def test_another_path_keeps_the_last_limit_or_has_its_own(self):
        rules = {
            "vip": {"when": "amount == 1", "action": "grant", "code": "c", "limit": 70_000},
            "look": {"when": "amount == 2", "action": "review", "code": "c"},
            "no": {"when": "amount == 3", "action": "refuse", "code": "c"},
            "yes": {"when": "amount == 4", "action": "grant", "code": "c"},
            "some": {"when": "amount == 5", "action": "review", "code": "c", "limit": 9},
        }
        policy = made(CREDIT, ladder=LADDER, rules=rules, raise_at_most=2.0)
        limits = {
            (amount, last): ask(policy, 0.5, amount=float(amount), last=last).limit
            for amount in range(1, 6)
            for last in (None, 0.0, 300.0)
        }
        assert [limits[amount, None] for amount in range(1, 6)] == [70_000.0, 0.0, 0.0, 5000.0, 9.0]
        assert [limits[amount, 0.0] for amount in range(1, 6)] == [70_000.0, 0.0, 0.0, 5000.0, 9.0]
        assert [limits[amount, 300.0] for amount in range(1, 6)] == [70_000.0, 300.0, 0.0, 300.0, 9.0]
        assert said(ask(policy, 0.5, amount=4.0)) == {"path": "rule", "rule": "yes", "limit": 5000.0}

    def test_what_has_no_capacity_left_has_the_limit_of_what_is_done_instead(self):
        capacity = {"grant": {"per_day_max": 1, "otherwise": "refuse"}}
        policy = made(CREDIT, ladder=LADDER, capacity=capacity)
        first = ask(policy, 0.01, commit=True)
        assert (first.action, first.limit, said(first)["left"]) == ("grant", 20_000.0, 0)
        second = ask(policy, 0.01, commit=True)
        assert (second.action, second.limit, second.codes) == ("refuse", 0.0, ("capacity_used",))

    def test_the_kill_switch_and_a_failed_model_have_a_limit_too(self):
        policy = made(CREDIT, ladder=LADDER, fallback="review")
        assert policy.fallback("x", Asked(), (), NOON, False, 800.0).limit == 800.0
        policy.command(KillSwitch(on=True))
        assert ask(policy, 0.9).limit == 5000.0
        assert ask(policy, 0.01, last=70.0).limit == 70.0


class TestPromise:
    def test_the_declared_quantile_is_promised(self):
        verdict = ask(made(ESTIMATE, promise=0.9), (1.0, 5.0, 9.0))
        assert (verdict.action, verdict.promise, verdict.path) == ("promise", 9.0, "model")

    def test_rules_look_at_the_quantiles_and_the_promise(self):
        policy = made(ESTIMATE, promise=0.9, rules=PROMISE_RULES)
        assert ask(policy, (1.0, 5.0, 21.0)).action == "hold"
        assert ask(policy, (1.0, 5.0, 20.0)).action == "promise"
        assert ask(policy, (1.0, 15.0, 21.0)).action == "promise"

    def test_a_rule_can_promise_another_quantile(self):
        verdict = ask(made(ESTIMATE, promise=0.9, rules=PROMISE_RULES), (1.0, 5.0, 9.0), known=True)
        assert (verdict.promise, said(verdict)["promised"]) == (5.0, 0.5)

    def test_without_a_promise_there_is_none_and_it_is_missing(self):
        rules = {"r": {"when": "missing(promise)", "action": "hold", "code": "c"}}
        verdict = ask(made(ESTIMATE, rules=rules), (1.0, 5.0, 9.0))
        assert (verdict.promise, verdict.action) == (None, "hold")

    def test_of_a_failed_model_nothing_is_promised(self):
        rules = {"r": {"when": "missing(quantile(0.1))", "action": "hold", "code": "c"}}
        verdict = made(ESTIMATE, promise=0.9, rules=rules).fallback("gone", Asked(), (), NOON, False)
        assert (verdict.promise, verdict.action) == (None, "hold")


class TestCapacity:
    def test_beyond_the_days_share_the_other_action_is_taken(self):
        policy = made(thresholds=THRESHOLDS, capacity=CAPACITY)
        verdicts = [ask(policy, 0.5, commit=True) for _ in range(3)]
        assert [verdict.action for verdict in verdicts] == ["review", "review", "block"]
        assert [verdict.codes for verdict in verdicts] == [(), (), ("capacity_used",)]
        assert said(verdicts[0]) == {"path": "model", "left": 1, "per_day": 2}
        expected = {"path": "capacity", "per_day": 2, "action": "review", "instead_of": {"path": "model"}}
        assert said(verdicts[2]) == expected

    def test_what_is_done_instead_may_have_a_capacity_too(self):
        capacity = {
            "block": {"per_day_max": 1, "otherwise": "review"},
            "review": {"per_day_max": 1, "otherwise": "step_up"},
        }
        policy = made(thresholds=THRESHOLDS, capacity=capacity)
        verdicts = [ask(policy, 0.9, commit=True) for _ in range(3)]
        assert [verdict.action for verdict in verdicts] == ["block", "review", "step_up"]
        assert verdicts[2].codes == ("capacity_used",)
        assert said(verdicts[2])["instead_of"]["instead_of"] == {"path": "model"}
        assert policy.unused(18_000) == {"block": 0, "review": 0}

    def test_the_first_action_can_have_one(self):
        policy = made(capacity={"approve": {"per_day_max": 1, "otherwise": "block"}})
        assert [ask(policy, commit=True).action for _ in range(2)] == ["approve", "block"]

    def test_each_day_has_its_own_and_a_time_of_no_day_none(self):
        policy = made(thresholds=THRESHOLDS, capacity=CAPACITY)
        times = [NOON, NOON + DAY, NOON, NOON, NOON + DAY, NOON - DAY, -1]
        actions = [ask(policy, 0.5, at=at, commit=True).action for at in times]
        assert actions == ["review", "review", "review", "block", "review", "review", "block"]

    def test_a_day_ends_at_midnight_in_its_zone(self):
        one = {"review": {"per_day_max": 1, "otherwise": "block"}}
        policy = made(thresholds=THRESHOLDS, capacity=one, zone="America/New_York")
        midnight = 18_001 * DAY + 4 * 3_600_000  # of April, in New York
        times = [midnight - 1, midnight, midnight + 1, midnight - DAY, midnight - DAY - 1, -1]
        actions = [ask(policy, 0.5, at=at, commit=True).action for at in times]
        assert actions == ["review", "review", "block", "block", "review", "block"]
        assert policy.decided_days() == [17_999, 18_000, 18_001]
        policy.put_back(midnight - 1)
        assert [policy.unused(day)["review"] for day in (18_000, 18_001)] == [0, 1]
        east = made(thresholds=THRESHOLDS, capacity=one, zone="Asia/Tokyo")
        assert ask(east, 0.5, at=-1, commit=True).action == "block"
        assert east.decided_days() == []

    def test_what_was_done_before_it_was_configured_counts(self):
        policy = made(thresholds=THRESHOLDS)
        for _ in range(2):
            ask(policy, 0.5, commit=True)
        limited = {"thresholds": THRESHOLDS, "capacity": {"review": {"per_day_max": 3, "otherwise": "block"}}}
        policy.configure(DecisionPolicySettings.model_validate(limited), SCORE)
        assert [ask(policy, 0.5, commit=True).action for _ in range(2)] == ["review", "block"]

    def test_shards_share_it_without_rest(self):
        settings = DecisionPolicySettings.model_validate(
            {"capacity": {"review": {"per_day_max": 7, "otherwise": "block"}}}
        )
        shares = [
            DecisionPolicy("d", settings, SCORE, shard=n, shards=3).unused(1)["review"] for n in range(3)
        ]
        assert shares == [3, 2, 2]

    def test_in_shadow_nothing_real_is_used(self):
        """P-LIM-2."""
        settings = DecisionPolicySettings.model_validate({"thresholds": THRESHOLDS, "capacity": CAPACITY})
        policy = DecisionPolicy("d", settings, SCORE, shadow=True)
        assert [ask(policy, 0.5, commit=True).action for _ in range(3)] == ["review", "review", "block"]
        assert policy.counts == {"model": 2, "capacity": 1, "shadow.review": 2, "shadow.block": 1}
        assert (policy.paths(), policy.unused(18_000)) == ({"model": 2, "capacity": 1}, {"review": 2})
        policy.configure(settings, SCORE)
        assert [ask(policy, 0.5, commit=True).action for _ in range(3)] == ["review", "review", "block"]
        policy.configure(settings, SCORE, shadow=True)
        assert ask(policy, 0.5).action == "block"

    def test_days_that_had_decisions_are_remembered(self):
        capacity = {"review": {"per_day_max": 1, "otherwise": "block", "days_remembered_max": 3}}
        policy = made(capacity=capacity)
        for day in (5, 1, 9, 5, 7):
            ask(policy, at=day * DAY, commit=True)
        ask(policy, at=-1, commit=True)
        assert policy.decided_days() == [5, 7, 9]
        plain = made()
        ask(plain, commit=True)
        assert plain.decided_days() == []

    def test_what_lies_after_a_time_is_given_back(self):
        policy = made(thresholds=THRESHOLDS, capacity=CAPACITY)
        for at in (NOON, NOON + DAY, NOON + 2 * DAY):
            ask(policy, 0.5, at=at, commit=True)
        policy.put_back(NOON)
        assert [policy.unused(18_000 + each)["review"] for each in range(3)] == [1, 2, 2]
        assert policy.decided_days() == [18_000]
