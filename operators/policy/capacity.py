"""No more of an action on a day than can be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Raw

from ...config.policy import CAPACITY_CODE
from ..events.time_zones import Zone
from .verdict import DAY_MS, Decider, Verdict, trace_of, traced

__all__ = [
    "Capacity",
    "DecidedDays",
    "TakenDays",
    "days_in",
    "left_of",
    "review_capacity",
    "share_of",
    "utc_day",
    "with_capacity",
]


def share_of(total: int, shard: int, shards: int) -> int:
    """Return a shard's part of a number that is dealt out; all parts together are the whole."""
    # Dealt out beforehand: shards can't ask each other while they decide, and a replay of one needs no other.
    return total // shards + (shard < total % shards)


def utc_day(time_ms: int) -> int:
    """Return the day of a time, counted from the epoch; negative for a time of no day."""
    return time_ms // DAY_MS


def days_in(zone: str) -> Callable[[int], int]:
    """Return `utc_day` of what clocks of a zone show."""
    if zone == "UTC":
        return utc_day
    local_ms = Zone(zone).local_ms
    return lambda time_ms: local_ms(time_ms) // DAY_MS if time_ms >= 0 else -1


class TakenDays:
    """How often an action was taken on each day (by event time), for a bounded number of days.

    When a day must be forgotten it is the oldest; it and all before it count as used up from then on, so that
    no order of events takes the action more often on a day than allowed.

    Parameters
    ----------
    days_max
        Days with the action that are remembered.
    """

    def __init__(self, days_max: int) -> None:
        self.days_max = days_max
        self.used: dict[int, int] = {}
        self._forgotten = -1

    def configure(self, days_max: int) -> None:
        """Take over another limit."""
        self.days_max = days_max
        self._forget()

    def holds(self, day: int) -> bool:
        """Whether actions of the day are counted, or could be."""
        if day in self.used:
            return True
        # An older day than all that are kept could only be counted by forgetting it at once.
        return day > self._forgotten and (len(self.used) < self.days_max or day > min(self.used))

    def take(self, day: int) -> None:
        """Count an action of the day."""
        # A day that was forgotten may have given out all that it had; it gets no second share.
        if day > self._forgotten:
            before = self.used.get(day, 0)
            self.used[day] = before + 1
            if not before:
                self._forget()

    def _forget(self) -> None:
        # Mostly one day goes, once a day: looking for the oldest then costs less than keeping an order.
        while len(self.used) > self.days_max:
            oldest = min(self.used)
            del self.used[oldest]
            self._forgotten = oldest

    def put_back(self, day: int) -> None:
        """Give back the actions of days after one."""
        self.used = {each: count for each, count in self.used.items() if each <= day}
        # Days after it come again, and none of them has given out anything.
        self._forgotten = min(self._forgotten, day)

    def save(self) -> list[Any]:
        """Return the state as plain values."""
        return [self._forgotten, sorted(self.used.items())]

    def load(self, saved: Sequence[Any]) -> None:
        """Take over a saved state; of more days than are remembered, the newest."""
        self._forgotten, used = saved
        self.used = dict(used)
        self._forget()


class DecidedDays:
    """Days (by event time) that had a decision, the newest of them.

    Parameters
    ----------
    days_max
        Days that are remembered.
    """

    def __init__(self, days_max: int) -> None:
        self.days_max = days_max
        self._days: set[int] = set()

    def configure(self, days_max: int) -> None:
        """Take over another limit."""
        self.days_max = days_max
        self._forget()

    def add(self, day: int) -> None:
        """Take note of a decision; negative: of no day."""
        if day not in self._days and day >= 0:
            self._days.add(day)
            self._forget()

    def _forget(self) -> None:
        while len(self._days) > self.days_max:
            self._days.remove(min(self._days))

    def put_back(self, day: int) -> None:
        """Forget the days after one."""
        self._days = {each for each in self._days if each <= day}

    def save(self) -> list[int]:
        """Return the days, oldest first."""
        return sorted(self._days)

    def load(self, saved: Iterable[int]) -> None:
        """Take over saved days; of more than are remembered, the newest."""
        self._days = set(saved)
        self._forget()


def left_of(per_day: int, days: Sequence[TakenDays], day: int) -> int:
    """How often an action can still be taken on a day, of what all of `days` count together."""
    # What can't be counted can't be given out: a late event of a forgotten day finds no capacity.
    if not all(each.holds(day) for each in days):
        return 0
    return max(0, per_day - sum(each.used.get(day, 0) for each in days))


class Capacity(NamedTuple):
    """How often an action can be taken.

    Attributes
    ----------
    per_day
        On a day.
    otherwise
        What is done instead beyond that.
    days
        Where it is counted.
    code
        Reason code of what is done instead.
    names
        What the trace calls the number that is left, and `per_day`.
    said
        What else the trace says of what is done instead.
    """

    per_day: int
    otherwise: str
    days: Sequence[TakenDays]
    code: str
    names: tuple[str, str] = ("left", "per_day")
    said: Mapping[str, str] = {}


def review_capacity(per_day: int, otherwise: str, days: Sequence[TakenDays]) -> Capacity:
    """Return the capacity of reviews of payments."""
    return Capacity(per_day, otherwise, days, CAPACITY_CODE, ("reviews_left", "reviews_per_day"))


def with_capacity(
    capacities: Mapping[str, Capacity], then: Decider, day_of: Callable[[int], int] = utc_day
) -> Decider:
    """Let an action pass while the day has some left, else take the other, as far as that can be taken.

    Parameters
    ----------
    capacities
        By action. What `otherwise` leads to must end at an action that has none.
    then
        Who decides.
    day_of
        The day of an event time.
    """

    def decide(event: Any, values: Sequence[float], score: Any, time_ms: int, overdue: bool) -> Verdict:
        verdict = then(event, values, score, time_ms, overdue)
        # Ends, as what `otherwise` leads to ends at an action without a capacity; most have none at all.
        while verdict.action in capacities:
            capacity = capacities[verdict.action]
            left = left_of(capacity.per_day, capacity.days, day_of(time_ms))
            if left:
                return _one_of(verdict, capacity, left)
            verdict = _instead_of(verdict, capacity)
        return verdict

    return decide


def _one_of(verdict: Verdict, capacity: Capacity, left: int) -> Verdict:
    name_of_left, name_of_per_day = capacity.names
    trace = traced(verdict, **{name_of_left: left - 1, name_of_per_day: capacity.per_day})
    return Verdict(
        verdict.action,
        verdict.path,
        verdict.counter,
        verdict.codes,
        None,
        trace,
        verdict.limit,
        verdict.promise,
    )


def _instead_of(verdict: Verdict, capacity: Capacity) -> Verdict:
    said = {capacity.names[1]: capacity.per_day, **capacity.said, "instead_of": Raw(traced(verdict))}
    # Of a chain of capacities one code is enough: the trace tells each.
    codes = verdict.codes if capacity.code in verdict.codes else (*verdict.codes, capacity.code)
    return Verdict(capacity.otherwise, "capacity", "capacity", codes, None, trace_of("capacity", **said))
