"""Output offsets, and the repair of topics after a kill (clauses of the delivery spec)."""

from __future__ import annotations

from pathlib import Path

import pytest
from topic_parts import batch, given

from headrace.journal.end import journal_end
from headrace.journal.scan import records_from
from headrace.journal.writer import JournalWriter
from headrace.kafka.repair import Repaired, repair
from headrace.kinds.fraud.messages import payment_message
from headrace.operators.events.decode import decode
from headrace.shard.acknowledged import Acknowledged, OutputOffsets, note_of, output_offsets_of
from headrace.shard.outgoing import DEAD_LETTERS, outgoing_of
from headrace.shard.topic_shard import TopicShard

TOPICS = {"decisions": "out", "dead_letters": "dead"}


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
        for output, _, message in outgoing_of(records, 0, {0: "kafka:in/0"}, payment_message, 65_536)
        if output == DEAD_LETTERS
    ]
    assert again == ["in/0/1#0.1"]


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
        message_of=payment_message,
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
