"""Runs on topics without a broker: marks, merging, output offsets, repair (clauses of the delivery spec)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.config.addresses import on_topics, partition_of
from headrace.config.loading import load
from headrace.errors import ConfigError, OffsetLost, StateMismatch
from headrace.journal.batches import Batch, Mark
from headrace.journal.end import journal_end
from headrace.journal.records import COMMAND, CONTROL_SOURCE
from headrace.journal.scan import records_from
from headrace.journal.writer import JournalWriter
from headrace.kafka.partition_merge import PartitionMerge
from headrace.kafka.repair import Repaired, repair
from headrace.operators.events.decode import decode
from headrace.shard import topic_shard
from headrace.shard.acknowledged import Acknowledged, OutputOffsets, note_of, output_offsets_of
from headrace.shard.commands import KillSwitch, encode_command
from headrace.shard.decision_line import decision_id
from headrace.shard.durable import DurableShard
from headrace.shard.outgoing import DEAD_LETTERS, dead_letter_id, outgoing_of
from headrace.shard.positions import as_json, from_json, plan_of
from headrace.shard.topic_shard import TopicShard

SETTINGS = load(None, ())
START_MS = 1_700_000_000_000
TOPICS = {"decisions": "out", "dead_letters": "dead"}


def payment(number: int, **changes: object) -> bytes:
    fields = {"type": "payment", "event_id": f"p{number}", "event_time": START_MS + number * 1000}
    more = {"customer_id": f"c{number % 5}", "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    return json.dumps(fields | more | changes).encode()


def batch(offsets: dict[int, range], **changes: object) -> Batch:
    """Messages of sources, each named by its source and offset."""
    places = [(source, offset) for source, some in offsets.items() for offset in some]
    return Batch(
        accepted_ms=0,
        accepted_ns=0,
        ordinal=0,
        payloads=[payment(1000 * source + offset, **changes) for source, offset in places],
        sources=[source for source, _ in places],
        offsets=[offset for _, offset in places],
        lines=[0] * len(places),
        marks=tuple(Mark(source, some.stop, 0, 0) for source, some in offsets.items()),
    )


@pytest.fixture
def opened(tmp_path):
    """Opens the shard of a state again and again; the one before is closed as a kill would leave it."""
    shards: list[DurableShard] = []

    def close() -> None:
        for shard in shards:
            shard.close(with_checkpoint=False)
        shards.clear()

    def open_() -> TopicShard:
        close()
        shards.append(DurableShard(tmp_path / "shard-00", SETTINGS))
        for source in (0, 1):
            shards[0].register(source, f"kafka:in/{source}")
        return TopicShard(shards[0])

    yield open_
    close()


def given(shard: TopicShard, part: Batch, places=None) -> list[str]:
    """Ids of the decisions on a batch."""
    return [each.id for each in shard.process(part, decode(part.payloads), places).decisions]


# -- a shard and its marks


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


# -- merging


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


# -- output offsets


def test_output_offsets_wait_for_what_was_sent_before_it_and_no_longer():
    """D-REPAIR-1."""
    sent = Acknowledged({0: 100, 1: 200})
    first = sent.sent(2)
    sent.reached(0, 7)
    first(1, 200)
    sent.ask()
    later = sent.sent()
    sent.reached(0, 9)
    later(1, 201)
    assert sent.answer() is None
    first(0, 100)
    assert sent.answer() == ({0: 7}, {0: 100, 1: 201})
    assert (sent.answer(), sent.ends) == (None, {0: 101, 1: 202})


def test_output_offsets_are_journalled_and_found_again(opened, tmp_path):
    shard = opened()
    mark = OutputOffsets("decisions", "out", {0: 3, 11: 5}, 42)
    shard.durable.note_sink(note_of(mark))
    assert (
        output_offsets_of(journal_end(tmp_path / "shard-00", 0, cut_torn_tail=False).sinks["decisions"])
        == mark
    )
    shard.durable.close(with_checkpoint=False)
    again = opened().durable
    assert output_offsets_of(again.sinks["decisions"]) == mark
    given(TopicShard(again), batch({0: range(1)}))
    again.checkpoint()
    again.wait_for_checkpoint()
    assert (
        output_offsets_of(journal_end(tmp_path / "shard-00", 0, cut_torn_tail=False).sinks["decisions"])
        == mark
    )


def test_what_every_shard_passes_over_has_a_letter_of_each_also_when_it_is_sent_again(opened, tmp_path):
    shard = opened()
    shard.durable.skips = {(0, 1): 0}
    part = batch({0: range(3)})
    taken = shard.process(part, decode(part.payloads), None)
    assert [each.id for each in taken.dead_letters] == ["in/0/1#0.1"]
    assert len(taken.decisions) == 2
    records = list(records_from(tmp_path / "shard-00", 0))
    again = [
        message.id
        for output, _, message in outgoing_of(records, 0, {0: "kafka:in/0"}, 65_536)
        if output == DEAD_LETTERS
    ]
    assert again == ["in/0/1#0.1"]


# -- repair


class Outlet:
    """Topics as lists of ids."""

    def __init__(self) -> None:
        self.topics: dict[str, list[str]] = {"out": [], "dead": [], "elsewhere": []}
        self.flushed = True
        self.sends_left = 1 << 62

    def ends(self, topic):
        return {0: len(self.topics[topic])}

    def read_back(self, topic, starts, quiet_ms):
        yield from self.topics[topic][starts.get(0, 0) :]

    def values(self, topic, starts, ids):
        for known in self.topics[topic][starts.get(0, 0) :]:
            if known in ids:
                yield known, f"value of {known}"

    def send(self, output, topic, message):
        if not self.sends_left:
            raise ConnectionError
        self.sends_left -= 1
        self.topics[topic].append(message.id)
        self.flushed = False

    def flush(self):
        self.flushed = True


def mended(folder: Path, outlet: Outlet, topics=TOPICS):
    end = journal_end(folder, 0, cut_torn_tail=True)
    return repair(
        [end],
        topics,
        outlet,
        quiet_ms=0,
        line_bytes_max=65_536,
        open_writer=lambda end: JournalWriter(
            end.directory, end.boundary, segment_bytes_max=1 << 20, fsync=False
        ),
    )


@pytest.fixture
def half_sent(opened, tmp_path):
    """A shard with ten decisions and a dead letter behind its output offsets; some of them were sent."""
    outlet = Outlet()
    folder = tmp_path / "shard-00"
    mended(folder, outlet)
    shard = opened()
    part = batch({0: range(10)})
    part.payloads[4] = b"{"
    given(shard, part)
    shard.durable.close(with_checkpoint=False)
    outlet.topics["out"] += ["foreign", "fraud:p1", "fraud:p3"]
    return folder, outlet


EXPECTED = sorted(["foreign", *(f"fraud:p{number}" for number in range(10) if number != 4)])


def test_what_is_missing_is_sent_and_nothing_twice(half_sent):
    """D-REPAIR-1."""
    folder, outlet = half_sent
    assert mended(folder, outlet).sent == {"decisions": 7, "dead_letters": 1}
    assert sorted(outlet.topics["out"]) == EXPECTED
    assert outlet.topics["dead"] == ["in/0/4"]
    assert outlet.flushed
    end = journal_end(folder, 0, cut_torn_tail=True)
    assert end.sinks["decisions"]["ordinal"] == end.boundary.ordinal == 10
    again = mended(folder, outlet)
    assert again.sent == {"decisions": 0, "dead_letters": 0}
    assert sorted(outlet.topics["out"]) == EXPECTED


def test_what_the_topics_have_beyond_the_journals_is_told_and_looked_for_again(half_sent):
    """D-REPAIR-4."""
    folder, outlet = half_sent
    done = mended(folder, outlet)
    assert (done.ahead, done.delivered) == ({"foreign"}, {"foreign": "value of foreign"})
    held = journal_end(folder, 0, cut_torn_tail=True).sinks["decisions"]
    assert (held["ends"], held["ordinal"]) == ({"0": 0}, 10)
    again = mended(folder, outlet)
    assert again.ahead >= {"foreign"}
    assert again.read_back == 10
    outlet.topics["out"].clear()
    mended(folder, outlet)
    assert mended(folder, outlet) == Repaired(0, {"decisions": 0, "dead_letters": 0}, frozenset())


@pytest.mark.parametrize("sends", range(8))
def test_a_repair_that_was_cut_short_is_done_again(half_sent, sends):
    """D-REPAIR-1."""
    folder, outlet = half_sent
    outlet.sends_left = sends
    with pytest.raises(ConnectionError):
        mended(folder, outlet)
    outlet.sends_left = 100
    mended(folder, outlet)
    assert sorted(outlet.topics["out"]) == EXPECTED
    assert outlet.topics["dead"] == ["in/0/4"]


def test_what_is_owed_goes_to_the_former_topic(half_sent):
    """D-REPAIR-3."""
    folder, outlet = half_sent
    topics = {"decisions": "elsewhere", "dead_letters": "dead"}
    mended(folder, outlet, topics)
    assert sorted(outlet.topics["out"]) == EXPECTED
    assert outlet.topics["elsewhere"] == []
    end = journal_end(folder, 0, cut_torn_tail=True)
    assert output_offsets_of(end.sinks["decisions"]) == OutputOffsets("decisions", "elsewhere", {0: 0}, 10)
    del outlet.topics["elsewhere"]  # nothing is owed to it
    assert mended(folder, outlet, TOPICS).sent == {"decisions": 0, "dead_letters": 0}


# -- where to read


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


# -- names


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
