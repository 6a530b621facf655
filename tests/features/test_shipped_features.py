"""Features of the shipped fraud flows, declared over events: the same values, slots and flags."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter

from headrace.config.event_entities import EventCross, EventEntity
from headrace.config.event_features import EventFeature
from headrace.config.fraud_flow import of_fraud
from headrace.config.loading import load
from headrace.operators.events.contract import Click, Payment
from headrace.operators.events.declared import BUILT_IN
from headrace.operators.features import EventFeatures, FeatureSet
from headrace.operators.features.event_features import Asked

FLOWS = Path(__file__).resolve().parents[2] / "flows"
HOUR = 3_600_000
_FEATURE: TypeAdapter[Any] = TypeAdapter(Annotated[EventFeature, Field(discriminator="kind")])
_RENAMED = {
    "fraud_share": "positive_share",
    "fraud_streak": "positive_streak",
    "first_fraud_age": "first_positive_age",
    "last_legitimate_age": "last_negative_age",
}


def over_events(declaration: Any) -> Any:
    """A feature of payments as one over events."""
    given = declaration.model_dump(mode="json")
    kind = given["kind"]
    if kind == "distinct":
        del given["panes"]
    if kind in _RENAMED:
        given |= {"kind": _RENAMED[kind], "decision": "fraud"}
    elif "entity" in given:
        given.setdefault("on", "payment")
    return _FEATURE.validate_python(given)


def events(count: int) -> list[Any]:
    random, now = Random(7), 1_700_000_000_000
    found: list[Any] = []
    for number in range(count):
        now += random.randrange(3 * HOUR)
        basic = {"event_id": f"e{number}", "event_time": now, "session_id": f"s{random.randrange(9)}"}
        if random.random() < 0.4:
            price = random.choice([None, 12.5, 80.0])
            found.append(Click(**basic, item_id=f"i{random.randrange(5)}", price=price))
        else:
            people = {"customer_id": f"c{random.randrange(20)}", "merchant_id": f"m{random.randrange(5)}"}
            amount = round(random.expovariate(0.02), 2)
            device = random.choice([None, "d1", "d2"])
            found.append(Payment(**basic, **people, amount=amount, currency="EUR", device_id=device))
    return found


def bits(values: Any) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


@pytest.mark.parametrize("name", ["fraud", "fraud-sessions"])
def test_they_are_the_same_over_events(name: str) -> None:
    settings = of_fraud(load(FLOWS / f"{name}.toml"))
    crosses = {name: EventCross(of=cross.of, code=cross.code) for name, cross in settings.crosses.items()}
    old: Any = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
    new: Any = EventFeatures(
        {name: each.fields for name, each in BUILT_IN.types.items()},
        {key: EventEntity.model_validate(each.model_dump()) for key, each in settings.entities.items()},
        {key: over_events(each) for key, each in settings.features.items()},
        settings.bins,
        crosses,
        {"fraud": Asked("payment")},
    )
    assert new.names_of["payment"] == old.names
    assert new.groups_of["payment"] == old.groups
    paid: list[Any] = []
    for number, event in enumerate(events(3000), start=1):
        at = event.event_time
        if isinstance(event, Click):
            if old.update_click is not None:
                old.update_click(event, at, number)
                values, _, _, rows = new.read["click"](event, at)
                new.update["click"](event, at, values, number, rows)
            continue
        expected, found = old.read(event, at), new.read["payment"](event, at)
        assert bits(found[0]) == bits(expected[0])
        assert found[1:3] == expected[1:3]
        rows = old.update(event, at, expected[0], number, expected[3])
        paid.append((rows, number, found[2], at))
        assert new.update["payment"](event, at, found[0], number, found[3]) == rows
        if len(paid) > 50:
            told, label = paid.pop(0), number % 3 % 2
            old.label(*told, label)
            new.label_of["fraud"](*told, label)
            if number % 7 == 0:
                old.relabel(*told, label, 1 - label)
                new.relabel_of["fraud"](*told, label, 1 - label)
