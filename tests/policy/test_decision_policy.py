"""A declared decision's policy: each path with its code, which goes before which, and what is kept."""

from __future__ import annotations

import math

import pytest
from decision_policies import COST, LADDER, LISTS, RULES, THRESHOLDS
from declared_policies import ACTIONS, CREDIT, NOON, SCORE, ask, made, said

from headrace.config.decision_policy import DecisionPolicySettings, PolicyScope
from headrace.operators.policy import ReloadList, Verdict, list_content
from headrace.operators.policy.compiled import function_of


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
        """P-CHG-1."""
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


def test_what_is_compiled_sees_no_builtins():
    with pytest.raises(NameError):
        function_of("f", "", ["return open"], {})()
