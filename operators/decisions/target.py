"""Joins an event that tells how a decision turned out to the decisions that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from ...config.decision_target import ELAPSED, TargetSettings

__all__ = ["Telling", "join_key", "parts_of", "value_of"]

_BETWEEN: Final = "\x1f"  # stands in no identifier that can be typed, so that ("a", "bc") is not ("ab", "c")


class Telling(NamedTuple):
    """What an event tells the decisions that wait under a key.

    Attributes
    ----------
    key
        What they are joined on.
    value
        What it tells; NaN where it is missing, or is the time since the asking event.
    time_ms
        Its event time.
    """

    key: str
    value: float
    time_ms: int


def join_key(fields: Sequence[str]) -> Callable[[Any], str | None]:
    """Return what gives an event's key: None where a field of it isn't there.

    Parameters
    ----------
    fields
        Names of the event's fields, in the order of the join.
    """
    if len(fields) == 1:
        get = attrgetter(fields[0])

        def key_of(event: Any) -> str | None:
            value = get(event)
            return value if value is None or value.__class__ is str else str(value)

        return key_of
    get_all = attrgetter(*fields)

    def keys_of(event: Any) -> str | None:
        values = get_all(event)
        return None if None in values else _BETWEEN.join(map(str, values))

    return keys_of


def parts_of(key: str) -> list[str]:
    """Return the values that a key was made of."""
    return key.split(_BETWEEN)


def value_of(target: TargetSettings) -> Callable[[Any], float]:
    """Return what gives the value that an event tells; NaN where a field of it isn't there.

    So it is for the time since the asking event, which only who knows that event can tell.
    """
    value = target.value
    if not isinstance(value, str):
        return lambda _event: float(value)
    if value == ELAPSED:
        return lambda _event: _MISSING
    get = attrgetter(value)

    def told(event: Any) -> float:
        found = get(event)
        return _MISSING if found is None else float(found)

    return told


_MISSING: Final = float("nan")
