"""A declared decision's policy: each path with its code, which goes before which, and what is kept."""

from __future__ import annotations

import math
from typing import Any

import pytest
from declared_policies import (
    ACTIONS,
    CREDIT,
    DAY,
    ESTIMATE,
    NOON,
    SCORE,
    Asked,
    ask,
    made,
    said,
)

from headrace.config.decision_policy import DECISION_TEXTS, DecisionPolicySettings, PolicyScope
from headrace.operators.policy import DecisionPolicy, KillSwitch, ReloadList, Verdict, list_content

THRESHOLDS = {"review": 0.3, "block": 0.8}
RULES = {
    "large": {"when": "amount > 500", "action": "block", "code": "large_amount"},
    "regular": {"when": "orders >= 3", "action": "approve", "code": "regular"},
}
LISTS: dict[str, Any] = {
    "friends": {"file": "f", "key": "customer_id", "action": "approve", "code": "friend"},
    "stolen": {"file": "s", "key": "item_ids", "action": "block", "code": "stolen"},
    "pairs": {"file": "p", "key": ["customer_id", "country"], "action": "step_up", "code": "pair"},
}
COST = {
    "of": "amount",
    "actions": {
        "approve": {"share_if_1": 1.0},
        "review": {"fixed": 5.0},
        "block": {"share_if_0": 0.1, "fixed_if_0": 10.0},
    },
}
PROMISE_RULES = {
    "hurry": {"when": "promise > 20 and quantile(0.5) < 10", "action": "hold", "code": "spread"},
    "gold": {"when": "known", "action": "promise", "code": "gold", "promise": 0.5},
}
CAPACITY = {"review": {"per_day_max": 2, "otherwise": "block"}}
DEADLINE = {"wait_ms_max": 100, "action": "step_up"}
LADDER = [[0.02, 20_000], [0.05, 5000], [1.0, 0]]


class TestThresholds:
    @pytest.mark.parametrize(
        ("score", "action"),
        [(0.0, 0), (0.2999, 0), (0.3, 2), (0.7999, 2), (0.8, 3), (1.0, 3)],
    )
    def test_the_last_threshold_that_is_reached_decides(self, score, action):
        assert ask(made(thresholds=THRESHOLDS), score) == Verdict(ACTIONS[action], "model", "model")

    def test_their_order_is_that_of_the_actions(self):
        policy = made(thresholds={"block": 0.8, "step_up": 0.1, "review": 0.3})
        assert [ask(policy, score).action for score in (0.0, 0.1, 0.3, 0.8)] == [*ACTIONS]

    def test_equal_thresholds_leave_nothing_to_the_first_of_them(self):
        policy = made(thresholds={"review": 0.5, "block": 0.5})
        assert [ask(policy, score).action for score in (0.49, 0.5)] == ["approve", "block"]

    def test_most_events_get_one_and_the_same_verdict(self):
        policy = made(thresholds=THRESHOLDS)
        assert ask(policy, 0.1) is ask(policy, 0.2, amount=7.0) is policy.plain

    def test_without_thresholds_it_is_the_first_action(self):
        assert {ask(made(), score).action for score in (0.0, 0.5, 1.0)} == {"approve"}

    def test_one_action_is_enough(self):
        policy = made(PolicyScope("score", ("score",), (), {}))
        assert ask(policy, 0.7, values=()).action == "score"


class TestRules:
    def test_the_first_that_applies_decides(self):
        verdict = ask(made(rules=RULES, thresholds=THRESHOLDS), 0.0, amount=600.0, values=(9.0, 0.0))
        assert (verdict.action, verdict.path, verdict.counter) == ("block", "rule", "rule.large")
        assert (verdict.codes, said(verdict)) == (("large_amount",), {"path": "rule", "rule": "large"})

    def test_a_rule_overrules_the_score(self):
        policy = made(rules=RULES, thresholds=THRESHOLDS)
        assert ask(policy, 0.99, values=(3.0, 0.0)).action == "approve"
        assert ask(policy, 0.99, values=(2.0, 0.0)).path == "model"

    @pytest.mark.parametrize("more", [{"thresholds": THRESHOLDS}, {"ladder": LADDER}])
    def test_a_rule_can_look_at_the_score(self, more):
        rule = {"when": "score > 0.6 and known", "action": "refuse", "code": "c"}
        policy = made(CREDIT, rules={"r": rule}, **(more if "ladder" in more else {}))
        assert ask(policy, 0.61, known=True).path == "rule"
        assert ask(policy, 0.6, known=True).path != "rule"
        assert ask(policy, 0.61).path != "rule"


