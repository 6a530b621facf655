"""Schemas of declared decisions: every line that goes out is as they say, and they say no more than that."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from declared_flows import HOUR, T0, line_of, parcel_lines, parcels

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.kinds.decisions.machine import DecisionShard
from headrace.kinds.decisions.schemas import decision_schemas, reason_codes

CREDIT = """
[events.credit_request.fields]
customer_id = { type = "id" }
loan_id = { type = "id", required = true }

[decisions.credit]
kind = "score"
on = "credit_request"
actions = ["grant", "refuse"]
policy = { ladder = [[0.5, 20000], [1.0, 0]] }

[decisions.watch]
kind = "score"
on = "credit_request"
shadow = true
"""
TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}


def assert_fits(value: Any, schema: dict[str, Any]) -> None:
    """Hold a value against what the schemas use of JSON Schema."""
    if "enum" in schema:
        assert value in schema["enum"]
        return
    if "anyOf" in schema:
        assert any(value is None if each["type"] == "null" else fits(value, each) for each in schema["anyOf"])
        return
    of: Any = TYPES[schema["type"]]
    assert type(value) is of, (value, schema)
    assert "minimum" not in schema or value >= schema["minimum"]
    assert "maximum" not in schema or value <= schema["maximum"]
    if schema["type"] == "object":
        assert value.keys() <= schema["properties"].keys()
        assert value.keys() >= set(schema["required"])
        for key, each in value.items():
            assert_fits(each, schema["properties"][key])
    for each in value if schema["type"] == "array" else ():
        assert_fits(each, schema["items"])


def fits(value: Any, schema: dict[str, Any]) -> bool:
    try:
        assert_fits(value, schema)
    except AssertionError:
        return False
    return True


@pytest.fixture
def settings(tmp_path) -> DecisionFlowSettings:
    return parcels(tmp_path, more=CREDIT)


def decided(machine: DecisionShard, line: bytes) -> list[dict[str, Any]]:
    (event,) = machine.contract.decode([line])
    return [orjson.loads(each) for each in machine.apply(event, line, (0, machine.number, 1))[1].splitlines()]


def test_every_line_is_as_its_schema_says(settings, monkeypatch):
    machine, schemas, codes = DecisionShard(settings), decision_schemas(settings), set(reason_codes(settings))
    asked = [line_of("credit_request", n, T0 + 400 * HOUR + n, loan_id=f"l{n}") for n in range(3)]
    named = line_of("credit_request", "x", T0 + 401 * HOUR, loan_id="x", customer_id="c1")
    lines = [line for each in (*parcel_lines(1000), *asked, named) for line in decided(machine, each)]
    for name in ("risk", "eta", "credit"):
        monkeypatch.setattr(machine.decisions[name], "_judge", lambda *_given: 1 / 0)
    parcel = {"parcel_id": "last", "customer_id": "c", "depot": "west"}
    failed = decided(machine, line_of("parcel", "last", T0 + 402 * HOUR, **parcel))
    failed += decided(machine, line_of("credit_request", "last", T0 + 402 * HOUR, loan_id="l"))
    assert [(each["kind"], each["policy"]) for each in failed] == [
        ("risk", "fallback"),
        ("eta", "fallback"),
        ("credit", "fallback"),
    ]
    met: dict[str, set[str]] = {}
    for line in (*lines, *failed):
        assert_fits(line, schemas[line["kind"]])
        met.setdefault(line["kind"], set()).update(line)
        assert {reason["code"] for reason in line["reasons"]} <= codes
    # Nothing is promised to consumers that no line has; `retried` only lines of dead letters given again.
    assert met == {name: set(schema["properties"]) - {"retried"} for name, schema in schemas.items()}


def test_what_a_decision_says_beside_its_action_is_of_its_kind(settings):
    schemas = decision_schemas(settings)
    assert list(schemas) == ["risk", "eta", "credit"]  # watch is in shadow
    beside = {name: set(schema["properties"]) for name, schema in schemas.items()}
    assert beside["risk"] - beside["eta"] == {"score"}
    assert beside["eta"] - beside["risk"] == {"quantiles", "unit", "promise"}
    assert beside["credit"] - beside["risk"] == {"limit"}
    assert schemas["risk"]["properties"]["action"]["enum"] == ["send", "insure", "refuse"]
    assert schemas["eta"]["properties"]["quantiles"]["required"] == ["0.1", "0.5", "0.9"]
    assert "customer_id" in schemas["risk"]["required"]
    assert "customer_id" not in schemas["credit"]["required"]
    assert "limit" in schemas["credit"]["required"]


def test_codes_are_those_of_crosses_features_lists_and_rules_and_built_in_ones(tmp_path):
    rule = """
[decisions.risk.policy.rules.heavy]
when = "weight > 90"
action = "refuse"
code = "too_heavy"
"""
    codes = reason_codes(parcels(tmp_path, more=rule))
    assert {"depot", "history", "weight", "lost_share", "too_heavy", "fallback", "combination"} <= set(codes)
    assert codes == sorted(codes)
