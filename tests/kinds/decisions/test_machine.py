"""The state machine of declared decisions: what it says, what it learns, and what it remembers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from declared_flows import HOUR, T0, line_of, parcel_lines, parcels

from headrace.journal.records import Kind
from headrace.kinds.decisions import machine as machine_module
from headrace.kinds.decisions.detail import read_detail
from headrace.kinds.decisions.machine import DecisionShard
from headrace.kinds.decisions.shape import changes
from headrace.operators.compiled.kernels import compiles
from headrace.operators.decisions.target import Telling
from headrace.operators.models import NotLearned
from headrace.shard.commands import Erase, KillSwitch

DECIDED, APPLIED, DEAD = int(Kind.DECIDED), int(Kind.APPLIED), int(Kind.DEAD)


def shard(folder: Path, *overrides: str, **more: str) -> DecisionShard:
    return DecisionShard(parcels(folder, *overrides, **more))


def give(machine: DecisionShard, line: bytes) -> tuple[int, list[dict[str, Any]], bytes]:
    (event,) = machine.contract.decode([line])
    kind, out, detail = machine.apply(event, line, (0, machine.number, 1))
    return kind, [orjson.loads(each) for each in out.splitlines()], detail


def parcel(number: int, time_ms: int, **more: Any) -> bytes:
    fields = {"parcel_id": f"b{number}", "customer_id": "c1", "depot": "north", "weight": 2.0}
    return line_of("parcel", number, time_ms, **fields | more)


def test_two_decisions_come_of_one_event_in_the_order_of_their_declaration(tmp_path):
    kind, (risk, eta), detail = give(shard(tmp_path), parcel(1, T0))
    assert kind == DECIDED
    assert list(risk) == [
        "decision_id", "event_id", "customer_id", "event_time", "kind", "action", "score", "reasons", "model",
        "version",
    ]  # fmt: skip
    assert (risk["decision_id"], risk["kind"], risk["action"]) == ("risk:parcel-1", "risk", "send")
    assert risk["score"] == pytest.approx(0.1)
    assert list(eta["quantiles"]) == ["0.1", "0.5", "0.9"]
    assert (eta["decision_id"], eta["unit"], eta["promise"]) == (
        "eta:parcel-1",
        "hours",
        eta["quantiles"]["0.9"],
    )
    found = read_detail(detail)
    assert list(found.decisions) == ["risk", "eta"]
    assert found.values[0] == 2.0


def test_both_learn_from_what_comes_later(tmp_path):
    machine = shard(tmp_path)
    lines = [line for each in parcel_lines(3000) for line in give(machine, each)[1]]
    last = lines[-1500:]
    risks = [(each["score"], each["event_id"]) for each in last if each["kind"] == "risk"]
    west, others = [], []
    given = {orjson.loads(each)["event_id"]: orjson.loads(each) for each in parcel_lines(3000)}
    for score, event_id in risks:
        (west if given[event_id]["depot"] == "west" else others).append(score)
    assert sum(west) / len(west) == pytest.approx(0.4, abs=0.1)
    assert sum(others) / len(others) == pytest.approx(0.05, abs=0.08)
    medians = Counter[str]()
    for each in last:
        if each["kind"] == "eta":
            medians[given[each["event_id"]]["depot"]] = each["quantiles"]["0.5"]
    assert medians["north"] == pytest.approx(20, rel=0.3)
    assert medians["south"] == pytest.approx(40, rel=0.3)
    assert medians["west"] == pytest.approx(80, rel=0.3)
    counts = machine.decisions["risk"].counts
    assert counts["targets_matched"] > 100
    assert counts["targets_assumed"] > 100


def test_an_elapsed_time_is_joined_by_its_own_key_and_told_in_the_unit(tmp_path):
    machine = shard(tmp_path)
    give(machine, parcel(1, T0))
    give(machine, line_of("scan", 1, T0 + HOUR, parcel_id="b1", status="on its way"))
    give(machine, line_of("scan", 2, T0 + 2 * HOUR, parcel_id="b1", status="delivered"))
    give(machine, line_of("scan", 3, T0 + 3 * HOUR, parcel_id="b1", status="delivered"))
    evaluated = [(each.name, each.value) for each in machine.evaluated]
    assert evaluated == [("eta", 2.0)]
    assert machine.decisions["eta"].counts["targets_repeated"] == 1


def test_an_event_that_tells_waits_for_its_decision(tmp_path):
    machine = shard(tmp_path)
    give(machine, line_of("claim", 1, T0, about="parcel-1", lost=True))
    assert machine.decisions["risk"].counts["targets_early"] == 1
    give(machine, parcel(1, T0))
    assert [(each.name, each.value) for each in machine.evaluated] == [("risk", 1.0)]


def test_what_was_told_is_corrected_and_features_follow(tmp_path):
    machine = shard(tmp_path)
    give(machine, parcel(1, T0))
    give(machine, line_of("claim", 1, T0 + HOUR, about="parcel-1", lost=True))
    at = machine.features.names_of["parcel"].index("lost_share")
    assert read_detail(give(machine, parcel(2, T0 + 2 * HOUR))[2]).values[at] == 1.0
    give(machine, line_of("claim", 2, T0 + 3 * HOUR, about="parcel-1", lost=False))
    assert read_detail(give(machine, parcel(3, T0 + 4 * HOUR))[2]).values[at] == 0.0
    assert machine.decisions["risk"].counts["targets_corrected"] == 1


def test_nothing_in_time_counts_as_declared(tmp_path):
    machine = shard(tmp_path)
    give(machine, parcel(1, T0))
    # What is due is looked for every sixteen inputs.
    for number in range(2, 40):
        give(machine, parcel(number, T0 + 11 * 24 * HOUR + number))
    assert [(each.name, each.value) for each in machine.evaluated] == [("risk", 0.0)]
    assert machine.decisions["risk"].counts["targets_assumed"] == 1


def test_a_decision_that_fails_takes_no_other_with_it(tmp_path, monkeypatch):
    machine = shard(tmp_path)

    def fail(_inputs):
        raise ZeroDivisionError("no such number")

    risk_model: Any = machine.decisions["risk"]
    monkeypatch.setattr(risk_model, "_compiled", None)  # machine code divides by nothing
    monkeypatch.setattr(risk_model.model, "score_explained", fail)
    kind, (risk, eta), detail = give(machine, parcel(1, T0))
    assert kind == DECIDED
    assert (risk["action"], risk["policy"]) == ("send", "fallback")
    assert [reason["code"] for reason in risk["reasons"]] == ["fallback"]
    assert "score" not in risk
    assert "quantiles" in eta
    assert machine.decisions["risk"].counts["failed"] == 1
    assert len(machine.decisions["risk"].waiting) == 0
    assert read_detail(detail).decisions["risk"].inputs is None


def test_an_input_that_can_not_be_learned_leaves_everything_as_it_was(tmp_path, monkeypatch):
    machine = shard(tmp_path)
    give(machine, parcel(1, T0))
    before = machine.save()

    def fail(*_example):
        raise ArithmeticError("won't learn")

    monkeypatch.setattr(machine.decisions["risk"], "_compiled", None)
    monkeypatch.setattr(machine.decisions["risk"], "_teach_one", fail)
    kind, (letter,), _ = give(machine, line_of("claim", 1, T0 + HOUR, about="parcel-1", lost=True))
    assert kind == DEAD
    assert "won't learn" in letter["message"]
    after = machine.save()
    machine.counts.pop("dead_internal_error")
    assert {name for name in before if before[name] != after[name]} <= {"head"}


@pytest.mark.parametrize(
    "overrides", [(), ("decisions.risk.shadow=true", "decisions.risk.calibration.method=none")]
)
def test_machine_code_says_and_learns_the_same_to_the_bit(tmp_path, monkeypatch, overrides):
    compiled = shard(tmp_path, *overrides)
    monkeypatch.setattr(machine_module, "take_compiled", lambda _features: False)
    plain = shard(tmp_path, *overrides)
    assert (compiled.compiled, plain.compiled) == (compiles(), False)
    risk: Any = compiled.decisions["risk"]
    assert (risk._compiled is not None) == compiles()
    for number, line in enumerate(parcel_lines(2500)):
        position = (0, number, 1)
        (event,), (same,) = compiled.contract.decode([line]), plain.contract.decode([line])
        assert compiled.apply(event, line, position) == plain.apply(same, line, position)
    assert compiled.save() == plain.save()
    assert risk.counts["targets_matched"] > 0
    assert compiled.evaluated == plain.evaluated
    if not overrides:
        assert not risk.calibration.is_identity, "too few outcomes to calibrate by"


def test_machine_code_can_be_taken_over_between_two_events(tmp_path, monkeypatch):
    lines = list(parcel_lines(400))
    from_the_start = shard(tmp_path)
    monkeypatch.setattr(machine_module, "take_compiled", lambda _features: False)
    later = shard(tmp_path)
    monkeypatch.undo()
    for number, line in enumerate(lines):
        if number == len(lines) // 2:
            later.take_compiled()
        assert give(from_the_start, line) == give(later, line)
    assert later.compiled == from_the_start.compiled == compiles()
    assert later.save() == from_the_start.save()


def test_a_label_that_is_none_is_not_learned(tmp_path):
    machine = shard(tmp_path)
    give(machine, parcel(1, T0))
    risk = machine.decisions["risk"]
    before = {name: bytes(blob) for name, blob in risk.save().items()}
    with pytest.raises(NotLearned, match="0 or 1"):
        risk.tell(Telling("parcel-1", 2.0, T0 + HOUR), T0 + HOUR)
    assert {name: bytes(blob) for name, blob in risk.save().items()} == before


def test_a_decision_in_shadow_is_kept_but_not_sent(tmp_path):
    machine = shard(tmp_path, "decisions.risk.shadow=true")
    _, (eta,), detail = give(machine, parcel(1, T0))
    assert eta["kind"] == "eta"
    shadow = read_detail(detail).decisions["risk"].shadow
    assert shadow is not None
    assert orjson.loads(shadow)["decision_id"] == "risk:parcel-1"


def test_a_state_goes_on_as_if_it_had_not_been_saved(tmp_path):
    lines = list(parcel_lines(400))
    machine = shard(tmp_path)
    outputs = [give(machine, line) for line in lines]
    again = shard(tmp_path)
    for line, output in zip(lines[:600], outputs, strict=False):
        assert give(again, line) == output
    third = shard(tmp_path)
    third.load({name: bytes(blob) for name, blob in again.save().items()})
    for line, output in zip(lines[600:], outputs[600:], strict=True):
        assert give(third, line) == output
    assert third.save() == machine.save()


def test_an_added_decision_starts_empty_and_the_others_go_on(tmp_path):
    more = """
