"""A state is gone on with when it fits what it is given; else it is refused, and nothing is changed."""

from __future__ import annotations

import fcntl
from pathlib import Path

import orjson
import pytest
from killing import BATCHES, from_pipe, killed_within_a_batch
from worlds import World, all_of, outcome, overrides, payment, stream, write_lines

from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary, segment_numbers, segment_path, start_of
from headrace.journal.verify import verify

pytestmark = pytest.mark.recovery

CHECKPOINTS = BATCHES + overrides(journal__checkpoint_inputs_max=30)


@pytest.fixture
def events(tmp_path) -> Path:
    return write_lines(tmp_path / "events.jsonl", stream(42))


@pytest.fixture
def world(tmp_path, events) -> World:
    """A run that has ended."""
    world = World(tmp_path / "world", (events,), CHECKPOINTS)
    assert world.run() == 0, world.said
    return world


def again(world: World, *options: str, sources: tuple[Path, ...] | None = None) -> World:
    """The same state and outputs, with other sources or further options."""
    return World(world.folder, sources or world.sources, world.options + options)


def contents(world: World) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in [*all_of(world), world.decisions, world.dead_letters]}


def decided(world: World) -> list[str]:
    return [orjson.loads(line)["event_id"] for line in world.decisions.read_bytes().splitlines()]


def without_checkpoints(world: World) -> World:
    """As if the run had been killed before its first checkpoint was complete."""
    for shard in world.shards():
        for number in checkpoint_numbers(shard):
            checkpoint_path(shard, number).unlink()
    return world


def controls(world: World) -> list[dict[str, object]]:
    (shard,) = world.shards()
    frames = JournalReader(shard, first_boundary(shard), cut_torn_tail=False).frames()
    records = [record for frame in frames for record in frame.records]
    return [orjson.loads(record.input) for record in records if record.kind == Kind.CONTROL]


# -- sources


def test_the_same_run_again_changes_no_output(world):
    outputs = world.outputs()
    assert world.run() == 0, world.said
    assert world.outputs() == outputs


def test_a_further_file_is_a_new_source_and_is_appended(tmp_path, world):
    outputs = world.outputs()
    further = write_lines(tmp_path / "further.jsonl", stream(20, first=42))
    second = again(world, sources=(further,))
    assert second.run() == 0, second.said
    assert all(now.startswith(then) for now, then in zip(second.outputs(), outputs, strict=True))
    assert decided(second) == [f"p{number}" for number in range(62)]
    names = [note["name"] for note in controls(second) if note["control"] == "source"]
    assert names == [str(source.resolve()) for source in (*world.sources, further)]
    dead = [orjson.loads(line) for line in world.dead_letters.read_bytes().splitlines()]
    assert {letter["source"] for letter in dead} == set(names)


def test_two_runs_decide_as_one_over_both_files(tmp_path, world):
    further = write_lines(tmp_path / "further.jsonl", stream(20, first=42))
    assert again(world, sources=(further,)).run() == 0
    one = World(tmp_path / "one", (*world.sources, further), CHECKPOINTS)
    assert one.run() == 0, one.said
    # The first file's last outcomes are missing in both; merged by time the files stand one after the other.
    assert one.outputs()[0] == world.outputs()[0]


def test_a_grown_file_is_read_on(tmp_path, world, events):
    before = world.outputs()
    with events.open("ab") as file:
        file.writelines(line + b"\n" for line in stream(10, first=42))
    assert world.run() == 0, world.said
    assert decided(world) == [f"p{number}" for number in range(52)]
    assert world.outputs()[0].startswith(before[0])


@pytest.mark.parametrize("change", ["byte", "shorter"])
def test_a_source_changed_in_the_part_that_was_read_is_refused(world, events, change):
    whole = events.read_bytes()
    events.write_bytes(whole[:-1] if change == "shorter" else whole.replace(b"c3", b"c2", 1))
    before = world.outputs()
    assert world.run() == 5, world.said
    assert str(events) in world.said
    assert world.outputs() == before


def test_a_line_that_is_still_being_written_is_left_for_a_later_run(tmp_path, world, events):
    path = tmp_path / "growing.jsonl"
    for part in (payment(50)[:40], payment(50)[40:] + b"\n" + payment(51)[:-1], b"}\n"):
        with path.open("ab") as file:
            file.write(part)
        growing = again(world, sources=(events, path))
        assert growing.run() == 0, world.said
        left = f"{path}: its last line has no newline yet, and is left for a later run"
        assert (left in world.said) is not part.endswith(b"\n")
    assert decided(world)[-2:] == ["p50", "p51"]
    assert b"growing" not in world.dead_letters.read_bytes()


