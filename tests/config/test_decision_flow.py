"""Flows of declared decisions: every validation error is found at once, and says what would do."""

from __future__ import annotations

import tomllib

import pytest
from declared_flows import PARCELS

from headrace.config.decision_errors import decision_flow_errors
from headrace.config.decision_flow import DecisionFlowSettings
from headrace.config.event_fields import fields_of_type, known_types
from headrace.config.references import Broken
from headrace.operators.events.declared import BUILT_IN

TARGET = "decisions.risk.target"


def errors(text: str) -> dict[str, str]:
    read = tomllib.loads(text)
    settings = DecisionFlowSettings.model_validate(read)
    return {each.key: each.message for each in decision_flow_errors(settings, Broken(), read)}


def changed(old: str, new: str) -> dict[str, str]:
    assert old in PARCELS
    return errors(PARCELS.replace(old, new))


def test_a_whole_flow_has_none():
    assert errors(PARCELS) == {}


def test_built_in_fields_are_those_of_the_contract():
    assert known_types({}) == tuple(BUILT_IN.types)
    for name, of in BUILT_IN.types.items():
        declared = fields_of_type({}, name)
        fields = {
            field: (each.type, each.required) for field, each in of.fields.items() if field != "version"
        }
        for field, (kind, required) in fields.items():
            assert declared[field].required == required, (name, field)
            if declared[field].type != "items":
                assert declared[field].type == kind, (name, field)


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ('on = "parcel"\nactions', 'on = "parcle"\nactions', "decisions.risk.on", "did you mean parcel?"),
        ('censors = ["refuse"]', 'censors = ["refuze"]', "decisions.risk.censors", "did you mean refuse?"),
        ('crosses = ["depot", "history"]', 'crosses = ["dept"]', "decisions.risk.crosses", "mean depot?"),
        ('on = "claim", join', 'on = "claims", join', f"{TARGET}.on", "did you mean claim?"),
        ('about = "event_id"', 'abut = "event_id"', f"{TARGET}.join.abut", "did you mean about?"),
        ('about = "event_id"', 'about = "weight"', f"{TARGET}.join.about", "is of type number"),
        ('value = "lost", within', 'value = "lots", within', f"{TARGET}.value", "did you mean lost?"),
        ('value = "lost", within', "value = 2, within", f"{TARGET}.value", "must be 0 or 1"),
        ('value = "lost", within', 'value = "elapsed", within', f"{TARGET}.value", "for an estimate"),
        ("otherwise = 0", "otherwise = 0.5", f"{TARGET}.otherwise", "it is 0 or 1"),
        ("status == 'delivered'", "state == 'x'", "decisions.eta.target.when", "did you mean status?"),
        ('key = "customer_id"', 'key = "custmer_id"', "entities.customer.key", "mean customer_id?"),
        ('value = "weight" }', 'value = "wait" }', "features.weight.value", "did you mean weight?"),
        ('"count", entity = "customer"', '"count", entity = "shop"', "features.parcels.entity", "no entity"),
        ('decision = "risk"', 'decision = "eta"', "features.lost_share.decision", "target of 0 or 1"),
        ('of = ["depot"]', 'of = ["parcls"]', "crosses.depot.of", "did you mean parcels?"),
        ('of = "parcels"', 'of = "parcl"', "bins.parcels.of", "did you mean parcels?"),
        ("insure = 0.3", "ensure = 0.3", "decisions.risk.policy.thresholds.ensure", "did you mean insure?"),
    ],
)  # fmt: skip
def test_each_reference_is_looked_at(old, new, key, message):
    found = changed(old, new)
    assert message in found[key]


def test_with_several_shards_each_asking_event_must_be_about_somebody():
    text = PARCELS.replace('kind = "decisions"', 'kind = "decisions"\nshards = 2')
    assert errors(text) == {}
    found = errors(
        text.replace('customer_id = { type = "id", required = true }', 'customer_id = { type = "id" }')
    )
    assert set(found) == {"decisions.risk.on", "decisions.eta.on"}
    assert "must say whom it is about: customer_id or session_id, required" in found["decisions.eta.on"]


def test_a_flow_without_decisions_is_refused():
    text = PARCELS[: PARCELS.index("[decisions.risk]")].replace(
        'lost_share = { kind = "positive_share", decision = "risk", entity = "customer", window = "40d" }\n',
        "",
    )
    text = text.replace('lost_share = { of = "lost_share", edges = [0.01, 0.3] }\n', "")
    text = text.replace('of = ["parcels", "lost_share"]', 'of = ["parcels"]')
    assert list(errors(text)) == ["decisions"]
