"""Declarations of features over any event type: one class for each kind, with its parameters and ranges."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, Field, Strict, model_validator

from .base import Name, Settings
from .conditions import Condition, When
from .durations import UNIT_MS, HalfLife, LongWindow, duration_ms
from .features import TimeUnit
from .zones import ZoneName

__all__ = ["EVENT_KINDS", "EventFeature", "Vocabulary"]

_BUCKETS: Final = 256
Values = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1, max_length=1000)]
Pair = Annotated[tuple[Name, Name], Strict(strict=False)]


class _Declaration(Settings):
    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numbers that it takes in or compares: features, or fields of the event."""
        # Each kind has some of these keys: those whose value is no number say so in a property of their own.
        named = [*(getattr(self, key, None) for key in ("value", "over")), *(c.name for c in self.conditions)]
        return tuple(name for name in named if name)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What an event must meet to be taken in."""
        return getattr(self, "when", ())

    @property
    def window_ms(self) -> int | None:
        """The window in milliseconds; None for the whole life."""
        window = getattr(self, "window", None)
        return None if window is None else duration_ms(window)


class _OfEntity(_Declaration):
    entity: Name
    on: Name
    when: When = ()


class _Windowed(_OfEntity):
    window: LongWindow | None = None


class _Paned(_Windowed):
    panes: int = Field(default=14, ge=2, le=400)


class Vocabulary(_Declaration):
    """What becomes a category: the values that are told apart.

    Attributes
    ----------
    values
        Those told apart, all others being one; not set: those that the field is declared with.
    buckets
        Where no values are known: so many categories, given by a digest of the value.
    """

    values: Values | None = None
    buckets: int = Field(default=_BUCKETS, ge=2, le=1_000_000)


class FieldFeature(_Declaration):
    """A number of the event itself: a field of type number, integer, boolean or time."""

    kind: Literal["field"]
    value: Name


class CalendarFeature(_Declaration):
    """When the event happened, by the clock and the calendar of a time zone."""

    kind: Literal["calendar"]
    value: Literal["hour_of_day", "day_of_week", "day_of_month", "month_of_year"]
    zone: ZoneName = "UTC"

    @property
    def numbers(self) -> tuple[str, ...]:
        """It takes in no number."""
        return ()


class RatioFeature(_Declaration):
    """One number over another."""

    kind: Literal["ratio"]
    value: Name
    over: Name


class CategoryFeature(Vocabulary):
    """Which of several values a field has; in a cross there is a slot for each."""

    kind: Literal["category"]
    value: Name

    @property
    def numbers(self) -> tuple[str, ...]:
        """It takes in no number."""
        return ()


class NgramsFeature(_Declaration):
    """Which words, or runs of characters, a text has; in a cross there are several slots at once."""

    kind: Literal["ngrams"]
    value: Name
    of: Literal["words", "characters"] = "words"
    n: int = Field(default=1, ge=1, le=8)
    buckets: int = Field(default=4096, ge=2, le=1_000_000)
    slots_max: int = Field(default=16, ge=1, le=64)

    @property
    def numbers(self) -> tuple[str, ...]:
        """It takes in no number."""
        return ()


class LookupFeature(Vocabulary):
    """What a table says of a field's value: a number, or a category."""

    kind: Literal["lookup"]
    table: Name
    value: Name

    @property
    def numbers(self) -> tuple[str, ...]:
        """It takes in no number."""
        return ()


class DistanceFeature(_Declaration):
    """Kilometres from one place to another, or from the entity's last place, on the sphere.

    Attributes
    ----------
    at
        Latitude and longitude, in degrees: two fields of type number.
    to
        Those of the other place; not given: the entity's last one.
    entity, on
        Whose last place, and the events that tell it.
    """

    kind: Literal["distance"]
    at: Pair
    to: Pair | None = None
    entity: Name | None = None
    on: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> DistanceFeature:
        if self.to is not None and (self.entity is not None or self.on is not None):
            raise ValueError("has either `to`, or `entity` and `on`")
        if self.to is None and (self.entity is None or self.on is None):
            raise ValueError("needs `to`, or else `entity` and `on`")
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        """Its places are fields, never features."""
        return ()


class CountFeature(_Paned):
    """How many events the entity had."""

    kind: Literal["count"]


class SumFeature(_Paned):
    """The sum of a number over the entity's events."""

    kind: Literal["sum"]
    value: Name


class MeanFeature(_Paned):
    """The mean of a number over the entity's events."""

    kind: Literal["mean"]
    value: Name


class MaxFeature(_Paned):
    """The largest value of a number over the entity's events."""

    kind: Literal["max"]
    value: Name


class RateFeature(_Paned):
    """The mean of a number between 0 and 1, such as a boolean field, with a prior: a Beta distribution's."""

    kind: Literal["rate"]
    value: Name
    prior: float = Field(default=0.5, ge=0.0, le=1.0)
    prior_weight: float = Field(default=1.0, gt=0.0, le=1e6)


