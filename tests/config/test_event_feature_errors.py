"""Validation errors between declared entities, features, bins and crosses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import event_worlds as world
import pytest
from pydantic import ValidationError

from headrace.config.event_entities import EventEntity, TableSettings
from headrace.config.event_feature_errors import CONDITIONS_MAX, event_feature_errors
from headrace.config.lists import read_declared
from headrace.errors import ConfigError

TYPES = {name: each.fields for name, each in world.contract().types.items()}
LABELLED = {"fraud": "payment", "anger": "ticket"}


def errors(**changed: Any) -> list[str]:
    found = event_feature_errors(world.settings(**changed), TYPES, LABELLED)
    return [f"{invalid.key}: {invalid.message}" for invalid in found]


def test_the_small_world_has_none() -> None:
    assert errors() == []


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("custommer_id", "no event type has a field custommer_id; did you mean customer_id?"),
        (["client_id", "merchant_id"], "no event type has all of client_id, merchant_id"),
        ("amount", "must be a field of type id or text or integer, but amount of payment is of type number"),
        ({"payments": "customer_id"}, "there is no event type payments; did you mean payment?"),
        (
            {"ticket": "customer_id"},
            "ticket has no field customer_id; known are event_id, event_time, client_id, from",
        ),
        (
            {"payment": ["customer_id", "merchant_id"], "ticket": "client_id"},
            "must be of as many fields in each event type",
        ),
    ],
)
def test_keys(key: Any, message: str) -> None:
    found = errors(entities={"new": {"key": key}})
    assert [each for each in found if each.startswith(f"entities.new.key: {message}")], found


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (5, "must be a field"),
        ([], "must be 1 to 4 fields"),
        ({}, "names no event type"),
        (["a", "a"], "names a field twice"),
        (["A"], "must be a field"),
    ],
)
def test_keys_that_are_none(key: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EventEntity.model_validate({"key": key})


COUNT = {"kind": "count", "entity": "customer", "on": "payment"}
TOLD = {"kind": "positive_streak", "entity": "merchant", "decision": "fraud"}


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({**COUNT, "entity": "client"}, "new.entity: there is no entity client; known are customer,"),
        ({**COUNT, "on": "payed"}, "new.on: there is no event type payed; did you mean payment?"),
        (
            {**COUNT, "entity": "merchant", "on": "scan"},
            "new.entity: scan doesn't name the entity merchant: ",
        ),
        (
            {**COUNT, "when": ["amuont > 1"]},
            "new.when: there is no feature or number of payment amuont; did you",
        ),
        ({**COUNT, "when": ["note > 1"]}, "new.when: note can't be read"),
        ({**COUNT, "when": ["new > 1"]}, "new.when: a feature can't refer to itself"),
        (
            {**COUNT, "entity": "pair", "window": "200d"},
            "new.window: must not be longer than entities.pair.idle_days_max (180.0), after which",
        ),
        (
            {"kind": "sum", "entity": "customer", "on": "scan", "value": "ratio"},
            "new.value: ratio can't be read",
        ),
        (
            {**COUNT, "kind": "sum", "value": "currency"},
            "new.value: must be a field of type number or integer or",
        ),
        (
            {**COUNT, "kind": "distinct", "value": "pieces"},
            "new.value: must be a field of type id or text, but",
        ),
        ({"kind": "field", "value": "amont"}, "new.value: there is no field amont; did you mean amount?"),
        (
            {"kind": "field", "value": "note"},
            "new.value: must be a field of type number or integer or boolean",
        ),
        (
            {"kind": "ratio", "value": "amount", "over": "amnt"},
            "new.over: there is no feature or field amnt; did",
        ),
        ({"kind": "ngrams", "value": "vip"}, "new.value: must be a field of type id or text, but vip of"),
        (
            {"kind": "lookup", "table": "bins", "value": "card_bin"},
            "new.table: there is no table bins; did you",
        ),
        ({"kind": "distance", "at": ["lat", "lat"], "to": ["lat", "long"]}, "new.to: there is no field long"),
        (
            {**TOLD, "decision": "frod"},
            "new.decision: there is no decision with a target of 0 or 1 frod; did",
        ),
        (
            {**TOLD, "decision": "anger"},
            "new.entity: ticket doesn't name the entity merchant: it has no merchant",
        ),
        ({**TOLD, "when": ["urgency > 1"]}, "new.when: there is no feature or number of payment urgency"),
    ],
)
def test_features(feature: dict[str, Any], message: str) -> None:
    changed: dict[str, Any] = {"features": {"new": feature}}
    if "note can't" in message:
        changed["features"] = {"new": {**feature, "on": "scan"}}
    found = errors(**changed)
    assert [each for each in found if each.startswith(f"features.{message}")], found


def test_a_feature_must_come_after_those_it_is_computed_from() -> None:
    last: dict[str, Any] = {"early": {"kind": "ratio", "value": "late", "over": "amount"}, "late": COUNT}
    found = errors(features=last)
    assert found == ["features.early.value: late must be declared before early, as it is computed from it"]


def test_conditions_of_targets_have_a_limit() -> None:
    many = {f"n{number}": {**TOLD, "when": [f"amount > {number}"]} for number in range(CONDITIONS_MAX)}
    (found,) = errors(features=many)
    assert "decisions on payment have more than 31 different conditions" in found


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"bins": {"new": {"of": "amont", "edges": [1.0]}}},
            "bins.new.of: there is no feature amont; did you",
        ),
        (
            {"bins": {"new": {"of": "vip", "edges": [1.0]}}},
            "bins.new.of: vip is a category, which needs no bin",
        ),
        ({"crosses": {"new": {"of": ["count"]}}}, "crosses.new.of: count is a number: it needs a bin"),
        (
            {"crosses": {"new": {"of": ["contry"]}}},
            "crosses.new.of: there is no bin or category contry; did you",
        ),
        ({"crosses": {"new": {"of": ["vip", "vip"]}}}, "crosses.new.of: names a bin twice"),
        (
            {"crosses": {"new": {"of": ["vip", "note"]}}},
            "crosses.new.of: a feature of several slots must stand",
        ),
        (
            {"crosses": {"new": {"of": ["vip"], "report_if": ["vp > 1"]}}},
            "crosses.new.report_if: there is no feature vp; did",
        ),
        (
            {
                "features": {"urgent": {"kind": "field", "value": "urgency"}},
                "bins": {"urgent": {"of": "urgent", "edges": [1.0]}},
                "crosses": {"new": {"of": ["urgent", "amount"]}},
            },
            "crosses.new.of: no event type can be read all of amount, urgent",
        ),
    ],
)
def test_bins_and_crosses(changed: dict[str, Any], message: str) -> None:
    found = errors(**changed)
    assert [each for each in found if each.startswith(message)], found


def test_of_what_is_misshapen_nothing_is_said() -> None:
    changed = {
        "features": {"new": {**COUNT, "when": ["broken > 1"]}},
        "crosses": {"new": {"of": ["amount", "broken"]}},
    }
    settings = world.settings(**changed)
    found = event_feature_errors(settings, TYPES, LABELLED, lambda _section, name: name == "broken")
    assert list(found) == []


def test_the_file_of_a_table_is_read_as_that_of_a_list(tmp_path: Path) -> None:
    file = tmp_path / "risks.tsv"
    table = TableSettings(file=str(file), holds="number")
    file.write_text("# of banks\n123456\t0.25\n222222\t0.5  # more\n")
    assert read_declared(table).entries == ("123456\t0.25", "222222\t0.5")
    file.write_text("1\t2\n1\t3\n4\tx\n")
    with pytest.raises(ConfigError) as raised:
        read_declared(table)
    assert [invalid.message for invalid in raised.value.errors] == [
        "1 has two values, 2 and 3",
        "4 must have a number of at most 1e+15 (has 'x')",
    ]
    file.write_text("1 2\n")
    with pytest.raises(ConfigError, match="must have 2 values, with a tab between two"):
        read_declared(table)


def test_a_decision_reads_what_its_events_have() -> None:
    settings = world.settings()
    settings.decisions = {
        "route": SimpleNamespace(on="ticket", features=("count", "ratio", "nothing"), crosses=("countries",)),
        "fraud": SimpleNamespace(on="payment", features=None, crosses=("countries", "words")),
        "gone": SimpleNamespace(on="nothing", features=("count",), crosses=None),
    }
    found = event_feature_errors(settings, TYPES, LABELLED)
    assert [f"{each.key}: {each.message}" for each in found] == [
        "decisions.route.features: ratio can't be read of ticket",
        "decisions.route.crosses: countries can't be read of ticket, as country can't",
    ]


@pytest.mark.parametrize("key", ["a", ["a", "b"], {"payment": "a", "ticket": ["b", "c"]}])
def test_a_key_is_written_as_it_was_read(key: Any) -> None:
    for given in (key, EventEntity.model_validate({"key": key}).model_dump(mode="json")["key"]):
        assert EventEntity.model_validate({"key": given}).model_dump()["key"] == key
