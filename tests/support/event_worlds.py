"""A small contract with features of every kind over its events, and events of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from headrace.config.event_entities import EventCross, EventEntity, TableSettings
from headrace.config.event_features import EventFeature
from headrace.config.events import EventSettings
from headrace.config.fraud_flow import BinDeclaration
from headrace.operators.events.declared import Contract, contract_of
from headrace.operators.features import EventFeatures
from headrace.operators.features.event_features import Asked

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_700_000_000_000
FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "payment": {
        "country": {"type": "text", "values": ["DE", "FR", "US"]},
        "pieces": {"type": "integer", "minimum": 0},
        "vip": {"type": "boolean"},
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "lon": {"type": "number", "minimum": -180, "maximum": 180},
        "note": {"type": "text"},
        "card_bin": {"type": "text"},
    },
    "ticket": {
        "client_id": {"type": "id", "required": True},
        "text": {"type": "text"},
        "urgency": {"type": "integer", "required": True},
        "from": {"type": "text"},
        "vip": {"type": "boolean"},
    },
    "scan": {
        "customer_id": {"type": "id"},
        "courier": {"type": "integer"},
        "lat": {"type": "number", "required": True},
        "lon": {"type": "number", "required": True},
    },
}
ENTITIES: dict[str, dict[str, Any]] = {
    "customer": {
        "key": {"payment": "customer_id", "ticket": "client_id", "scan": "customer_id"},
        "idle_days_max": 400.0,
    },
    "merchant": {"key": "merchant_id"},
    "pair": {"key": ["customer_id", "merchant_id"]},
    "courier": {"key": "courier"},
}
OF_CUSTOMER = {"entity": "customer", "on": "payment"}
FEATURES: dict[str, dict[str, Any]] = {
    "amount": {"kind": "field", "value": "amount"},
    "pieces": {"kind": "field", "value": "pieces"},
    "hour": {"kind": "calendar", "value": "hour_of_day", "zone": "Europe/Berlin"},
    "weekday": {"kind": "calendar", "value": "day_of_week"},
    "day": {"kind": "calendar", "value": "day_of_month", "zone": "America/New_York"},
    "month": {"kind": "calendar", "value": "month_of_year", "zone": "Europe/Berlin"},
    "country": {"kind": "category", "value": "country"},
    "vip": {"kind": "category", "value": "vip"},
    "card_bin": {"kind": "category", "value": "card_bin", "buckets": 7},
    "note": {"kind": "ngrams", "value": "note", "slots_max": 3, "buckets": 50},
    "spelling": {"kind": "ngrams", "value": "note", "of": "characters", "n": 3, "slots_max": 4},
    "bank": {"kind": "lookup", "table": "banks", "value": "card_bin", "values": ["A", "B"]},
    "risk": {"kind": "lookup", "table": "risks", "value": "card_bin"},
    "per_piece": {"kind": "ratio", "value": "amount", "over": "pieces"},
    "count": {"kind": "count", **OF_CUSTOMER},
    "count_200d": {"kind": "count", **OF_CUSTOMER, "window": "200d", "panes": 20, "when": ["amount > 20"]},
    "tickets": {"kind": "count", "entity": "customer", "on": "ticket", "when": ["urgency > 2", "vip == 1"]},
    "sum": {"kind": "sum", "entity": "pair", "on": "payment", "value": "amount"},
    "sum_1d": {"kind": "sum", "entity": "pair", "on": "payment", "value": "per_piece", "window": "1d"},
    "mean": {"kind": "mean", "entity": "merchant", "on": "payment", "value": "pieces"},
    "max": {"kind": "max", "entity": "customer", "on": "ticket", "value": "urgency", "window": "2d"},
    "rate": {"kind": "rate", **OF_CUSTOMER, "value": "vip", "prior": 0.1, "prior_weight": 2.0},
    "rate_1d": {"kind": "rate", **OF_CUSTOMER, "value": "pieces", "window": "1d"},
    "shops": {"kind": "distinct", **OF_CUSTOMER, "value": "merchant_id", "window": "1d", "keys_max": 2},
    "senders": {"kind": "distinct", "entity": "customer", "on": "ticket", "value": "from"},
    "payers": {"kind": "distinct", "entity": "merchant", "on": "payment", "value": "customer_id"},
    "ew": {"kind": "ew_mean", **OF_CUSTOMER, "value": "amount", "half_life": "1d"},
    "deviation": {"kind": "ew_deviation", **OF_CUSTOMER, "value": "amount", "half_life": "1h"},
    "last_s": {"kind": "time_since_last", **OF_CUSTOMER, "unit": "seconds"},
    "first_ticket": {"kind": "time_since_first", "entity": "customer", "on": "ticket", "window": "90d"},
    "usual": {"kind": "running_mean", **OF_CUSTOMER, "value": "amount", "clip": 2.5, "weight_min": 0.2},
    "ratio": {"kind": "ratio", "value": "amount", "over": "usual"},
    "median": {"kind": "quantile", **OF_CUSTOMER, "value": "amount"},
    "ratio_p90": {"kind": "quantile", **OF_CUSTOMER, "value": "ratio", "q": 0.9},
    "last_country": {"kind": "last", **OF_CUSTOMER, "value": "country", "window": "30d"},
    "before": {"kind": "lag", **OF_CUSTOMER, "value": "amount", "n": 2},
    "before_1d": {"kind": "lag", **OF_CUSTOMER, "value": "amount", "window": "1d"},
    "trend": {"kind": "trend", **OF_CUSTOMER, "value": "amount", "values": 4, "unit": "hours"},
    "trend_1d": {"kind": "trend", "entity": "customer", "on": "ticket", "value": "urgency", "window": "1d"},
    "moved_km": {"kind": "distance", "at": ["lat", "lon"], "entity": "customer", "on": "scan"},
    "far_km": {"kind": "distance", "at": ["lat", "lon"], "to": ["lon", "lat"]},
    "scans": {"kind": "count", "entity": "courier", "on": "scan", "window": "1d"},
    "share": {"kind": "positive_share", "entity": "merchant", "decision": "fraud", "window": "30d"},
    "share_of_low": {
        "kind": "positive_share",
        "entity": "customer",
        "decision": "fraud",
        "window": "1d",
        "when": ["amount <= 80"],
        "prior": 0.02,
    },
    "streak": {"kind": "positive_streak", "entity": "merchant", "decision": "fraud", "when": ["ratio <= 2"]},
    "positive_age": {"kind": "first_positive_age", "entity": "merchant", "decision": "fraud"},
    "negative_age": {"kind": "last_negative_age", "entity": "merchant", "decision": "fraud"},
    "angry": {"kind": "positive_share", "entity": "customer", "decision": "anger", "window": "30d"},
}
BINS: dict[str, dict[str, Any]] = {
    "amount": {"of": "amount", "edges": [10.0, 50.0]},
    "amount_coarse": {"of": "amount", "edges": [50.0]},
    "ratio": {"of": "ratio", "edges": [0.5, 1.0, 2.0]},
    "hour": {"of": "hour", "edges": [6.0, 12.0, 18.0]},
    "tickets": {"of": "tickets", "edges": [1.0, 3.0]},
}
CROSSES: dict[str, dict[str, Any]] = {
    "amount_by_country": {"of": ["amount", "country"]},
    "countries": {"of": ["country", "last_country"], "code": "another_country"},
    "words": {"of": ["note"]},
    "ratio_by_hour": {"of": ["ratio", "hour", "amount_coarse"]},
    "bank": {"of": ["bank"]},
    "bin": {"of": ["card_bin", "vip"]},
    "tickets": {"of": ["tickets"]},
}
TABLES: dict[str, dict[str, Any]] = {
    "banks": {"file": "banks.csv"},
    "risks": {"file": "risks.csv", "holds": "number"},
}
DECISIONS = {"fraud": Asked("payment"), "anger": Asked("ticket"), "lost": Asked("scan")}
_FEATURE: TypeAdapter[Any] = TypeAdapter(Annotated[EventFeature, Field(discriminator="kind")])


def contract(fields: Mapping[str, Any] | None = None) -> Contract:
    """The contract of the small world."""
    return contract_of(
        {
            name: EventSettings.model_validate({"fields": each})
            for name, each in {**FIELDS, **(fields or {})}.items()
        }
    )


def settings(**changed: Mapping[str, Any]) -> SimpleNamespace:
    """Its declarations, some tables of them changed: an entry of None is left out."""
    read = {
        "entities": EventEntity.model_validate,
        "features": _FEATURE.validate_python,
        "bins": BinDeclaration.model_validate,
        "crosses": EventCross.model_validate,
        "tables": TableSettings.model_validate,
    }
    plain: dict[str, Mapping[str, Any]] = {
        "entities": ENTITIES,
        "features": FEATURES,
        "bins": BINS,
        "crosses": CROSSES,
        "tables": TABLES,
    }
    return SimpleNamespace(
        **{
            name: {
                key: parse(each)
                for key, each in {**plain[name], **changed.get(name, {})}.items()
                if each is not None
            }
            for name, parse in read.items()
        }
    )


def features(
    decisions: Mapping[str, Asked] = DECISIONS,
    *,
    only: Collection[str] | None = None,
    fields: Mapping[str, Any] | None = None,
    **changed: Mapping[str, Any],
) -> EventFeatures:
    """A feature set over the small world; `only` of these features, without bins and crosses.

    `fields` are those of types that are declared otherwise.
    """
    if only is not None:
        gone: dict[str, Any] = {name: None for name in FEATURES if name not in only}
        changed = {
            **changed,
            "features": {**gone, **changed.get("features", {})},
            "bins": dict.fromkeys(BINS),
            "crosses": dict.fromkeys(CROSSES),
        }
    declared = settings(**changed)
    return EventFeatures(
        {name: each.fields for name, each in contract(fields).types.items()},
        declared.entities,
        declared.features,
        declared.bins,
        declared.crosses,
        decisions,
        declared.tables,
    )


def event(type_: str, /, **fields: Any) -> Any:
    """An event of the small world, as it is decoded."""
    cls = contract().types[type_].cls
    basic: dict[str, Any] = {"event_id": "e", "event_time": START}
    if type_ == "payment":
        basic |= {"customer_id": "c", "merchant_id": "m", "amount": 40.0, "currency": "EUR"}
    elif type_ == "ticket":
        basic |= {"client_id": "c", "urgency": 1}
    else:
        basic |= {"lat": 48.0, "lon": 11.0}
    return cls(**basic | fields)
