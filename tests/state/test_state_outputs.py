"""A state and its outputs: written again, cut off, and those of others refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from killing import BATCHES, from_pipe, killed_within_a_batch
from state_worlds import CHECKPOINTS, again, contents, decided
from worlds import World, outcome, overrides, payment, stream, write_lines

pytestmark = pytest.mark.recovery


@pytest.mark.parametrize("lines", [1, 5, 30, 42])
@pytest.mark.parametrize("options", [BATCHES, CHECKPOINTS, CHECKPOINTS + overrides(flow__shards=3)])
def test_outputs_shorter_than_the_journal_knows_are_written_again(tmp_path, events, lines, options):
    world = World(tmp_path / "world", (events,), options)
    assert world.run() == 0, world.said
    outputs = world.outputs()
    kept = outputs[0].splitlines(keepends=True)[:-lines]
    world.decisions.write_bytes(b"".join(kept)[:-7])
    assert world.run() == 0, world.said
    assert world.outputs() == outputs


def test_dead_letters_that_were_lost_are_written_again(world):
    outputs = world.outputs()
    world.dead_letters.unlink()
    assert world.run() == 0, world.said
    assert world.outputs() == outputs


def test_what_was_written_behind_the_journals_end_is_cut_off(world):
    outputs = world.outputs()
    with world.decisions.open("ab") as file:
        file.write(b'{"decision_id": "not journalled')
    assert world.run() == 0, world.said
    assert world.outputs() == outputs


@pytest.mark.parametrize("bytes_left", [0, 10])
def test_of_a_first_line_that_was_cut_off_the_rest_is_written(world, bytes_left):
    outputs = world.outputs()
    world.decisions.write_bytes(outputs[0][:bytes_left])
    assert world.run() == 0, world.said
    assert world.outputs() == outputs


def refused(world: World, file: Path, place: str) -> None:
    """A run with a file that isn't its own ends, and leaves it as it was."""
    held = file.read_bytes()
    assert world.run() == 7
    assert f"error: {file}: {place}" in world.said
    assert file.read_bytes() == held


@pytest.mark.parametrize("output", ["decisions.jsonl", "dead.jsonl"])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_new_state_cuts_no_file_that_was_there(tmp_path, events, output, shards):
    world = World(tmp_path / "world", (events,), CHECKPOINTS + overrides(flow__shards=shards))
    world.folder.mkdir()
    (world.folder / output).write_bytes(b"precious\n")
    refused(world, world.folder / output, "holds 9 bytes, and the state has written none of them")
    (world.folder / output).rename(tmp_path / "away")
    assert world.run() == 0, world.said


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("foreign", [b"precious\n", b"precious\n" * 10_000])
def test_a_state_goes_on_in_no_file_of_others(tmp_path, events, shards, foreign):
    world = World(tmp_path / "world", (events,), CHECKPOINTS + overrides(flow__shards=shards))
    assert world.run() == 0, world.said
    world.decisions.write_bytes(foreign)
    refused(world, world.decisions, "the line at byte ")


def test_every_output_of_others_is_told(world):
    for path in (world.decisions, world.dead_letters):
        path.write_bytes(path.read_bytes().upper())
    refused(world, world.decisions, "the line at byte ")
    refused(world, world.dead_letters, "the line at byte ")


def test_a_last_line_that_is_another_is_not_written_on(world, events):
    lines = world.decisions.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b"p", b"q")
    world.decisions.write_bytes(b"".join(lines))
    refused(world, world.decisions, "the line at byte ")


def test_an_outcome_learned_in_an_earlier_run_counts_in_the_next(tmp_path, events):
    """The model that a state keeps is the one that had seen everything."""
    world = World(tmp_path / "world", (events,), CHECKPOINTS)
    assert world.run() == 0
    further = write_lines(tmp_path / "further.jsonl", [outcome(41), payment(45)])
    assert again(world, sources=(further,)).run() == 0
    whole = write_lines(tmp_path / "whole.jsonl", [*stream(42), outcome(41), payment(45)])
    one = World(tmp_path / "one", (whole,), CHECKPOINTS)
    assert one.run() == 0
    assert one.outputs()[0] == world.outputs()[0]


