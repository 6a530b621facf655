"""Declarations of features: one class for each kind, with its parameters and their ranges."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import BaseModel, Field

from .base import Name
from .base import Settings as _Settings
from .conditions import Condition, When
from .durations import UNIT_MS, HalfLife, Window, duration_ms

__all__ = [
    "KINDS",
    "CountDeclaration",
    "DistinctDeclaration",
    "EntityKey",
    "EwDeviationDeclaration",
    "EwMeanDeclaration",
    "FeatureDeclaration",
    "FedBy",
    "FieldDeclaration",
    "FirstFraudAgeDeclaration",
    "FraudShareDeclaration",
    "FraudStreakDeclaration",
    "LastLegitimateAgeDeclaration",
    "MaxDeclaration",
    "MeanDeclaration",
    "PaymentNumber",
    "RatioDeclaration",
    "RunningMeanDeclaration",
    "SumDeclaration",
    "TimeSinceFirstDeclaration",
    "TimeSinceLastDeclaration",
    "TimeUnit",
]

EntityKey = Literal["customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip"]
PaymentNumber = Literal["amount", "hour_of_day", "day_of_week"]
TimeUnit = Literal["days", "hours", "minutes", "seconds"]
FedBy = Literal["payment", "click"]


class _Declaration(_Settings):
    @property
    def refers_to(self) -> tuple[str, ...]:
        """Names of the features that this one is computed from."""
        named = [getattr(self, key, None) for key in ("value", "over")]
        return (*(name for name in named if name), *(condition.name for condition in self._conditions()))

    def _conditions(self) -> tuple[Condition, ...]:
        return getattr(self, "when", ())


class _Windowed(_Declaration):
    window: Window | None = None

    @property
    def window_ms(self) -> int | None:
        """The window in milliseconds; None for the whole life."""
        return None if self.window is None else duration_ms(self.window)


class _Fed(_Windowed):
    """What payments feed, or clicks; of a click `price` and `item_id` can be taken in."""

    on: FedBy = "payment"

    @property
    def refers_to(self) -> tuple[str, ...]:
        """Names of the features that this one is computed from; what clicks feed knows of none."""
        return () if self.on == "click" else super().refers_to


class _Paned(_Fed):
    panes: int = Field(default=14, ge=2, le=64)
    when: When = ()


class FieldDeclaration(_Declaration):
    """A number of the payment itself."""

    kind: Literal["field"]
    value: PaymentNumber

    @property
    def refers_to(self) -> tuple[str, ...]:
        """A field refers to no feature."""
        return ()


class RatioDeclaration(_Declaration):
    """One feature over another."""

    kind: Literal["ratio"]
    value: Name
    over: Name


class CountDeclaration(_Paned):
    """How many payments, or clicks, the entity had."""

    kind: Literal["count"]
    entity: Name


class SumDeclaration(_Paned):
    """The sum of a feature over the entity's payments, or of the prices that it clicked on."""

    kind: Literal["sum"]
    entity: Name
    value: Name


class MeanDeclaration(_Paned):
    """The mean of a feature over the entity's payments, or of the prices that it clicked on."""

    kind: Literal["mean"]
    entity: Name
    value: Name


class MaxDeclaration(_Paned):
    """The largest value of a feature over the entity's payments, or of prices that it clicked on."""

    kind: Literal["max"]
    entity: Name
    value: Name


class DistinctDeclaration(_Paned):
    """How many different values of an identifying field its payments or clicks had, up to a limit."""

    kind: Literal["distinct"]
    entity: Name
    value: EntityKey | Literal["item_id"]
    keys_max: int = Field(default=32, ge=1, le=256)

    @property
    def refers_to(self) -> tuple[str, ...]:
        """Only the conditions refer to features; the value is a field of the event."""
        return tuple(condition.name for condition in self.when) if self.on == "payment" else ()


class _Weighted(_Declaration):
    entity: Name
    value: Name
    half_life: HalfLife

    @property
    def half_life_ms(self) -> int:
        """Milliseconds in which a value's weight halves."""
        return duration_ms(self.half_life)


class EwMeanDeclaration(_Weighted):
    """The exponentially weighted mean of a feature over the entity's payments."""

    kind: Literal["ew_mean"]


class EwDeviationDeclaration(_Weighted):
    """The exponentially weighted standard deviation of a feature over the entity's payments."""

    kind: Literal["ew_deviation"]


class _TimeSince(_Fed):
    unit: TimeUnit = "days"

    @property
    def unit_ms(self) -> int:
        """Milliseconds of the unit."""
        return UNIT_MS[self.unit[0]]


class TimeSinceLastDeclaration(_TimeSince):
    """Time since the entity's last payment that meets the conditions, or its last click, in `unit`."""

    kind: Literal["time_since_last"]
    entity: Name
    when: When = ()


class TimeSinceFirstDeclaration(_TimeSince):
    """Time since the entity's first payment that meets the conditions, or its first click, in `unit`."""

    kind: Literal["time_since_first"]
    entity: Name
    when: When = ()


class RunningMeanDeclaration(_Declaration):
    """The running mean of a feature over the entity's payments, robust and soon never missing.

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
    entity: Name
    value: Name
    clip: float | None = Field(default=None, gt=1.0, le=1000.0)
    weight_min: float = Field(default=0.01, ge=0.0, le=1.0)
    prior: Literal["global"] = "global"


class FraudShareDeclaration(_Windowed):
    """The share of confirmed frauds among the entity's outcomes."""

    window: Window
    panes: int = Field(default=14, ge=2, le=64)
    when: When = ()

    kind: Literal["fraud_share"]
    entity: Name


class FraudStreakDeclaration(_Declaration):
    """How many confirmed frauds came since the entity's last legitimate outcome."""

    kind: Literal["fraud_streak"]
    entity: Name
    when: When = ()


class FirstFraudAgeDeclaration(_Windowed):
    """Days since the first confirmed fraud after the entity's last legitimate one."""

    kind: Literal["first_fraud_age"]
    entity: Name
    when: When = ()


class LastLegitimateAgeDeclaration(_Windowed):
    """Days since the entity's last payment that was confirmed legitimate."""

    kind: Literal["last_legitimate_age"]
    entity: Name


FeatureDeclaration = (
    FieldDeclaration
    | RatioDeclaration
    | CountDeclaration
    | SumDeclaration
    | MeanDeclaration
    | MaxDeclaration
    | DistinctDeclaration
    | EwMeanDeclaration
    | EwDeviationDeclaration
    | TimeSinceLastDeclaration
    | TimeSinceFirstDeclaration
    | RunningMeanDeclaration
    | FraudShareDeclaration
    | FraudStreakDeclaration
    | FirstFraudAgeDeclaration
    | LastLegitimateAgeDeclaration
)
KINDS: Final[dict[str, type[BaseModel]]] = {
    get_args(declaration.model_fields["kind"].annotation)[0]: declaration
    for declaration in get_args(FeatureDeclaration)
}
