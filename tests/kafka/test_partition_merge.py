"""Messages of the past are merged by event time, and live ones wait for none."""

from __future__ import annotations

import json

from topic_parts import START_MS, payment

from headrace.journal.batches import Batch, Mark
from headrace.kafka.partition_merge import PartitionMerge


def merged(**limits: int) -> PartitionMerge:
    usual = {"batch_messages_max": 4, "buffer_messages_max": 100, "wait_ms_max": 60_000}
    return PartitionMerge([0, 1], **(usual | limits), future_skew_ms_max=3_600_000, agree_messages=3)


def at(*seconds: int) -> list[bytes]:
    return [payment(0, event_time=START_MS + 1000 * second) for second in seconds]


def seconds(part: Batch | None) -> list[int]:
    assert part is not None
    return [(json.loads(payload)["event_time"] - START_MS) // 1000 for payload in part.payloads]


def test_partitions_that_are_behind_are_merged_by_event_time():
    """D-ORDER-1."""
    merge = merged()
    merge.extend(0, at(1, 4, 7, 8), [10, 11, 12, 13], past=True)
    merge.extend(1, at(2, 3, 9), [20, 21, 22], past=True)
    first = merge.next_batch(lambda source: True)
    assert seconds(first) == [1, 2, 3, 4]
    assert first.marks == (Mark(0, 12, 0, 0), Mark(1, 22, 0, 0))
    assert merge.ready
    assert seconds(merge.next_batch(lambda source: True)) == [7, 8]
    assert merge.next_batch(lambda source: True) is None  # the next of partition 0 may come before 9
    assert seconds(merge.next_batch(lambda source: source == 1)) == [9]


def test_one_that_was_read_to_its_end_is_not_waited_for():
    merge = merged()
    merge.extend(0, at(1, 5), [0, 1], past=True)
    assert merge.next_batch(lambda source: source == 1) is None
    assert seconds(merge.next_batch(lambda source: False)) == [1, 5]
    assert merge.waits == 1


def test_a_live_message_waits_for_no_other_partition():
    """D-ORDER-4: neither for one that brings nothing, nor for one with a long past."""
    merge = merged()
    merge.extend(0, at(50), [0])
    assert seconds(merge.next_batch(lambda source: source == 1)) == [50]
    merge.extend(1, at(1, 2, 3, 4, 5, 6, 7), list(range(7)), past=True)
    merge.extend(0, at(51), [1])
    assert seconds(merge.next_batch(lambda source: source == 1)) == [1, 2, 3, 4]
    merge.extend(0, at(52), [2])
    assert seconds(merge.next_batch(lambda source: source == 1)) == [51]
    assert seconds(merge.next_batch(lambda source: source == 1)) == [5, 6, 7, 52]
    assert merge.waits == 0


def test_behind_its_own_past_a_live_message_keeps_its_place():
    merge = merged()
    merge.extend(0, at(1), [0], past=True)
    merge.extend(0, at(2), [1])
    assert merge.next_batch(lambda source: source == 1) is None
    assert not merge.holding
    merge.extend(1, at(0, 3), [0, 1], past=True)
    assert seconds(merge.next_batch(lambda source: False)) == [0, 1, 2, 3]


def test_waiting_has_a_limit():
    merge = merged(wait_ms_max=0)
    merge.extend(0, at(1), [0], past=True)
    assert seconds(merge.next_batch(lambda source: True)) == [1]


def test_the_order_within_a_partition_stays():
    merge = merged()
    merge.extend(0, at(5, 1), [0, 1])
    merge.extend(1, at(3), [0])
    assert seconds(merge.next_batch(lambda source: False)) == [3, 5, 1]


def test_a_full_buffer_is_paused_until_there_is_room():
    merge = merged(buffer_messages_max=4)
    merge.extend(0, at(5, 6, 7, 8), [0, 1, 2, 3])
    assert (merge.to_pause(), merge.to_pause(), merge.to_resume()) == ([0], [], [])
    merge.extend(1, at(1, 9), [0, 1])
    seconds(merge.next_batch(lambda source: False))
    seconds(merge.next_batch(lambda source: False))
    assert (merge.to_resume(), merge.to_resume()) == ([0], [])