def test_a_shard_that_is_missing_is_named(tmp_path, events):
    world = World(tmp_path / "world", (events,), CHECKPOINTS + overrides(flow__shards=3))
    assert world.run() == 0, world.said
    for name in ("shard-02", "shard-00"):
        (world.state / name).rename(tmp_path / name)
        assert world.run() == 6, world.said
        assert f"{name}: is missing" in world.said
        assert not (world.state / name).exists()


def test_fewer_shards_are_refused(tmp_path, events):
    world = World(tmp_path / "world", (events,), CHECKPOINTS + overrides(flow__shards=3))
    assert world.run() == 0, world.said
    before = contents(world)
    assert again(world, *overrides(flow__shards=2)).run() == 7, world.said
    assert contents(world) == before


def test_a_further_file_loses_no_line_where_some_shards_had_nothing_of_the_last_ones(tmp_path):
    """The last lines of the first file are all of one customer, so of one shard."""
    first = write_lines(tmp_path / "first.jsonl", [*stream(30), *[one_customers(n) for n in range(40, 70)]])
    further = write_lines(tmp_path / "further.jsonl", stream(30, first=100))
    world = World(tmp_path / "world", (first,), BATCHES + overrides(flow__shards=3))
    assert world.run() == 0, world.said
    assert again(world, sources=(further,)).run() == 0, world.said
    expected = [*range(30), *range(40, 70), *range(100, 130)]
    assert decided(world) == [f"p{number}" for number in expected]


def one_customers(number: int) -> bytes:
    return payment(number, customer_id="c1")


def test_after_a_kill_other_sources_are_refused_while_a_line_of_the_old_ones_is_owed(tmp_path, events):
    world = killed_within_a_batch(tmp_path, events, events)
    further = write_lines(tmp_path / "further.jsonl", stream(30, first=100))
    assert again(world, sources=(further,)).run() == 6, world.said
    assert "the same sources" in world.said.replace("\n", " ")
    assert world.run() == 0, world.said
    whole = World(tmp_path / "whole", (events,), world.options)
    assert whole.run() == 0, whole.said
    assert world.outputs() == whole.outputs()
    assert again(world, sources=(further,)).run() == 0, world.said
    assert decided(world) == [f"p{number}" for number in (*range(42), *range(100, 130))]


def test_outputs_are_written_again_without_their_sources(tmp_path, world, events):
    outputs = world.outputs()
    further = write_lines(tmp_path / "further.jsonl", stream(5, first=100))
    world.decisions.unlink()
    world.dead_letters.write_bytes(outputs[1][:100])
    events.unlink()
    assert again(world, sources=(further,)).run() == 0, world.said
    assert all(now.startswith(then) for now, then in zip(world.outputs(), outputs, strict=True))
    assert decided(world) == [f"p{number}" for number in (*range(42), *range(100, 105))]


def test_what_only_some_shards_had_of_a_pipe_is_given_up(tmp_path, events):
    world = killed_within_a_batch(tmp_path, Path("-"), events)
    further = write_lines(tmp_path / "further.jsonl", stream(30, first=100))
    assert world.run(from_pipe(further)) == 0, world.said
    assert "can't be read again" in world.said.replace("\n", " ")
    now = decided(world)
    assert now[-30:] == [f"p{number}" for number in range(100, 130)]
    assert 30 + 20 < len(now) < 30 + 42
    assert world.run(from_pipe(write_lines(tmp_path / "more.jsonl", stream(5, first=200)))) == 0, world.said
    assert decided(world) == [*now, *[f"p{number}" for number in range(200, 205)]]
