"""Finds the offsets at which reading of partitions begins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from headrace.errors import OffsetLost, TopicMismatch
from headrace.kafka.client import OFFSET_END, Consumer, TopicPartition
from headrace.kafka.connection import Connection
from headrace.kafka.fetched import Lost
from headrace.kafka.starts import Partition, Start, loss

__all__ = ["first_offsets", "held_of", "see_that_they_exist"]


def see_that_they_exist(starts: Mapping[Partition, Start], counts: Mapping[str, int]) -> None:
    """Refuse partitions that don't exist.

    Parameters
    ----------
    starts
        The partitions that are to be read.
    counts
        How many each topic has.

    Raises
    ------
    TopicMismatch
        With every one that is missing.
    """
    wrong = []
    for partition in starts:
        count = counts.get(partition.topic)
        if count is None:
            wrong.append(f"{partition.topic}: there is no such topic")
        elif partition.number >= count:
            wrong.append(f"{partition}: the topic has {count} partitions")
    if wrong:
        raise TopicMismatch(list(dict.fromkeys(wrong)))


def held_of(connection: Connection, consumer: Consumer, partition: Partition) -> tuple[int, int]:
    """Return the offsets of the first message of a partition, and after the last one."""
    where = TopicPartition(partition.topic, partition.number)
    return connection.answer(partial(consumer.get_watermark_offsets, where))


def first_offsets(
    connection: Connection,
    consumer: Consumer,
    starts: Mapping[Partition, Start],
    held: Mapping[Partition, tuple[int, int]],
    *,
    accept_lost: bool,
) -> tuple[dict[Partition, int], tuple[Lost, ...]]:
    """Return the offset to begin with in each partition, and what is passed over for it.

    Parameters
    ----------
    connection, consumer
        To the brokers.
    starts
        For each partition where to begin.
    held
        For each partition what it holds, as `held_of` gives it.
    accept_lost
        Begin with the first message that is left where others were deleted before they were read.

    Raises
    ------
    OffsetLost
        If an offset isn't in its partition; with all of them, and how to go on.
    """
    times = _at_times(connection, consumer, starts)
    offsets = {
        partition: _offset(start, held[partition], times.get(partition))
        for partition, start in starts.items()
    }
    lost: tuple[Lost, ...] = ()
    # Only what was deleted in front may be passed over; an offset behind the end means another topic, and is
    # refused in any case.
    if accept_lost:
        gone = [partition for partition, offset in offsets.items() if offset < held[partition][0]]
        lost = tuple(Lost(each, offsets[each], held[each][0]) for each in gone)
        offsets |= {each: held[each][0] for each in gone}
    losses = [loss(partition, offset, held[partition]) for partition, offset in offsets.items()]
    if any(losses):
        raise OffsetLost([text for text in losses if text])
    return offsets, lost


def _at_times(
    connection: Connection, consumer: Consumer, starts: Mapping[Partition, Start]
) -> dict[Partition, int]:
    """Offsets of the first messages that are not older than the times asked for."""
    asked = [TopicPartition(*each, start.value) for each, start in starts.items() if start.kind == "time"]
    if not asked:
        return {}
    found = connection.answer(partial(consumer.offsets_for_times, asked))
    for each in found:
        if each.error is not None:
            raise connection.fault(each.error, f"{each.topic}[{each.partition}]")
    return {Partition(each.topic, each.partition): each.offset for each in found}


def _offset(start: Start, held: tuple[int, int], at_time: int | None) -> int:
    if start.kind == "offset":
        return start.value
    if start.kind == "time" and at_time is not None and at_time != OFFSET_END:
        return at_time
    return held[0] if start.kind == "earliest" else held[1]
