"""Deletes old segments from the front of a journal, as far as nothing needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from headrace.config.tables import JournalSettings
from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import index_path, segment_numbers, segment_path, start_of

__all__ = ["Retired", "keeps_all", "retirable", "retire"]

_DAY_MS: Final = 86_400_000


class Retired(NamedTuple):
    """Segments that were deleted, and their bytes."""

    segments: int = 0
    bytes: int = 0

    def plus(self, other: Retired) -> Retired:
        """Both together."""
        return Retired(self.segments + other.segments, self.bytes + other.bytes)


def keeps_all(limits: JournalSettings) -> bool:
    """Whether nothing is ever deleted."""
    return limits.keep_days_max is None and limits.keep_bytes_max is None


def retire(directory: Path, limits: JournalSettings, needed: int, now_ms: int) -> Retired:
    """Delete the segments that `retirable` names, the oldest first, each after its index.

    A kill on the way leaves a shorter journal, and the rest for the next time.
    """
    retired = Retired()
    for segment in retirable(directory, limits, needed, now_ms):
        path = segment_path(directory, segment)
        size = path.stat().st_size
        # The index first: killed in between, a reader makes it anew; the other way round nobody would ever
        # delete it.
        index_path(directory, segment).unlink(missing_ok=True)
        path.unlink()
        retired = retired.plus(Retired(1, size))
    return retired


def retirable(directory: Path, limits: JournalSettings, needed: int, now_ms: int) -> list[int]:
    """Segments that are beyond a limit and that nothing needs (J-RET), the oldest first.

    Parameters
    ----------
    directory
        The shard's.
    limits
        What is kept at least goes back `keep_days_max`, and at most has `keep_bytes_max`.
    needed
        Ordinal that a recovery could go back to: of the first input that another shard, or an output, does
        not have.
    now_ms
        Wall clock, milliseconds since the epoch.
    """
    beyond = list(_beyond(directory, limits, needed, now_ms))
    # The notes in front go with their segments, so the first one that stays must say the configuration
    # itself.
    while beyond and not _tells_configuration(directory, beyond[-1] + 1):
        beyond.pop()
    return beyond


def _beyond(directory: Path, limits: JournalSettings, needed: int, now_ms: int) -> Iterator[int]:
    """Segments beyond a limit, before those that recovery needs."""
    numbers = segment_numbers(directory)
    sizes = [segment_path(directory, number).stat().st_size for number in numbers]
    oldest_checkpoint = min(checkpoint_numbers(directory), default=0)
    kept_bytes = sum(sizes)
    for number, size in zip(numbers, sizes, strict=True):
        # The oldest checkpoint, not the newest: a start goes back to it if those behind it are damaged. And
        # from the front only, as a gap would read as a missing segment.
        if number >= oldest_checkpoint or start_of(directory, number + 1).ordinal > needed:
            return
        too_many = limits.keep_bytes_max is not None and kept_bytes > limits.keep_bytes_max
        if not too_many and not _too_old(directory, number, limits.keep_days_max, now_ms):
            return
        kept_bytes -= size
        yield number


def _too_old(directory: Path, segment: int, days_max: float | None, now_ms: int) -> bool:
    """Whether all of a segment is older: what follows it was written before the limit."""
    if days_max is None:
        return False
    head = _first_head(directory, segment + 1)
    return head is not None and head.committed_ms < now_ms - days_max * _DAY_MS


def _first_head(directory: Path, segment: int) -> FrameHead | None:
    return next(JournalReader(directory, start_of(directory, segment), cut_torn_tail=False).heads(), None)


def _tells_configuration(directory: Path, segment: int) -> bool:
    """Whether a segment begins with what its readers must know, so that it can be the first one."""
    head = _first_head(directory, segment)
    if head is None or head.segment != segment or head.ordinal_first != head.ordinal_next:
        return False
    notes = read_frame(directory, segment, head.position).records
    return any(
        record.kind == Kind.CONTROL and orjson.loads(record.input)["control"] == "config" for record in notes
    )
