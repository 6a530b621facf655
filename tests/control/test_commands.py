"""A command and a retried dead letter have their effect once, whenever the run that takes them is killed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import orjson
import pytest
from killing import chosen, killed_within_a_batch, killing, logged, one_in
from worlds import World, overrides, payment, stream, write_lines

from headrace.config.loading import load
from headrace.control.dead_letters import Letter, letters_in_state, portions
from headrace.control.inbox import control_folder, limits_of, put, taken_of
from headrace.journal.reader import JournalReader
from headrace.journal.records import COMMAND, Kind, Record
from headrace.journal.segments import first_boundary
from headrace.shard.commands import KillSwitch

pytestmark = pytest.mark.recovery

BATCHES = overrides(input__batch_lines_max=16, journal__checkpoint_inputs_max=30)
SHORT, LONG = overrides(input__line_bytes_max=256), overrides(input__line_bytes_max=4096)


def too_long(number: int) -> bytes:
    return payment(number, note="x" * 300)


@pytest.fixture(params=[1, 3])
def waiting(tmp_path, request) -> World:
    """A run with dead letters has ended; its letters are to be retried, and the kill switch is to be set."""
    first = write_lines(tmp_path / "first.jsonl", [*stream(20), *map(too_long, range(30, 36))])
    shards = overrides(flow__shards=request.param)
    begun = World(tmp_path / "begun", (first,), BATCHES + SHORT + shards)
    assert begun.run() == 0, begun.said
    further = write_lines(tmp_path / "further.jsonl", stream(10, first=50))
    settings = load(None)
    wrong = too_long_in(begun)
    assert len(wrong) == 6
    files = [[KillSwitch(on=True)], *portions(wrong, None, 2000), [KillSwitch(on=False)]]
    assert len(files) > 3
    for commands in files:
        put(control_folder(begun.state), commands, limits_of(settings), lambda: taken_of(begun.state))
    return World(begun.folder, (further,), BATCHES + LONG + shards)


def too_long_in(world: World) -> list[Letter]:
    return [each for each in letters_in_state(world.state) if each.letter.reason == "line_too_long"]


def copied(world: World, name: str) -> World:
    folder = world.folder.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.folder, folder)
    return World(folder, world.sources, world.options)


def came_through_control(shard: Path) -> list[Record]:
    frames = JournalReader(shard, first_boundary(shard), cut_torn_tail=False).frames()
    return [record for frame in frames for record in frame.records if record.flags]


def check_whole(world: World) -> None:
    """Each letter is decided once, each shard has each command once, in order, and no file is left."""
    decisions = [orjson.loads(line) for line in world.decisions.read_bytes().splitlines()]
    assert Counter(decision["event_id"] for decision in decisions).most_common(1)[0][1] == 1
    retried = [decision["event_id"] for decision in decisions if decision.get("retried")]
    assert retried == [f"p{number}" for number in range(30, 36)]
    assert too_long_in(world) == []
    records = [came_through_control(shard) for shard in world.shards()]
    for shard in records:
        commands = [orjson.loads(record.input) for record in shard if record.flags & COMMAND]
        assert [command["on"] for command in commands] == [True, False]
    assert sum(record.kind == Kind.DECIDED for shard in records for record in shard) == 6
    assert list(control_folder(world.state).glob("*.jsonl")) == []


def test_they_are_taken_at_the_next_start_before_anything_else(waiting):
    before = waiting.outputs()
    assert waiting.run() == 0, waiting.said
    check_whole(waiting)
    new = waiting.outputs()[0][len(before[0]) :].splitlines()
    assert [bool(orjson.loads(line).get("retried")) for line in new] == [True] * 6 + [False] * 10
    outputs = waiting.outputs()
    assert waiting.run() == 0, waiting.said
    assert waiting.outputs() == outputs


def test_applied_again_from_the_journals_beginning_they_lead_to_the_same(waiting):
    assert waiting.run() == 0, waiting.said
    for shard in waiting.shards():
        for checkpoint in shard.glob("*.ckpt"):
            checkpoint.unlink()
    outputs = waiting.outputs()
    waiting.decisions.unlink()
    assert waiting.run() == 0, waiting.said
    assert "applied again" in waiting.said.replace("\n", " ")
    assert waiting.outputs() == outputs


@pytest.mark.slow
@one_in
def test_killed_at_every_write_they_have_their_effect_once(waiting, one_in):
    whole = copied(waiting, "whole")
    moments = logged(whole)
    check_whole(whole)
    for moment in chosen(moments, one_in if len(whole.shards()) == 1 else 3 * one_in):
        world = copied(waiting, "killed")
        code = world.run(killing(moment))
        assert code == (-9 if moment.both or not moment.child else 0), (moment, world.said)
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment
        check_whole(world)


def test_a_command_waits_until_all_shards_have_what_some_of_them_had(tmp_path):
    events = write_lines(tmp_path / "events.jsonl", stream(42))
    world = killed_within_a_batch(tmp_path, events, events)
    put(control_folder(world.state), [KillSwitch(on=True)], limits_of(load(None)), lambda: 0)
    assert world.run() == 0, world.said
    whole = World(tmp_path / "whole", (events,), world.options)
    assert whole.run() == 0, whole.said
    assert world.outputs() == whole.outputs()
    assert [len(came_through_control(shard)) for shard in world.shards()] == [1, 1, 1]


def test_a_file_that_is_no_command_is_moved_aside_and_the_rest_is_taken(waiting):
    folder = control_folder(waiting.state)
    number = max(int(path.stem) for path in folder.glob("*.jsonl"))
    (folder / f"{number + 1:012d}.jsonl").write_bytes(
        b'{"type":"control","command":"kill_switch","on":true}\n{'
    )
    (folder / f"{number + 2:012d}.jsonl").write_bytes(b"")
    put(folder, [KillSwitch(on=True)], limits_of(load(None)), lambda: 0)
    assert waiting.run() == 0, waiting.said
    assert "line 2: no command" in waiting.said.replace("\n", " ")
    aside = sorted(path.name for path in (folder / "refused").iterdir())
    assert aside == [f"{number + 1:012d}.jsonl", f"{number + 2:012d}.jsonl"]
    for shard in waiting.shards():
        said = [orjson.loads(each.input) for each in came_through_control(shard) if each.flags & COMMAND]
        assert [command["on"] for command in said] == [True, False, True]
    assert list(folder.glob("*.jsonl")) == []


def test_a_line_of_a_data_file_is_no_command(tmp_path):
    line = b'{"type":"control","command":"kill_switch","on":true}'
    events = write_lines(tmp_path / "events.jsonl", [payment(1), line, payment(2)])
    world = World(tmp_path / "world", (events,), BATCHES)
    assert world.run() == 0, world.said
    (letter,) = letters_in_state(world.state)
    assert (letter.letter.reason, letter.payload) == ("unknown_type", line)
    assert came_through_control(world.shards()[0]) == []


def test_a_letter_that_fails_again_is_a_new_one_about_the_same_place(waiting):
    still_short = World(waiting.folder, waiting.sources, waiting.options + SHORT)
    before = too_long_in(waiting)
    assert still_short.run() == 0, still_short.said
    after = too_long_in(waiting)
    assert [each.letter for each in after] == [each.letter for each in before]
    assert min(each.number for each in after) > max(each.number for each in before)
    dead = [orjson.loads(line) for line in waiting.dead_letters.read_bytes().splitlines()]
    places = Counter((letter["source"], letter["offset"]) for letter in dead)
    assert sorted(places.values())[-6:] == [2] * 6
