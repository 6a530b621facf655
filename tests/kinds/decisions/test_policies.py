"""Policies of declared decisions in their state machine: lists, tables, limits, deadlines, capacities."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from declared_flows import T0, line_of, parcels

from headrace.config.lists import list_content
from headrace.journal.records import Kind
from headrace.kinds.decisions.machine import DecisionShard
from headrace.shard.commands import ReloadList

APPLIED, DEAD = int(Kind.APPLIED), int(Kind.DEAD)
LISTED = """
[decisions.risk.policy.lists.bad]
file = "bad.txt"
key = "customer_id"
action = "refuse"
code = "bad_customer"
entries_max = 3
[tables.zones]
file = "zones.txt"
holds = "number"
entries_max = 3
"""


def machine_of(tmp_path, *overrides: str, more: str = "") -> DecisionShard:
    return DecisionShard(parcels(tmp_path, *overrides, more=more))


def decide(machine: DecisionShard, number: int, *, overdue: bool = False, **more: Any) -> dict[str, Any]:
    fields = {"parcel_id": f"b{number}", "customer_id": "c1", "depot": "north", "weight": 2.0}
    line = line_of("parcel", number, T0 + number, **fields | more)
    (event,) = machine.contract.decode([line])
    _, out, _ = machine.apply(event, line, (0, 0, 1), overdue=overdue)
    return next(each for each in map(orjson.loads, out.splitlines()) if each["kind"] == "risk")


def reload(machine: DecisionShard, name: str, entries: list[str]) -> tuple[int, bytes]:
    content = list_content(entries)
    kind, out, _ = machine.command(
        ReloadList(name=name, entries=content.entries, digest=content.digest), b"", (0, 0, 0)
    )
    return kind, out


def test_a_list_of_a_decision_decides_once_its_content_has_come(tmp_path):
    machine = machine_of(tmp_path, more=LISTED)
    assert decide(machine, 1)["action"] == "send"
    assert reload(machine, "risk.bad", ["c1"])[0] == APPLIED
    decision = decide(machine, 2)
    assert (decision["action"], decision["policy"]) == ("refuse", "list.bad")
    assert [each["code"] for each in decision["reasons"]] == ["bad_customer"]
    assert decide(machine, 3, customer_id="c2")["action"] == "send"
    assert list(machine.lists) == ["risk.bad"]


@pytest.mark.parametrize(
    ("name", "entries", "said"),
    [
        ("risk.bed", ["c1"], b"there is no list risk.bed"),
        ("bad", ["c1"], b"there are tables.zones, risk.bad"),
        ("risk.bad", ["a", "b", "c", "d"], b"may have 3 entries"),
        ("tables.zones", ["a\t1", "b\t1", "c\t1", "d\t2"], b"may have 3 entries"),
        ("tables.zones", ["a\tx"], b"number"),
    ],
)
def test_a_content_that_does_not_fit_is_refused(tmp_path, name, entries, said):
    machine = machine_of(tmp_path, more=LISTED)
    before = machine.save()
    kind, out = reload(machine, name, entries)
    assert kind == DEAD
    assert said in out
    assert {key for key, blob in machine.save().items() if blob != before[key]} <= {"head"}


def test_what_a_table_says_is_a_feature(tmp_path):
    machine = machine_of(
        tmp_path,
        'features.zone={kind="lookup", table="zones", value="depot"}',
        'decisions.risk.policy.rules.far={when="zone > 5", action="insure", code="far"}',
        'decisions.risk.reasons.texts={depot="a", weight="b", history="c", far="Far away."}',
        more=LISTED,
    )
    assert decide(machine, 1)["action"] == "send"
    assert reload(machine, "tables.zones", ["north\t9", "south\t1"])[0] == APPLIED
    decision = decide(machine, 2)
    assert (decision["action"], decision["policy"]) == ("insure", "rule.far")
    assert decide(machine, 3, depot="south")["action"] == "send"
    again = machine_of(
        tmp_path,
        'features.zone={kind="lookup", table="zones", value="depot"}',
        'decisions.risk.policy.rules.far={when="zone > 5", action="insure", code="far"}',
        more=LISTED,
    )
    again.load({name: bytes(blob) for name, blob in machine.save().items()})
    assert decide(again, 4)["action"] == "insure"


def test_a_ladder_gives_limits_that_rise_step_by_step(tmp_path):
    machine = machine_of(
        tmp_path,
        'decisions.risk.actions=["grant", "refuse"]',
        "decisions.risk.policy.thresholds={}",
        "decisions.risk.censors=[]",
        "decisions.risk.policy.ladder=[[0.2, 20000.0], [1.0, 0.0]]",
        "decisions.risk.policy.raise_at_most=2.0",
    )
    first = decide(machine, 1)
    assert (first["action"], first["limit"]) == ("grant", 20000.0)
    score = machine.decisions["risk"]
    score.last_limits.take("c1", 3000.0)  # type: ignore[attr-defined]  # it is a score
    limits = [decide(machine, number)["limit"] for number in range(2, 6)]
    assert limits == [6000.0, 12000.0, 20000.0, 20000.0]
    again = machine_of(
        tmp_path,
        'decisions.risk.actions=["grant", "refuse"]',
        "decisions.risk.policy.thresholds={}",
        "decisions.risk.censors=[]",
        "decisions.risk.policy.ladder=[[0.2, 20000.0], [1.0, 0.0]]",
        "decisions.risk.policy.raise_at_most=2.0",
    )
    again.load({name: bytes(blob) for name, blob in machine.save().items()})
    assert len(again.decisions["risk"].last_limits) == 1  # type: ignore[attr-defined]


def test_what_waited_for_too_long_gets_what_is_declared(tmp_path):
    machine = machine_of(tmp_path, 'decisions.risk.policy.deadline={wait_ms_max=50, action="insure"}')
    assert machine.settings.wait_ms_max == 50
    decision = decide(machine, 1, overdue=True)
    assert (decision["action"], decision["policy"]) == ("insure", "deadline")
    assert decide(machine, 2)["action"] == "send"


def test_a_capacity_is_used_up_and_the_rest_gets_the_other_action(tmp_path):
    machine = machine_of(
        tmp_path,
        'decisions.risk.policy.rules.all={when="weight > 0", action="insure", code="all"}',
        'decisions.risk.policy.capacity={insure={per_day_max=2, otherwise="send"}}',
        'decisions.risk.reasons.texts={depot="a", weight="b", history="c", all="All."}',
    )
    actions = [decide(machine, number)["action"] for number in range(1, 5)]
    assert actions == ["insure", "insure", "send", "send"]
    assert machine.decisions["risk"].policy.unused(T0 // 86_400_000) == {"insure": 0}


def test_provisional_learning_ends_near_the_true_rate_though_most_outcomes_never_come(tmp_path):
    machine = machine_of(
        tmp_path,
        "decisions.risk.target.provisional=0",
        "decisions.risk.crosses=[]",
        "decisions.risk.model.parameters.base_rate=0.5",
        "decisions.risk.model.parameters.intercept_lr=0.05",
        'decisions.risk.target.within="2d"',
    )
    scores = []
    for number in range(1, 4000):
        scores.append(decide_at(machine, number)["score"])
        if not number % 5:
            line = line_of("claim", number, T0 + number * 60_000, about=f"parcel-{number - 3}", lost=True)
            (event,) = machine.contract.decode([line])
            machine.apply(event, line, (0, 0, 1))
    assert sum(scores[-500:]) / 500 == pytest.approx(0.2, abs=0.06)


def decide_at(machine: DecisionShard, number: int) -> dict[str, Any]:
    line = line_of(
        "parcel",
        number,
        T0 + number * 60_000,
        parcel_id=f"b{number}",
        customer_id=f"c{number}",
        depot="north",
    )
    (event,) = machine.contract.decode([line])
    _, out, _ = machine.apply(event, line, (0, 0, 1))
    return next(each for each in map(orjson.loads, out.splitlines()) if each["kind"] == "risk")
