"""Declared events: what is wrong with them is said at once, and what is right comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.config.canonical import canonical, digest, restore
from headrace.config.event_errors import EVERY_EVENT
from headrace.config.event_fields import BUILT_IN_FIELDS, known_types
from headrace.config.loading import load
from headrace.config.patterns import WAYS_MAX, ways
from headrace.errors import ConfigError
from headrace.operators.events.declared import BUILT_IN, contract_of

SOUND = """
[events.payment.fields]
card_bin = { type = "text", pattern = "[0-9]{6,8}", maximum = 8 }
country = { type = "text", values = ["DE", "FR"], default = "DE" }
os = { type = "text", path = "device.os", personal = true }
[events.delivery_scan]
party = "courier_id"
[events.delivery_scan.fields]
courier_id = { type = "id", required = true }
at = { type = "time", default = "2018-01-01T00:00:00Z" }
"""
ERRORS = """
[events.payment]
party = "customer_id"
[events.payment.fields]
bad = { type = "txt" }
amount = { type = "number" }
class = { type = "text" }
os = { type = "text", path = "device.os" }
device = { type = "text" }
inside = { type = "text", path = "customer_id.name" }
dots = { type = "text", path = "a..b" }
tick = { type = "text", path = "a`b" }
least = { type = "text", minimum = 5, maximum = 4 }
most = { type = "integer", maximum = 1e16 }
half = { type = "ids", minimum = 1.5 }
none = { type = "boolean", minimum = 1 }
wrong_default = { type = "number", default = "x" }
far_default = { type = "integer", minimum = 3, default = 2 }
day = { type = "time", default = "2018-01-01" }
both = { type = "id", required = true, default = "x" }
many = { type = "ids", default = "x" }
mixed = { type = "text", values = ["a", 1, "a"] }
listed = { type = "number", values = [1] }
odd = { type = "text", pattern = "(a" }
slow = { type = "text", pattern = "(a+)+" }
matched = { type = "integer", pattern = "1" }
extra = { type = "text", requird = true }
text = { type = "text", values = [1.5] }
number = { type = "number", minimum = "x", default = [1] }
[events.control]
[events.delivery_scan]
party = "ordr_id"
[events.delivery_scan.fields]
order_id = { type = "id" }
[events.other]
feilds = {}
"""
FOUND = {
    "control": "control is what commands are, no event",
    "delivery_scan.party": "there is no field ordr_id of type id; did you mean order_id?",
    "other.feilds": "unknown key; did you mean fields?",
    "payment.fields.amount": "payment has amount already",
    "payment.fields.bad.type": "there is no type txt; did you mean text?",
    "payment.fields.both.default": "has no effect: an event without a required field is a dead letter",
    "payment.fields.class": 'is a word of Python; give it another name, with path = "class"',
    "payment.fields.day.default": "must be a value that the field may have (is '2018-01-01')",
    "payment.fields.device.path": "stands where os does (device.os)",
    "payment.fields.dots.path": "must be keys with a dot between two, such as device.os (is 'a..b')",
    "payment.fields.extra.requird": "unknown key; did you mean required?",
    "payment.fields.far_default.default": "must be a value that the field may have (is 2)",
    "payment.fields.half.minimum": "must be an integer (is 1.5)",
    "payment.fields.inside.path": "payment has customer_id already",
    "payment.fields.least.minimum": "must be at most maximum (4; is 5)",
    "payment.fields.listed.values": "not supported for a number; of id, text, integer it is",
    "payment.fields.many.default": "not supported for ids",
    "payment.fields.matched.pattern": "not supported for a integer; of id, text it is",
    "payment.fields.mixed.values": "has more than once: a",
    "payment.fields.most.maximum": "must be between -9007199254740991 and 9007199254740991 (is 1e+16)",
    "payment.fields.none.minimum": "not supported: a boolean has none",
    "payment.fields.number.default": "must be true or false, a number or a text",
    "payment.fields.number.minimum": "must be a finite number of at most 1e+18 (is x)",
    "payment.fields.odd.pattern": "not a regular expression",
    "payment.fields.slow.pattern": "could take too long on a text of 4096 characters",
    "payment.fields.text.values.0": "must be a text or an integer (is 1.5)",
    "payment.fields.tick.path": "must be keys with a dot between two, such as device.os (is 'a`b')",
    "payment.fields.wrong_default.default": "must be as the field's type says, number (is 'x')",
}


def found(path: Path, text: str) -> list[tuple[str, str]]:
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(path)
    return sorted((each.key.removeprefix("events."), each.message) for each in raised.value.errors)


def test_every_error_is_said_at_once(tmp_path):
    """C-LIM-2."""
    said = dict(reversed(found(tmp_path / "flow.toml", ERRORS)))
    assert {
        key: message for key, message in said.items() if not message.startswith(FOUND.get(key, "?"))
    } == {}
    assert said.keys() == FOUND.keys()


def test_the_party_of_a_built_in_type_is_known(tmp_path):
    errors = found(tmp_path / "flow.toml", '[events.payment]\nparty = "merchant_id"\n')
    assert errors == [("payment.party", "not supported for payment, which is built in")]


def test_there_is_a_limit_on_types_and_on_fields(tmp_path):
    """C-LIM-1."""
    types = "".join(f"[events.t{number}]\n" for number in range(65))
    fields = "[events.a.fields]\n" + "".join(f'f{number} = {{ type = "id" }}\n' for number in range(129))
    assert found(tmp_path / "flow.toml", types) == [("events", "must have at most 64 entries")]
    assert found(tmp_path / "flow.toml", fields) == [("a.fields", "must have at most 128 entries")]


def test_declarations_are_restored_as_the_same_contract(tmp_path):
    path = tmp_path / "flow.toml"
    path.write_text(SOUND)
    settings = load(path)
    assert settings.events["delivery_scan"].fields["at"].type == "time"
    assert contract_of(settings.events) is contract_of(restore(canonical(settings)).events)


def test_the_order_of_declarations_means_nothing(tmp_path):
    path, turned = tmp_path / "flow.toml", tmp_path / "turned.toml"
    path.write_text(SOUND)
    tables = SOUND.split("[events.delivery_scan]")
    first = tables[0].strip().splitlines()
    turned.write_text("\n".join(["[events.delivery_scan]" + tables[1], first[0], *reversed(first[1:])]))
    assert digest(load(path)) == digest(load(turned))
    assert contract_of(load(path).events) is contract_of(load(turned).events)


def test_a_flow_that_declares_nothing_is_recorded_as_before():
    settings = load(None)
    assert b'"events"' not in canonical(settings)
    assert restore(canonical(settings)) == settings
    assert contract_of(settings.events) is BUILT_IN


def test_the_built_in_fields_are_those_of_the_contract():
    assert tuple(BUILT_IN.types) == known_types({})
    for name, event_type in BUILT_IN.types.items():
        known = {*EVERY_EVENT, *BUILT_IN_FIELDS[name]} - {"type", "version", "items"}
        assert known == set(event_type.fields)


@pytest.mark.parametrize(
    ("pattern", "characters", "most"),
    [
        ("[0-9]{6,8}", 8, 3),
        ("(ab|cd){2}", 4, 4),
        ("a*", 100, 101),
        ("(?:[0-9]-)*", 100, 101),
        (r"\w+@\w+\.\w+", 100, 1_000_000),
        ("(?>a+)b|c(?=d)", 10, 11),
    ],
)
def test_ways_to_try_a_pattern_are_bounded(pattern, characters, most):
    assert ways(pattern, characters) == most


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|aa)+", "(a?){64}", "a*a*a*a*", "(?i:(a|b)*)*", r"(a)\1+(b+)*"]
)
def test_a_pattern_that_may_take_for_ever_is_told(pattern):
    """C-LIM-1."""
    assert ways(pattern, 4096) == WAYS_MAX + 1
