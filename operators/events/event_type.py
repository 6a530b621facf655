"""What an event type is: its fields, and the class of its decoded events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from msgspec import Struct, inspect

from ...config.events import ID_CHARACTERS_MAX, FieldType
from .contract import Event

__all__ = ["BUILT_IN_EVENTS", "EventType", "Field", "party_of", "tag_of"]

_PERSONAL: Final = ("customer_id", "session_id", "device_id", "ip")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of an event type.

    Attributes
    ----------
    name
        What it is called in a flow; the event's attribute.
    path
        The keys under which it stands in an event, one in another.
    type
        `id`, `text`, `number`, `integer`, `boolean`, `time` or `ids`.
    required
        Whether each event has it.
    default
        What it is where an event doesn't have it; None for missing.
    minimum, maximum
        Of a number; of a text's characters, or how many ids there are; None for no limit.
    pattern
        A regular expression that the whole text matches.
    values
        The values that it may have; empty for any.
    personal
        Whether it says something of a person.
    description
        For a person.
    """

    name: str
    path: tuple[str, ...]
    type: FieldType
    required: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    values: tuple[str | int, ...] = ()
    personal: bool = False
    description: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class EventType:
    """A type of events.

    Attributes
    ----------
    name
        As events have it in `type`.
    cls
        Class of decoded events: a frozen struct with an attribute for each field, None where the event
        doesn't have it; times are milliseconds since the epoch, ids a tuple.
    fields
        By name; what a built-in type has first, then own fields by name.
    built_in
        Whether there is the type without a declaration.
    party
        Fields that say whom an event is about: the first one that it has. `party_of` finds them at the class.
    declared
        Own fields in a text that is the same for what decodes the same; empty without own fields.
    description
        For a person.
    """

    name: str
    cls: type[Any]
    fields: Mapping[str, Field]
    built_in: bool
    party: tuple[str, ...]
    declared: str = ""
    description: str = ""


def party_of(event: Any) -> str | None:
    """Whom an event names: as its type declares, else its customer, else its session; None for nobody."""
    for name in event.party_fields:
        value: str | None = getattr(event, name)
        if value is not None:
            return value
    return None


def tag_of(cls: type[Struct]) -> str:
    """Return the type's name that a class of events is told by."""
    return str(cls.__struct_config__.tag)


def _fields(cls: type[Struct]) -> Iterator[Field]:
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    for each in info.fields:
        if each.name == "version":
            continue
        # The lines of an order are no type of a field; their items are.
        if isinstance(each.type, inspect.VarTupleType):
            yield Field(name="item_ids", path=("items", "item_id"), type="ids", required=True)
            continue
        described = _described(each.type)
        default = None if each.required else each.default
        personal = each.name in _PERSONAL
        yield Field(
            name=each.name,
            path=(each.name,),
            required=each.required,
            default=default,
            personal=personal,
            **described,
        )


def _described(of: inspect.Type) -> dict[str, Any]:
    """Type and limits of a built-in field."""
    if isinstance(of, inspect.Metadata):
        return _described(of.type)
    if isinstance(of, inspect.UnionType):
        kinds = [each for each in of.types if not isinstance(each, inspect.NoneType)]
        return {"type": "time"} if len(kinds) > 1 else _described(kinds[0])
    if isinstance(of, inspect.StrType):
        kind = "id" if (of.min_length, of.max_length) == (1, ID_CHARACTERS_MAX) else "text"
        return {"type": kind, "minimum": of.min_length, "maximum": of.max_length}
    if isinstance(of, inspect.FloatType | inspect.IntType):
        kind = "number" if isinstance(of, inspect.FloatType) else "integer"
        return {"type": kind, "minimum": of.ge, "maximum": of.le}
    if isinstance(of, inspect.LiteralType):
        return {"type": "integer", "values": tuple(of.values)}
    assert isinstance(of, inspect.BoolType), of
    return {"type": "boolean"}


def _built_in(cls: type[Any]) -> EventType:
    name, fields = tag_of(cls), {field.name: field for field in _fields(cls)}
    return EventType(
        name=name,
        cls=cls,
        fields=fields,
        built_in=True,
        party=cls.party_fields,
        description=(cls.__doc__ or "").partition("\n")[0],
    )


BUILT_IN_EVENTS: Final[dict[str, EventType]] = {tag_of(cls): _built_in(cls) for cls in get_args(Event)}
"""The built-in types, by name."""