class TestLists:
    def test_an_event_on_a_list_gets_its_action(self):
        policy = made(lists=LISTS, thresholds=THRESHOLDS)
        verdict = ask(policy, 0.99, customer_id="x")
        assert (verdict.action, verdict.counter, verdict.codes) == ("approve", "list.friends", ("friend",))
        assert said(verdict) == {"path": "list", "list": "friends", "key": "customer_id"}

    def test_of_several_values_any_may_be_on_it(self):
        policy = made(lists=LISTS)
        assert ask(policy, item_ids=("a", "x", "b")).action == "block"
        assert ask(policy, item_ids=("a", "b")).action == "approve"
        assert ask(policy, item_ids=()).action == ask(policy, item_ids=None).action == "approve"

    def test_of_several_fields_all_must_be_on_it(self):
        pairs = {"pairs": LISTS["pairs"]}
        policy = made(lists=pairs)
        verdict = ask(policy, customer_id="x", country="x")
        assert (verdict.action, said(verdict)["key"]) == ("step_up", ["customer_id", "country"])
        assert ask(policy, customer_id="x", country="y").action == "approve"
        assert ask(policy, customer_id="x", country=None).action == "approve"

    def test_of_two_lists_the_first_in_the_file_decides(self):
        both = {"customer_id": "x", "item_ids": ("x",)}
        assert ask(made(lists=LISTS), **both).action == "approve"
        assert ask(made(lists=dict(reversed(LISTS.items()))), **both).action == "block"

    def test_lists_go_before_rules(self):
        assert ask(made(lists=LISTS, rules=RULES), amount=600.0, customer_id="x").path == "list"

    def test_a_reload_replaces_the_content(self):
        policy = made(lists=LISTS)
        content = list_content(["new"])
        policy.command(ReloadList("d.friends", *content))
        assert ask(policy, customer_id="x").path == "model"
        assert ask(policy, customer_id="new").path == "list"
        assert policy.digests["d.friends"] == content.digest
        assert set(policy.digests) == {"d.friends", "d.stolen", "d.pairs"}

    @pytest.mark.parametrize(
        ("name", "entries", "digest", "message"),
        [
            ("d.nobody", ("a",), None, "there is no list d.nobody"),
            ("friends", ("a",), None, "there is no list friends"),
            ("e.friends", ("a",), None, "there is no list e.friends"),
            ("d.friends", ("a",), "0" * 64, "list d.friends are not those that its digest"),
            ("d.friends", ("a", "b", "c"), None, r"d.friends may have 2 entries \(entries_max\), not 3"),
        ],
    )
    def test_a_reload_that_is_refused_changes_nothing(self, name, entries, digest, message):
        policy = made(lists={"friends": {**LISTS["friends"], "entries_max": 2}})
        before = policy.save()
        with pytest.raises(ValueError, match=message):
            policy.command(ReloadList(name, entries, digest or list_content(entries).digest))
        assert policy.save() == before
        assert ask(policy, customer_id="x").path == "list"

    def test_a_list_of_another_key_or_name_begins_without_content(self):
        policy = made(lists=LISTS)
        other = {"friends": {**LISTS["friends"], "key": "order_id"}, "stolen": LISTS["stolen"]}
        policy.configure(DecisionPolicySettings.model_validate({"lists": other}), SCORE)
        assert set(policy.digests) == {"d.stolen"}


