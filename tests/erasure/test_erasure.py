"""An erasure is finished, and the flow goes on to the same decisions, whenever it is killed on the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from erasures import CUSTOMER, TRACE, check_gone, customers, erase, inputs, traces
from killing import Killer, Moment, chosen, killing, one_in
from worlds import World, overrides, write_lines

from headrace.config.loading import load
from headrace.control.inbox import control_folder, limits_of, put, taken_of
from headrace.erasure.search import find_customer
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.erasures import Erasures, work_files
from headrace.journal.verify import verify
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.recovery

BATCHES = overrides(input__batch_lines_max=16, journal__checkpoint_inputs_max=30)


@pytest.fixture(params=[1, 3])
def ended(tmp_path, request) -> World:
    """A run has ended that has a customer who is to be erased; there is a further file to be run."""
    events = write_lines(tmp_path / "events.jsonl", customers(42))
    options = BATCHES + overrides(flow__shards=request.param)
    begun = World(tmp_path / "begun", (events,), options)
    assert begun.run() == 0, begun.said
    assert traces(begun)
    others = [line for line in customers(20, first=60) if TRACE not in line]
    return World(begun.folder, (write_lines(tmp_path / "further.jsonl", others),), options)


def copied(world: World, name: str) -> World:
    folder = world.folder.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.folder, folder)
    return World(folder, world.sources, world.options)


def ask(world: World) -> None:
    """Leave the command for the flow to take."""
    found = find_customer(world.shards(), CUSTOMER)
    put(control_folder(world.state), [found.command()], limits_of(load(None)), lambda: taken_of(world.state))


def moments(log: Path) -> list[Moment]:
    """Every call of the process and of its first child, which erases; both killed, and the child alone."""
    found = []
    for line in log.read_text().splitlines():
        child, call, name = int(line.split()[0]), int(line.split()[1]), line.split()[2]
        if child == 0:
            found.append(Moment(call))
        elif child == 1 and (name != "write" or call % 8 == 0):
            found.append(Moment(call, child=1, both=True))
            if name == "write":
                found.append(Moment(call, torn=True, child=1, both=True))
            else:
                found.append(Moment(call, child=1))
    return found


def test_a_stopped_state_is_erased_at_once_and_goes_on(ended):
    before = ended.outputs()
    kept = copied(ended, "kept")
    assert erase(ended) == 0, ended.said
    check_gone(ended)
    assert ended.outputs() == before
    assert ended.run() == 0, ended.said
    check_gone(ended)
    # Nobody else's decisions have changed, and a second erasure finds nothing to do.
    assert kept.run() == 0, kept.said
    assert ended.outputs() == kept.outputs()
    chains = [verify(shard).end for shard in ended.shards()]
    assert erase(ended) == 0, ended.said
    assert [verify(shard).end for shard in ended.shards()] == chains


def test_all_of_theirs_is_erased_and_nothing_else(ended):
    before = [inputs(shard) for shard in ended.shards()]
    assert erase(ended) == 0, ended.said
    for shard, earlier in zip(ended.shards(), before, strict=True):
        now = inputs(shard)
        commands = now[len(earlier) :]
        assert len(commands) == 1
        assert commands[0].erased
        for was, each in zip(earlier, now, strict=False):
            assert each.erased == (TRACE in was.input or TRACE in was.output), was
            if not each.erased:
                assert each == was


def test_it_is_taken_by_a_flow_that_starts(ended):
    ask(ended)
    assert ended.run() == 0, ended.said
    check_gone(ended)


@pytest.mark.slow
@one_in
def test_killed_at_every_write_of_the_command_it_is_finished_by_the_next(ended, one_in):
    whole = copied(ended, "whole")
    log = whole.folder / "calls"
    assert erase(whole, lambda: Killer(None, log).install()) == 0, whole.said
    assert whole.run() == 0, whole.said
    every = moments(log)
    assert len(every) > 60
    for moment in chosen(every, one_in if len(whole.shards()) == 1 else 4 * one_in):
        world = copied(ended, "killed")
        erase(world, killing(moment))
        again = copied(world, "again")
        assert erase(again) == 0, (moment, again.said)
        assert not traces(again), (moment, traces(again), again.said)
        check_gone(again)
        assert again.run() == 0, (moment, again.said)
        assert again.outputs() == whole.outputs(), moment
        # Once it was asked for, a start of the flow is enough.
        asked = any(control_folder(world.state).glob("*.jsonl")) or any(
            work_files(shard) or work_files(shard, "erased") for shard in world.shards()
        )
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment
        if asked:
            check_gone(world)


@pytest.mark.slow
@one_in
def test_killed_at_every_write_of_the_flow_that_takes_it_it_is_finished(ended, one_in):
    ask(ended)
    whole = copied(ended, "whole")
    log = whole.folder / "calls"
    assert whole.run(lambda: Killer(None, log).install()) == 0, whole.said
    check_gone(whole)
    every = moments(log)
    for moment in chosen(every, one_in if len(whole.shards()) == 1 else 4 * one_in):
        world = copied(ended, "killed")
        world.run(killing(moment))
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment
        check_gone(world)


def test_a_start_without_the_fresh_checkpoint_names_what_was_erased(ended):
    assert erase(ended) == 0, ended.said
    shard = ended.shards()[0]
    for number in checkpoint_numbers(shard):
        checkpoint_path(shard, number).unlink()
    assert ended.run() == 6
    assert "was erased and can't be applied again" in ended.said.replace("\n", " ")


def test_an_output_that_is_written_again_has_blank_lines_for_them(ended):
    before = ended.outputs()[0]
    assert erase(ended) == 0, ended.said
    ended.decisions.unlink()
    assert ended.run() == 0, ended.said
    after = ended.outputs()[0][: len(before)]
    for was, now in zip(before.splitlines(), after.splitlines(), strict=True):
        assert now == was if TRACE not in was else now == b" " * len(was)


def test_work_whose_command_was_never_journalled_is_dropped(tmp_path):
    settings = load(None)
    shard = DurableShard(tmp_path, settings)
    Erasures(tmp_path).ask(shard.position + 5, [shard.position])
    shard.close(with_checkpoint=False)
    again = DurableShard(tmp_path, settings)
    assert again.erasures_waiting == 0
    again.close(with_checkpoint=False)
    assert work_files(tmp_path) == []
