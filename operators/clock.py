"""Event time of a shard, guarded against broken clocks."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

__all__ = ["EventClock", "Timing"]


class Timing(IntEnum):
    """How an event's time stands to the shard's clock."""

    ON_TIME = 0
    LATE = 1
    AHEAD = 2


class EventClock:
    """The highest event time believed so far, milliseconds since the epoch; 0 before the first.

    A time that runs ahead of the clock by more than `ahead_ms_max` is believed only when `agree_events`
    events in a row say so; one broken clock must not expire everything that waits. The first event of all
    has no clock to stand against, so that the same rule starts the clock.

    Parameters
    ----------
    late_ms_max
        Events older than the clock by more than this are late.
    ahead_ms_max
        The largest step that one event alone may make, in milliseconds.
    agree_events
        Events in a row that must agree on a larger step; 1 believes every event.
    """

    __slots__ = ("_agree", "_ahead_ms", "_late_ms", "agreeing", "now")

    def __init__(self, late_ms_max: int, ahead_ms_max: int, agree_events: int) -> None:
        self.configure(late_ms_max, ahead_ms_max, agree_events)
        self.now = 0
        self.agreeing: list[int] = []

    def configure(self, late_ms_max: int, ahead_ms_max: int, agree_events: int) -> None:
        """Change the limits; they hold from the next event on."""
        self._late_ms, self._ahead_ms, self._agree = late_ms_max, ahead_ms_max, agree_events

    def observe(self, time_ms: int) -> Timing:
        """Take in an event's time and say how it stands to the clock, which moves when it is believed."""
        now = self.now
        if time_ms <= now:
            if self.agreeing:
                self.agreeing.clear()
            return Timing.LATE if time_ms < now - self._late_ms else Timing.ON_TIME
        if now and time_ms - now <= self._ahead_ms:
            if self.agreeing:
                self.agreeing.clear()
            self.now = time_ms
            return Timing.ON_TIME
        return self._jump(time_ms)

    def _jump(self, time_ms: int) -> Timing:
        if self.agreeing and abs(time_ms - self.agreeing[-1]) > self._ahead_ms:
            self.agreeing.clear()
        self.agreeing.append(time_ms)
        if len(self.agreeing) < self._agree:
            return Timing.AHEAD
        self.now = max(self.agreeing)
        self.agreeing.clear()
        return Timing.ON_TIME

    def save(self) -> dict[str, Any]:
        """The state as plain values."""
        return {"now": self.now, "agreeing": list(self.agreeing)}

    def load(self, saved: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.now, self.agreeing = saved["now"], list(saved["agreeing"])
