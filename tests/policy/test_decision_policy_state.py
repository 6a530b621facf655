"""Fallbacks of declared decisions, the state of their policies, and what they say."""

from __future__ import annotations

import pytest
from decision_policies import CAPACITY, COST, LADDER, LISTS, RULES, THRESHOLDS
from declared_policies import CREDIT, NOON, SCORE, Asked, ask, made, said

from headrace.config.decision_policy import DECISION_TEXTS, DecisionPolicySettings, PolicyScope
from headrace.operators.policy import KillSwitch, ReloadList, list_content

DEADLINE = {"wait_ms_max": 100, "action": "step_up"}


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
        """P-DEC-3."""
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
        """P-CHG-1."""
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
