"""The JSON Schema files say what the codec accepts."""

from __future__ import annotations

import json

import pytest

from headrace.operators.events.contract import EVENT_TYPES
from headrace.operators.events.schemas import schema_files

SCHEMAS = {name.removesuffix(".schema.json"): json.loads(text) for name, text in schema_files().items()}


def test_every_event_has_one():
    assert SCHEMAS.keys() == {*EVENT_TYPES, "decision", "recommendation", "dead_letter"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_field_is_described(name):
    schema = SCHEMAS[name]
    parts = [schema, *schema.get("$defs", {}).values()]
    bare = [
        key
        for part in parts
        for key, field in part["properties"].items()
        if "description" not in field and key != "type"
    ]
    assert bare == []
    assert all(part["description"].endswith(".") for part in parts)


def test_a_payment():
    schema = SCHEMAS["payment"]
    assert schema["properties"]["type"] == {"enum": ["payment"]}
    assert "customer_id" in schema["required"]
    assert "ip" not in schema["required"]
    assert {"type": "integer"} in schema["properties"]["event_time"]["anyOf"]


def test_references_lead_somewhere():
    for schema in SCHEMAS.values():
        text = json.dumps(schema)
        assert text.count("#/$defs/") == len(schema.get("$defs", {}))
