"""JSON Schema of declared event types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .event_type import BUILT_IN_EVENTS, EventType, Field
from .schemas import schema_of

__all__ = ["event_schema"]

_EVERY_EVENT: Final = ("event_id", "event_time", "version")
_TIME: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "minLength": 20, "maxLength": 40, "format": "date-time"},
    ]
}


def event_schema(event_type: EventType) -> dict[str, Any]:
    """Return the schema of a type of events, as JSON Schema 2020-12.

    Own fields that are personal have `x-personal`. Fields that aren't known are allowed, and ignored.
    """
    if event_type.built_in:
        schema = schema_of(BUILT_IN_EVENTS[event_type.name].cls)
        known: Mapping[str, Any] = BUILT_IN_EVENTS[event_type.name].fields
    else:
        schema, known = _own_schema(event_type), dict.fromkeys(_EVERY_EVENT)
    own = [field for field in event_type.fields.values() if field.name not in known]
    for field in own:
        _place(schema, field)
    return schema


def _own_schema(event_type: EventType) -> dict[str, Any]:
    base = schema_of(BUILT_IN_EVENTS["click"].cls)
    return {
        "$schema": base["$schema"],
        "title": event_type.cls.__name__,
        "type": "object",
        "properties": {
            "type": {"enum": [event_type.name]},
            **{name: base["properties"][name] for name in _EVERY_EVENT},
        },
        "required": ["type", "event_id", "event_time"],
        "description": event_type.description or f"An event of the type {event_type.name}.",
    }


def _place(schema: dict[str, Any], field: Field) -> None:
    """Put a field where it stands, with the objects around it."""
    for key in field.path[:-1]:
        inner = schema["properties"].setdefault(key, {"type": "object", "properties": {}})
        # What holds a required field is required itself, though nothing is said of it.
        if field.required:
            _require(schema, key)
        schema = inner
    schema["properties"][field.path[-1]] = _field_schema(field)
    if field.required:
        _require(schema, field.path[-1])


def _require(schema: dict[str, Any], key: str) -> None:
    required = schema.setdefault("required", [])
    if key not in required:
        required.append(key)


def _field_schema(field: Field) -> dict[str, Any]:
    schema = _value_schema(field)
    if not field.required:
        schema = {"anyOf": [schema, {"type": "null"}], "default": field.default}
    schema["description"] = field.description or f"The flow's `{field.name}`."
    if field.personal:
        schema["x-personal"] = True
    return schema


def _value_schema(field: Field) -> dict[str, Any]:
    if field.values:
        return {"enum": list(field.values)}
    if field.type == "time":
        return dict(_TIME)
    if field.type == "boolean":
        return {"type": "boolean"}
    least, most = field.minimum, field.maximum
    if field.type in {"number", "integer"}:
        return {"type": field.type, "minimum": least, "maximum": most}
    if field.type == "ids":
        one = {"type": "string", "minLength": 1, "maxLength": 128}
        return {"type": "array", "items": one, "minItems": least, "maxItems": most}
    pattern = {} if field.pattern is None else {"pattern": f"^(?:{field.pattern})$"}
    return {"type": "string", "minLength": least, "maxLength": most, **pattern}
