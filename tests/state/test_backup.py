"""A backup that is taken while a flow runs, put in place elsewhere, goes on to the same decisions."""

from __future__ import annotations

import os
import tarfile
import time
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from worlds import World, overrides, payment, stream, write_lines

from headrace.config.loading import load
from headrace.control.inbox import control_folder, limits_of, put, taken_of
from headrace.errors import JournalDamaged, StateError
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE
from headrace.journal.segments import first_boundary, segment_numbers, segment_path
from headrace.journal.verify import verify
from headrace.shard.commands import KillSwitch
from headrace.state.backup import MANIFEST, back_up, restore

pytestmark = pytest.mark.recovery

OPTIONS = overrides(
    input__batch_lines_max=16, journal__checkpoint_inputs_max=40, journal__segment_bytes_max=65_536
)
PACED = ("--speed", "240", *overrides(control__poll_seconds=0.05))
PAYMENTS = 600
LIMITS = limits_of(load(None))


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("world") / "events.jsonl", stream(PAYMENTS))


@pytest.fixture(scope="module")
def ended(tmp_path_factory, events) -> World:
    """A run of three shards that has ended."""
    world = World(tmp_path_factory.mktemp("ended") / "world", (events,), (*OPTIONS, "--set", "flow.shards=3"))
    assert world.run() == 0, world.said
    return world


def position(state: Path) -> int:
    return min(verify(shard).end.ordinal for shard in state.glob("shard-*"))


def started(world: World) -> int:
    """Start a run, and wait for its first decision."""
    child = world.start()
    goes_on(world, child)
    return child


def goes_on(world: World, child: int) -> None:
    """Wait until a run has decided more."""
    before = world.decisions.stat().st_size if world.decisions.exists() else 0
    while not world.decisions.exists() or world.decisions.stat().st_size <= before:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), world.said
        time.sleep(0.01)


@pytest.mark.parametrize("shards", [1, 3])
def test_restore_drill(tmp_path, events, shards):
    options = OPTIONS + overrides(flow__shards=shards)
    running = World(tmp_path / "running", (events,), options + PACED)
    child = started(running)
    backups = [tmp_path / f"backup-{number}{('', '.tar')[number % 2]}" for number in range(5)]
    for backup in backups:
        back_up(running.state, backup)
        for _ in range(3):
            goes_on(running, child)
    assert running.kill(child) == -9
    running = World(running.folder, (events,), options)
    assert running.run() == 0, running.said
    positions = []
    for number, backup in enumerate(backups):
        world = World(tmp_path / f"restored-{number}", (events,), options)
        world.folder.mkdir()
        restore(backup, world.state)
        positions.append(position(world.state))
        assert world.run() == 0, world.said
        assert world.outputs() == running.outputs()
    assert positions == sorted(positions)
    assert len(set(positions)) > 3, "the backups were not taken on the way"


def test_a_copied_output_is_brought_to_what_the_restored_journal_says(tmp_path, events):
    running = World(tmp_path / "running", (events,), OPTIONS + PACED)
    child = started(running)
    goes_on(running, child)
    back_up(running.state, tmp_path / "backup")
    goes_on(running, child)
    goes_on(running, child)
    assert running.kill(child) == -9
    world = World(tmp_path / "restored", (events,), OPTIONS)
    world.folder.mkdir()
    restore(tmp_path / "backup", world.state)
    # The copy of the output was made later than the backup: it is longer.
    world.decisions.write_bytes(running.decisions.read_bytes())
    assert world.run() == 0, world.said
    whole = World(tmp_path / "whole", (events,), OPTIONS)
    assert whole.run() == 0, whole.said
    assert world.outputs() == whole.outputs()


def test_commands_put_while_backups_are_taken_stand_in_all_shards_or_in_none(tmp_path, events):
    options = OPTIONS + overrides(flow__shards=3)
    running = World(tmp_path / "running", (events,), options + PACED)
    child = started(running)
    backups, with_command = [], 0
    while with_command < 12:
        on = len(backups) % 2 == 0
        with_command += taken_of(running.state) > 0
        put(control_folder(running.state), [KillSwitch(on=on)], LIMITS, lambda: taken_of(running.state))
        backups.append(tmp_path / f"backup-{len(backups)}")
        back_up(running.state, backups[-1])
        time.sleep(0.05)
    assert running.kill(child) == -9
    taken = []
    for number, backup in enumerate(backups):
        world = World(tmp_path / f"restored-{number}", (events,), options)
        world.folder.mkdir()
        restore(backup, world.state)
        marks = [mark for shard in world.shards() for mark in verify(shard).end.marks]
        taken.append([mark.offset for mark in marks if mark.source == CONTROL_SOURCE])
        assert len(set(taken[-1])) <= 1
    assert sum(map(bool, taken)) >= with_command
    assert world.run() == 0, world.said


