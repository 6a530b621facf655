"""Random contracts: what was encoded decodes to its values, and whatever comes is an event or a reason."""

from __future__ import annotations

import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from headrace.config.event_errors import event_errors
from headrace.config.events import FIELD_TYPES, EventSettings
from headrace.operators.events.declared import BUILT_IN, Contract, Field, contract_of
from headrace.operators.events.decode import Undecodable, canonical_digest, decode_one
from headrace.operators.events.event_classes import VALUE_SEEN_CHARACTERS_MAX, VALUES_SEEN_MAX, _matcher

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
    """C-DEC-2, C-DEC-3."""
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
    """C-DEC-1."""
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
    """C-DEC-5."""
    assert BUILT_IN.decode_one(line) == decode_one(line)


@given(contracts())
@settings(max_examples=50, deadline=None)
@example(BUILT_IN)
def test_unknown_fields_stay_ignored(contract):
    """C-DEC-2."""
    found = contract.decode_one(json.dumps(PAYMENT | {"zz": {"a": [1]}, "note": "x"}).encode())
    if isinstance(found, Undecodable):
        assert found.reason == "missing_field"
    else:
        assert contract.digest(found) == contract.digest(contract.decode_one(json.dumps(PAYMENT).encode()))


def test_built_in_events_are_digested_as_ever():
    event = decode_one(json.dumps(PAYMENT).encode())
    assert BUILT_IN.digest(event) == canonical_digest(event)


def contract(**events: dict[str, Any]) -> Contract:
    return contract_of(
        {name: EventSettings.model_validate({"fields": each}) for name, each in events.items()}
    )


OWN = contract(
    payment={
        "country": {"type": "text", "values": ["DE", "FR"]},
        "os": {"type": "text", "path": "device.os"},
    },
    scan={"order_id": {"type": "id", "required": True}},
)
TYPES = "click, item, cart, order, payment, outcome"


@pytest.mark.parametrize(
    ("changes", "reason", "field", "ends"),
    [
        ({"type": "paymnt"}, "unknown_type", "type", f"; did you mean payment? known are {TYPES}, scan"),
        ({"type": 7}, "unknown_type", "type", f" (is 7); known are {TYPES}, scan"),
        ({"type": None}, "unknown_type", "type", f" (is null); known are {TYPES}, scan"),
        ({"country": "FRR"}, "invalid_field", "country", ' (is "FRR"); did you mean FR? known are DE, FR'),
        ({"country": 5}, "invalid_field", "country", " (is 5); known are DE, FR"),
        ({"device": {"os": [1]}}, "invalid_field", "device.os", " (is [1])"),
        ({"device": "ios"}, "invalid_field", "device", ' (is "ios")'),
        ({"amount": -1}, "invalid_field", "amount", " (is -1)"),
        ({"customer_id": "x" * 200}, "invalid_field", "customer_id", f'(is "{"x" * 78}…)'),
        (SCAN | {"ordr_id": "o"}, "missing_field", "order_id", '; there is "ordr_id", which is unknown'),
        (SCAN, "missing_field", "order_id", "`order_id`"),
    ],
)
def test_a_refusal_names_the_field_what_was_there_and_what_is_known(changes, reason, field, ends):
    """C-DEC-4."""
    found = OWN.decode_one(json.dumps(PAYMENT | changes).encode())
    assert (found.reason, found.field) == (reason, field)
    assert found.message.endswith(ends)
    assert OWN.refusal(json.dumps(PAYMENT | changes).encode()) == found


def test_what_is_known_is_bounded():
    many = contract(**{f"type_{number}": {} for number in range(60)})
    found = many.decode_one(b'{"type":"typo"}')
    assert found.message.endswith("type_20 and 46 more")


def test_a_built_in_contract_says_more_of_a_refusal_when_asked():
    line = json.dumps(PAYMENT | {"type": "paymnt"}).encode()
    assert BUILT_IN.decode_one(line).message == "Invalid value 'paymnt' - at `$.type`"
    told = BUILT_IN.refusal(line)
    assert told is not None
    assert told.message.endswith(f"; did you mean payment? known are {TYPES}")
    assert BUILT_IN.refusal(json.dumps(PAYMENT).encode()) is None


