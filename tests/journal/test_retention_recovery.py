"""A run that deletes old segments goes on after a kill at any moment, and says what is gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from erasures import command_line
from killing import chosen, killing, logged, one_in
from worlds import World, overrides, payment, stream, write_lines

from headrace.config.loading import load
from headrace.journal.batches import Batch
from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.end import journal_end
from headrace.journal.segments import first_boundary, segment_numbers
from headrace.ledger.verify import verify_shard
from headrace.operators.events.decode import decode
from headrace.shard.acknowledged import OutputOffsets, note_of
from headrace.shard.durable import DurableShard
from headrace.state.inspection import inspect, source_names

pytestmark = pytest.mark.recovery

LIMITS = overrides(
    input__batch_lines_max=16,
    journal__checkpoint_inputs_max=30,
    journal__checkpoints_max=2,
    journal__keep_bytes_max=1024,
)


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("world") / "events.jsonl", stream(100))


@pytest.fixture(params=[1, 3])
def ended(tmp_path, events, request) -> World:
    world = World(tmp_path / "whole", (events,), LIMITS + overrides(flow__shards=request.param))
    assert world.run() == 0, world.said
    return world


def test_the_beginning_goes_and_the_outputs_are_the_same(tmp_path, events, ended):
    kept = World(tmp_path / "kept", (events,), LIMITS[:-2] + ended.options[-2:])
    assert kept.run() == 0, kept.said
    assert ended.outputs() == kept.outputs()
    for shard in ended.shards():
        numbers = segment_numbers(shard)
        assert 1 < numbers[0] <= checkpoint_numbers(shard)[-1]
        assert len(numbers) < 4


def test_it_goes_on_with_a_further_file(tmp_path, events, ended):
    further = write_lines(tmp_path / "further.jsonl", stream(30, first=120))
    kept = World(tmp_path / "kept", (events,), LIMITS[:-2] + ended.options[-2:])
    assert kept.run() == 0, kept.said
    for world in (ended, kept):
        assert World(world.folder, (further,), world.options).run() == 0, world.said
    assert ended.outputs() == kept.outputs()


@pytest.mark.slow
@one_in
def test_killed_at_every_write_it_writes_the_same_bytes(tmp_path, events, ended, one_in):
    logging = World(tmp_path / "logged", (events,), ended.options)
    moments = logged(logging)
    world = World(tmp_path / "killed", (events,), ended.options)
    shorter = 0
    for moment in chosen(moments, 2 * one_in if len(ended.shards()) == 1 else 8 * one_in):
        world.clear()
        world.run(killing(moment))
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == ended.outputs(), moment
        shorter += all(segment_numbers(shard)[0] > 1 for shard in world.shards())
    assert shorter > 20 // one_in


def process(shard: DurableShard, lines: list[bytes]) -> None:
    count = len(lines)
    batch = Batch(
        accepted_ms=0,
        accepted_ns=0,
        ordinal=shard.position,
        payloads=lines,
        sources=[0] * count,
        offsets=[0] * count,
        lines=[1] * count,
        marks=(),
    )
    shard.process(batch, decode(lines), None)


def test_a_lagging_shard_keeps_what_the_others_would_delete(tmp_path):
    settings = load(None, (*LIMITS[1::2], "journal.checkpoints_max=1"))
    behind = 40
    shard = DurableShard(tmp_path, settings, needed=lambda: behind)
    for start in range(0, 200, 20):
        process(shard, [payment(number) for number in range(start, start + 20)])
    shard.close()
    assert first_boundary(tmp_path).ordinal <= behind
    behind = 1000
    again = DurableShard(tmp_path, settings, needed=lambda: behind)
    process(again, [payment(number) for number in range(200, 240)])
    again.close()
    assert first_boundary(tmp_path).ordinal > 40
    assert again.retired.segments > 0


def test_who_knows_neither_outputs_nor_other_shards_deletes_nothing(tmp_path):
    shard = DurableShard(tmp_path, load(None, LIMITS[1::2]))
    for start in range(0, 200, 20):
        process(shard, [payment(number) for number in range(start, start + 20)])
    shard.close()
    assert first_boundary(tmp_path).segment == 1


def test_an_output_that_lost_more_than_is_kept_stops_the_start(ended):
    ended.decisions.write_bytes(ended.decisions.read_bytes()[:100])
    assert ended.run() == 6
    assert "shorter than where the kept journal begins" in ended.said.replace("\n", " ")


class TestWhatIsGoneIsSaid:
    def test_by_verify(self, ended):
        for shard in ended.shards():
            found, first = verify_shard(shard), first_boundary(shard)
            assert found.whole
            assert (found.first_segment, found.first_sequence) == (first.segment, first.seq)
        assert command_line(ended, "ledger", "verify", "--state", str(ended.state)) == 0
        assert "are no longer kept" in ended.said

    def test_by_inspect_which_knows_sources_and_configuration_all_the_same(self, ended, events):
        told = inspect(ended.state)["shards"]
        for name, shard in told.items():
            assert shard["first_segment"] == segment_numbers(ended.state / name)[0]
            assert shard["config"]["digest"]
        assert source_names(ended.state)[0] == str(events)
        assert command_line(ended, "state", "inspect", "--state", str(ended.state)) == 0
        assert "before it are no longer kept" in ended.said

    def test_by_explain_which_explains_the_rest(self, ended):
        ids = [json.loads(line)["event_id"] for line in ended.decisions.read_bytes().splitlines()]
        assert command_line(ended, "explain", ids[-1], "--state", str(ended.state)) == 0, ended.said
        assert command_line(ended, "explain", ids[0], "--state", str(ended.state)) == 9
        assert "no longer kept: shard-00 before segment" in ended.said.replace("\n", " ")

    def test_by_export_which_exports_the_rest(self, ended):
        # As when no checkpoint of the first segment is kept: the segment itself tells the configuration.
        table = ended.folder / "table.jsonl"
        for shard in ended.shards():
            for checkpoint in shard.glob("*.ckpt"):
                checkpoint.unlink()
        assert command_line(ended, "ledger", "export", "--state", str(ended.state), "--to", str(table)) == 0
        assert "older records of all kinds are no longer kept" in ended.said.replace("\n", " ")
        rows = [json.loads(row) for row in table.read_bytes().splitlines()]
        decisions = [json.loads(line) for line in ended.decisions.read_bytes().splitlines()]
        assert rows
        assert {row["event_id"] for row in rows} < {decision["event_id"] for decision in decisions}
        assert all(row["source"] and row["feature_amount"] is not None for row in rows)

    def test_by_a_backup_that_can_be_restored(self, ended, tmp_path):
        copy, restored = tmp_path / "backup", tmp_path / "restored"
        assert command_line(ended, "state", "backup", "--state", str(ended.state), "--to", str(copy)) == 0
        assert command_line(ended, "state", "restore", "--from", str(copy), "--state", str(restored)) == 0
        shutil.rmtree(ended.state)
        restored.rename(ended.state)
        before = ended.outputs()
        assert ended.run() == 0, ended.said
        assert ended.outputs() == before


def test_the_first_segment_that_is_left_knows_configuration_sources_and_output_offsets(tmp_path):
    shard = DurableShard(tmp_path, load(None, LIMITS[1::2]), needed=lambda: 1000)
    shard.register(0, "kafka:events/0")
    note = note_of(OutputOffsets("decisions", "decided", {0: 7, 1: 9}, 5))
    shard.note_sink(note)
    for start in range(0, 200, 20):
        process(shard, [payment(number) for number in range(start, start + 20)])
    shard.close()
    assert first_boundary(tmp_path).segment > 1
    whole = journal_end(tmp_path, 0, cut_torn_tail=False)
    for checkpoint in tmp_path.glob("*.ckpt"):
        checkpoint.unlink()
    left = journal_end(tmp_path, 0, cut_torn_tail=False)
    assert left == whole
    assert left.sinks == {"decisions": note}
    assert left.names == {0: "kafka:events/0"}
