"""Declarations of entities over any event type, of crosses, and of tables that are looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field, PlainSerializer, PlainValidator, Strict

from .base import NAME_PATTERN, Name, Settings
from .conditions import When
from .table_entries import Holds, entry_errors
from .tables import Days

__all__ = ["KEY_PARTS_MAX", "EventCross", "EventEntity", "TableSettings"]

Key = str | tuple[str, ...] | dict[str, str | tuple[str, ...]]
KEY_PARTS_MAX: Final = 4
_NAME: Final = re.compile(NAME_PATTERN)
_NAME_CHARACTERS_MAX: Final = 64


def _key(given: Any) -> Key:
    """Read a key: a field, several fields, or either of these by event type."""
    if not isinstance(given, Mapping):
        return _fields(given)
    if not given:
        raise ValueError("names no event type")
    return {_name(of): _fields(key) for of, key in given.items()}


def _fields(given: Any) -> str | tuple[str, ...]:
    if not isinstance(given, list | tuple):
        return _name(given)
    parts = tuple(_name(part) for part in given)
    if not 1 <= len(parts) <= KEY_PARTS_MAX:
        raise ValueError(f"must be 1 to {KEY_PARTS_MAX} fields (are {len(parts)})")
    if len(set(parts)) < len(parts):
        raise ValueError("names a field twice")
    return parts if len(parts) > 1 else parts[0]


def _name(given: Any) -> str:
    if not isinstance(given, str) or len(given) > _NAME_CHARACTERS_MAX or not _NAME.fullmatch(given):
        raise ValueError(
            "must be a field, such as customer_id, a list of fields, or either of these by event type"
            f" (is {given!r})"
        )
    return given


def _plain(key: Key) -> Any:
    """Return a key as a file has it."""
    if isinstance(key, dict):
        return {of: _plain(fields) for of, fields in key.items()}
    return key if isinstance(key, str) else list(key)


class EventEntity(Settings):
    """A kind of entity that state is kept for.

    Attributes
    ----------
    key
        The field that names it; or several that do so together; or either of these by event type.
    idle_days_max
        An entity not seen for longer is forgotten.
    entities_max
        Entities kept; beyond it the idle ones go first.
    """

    key: Annotated[Key, PlainValidator(_key), PlainSerializer(_plain)]
    idle_days_max: Days = 180.0
    entities_max: int = Field(default=1_000_000, ge=1, le=100_000_000)

    def fields_of(self, event_type: str) -> tuple[str, ...]:
        """Fields that name it in events of a type, in their order; none where a type isn't spoken of."""
        key = self.key.get(event_type, ()) if isinstance(self.key, dict) else self.key
        return (key,) if isinstance(key, str) else key

    @property
    def keys_by_type(self) -> Mapping[str, tuple[str, ...]] | None:
        """Fields by event type, where they are declared so."""
        return {of: self.fields_of(of) for of in self.key} if isinstance(self.key, dict) else None


class EventCross(Settings):
    """One slot of the model for each combination of ranges and categories.

    Attributes
    ----------
    of
        Bins, or features that are categories; 1 to 4. A feature of several slots, such as `ngrams`, alone.
    code
        The reason code of what the slot contributes; not set: the cross's name.
    report_if
        Conditions on features that an event must meet for the code to be reported, so that its text is true.
    """

    of: Annotated[tuple[Name, ...], Strict(strict=False), Field(min_length=1, max_length=4)]
    code: Name | None = None
    report_if: When = ()


class TableSettings(Settings):
    """A table from keys to values, kept in a file, for features of the kind `lookup`.

    Attributes
    ----------
    file
        One entry a line, a key, a tab and a value; a relative path starts at the configuration's folder.
    holds
        Of the values: `number`, or `text`, which makes a category of them.
    entries_max
        Entries at most.
    """

    file: str = Field(min_length=1, max_length=4096)
    holds: Holds = "text"
    entries_max: int = Field(default=1_000_000, ge=1, le=10_000_000)

    @property
    def key(self) -> tuple[str, str]:
        """What its two columns are."""
        return "key", "value"

    def content_errors(self, entries: Sequence[str]) -> list[str]:
        """Say what is wrong with entries that are each well-formed; see `entry_errors`."""
        return entry_errors(entries, self.holds)
