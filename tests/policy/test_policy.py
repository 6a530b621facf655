"""The policy: each path with its code, which goes before which, commands, and what is kept."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from msgspec import msgpack

from headrace.config.fraud_flow import FraudSettings
from headrace.config.policy import BUILT_IN_TEXTS, COMBINATION_CODE, CostSettings
from headrace.operators.events.contract import Payment
from headrace.operators.policy import KillSwitch, Policy, ReloadList, Verdict, act, list_content
from headrace.operators.policy.capacity import TakenDays, share_of
from headrace.operators.policy.cost import cheapest, expected_costs

DAY = 86_400_000
NOON = 18_000 * DAY + DAY // 2
RULES = {
    "large": {"when": "amount > 500", "action": "block", "code": "large_amount"},
    "night": {"when": "amount > 100 and hour_of_day < 5", "action": "review", "code": "at_night"},
    "known": {"when": "payments >= 3", "action": "approve", "code": "known_customer"},
}
LISTS = {
    "friends": {"file": "f", "key": "customer_id", "action": "approve", "code": "friend"},
    "stolen": {"file": "s", "key": "device_id", "action": "block", "code": "stolen_device"},
}
DEADLINE = {"wait_ms_max": 100, "action": "approve"}
COST = {"review_cost": 5.0, "wrong_block_cost": 10.0, "wrong_block_share": 0.1}
CAPACITY = {"reviews_per_day_max": 2, "otherwise": "block"}
EVERYTHING = {
    "rules": RULES,
    "lists": LISTS,
    "deadline": DEADLINE,
    "capacity": {"reviews_per_day_max": 1, "otherwise": "block"},
}


def configured(**policy: Any) -> FraudSettings:
    entities = {"customer": {"key": "customer_id"}}
    features = {"payments": {"kind": "count", "entity": "customer"}}
    return FraudSettings.model_validate({"policy": policy, "entities": entities, "features": features})


def made(**policy: Any) -> Policy:
    made = Policy(configured(**policy))
    for name, entry in (("friends", "c-friend"), ("stolen", "d-stolen")):
        if name in policy.get("lists", {}):
            made.command(ReloadList(name, *list_content([entry, "x"])))
    return made


def ask(
    policy: Policy,
    score: float = 0.0,
    *,
    at: int = NOON,
    payments: float = 0.0,
    overdue: bool = False,
    commit: bool = False,
    **given: Any,
) -> Verdict:
    plain = {"event_id": "p", "customer_id": "c", "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    payment = Payment(event_time=at, **{**plain, **given})
    before = policy.save()
    verdict = policy.decide(payment, (payments,), score, at, overdue)
    assert policy.save() == before
    if commit:
        policy.commit(verdict, at)
    return verdict


def said(verdict: Verdict) -> Any:
    return msgpack.decode(verdict.trace)


class TestThresholds:
    @pytest.mark.parametrize("score", [0.0, 0.29, 0.3, 0.31, 0.79, 0.8, 1.0])
    def test_the_policy_decides_as_the_function_does(self, score):
        settings = configured()
        verdict = ask(Policy(settings), score)
        assert verdict == Verdict(act(settings.policy, score), "model", "model")

    def test_equal_thresholds_leave_nothing_to_review(self):
        policy = made(review_at=0.5, block_at=0.5)
        assert [ask(policy, score).action for score in (0.49, 0.5)] == ["approve", "block"]


class TestRules:
    def test_the_first_that_applies_decides(self):
        policy = made(rules=RULES)
        verdict = ask(policy, 0.0, amount=600.0, payments=9, at=NOON - DAY // 2)
        assert (verdict.action, verdict.path, verdict.counter) == ("block", "rule", "rule.large")
        assert verdict.codes == ("large_amount",)
        assert said(verdict) == {"path": "rule", "rule": "large"}

    def test_a_rule_overrules_the_score(self):
        assert ask(made(rules=RULES), 0.99, payments=3.0).action == "approve"
        assert ask(made(rules=RULES), 0.99, payments=2.0).path == "model"

    def test_hours_are_those_of_the_time_that_is_given(self):
        policy = made(rules=RULES)
        assert ask(policy, amount=101.0, at=18_000 * DAY + 5 * 3_600_000 - 1).counter == "rule.night"
        assert ask(policy, amount=101.0, at=18_000 * DAY + 5 * 3_600_000).path == "model"


class TestLists:
    def test_a_payment_on_a_list_gets_its_action(self):
        policy = made(lists=LISTS)
        friend = ask(policy, 0.99, customer_id="c-friend")
        assert (friend.action, friend.path, friend.counter) == ("approve", "list", "list.friends")
        assert friend.codes == ("friend",)
        assert said(friend) == {"path": "list", "list": "friends", "key": "customer_id"}
        assert ask(policy, 0.0, device_id="d-stolen").codes == ("stolen_device",)

    def test_only_the_lists_own_field_is_looked_up(self):
        policy = made(lists=LISTS)
        assert (
            ask(policy, customer_id="d-stolen", merchant_id="c-friend", device_id="c-friend").path == "model"
        )

    def test_of_two_lists_the_first_in_the_file_decides(self):
        both = {"customer_id": "c-friend", "device_id": "d-stolen"}
        assert ask(made(lists=LISTS), **both).action == "approve"
        assert ask(made(lists=dict(reversed(LISTS.items()))), **both).action == "block"

    def test_a_list_without_content_is_empty(self):
        policy = Policy(configured(lists=LISTS))
        assert policy.digests == {}
        assert ask(policy, customer_id="c-friend").path == "model"

    def test_a_reload_replaces_the_content(self):
        policy = made(lists=LISTS)
        content = list_content(["c-new"])
        policy.command(ReloadList("friends", *content))
        assert ask(policy, customer_id="c-friend").path == "model"
        assert ask(policy, customer_id="c-new").path == "list"
        assert policy.digests["friends"] == content.digest

    @pytest.mark.parametrize(
        ("name", "entries", "digest", "message"),
        [
            ("nobody", ("a",), None, "there is no list nobody"),
            ("friends", ("a",), "0" * 64, "not those that its digest"),
            ("friends", ("a", "b", "c"), None, r"may have 2 entries \(entries_max\), not 3"),
        ],
    )
    def test_a_reload_that_is_refused_changes_nothing(self, name, entries, digest, message):
        policy = made(lists={"friends": {**LISTS["friends"], "entries_max": 2}})
        before = policy.save()
        with pytest.raises(ValueError, match=message):
            policy.command(ReloadList(name, entries, digest or list_content(entries).digest))
        assert policy.save() == before
        assert ask(policy, customer_id="c-friend").path == "list"


class TestCost:
    @pytest.mark.parametrize(
        ("score", "amount", "action"),
        [
            (0.0, 1e6, "approve"),
            (0.04, 100.0, "approve"),  # 4 of 100 expected to be lost, a review is 5
            (0.05, 100.0, "approve"),  # equal: the customer is left in peace
            (0.06, 100.0, "review"),
            (0.7, 100.0, "review"),  # blocking: 0.3 of 20 expected
            (0.76, 100.0, "block"),
            (0.75, 100.0, "review"),  # equal to blocking
            (0.99, 0.0, "approve"),
            (1.0, 100.0, "block"),
        ],
    )
    def test_the_least_expected_cost_decides(self, score, amount, action):
        verdict = ask(made(cost=COST), score, amount=amount)
        assert (verdict.action, verdict.path, verdict.counter) == (action, "cost", "cost")
        assert verdict.codes == (() if action == "approve" else ("expected_cost",))

    def test_the_trace_tells_the_costs(self):
        verdict = ask(
            made(cost={**COST, "review_catch_share": 0.5, "fraud_loss_fixed": 20.0}), 0.25, amount=80.0
        )
        costs = {"approve": 25.0, "review": 5.0 + 12.5, "block": 0.75 * 18.0}
        assert said(verdict) == {"path": "cost", "costs": costs}
        assert verdict.action == "block"

    def test_costs_follow_their_definition(self):
        cost = CostSettings(fraud_loss_share=2.0, fraud_loss_fixed=3.0, review_catch_share=0.75)
        approve, review, block = expected_costs(cost)(0.1, 50.0)
        assert approve == pytest.approx(0.1 * 103.0)
        assert review == pytest.approx(5.0 + 0.25 * 0.1 * 103.0)
        assert block == pytest.approx(0.9 * 15.0)

    @pytest.mark.parametrize(
        ("costs", "action"),
        [
            ((1.0, 1.0, 1.0), "approve"),
            ((2.0, 1.0, 1.0), "review"),
            ((1.0, 2.0, 1.0), "approve"),
            ((2.0, 2.0, 1.0), "block"),
        ],
    )
    def test_of_equal_costs_the_one_that_disturbs_least(self, costs, action):
        assert cheapest(costs) == action

    def test_thresholds_are_not_looked_at(self):
        assert ask(made(cost=COST, review_at=0.0, block_at=0.0), 0.01).action == "approve"


class TestCapacity:
    def test_beyond_the_days_reviews_the_other_action_is_taken(self):
        policy = made(capacity=CAPACITY)
        verdicts = [ask(policy, 0.5, commit=True) for _ in range(3)]
        assert [verdict.action for verdict in verdicts] == ["review", "review", "block"]
        assert [verdict.codes for verdict in verdicts] == [(), (), ("review_capacity_used",)]
        assert verdicts[2].path == verdicts[2].counter == "capacity"
        assert [said(verdict).get("reviews_left") for verdict in verdicts] == [1, 0, None]
        expected = {"path": "capacity", "reviews_per_day": 2, "instead_of": {"path": "model"}}
        assert said(verdicts[2]) == expected

    def test_only_committed_reviews_count(self):
        policy = made(capacity=CAPACITY)
        assert {ask(policy, 0.5).action for _ in range(5)} == {"review"}

    def test_each_day_has_its_own_whatever_the_order(self):
        policy = made(capacity=CAPACITY)
        times = [NOON, NOON + DAY, NOON, NOON + DAY, NOON + DAY, NOON, NOON - DAY]
        actions = [ask(policy, 0.5, at=at, commit=True).action for at in times]
        assert actions == ["review"] * 4 + ["block", "block", "review"]

    def test_a_day_ends_at_midnight_utc(self):
        policy = made(capacity={**CAPACITY, "reviews_per_day_max": 1})
        midnight = 18_001 * DAY
        actions = [
            ask(policy, 0.5, at=at, commit=True).action for at in (midnight - 1, midnight, midnight + 1)
        ]
        assert actions == ["review", "review", "block"]

    def test_reviews_of_every_path_count(self):
        policy = made(
            capacity={**CAPACITY, "otherwise": "approve"},
            rules=RULES,
            deadline={**DEADLINE, "action": "review"},
        )
        night = {"amount": 200.0, "at": NOON - DAY // 2}
        assert ask(policy, 0.0, commit=True, **night).counter == "rule.night"
        assert ask(policy, 0.0, commit=True, overdue=True).counter == "deadline"
        last = ask(policy, 0.0, commit=True, **night)
        assert (last.action, last.codes) == ("approve", ("at_night", "review_capacity_used"))
        assert said(last)["instead_of"] == {"path": "rule", "rule": "night"}
        assert ask(policy, 0.9).action == "block"

    def test_reviews_before_it_was_configured_count_too(self):
        policy = made()
        for _ in range(5):
            ask(policy, 0.5, commit=True)
        policy.configure(configured(capacity={**CAPACITY, "reviews_per_day_max": 6}))
        assert [ask(policy, 0.5, commit=True).action for _ in range(2)] == ["review", "block"]

    def test_a_time_of_no_day_gets_no_review(self):
        policy = made(capacity=CAPACITY)
        assert [ask(policy, 0.5, at=-1, commit=True).action, ask(policy, 0.1, at=-1).action] == [
            "block",
            "approve",
        ]
        assert policy.unused(-1) == 0

    def test_a_capacity_of_none(self):
        policy = made(capacity={**CAPACITY, "reviews_per_day_max": 0})
        assert ask(policy, 0.5).action == "block"

    def test_unused_reviews(self):
        policy = made(capacity=CAPACITY)
        ask(policy, 0.5, commit=True)
        assert [policy.unused(day) for day in (17_999, 18_000)] == [2, 1]
        assert made().unused(18_000) is None

    def test_in_shadow_mode_all_real_reviews_are_unused(self):
        policy = made(capacity=CAPACITY, shadow=True)
        for _ in range(3):
            ask(policy, 0.5, commit=True)
        assert policy.counts["shadow.review"] == 2
        assert policy.unused(18_000) == 2

    def test_days_that_had_decisions_are_remembered_and_saved(self):
        policy = made(capacity={**CAPACITY, "days_remembered_max": 3})
        for day in (5, 1, 9, 5, 7):
            ask(policy, 0.1, at=day * DAY, commit=True)
        ask(policy, 0.1, at=-1, commit=True)
        assert policy.decided_days() == [5, 7, 9]
        other = made(capacity={**CAPACITY, "days_remembered_max": 2})
        other.load(policy.save())
        assert other.decided_days() == [7, 9]
        plain = made()
        ask(plain, 0.1, commit=True)
        assert plain.decided_days() == []

    @pytest.mark.parametrize(("total", "shards"), [(0, 3), (1, 3), (7, 3), (9, 3), (100, 64)])
    def test_shards_share_it_without_rest(self, total, shards):
        shares = [share_of(total, shard, shards) for shard in range(shards)]
        assert sum(shares) == total
        assert max(shares) - min(shares) <= 1
        policies = [
            Policy(configured(capacity={**CAPACITY, "reviews_per_day_max": total}), shard=n, shards=shards)
            for n in range(shards)
        ]
        assert [policy.unused(1) for policy in policies] == shares

    def test_a_forgotten_day_has_no_capacity(self):
        days = TakenDays(2)
        for day in (5, 7, 6):
            days.take(day)
        assert (days.used, days.holds(5), days.holds(4), days.holds(8)) == ({7: 1, 6: 1}, False, False, True)
        days.take(5)
        assert days.used == {7: 1, 6: 1}

    def test_a_forgotten_day_is_not_remembered_again(self):
        days = TakenDays(1)
        days.take(5)
        days.take(7)
        days.configure(9)
        again = TakenDays(9)
        again.load(days.save())
        for each in (days, again):
            each.take(5)
            assert each.used == {7: 1}
            assert [each.holds(day) for day in (4, 5, 6)] == [False, False, True]


class TestFallbacks:
    def test_an_overdue_payment_gets_the_fallback(self):
        policy = made(deadline={**DEADLINE, "action": "block"})
        verdict = ask(policy, 0.0, overdue=True)
        assert (verdict.action, verdict.path, verdict.codes) == ("block", "deadline", ("deadline_missed",))
        assert said(verdict) == {"path": "deadline"}
        assert ask(policy, 0.0).action == "approve"

    def test_without_a_deadline_overdue_means_nothing(self):
        assert ask(made(), 0.9, overdue=True) == ask(made(), 0.9)

    def test_the_kill_switch_is_one_action_for_all_until_it_is_off(self):
        policy = made(rules=RULES, kill_switch={"action": "block"})
        policy.command(KillSwitch(on=True))
        for given in ({}, {"payments": 3.0}, {"score": 0.5}, {"overdue": True}):
            verdict = ask(policy, **given)
            assert (verdict.action, verdict.path, verdict.codes) == ("block", "kill_switch", ("kill_switch",))
        policy.command(KillSwitch(on=False))
        assert ask(policy).path == "model"

    def test_the_kill_switch_outlives_a_changed_configuration(self):
        policy = made()
        policy.command(KillSwitch(on=True))
        policy.configure(configured(kill_switch={"action": "review"}))
        assert ask(policy).action == "review"


class TestShadow:
    def test_it_approves_and_says_what_it_would_have_done(self):
        policy = made(shadow=True, rules=RULES)
        verdict = ask(policy, amount=600.0)
        assert (verdict.action, verdict.would, verdict.path) == ("approve", "block", "rule")
        assert verdict.codes == ("large_amount",)
        assert said(verdict) == {"path": "rule", "rule": "large", "would": "block"}
        assert said(ask(policy, 0.5)) == {"path": "model", "would": "review"}
        assert ask(policy).would == "approve"

    def test_it_keeps_to_the_capacity_but_uses_none_of_it(self):
        capacity = {"reviews_per_day_max": 2, "otherwise": "block"}
        policy = made(capacity=capacity)
        ask(policy, 0.5, commit=True)
        policy.configure(configured(capacity=capacity, shadow=True))
        assert [ask(policy, 0.5, commit=True).would for _ in range(2)] == ["review", "block"]
        policy.configure(configured(capacity=capacity))
        assert [ask(policy, 0.5, commit=True).action for _ in range(2)] == ["review", "block"]


class TestPrecedence:
    def test_each_goes_before_the_next(self):
        policy = made(**EVERYTHING, shadow=True)
        given = {"customer_id": "c-friend", "amount": 600.0, "overdue": True, "score": 0.5}
        policy.command(KillSwitch(on=True))
        found = [ask(policy, **given).counter]
        policy.command(KillSwitch(on=False))
        found.append(ask(policy, **given).counter)
        for change in ({"overdue": False}, {"customer_id": "c"}, {"amount": 1.0}):
            given |= change
            found.append(ask(policy, commit=True, **given).counter)
        found.append(ask(policy, **given).counter)
        assert found == ["kill_switch", "deadline", "list.friends", "rule.large", "model", "capacity"]

    def test_every_built_in_code_has_a_text(self):
        policy = made(cost={**COST, "review_cost": 0.0}, capacity=EVERYTHING["capacity"], deadline=DEADLINE)
        policy.command(KillSwitch(on=True))
        codes = {*ask(policy).codes}
        policy.command(KillSwitch(on=False))
        codes |= {*ask(policy, overdue=True).codes}
        for _ in range(2):
            codes |= {*ask(policy, 0.4, amount=100.0, commit=True).codes}
        assert codes == BUILT_IN_TEXTS.keys() - {COMBINATION_CODE}  # the shard's, of the model


class TestState:
    def used(self) -> Policy:
        policy = made(**EVERYTHING)
        ask(policy, 0.5, commit=True)
        ask(policy, 0.0, amount=600.0, commit=True)
        policy.command(KillSwitch(on=True))
        ask(policy, commit=True)
        return policy

    def test_a_loaded_state_goes_on_the_same(self):
        policy, again = self.used(), Policy(configured(**EVERYTHING))
        again.load(policy.save())
        assert again.save() == policy.save()
        assert ask(again).path == "kill_switch"
        assert again.digests == policy.digests
        for one in (policy, again):
            one.command(KillSwitch(on=False))
        for given in ({"score": 0.5}, {"customer_id": "c-friend"}, {"amount": 600.0}, {}):
            assert ask(again, commit=True, **given) == ask(policy, commit=True, **given)
        assert again.save() == policy.save()

    def test_counts(self):
        policy = self.used()
        assert policy.counts == {"model": 1, "rule.large": 1, "kill_switch": 1}
        policy.configure(configured(**EVERYTHING, shadow=True))
        ask(policy, amount=600.0, commit=True)
        assert policy.counts == {"model": 1, "rule.large": 1, "kill_switch": 2, "shadow.approve": 1}
        assert policy.paths() == {"model": 1, "rule": 1, "kill_switch": 2}

    def test_a_changed_configuration_keeps_what_still_applies(self):
        policy = made(lists=LISTS)
        moved = {**LISTS["stolen"], "key": "ip"}
        policy.configure(configured(lists={"stolen": moved, "friends": LISTS["friends"]}, review_at=0.1))
        assert ask(policy, 0.2).action == "review"
        assert policy.digests.keys() == {"friends"}
        assert ask(policy, customer_id="c-friend").path == "list"
        policy.configure(configured())
        assert policy.digests == {}

    def test_a_state_of_another_configuration_keeps_what_still_applies(self):
        again = Policy(configured(lists={"friends": LISTS["friends"]}))
        again.load(made(lists=LISTS).save())
        assert again.digests.keys() == {"friends"}

    def test_another_format_is_refused(self):
        state = msgpack.decode(made().save())
        with pytest.raises(ValueError, match="format 2, not 1"):
            made().load(msgpack.encode({**state, "format": 2}))


def test_two_hash_seeds_give_the_same_bytes():
    code = (
        "from headrace.config.fraud_flow import FraudSettings\n"
        "from headrace.operators.policy import *\n"
        f"p = Policy(FraudSettings.model_validate({{'policy': {{'lists': {LISTS!r}}}}}))\n"
        "p.command(ReloadList('stolen', *list_content({str(n) for n in range(50)})))\n"
        "p.command(ReloadList('friends', *list_content({str(n) for n in range(50)})))\n"
        "print(p.save().hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
