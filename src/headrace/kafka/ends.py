"""Where a partition ends, as the client's statistics tell it: what is still to be read of its past."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import msgspec

__all__ = ["BrokerFigures", "PartitionEnd", "PartitionFigures"]

_FLOORS_MAX: Final = 256
# After a broker was silent, what its clients could not send meanwhile still comes for a while.
_SETTLE_MS: Final = 30_000
_SILENT_MS: Final = 3000
_LOOKS: Final = 2  # so many looks don't count once the client asks again


class BrokerFigures(msgspec.Struct, gc=False):
    """What the client tells of a broker.

    Attributes
    ----------
    nodeid
        Its number in the cluster.
    rx
        Responses received from it.
    """

    nodeid: int = -1
    rx: int = 0


class PartitionFigures(msgspec.Struct, gc=False):
    """What the client tells of a partition.

    Attributes
    ----------
    unknown
        Whether the brokers don't know it.
    leader
        Number of the broker that leads it.
    fetchq_cnt
        Messages that were fetched and not handed out.
    next_offset, hi_offset, ls_offset
        The next one to be fetched; the end; up to where no transaction is open. Negative if not known.
    """

    unknown: bool = False
    leader: int = -1
    fetchq_cnt: int = 0
    next_offset: int = -1
    hi_offset: int = -1
    ls_offset: int = -1


class PartitionEnd:
    """The end of one partition, over time.

    A partition is *behind* until everything was read that could be read when the run began, and again when
    what could be read at one look was not yet read at the next. Open transactions don't count, as what
    stands behind their first message can't be read.

    Parameters
    ----------
    readable
        The offset up to which messages can be read now.
    """

    __slots__ = (
        "_answered_ms",
        "_answers",
        "_floor_offsets",
        "_floors_ms",
        "_looks_left",
        "_readable",
        "_until",
        "_wary_ms",
    )

    def __init__(self, readable: int) -> None:
        self._until = self._readable = readable
        self._floor_offsets: list[int] = []
        self._floors_ms: list[int] = []
        self._answers, self._answered_ms, self._wary_ms = -1, -1, -1
        self._looks_left = 0

    def behind(self, position: int) -> bool:
        """Whether what stands at a position belongs to the past that is being caught up with."""
        return position < self._until

    def reached(self) -> None:
        """All that can be read was read."""
        self._until = 0

    def not_asked(self) -> None:
        """Note that the client doesn't ask for the partition: figures of its end may be old."""
        self._looks_left = _LOOKS

    def look(self, figures: PartitionFigures, answers: int, time_ms: int, position: int) -> None:
        """Take in statistics.

        Parameters
        ----------
        figures
            Of the partition.
        answers
            Responses that its leader has given so far.
        time_ms
            When the statistics were made, milliseconds since the epoch; rather too early than too late.
        position
            The offset after the last message that was handed out.
        """
        if figures.ls_offset < 0:
            return
        if position < self._readable:
            # Still behind at the last look, so what came meanwhile belongs to the past that is being caught
            # up with.
            self._until = figures.ls_offset
        self._readable = figures.ls_offset
        heard = answers > self._answers
        if heard:
            if 0 <= self._answered_ms < time_ms - _SILENT_MS:
                self._wary_ms = time_ms + _SETTLE_MS
            self._answers, self._answered_ms = answers, time_ms
        # With nothing left to fetch, as of an answer since the last look, whatever will stand from this
        # offset on is appended later than now.
        drained = not figures.fetchq_cnt and figures.next_offset >= figures.ls_offset
        if self._looks_left:
            self._looks_left -= 1
        elif heard and drained and time_ms >= self._wary_ms:
            self._take_floor(figures.hi_offset, time_ms)

    def _take_floor(self, offset: int, time_ms: int) -> None:
        offsets, floors_ms = self._floor_offsets, self._floors_ms
        if offsets and offsets[-1] >= offset:
            if offsets[-1] == offset:
                # Not grown: the same offset, known to be free for longer.
                floors_ms[-1] = time_ms
            return
        offsets.append(offset)
        floors_ms.append(time_ms)
        del offsets[:-_FLOORS_MAX], floors_ms[:-_FLOORS_MAX]

    def appended_after_ms(self, offset: int) -> int:
        """Return a time before which a message can't have been appended; 0 if none is known.

        The brokers answered then, and the partition ended before that message. What producers could not send
        while a broker was silent is given time to come first.
        """
        place = bisect_right(self._floor_offsets, offset)
        return self._floors_ms[place - 1] if place else 0