def test_events_that_are_held_over_a_change_have_what_both_contracts_declare_alike():
    before = contract(
        payment={"x": {"type": "text"}, "n": {"type": "number"}, "os": {"type": "text", "path": "d.os"}}
    )
    now = contract(
        payment={"x": {"type": "text"}, "n": {"type": "text"}, "new": {"type": "id", "default": "a"}}
    )
    line = json.dumps(PAYMENT | {"x": "y", "n": 2, "d": {"os": "z"}}).encode()
    event = before.decode_one(line)
    for held in (now.adopt(event), now.revive("payment", msgspec.msgpack.encode(event))):
        assert held.__class__ is now.types["payment"].cls
        assert (held.x, held.n, held.new, held.amount) == ("y", None, "a", 5.0)
    assert before.adopt(event) is event
    assert before.revive("payment", msgspec.msgpack.encode(event)) == event
    order = {"type": "order", "order_id": "o", "items": [{"item_id": "i", "quantity": 2, "price": 1.0}]}
    event = before.decode_one(json.dumps(PAYMENT | order).encode())
    assert now.revive("order", msgspec.msgpack.encode(event)) == event


def test_party_and_what_is_personal():
    own = contract(scan={"customer_id": {"type": "id"}, "phone": {"type": "text", "personal": True}})
    event = own.decode_one(json.dumps(SCAN | {"customer_id": "c9", "phone": "123"}).encode())
    assert own.party(event) == "c9"
    assert own.personal(event) == {"phone": "123"}
    payment = own.decode_one(json.dumps(PAYMENT).encode())
    assert own.party(payment) == "c1"
    assert own.personal(payment) == {"customer_id": "c1"}
    declared = {"fields": {"courier": {"type": "id"}, "session_id": {"type": "id"}}, "party": "courier"}
    own = contract_of({"scan": EventSettings.model_validate(declared)})
    said = json.dumps(SCAN | {"courier": "k", "session_id": "s"}).encode()
    assert own.party(own.decode_one(said)) == "k"
    assert own.party(own.decode_one(json.dumps(SCAN | {"session_id": "s"}).encode())) is None


LIMITED = contract(
    payment={
        "code": {"type": "text", "pattern": r"\d{2}[a-z]?", "maximum": 3},
        "due": {"type": "time"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "share": {"type": "number", "maximum": 1},
        "who": {"type": "id"},
        "tags": {"type": "ids", "minimum": 1, "maximum": 2},
        "open": {"type": "boolean"},
        "level": {"type": "integer", "values": [1, 2]},
    }
)


@pytest.mark.parametrize(
    ("field", "fit", "unfit"),
    [
        ("code", ["12", "12a", "00"], ["1", "12A", "x12", "12ab", "12\n", "\u0661\u0662", 12]),
        (
            "due",
            ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", -62_135_596_800_000, 253_402_300_799_999],
            [
                "2018-06-18",
                "2018-06-18T00:00:15",
                "2018-13-01T00:00:00Z",
                -62_135_596_800_001,
                253_402_300_800_000,
            ],
        ),
        ("count", [1, 9], [0, 10, 1.5, "1", True, 10**30]),
        ("share", [1, -5.5, 0], [1.1, "1", -1e300]),
        ("who", ["a", "a" * 128], ["", "a" * 129, 5]),
        ("tags", [["a"], ["a", "a"]], [[], ["a", "b", "c"], ["a", ""], "a", [1]]),
        ("open", [True, False], [0, "true"]),
        ("level", [1, 2], [3, "1"]),
    ],
)
def test_values_are_held_to_what_is_declared(field, fit, unfit):
    for _ in range(2):  # the second time values with a pattern are among those that are known to match
        for value in fit:
            event = LIMITED.decode_one(json.dumps(PAYMENT | {field: value}).encode())
            assert getattr(event, field) not in (None, ""), value
        for value in unfit:
            found = LIMITED.decode_one(json.dumps(PAYMENT | {field: value}).encode())
            assert isinstance(found, Undecodable), value
            assert found.reason == "invalid_field"
            assert found.field in {field, f"{field}[0]", f"{field}[1]"}


def test_values_that_are_known_to_match_are_bounded():
    seen, check = _matcher("[a-z]*[0-9]{0,9}", "x")
    for number in range(2 * VALUES_SEEN_MAX + 1):
        check(f"v{number}")
        assert len(seen) <= VALUES_SEEN_MAX
    check("a" * (VALUE_SEEN_CHARACTERS_MAX + 1))
    assert max(map(len, seen)) <= VALUE_SEEN_CHARACTERS_MAX
