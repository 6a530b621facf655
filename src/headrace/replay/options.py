"""What a report of a replay evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace.shard.base import DAY_MS

__all__ = ["WARM_UP_DAYS", "Options", "warm_up_of"]

WARM_UP_DAYS: Final = 28
_WARM_UP_SHARE_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is evaluated, and how.

    Attributes
    ----------
    warm_up_days
        Days at the beginning that are not evaluated; None for 28, but at most a third of the past.
    horizon_days
        A payment is evaluated when it is so old; None for what the outcomes say, see `Period`.
    cost
        Numbers of `CostSettings` that go before those of the configurations.
    resamples
        Of the bootstrap.
    examples_max
        Changed decisions that are shown, by amount and by score.
    """

    warm_up_days: int | None = None
    horizon_days: int | None = None
    cost: Mapping[str, float]
    resamples: int = 1000
    examples_max: int = 10


def warm_up_of(first_ms: int, last_ms: int, given: int | None) -> tuple[int, int]:
    """Whole days that don't count, 28 but at most a third unless given, and the time from which on it counts.

    Parameters
    ----------
    first_ms, last_ms
        Event times of the first decision and of the last one, milliseconds since the epoch.
    given
        As the options say.
    """
    day = first_ms - first_ms % DAY_MS
    warm_up = min(WARM_UP_DAYS, (last_ms - day) // DAY_MS // _WARM_UP_SHARE_MAX) if given is None else given
    return warm_up, day + warm_up * DAY_MS
