"""Takes what belongs to a person out of features over any event type."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from .entities import Key

if TYPE_CHECKING:
    from .event_features import EventFeatures

__all__ = ["forget_values", "rows_of_values"]

Values = Mapping[str, Collection[str]]
"""Values by the field that has them."""


def rows_of_values(features: EventFeatures, entity: str, values: Values) -> Iterator[tuple[int, int]]:
    """Yield row and creating input of the entities that values name, alone or together with others."""
    table = features.tables[entity]
    for key in _keys_of(features, entity, values):
        row = table.index[key]
        yield row, int(table.created.values[row])


def forget_values(features: EventFeatures, values: Values) -> int:
    """Forget the entities that values name, and the values among those that are counted as different.

    What their events did to others stays: a merchant's counts, overall means.

    Returns
    -------
    int
        How many entities were forgotten.
    """
    gone = 0
    for name, table in features.tables.items():
        for key in _keys_of(features, name, values):
            table.forget(key)
            gone += 1
        for owner, mappings in features.lines.distinct[name].items():
            counted = values.get(features.features[owner].value, ())
            for seen in filter(None, mappings) if counted else ():
                for value in counted:
                    seen.pop(value, None)
    return gone


def _keys_of(features: EventFeatures, entity: str, values: Values) -> list[Key]:
    """Keys of an entity's table that have one of the values, in the order of the table."""
    parts: dict[int, set[str]] = {}
    for of in features.types:
        for place, field in enumerate(features.entities[entity].fields_of(of)):
            parts.setdefault(place, set()).update(values.get(field, ()))
    index = features.tables[entity].index
    if set(parts) == {0}:
        # One field names it: what the values name is looked up, and the table isn't gone through.
        # A whole number stands in the table as such: "7" names it, "07" doesn't.
        numbers = (int(value) for value in parts[0] if value.lstrip("-").isdecimal())
        named = [*parts[0], *(number for number in numbers if str(number) in parts[0])]
        found = [key for key in named if key in index]
    else:
        found = [
            key
            for key in index
            if isinstance(key, tuple) and any(str(key[place]) in of for place, of in parts.items())
        ]
    # Rows are freed in this order and given out again: it must not hang on the order of a set.
    return sorted(found, key=index.__getitem__)
