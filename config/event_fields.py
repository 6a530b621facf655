"""The fields that events of a type have, with what references between declarations ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .events import EventSettings

__all__ = ["BUILT_IN_FIELDS", "DeclaredField", "fields_of_type", "known_types"]


class DeclaredField(NamedTuple):
    """A field of an event.

    Attributes
    ----------
    type
        As declarations have it; `items` for the lines of an order, of which nothing can be asked.
    required
        Whether each event of the type has it.
    default
        What it is where an event doesn't have it; None for missing.
    minimum, maximum
        Of a number.
    values
        That it may have; empty for any.
    """

    type: str
    required: bool = False
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str | int, ...] = ()


_ID: Final = DeclaredField("id", required=True)
_MAYBE_ID: Final = DeclaredField("id")
_MONEY: Final = DeclaredField("number", minimum=0.0, maximum=1e12)
_EVERY: Final = {"event_id": _ID, "event_time": DeclaredField("time", required=True)}
BUILT_IN_FIELDS: Final[Mapping[str, Mapping[str, DeclaredField]]] = {
    "click": {"session_id": _ID, "item_id": _ID, "customer_id": _MAYBE_ID, "price": _MONEY},
    "item": {
        "item_id": _ID,
        "available": DeclaredField("boolean", default=True),
        "hidden": DeclaredField("boolean", default=False),
        "price": _MONEY,
        "category": _MAYBE_ID,
        "seller_id": _MAYBE_ID,
        "published_at": DeclaredField("time"),
    },
    "cart": {
        "session_id": _ID,
        "item_id": _ID,
        "quantity": DeclaredField("integer", default=1, minimum=1, maximum=1_000_000),
        "customer_id": _MAYBE_ID,
    },
    "order": {
        "order_id": _ID,
        "customer_id": _ID,
        "items": DeclaredField("items", required=True),
        "session_id": _MAYBE_ID,
        "item_ids": DeclaredField("ids", required=True),
    },
    "payment": {
        "customer_id": _ID,
        "merchant_id": _ID,
        "amount": _MONEY._replace(required=True),
        "currency": DeclaredField("text", required=True),
        "session_id": _MAYBE_ID,
        "order_id": _MAYBE_ID,
        "device_id": _MAYBE_ID,
        "ip": DeclaredField("text"),
    },
    "outcome": {
        "about": _ID,
        "label": DeclaredField("integer", required=True, minimum=0, maximum=1),
        "customer_id": _MAYBE_ID,
        "merchant_id": _MAYBE_ID,
    },
}
"""What the built-in types have beside; `item_ids` of an order are those of its items."""


def known_types(events: Mapping[str, EventSettings]) -> tuple[str, ...]:
    """Names of the event types that there are, with those that are declared."""
    return tuple(dict.fromkeys((*BUILT_IN_FIELDS, *events)))


def fields_of_type(events: Mapping[str, EventSettings], name: str) -> dict[str, DeclaredField]:
    """Return the fields of an event type by name: the built-in ones, then those that are declared."""
    found = _EVERY | dict(BUILT_IN_FIELDS.get(name, {}))
    if name in events:
        for field, declared in events[name].fields.items():
            found[field] = DeclaredField(
                declared.type,
                declared.required,
                declared.default,
                declared.minimum,
                declared.maximum,
                declared.values or (),
            )
    return found
