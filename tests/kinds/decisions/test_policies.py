"""Policies of declared decisions as their machine follows them: limits, lists, switches, failures, shadow."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from declared_flows import HOUR, T0, line_of, parcels

from headrace.journal.records import Kind
from headrace.kinds.decisions.machine import DecisionShard
from headrace.operators.policy import list_content
from headrace.shard.commands import KillSwitch, ReloadList

CREDIT = """
[events.credit_request.fields]
customer_id = { type = "id", required = true }
loan_id = { type = "id", required = true }
income = { type = "number" }
gift = { type = "boolean" }

[events.repayment.fields]
loan_id = { type = "id", required = true }
defaulted = { type = "boolean", required = true }

[decisions.credit]
kind = "score"
on = "credit_request"
actions = ["grant", "look", "refuse"]
target = { on = "repayment", join = { loan_id = "loan_id" }, value = "defaulted", within = "30d" }
calibration = { method = "none" }
policy.ladder = [[0.02, 20000], [0.05, 5000], [1.0, 0]]
policy.raise_at_most = 2.0
policy.fallback = "look"
policy.lists.vip = { file = "v", key = ["customer_id", "loan_id"], action = "grant", code = "v", limit = 9e4 }
policy.rules.gifts = { when = "gift and income > 10", action = "refuse", code = "gift" }
reasons.texts = { v = "V.", gift = "G." }
"""


class Lending:
    """A machine that decides on credits, with a score that the test sets; None raises an error."""

    def __init__(self, folder: Any, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
        self.settings = parcels(folder, *overrides, more=CREDIT)
        self.machine, self.score, self.number = DecisionShard(self.settings), 0.0, 0
        model = self.machine.decisions["credit"].model
        monkeypatch.setattr(model, "score_explained", lambda _inputs: (self._said(), self._weights()))

    def _said(self) -> float:
        if self.score is None:
            raise RuntimeError("gone")
        return self.score

    def _weights(self) -> tuple[float, ...]:
        return (0.0,) * len(self.machine.decisions["credit"].inputs.names)

    def asks(self, score: float | None, customer: str = "c1", **fields: Any) -> dict[str, Any]:
        self.score, self.number = score, self.number + 1
        asked = {"customer_id": customer, "loan_id": f"l{self.number}", **fields}
        line = line_of("credit_request", self.number, T0 + self.number * HOUR, **asked)
        (event,) = self.machine.contract.decode([line])
        kind, out, _ = self.machine.apply(event, line, (0, self.number, 1))
        assert kind == int(Kind.DECIDED), out
        decision: dict[str, Any] = orjson.loads(out)
        return decision

    def told(self, command: Any) -> int:
        return int(self.machine.command(command, b"{}", (0, 0, 0))[0])


@pytest.fixture
def lending(tmp_path, monkeypatch):
    return Lending(tmp_path, monkeypatch)


def test_a_limit_rises_by_the_factor_and_falls_at_once(lending):
    limits = [lending.asks(score)["limit"] for score in (0.03, 0.01, 0.01, 0.01, 0.04, 0.5, 0.01, 0.01)]
    assert limits == [5000.0, 10_000.0, 20_000.0, 20_000.0, 5000.0, 0.0, 5000.0, 10_000.0]
    assert lending.asks(0.01, "c2")["limit"] == 20_000.0
    decision = lending.asks(0.01)
    assert (decision["action"], decision["limit"], decision["policy"]) == ("grant", 20_000.0, "ladder")


def test_a_limit_that_the_model_can_not_look_at_stays(lending):
    assert lending.asks(0.01)["limit"] == 20_000.0
    failed = lending.asks(None)
    assert (failed["action"], failed["limit"], failed["policy"]) == ("look", 20_000.0, "fallback")
    assert failed["reasons"] == [{"code": "fallback", "contribution": None}]
    assert "score" not in failed
    assert lending.asks(0.01)["limit"] == 20_000.0
    new = lending.asks(None, "c9")
    assert (new["action"], new["limit"]) == ("look", 0.0)
    assert lending.machine.decisions["credit"].counts["failed"] == 2


def test_a_rule_holds_also_where_the_model_failed(lending):
    decision = lending.asks(None, gift=True, income=11)
    assert (decision["action"], decision["policy"], decision["limit"]) == ("refuse", "rule.gifts", 0.0)


def test_a_list_by_two_fields_is_loaded_by_its_decisions_name_and_its_own(lending):
    content = list_content(["c1\tl2"])
    reload = ReloadList(name="credit.vip", entries=content.entries, digest=content.digest)
    assert lending.told(reload) == int(Kind.APPLIED)
    assert lending.machine.lists == {"credit.vip": content.digest}
    assert [lending.asks(0.5)["limit"] for _ in range(3)] == [0.0, 90_000.0, 0.0]
    for name in ("vip", "risk.vip", "credit.other"):
        refused = ReloadList(name=name, entries=content.entries, digest=content.digest)
        assert lending.told(refused) == int(Kind.DEAD)


def test_the_switch_of_one_decision_leaves_the_others(lending):
    assert lending.told(KillSwitch(on=True, decision="credit")) == int(Kind.APPLIED)
    decision = lending.asks(0.5)
    assert (decision["action"], decision["policy"], decision["limit"]) == ("grant", "kill_switch", 5000.0)
    assert not lending.machine.decisions["risk"].policy.kill_switch
    assert lending.told(KillSwitch(on=True, decision="nobody")) == int(Kind.DEAD)
    assert lending.told(KillSwitch(on=False)) == int(Kind.APPLIED)
    assert lending.asks(0.5)["action"] == "refuse"


def test_a_capacity_is_dealt_out_and_saved(tmp_path, monkeypatch):
    capacity = "decisions.credit.policy.capacity.grant={per_day_max = 2, otherwise = 'look'}"
    one = Lending(tmp_path, monkeypatch, capacity)
    assert one.asks(0.01)["action"] == "grant"
    other = Lending(tmp_path, monkeypatch, capacity)
    other.machine.load({name: bytes(blob) for name, blob in one.machine.save().items()})
    other.number = one.number
    for lending in (one, other):
        assert [lending.asks(0.01, "c2")["action"] for _ in range(2)] == ["grant", "look"]
        last = lending.asks(0.01, "c3")
        assert (last["policy"], last["limit"]) == ("capacity", 0.0)
        assert last["reasons"][0]["code"] == "capacity_used"
