"""Since when messages wait, by their timestamps, where those can be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple, TypeVar

__all__ = ["NEVER", "SAMPLE_MAX", "MessageAges", "Skewed", "by_waiting", "sample"]

NEVER: Final = 0
"""Stands in place of a time for a message that is not waited for: it is older than the flow."""

SAMPLE_MAX: Final = 16
_T = TypeVar("_T")


class Skewed(NamedTuple):
    """How many messages had a timestamp that can't be right.

    Attributes
    ----------
    ahead
        It lay in the future.
    behind
        It lay before a time at which the message can't have been there.
    """

    ahead: int = 0
    behind: int = 0


class MessageAges:
    """Tells since when each message waits for its decision.

    That is its timestamp: when the broker took it, where the topic says so, else when it was made. A clock
    that is wrong by more than the limit is not accepted, and then a message waits since it was read.

    Parameters
    ----------
    known_since_ms
        For each source the time since which the state knows its topic, milliseconds since the epoch. What is
        older was there before the flow: nobody waits for it.
    skew_ms_max
        By so much a timestamp may be wrong and is still used.

    Attributes
    ----------
    skewed : Skewed
        Timestamps that were not accepted.
    """

    def __init__(self, known_since_ms: Mapping[int, int], skew_ms_max: int) -> None:
        self._known_since_ms, self._skew_ms_max = known_since_ms, skew_ms_max
        self.skewed = Skewed()

    def since(self, source: int, times_ms: list[int], appended_after_ms: int, now_ms: int) -> list[int]:
        """Milliseconds since the epoch for each message, `NEVER` for what is older than the flow.

        Parameters
        ----------
        source
            Number of the partition.
        times_ms
            Timestamps of its messages; negative without one.
        appended_after_ms
            A time before which none of them can have been in the partition; 0 if that isn't known.
        now_ms
            When they were read.
        """
        begin, oldest = self._known_since_ms.get(source, 0), appended_after_ms - self._skew_ms_max
        # Nearly always all are plausible, and two passes in C tell so.
        if max(times_ms) <= now_ms and min(times_ms) >= max(begin, oldest, 0):
            return times_ms
        latest = now_ms + self._skew_ms_max
        ahead = sum(time > latest for time in times_ms)
        behind = sum(0 <= time < oldest for time in times_ms)
        self.skewed = Skewed(self.skewed.ahead + ahead, self.skewed.behind + behind)
        return [
            now_ms if time < 0 or time > now_ms or time < oldest else time if time >= begin else NEVER
            for time in times_ms
        ]


def by_waiting(
    indices: Sequence[int], since_ms: Sequence[int], border_ms: int
) -> Iterator[tuple[Sequence[int], bool]]:
    """Places in their order, in portions of those that wait for longer and those that don't.

    Parameters
    ----------
    indices
        Some of a batch, at least one.
    since_ms
        Since when each line of the batch waits.
    border_ms
        What waits since before waits for longer; what nobody waits for never does.
    """
    times = [since_ms[index] for index in indices]
    if min(times) >= border_ms:
        yield indices, False
        return
    first = 0
    for overdue, some in groupby(NEVER < time < border_ms for time in times):
        end = first + sum(1 for _ in some)
        yield indices[first:end], overdue
        first = end


def sample(all_: Sequence[_T]) -> Sequence[_T]:
    """Return some of many, evenly chosen, so that what is made of them costs no more for many."""
    return all_[:: (len(all_) - 1) // SAMPLE_MAX + 1] if len(all_) > SAMPLE_MAX else all_
