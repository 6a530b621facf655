"""Features of declared decisions: in machine code and plain the same, and entities that come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from declared_flows import HOUR, T0, line_of, parcel_lines, parcels

from headrace.kinds.decisions import machine as machine_module
from headrace.kinds.decisions.detail import read_detail
from headrace.kinds.decisions.machine import DecisionShard
from headrace.kinds.decisions.shape import changes
from headrace.operators.compiled.kernels import compiles

MORE = """
[entities.route]
key = ["customer_id", "depot"]

[entities.a_depot]
key = "depot"

[features.route_weight]
kind = "sum"
entity = "route"
on = "parcel"
value = "weight"

[features.lost_of_depot]
kind = "positive_share"
decision = "risk"
entity = "a_depot"
window = "40d"
"""


def give(machine: DecisionShard, line: bytes) -> tuple[int, bytes, bytes]:
    (event,) = machine.contract.decode([line])
    return machine.apply(event, line, (0, machine.number, 1))


def parcel(number: int, time_ms: int) -> bytes:
    return line_of(
        "parcel", number, time_ms, parcel_id=f"b{number}", customer_id="c1", depot="north", weight=2.0
    )


def saved(machine: DecisionShard) -> dict[str, bytes]:
    return {name: bytes(blob) for name, blob in machine.save().items()}


def value(machine: DecisionShard, name: str, line: bytes) -> float:
    values = read_detail(give(machine, line)[2]).values
    return values[machine.features.names_of["parcel"].index(name)]


@pytest.mark.skipif(not compiles(), reason="needs Numba")
def test_machine_code_decides_alike(tmp_path: Path, monkeypatch: Any) -> None:
    settings = parcels(tmp_path, more=MORE)
    twin = DecisionShard(settings)
    assert twin.compiled
    monkeypatch.setattr(machine_module, "take_compiled", lambda _features: False)
    plain, late = DecisionShard(settings), DecisionShard(settings)
    assert not plain.compiled
    for number, line in enumerate(parcel_lines(1200)):
        if number == 600:  # one that takes it over between two inputs, and one that is loaded
            monkeypatch.undo()
            late.take_compiled()
            assert late.compiled
            state, twin = saved(twin), DecisionShard(settings)
            twin.load(state)
        expected = give(plain, line)
        assert give(twin, line) == expected
        assert give(late, line) == expected
    assert saved(twin) == saved(plain) == saved(late)


def test_entities_come_and_go_while_decisions_wait(tmp_path: Path) -> None:
    read = 'decisions.risk.features=["route_weight", "lost_of_depot"]'
    few, more = parcels(tmp_path), parcels(tmp_path, read, more=MORE)
    # In front of those that there are, so that rows move.
    more = more.model_copy(update={"entities": dict(reversed(more.entities.items()))})
    assert changes(few, more) == changes(more, few) == []
    machine = DecisionShard(few)
    give(machine, parcel(1, T0))
    machine.configure(more, learn=True)
    assert value(machine, "route_weight", parcel(2, T0 + HOUR)) == 0.0
    for number, lost in ((1, True), (2, False)):
        at = T0 + (number + 1) * HOUR
        give(machine, line_of("claim", number, at, about=f"parcel-{number}", lost=lost))
    assert value(machine, "lost_share", parcel(3, T0 + 4 * HOUR)) == 0.5
    # The first parcel was decided before there was such an entity.
    assert value(machine, "lost_of_depot", parcel(4, T0 + 5 * HOUR)) == 0.0
    machine.configure(few, learn=True)
    give(machine, line_of("claim", 3, T0 + 6 * HOUR, about="parcel-3", lost=True))
    assert value(machine, "lost_share", parcel(5, T0 + 7 * HOUR)) == pytest.approx(2 / 3)
    other = DecisionShard(few)
    other.load(saved(machine))
    assert saved(other) == saved(machine)
    machine.configure(more, learn=True)
    assert value(machine, "route_weight", parcel(6, T0 + 8 * HOUR)) == 0.0


def test_what_can_not_go_on_is_told_before_anything_is_taken_over(tmp_path: Path) -> None:
    before = parcels(tmp_path, more=MORE)
    now = parcels(tmp_path, more=MORE)
    fields = dict(now.events["parcel"].fields)
    fields["depot"] = fields["depot"].model_copy(update={"values": ("north", "south", "west", "east")})
    parcel_type = now.events["parcel"].model_copy(update={"fields": fields})
    now = now.model_copy(update={"events": {**now.events, "parcel": parcel_type}})
    values = 'the state has ["north","south","west"], the configuration ["north","south","west","east"]'
    assert changes(before, now) == [f"features.depot.values: {values}"]
    shorter = parcels(tmp_path, 'features.lost_share.window="20d"', more=MORE)
    assert changes(before, shorter) == [
        'features.lost_share.window: the state has "40d", the configuration "20d"'
    ]