def moved(world: World, *options: str, to: str = "moved.jsonl") -> World:
    """The run goes on with its source under another name."""
    (source,) = world.sources
    (world.folder / to).write_bytes(source.read_bytes() + payment(70) + b"\n")
    return again(world, *options, sources=(world.folder / to,))


def test_a_source_under_another_name_is_not_decided_again_unawares(world, events):
    before = contents(world)
    there = moved(world)
    assert there.run() == 5
    said = f"{there.sources[0]}: begins with all {events.stat().st_size} bytes that were read of {events}"
    assert said in world.said
    assert contents(world) == before


def test_a_source_that_was_moved_is_followed(world, events):
    lines = len(decided(world))
    there = moved(world, "--moved", "follow")
    assert there.run() == 0, world.said
    assert decided(world)[lines:] == ["p70"]
    # From then on it is known by its new name, also where its notes are applied again.
    assert again(there).run() == 0
    assert without_checkpoints(World(there.folder, there.sources, world.options)).run() == 0, world.said
    assert decided(world)[lines:] == ["p70"]


def test_a_source_that_is_to_be_decided_again_is_a_new_one(world):
    duplicates = moved(world, "--moved", "again")
    assert duplicates.run() == 0, world.said
    assert "warning" not in world.said
    assert [note["number"] for note in controls(world) if note["control"] == "source"] == [0, 1]


def test_a_copy_beside_its_original_is_refused(world, events):
    copy = moved(world).sources[0]
    for options in ((), ("--moved", "follow")):
        both = again(world, *options, sources=(events, copy))
        assert both.run() == 5
        assert "which is a source of this run too" in world.said


def test_standard_input_is_one_source_that_goes_on(tmp_path):
    world = World(tmp_path / "world", (Path("-"),), CHECKPOINTS)
    for first in (0, 20, 40):
        path = write_lines(tmp_path / "given", [payment(first), b"{}", payment(first + 1)])
        path.write_bytes(path.read_bytes()[:-1])  # nothing more will come, so that the last line is whole
        assert world.run(from_pipe(path)) == 0, world.said
    assert decided(world) == ["p0", "p1", "p20", "p21", "p40", "p41"]
    letters = list(map(orjson.loads, world.dead_letters.read_bytes().splitlines()))
    assert [(letter["source"], letter["line"]) for letter in letters] == [("-", 2), ("-", 5), ("-", 8)]
    assert len({letter["offset"] for letter in letters}) == 3
    assert [note["number"] for note in controls(world) if note["control"] == "source"] == [0]


def test_limits_on_sources_are_those_of_a_run_and_of_all(tmp_path):
    files = [write_lines(tmp_path / f"{n}.jsonl", [payment(n)]) for n in range(4)]
    world = World(tmp_path / "world", (), overrides(input__sources_max=2, input__sources_known_max=3))
    for file in files[:3]:
        assert again(world, sources=(file,)).run() == 0, world.said
    assert again(world, sources=tuple(files[:3])).run() == 2
    assert "input.sources_max: is 2; with this run it is 3" in world.said
    assert again(world, sources=(files[3],)).run() == 2
    assert "input.sources_known_max: is 3; with this run it is 4" in world.said
    assert again(world, sources=(files[0], files[2])).run() == 0, world.said


def test_all_sources_that_cannot_be_read_are_named(tmp_path, world, events):
    gone = tuple(tmp_path / name for name in ("gone", "lost"))
    assert again(world, sources=(events, *gone)).run() == 3
    for path in gone:
        assert f"error: {path}: can't be read: No such file or directory" in world.said


def test_a_source_named_twice_is_refused(world, events):
    assert again(world, sources=(events, events)).run() == 2


def test_a_source_that_cannot_be_opened_is_not_taken_into_the_state(tmp_path, world):
    before = contents(world)
    assert again(world, sources=(tmp_path / "missing.jsonl",)).run() == 3
    assert contents(world) == before


# -- configuration


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("features.first_high_age.window=13d", ["features.first_high_age.window", "14d", "13d"]),
        ("bins.history.edges=[3, 10]", ["bins.history.edges"]),
        ("model.name=logistic_sgd", ["model", "logistic_adagrad", "logistic_sgd"]),
        ("flow.currency=USD", ["flow.currency", "EUR", "USD"]),
        ("flow.shards=2", ["flow.shards", "1", "2"]),
    ],
)
def test_another_shape_is_refused_with_the_difference(world, option, said):
    before = contents(world)
    other = again(world, "--set", option)
    assert other.run() == 7, other.said
    assert all(part in other.said for part in said), other.said
    assert contents(world) == before