def test_a_command_that_not_every_shard_has_is_left_out_with_what_follows_it(tmp_path, ended):
    """As if the copy were made between the writes of two shards."""
    state = tmp_path / "state"
    for shard in ended.shards():
        (state / shard.name).mkdir(parents=True)
        for number in segment_numbers(shard):
            content = segment_path(shard, number).read_bytes()
            segment_path(state / shard.name, number).write_bytes(content)
    world = World(tmp_path, (write_lines(tmp_path / "more.jsonl", [payment(900)]),), ended.options)
    put(control_folder(state), [KillSwitch(on=True), KillSwitch(on=False)], LIMITS, lambda: 0)
    command = control_folder(state) / "000000000001.jsonl"
    content = command.read_bytes()
    before = position(state)
    assert world.run() == 0, world.said
    lagging = world.shards()[1]
    for number in checkpoint_numbers(lagging):
        checkpoint_path(lagging, number).unlink()
    heads = list(JournalReader(lagging, first_boundary(lagging), cut_torn_tail=False).heads())
    taken = next(head for head in heads if any(mark.source == CONTROL_SOURCE for mark in head.marks))
    for number in segment_numbers(lagging):
        if number > taken.segment:
            segment_path(lagging, number).unlink()
    os.truncate(segment_path(lagging, taken.segment), taken.position)
    command.write_bytes(content)
    back_up(state, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    ends = [verify(shard).end for shard in sorted((tmp_path / "restored").glob("shard-*"))]
    assert [end.ordinal for end in ends] == [before] * 3
    assert not any(mark.source == CONTROL_SOURCE for end in ends for mark in end.marks)
    assert (control_folder(tmp_path / "restored") / command.name).read_bytes() == content


def test_nothing_is_overwritten(tmp_path, ended):
    back_up(ended.state, tmp_path / "backup")
    with pytest.raises(StateError, match="overwrites nothing"):
        back_up(ended.state, tmp_path / "backup")
    with pytest.raises(StateError, match="overwrites nothing"):
        restore(tmp_path / "backup", ended.state)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "backup", tmp_path / "empty")
    assert position(tmp_path / "empty") == position(ended.state)
    with pytest.raises(StateError, match="no state"):
        back_up(tmp_path / "nothing", tmp_path / "other")


def test_folders_above_a_restored_state_are_made_and_none_stays_if_the_backup_is_refused(tmp_path, ended):
    back_up(ended.state, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new" / "volume" / "state")
    assert position(tmp_path / "new" / "volume" / "state") == position(ended.state)
    (tmp_path / "backup" / MANIFEST).unlink()
    with pytest.raises(StateError, match="is no backup"):
        restore(tmp_path / "backup", tmp_path / "new" / "other" / "deeper" / "state")
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["volume"]


def test_a_backup_into_a_folder_that_is_not_there_is_refused_by_name(tmp_path, ended):
    with pytest.raises(StateError, match=f"there is no folder {tmp_path / 'unmounted'}"):
        back_up(ended.state, tmp_path / "unmounted" / "backup.tar")


@pytest.mark.parametrize("change", ["byte", "missing", "further", "manifest", "cut"])
def test_a_backup_that_is_not_what_was_written_is_refused_and_leaves_nothing(tmp_path, ended, change):
    backup = tmp_path / "backup"
    back_up(ended.state, backup)
    segment = segment_path(backup / "shard-01", 1)
    if change == "byte":
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 1
        segment.write_bytes(content)
    elif change == "missing":
        segment_path(backup / "shard-02", segment_numbers(backup / "shard-02")[-1]).unlink()
    elif change == "further":
        (backup / "shard-00" / "other").write_bytes(b"")
    elif change == "cut":
        os.truncate(segment, segment.stat().st_size - 10)
    else:
        said = orjson.loads((backup / MANIFEST).read_bytes())
        said["shards"]["shard-00"]["chain"] = "0" * 64
        (backup / MANIFEST).write_bytes(orjson.dumps(said))
    with pytest.raises((StateError, JournalDamaged)):
        restore(backup, tmp_path / "restored")
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "shard-00/../../outside", "lock"])
def test_a_tar_with_files_that_have_no_place_in_it_is_refused(tmp_path, ended, name):
    backup = tmp_path / "backup.tar"
    back_up(ended.state, backup)
    with tarfile.open(backup, "a:") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, BytesIO(b"x"))
    with pytest.raises(StateError, match="has no place"):
        restore(backup, tmp_path / "restored")
    assert [path.name for path in tmp_path.iterdir()] == ["backup.tar"]


def test_a_tar_that_is_cut_off_is_refused(tmp_path, ended):
    backup = tmp_path / "backup.tar"
    back_up(ended.state, backup)
    os.truncate(backup, backup.stat().st_size // 2)
    with pytest.raises(StateError):
        restore(backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
