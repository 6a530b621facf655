"""Shards on topics without a broker: what they pass over, and their marks."""

from __future__ import annotations

from topic_parts import batch, given

from headrace.journal.batches import Batch, Mark
from headrace.journal.records import COMMAND, CONTROL_SOURCE
from headrace.journal.scan import records_from
from headrace.shard import topic_shard
from headrace.shard.commands import KillSwitch, encode_command
from headrace.shard.topic_shard import TopicShard


def test_what_a_shard_has_journalled_is_not_applied_again(opened):
    """D-MARK-1."""
    assert given(opened(), batch({0: range(5), 1: range(3)})) == [
        *(f"fraud:p{offset}" for offset in range(5)),
        *(f"fraud:p{1000 + offset}" for offset in range(3)),
    ]
    again = opened()
    before = again.durable.position
    assert given(again, batch({0: range(2, 8), 1: range(3)})) == ["fraud:p5", "fraud:p6", "fraud:p7"]
    assert again.passed_over == 6
    assert again.durable.position == before + 3
    assert {mark.source: mark.offset for mark in again.durable.marks.values()} == {0: 8, 1: 3}


def test_lines_of_other_shards_move_the_marks_too(opened):
    shard = opened()
    assert given(shard, batch({0: range(5)}), [1, 3]) == ["fraud:p1", "fraud:p3"]
    assert shard.durable.marks[0].offset == 5
    assert [record.ordinal for record in records_from(shard.durable.directory, 0)] == [0, 1]


def test_a_shard_without_inputs_notes_its_marks_by_number_and_by_time(opened, monkeypatch):
    """D-MARK-2."""
    monkeypatch.setattr(topic_shard, "MARKS_MESSAGES_MAX", 6)
    shard = opened()
    assert given(shard, batch({0: range(5)}), []) == []
    assert shard.durable.marks == {}
    given(shard, batch({0: range(5, 7)}), [])
    assert shard.durable.marks[0].offset == 7
    given(shard, batch({1: range(1)}), [])
    shard.tick(0.0)
    assert 1 not in shard.durable.marks
    shard.tick(1e12)
    assert shard.durable.marks[1].offset == 1


def test_marks_of_empty_parts_go_with_the_next_input(opened):
    shard = opened()
    given(shard, batch({0: range(5)}), [])
    given(shard, batch({1: range(2)}), [0])
    assert {mark.source: mark.offset for mark in shard.durable.marks.values()} == {0: 5, 1: 2}


def test_a_command_is_applied_once_by_each_shard(opened):
    """D-CONTROL-1."""

    def command(number: int) -> Batch:
        line = encode_command(KillSwitch(on=True))
        mark = Mark(CONTROL_SOURCE, number, 1, 0)
        return Batch(0, 0, 0, [line], [CONTROL_SOURCE], [number], [1], (mark,), [COMMAND])

    def inputs(shard: TopicShard, number: int) -> int:
        return shard.process(command(number), [KillSwitch(on=True)], None).inputs

    shard = opened()
    assert [inputs(shard, 1), inputs(shard, 2)] == [1, 1]
    shard = opened()
    assert [inputs(shard, 1), inputs(shard, 2), inputs(shard, 3)] == [0, 0, 1]
    assert shard.durable.state.counts["commands"] == 3
