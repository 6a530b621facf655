"""The reference page of features says what the code does."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.features_reference import MISSING, NOTES, ZERO, features_page
from headrace.config.features import KINDS
from headrace.config.fraud_flow import FraudSettings
from headrace.operators.events.contract import Payment
from headrace.operators.features import FeatureSet

DOCS = Path(__file__).resolve().parents[2] / "docs"
DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
ENTITIES = {"customer": {"key": "customer_id"}, "merchant": {"key": "merchant_id"}}
PAYMENT = Payment(
    event_id="p", event_time=START_MS, customer_id="c", merchant_id="m", amount=40.0, currency="EUR"
)


def features_of(kind: str) -> FeatureSet:
    declared = tomllib.loads(NOTES[kind].example)
    settings = FraudSettings.model_validate({"entities": ENTITIES, "features": declared})
    assert list(settings.features.values())[-1].kind == kind
    return FeatureSet(settings.entities, settings.features, {}, {})


def last_value(features: FeatureSet, at_ms: int) -> float:
    return features.read(PAYMENT, at_ms)[0][-1]


def taken_in(features: FeatureSet, labels: tuple[int, ...]) -> None:
    """One payment for each label, an hour apart, with its outcome."""
    for number, label in enumerate(labels, start=1):
        at_ms = START_MS + number * DAY_MS // 24
        values, _, flags, rows = features.read(PAYMENT, at_ms)
        rows = features.update(PAYMENT, at_ms, values, number, rows)
        features.label(rows, number, flags, at_ms, label)


def said(value: float) -> str:
    return MISSING if math.isnan(value) else ZERO if value == 0 else str(value)


def test_it_is_not_stale() -> None:
    assert (DOCS / "features.md").read_text() == features_page(), "run: headrace reference"


def test_every_kind_has_its_notes() -> None:
    assert NOTES.keys() == KINDS.keys()
    windowed = {kind for kind, declaration in KINDS.items() if "window" in declaration.model_fields}
    assert {kind for kind, notes in NOTES.items() if notes.emptied is not None} == windowed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "field"])
def test_an_entity_never_seen_has_the_value_that_is_told(kind: str) -> None:
    unseen = NOTES[kind].unseen
    assert said(last_value(features_of(kind), START_MS)) == (MISSING if MISSING in unseen else unseen)


@pytest.mark.parametrize("kind", [kind for kind, notes in NOTES.items() if notes.emptied is not None])
def test_an_empty_window_has_the_value_that_is_told(kind: str) -> None:
    features = features_of(kind)
    taken_in(features, (0, 1))
    held: Any = said(last_value(features, START_MS + DAY_MS // 8))
    assert held not in (MISSING, ZERO)
    assert said(last_value(features, START_MS + 41 * DAY_MS)) == NOTES[kind].emptied


@pytest.mark.parametrize("kind", ["time_since_last", "time_since_first", "last_legitimate_age"])
def test_at_an_equal_or_an_earlier_time_an_age_is_0(kind: str) -> None:
    features = features_of(kind)
    taken_in(features, (0,))
    assert last_value(features, START_MS + DAY_MS // 24) == 0.0
    assert last_value(features, START_MS) == 0.0


def test_a_window_covers_all_but_a_pane_of_its_length_at_least_and_its_length_at_most() -> None:
    features = features_of("count")
    taken_in(features, (0,))
    first_ms = START_MS + DAY_MS // 24
    assert last_value(features, first_ms + DAY_MS - DAY_MS // 24 - 1) == 1
    assert last_value(features, first_ms + DAY_MS) == 0


def test_an_entity_has_the_mean_over_all_before_its_first_payment() -> None:
    features = features_of("running_mean")
    taken_in(features, (0, 0))
    other = Payment(
        event_id="q", event_time=START_MS, customer_id="d", merchant_id="m", amount=1.0, currency="EUR"
    )
    assert features.read(other, START_MS)[0][-1] == 40.0
