"""Lets event time pass against the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.operators.events.event_times import AT_ONCE

__all__ = ["Pace"]


class Pace:
    """Lets event time pass against the wall clock.

    Parameters
    ----------
    speed
        Seconds of event time in a second.
    now
        Seconds on a clock that doesn't go back.
    """

    def __init__(self, speed: float, now: Callable[[], float] = time.monotonic) -> None:
        if not speed > 0:
            raise ValueError("speed must be positive")
        self._speed, self._now = speed, now
        self._first_ms: int | None = None
        self._begun = 0.0

    def reached_ms(self, next_ms: int) -> int:
        """Event time reached, in milliseconds; it starts with the first event, `next_ms`."""
        if self._first_ms is None:
            # Lines without a time come before time begins to pass.
            if next_ms == AT_ONCE:
                return AT_ONCE
            self._first_ms, self._begun = next_ms, self._now()
        return self._first_ms + int((self._now() - self._begun) * self._speed * 1000)

    def wait_s(self, time_ms: int) -> float:
        """Seconds until an event of this time is due; 0 if it is."""
        if self._first_ms is None:
            return 0.0
        return max(0.0, (time_ms - self._first_ms) / (1000 * self._speed) - (self._now() - self._begun))
