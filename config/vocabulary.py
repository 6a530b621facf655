"""The names that a condition on an event may use, and what each of them is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = [
    "CALENDAR_FIELDS",
    "NUMBER_FIELDS",
    "OPTIONAL_FIELDS",
    "PAYMENT",
    "TEXT_FIELDS",
    "FieldLike",
    "Vocabulary",
    "vocabulary_of",
]

CALENDAR_FIELDS: Final = ("hour_of_day", "day_of_week")
"""Numbers that every event has, as its time gives them."""
NUMBER_FIELDS: Final = ("amount", *CALENDAR_FIELDS)
TEXT_FIELDS: Final = (
    "customer_id",
    "merchant_id",
    "session_id",
    "order_id",
    "device_id",
    "ip",
    "currency",
)
OPTIONAL_FIELDS: Final = ("session_id", "order_id", "device_id", "ip")
_TEXTS: Final = ("id", "text")
_NUMBERS: Final = ("number", "integer", "time")


class FieldLike(Protocol):
    """A field of an event type, as far as conditions look at it."""

    @property
    def type(self) -> str:
        """One of `id`, `text`, `number`, `integer`, `boolean`, `time` and `ids`."""

    @property
    def required(self) -> bool:
        """Whether every event of the type has it."""

    @property
    def default(self) -> object:
        """What an event without it has; None for nothing."""


@dataclass(frozen=True)
class Vocabulary:
    """Names beside those of features, which are numbers and hide a field of the same name.

    Attributes
    ----------
    numbers, texts, conditions, id_lists
        Fields of the event, by what they are; `conditions` are true or false.
    optional
        Those of them that an event may lack.
    estimates
        Names of numbers that the model gives. Where a field or a feature has the same name, neither is meant.
    quantiles
        Levels that `quantile(…)` may ask for.
    calendar
        Numbers that are taken from the event's time, and are no fields of their own.
    """

    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    id_lists: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    estimates: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    calendar: frozenset[str] = frozenset(CALENDAR_FIELDS)

    @property
    def fields(self) -> tuple[str, ...]:
        """All names of fields."""
        return (*self.numbers, *self.texts, *self.conditions, *self.id_lists)

    def is_ambiguous(self, name: str, features: Collection[str]) -> bool:
        """Whether a name is one of the model's numbers, and of a field or feature too."""
        return name in self.estimates and (name in features or name in self.fields)


PAYMENT: Final = Vocabulary(NUMBER_FIELDS, TEXT_FIELDS, optional=frozenset(OPTIONAL_FIELDS))
"""Of the flow `fraud`."""


def vocabulary_of(
    fields: Mapping[str, FieldLike],
    estimates: Collection[str] = (),
    quantiles: Collection[float] = (),
) -> Vocabulary:
    """Return the names of an event type's fields.

    Parameters
    ----------
    fields
        By name. Times are numbers: milliseconds since the epoch.
    estimates, quantiles
        As `Vocabulary` has them.
    """

    def named(*types: str) -> tuple[str, ...]:
        return tuple(name for name, field in fields.items() if field.type in types)

    # A field that was declared is what its sender says, also where it is called like a part of the time.
    calendar = [name for name in CALENDAR_FIELDS if name not in fields]
    return Vocabulary(
        numbers=(*named(*_NUMBERS), *calendar),
        texts=named(*_TEXTS),
        conditions=named("boolean"),
        id_lists=named("ids"),
        optional=frozenset(
            name for name, field in fields.items() if not field.required and field.default is None
        ),
        estimates=tuple(estimates),
        quantiles=tuple(quantiles),
        calendar=frozenset(calendar),
    )
