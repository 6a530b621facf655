"""The AsyncAPI document of a flow: what its own parser finds in it is what the flow takes and sends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from commands import headrace

from headrace.config.loading import lay_over, load
from headrace.config.tables import RunSettings
from headrace.kafka.asyncapi import Addresses, asyncapi
from headrace.kafka.cloudevents import Headings
from headrace.operators.events.contract import Decision, Recommendation
from headrace.operators.events.schemas import schema_of

FOLDER = Path(__file__).resolve().parents[1] / "asyncapi"
OWN = [
    'events.payment.fields.bin={type="text", pattern="[0-9]{6}", personal=true}',
    'events.payment.fields.os={type="text", path="device.os", required=true}',
    'events.scan.fields.order_id={type="id", required=true}',
    'events.scan.fields.due={type="time"}',
    'events.scan.fields.tags={type="ids", maximum=3, description="Its tags."}',
    'events.scan.fields.status={type="text", values=["a", "b"], default="a"}',
]
FRAUD = {"fraud": schema_of(Decision)}
ERROR = 0


def own(flow: str = "fraud") -> RunSettings:
    return lay_over(load(None, flow=flow), OWN, "test")


def parsed(tmp_path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """What AsyncAPI's parser says of a document."""
    node = shutil.which("node")
    missing = "node" if node is None else "@asyncapi/parser: (cd tests/asyncapi && npm install)"
    if node is None or not (FOLDER / "node_modules/@asyncapi/parser").is_dir():
        if os.environ.get("HEADRACE_ASYNCAPI") == "required":
            pytest.fail(f"not there: {missing}")
        pytest.skip(f"not there: {missing}")
    path = tmp_path / "asyncapi.json"
    path.write_bytes(orjson.dumps(document))
    ran = subprocess.run(
        [node, FOLDER / "validate.mjs", path], stdout=subprocess.PIPE, check=True, timeout=300
    )
    return json.loads(ran.stdout)


def test_its_own_parser_takes_it(tmp_path):
    decisions = {**FRAUD, "recommend": schema_of(Recommendation), "eta": {"type": "object", "properties": {}}}
    found = parsed(tmp_path, asyncapi(own(), decisions, Addresses(("pay", "scans"), "decided")))
    assert [each for each in found["diagnostics"] if each["severity"] == ERROR] == []
    assert {each["code"] for each in found["diagnostics"]} <= {"asyncapi-latest-version"}
    types = ["click", "item", "cart", "order", "payment", "outcome", "scan"]
    assert [(each["id"], each["address"], each["messages"]) for each in found["channels"]] == [
        ("events", "pay", types),
        ("events_2", "scans", types),
        ("decisions", "decided", ["decision_fraud", "decision_recommend", "decision_eta"]),
        ("dead_letters", None, ["dead_letter"]),
    ]
    assert found["operations"] == [
        ["receive_events", "receive"],
        ["receive_events_2", "receive"],
        ["send_decisions", "send"],
        ["send_dead_letters", "send"],
    ]
    messages = {name: (headers, payload, key) for name, headers, payload, key in found["headers"]}
    assert messages["scan"][1][:4] == ["type", "event_id", "event_time", "version"]
    assert set(messages["scan"][1][4:]) == {"order_id", "due", "tags", "status"}
    assert messages["decision_fraud"][2]
    assert not messages["payment"][2]


def test_its_own_parser_refuses_a_wrong_one(tmp_path):
    document = asyncapi(own(), FRAUD)
    document["operations"]["send_decisions"]["action"] = "publish"
    found = parsed(tmp_path, document)
    wrong = [each["path"] for each in found["diagnostics"] if each["severity"] == ERROR]
    assert "operations.send_decisions.action" in wrong


def test_headers_are_those_that_are_sent():
    settings = own()
    messages = asyncapi(settings, FRAUD)["components"]["messages"]
    headings = Headings(settings.kafka.ce_source)
    sent = {
        "decision_fraud": headings.of_decision("fraud:p1", 1_772_357_400_000),
        "dead_letter": headings.of_dead_letter(b'{"reason":"invalid_json"}', "pay", 3, 17),
    }
    for name, headers in sent.items():
        described = messages[name]["headers"]
        assert described["required"] == [key for key, _ in headers]
        constants = {key: each["const"] for key, each in described["properties"].items() if "const" in each}
        assert {key: value.decode() for key, value in headers if key in constants} == constants
    passed = set(messages["decision_fraud"]["headers"]["properties"]) - {
        key for key, _ in sent["decision_fraud"]
    }
    assert passed == set(settings.kafka.pass_headers)


def test_own_fields_are_described_where_they_stand():
    schemas = asyncapi(own(), FRAUD)["components"]["schemas"]
    payment, scan = schemas["payment"], schemas["scan"]
    assert payment["properties"]["device"] == {
        "type": "object",
        "properties": {
            "os": {"type": "string", "minLength": 0, "maxLength": 4096, "description": "The flow's `os`."}
        },
        "required": ["os"],
    }
    assert "device" in payment["required"]
    assert payment["properties"]["bin"]["x-personal"] is True
    assert payment["properties"]["bin"]["anyOf"][0]["pattern"] == "^(?:[0-9]{6})$"
    assert scan["required"] == ["type", "event_id", "event_time", "order_id"]
    assert scan["properties"]["type"] == {"enum": ["scan"]}
    assert scan["properties"]["status"] == {
        "anyOf": [{"enum": ["a", "b"]}, {"type": "null"}],
        "default": "a",
        "description": "The flow's `status`.",
    }
    assert scan["properties"]["tags"]["anyOf"][0]["maxItems"] == 3
    references = [line for line in orjson.dumps(schemas).decode().split('"') if line.startswith("#/")]
    assert all(each.removeprefix("#/components/schemas/") in schemas for each in references)


@pytest.mark.integration
def test_the_command_prints_it_and_writes_schemas(tmp_path):
    flow = tmp_path / "flow.toml"
    flow.write_text('[events.scan.fields]\norder_id = { type = "id" }\n')
    printed = headrace("schema", flow, "--events", "pay", "--decisions", "decided")
    assert printed.code == 0, printed.said
    document = orjson.loads(printed.out)
    assert document["channels"]["decisions"]["address"] == "decided"
    written = headrace("schema", flow, "--to", tmp_path / "schemas")
    assert written.code == 0, written.said
    names = {path.name.partition(".")[0] for path in (tmp_path / "schemas").iterdir()}
    types = {"click", "item", "cart", "order", "payment", "outcome", "scan"}
    assert names == {*types, "decision_fraud", "dead_letter", "asyncapi"}
    scan = orjson.loads((tmp_path / "schemas/scan.schema.json").read_bytes())
    assert scan["$schema"].endswith("2020-12/schema")
    # What is built in is described as in the documentation.
    docs = Path(__file__).resolve().parents[2] / "docs/schemas"
    for name in ("order", "payment", "dead_letter"):
        same = f"{name}.schema.json"
        assert (tmp_path / "schemas" / same).read_bytes() == (docs / same).read_bytes()
