"""No more reviews on a day than can be done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw

from ...config.policy import CAPACITY_CODE, Action
from ..events.contract import Payment
from .verdict import DAY_MS, Decider, Verdict, trace_of, traced

__all__ = ["DecidedDays", "ReviewDays", "share_of", "with_capacity"]


def share_of(total: int, shard: int, shards: int) -> int:
    """Return a shard's part of a number that is dealt out; all parts together are the whole."""
    # Dealt out beforehand: shards can't ask each other while they decide, and a replay of one needs no other.
    return total // shards + (shard < total % shards)


class ReviewDays:
    """How many reviews were given out on each day (UTC, by event time), for a bounded number of days.

    When a day must be forgotten it is the oldest; it and all before it count as used up from then on, so that
    no order of events brings more reviews to a day than allowed.

    Parameters
    ----------
    days_max
        Days with reviews that are remembered.
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
        """Whether reviews of the day are counted, or could be."""
        if day in self.used:
            return True
        # An older day than all that are kept could only be counted by forgetting it at once.
        return day > self._forgotten and (len(self.used) < self.days_max or day > min(self.used))

    def take(self, day: int) -> None:
        """Count a review of the day."""
        # A day that was forgotten may have given out all of its reviews; it gets no second share.
        if day > self._forgotten:
            self.used[day] = self.used.get(day, 0) + 1
            self._forget()

    def _forget(self) -> None:
        while len(self.used) > self.days_max:
            oldest = min(self.used)
            del self.used[oldest]
            self._forgotten = oldest

    def put_back(self, day: int) -> None:
        """Give back the reviews of days after one."""
        self.used = {each: count for each, count in self.used.items() if each <= day}
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
    """Days (UTC, by event time) that had a decision, the newest of them.

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


def left_of(per_day: int, days: Sequence[ReviewDays], day: int) -> int:
    """Reviews that are left on a day, of those that all of `days` count together."""
    if not all(each.holds(day) for each in days):
        return 0
    return max(0, per_day - sum(each.used.get(day, 0) for each in days))


def with_capacity(per_day: int, otherwise: Action, days: Sequence[ReviewDays], then: Decider) -> Decider:
    """Let reviews pass while the day has some left.

    Parameters
    ----------
    per_day
        Reviews on a day.
    otherwise
        What is done instead of a review beyond that.
    days
        Where reviews are counted.
    then
        Who decides.
    """

    def decide(
        payment: Payment, values: Sequence[float], score: float, time_ms: int, overdue: bool
    ) -> Verdict:
        verdict = then(payment, values, score, time_ms, overdue)
        if verdict.action != "review":
            return verdict
        left = left_of(per_day, days, time_ms // DAY_MS)
        if left:
            trace = traced(verdict, reviews_left=left - 1, reviews_per_day=per_day)
            return Verdict("review", verdict.path, verdict.counter, verdict.codes, None, trace)
        trace = trace_of("capacity", reviews_per_day=per_day, instead_of=Raw(traced(verdict)))
        return Verdict(otherwise, "capacity", "capacity", (*verdict.codes, CAPACITY_CODE), None, trace)

    return decide
