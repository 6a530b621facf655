"""The contract of a flow as a value: its event types, and how a line becomes an event of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import or_
from typing import Any, Final, cast

import msgspec
import orjson

from ...config.events import EventSettings, FieldSettings, FieldType
from .decode import LineDecoder, Undecodable, canonical_digest, check_currency, publish
from .event_classes import NEST, event_class, finisher
from .event_type import BUILT_IN_EVENTS, EventType, Field, party_of, tag_of
from .refusals import Refusals
from .timestamps import time_ms

__all__ = ["BUILT_IN", "Contract", "EventType", "Field", "contract_of", "of_declared", "party_of"]

_CONTRACTS_MAX: Final = 64  # kept, as several versions of one may be met in a journal
_PARTY: Final = ("customer_id", "session_id")
_CLASSES: Final = {
    "id": str,
    "text": str,
    "number": float,
    "integer": int,
    "boolean": bool,
    "time": int,
    "ids": tuple,
}
_NOT_DECODED: Final = {"personal", "description"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Contract:
    """The event types of a flow; two of the same declarations are one.

    Attributes
    ----------
    types
        By name: the built-in ones first, then own ones by name.
    by_class
        By the class of their decoded events.
    """

    types: Mapping[str, EventType]
    by_class: Mapping[type, EventType]
    _lines: LineDecoder = field(repr=False)
    _personal: Mapping[type, Sequence[str]] = field(repr=False)
    _terse: Refusals | None = field(repr=False)  # what completes refusals where decoding leaves them short

    def decode(
        self, payloads: Sequence[bytes], line_bytes_max: int = 65_536, *, stack_is_empty: bool = False
    ) -> list[Any]:
        """Decode lines, each to an event or to an `Undecodable`, in their order; never raise but for memory.

        Parameters
        ----------
        payloads
            The lines.
        line_bytes_max
            Longer lines are not looked into.
        stack_is_empty
            Whether a parser that runs out of stack here would do so anywhere.
        """
        return self._lines.decode(payloads, line_bytes_max, stack_is_empty=stack_is_empty)

    def decode_one(self, payload: bytes, line_bytes_max: int = 65_536) -> Any:
        """Decode one line, to an event or to an `Undecodable`."""
        return self._lines.decode((payload,), line_bytes_max)[0]

    def refusal(self, payload: bytes) -> Undecodable | None:
        """Return why a line is no event, with what was there and what is known; None if it is one."""
        found = self.decode_one(payload, len(payload))
        if not isinstance(found, Undecodable):
            return None
        return found if self._terse is None else self._terse.told(found, payload)

    def decode_item_of_any_time(self, payload: bytes) -> Any:
        """Decode a catalogue event whose `published_at` may be in any year, as earlier versions took it."""
        return self._lines.item_of_any_time(payload)

    def digest(self, event: Any) -> int:
        """CRC-32 of an event's fields: spacing, order and unknown fields don't count.

        A field that has its default doesn't either. Digests of one type can be compared as long as what
        `declared` says of it is the same.
        """
        return canonical_digest(event)

    def party(self, event: Any) -> str | None:
        """Whom an event names: as its type declares, else its customer, else its session; None for nobody."""
        return party_of(event)

    def personal(self, event: Any) -> dict[str, Any]:
        """Return what an event says of a person: values of personal fields that it has, by name."""
        found = {name: getattr(event, name) for name in self._personal[event.__class__]}
        return {name: value for name, value in found.items() if value is not None}

    def adopt(self, event: Any) -> Any:
        """Return an event of another contract as one of this; a field that is declared otherwise is missing.

        Raises
        ------
        KeyError
            If there is no such type here.
        """
        of = self.types[tag_of(event.__class__)]
        if event.__class__ is of.cls:
            return event
        return _made(of, {name: getattr(event, name) for name in event.__struct_fields__})

    def revive(self, name: str, saved: bytes) -> Any:
        """Return an event of a type from its MessagePack form; what isn't declared, or not so, is missing.

        Raises
        ------
        KeyError
            If there is no such type here.
        """
        of, said = self.types[name], msgspec.msgpack.decode(saved)
        encoded = zip(of.cls.__struct_fields__, of.cls.__struct_encode_fields__, strict=True)
        values = {field: said[key] for field, key in encoded if key in said}
        if of.built_in:
            event = msgspec.msgpack.decode(saved, type=BUILT_IN_EVENTS[name].cls)
            values |= {field: getattr(event, field) for field in event.__struct_fields__}
        return _made(of, values)

    def declared(self, name: str) -> str:
        """Return what a type's digests depend on, as a text; empty where nothing of it is declared."""
        return self.types[name].declared if name in self.types else ""


def contract_of(events: Mapping[str, EventSettings]) -> Contract:
    """Return the contract of declared events; the same object for the same declarations.

    Parameters
    ----------
    events
        Own fields of built-in types, and own types, without validation errors.
    """
    if not events:
        return BUILT_IN
    # Keyed by what is written, so that settings restored from a journal lead to the very same classes.
    plain = {name: event.model_dump(mode="json") for name, event in events.items()}
    return _contract(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS))


