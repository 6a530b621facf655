"""Event time of a shard, guarded against broken clocks."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

__all__ = ["Agreement", "EventClock", "Timing"]


class Timing(IntEnum):
    """How an event's time stands to the shard's clock."""

    ON_TIME = 0
    LATE = 1
    AHEAD = 2


class Agreement(NamedTuple):
    """What events in a row have said of a step that one event alone may not make.

    Attributes
    ----------
    latest_ms, highest_ms
        The time of the last of them, and the highest.
    events
        How many they are.
    rising
        How many of them each had a higher time than all before it.
    names
        Of whom they are; fewer than `agree_events`.
    """

    latest_ms: int
    highest_ms: int
    events: int
    rising: int
    names: tuple[str, ...]

    def with_event(self, time_ms: int, name: str) -> Agreement:
        """One event more."""
        return Agreement(
            time_ms,
            max(time_ms, self.highest_ms),
            self.events + 1,
            self.rising + (time_ms > self.highest_ms),
            self.names if name in self.names else (*self.names, name),
        )


class EventClock:
    """The highest event time believed so far, milliseconds since the epoch; 0 before the first.

    It never goes back. A time that runs ahead of it by more than `ahead_ms_max` is believed only when events
    in a row say so, of which each is within `ahead_ms_max` of the one before it: those of `agree_events`
    different names, or `alone_events` whose times rise, whoever they are of. So one broken sender must not
    expire everything that waits, and a stream with a single customer goes on after a silence.

    Before the first time that is believed nothing can be expired wrongly: then `agree_events` events are
    enough, whoever they are of.

    Parameters
    ----------
    late_ms_max
        Events older than the clock by more than this are late.
    ahead_ms_max
        The largest step that one event alone may make, in milliseconds.
    agree_events
        Names whose events must agree on a larger step; 1 believes every event.
    alone_events
        Events that are believed though they are of fewer names.

    Attributes
    ----------
    agreeing : Agreement | None
        What the last events say of a larger step, if they are ahead.
    """

    __slots__ = ("_agree", "_ahead_ms", "_alone", "_late_ms", "agreeing", "now")

    def __init__(
        self, late_ms_max: int, ahead_ms_max: int, agree_events: int, alone_events: int = 16
    ) -> None:
        self.configure(late_ms_max, ahead_ms_max, agree_events, alone_events)
        self.now = 0
        self.agreeing: Agreement | None = None

    def configure(self, late_ms_max: int, ahead_ms_max: int, agree_events: int, alone_events: int) -> None:
        """Change the limits; they hold from the next event on."""
        self._late_ms, self._ahead_ms = late_ms_max, ahead_ms_max
        self._agree, self._alone = agree_events, alone_events

    def observe(self, time_ms: int, name: str) -> Timing:
        """Take in an event's time and say how it stands to the clock, which moves when it is believed.

        Parameters
        ----------
        time_ms
            The event's time, milliseconds since the epoch.
        name
            Of whom it is; events that name nobody share the empty name.
        """
        now = self.now
        if time_ms <= now:
            self.agreeing = None
            return Timing.LATE if time_ms < now - self._late_ms else Timing.ON_TIME
        if now and time_ms - now <= self._ahead_ms:
            self.agreeing = None
            self.now = time_ms
            return Timing.ON_TIME
        return self._jump(time_ms, name)

    def _jump(self, time_ms: int, name: str) -> Timing:
        before = self.agreeing
        if before is None or abs(time_ms - before.latest_ms) > self._ahead_ms:
            said = Agreement(time_ms, time_ms, 1, 1, (name,))
        else:
            said = before.with_event(time_ms, name)
        if not self._believes(said):
            self.agreeing = said
            return Timing.AHEAD
        self.now, self.agreeing = said.highest_ms, None
        return Timing.ON_TIME

    def _believes(self, said: Agreement) -> bool:
        if not self.now:
            return said.events >= self._agree
        return len(said.names) >= self._agree or said.rising >= self._alone

    def forget(self, name: str) -> None:
        """Remove a name; what was said under it stays."""
        if self.agreeing is not None:
            names = tuple(each for each in self.agreeing.names if each != name)
            self.agreeing = self.agreeing._replace(names=names)

    def save(self) -> dict[str, Any]:
        """The state as plain values."""
        return {"now": self.now, "agreeing": None if self.agreeing is None else list(self.agreeing)}

    def load(self, saved: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.now, agreeing = saved["now"], saved["agreeing"]
        self.agreeing = None
        if agreeing:
            latest_ms, highest_ms, events, rising, names = agreeing
            self.agreeing = Agreement(latest_ms, highest_ms, events, rising, tuple(names))
