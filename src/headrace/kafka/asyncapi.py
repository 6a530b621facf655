"""A flow's topics as an AsyncAPI document: channels, messages, keys and headers.

References
----------
AsyncAPI 3.0.0; its Kafka bindings 0.5.0; CloudEvents 1.0.2 in binary content mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from headrace.config.canonical import digest
from headrace.config.kafka import KafkaSettings
from headrace.config.tables import RunSettings
from headrace.operators.events.contract import DeadLetter
from headrace.operators.events.declared import contract_of
from headrace.operators.events.declared_schemas import event_schema
from headrace.operators.events.schemas import schema_of

__all__ = ["Addresses", "asyncapi"]

_VERSION: Final = "3.0.0"
_BINDING: Final = "0.5.0"
_DIGEST_CHARACTERS: Final = 12
_DEAD_LETTER: Final = "dead_letter"
_Schema = dict[str, Any]


class Addresses(NamedTuple):
    """Names of topics; None, or none, where they are only known at the start of a run."""

    events: Sequence[str] = ()
    decisions: str | None = None
    dead_letters: str | None = None


def asyncapi(
    settings: RunSettings, decisions: Mapping[str, _Schema], addresses: Addresses | None = None
) -> _Schema:
    """Return the document of a flow.

    Parameters
    ----------
    settings
        Of the flow.
    decisions
        Schemas of its decisions, by what they are called in `kind`.
    addresses
        Where its events come from and its outputs go.
    """
    kafka, schemas = settings.kafka, dict[str, _Schema]()
    types = contract_of(settings.events).types
    messages = {
        name: _event_message(name, _moved(schemas, name, event_schema(of))) for name, of in types.items()
    }
    decided = {
        f"decision_{name}": _decision_message(name, _moved(schemas, f"decision_{name}", schema), kafka)
        for name, schema in decisions.items()
    }
    refused = {_DEAD_LETTER: _letter_message(_moved(schemas, _DEAD_LETTER, schema_of(DeadLetter)), kafka)}
    channels = _channels(addresses or Addresses(), list(messages), list(decided))
    return {
        "asyncapi": _VERSION,
        "info": {
            "title": f"Headrace: {settings.flow.kind}",
            "version": digest(settings)[:_DIGEST_CHARACTERS],
            "description": "What the flow takes, what it decides, and what it could not use."
            " The version is the head of the digest of its settings.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(channels),
        "components": {"messages": {**messages, **decided, **refused}, "schemas": schemas},
    }


def _moved(schemas: dict[str, _Schema], name: str, schema: _Schema) -> _Schema:
    """Put a schema among the document's, and give a reference to it."""
    # A document's references begin at its own root, so that definitions of a schema's own are moved there.
    plain = {key: value for key, value in schema.items() if key not in {"$schema", "$defs"}}
    for inner, definition in schema.get("$defs", {}).items():
        schemas[inner] = _referring(definition)
    schemas[name] = _referring(plain)
    return {"$ref": f"#/components/schemas/{name}"}


def _referring(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _referring(value)
            for key, value in part.items()
        }
    return [_referring(each) for each in part] if isinstance(part, list) else part


def _channels(
    addresses: Addresses, events: Sequence[str], decisions: Sequence[str]
) -> dict[str, dict[str, Any]]:
    topics: Sequence[str | None] = addresses.events or (None,)
    names = ["events", *(f"events_{number}" for number in range(2, len(topics) + 1))]
    return {
        **{
            name: _channel(topic, events, "What the flow takes; of several topics each may hold all types.")
            for name, topic in zip(names, topics, strict=True)
        },
        "decisions": _channel(addresses.decisions, decisions, "What the flow decides, once for each event."),
        "dead_letters": _channel(addresses.dead_letters, [_DEAD_LETTER], "Inputs that could not be used."),
    }


def _channel(address: str | None, messages: Sequence[str], description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operations(channels: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{'receive' if name.startswith('events') else 'send'}_{name}": {
            "action": "receive" if name.startswith("events") else "send",
            "channel": {"$ref": f"#/channels/{name}"},
        }
        for name in channels
    }


# -- messages


def _event_message(name: str, payload: _Schema) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "summary": f"An event of the type {name}. Its key and its headers aren't read.",
        "payload": payload,
    }


def _decision_message(name: str, payload: _Schema, kafka: KafkaSettings) -> dict[str, Any]:
    ce_time = _text("The time of the event that was decided.") | {"format": "date-time"}
    headers = _headers(kafka, f"headrace.decision.{name}", "The `decision_id`.", {"ce_time": ce_time})
    key = _text("Whom the decision is about: the event's customer, or its session; absent without either.")
    return {
        "name": f"headrace.decision.{name}",
        "title": f"Decision {name}",
        "summary": "May come again after a crash with the same id, key, headers and bytes.",
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
    }


def _letter_message(payload: _Schema, kafka: KafkaSettings) -> dict[str, Any]:
    place = {
        "headrace_reason": _text("The letter's `reason`."),
        "headrace_topic": _text("The topic of its input."),
        "headrace_partition": _text("The partition, in digits."),
        "headrace_offset": _text("The offset there, in digits."),
    }
    return {
        "name": "headrace.dead_letter",
        "title": "Dead letter",
        "summary": "An input that could not be used; it has no key.",
        "headers": _headers(kafka, "headrace.dead_letter", "TOPIC/PARTITION/OFFSET of its input.", place),
        "payload": payload,
    }


def _headers(kafka: KafkaSettings, kind: str, identity: str, more: Mapping[str, _Schema]) -> dict[str, Any]:
    known = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": _text(identity),
        "ce_source": {"const": kafka.ce_source},
        "ce_type": {"const": kind},
        **more,
        "content-type": {"const": "application/json"},
    }
    passed = {
        name: _text("As the input's message has it; absent where it has none.") for name in kafka.pass_headers
    }
    return {"type": "object", "properties": {**known, **passed}, "required": list(known)}


def _text(description: str) -> _Schema:
    return {"type": "string", "description": description}
