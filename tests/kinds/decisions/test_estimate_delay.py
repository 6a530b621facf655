"""An estimate whose outcomes come late: its estimator is told how late, and its coverage doesn't swing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from declared_flows import HOUR, T0, line_of, parcel_lines, parcels

from headrace.kinds.decisions.machine import DecisionShard


def give(machine: DecisionShard, line: bytes) -> list[dict[str, Any]]:
    (event,) = machine.contract.decode([line])
    _, out, _ = machine.apply(event, line, (0, machine.number, 1))
    return [orjson.loads(each) for each in out.splitlines()]


def test_an_estimator_is_told_how_many_decisions_went_out_since(tmp_path: Path, monkeypatch) -> None:
    machine = DecisionShard(parcels(tmp_path))
    estimator: Any = machine.decisions["eta"]
    told, learn = [], estimator.estimator.learn

    def noting(*example: Any, **more: Any) -> None:
        told.append(more["pending"])
        learn(*example, **more)

    monkeypatch.setattr(estimator.estimator, "learn", noting)
    for number in range(5):
        parcel = {"parcel_id": f"b{number}", "customer_id": "c1", "depot": "north", "weight": 2.0}
        give(machine, line_of("parcel", number, T0 + number * HOUR, **parcel))
    for number in (4, 0, 3):
        scan = {"parcel_id": f"b{number}", "status": "delivered"}
        give(machine, line_of("scan", number, T0 + (10 + number) * HOUR, **scan))
    assert told == [0, 4, 1]


def test_coverage_is_held_and_no_interval_gets_absurd_though_hundreds_are_open(tmp_path: Path) -> None:
    """A parcel every five minutes takes one to several days."""
    machine = DecisionShard(parcels(tmp_path))
    said, hours, ordered = {}, {}, {}
    for line in parcel_lines(6000, step_ms=HOUR // 12):
        event = orjson.loads(line)
        if event["type"] == "parcel":
            ordered[event["parcel_id"]] = event["event_time"]
        elif event["type"] == "scan" and event["status"] == "delivered":
            hours[event["parcel_id"]] = (event["event_time"] - ordered[event["parcel_id"]]) / HOUR
        for each in give(machine, line):
            if each["kind"] == "eta":
                said[event["parcel_id"]] = each["quantiles"]
    late = [key for key in list(said)[3000:] if key in hours]
    inside = sum(said[key]["0.1"] <= hours[key] <= said[key]["0.9"] for key in late) / len(late)
    assert 0.75 < inside < 0.85
    assert max(said[key]["0.9"] for key in late) < 400.0
