"""How far a stream of events is out of time order, counted and in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from headrace.shard.clock import EventClock

__all__ = ["Disorder", "disorder_of", "span_text"]

_UNITS: Final = ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1000, "seconds"))


class Disorder(NamedTuple):
    """Events that came behind later ones.

    Attributes
    ----------
    behind
        How many.
    late
        How many of them by more than the limit for late events.
    ms_max
        By how much at most, milliseconds.
    """

    behind: int = 0
    late: int = 0
    ms_max: int = 0

    def after(self, time_ms: int, highest_ms: int, late_ms_max: float) -> Disorder:
        """One event more, that came when an event of the highest time had come."""
        by = highest_ms - time_ms
        if by <= 0:
            return self
        return Disorder(self.behind + 1, self.late + (by > late_ms_max), max(self.ms_max, by))

    def told(self, total: int, allowed_lateness_days: float) -> str:
        """In words; `total` is how many events there were."""
        return (
            f"{self.behind:,} of {total:,} came behind later ones, by up to {span_text(self.ms_max)};"
            f" {self.late:,} by more than {allowed_lateness_days:g} days (time.allowed_lateness_days)"
        )


def disorder_of(clocks: Iterable[EventClock]) -> Disorder:
    """Return what the clocks of all shards have counted."""
    each = list(clocks)
    return Disorder(
        sum(clock.behind for clock in each),
        sum(clock.late for clock in each),
        max((clock.behind_ms_max for clock in each), default=0),
    )


def span_text(ms: int) -> str:
    """Return a span of time in its largest unit.

    Examples
    --------
    >>> span_text(129_600_000)
    '1.5 days'
    >>> span_text(12)
    '12 ms'
    """
    for unit, name in _UNITS:
        if ms >= unit:
            return f"{ms / unit:,.1f} {name}"
    return f"{ms} ms"
