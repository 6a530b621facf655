"""Erased from features over event types: nothing that names a person is left in a saved state."""

from __future__ import annotations

from random import Random

import event_worlds as world
import pytest
from event_worlds import HOUR, START, event
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.operators.features import EventFeatures

pytestmark = pytest.mark.property


def state(features: EventFeatures) -> bytes:
    return b"\0".join(name.encode() + bytes(blob) for name, blob in sorted(features.save().items()))


def live(features: EventFeatures, random: Random, people: list[str]) -> None:
    for number in range(1, 80):
        who, at = random.choice(people), START + number * HOUR
        of = random.choice(["payment", "ticket", "scan"])
        if of == "payment":
            taken = event(of, customer_id=who, merchant_id=f"merchant-{random.randint(1, 3)}", vip=True)
        elif of == "ticket":
            taken = event(of, client_id=who, urgency=3, vip=True, **{"from": f"{who}@example.org"})
        else:
            taken = event(of, customer_id=who, courier=random.choice([4_242_424_242, 7]))
        values, _, flags, rows = features.read[of](taken, at)
        rows = features.update[of](taken, at, values, number, rows)
        if of == "payment":
            features.label_of["fraud"](rows, number, flags, at, random.randint(0, 1))
        if random.random() < 0.02:
            features.load({name: bytes(blob) for name, blob in features.save().items()})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_of_whom_is_erased_nothing_is_left(seed: int) -> None:
    random = Random(seed)
    people = [f"person-number-{number}" for number in range(6)]
    features = world.features(entities={"customer": {**world.ENTITIES["customer"], "entities_max": 5}})
    live(features, random, people)
    gone, address = people[0], f"{people[0]}@example.org"
    rows = dict(features.rows_of("customer", {"customer_id": [gone]}))
    before = {key for key in features.tables["pair"].index if gone in key}  # type: ignore[operator]
    counted = features.forget({"customer_id": [gone], "from": [address], "courier": ["4242424242"]})
    assert counted == len(rows) + len(before) + 1
    left = state(features)
    assert gone.encode() not in left
    assert (4_242_424_242).to_bytes(4, "big") not in left
    for kept in people[1:]:
        in_pairs = any(kept in key for key in features.tables["pair"].index)  # type: ignore[operator]
        assert (kept.encode() in left) or not in_pairs
    # Rows that are free hold nothing of whom they were of.
    for table in features.tables.values():
        for row in table.free:
            for column in table.columns[2:]:
                at = row * column.width
                assert column.values[at : at + column.width] == column.initial
            assert all(mappings[row] is None for mappings in table.distinct)
    # A state that was saved and loaded forgets in the same order.
    live(features, Random(seed), people[1:])


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_a_loaded_state_forgets_alike(seed: int) -> None:
    people = [f"person-number-{number}" for number in range(6)]
    first, second = world.features(), world.features()
    live(first, Random(seed), people)
    second.load({name: bytes(blob) for name, blob in first.save().items()})
    for features in (first, second):
        features.forget({"customer_id": people[:3]})
        live(features, Random(seed + 1), people)
    assert state(first) == state(second)
