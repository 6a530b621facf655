"""Where partitions are read from, and what topics and messages are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from topic_parts import SETTINGS

from headrace.config.addresses import on_topics, partition_of
from headrace.errors import ConfigError, OffsetLost, StateMismatch
from headrace.journal.batches import Mark
from headrace.journal.end import journal_end
from headrace.journal.records import COMMAND
from headrace.shard.decision_line import decision_id
from headrace.shard.durable import DurableShard
from headrace.shard.outgoing import dead_letter_id
from headrace.shard.positions import as_json, from_json, plan_of


def planned(folders, held, *, accept_lost=False):
    ends = [journal_end(folder, number, cut_torn_tail=False) for number, folder in enumerate(folders)]
    return plan_of(
        ends,
        held,
        lambda topic, new: dict.fromkeys(new, 77),
        lambda topic, partition, offset, kept: (
            None if kept[0] <= offset <= kept[1] else f"{topic}/{partition} lacks {offset}"
        ),
        accept_lost=accept_lost,
    )


def shard_at(folder: Path, marks: dict[int, int]) -> Path:
    shard = DurableShard(folder, SETTINGS)
    for source in marks:
        shard.register(source, f"kafka:in/{source}")
    shard.note_marks([Mark(source, offset, 0, 0) for source, offset in marks.items()])
    shard.close()
    return folder


def test_a_partition_is_read_from_the_lowest_mark_and_a_new_one_from_its_beginning(tmp_path):
    """D-MARK-1."""
    folders = [
        shard_at(tmp_path / "shard-00", {0: 10, 1: 30}),
        shard_at(tmp_path / "shard-01", {0: 20, 1: 25}),
    ]
    held = {"in": {0: (0, 50), 1: (0, 50), 2: (3, 50)}, "more": {0: (0, 99)}}
    plan = planned(folders, held)
    assert [(each.number, each.name, each.start) for each in plan.partitions] == [
        (0, "kafka:in/0", 10),
        (1, "kafka:in/1", 25),
        (2, "kafka:in/2", 3),
        (3, "kafka:more/0", 77),
    ]
    assert from_json(json.loads(json.dumps(as_json(plan)))) == plan


def test_deleted_messages_are_all_named_and_passed_over_only_when_asked(tmp_path):
    """D-LOST-1."""
    folder = shard_at(tmp_path / "shard-00", {0: 10, 1: 30, 2: 60})
    held = {"in": {0: (15, 50), 1: (31, 50), 2: (0, 70)}}
    with pytest.raises(OffsetLost) as raised:
        planned([folder], held)
    assert raised.value.losses == ("in/0 lacks 10", "in/1 lacks 30")
    plan = planned([folder], held, accept_lost=True)
    assert [(each.start, each.lost) for each in plan.partitions] == [(15, 5), (31, 1), (60, 0)]
    with pytest.raises(OffsetLost):
        planned([folder], {"in": {0: (0, 50), 1: (0, 50), 2: (0, 59)}}, accept_lost=True)


def test_a_state_of_files_is_refused(tmp_path):
    """D-STATE-2."""
    shard = DurableShard(tmp_path / "shard-00", SETTINGS)
    shard.register(0, "/somewhere/events.jsonl")
    shard.close()
    with pytest.raises(StateMismatch, match="it can't go on with topics"):
        planned([tmp_path / "shard-00"], {"in": {0: (0, 1)}})


def test_a_run_is_on_topics_or_on_files():
    assert on_topics(["kafka:a", "kafka:b"], "kafka:c", "kafka:d")
    assert not on_topics(["a.jsonl", "-"], "-", None)


@pytest.mark.parametrize(
    ("sources", "to", "dead_letters", "said"),
    [
        (["kafka:a", "b.jsonl"], "kafka:c", "kafka:d", "--from: b.jsonl: a path"),
        (["kafka:a"], "c.jsonl", "kafka:d", "--to: c.jsonl: a path"),
        (["kafka:a"], "kafka:c", None, "--dead-letters: is required"),
        (["kafka:a", "kafka:a"], "kafka:c", "kafka:d", "kafka:a: is named twice"),
        (["kafka:a"], "kafka:a", "kafka:d", "kafka:a: is named twice"),
        (["kafka:"], "kafka:c", "kafka:d", "a topic's name"),
        (["kafka:a/b"], "kafka:..", "kafka:d", "a topic's name"),
    ],
)
def test_mixtures_and_wrong_names_are_refused(sources, to, dead_letters, said):
    with pytest.raises(ConfigError, match=said):
        on_topics(sources, to, dead_letters)


def test_ids_of_what_goes_out():
    assert decision_id(b'{"decision_id":"fraud:p-1","event_id":"p-1"}\n') == "fraud:p-1"
    odd = json.dumps({"decision_id": 'fraud:"\\ü', "event_id": "x"}, separators=(",", ":")).encode()
    assert decision_id(odd) == 'fraud:"\\ü'
    assert partition_of("kafka:a.b-c/12") == ("a.b-c", 12)
    assert dead_letter_id("kafka:in/3", 17, 0, (0, 9)) == "in/3/17"
    assert dead_letter_id("kafka:in/3", 17, COMMAND, (0, 9)) == "in/3/17#0.9"
    assert dead_letter_id("control", 2, COMMAND, (1, 9)) == "control/2#1.9"
