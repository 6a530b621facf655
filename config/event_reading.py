"""Which features can be read of events of a type: what a declaration takes must be there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

__all__ = [
    "KEYS",
    "NUMBERS",
    "EventField",
    "cross_features",
    "is_number",
    "key_fields",
    "known_values",
    "readable_on",
]

NUMBERS: Final = ("number", "integer", "boolean", "time")
"""Types of fields that are numbers to a feature."""
KEYS: Final = ("id", "text", "integer")
"""Types of fields that may name an entity."""


class EventField(Protocol):
    """What is asked of a field of an event type."""

    @property
    def type(self) -> str:
        """As declarations have it."""

    @property
    def required(self) -> bool:
        """Whether each event of the type has it."""

    @property
    def values(self) -> Sequence[str | int]:
        """The values that it may have; empty for any."""


Fields = Mapping[str, EventField]


def is_number(fields: Fields, name: str) -> bool:
    """Whether a field is a number to a feature."""
    return name in fields and fields[name].type in NUMBERS


def key_fields(entity: Any, event_type: str, fields: Fields) -> tuple[str, ...]:
    """Return fields that name an entity in events of a type; none where these don't have them all."""
    named: tuple[str, ...] = entity.fields_of(event_type)
    return named if all(name in fields for name in named) else ()


def readable_on(
    features: Mapping[str, Any], entities: Mapping[str, Any], event_type: str, fields: Fields
) -> tuple[str, ...]:
    """Return the features that can be read of events of a type, in their order."""
    readable: list[str] = []
    for name, declaration in features.items():
        entity = getattr(declaration, "entity", None)
        named = entity is None or (entity in entities and key_fields(entities[entity], event_type, fields))
        if named and _has_what_it_takes(declaration, features, fields, readable):
            readable.append(name)
    return tuple(readable)


def _has_what_it_takes(
    declaration: Any, features: Mapping[str, Any], fields: Fields, before: Collection[str]
) -> bool:
    """Whether events of a type have what a feature takes when it is read."""
    kind = declaration.kind
    if kind == "field":
        return is_number(fields, declaration.value)
    if kind == "ratio":
        return all(
            name in before if name in features else is_number(fields, name) for name in declaration.numbers
        )
    if kind in {"category", "ngrams", "lookup"}:
        return declaration.value in fields
    if kind == "distance":
        return all(is_number(fields, name) for name in (*declaration.at, *(declaration.to or ())))
    # All others are read from what is kept of their entity; the event only has to name it.
    return True


def known_values(name: str, types: Mapping[str, Fields]) -> tuple[str, ...] | None:
    """Return the values that a field has in all types that have it; None where one doesn't say."""
    found: dict[str, None] = {}
    for field in (fields[name] for fields in types.values() if name in fields):
        if field.type == "boolean":
            found |= dict.fromkeys(("false", "true"))
        elif not field.values:
            return None
        else:
            found |= dict.fromkeys(map(str, field.values))
    return tuple(found)


def cross_features(cross: Any, bins: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the features that a cross is made of, through bins or as categories."""
    return tuple(bins[name].of if name in bins else name for name in cross.of)
