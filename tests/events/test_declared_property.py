"""Random contracts: what was encoded decodes to its values, and whatever comes is an event or a reason."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from headrace.config.event_errors import event_errors
from headrace.config.events import FIELD_TYPES, EventSettings
from headrace.operators.events.declared import BUILT_IN, Contract, Field, contract_of
from headrace.operators.events.decode import Undecodable, canonical_digest, decode_one

pytestmark = pytest.mark.property

PAYMENT = {
    "type": "payment",
    "event_id": "p1",
    "event_time": "2018-06-18T00:00:15Z",
    "customer_id": "c1",
    "merchant_id": "m1",
    "amount": 5.0,
    "currency": "EUR",
}
SCAN = {"type": "scan", "event_id": "s1", "event_time": 1_529_280_015_000}
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6).map("x_{}".format)
KEYS = st.text(string.ascii_letters + "-_ ()$", min_size=1, max_size=3)


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*FIELD_TYPES]))
    field: dict[str, Any] = {"type": kind, "required": draw(st.booleans())}
    if draw(st.booleans()):
        field["path"] = ".".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
    if kind in {"number", "integer"} and draw(st.booleans()):
        field["minimum"], field["maximum"] = sorted(draw(st.tuples(*[st.integers(-50, 50)] * 2)))
    if kind in {"text", "id"}:
        extra = draw(st.sampled_from(["none", "pattern", "values"]))
        field |= {"pattern": {"pattern": "[a-z]{1,4}"}, "values": {"values": ["a", "bc"]}}.get(extra, {})
    if not field["required"] and draw(st.booleans()):
        default = {"id": "a", "text": "bc", "number": 1, "integer": 1, "boolean": True, "time": 5}.get(kind)
        if default is not None and field.get("minimum", 1) <= 1 <= field.get("maximum", 1):
            field["default"] = default
    return field


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    declared = {
        name: {"fields": draw(st.dictionaries(NAMES, fields(), max_size=5))} for name in ("payment", "scan")
    }
    events = {name: EventSettings.model_validate(each) for name, each in declared.items()}
    assume(not list(event_errors(events)))
    return contract_of(events)


def values(field: Field) -> st.SearchStrategy[Any]:
    """What a field may have on the wire."""
    if field.values:
        return st.sampled_from(field.values)
    least, most = field.minimum, field.maximum
    return {
        "id": st.from_regex("[a-z]{1,4}", fullmatch=True),
        "text": st.from_regex("[a-z]{1,4}", fullmatch=True) if field.pattern else TEXTS,
        "number": st.floats(least, most, allow_nan=False) if least is not None else st.nothing(),
        "integer": st.integers(int(least or 0), int(most or 0)),
        "boolean": st.booleans(),
        "time": st.integers(-62_135_596_800_000, 253_402_300_799_999),
        "ids": st.lists(st.text("abc", min_size=1, max_size=3), max_size=3),
    }[field.type]


def own(contract: Contract, name: str) -> dict[str, Field]:
    known = BUILT_IN.types[name].fields if name in BUILT_IN.types else {"event_id": None, "event_time": None}
    return {each.name: each for each in contract.types[name].fields.values() if each.name not in known}


def put(event: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        event = event.setdefault(key, {})
    event[path[-1]] = value


@given(st.data(), contracts(), st.sampled_from([PAYMENT, SCAN]))
@settings(max_examples=200, deadline=None)
def test_what_was_encoded_decodes_to_its_values(data, contract, base):
    name = base["type"]
    event, expected = json.loads(json.dumps(base)), {}
    for field in own(contract, name).values():
        value = data.draw(values(field) if field.required else st.none() | values(field))
        if value is not None or data.draw(st.booleans()):
            put(event, field.path, value)
        expected[field.name] = field.default if value is None else value
    event |= {"unknown": [1, {}], ".x": 7}
    found = contract.decode_one(json.dumps(event, ensure_ascii=False).encode())
    assert found.__class__ is contract.types[name].cls, found
    for field, value in expected.items():
        assert getattr(found, field) == (tuple(value) if isinstance(value, list) else value)
    assert found.event_time == 1_529_280_015_000
    turned = dict(reversed(event.items())) | {"more": 1}
    assert contract.digest(contract.decode_one(json.dumps(turned).encode())) == contract.digest(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@given(st.data(), contracts(), st.sampled_from([PAYMENT, SCAN]))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_an_event_or_a_reason(data, contract, base):
    event = json.loads(json.dumps(base))
    for field in own(contract, base["type"]).values():
        put(event, field.path, data.draw(JSON | values(field)))
    for key in data.draw(st.lists(st.sampled_from([*base, "x", ".x"]), max_size=2)):
        event[key] = data.draw(JSON)
    line = json.dumps(event, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    line = line[: data.draw(st.just(len(line)) | st.integers(0, len(line)))]
    found = contract.decode_one(line)
    if isinstance(found, Undecodable):
        assert found.message
        assert found.reason in {
            "invalid_json",
            "invalid_utf8",
            "unknown_type",
            "missing_field",
            "invalid_field",
            "event_time_out_of_range",
        }
        assert found.reason.startswith("invalid_") or found.field
    else:
        assert found.__class__ in contract.by_class
        contract.digest(found), contract.party(found), contract.personal(found)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_contract_without_own_fields_is_the_built_in_one(line):
    assert BUILT_IN.decode_one(line) == decode_one(line)


@given(contracts())
@settings(max_examples=50, deadline=None)
@example(BUILT_IN)
def test_unknown_fields_stay_ignored(contract):
    found = contract.decode_one(json.dumps(PAYMENT | {"zz": {"a": [1]}, "note": "x"}).encode())
    if isinstance(found, Undecodable):
        assert found.reason == "missing_field"
    else:
        assert contract.digest(found) == contract.digest(contract.decode_one(json.dumps(PAYMENT).encode()))


def test_built_in_events_are_digested_as_ever():
    event = decode_one(json.dumps(PAYMENT).encode())
    assert BUILT_IN.digest(event) == canonical_digest(event)