class DistinctFeature(_Windowed):
    """How many different values of a field the entity's events had, up to a limit."""

    kind: Literal["distinct"]
    value: Name
    keys_max: int = Field(default=32, ge=1, le=256)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Only the conditions are of numbers; the value is a field of the event."""
        return tuple(condition.name for condition in self.when)


class _Weighted(_OfEntity):
    value: Name
    half_life: HalfLife

    @property
    def half_life_ms(self) -> int:
        """Milliseconds in which a value's weight halves."""
        return duration_ms(self.half_life)


class EwMeanFeature(_Weighted):
    """The exponentially weighted mean of a number over the entity's events."""

    kind: Literal["ew_mean"]


class EwDeviationFeature(_Weighted):
    """The exponentially weighted standard deviation of a number over the entity's events."""

    kind: Literal["ew_deviation"]


class _InUnit(_Windowed):
    unit: TimeUnit = "days"

    @property
    def unit_ms(self) -> int:
        """Milliseconds of the unit."""
        return UNIT_MS[self.unit[0]]


class TimeSinceLastFeature(_InUnit):
    """Time since the entity's last event that meets the conditions, in `unit`."""

    kind: Literal["time_since_last"]


class TimeSinceFirstFeature(_InUnit):
    """Time since the entity's first event that meets the conditions, in `unit`."""

    kind: Literal["time_since_first"]


class RunningMeanFeature(_OfEntity):
    """The running mean of a number over the entity's events, robust and soon never missing.

    Attributes
    ----------
    clip
        A value counts for at most this many times the mean so far; not set: as it is.
    weight_min
        A new value's weight, 1/n, doesn't fall below this.
    prior
        What an entity starts from: the mean over all entities.
    """

    kind: Literal["running_mean"]
    value: Name
    clip: float | None = Field(default=None, gt=1.0, le=1000.0)
    weight_min: float = Field(default=0.01, ge=0.0, le=1.0)
    prior: Literal["global"] = "global"


class QuantileFeature(_OfEntity):
    """A quantile of a number over all of the entity's events, estimated with five markers."""

    kind: Literal["quantile"]
    value: Name
    q: float = Field(default=0.5, gt=0.0, lt=1.0)


class LastFeature(_Windowed):
    """The value of a number, or of a category, in the entity's last event that had one."""

    kind: Literal["last"]
    value: Name


class LagFeature(_Windowed):
    """The value of a number in one of the entity's last events; 1 is the last one, 2 the one before it."""

    kind: Literal["lag"]
    value: Name
    n: int = Field(default=1, ge=1, le=64)


class TrendFeature(_InUnit):
    """How much a number rises for each `unit` of time: the slope through the entity's last values."""

    kind: Literal["trend"]
    value: Name
    values: int = Field(default=8, ge=2, le=64)


class _OfTarget(_Declaration):
    decision: Name
    entity: Name
    when: When = ()


class PositiveShareFeature(_OfTarget):
    """The share of positives among what the target of a decision told of the entity.

    Attributes
    ----------
    prior, prior_weight
        A share that counts like so many outcomes, so that it is never missing; not set: none.
    """

    kind: Literal["positive_share"]
    window: LongWindow
    panes: int = Field(default=14, ge=2, le=400)
    prior: float | None = Field(default=None, ge=0.0, le=1.0)
    prior_weight: float = Field(default=1.0, gt=0.0, le=1e6)


class PositiveStreakFeature(_OfTarget):
    """How many positives a decision's target told of the entity since the last negative."""

    kind: Literal["positive_streak"]


class FirstPositiveAgeFeature(_OfTarget):
    """Days since the first positive after the last negative that a decision's target told of the entity."""

    kind: Literal["first_positive_age"]
    window: LongWindow | None = None


class LastNegativeAgeFeature(_Declaration):
    """Days since the entity's last event of which a decision's target told a negative."""

    kind: Literal["last_negative_age"]
    decision: Name
    entity: Name
    window: LongWindow | None = None


EventFeature = (
    FieldFeature
    | CalendarFeature
    | RatioFeature
    | CategoryFeature
    | NgramsFeature
    | LookupFeature
    | DistanceFeature
    | CountFeature
    | SumFeature
    | MeanFeature
    | MaxFeature
    | RateFeature
    | DistinctFeature
    | EwMeanFeature
    | EwDeviationFeature
    | TimeSinceLastFeature
    | TimeSinceFirstFeature
    | RunningMeanFeature
    | QuantileFeature
    | LastFeature
    | LagFeature
    | TrendFeature
    | PositiveShareFeature
    | PositiveStreakFeature
    | FirstPositiveAgeFeature
    | LastNegativeAgeFeature
)
EVENT_KINDS: Final[dict[str, type[BaseModel]]] = {
    # By the word that each class is declared with, so that a kind is listed in one place.
    get_args(declaration.model_fields["kind"].annotation)[0]: declaration
    for declaration in get_args(EventFeature)
}