def test_another_shape_is_refused_without_a_checkpoint_too(world):
    other = again(without_checkpoints(world), *overrides(features__first_high_age__window="13d"))
    assert other.run() == 7, other.said


def test_another_configuration_is_journalled_and_holds_from_there(tmp_path, world, events):
    before = world.outputs()[0]
    with events.open("ab") as file:
        file.writelines(line + b"\n" for line in stream(10, first=42))
    other = again(world, *overrides(policy__review_at=0.0, policy__block_at=0.0))
    assert other.run() == 0, other.said
    assert "changed since the last run: policy.block_at: 0.8 → 0.0\n" in other.said
    assert other.said.count("changed since") == 2
    after = world.outputs()[0]
    assert after.startswith(before)
    assert {orjson.loads(line)["action"] for line in after[len(before) :].splitlines()} == {"block"}
    notes = [note for note in controls(world) if note["control"] == "config"]
    configured = [orjson.loads(str(note["settings"])) for note in notes]
    assert [settings["policy"]["block_at"] for settings in configured] == [0.8, 0.0]
    # Applied again from the very beginning, each decision must come out under its own configuration.
    without_checkpoints(world)
    assert other.run() == 0, other.said
    assert world.outputs()[0] == after


def test_the_same_configuration_is_journalled_once(world):
    assert world.run() == 0
    assert "changed since" not in world.said
    assert [note["control"] for note in controls(world)].count("config") == 1


def test_a_list_with_another_content_is_told_and_stays_as_it_was(tmp_path, events):
    path = tmp_path / "blocked.txt"
    path.write_text("c1\n")
    table = f'{{ file = "{path}", key = "customer_id", action = "block", code = "high_amount" }}'
    world = World(tmp_path / "world", (events,), overrides(policy__lists__blocked=table))
    assert world.run() == 0, world.said
    path.write_text("c2\n")
    assert again(world).run() == 0, world.said
    assert world.said.count("changed since the last run: list blocked: digest changed: ") == 1, world.said


# -- the folder


def test_a_state_in_use_is_refused(world):
    with (world.state / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert world.run() == 8, world.said
    assert world.run() == 0, world.said


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_tail_is_cut_off_with_a_warning(tmp_path, events, cut):
    world = World(tmp_path / "world", (events,), BATCHES)
    assert world.run() == 0, world.said
    outputs = world.outputs()
    (shard,) = without_checkpoints(world).shards()
    segment_path(shard, segment_numbers(shard)[-1]).unlink()  # the last checkpoint's own, which is empty
    path = segment_path(shard, 1)
    path.write_bytes(path.read_bytes()[:-cut])
    assert world.run() == 0, world.said
    assert "cut off" in world.said
    assert path.name in world.said.replace("\n", "")
    assert world.outputs() == outputs
    assert verify(shard).torn is None


def test_a_flipped_byte_in_the_journal_is_named(world):
    (shard,) = without_checkpoints(world).shards()
    path = segment_path(shard, 2)
    damaged = bytearray(path.read_bytes())
    frame = start_of(shard, 2).byte
    damaged[frame + 300] ^= 0x10
    path.write_bytes(damaged)
    before = contents(world)
    assert world.run() == 6, world.said
    assert f"{path}: byte {frame}" in world.said
    assert contents(world) == before


def test_a_missing_segment_is_named(world):
    (shard,) = without_checkpoints(world).shards()
    path = segment_path(shard, 2)
    path.unlink()
    assert world.run() == 6, world.said
    assert str(path) in world.said


def test_an_unreadable_checkpoint_is_passed_over_for_the_one_before(world, events):
    (shard,) = world.shards()
    newest, before = checkpoint_numbers(shard)
    path = checkpoint_path(shard, newest)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    outputs = world.outputs()
    inputs = sum(
        record.kind != Kind.CONTROL
        for frame in JournalReader(shard, start_of(shard, before), cut_torn_tail=False).frames()
        for record in frame.records
    )
    with events.open("ab") as file:
        file.write(payment(60) + b"\n")
    assert world.run() == 0, world.said
    assert path.name in world.said.replace("\n", "")
    assert f"{inputs} applied again" in world.said.replace("\n", " ")
    assert world.outputs()[0].startswith(outputs[0])
    assert decided(world)[-1] == "p60"


# -- outputs


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


# -- shards


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
