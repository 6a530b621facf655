"""The reference page of features over declared events says what the code does."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter

from headrace.cli.event_features_notes import EVENT_NOTES, EXAMPLE_FLOW
from headrace.cli.event_features_reference import event_features_page
from headrace.cli.features_reference import MISSING, ZERO
from headrace.config.event_entities import EventEntity, TableSettings
from headrace.config.event_feature_errors import event_feature_errors
from headrace.config.event_features import EVENT_KINDS, EventFeature
from headrace.config.events import EventSettings
from headrace.operators.events.declared import contract_of
from headrace.operators.features import EventFeatures
from headrace.operators.features.event_features import Asked

DOCS = Path(__file__).resolve().parents[2] / "docs"
DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
FLOW = tomllib.loads(EXAMPLE_FLOW)
CONTRACT = contract_of({name: EventSettings.model_validate(each) for name, each in FLOW["events"].items()})
TYPES = {name: each.fields for name, each in CONTRACT.types.items()}
_FEATURE: TypeAdapter[Any] = TypeAdapter(Annotated[EventFeature, Field(discriminator="kind")])
OF_EVENT = [kind for kind, notes in EVENT_NOTES.items() if notes.unseen == "the event's own"]


def features_of(kind: str) -> EventFeatures:
    declared = SimpleNamespace(
        entities={name: EventEntity.model_validate(each) for name, each in FLOW["entities"].items()},
        features={
            name: _FEATURE.validate_python(each)
            for name, each in tomllib.loads(EVENT_NOTES[kind].example).items()
        },
        bins={},
        crosses={},
        tables={"banks": TableSettings(file="banks.tsv")},
    )
    assert [*event_feature_errors(declared, TYPES, {"fraud": "payment"})] == []
    assert [*declared.features.values()][-1].kind == kind
    parts = (declared.entities, declared.features, {}, {})
    decisions = {"fraud": Asked("payment"), "route": Asked("ticket"), "late": Asked("scan")}
    return EventFeatures(TYPES, *parts, decisions, declared.tables)


def event(of: str, number: int = 0) -> Any:
    fields: dict[str, Any] = {"event_id": "e", "event_time": START_MS}
    if of == "payment":
        fields |= {"customer_id": "c", "merchant_id": "m", "amount": 40.0 + number, "currency": "EUR"}
        fields |= {"country": "FR", "card_bin": "123456", "first_order": number > 0, "pieces": 2}
    elif of == "ticket":
        fields |= {"client_id": "c", "subject": "Where is it?", "urgency": 2}
    else:
        fields |= {"courier_id": "r", "latitude": 48.0 + number, "longitude": 11.0}
    return CONTRACT.types[of].cls(**fields)


def read_on(features: EventFeatures) -> str:
    """The type that the last feature is read of."""
    last = [*features.features][-1]
    return next(of for of in ("payment", "ticket", "scan") if last in features.names_of.get(of, ()))


def last_value(features: EventFeatures, at_ms: int) -> float:
    of = read_on(features)
    values = features.read[of](event(of), at_ms)[0]
    return values[features.names_of[of].index([*features.features][-1])]


def taken_in(features: EventFeatures) -> None:
    """Events of each type an hour apart, and what the first two payments turned out to be."""
    for number in range(3):
        at_ms = START_MS + number * DAY_MS // 24
        for of in features.update:
            values, _, flags, rows = features.read[of](event(of, number), at_ms)
            rows = features.update[of](event(of, number), at_ms, values, number + 1, rows)
            if of == "payment" and "fraud" in features.label_of and number < 2:
                features.label_of["fraud"](rows, number + 1, flags, at_ms, number)


def said(value: float) -> str:
    return MISSING if math.isnan(value) else ZERO if value == 0 else str(value)


def test_it_is_not_stale() -> None:
    assert (DOCS / "event-features.md").read_text() == event_features_page(), "run: headrace reference"


def test_every_kind_is_on_the_page() -> None:
    assert EVENT_NOTES.keys() == EVENT_KINDS.keys()
    page = event_features_page()
    assert all(f"\n### {kind}\n" in page for kind in EVENT_KINDS)
    windowed = {kind for kind, declaration in EVENT_KINDS.items() if "window" in declaration.model_fields}
    assert {kind for kind, notes in EVENT_NOTES.items() if notes.emptied is not None} == windowed


@pytest.mark.parametrize("kind", OF_EVENT)
def test_an_example_of_the_event_alone_has_a_value(kind: str) -> None:
    assert not math.isnan(last_value(features_of(kind), START_MS))


@pytest.mark.parametrize("kind", [kind for kind in EVENT_KINDS if kind not in OF_EVENT])
def test_an_entity_never_seen_has_the_value_that_is_told(kind: str) -> None:
    unseen = EVENT_NOTES[kind].unseen
    expected = "0.1" if unseen == "the prior" else MISSING if MISSING in unseen else unseen
    assert said(last_value(features_of(kind), START_MS)) == expected


@pytest.mark.parametrize("kind", [kind for kind, notes in EVENT_NOTES.items() if notes.emptied is not None])
def test_an_empty_window_has_the_value_that_is_told(kind: str) -> None:
    features = features_of(kind)
    taken_in(features)
    held = said(last_value(features, START_MS + DAY_MS // 8))
    assert held not in (MISSING, ZERO, "0.1")
    emptied = EVENT_NOTES[kind].emptied
    expected = "0.1" if emptied == "the prior" else emptied
    assert said(last_value(features, START_MS + 91 * DAY_MS)) == expected