[decisions.heavy]
kind = "score"
on = "parcel"
actions = ["no", "yes"]
crosses = ["weight"]
"""
    machine = shard(tmp_path)
    for line in parcel_lines(100):
        give(machine, line)
    settings = parcels(tmp_path, more=more)
    assert not changes(machine.settings, settings)
    grown = shard(tmp_path)
    grown.load({name: bytes(blob) for name, blob in machine.save().items()})
    grown.configure(settings, learn=True)
    loaded = shard(tmp_path, more=more)
    loaded.load({name: bytes(blob) for name, blob in grown.save().items()})
    assert loaded.save() == grown.save()
    late = parcel(5000, T0 + 200 * HOUR)
    before, after = give(machine, late)[1], give(grown, late)[1]
    assert [each["kind"] for each in after] == ["risk", "eta", "heavy"]
    assert [(each.get("score"), each.get("quantiles")) for each in after[:2]] == [
        (each.get("score"), each.get("quantiles")) for each in before
    ]


def test_features_are_added_and_removed_while_decisions_wait(tmp_path):
    machine = shard(tmp_path)
    for line in parcel_lines(60):
        give(machine, line)
    waiting = len(machine.decisions["risk"].waiting)
    assert waiting
    settings = parcels(
        tmp_path,
        'features.heavy_share={kind="positive_share", decision="risk", entity="customer", window="40d",'
        ' when=["weight > 10"]}',
    )
    assert not changes(machine.settings, settings)
    machine.configure(settings, learn=True)
    assert len(machine.decisions["risk"].waiting) == waiting
    assert len(machine.features.conditions_of["parcel"]) == 1
    for line in list(parcel_lines(100))[60:]:
        give(machine, line)
    changed = parcels(tmp_path, "features.lost_share.window=20d")
    assert changes(machine.settings, changed) == [
        'features.lost_share.window: the state has "40d", the configuration "20d"'
    ]


def test_the_switch_puts_one_decision_or_all_to_the_action_declared(tmp_path):
    machine = shard(tmp_path, "decisions.risk.policy.kill_switch.action=insure")
    assert machine.command(KillSwitch(on=True, decision="risk"), b"", (0, 0, 0))[0] == APPLIED
    _, (risk, eta), _ = give(machine, parcel(1, T0))
    assert (risk["action"], risk["policy"]) == ("insure", "kill_switch")
    assert "policy" not in eta
    kind, out, _ = machine.command(KillSwitch(on=True, decision="nobody"), b"", (0, 0, 0))
    assert kind == DEAD
    assert b"there is no decision nobody" in out


def test_an_erased_customer_leaves_nothing(tmp_path):
    machine = shard(tmp_path)
    machine.apply(*_decoded(machine, parcel(1, T0, customer_id="customer-to-go", parcel_id="parcel-to-go")))
    for line in parcel_lines(50):
        give(machine, line)
    command = Erase(
        customer_id="customer-to-go",
        events={"parcel": ("parcel-1",)},
        keys={"customer_id": ("customer-to-go",), "parcel_id": ("parcel-to-go",)},
    )
    assert machine.command(command, b"", (0, 0, 0))[0] == APPLIED
    kept = b"".join(bytes(blob) for blob in machine.save().values())
    assert b"customer-to-go" not in kept
    assert b"parcel-to-go" not in kept


def _decoded(machine: DecisionShard, line: bytes) -> tuple[Any, bytes, tuple[int, int, int]]:
    return machine.contract.decode([line])[0], line, (0, 0, 1)
