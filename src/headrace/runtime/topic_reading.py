"""Opens what one process of a run reads: its partitions, their merge, and the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from headrace.config.tables import RunSettings
from headrace.dataflow.topic_reader import TopicCommands, TopicReader
from headrace.kafka.connection import Connection
from headrace.kafka.partition_merge import PartitionMerge
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import Partition, at_offset
from headrace.runtime.members import Member
from headrace.shard.durable import DurableShard
from headrace.shard.positions import Plan, PlannedPartition
from headrace.shard.waiting import MessageAges

__all__ = ["begin", "open_reading", "topic_reader"]

# So long a turn waits for messages; meanwhile nothing can come from other workers, and signals aren't seen.
_WAIT_ALONE_MS: Final = 10
_WAIT_MS: Final = 1
_HOUR_MS: Final = 3_600_000


def begin(shard: DurableShard, partition: PlannedPartition) -> None:
    """Let a shard know a partition, and where it begins."""
    shard.register(partition.number, partition.name, partition.topic_id)
    mark = shard.marks.get(partition.number)
    if mark is None:
        shard.note_marks([partition.mark])
    # Noted in each shard's journal, so that a gap in what was read can be told from a fault.
    elif partition.lost and mark.offset < partition.start:
        shard.note_lost(partition.name, mark.offset, partition.start)
        shard.note_marks([partition.mark])


def open_reading(
    connection: Connection, plan: Plan, member: Member, stack: ExitStack
) -> PartitionReader | None:
    """Open the partitions of a process; None if it has none.

    Parameters
    ----------
    connection
        To the brokers.
    plan
        What is read, and from where.
    member
        Which process this is.
    stack
        Closes them.
    """
    starts = {
        Partition(each.topic, each.partition): at_offset(each.start)
        for each in plan.partitions
        if member.has(each.partition)
    }
    if not starts:
        return None
    wait_ms = _WAIT_ALONE_MS if member.count == 1 else _WAIT_MS
    reading = PartitionReader(connection, starts, wait_ms=wait_ms)
    stack.callback(reading.close)
    return reading


def topic_reader(
    reading: PartitionReader | None,
    settings: RunSettings,
    plan: Plan,
    member: Member,
    shards: Sequence[DurableShard],
    commands: TopicCommands | None,
    small_batches: Callable[[PartitionMerge], None],
) -> TopicReader:
    """Return what hands out the batches of a process.

    Parameters
    ----------
    reading
        Its partitions.
    settings
        The configuration.
    plan
        What is read.
    member
        Which process this is.
    shards
        Those that it has, which know since when topics are known.
    commands
        Those that come between messages; None where another process reads them.
    small_batches
        Called with the merge, which is to hand out few messages at a time as long as care is due.
    """
    limits, times, kafka = settings.input, settings.time, settings.kafka
    own = [each for each in plan.partitions if member.has(each.partition)]
    merge = PartitionMerge(
        [each.number for each in own],
        batch_messages_max=limits.batch_lines_max,
        buffer_messages_max=kafka.merge_messages_max,
        wait_ms_max=kafka.merge_wait_ms_max,
        future_skew_ms_max=round(times.future_skew_hours_max * _HOUR_MS),
        agree_messages=max(times.quorum_min, times.quorum_alone_events),
    )
    small_batches(merge)
    return TopicReader(
        reading,
        merge,
        {(each.topic, each.partition): each.number for each in own},
        commands,
        MessageAges(_known_since_ms(plan, shards), kafka.clock_skew_ms_max),
        silent_seconds_max=kafka.silent_seconds_max,
        kept_bytes_max=max(limits.line_kept_bytes_max, limits.line_bytes_max),
        head_bytes=limits.line_bytes_max + 1,
    )


def _known_since_ms(plan: Plan, shards: Sequence[DurableShard]) -> dict[int, int]:
    """Since when the state knows the topic of each partition: what is older nobody waits for."""
    known = [shard.sources.known_since_ms() for shard in shards]
    return {each.number: min(since[each.number] for since in known) for each in plan.partitions if known}
