"""Policies of declared decisions on events as a contract decodes them, with own and nested fields."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from declared_policies import NOON

from headrace.config.decision_policy import DecisionPolicySettings, PolicyScope
from headrace.config.decision_policy_errors import policy_errors
from headrace.config.events import EventSettings
from headrace.operators.events.declared import contract_of
from headrace.operators.policy import DecisionPolicy, ReloadList, list_content

EVENTS = {
    "payment": {
        "fields": {
            "card_bin": {"type": "text", "pattern": "[0-9]{6,8}"},
            "device_os": {"type": "text", "path": "device.os"},
            "pieces": {"type": "integer", "minimum": 0},
            "gift": {"type": "boolean"},
            "tags": {"type": "ids"},
            "due": {"type": "time"},
            "tries": {"type": "integer", "default": 1},
        }
    },
    "claim": {"fields": {"claim_id": {"type": "id", "required": True}, "sum": {"type": "number"}}},
}
CONTRACT = contract_of({name: EventSettings.model_validate(each) for name, each in EVENTS.items()})
ACTIONS = ("approve", "review", "block")


def decided(policy: dict[str, Any], of: str = "payment", entry: str = "x", **given: Any) -> str:
    """Counter of the path that decides on an event which comes in as a line."""
    scope = PolicyScope("score", ACTIONS, (), CONTRACT.types[of].fields)
    assert list(policy_errors("d", policy, scope)) == []
    made = DecisionPolicy("d", DecisionPolicySettings.model_validate(policy), scope)
    for name in policy.get("lists", ()):
        made.command(ReloadList(f"d.{name}", *list_content([entry])))
    plain = {"type": of, "event_id": "e", "event_time": NOON}
    if of == "payment":
        plain |= {"customer_id": "c", "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    event = CONTRACT.decode_one(orjson.dumps(plain | given))
    assert event.event_id == "e", event
    return made.decide(event, (), 0.5, NOON, False).counter


@pytest.mark.parametrize(
    ("when", "given"),
    [
        ("card_bin in ('123456', '1')", {"card_bin": "123456"}),
        ("device_os == 'ios'", {"device": {"os": "ios"}}),
        ("missing(device_os)", {"device": {"os": None}}),
        ("missing(device_os) and missing(pieces) and missing(tags) and missing(due) and missing(gift)", {}),
        ("pieces > 2 and amount / pieces < 4", {"pieces": 3}),
        ("gift and tries == 1", {"gift": True}),
        ("'a' in tags", {"tags": ["b", "a"]}),
        ("due - event_time == 1000", {"due": "2019-04-14T12:00:01Z"}),
        ("event_id == 'e' and currency == 'EUR' and missing(ip)", {}),
        ("hour_of_day == 12 and score == 0.5", {}),
    ],
)
def test_rules_see_what_was_decoded(when, given):
    rules = {"r": {"when": when, "action": "block", "code": "c"}}
    assert decided({"rules": rules}, **given) == "rule.r"
    rules["r"]["when"] = f"not ({when})"
    assert decided({"rules": rules}, **given) == "model"


@pytest.mark.parametrize(
    ("key", "entry", "given"),
    [
        ("device_os", "ios", {"device": {"os": "ios"}}),
        ("tags", "a", {"tags": ["b", "a"]}),
        (["customer_id", "card_bin"], "c\t123456", {"card_bin": "123456"}),
    ],
)
def test_lists_look_up_what_was_decoded(key, entry, given):
    lists = {"l": {"file": "f", "key": key, "action": "block", "code": "c"}}
    assert decided({"lists": lists}, entry=entry, **given) == "list.l"
    assert decided({"lists": lists}, entry=entry) == "model"


def test_costs_are_of_what_was_decoded():
    cost = {"of": "sum", "actions": {"approve": {"share_if_1": 1.0}, "block": {"fixed": 5.0}}}
    assert decided({"cost": cost}, "claim", claim_id="k", sum=11.0) == "cost"
    rules = {"r": {"when": "sum > 10 and claim_id != 'l'", "action": "block", "code": "c"}}
    assert decided({"rules": rules}, "claim", claim_id="k", sum=11.0) == "rule.r"


@pytest.mark.parametrize("of", CONTRACT.types)
def test_of_every_type_each_field_can_be_asked_for(of):
    fields = CONTRACT.types[of].fields
    scope = PolicyScope("score", ACTIONS, (), fields)
    vocabulary = scope.vocabulary
    assert set(vocabulary.fields) == {*fields, "hour_of_day", "day_of_week"}
    when = " or ".join(f"missing({name})" for name in vocabulary.fields)
    policy = {"rules": {"r": {"when": when, "action": "block", "code": "c"}}}
    assert list(policy_errors("d", policy, scope)) == []
    assert DecisionPolicy("d", DecisionPolicySettings.model_validate(policy), scope).decide
