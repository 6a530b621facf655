"""Letters, backups and commands of states on topics, and what such a state refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from contextlib import closing

import pytest
from commands import headrace
from topic_lines import decided
from topic_worlds import (
    PATIENCE_S,
    SHARDS,
    World,
    inputs_in,
    journalled,
    members,
    messages,
    size_of,
    wait_until_gone,
)
from worlds import payment, write_lines

from headrace.journal.records import Kind
from headrace.shard.routing import keyed

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


def test_a_letter_that_another_shard_takes_when_it_is_mended(world, tmp_path):
    """What can't be read stays with the first shard, and mended bytes go where they belong."""
    shards = {keyed(f"c{number}", SHARDS): f"c{number}" for number in range(40)}
    broken = payment(99, customer_id=shards[1], amount=-5.0)
    world.send([*(payment(number, customer_id=shards[0]) for number in range(30)), broken])
    world.run(31)
    of_state = ("--state", world.state)
    (letter,) = map(json.loads, headrace("dead-letters", "list", *of_state).text.splitlines())
    shown = headrace("dead-letters", "show", letter["number"], *of_state)
    assert (shown.code, "-5.0" in shown.text) == (0, True), shown.said
    mended = write_lines(tmp_path / "mended.json", [payment(99, customer_id=shards[1], amount=5.0)])
    number = ("--number", letter["number"])
    retried = headrace("dead-letters", "retry", *of_state, *number, "--payload", mended)
    assert retried.code == 0, retried.said
    world.run(32)
    assert headrace("dead-letters", "list", *of_state).text == ""
    explained = json.loads(headrace("explain", "p99", *of_state, "--json").text)
    told = explained["letter"]
    assert (told["ordinal"], told["replaced"]) == (letter["number"], True)


def test_a_restored_state_sends_nothing_twice(broker, tmp_path, lines):
    """D-REPAIR-4."""
    with closing(World(broker, tmp_path, partitions=1, shards=1)) as world:
        world.send(lines[:1000])
        world.run(1000)
        saved = tmp_path / "saved"
        shutil.copytree(world.state, saved)
        world.send(lines[1000:2000])
        world.run(2000)
        shutil.rmtree(world.state)
        shutil.copytree(saved, world.state)
        before = size_of(world.state)
        running = world.start()
        running.wait_for(lambda: size_of(world.state) > before + 60_000, "part of what was lost")
        running.kill()
        world.send(lines[2000:])
        world.run(len(lines))
        world.check()


def test_a_state_of_files_and_one_of_topics_are_not_mixed(world, lines, tmp_path):
    """D-STATE-2."""
    world.send(lines[:50])
    world.run(50)
    path = write_lines(tmp_path / "events.jsonl", lines[:50])
    arguments = ["run", "fraud", "--from", str(path), "--to", str(tmp_path / "out.jsonl")]
    asked = [sys.executable, "-m", "headrace", *arguments, "--set", f"flow.shards={SHARDS}"]
    assert os.spawnv(os.P_WAIT, sys.executable, [*asked, "--state", str(world.state)]) == 7
    other = tmp_path / "of-files"
    assert os.spawnv(os.P_WAIT, sys.executable, [*asked, "--state", str(other)]) == 0
    world.anew("of-files")
    running = world.start()
    assert running.process.wait(PATIENCE_S) == 7
    assert "it can't go on with topics" in running.said.read_text()


def test_messages_deleted_unread_are_told_and_accepted_only_when_asked(world, lines):
    """D-LOST-1."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    world.send(lines[:400])
    world.run(400)
    world.send(lines[400:800])
    end = {each.partition: each.offset for each in messages(world.brokers, world.source)}
    admin = AdminClient({"bootstrap.servers": world.brokers})
    cut = [TopicPartition(world.source, partition, offset) for partition, offset in end.items()]
    for future in admin.delete_records(cut).values():
        future.result(600)
    refused = world.start()
    assert refused.process.wait(PATIENCE_S) == 13
    assert "--accept-lost" in refused.said.read_text()
    world.run(400 + len(end), "--accept-lost")
    world.check()


def test_a_command_reaches_every_shard_of_every_process_once(world, lines):
    """D-CONTROL-1."""
    world.send(lines[:400])
    running = world.start("--processes", "2", "--set", "control.poll_seconds=0.1")
    running.wait_for(lambda: inputs_in(world.state) >= 400, "inputs")
    arguments = ["control", "kill-switch", "on", "--state", str(world.state)]
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "headrace", *arguments]) == 0
    running.wait_for(lambda: inputs_in(world.state) >= 400 + SHARDS, "the command in every shard")
    world.send(lines[400:800])
    running.wait_for(lambda: inputs_in(world.state) >= 800 + SHARDS, "inputs behind it")
    running.wait_for(lambda: not list(world.state.glob("control/*.jsonl")), "the file is removed")
    assert running.stop() == 0, running.said.read_text()
    world.send(lines[800:900])
    world.run(900 + SHARDS)
    assert inputs_in(world.state) == 900 + SHARDS
    by_switch = [json.loads(line).get("policy") for line in journalled(world.state, Kind.DECIDED)]
    assert Counter(by_switch)["kill_switch"] == len(decided(lines[:900]) - decided(lines[:400]))
    world.check()


def test_a_member_that_waits_for_one_that_is_gone_ends_with_its_launcher(world, lines):
    """D-PROC-2: a launcher and one of its members are killed before the members have met."""
    world.send(lines[:50])
    running = world.start("--processes", "2")
    running.wait_for(lambda: members(world), "members")
    pids = members(world)
    os.kill(pids[1], signal.SIGKILL)
    running.process.kill()
    running.process.wait(PATIENCE_S)
    wait_until_gone(pids)
    world.run(50)
    world.check()
