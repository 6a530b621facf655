"""Local time in a time zone, from a table of its changes in the years that events may be of."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from .contract import EVENT_TIME_MS_MAX, EVENT_TIME_MS_MIN

__all__ = ["Zone"]

_DAY_MS: Final = 86_400_000


class Zone:
    """A time zone, as the tables of the machine know it.

    Parameters
    ----------
    name
        As IANA names it.

    Raises
    ------
    KeyError
        If there is no such zone.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._changes, self._offsets = _table(name)

    def local_ms(self, time_ms: int) -> int:
        """Return what clocks of the zone show, counted in milliseconds as if they showed UTC."""
        return time_ms + self._offsets[bisect_right(self._changes, time_ms)]


@cache
def _table(name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """List times at which the offset changes, and the offsets before, between and after them."""
    zone = ZoneInfo(name)
    changes: list[int] = []
    offsets = [_offset_ms(zone, EVENT_TIME_MS_MIN)]
    for day_ms in range(EVENT_TIME_MS_MIN, EVENT_TIME_MS_MAX, _DAY_MS):
        low, high = day_ms, day_ms + _DAY_MS
        while _offset_ms(zone, high) != offsets[-1]:
            # The first millisecond of the day with another offset than before; a day may have several.
            start = low
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset_ms(zone, middle) == offsets[-1] else (low, middle)
            changes.append(high)
            offsets.append(_offset_ms(zone, high))
            low, high = max(high, start), day_ms + _DAY_MS
    return tuple(changes), tuple(offsets)


def _offset_ms(zone: ZoneInfo, time_ms: int) -> int:
    """Offset from UTC at a time, to be added to it."""
    offset = datetime.fromtimestamp(time_ms // 1000, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)