def of_declared(name: str, declared: str) -> Contract:
    """Return a contract in which a type is as it was once declared; see `Contract.declared`."""
    if not declared:
        return BUILT_IN
    return contract_of({name: EventSettings.model_validate_json(declared)})


@lru_cache(maxsize=_CONTRACTS_MAX)
def _contract(written: bytes) -> Contract:
    events = {name: EventSettings.model_validate(event) for name, event in orjson.loads(written).items()}
    types = {
        name: _extended(of, events[name]) if name in events else of for name, of in BUILT_IN_EVENTS.items()
    }
    types |= {name: _own(name, events[name]) for name in sorted(events) if name not in types}
    return _built(types)


def _made(of: EventType, values: Mapping[str, Any]) -> Any:
    """Return an event of values that were decoded once."""
    known = _built_in_names(of.name)
    made = {}
    for name in of.cls.__struct_fields__:
        if name not in of.fields or name in known:
            if name in values and not name.startswith(NEST):
                made[name] = values[name]
            continue
        field, value = of.fields[name], values.get(name)
        value = tuple(value) if isinstance(value, list) else value
        made[name] = value if isinstance(value, _CLASSES[field.type]) else field.default
    return of.cls(**made)


def _built(types: Mapping[str, EventType]) -> Contract:
    finish = {}
    for of in types.values():
        own = [each for each in of.fields.values() if each.name not in _built_in_names(of.name)]
        function = finisher(own, _FIRST.get(of.name))
        if function is not None:
            finish[of.cls] = function
    # Nearly all events are payments: what completes those that are as built in is part of the decoder's loop.
    payment = types["payment"].cls
    inline = payment if finish[payment] is check_currency else None
    # Without own declarations refusals keep the words that older journals have recorded.
    any_declared = any(of.declared or not of.built_in for of in types.values())
    union = reduce(or_, (of.cls for of in types.values()))
    refusals = Refusals(types)
    return Contract(
        types=types,
        by_class={of.cls: of for of in types.values()},
        _lines=LineDecoder(union, inline, finish, refusals.told if any_declared else None),
        _terse=None if any_declared else refusals,
        _personal={
            of.cls: [each.name for each in of.fields.values() if each.personal] for of in types.values()
        },
    )


def _built_in_names(name: str) -> Mapping[str, Field]:
    """Fields that a type has without a declaration; those of every event for an own one."""
    return BUILT_IN_EVENTS[name].fields if name in BUILT_IN_EVENTS else _EVERY_EVENT


def _extended(of: EventType, event: EventSettings) -> EventType:
    """Return a built-in type with own fields."""
    if not event.fields:
        return of
    own = _own_fields(event)
    return EventType(
        name=of.name,
        cls=event_class(of.name, of.cls, list(own.values()), of.party),
        fields={**of.fields, **own},
        built_in=True,
        party=of.party,
        declared=_declared(event),
        description=event.description or of.description,
    )


def _own(name: str, event: EventSettings) -> EventType:
    fields = _own_fields(event)
    ids = [each for each in _PARTY if each in fields and fields[each].type == "id"]
    party = (event.party,) if event.party else tuple(ids)
    return EventType(
        name=name,
        cls=event_class(name, None, list(fields.values()), party),
        fields={**_EVERY_EVENT, **fields},
        built_in=False,
        party=party,
        declared=_declared(event),
        description=event.description,
    )


def _own_fields(event: EventSettings) -> dict[str, Field]:
    """Return declared fields by name: digests must not hang on the order of a file."""
    return {name: _field(name, event.fields[name]) for name in sorted(event.fields)}


def _field(name: str, given: FieldSettings) -> Field:
    least, most = given.limits or (None, None)
    return Field(
        name=name,
        path=given.keys(name),
        type=cast("FieldType", given.type),
        required=given.required,
        default=_default(given),
        minimum=least,
        maximum=most,
        pattern=given.pattern,
        values=given.values or (),
        personal=given.personal,
        description=given.description,
    )


def _default(given: FieldSettings) -> Any:
    """Return a default as decoded events have it."""
    default = given.default
    if given.type == "time" and isinstance(default, str):
        return time_ms(default)
    return float(default) if given.type == "number" and default is not None else default


def _declared(event: EventSettings) -> str:
    """Return what decides on how an event of the type is decoded and digested."""
    fields = {
        name: field.model_dump(mode="json", exclude=_NOT_DECODED, exclude_defaults=True)
        for name, field in event.fields.items()
    }
    # Whether a field is personal changes neither its value nor a digest.
    return orjson.dumps({"fields": fields}, option=orjson.OPT_SORT_KEYS).decode()


_EVERY_EVENT: Final = {
    name: declared
    for name, declared in BUILT_IN_EVENTS["click"].fields.items()
    if name in {"event_id", "event_time"}
}
_FIRST: Final = {"item": publish, "payment": check_currency}
BUILT_IN: Final = _built(BUILT_IN_EVENTS)
"""The contract of a flow that declares nothing."""