class TestCost:
    @pytest.mark.parametrize(
        ("score", "amount", "action"),
        [
            (0.0, 1e6, "approve"),
            (0.05, 100.0, "approve"),  # 5 of 100 expected to be lost, a review is 5: the earlier action
            (0.06, 100.0, "review"),
            (0.75, 100.0, "review"),  # equal to blocking: 0.25 of 20
            (0.76, 100.0, "block"),
            (0.99, 0.0, "approve"),
        ],
    )
    def test_the_least_expected_cost_decides(self, score, amount, action):
        verdict = ask(made(cost=COST), score, amount=amount)
        assert (verdict.action, verdict.path, verdict.counter) == (action, "cost", "cost")
        assert verdict.codes == (() if action == "approve" else ("expected_cost",))

    def test_the_trace_tells_the_costs(self):
        costs = {"approve": 20.0, "review": 5.0, "block": 0.75 * 18.0}
        assert said(ask(made(cost=COST), 0.25, amount=80.0)) == {"path": "cost", "costs": costs}

    def test_a_gain_is_a_cost_below_0(self):
        cost = {
            "of": "amount",
            "actions": {"grant": {"share_if_0": -0.1, "share_if_1": 0.9}, "refuse": {}},
        }
        policy = made(CREDIT, cost=cost)
        assert [ask(policy, score).action for score in (0.05, 0.1, 0.11)] == ["grant", "grant", "refuse"]

    @pytest.mark.parametrize(
        ("of", "given", "value"),
        [
            ("weight", {}, 7.0),
            ("weight", {"weight": 2.5}, 2.5),
            ("floor", {"floor": 3}, 3.0),
            ("age", {"values": (0.0, math.nan)}, 7.0),
            ("age", {"values": (0.0, 4.0)}, 4.0),
            ("hour_of_day", {}, 12.0),
            (None, {}, 0.0),
        ],
    )
    def test_shares_are_of_a_field_or_a_feature(self, of, given, value):
        actions = {"approve": {"share": 2.0}, "block": {"share": 3.0}}
        cost = {"missing_as": 7.0, "actions": actions} | ({"of": of} if of else {})
        verdict = ask(made(cost=cost), 0.5, **given)
        assert said(verdict)["costs"] == {"approve": 2.0 * value, "block": 3.0 * value}

    def test_an_action_without_costs_is_not_chosen(self):
        cost = {"actions": {"approve": {"fixed": 2.0}, "block": {"fixed": 1.0}}}
        assert ask(made(cost=cost)).action == "block"

    def test_a_field_is_meant_also_where_it_has_the_name_of_the_score(self):
        fields = {**SCORE.fields, "score": SCORE.fields["floor"]}
        scope = PolicyScope("score", ("approve", "block"), (), fields)
        policy = made(scope, cost={"of": "score", "actions": {"approve": {"share": 1.0}, "block": {}}})
        event = type("Event", (), {"score": 3, "event_time": NOON})()
        assert said(policy.decide(event, (), 0.5, NOON, False))["costs"]["approve"] == 3.0


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


class TestFallbacks:
    def test_an_overdue_event_gets_the_deadlines_action(self):
        policy = made(thresholds=THRESHOLDS, lists=LISTS, deadline=DEADLINE)
        verdict = ask(policy, 0.9, overdue=True, customer_id="x")
        assert (verdict.action, verdict.path, verdict.codes) == ("step_up", "deadline", ("deadline_missed",))
        assert ask(policy, 0.9).action == "block"

    def test_without_a_deadline_overdue_means_nothing(self):
        assert ask(made(thresholds=THRESHOLDS), 0.9, overdue=True).action == "block"

    @pytest.mark.parametrize(("settings", "action"), [({}, "approve"), ({"action": "block"}, "block")])
    def test_the_kill_switch_is_one_action_for_all_until_it_is_off(self, settings, action):
        policy = made(rules=RULES, kill_switch=settings, deadline=DEADLINE)
        policy.command(KillSwitch(on=True))
        for given in ({}, {"amount": 600.0}, {"said": 0.9}, {"overdue": True}):
            verdict = ask(policy, **given)
            assert (verdict.action, verdict.path, verdict.codes) == (action, "kill_switch", ("kill_switch",))
        policy.command(KillSwitch(on=False))
        assert ask(policy, amount=600.0).action == "block"

    def test_the_switch_of_one_decision_is_its_own(self):
        policy = made()
        policy.command(KillSwitch(on=True, decision="d"))
        assert policy.kill_switch
        with pytest.raises(ValueError, match="there is no decision e in the configuration"):
            policy.command(KillSwitch(on=False, decision="e"))
        assert policy.kill_switch

    @pytest.mark.parametrize(("settings", "action"), [({}, "approve"), ({"fallback": "review"}, "review")])
    def test_a_failed_model_gets_the_fallback_with_the_reason(self, settings, action):
        policy = made(thresholds=THRESHOLDS, **settings)
        verdict = policy.fallback("ValueError: no", Asked(), (1.0, 2.0), NOON, False)
        assert (verdict.action, verdict.path, verdict.counter) == (action, "fallback", "fallback")
        assert (verdict.codes, said(verdict)) == (
            ("fallback",),
            {"path": "fallback", "failed": "ValueError: no"},
        )

    def test_what_goes_before_the_model_does_so_also_where_it_failed(self):
        policy = made(
            thresholds=THRESHOLDS,
            lists=LISTS,
            rules={**RULES, "high": {"when": "not score < 2", "action": "block", "code": "c"}},
            deadline=DEADLINE,
            capacity={"block": {"per_day_max": 0, "otherwise": "review"}},
        )
        failed = {
            "list": policy.fallback("x", Asked(customer_id="x"), (), NOON, False),
            "deadline": policy.fallback("x", Asked(customer_id="x"), (), NOON, True),
            "capacity": policy.fallback("x", Asked(amount=501.0), (), NOON, False),
        }
        assert {path: verdict.path for path, verdict in failed.items()} == {each: each for each in failed}
        assert failed["capacity"].codes == ("large_amount", "capacity_used")
        assert all(said(verdict)["failed"] == "x" for verdict in failed.values())
        missing = policy.fallback("x", Asked(), (), NOON, False)
        assert missing.codes == ("c", "capacity_used")  # the score is missing, and so is not below 2
        policy.command(KillSwitch(on=True))
        assert policy.fallback("x", Asked(), (), NOON, False).path == "kill_switch"

    def test_a_long_reason_is_cut(self):
        assert len(said(made().fallback("x" * 9000, Asked(), (), NOON, False))["failed"]) == 200


