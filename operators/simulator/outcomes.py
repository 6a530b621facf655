"""When the outcome of each payment comes."""

from __future__ import annotations

from typing import Final

import numpy as np

from .draws import DAY_S, Ints
from .presets import Delay

__all__ = ["NEVER", "outcome_times"]

NEVER: Final = -1


def outcome_times(delay: Delay, time_s: Ints, rng: np.random.Generator) -> Ints:
    """Draw when each payment's outcome comes, in seconds since the epoch, or `NEVER`.

    Parameters
    ----------
    delay
        The distribution, one for frauds and legitimate payments.
    time_s
        When they were paid, seconds since the epoch, shape (n,).
    """
    days = rng.lognormal(np.log(delay.median_days), delay.sigma, time_s.size)
    seconds = np.rint(np.minimum(days, delay.days_max) * DAY_S).astype(np.int64)
    never = rng.random(time_s.size) < delay.never_share
    return np.where(never, NEVER, time_s + seconds)
