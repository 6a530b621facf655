"""What is wrong between the declarations of events, and inside of one that is well-formed."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from headrace.errors import Invalid

from .base import did_you_mean
from .event_fields import BUILT_IN_FIELDS
from .events import LIMITS, EventSettings, FieldSettings
from .patterns import WAYS_MAX, ways
from .words import shown

__all__ = ["EVERY_EVENT", "event_errors"]

EVERY_EVENT: Final = ("type", "event_id", "event_time", "version")
"""Fields that each event has."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TIME_MS: Final = (-62_135_596_800_000, 253_402_300_800_000)  # of the years 1 to 9999
_RESERVED_TYPES: Final = ("control",)
_WITH_VALUES: Final[dict[str, type]] = {"id": str, "text": str, "integer": int}
_DEFAULTS: Final[dict[str, tuple[type, ...]]] = {
    "id": (str,),
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "time": (int, str),
}


def event_errors(
    events: Mapping[str, EventSettings], unsure: Callable[[str], bool] = lambda _name: False
) -> Iterator[Invalid]:
    """Yield what is wrong with declared events; `file` is left empty.

    Parameters
    ----------
    events
        By type.
    unsure
        Tells types of which some fields can't be read.
    """
    for name, event in events.items():
        if name in _RESERVED_TYPES:
            yield Invalid("", f"events.{name}", f"{name} is what commands are, no event")
        if not unsure(name):
            yield from _party_errors(name, event)
        yield from _place_errors(name, event)
        for field, declared in event.fields.items():
            for key, message in _field_errors(declared):
                yield Invalid("", f"events.{name}.fields.{field}{key}", message)


def _party_errors(name: str, event: EventSettings) -> Iterator[Invalid]:
    if event.party is None:
        return
    key = f"events.{name}.party"
    if name in BUILT_IN_FIELDS:
        yield Invalid("", key, f"not supported for {name}, which is built in")
        return
    ids = [field for field, declared in event.fields.items() if declared.type == "id"]
    if event.party not in ids:
        yield Invalid("", key, f"there is no field {event.party} of type id{did_you_mean(event.party, ids)}")


# A name is the event's attribute, and a path what the parser looks for: neither may be another field's, and a
# value can't be an object that holds further fields at the same time.
def _place_errors(name: str, event: EventSettings) -> Iterator[Invalid]:
    """Yield names that are taken, and places in an event that two fields would have."""
    built_in = (*EVERY_EVENT, *BUILT_IN_FIELDS.get(name, ()))
    places: dict[tuple[str, ...], str] = {}
    for field, declared in event.fields.items():
        at, keys = f"events.{name}.fields.{field}", declared.keys(field)
        if field in built_in:
            yield Invalid("", at, f"{name} has {field} already")
            continue
        if keyword.iskeyword(field):
            message = f'is a word of Python; give it another name, with path = "{declared.path or field}"'
            yield Invalid("", at, message)
        if keys[0] in built_in:
            yield Invalid("", f"{at}.path", f"{name} has {keys[0]} already")
        for other, of in places.items():
            if other[: len(keys)] == keys or keys[: len(other)] == other:
                yield Invalid("", f"{at}.path", f"stands where {of} does ({'.'.join(other)})")
                break
        places.setdefault(keys, field)


def _field_errors(field: FieldSettings) -> Iterator[tuple[str, str]]:
    # A default is only held against limits, values and patterns that make sense themselves.
    found = [*_limit_errors(field), *_values_errors(field), *_pattern_errors(field)]
    yield from found
    if not found:
        yield from _default_errors(field)


def _limit_errors(field: FieldSettings) -> Iterator[tuple[str, str]]:
    given = {
        key: limit
        for key, limit in (("minimum", field.minimum), ("maximum", field.maximum))
        if limit is not None
    }
    if given and (field.limits is None or field.values is not None):
        why = f"a {field.type} has none" if field.limits is None else "values says it all"
        yield from ((f".{key}", f"not supported: {why}") for key in given)
        return
    least, most = LIMITS.get(field.type, (0, 0))
    for key, limit in given.items():
        if not least <= limit <= most:
            yield f".{key}", f"must be between {least:.16g} and {most:.16g} (is {limit})"
        elif field.type != "number" and not isinstance(limit, int):
            yield f".{key}", f"must be an integer (is {limit})"
    low, high = field.limits or (0, 0)
    if given and low > high:
        yield ".minimum", f"must be at most maximum ({high}; is {low})"


def _values_errors(field: FieldSettings) -> Iterator[tuple[str, str]]:
    if field.values is None:
        return
    of = _WITH_VALUES.get(field.type)
    if of is None:
        yield ".values", f"not supported for a {field.type}; of {', '.join(_WITH_VALUES)} it is"
        return
    if field.pattern is not None:
        yield ".pattern", "not supported: values says it all"
    for value in field.values:
        # Not `isinstance`, to which True is an integer.
        if type(value) is not of:
            yield ".values", f"must be {'texts' if of is str else 'integers'} ({shown(value)} is not)"
        elif isinstance(value, int) and not LIMITS["integer"][0] <= value <= LIMITS["integer"][1]:
            yield ".values", f"must be integers of at most 53 bits ({value} is not)"
    twice = sorted({str(value) for value in field.values if field.values.count(value) > 1})
    if twice:
        yield ".values", f"has more than once: {', '.join(twice)}"


def _pattern_errors(field: FieldSettings) -> Iterator[tuple[str, str]]:
    if field.pattern is None:
        return
    if field.type not in {"id", "text"} or field.limits is None:
        yield ".pattern", f"not supported for a {field.type}; of id, text it is"
        return
    characters = int(field.limits[1])
    if ways(field.pattern, characters) > WAYS_MAX:
        message = (
            f"could take too long on a text of {characters} characters, which no sender may cause; set a"
            " smaller maximum, repeat less, or have no choices and no repeats inside of a repeat"
        )
        yield ".pattern", message


def _default_errors(field: FieldSettings) -> Iterator[tuple[str, str]]:
    default = field.default
    if default is None:
        return
    if field.required:
        yield ".default", "has no effect: an event without a required field is a dead letter"
        return
    types = _DEFAULTS.get(field.type)
    if types is None:
        yield ".default", f"not supported for {field.type}"
    # True and False are integers to Python, but a default only of a field that is a boolean.
    elif isinstance(default, bool) != (types == (bool,)) or not isinstance(default, types):
        yield ".default", f"must be as the field's type says, {field.type} (is {shown(default)})"
    elif not _fits(field, default):
        yield ".default", f"must be a value that the field may have (is {shown(default)})"


def _fits(field: FieldSettings, default: float | str) -> bool:
    if field.type == "time":
        return _is_time(default)
    if field.values is not None:
        return default in field.values
    if field.pattern is not None and not re.compile(field.pattern, re.ASCII).fullmatch(str(default)):
        return False
    size = len(default) if isinstance(default, str) else default
    return field.limits is None or field.limits[0] <= size <= field.limits[1]


def _is_time(default: float | str) -> bool:
    """Whether a default is a time: RFC 3339 with an offset, or milliseconds since the epoch."""
    try:
        ms = (
            datetime.fromisoformat(default.upper()).timestamp() * 1000
            if isinstance(default, str)
            else default
        )
    except (ValueError, OverflowError):
        return False
    return _TIME_MS[0] <= ms < _TIME_MS[1] and (
        not isinstance(default, str) or bool(_TIME.fullmatch(default))
    )
