"""The kinds of feature, one a file: what of the generated functions is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..source_lines import SourceLines
from .count import write as write_count
from .distinct import write as write_distinct
from .ew_deviation import write as write_ew_deviation
from .ew_mean import write as write_ew_mean
from .field import write as write_field
from .first_fraud_age import write as write_first_fraud_age
from .fraud_share import write as write_fraud_share
from .fraud_streak import write as write_fraud_streak
from .last_legitimate_age import write as write_last_legitimate_age
from .max import write as write_max
from .mean import write as write_mean
from .ratio import write as write_ratio
from .running_mean import write as write_running_mean
from .sum import write as write_sum
from .time_since_first import write as write_time_since_first
from .time_since_last import write as write_time_since_last

__all__ = ["KINDS", "WriteKind"]

WriteKind = Callable[[SourceLines, str, Any], None]
"""Takes the lines to add to, the local that the feature's value gets, and its declaration."""

KINDS: Final[Mapping[str, WriteKind]] = {
    "field": write_field,
    "ratio": write_ratio,
    "count": write_count,
    "sum": write_sum,
    "mean": write_mean,
    "max": write_max,
    "distinct": write_distinct,
    "ew_mean": write_ew_mean,
    "ew_deviation": write_ew_deviation,
    "time_since_last": write_time_since_last,
    "time_since_first": write_time_since_first,
    "running_mean": write_running_mean,
    "fraud_share": write_fraud_share,
    "fraud_streak": write_fraud_streak,
    "first_fraud_age": write_first_fraud_age,
    "last_legitimate_age": write_last_legitimate_age,
}