class TestState:
    def test_a_saved_policy_goes_on_as_it_was(self):
        given = {"thresholds": THRESHOLDS, "lists": LISTS, "capacity": CAPACITY}
        policy = made(**given)
        for score in (0.1, 0.5, 0.9):
            ask(policy, score, commit=True)
        policy.command(KillSwitch(on=True))
        other = made(**given)
        other.load(policy.save())
        assert other.save() == policy.save()
        assert other.digests == policy.digests
        for each in (policy, other):
            each.command(KillSwitch(on=False))
        assert [ask(policy, 0.5, commit=True) for _ in range(3)] == [
            ask(other, 0.5, commit=True) for _ in range(3)
        ]

    def test_actions_that_are_no_more_are_forgotten_and_new_ones_begin(self):
        policy = made(thresholds={"review": 0.3})
        ask(policy, 0.5, commit=True)
        saved = policy.save()
        scope = PolicyScope("score", ("approve", "hold"), SCORE.features, SCORE.fields)
        capacity = {"capacity": {"hold": {"per_day_max": 1, "otherwise": "approve"}}}
        other = made(scope, **capacity)
        other.load(saved)
        assert other.unused(18_000) == {"hold": 1}
        assert b"review" not in other.save()
        policy.configure(DecisionPolicySettings.model_validate(capacity), scope)
        assert policy.save() == other.save()

    def test_another_format_is_refused(self):
        saved = made().save().replace(b"\xa6format\x01", b"\xa6format\x02")
        with pytest.raises(ValueError, match="format 2, not 1"):
            made().load(saved)

    def test_a_command_that_fails_changes_nothing(self, monkeypatch):
        policy = made(lists=LISTS)
        before = policy.save()
        monkeypatch.setattr(policy, "_compose", lambda: 1 / 0)
        for command in (KillSwitch(on=True), ReloadList("d.friends", *list_content(["y"]))):
            with pytest.raises(ZeroDivisionError):
                policy.command(command)
        assert policy.save() == before


class TestReasonsWanted:
    @pytest.mark.parametrize(
        ("given", "score", "wanted"),
        [
            ({"thresholds": THRESHOLDS}, 0.1, False),
            ({"thresholds": THRESHOLDS}, 0.5, True),
            ({"cost": COST}, 0.0, False),
            ({"cost": COST}, 0.9, True),
            ({"rules": RULES}, 0.5, False),
            ({"capacity": {"approve": {"per_day_max": 0, "otherwise": "block"}}}, 0.5, True),
        ],
    )
    def test_where_the_model_had_a_say_and_it_was_not_the_first_action(self, given, score, wanted):
        policy = made(**given)
        assert policy.wants_reasons(ask(policy, score, amount=501.0)) is wanted

    @pytest.mark.parametrize(("score", "wanted"), [(0.01, False), (0.03, True), (0.5, True)])
    def test_of_a_ladder_where_the_limit_is_not_the_highest(self, score, wanted):
        policy = made(CREDIT, ladder=LADDER)
        assert policy.wants_reasons(ask(policy, score)) is wanted


def test_every_code_of_the_policy_has_a_text():
    used = {"kill_switch", "deadline_missed", "fallback", "capacity_used", "expected_cost", "raise_limited"}
    assert used < set(DECISION_TEXTS)
