"""Finds the event times of raw lines, to merge sources by before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub
from typing import Final, cast

import msgspec

from .contract import EVENT_TIME_MS_MAX, EVENT_TIME_MS_MIN
from .nesting import NESTING_MAX, nested_too_deep, on_empty_stack
from .oversized import CutLine
from .timestamps import time_ms

__all__ = ["AT_ONCE", "plausible_times", "times_of"]

AT_ONCE: Final = 0
"""Time of a line that has none: it goes before all that have one."""


class _Timed(msgspec.Struct, gc=False):
    event_time: int | str


_timed: Final = msgspec.json.Decoder(_Timed)


def times_of(lines: Sequence[bytes]) -> list[int]:
    """Event times of lines in milliseconds; 0 for one that has none that an event may have."""
    decode, times = _timed.decode, []
    for line in lines:
        try:
            if len(line) > NESTING_MAX and (isinstance(line, CutLine) or nested_too_deep(line)):
                times.append(AT_ONCE)
                continue
            found = decode(line).event_time
            at = found if found.__class__ is int else time_ms(cast("str", found))
            times.append(at if EVENT_TIME_MS_MIN <= at < EVENT_TIME_MS_MAX else AT_ONCE)
        except RecursionError:  # the stack was nearly full; the line itself isn't nested too deep
            times.append(on_empty_stack(times_of, (line,))[0])
        except (ValueError, ArithmeticError, msgspec.MsgspecError):
            times.append(AT_ONCE)
    return times


def plausible_times(times: list[int], future_skew_ms_max: int, look_ahead: int) -> list[int]:
    """Return the times, but replace those that run ahead of a line soon after them by more than the limit."""
    # No step back is large enough to add up to the limit within the lines looked at; one pass in C tells, and
    # mostly so.
    if max(map(sub, times, times[1:]), default=0) * look_ahead <= future_skew_ms_max:
        return times
    return [
        _sooner(time_ms, times[place + 1 : place + 1 + look_ahead], future_skew_ms_max)
        for place, time_ms in enumerate(times)
    ]


def _sooner(time_ms: int, following: list[int], future_skew_ms_max: int) -> int:
    least = min((other for other in following if other != AT_ONCE), default=time_ms)
    return least if time_ms - least > future_skew_ms_max else time_ms
