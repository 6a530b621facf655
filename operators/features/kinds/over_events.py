"""The kinds of feature over any event type: those of payments, and more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..event_lines import EventLines
from .calendar import write as write_calendar
from .category import write as write_category
from .count import write as write_count
from .distance import write as write_distance
from .distinct import write as write_distinct
from .ew_deviation import write as write_ew_deviation
from .ew_mean import write as write_ew_mean
from .first_fraud_age import write as write_first_fraud_age
from .fraud_share import write as write_fraud_share
from .fraud_streak import write as write_fraud_streak
from .lag import write as write_lag
from .last import write as write_last
from .last_legitimate_age import write as write_last_legitimate_age
from .lookup import write as write_lookup
from .max import write as write_max
from .mean import write as write_mean
from .ngrams import write as write_ngrams
from .number import write as write_number
from .quantile import write as write_quantile
from .rate import write as write_rate
from .ratio import write as write_ratio
from .running_mean import write as write_running_mean
from .sum import write as write_sum
from .time_since_first import write as write_time_since_first
from .time_since_last import write as write_time_since_last
from .trend import write as write_trend

__all__ = ["EVENT_KINDS"]

EVENT_KINDS: Final[Mapping[str, Callable[[EventLines, str, Any], None]]] = {
    "field": write_number,
    "calendar": write_calendar,
    "ratio": write_ratio,
    "category": write_category,
    "ngrams": write_ngrams,
    "lookup": write_lookup,
    "distance": write_distance,
    "count": write_count,
    "sum": write_sum,
    "mean": write_mean,
    "max": write_max,
    "rate": write_rate,
    "distinct": write_distinct,
    "ew_mean": write_ew_mean,
    "ew_deviation": write_ew_deviation,
    "time_since_last": write_time_since_last,
    "time_since_first": write_time_since_first,
    "running_mean": write_running_mean,
    "quantile": write_quantile,
    "last": write_last,
    "lag": write_lag,
    "trend": write_trend,
    "positive_share": write_fraud_share,
    "positive_streak": write_fraud_streak,
    "first_positive_age": write_first_fraud_age,
    "last_negative_age": write_last_legitimate_age,
}
