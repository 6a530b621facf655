"""A state and its sources: further ones, grown, moved and changed ones."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from killing import from_pipe
from state_worlds import CHECKPOINTS, again, contents, controls, decided, without_checkpoints
from worlds import World, overrides, payment, stream, write_lines

pytestmark = pytest.mark.recovery


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
