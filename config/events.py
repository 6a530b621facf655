"""Declarations of event types and of their fields: what comes in beside, or inside of, the built-in types."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, Strict, StringConstraints

from .base import NAME_PATTERN, Name, did_you_mean
from .base import Settings as _Settings

__all__ = [
    "EVENT_TYPES_MAX",
    "FIELDS_MAX",
    "FIELD_TYPES",
    "IDS_MAX",
    "ID_CHARACTERS_MAX",
    "INTEGER_MAX",
    "NAME_PATTERN",
    "NUMBER_MAX",
    "TEXT_CHARACTERS_MAX",
    "EventSettings",
    "FieldSettings",
    "FieldType",
    "Limits",
]

_UNFIT: Final = frozenset('\\"`')  # of keys
EVENT_TYPES_MAX: Final = 64
FIELDS_MAX: Final = 128
PATH_KEYS_MAX: Final = 8
PATH_CHARACTERS_MAX: Final = 256
VALUES_MAX: Final = 1000
PATTERN_CHARACTERS_MAX: Final = 256
DESCRIPTION_CHARACTERS_MAX: Final = 1000

ID_CHARACTERS_MAX: Final = 128
TEXT_CHARACTERS_MAX: Final = 4096
IDS_MAX: Final = 1000
INTEGER_MAX: Final = 2**53 - 1
NUMBER_MAX: Final = 1e16
_LARGEST: Final = 1e18  # that a table holds; what it may be is said by the field's type

FieldType = Literal["id", "text", "number", "integer", "boolean", "time", "ids"]
FIELD_TYPES: Final[dict[str, str]] = {
    "id": "a text of 1 to 128 characters that names something: a customer, an order",
    "text": "a text; `minimum` and `maximum` are its characters, at most 4,096",
    "number": "a finite number between -1e16 and 1e16",
    "integer": "a whole number between -9,007,199,254,740,991 and 9,007,199,254,740,991",
    "boolean": "true or false",
    "time": "RFC 3339 with an offset, or milliseconds since the epoch; of the years 1 to 9999",
    "ids": "a list of ids; `minimum` and `maximum` are their number, at most 1,000",
}
"""What the types of fields take, for references."""

Limits = tuple[float, float]
LIMITS: Final[dict[str, Limits]] = {
    "id": (1, ID_CHARACTERS_MAX),
    "text": (0, TEXT_CHARACTERS_MAX),
    "number": (-NUMBER_MAX, NUMBER_MAX),
    "integer": (-INTEGER_MAX, INTEGER_MAX),
    "ids": (0, IDS_MAX),
}
"""What `minimum` and `maximum` may be, by type; other types have neither."""


def _known_type(given: str) -> str:
    if given not in FIELD_TYPES:
        raise ValueError(f"there is no type {given}{did_you_mean(given, list(FIELD_TYPES))}")
    return given


def _path(given: str) -> str:
    keys = given.split(".")
    if not all(keys) or not given.isprintable() or _UNFIT & set(given):
        raise ValueError(f"must be keys with a dot between two, such as device.os (is {given!r})")
    if len(keys) > PATH_KEYS_MAX:
        raise ValueError(f"must have at most {PATH_KEYS_MAX} keys (has {len(keys)})")
    return given


def _pattern(given: str) -> str:
    try:
        re.compile(given, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error} (is {given!r})") from error
    return given


# Plain functions in place of unions of types, of whose members pydantic would complain one by one.
def _number(given: Any) -> int | float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) <= _LARGEST:
        raise ValueError(f"must be a finite number of at most {_LARGEST:g} (is {str(given)[:40]})")
    return given


def _plain(given: Any) -> bool | int | float | str:
    if not isinstance(given, bool | int | float | str):
        raise ValueError("must be true or false, a number or a text")  # noqa: TRY004  # pydantic takes these
    if not isinstance(given, bool | str):
        return _number(given)
    if isinstance(given, str) and len(given) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"must have at most {TEXT_CHARACTERS_MAX} characters (has {len(given)})")
    return given


def _value(given: Any) -> str | int:
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise ValueError(f"must be a text or an integer (is {given!r})")
    if isinstance(given, str) and len(given) > ID_CHARACTERS_MAX:
        raise ValueError(f"must have at most {ID_CHARACTERS_MAX} characters (has {len(given)})")
    return given


_Number = Annotated[int | float, PlainValidator(_number)]
_Plain = Annotated[bool | int | float | str, PlainValidator(_plain)]
_Value = Annotated[str | int, PlainValidator(_value)]
Description = Annotated[str, StringConstraints(max_length=DESCRIPTION_CHARACTERS_MAX)]


class FieldSettings(_Settings):
    r"""A field of an event type.

    Attributes
    ----------
    type
        `id`, `text`, `number`, `integer`, `boolean`, `time` or `ids`.
    path
        Where it stands in the event: keys with a dot between two, such as `device.os`; not set: its name.
    required
        Whether an event without it is a dead letter.
    default
        What it is where an event doesn't have it; not set: missing.
    minimum, maximum
        Of a number; of a text or an id, of its characters; of ids, of how many there are.
    pattern
        Of a text or an id: a regular expression that the whole of it must match. Classes such as `\d` are of
        ASCII.
    values
        Of a text, an id or an integer: the values that it may have.
    personal
        Whether it says something of a person, so that it goes with them when they are erased.
    description
        What it is, for the schemas.
    """

    type: Annotated[str, AfterValidator(_known_type)]
    path: Annotated[str, StringConstraints(max_length=PATH_CHARACTERS_MAX), AfterValidator(_path)] | None = (
        None
    )
    required: bool = False
    default: _Plain | None = None
    minimum: _Number | None = None
    maximum: _Number | None = None
    pattern: (
        Annotated[str, StringConstraints(max_length=PATTERN_CHARACTERS_MAX), AfterValidator(_pattern)] | None
    ) = None
    values: (
        Annotated[tuple[_Value, ...], Strict(strict=False), Field(min_length=1, max_length=VALUES_MAX)] | None
    ) = None
    personal: bool = False
    description: Description = ""

    def keys(self, name: str) -> tuple[str, ...]:
        """Where it stands in an event: one key in another."""
        return tuple((self.path or name).split("."))

    @property
    def limits(self) -> Limits | None:
        """The least and the most that hold; None for a type that has no limits."""
        least, most = LIMITS.get(self.type, (None, None))
        if least is None or most is None:
            return None
        return (
            least if self.minimum is None else self.minimum,
            most if self.maximum is None else self.maximum,
        )


class EventSettings(_Settings):
    """An event type: own fields of a built-in one, or one of its own.

    Attributes
    ----------
    fields
        Its fields, beside those that a built-in type has; each type has `event_id` and `event_time`.
    party
        Of an own type: the field that says whom an event is about; not set: `customer_id`, else `session_id`,
        where it has them.
    description
        What it is, for the schemas.
    """

    # Bounded, since each field costs time with each event, and each name an attribute of its class.
    fields: dict[Name, FieldSettings] = Field(default_factory=dict, max_length=FIELDS_MAX)
    party: Name | None = None
    description: Description = ""
