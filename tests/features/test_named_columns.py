"""States that are loaded with other declarations of features."""

from __future__ import annotations

import math
from typing import Any

import event_worlds as world
import pytest
from event_worlds import DAY, FEATURES, START, event

from headrace.config.lists import list_content
from headrace.operators.features import EventFeatures
from headrace.operators.features.named_columns import FeaturesChanged

ONLY = ("amount", "count", "usual", "ratio", "ratio_p90", "shops", "sum", "streak", "positive_age")


def lived(features: EventFeatures) -> dict[str, bytes]:
    """Let some payments and outcomes come in; the state."""
    for number in range(1, 9):
        paid = event(
            "payment", customer_id=f"c{number % 3}", merchant_id=f"m{number % 2}", amount=number * 5.0
        )
        values, _, flags, rows = features.read["payment"](paid, START + number)
        rows = features.update["payment"](paid, START + number, values, number, rows)
        if "fraud" in features.label_of:
            features.label_of["fraud"](rows, number, flags, START + number, 1)
    return saved(features)


def saved(features: EventFeatures) -> dict[str, bytes]:
    return {name: bytes(blob) for name, blob in features.save().items()}


def read(features: EventFeatures, name: str) -> float:
    paid = event("payment", customer_id="c1", merchant_id="m1", amount=20.0)
    return features.read["payment"](paid, START + DAY)[0][features.names_of["payment"].index(name)]


def test_what_came_starts_empty_and_all_else_goes_on() -> None:
    state = lived(world.features(only=["count", "shops", "streak", "ratio", "usual", "amount"]))
    shared = {"positive_age": {**FEATURES["positive_age"], "when": FEATURES["streak"]["when"]}}
    more = world.features(
        only=[*ONLY, "last_s", "senders"], entities={"device": {"key": "device_id"}}, features=shared
    )
    changes = more.load(state)
    assert changes.added == ("sum", "senders", "last_s", "ratio_p90", "positive_age")
    assert changes.removed == changes.restarted == ()
    assert read(more, "count") == 3
    assert read(more, "shops") == 2
    assert read(more, "sum") == 0
    assert math.isnan(read(more, "ratio_p90"))
    assert math.isnan(read(more, "last_s"))
    assert len(more.tables["device"]) == 0
    # It shares its columns with the streak, which has been there.
    assert read(more, "positive_age") > 0
    lived(more)
    assert read(more, "count") == 6
    assert read(more, "sum") == 40


def test_what_is_declared_no_more_is_dropped() -> None:
    state = lived(world.features(only=ONLY))
    less = world.features(only=["count", "amount"], entities={"pair": None})
    assert set(less.load(state).removed) == {*ONLY} - {"count", "amount"}
    assert not [name for name in saved(less) if "pair" in name or "usual" in name]
    assert read(less, "count") == 3
    back = world.features(only=ONLY)
    back.load(saved(less))
    assert read(back, "shops") == 0
    assert read(back, "count") == 3


def test_nothing_else_changes_a_state() -> None:
    state = lived(world.features())
    other = world.features()
    assert other.load(state) == ((), (), ())
    assert saved(other) == state


@pytest.mark.parametrize(
    ("changed", "differences"),
    [
        (
            {"features": {"shops": {**FEATURES["shops"], "window": "2d"}}},
            ['features.shops.window: the state has "1d", the configuration "2d"'],
        ),
        (
            {"features": {"usual": {**FEATURES["usual"], "clip": 3.0}}},
            [
                "features.usual.clip: the state has 2.5, the configuration 3.0",
                "features.ratio: is computed from usual, which changed",
                "features.ratio_p90: is computed from ratio, which changed",
                "features.streak: is computed from ratio, which changed",
            ],
        ),
        (
            {"entities": {"pair": {"key": ["merchant_id", "customer_id"]}}},
            ["entities.pair.key: the state has"],
        ),
        (
            {"features": {"amount": None}},
            [
                "features.sum: the state computes it from amount, the configuration from fields alone",
                "features.usual: the state computes it from amount, the configuration from fields alone",
                "features.ratio: the state computes it from amount, usual, the configuration from usual",
                "features.ratio_p90: is computed from ratio, which changed",
                "features.streak: is computed from ratio, which changed",
            ],
        ),
    ],
)
def test_what_changed_is_refused_with_the_difference(changed: dict[str, Any], differences: list[str]) -> None:
    state = lived(world.features(only=ONLY))
    only = [name for name in ONLY if changed.get("features", {}).get(name, "") is not None]
    other = world.features(only=only, **changed)
    before = saved(other)
    with pytest.raises(FeaturesChanged) as raised:
        other.load(state)
    found = raised.value.differences
    assert [each[: len(text)] for each, text in zip(found, differences, strict=True)] == differences
    assert saved(other) == before


def test_what_is_to_start_anew_does_so_with_what_is_computed_from_it() -> None:
    state = lived(world.features(only=ONLY))
    other = world.features(only=ONLY, features={"usual": {**FEATURES["usual"], "clip": 3.0}})
    changes = other.load(state, restart=["usual"])
    assert changes.restarted == ("usual", "ratio", "ratio_p90", "streak")
    assert math.isnan(read(other, "usual"))
    assert read(other, "streak") == 0
    assert read(other, "count") == 3
    pairs = world.features(only=ONLY, entities={"pair": {"key": ["merchant_id", "customer_id"]}})
    assert pairs.load(state, restart=["pair"]).restarted == ("sum",)
    assert len(pairs.tables["pair"]) == 0
    assert read(pairs, "count") == 3


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    state = lived(world.features(only=["count", "sum"]))
    other = world.features(only=["count", "sum"])
    with pytest.raises(ValueError, match="column sum/0 has"):
        other.load({**state, "pair/sum/0": state["pair/sum/0"][:-1]})


def test_tables_are_kept() -> None:
    first = world.features(only=["risk"])
    first.lookup_tables["risks"].replace(*list_content(["1\t0.5"]))
    second = world.features(only=["risk"])
    second.load(saved(first))
    assert second.lookup_tables["risks"].found == {"1": 0.5}
    assert second.lookup_tables["risks"].digest == first.lookup_tables["risks"].digest


def test_a_category_of_other_values_is_another_feature() -> None:
    state = lived(world.features(only=["country", "last_country"]))
    more = {"payment": {**world.FIELDS["payment"], "country": {"type": "text", "values": ["FR", "DE", "US"]}}}
    other = world.features(only=["country", "last_country"], fields=more)
    with pytest.raises(FeaturesChanged) as raised:
        other.load(state)
    assert raised.value.differences == (
        'features.country.values: the state has ["DE","FR","US"], the configuration ["FR","DE","US"]',
        "features.last_country: is computed from country, which changed",
    )
