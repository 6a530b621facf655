"""Topic states that are damaged, derived again, or asked to forget: each gives the documented result."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import started_anew
from erasures import CUSTOMER, TRACE, customers
from topic_worlds import PATIENCE_S, SHARDS, World, inputs_in, messages
from worlds import tiny_world

from headrace.config.loading import load
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.segments import segment_numbers, segment_path

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

LINES = 1500


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return tiny_world(LINES)


def shards(world: World) -> list[Path]:
    return sorted(world.state.glob("shard-*"))


# -- damage


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_torn_tails_are_cut_off_and_their_messages_read_again(world, lines, cut):
    """D-REPAIR-4: the outputs have what the cut frames led to, and get it no second time."""
    world.send(lines[:800])
    running = world.start("--set", "journal.checkpoint_inputs_max=1000000")
    running.wait_for(lambda: inputs_in(world.state) >= 800, "inputs")
    running.wait_for(lambda: len(messages(world.brokers, world.to)) > 600, "decisions")
    running.kill()
    for shard in shards(world):
        path = segment_path(shard, segment_numbers(shard)[-1])
        path.write_bytes(path.read_bytes()[:-cut])
    world.send(lines[800:])
    world.run(len(lines))
    said = running.said.read_text()
    assert said.count("cut off") >= SHARDS
    world.check()


def test_a_flipped_byte_in_the_journal_is_named_and_nothing_goes_out(world, lines):
    world.send(lines[:800])
    running = world.start("--set", "journal.checkpoint_inputs_max=1000000")
    running.wait_for(lambda: inputs_in(world.state) >= 800, "inputs")
    running.kill()
    path = segment_path(shards(world)[2], 1)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    path.write_bytes(damaged)
    before = len(messages(world.brokers, world.to))
    for processes in ("1", "2"):
        refused = world.start("--processes", processes)
        assert refused.process.wait(PATIENCE_S) == 6
        assert f"{path}: byte " in refused.said.read_text()
    assert path.read_bytes() == damaged
    assert len(messages(world.brokers, world.to)) == before


def test_an_unreadable_checkpoint_is_passed_over_for_the_one_before(world, lines):
    world.send(lines[:800])
    world.run(800)
    damaged = []
    for shard in shards(world):
        path = checkpoint_path(shard, checkpoint_numbers(shard)[0])
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        damaged.append(path)
    world.send(lines[800:])
    world.run(len(lines), "--processes", "2")
    said = "".join(world.state.with_suffix(".said").read_text().split())
    assert all(f"{path.parent.name}/{path.name}" in said for path in damaged)
    world.check()


def test_a_state_with_other_features_is_refused(world, lines):
    """D-STATE-2."""
    world.send(lines[:100])
    world.run(100)
    refused = world.start("--set", 'flow.currency="USD"')
    assert refused.process.wait(PATIENCE_S) == 7
    assert "currency" in refused.said.read_text()
    world.send(lines[100:200])
    world.run(200)
    world.check()


def test_without_a_broker_a_start_ends_with_an_error_that_names_it(broker, tmp_path):
    # Ten seconds by default: with the time that a start takes it stays below fifteen.
    assert load(None).kafka.metadata_seconds_max <= 10
    from broker import free_ports

    (port,) = free_ports(1)
    run = started_anew(
        *("run", "fraud", "--from", "kafka:payments", "--to", "kafka:decisions"),
        *(
            "--dead-letters",
            "kafka:dead-letters",
            "--state",
            tmp_path / "state",
            "--set",
            f'kafka.brokers=["127.0.0.1:{port}"]',
        ),
    )
    assert run.code == 12
    assert f"no answer from 127.0.0.1:{port}" in run.said
    assert "Connection refused" in run.said
    assert "Traceback" not in run.said


# -- replay


def test_each_decision_of_a_state_of_topics_is_derived_again(world, lines, tmp_path):
    world.send(lines[:700])
    world.run(700, "--processes", "2")
    world.send(lines[700:])
    world.run(len(lines))
    verified = started_anew("replay", "--state", world.state, "--verify", "--json")
    assert verified.code == 0, verified.said
    told = json.loads(verified.text)
    assert len(told["shards"]) == SHARDS
    assert sum(each["inputs"] for each in told["shards"]) == len(lines)
    assert sum(each["decisions"] for each in told["shards"]) == len(messages(world.brokers, world.to))
    html = tmp_path / "report.html"
    report = started_anew(
        *("replay", "--state", world.state, "--html", html),
        *("--set", "policy.review_at=0.003", "--warm-up-days", 0, "--resamples", 50),
    )
    assert report.code == 0, report.said
    assert "changed" in report.text
    assert "</html>" in html.read_text()
    # Under the same configuration each input comes once, and nothing changes.
    same = started_anew("replay", "--state", world.state, "--set", f"flow.shards={SHARDS}", "--json")
    assert same.code == 0, same.said
    compared = json.loads(same.text)
    assert compared["inputs"] == len(lines)
    assert compared["payments"] == len(messages(world.brokers, world.to))
    assert (compared["changed"]["changed"], compared["not_comparable"]["new_only"]) == (0, 0)
    verified = started_anew("ledger", "verify", "--state", world.state)
    assert verified.code == 0, verified.said


# -- erasure


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_customer_is_erased_while_the_flow_runs(world, processes):
    events = customers(120)
    others = [line for line in customers(60, first=200) if TRACE not in line]
    # An outcome that names no customer is read by every shard.
    spread = {line for line in events if b'"outcome"' in line and b"customer_id" not in line}
    inputs = len(events) + (SHARDS - 1) * len(spread)
    world.send(events)
    running = world.start("--processes", processes, "--set", "control.poll_seconds=0.1")
    running.wait_for(lambda: inputs_in(world.state) >= inputs, "inputs")
    assert any(TRACE in path.read_bytes() for path in files(world))
    erased = started_anew("erase", "--customer", CUSTOMER, "--state", world.state, "--wait", 60)
    assert erased.code == 0, erased.text + erased.said
    assert [path for path in files(world) if TRACE in path.read_bytes()] == []
    world.send(others)
    running.wait_for(lambda: inputs_in(world.state) >= inputs + SHARDS + len(others), "what comes after it")
    assert running.stop() == 0, running.said.read_text()
    assert [path for path in files(world) if TRACE in path.read_bytes()] == []
    sent = messages(world.brokers, world.to)
    assert len({each.id for each in sent}) == len(sent)
    for command in (("ledger", "verify"), ("replay", "--verify")):
        verified = started_anew(*command, "--state", world.state)
        assert verified.code == 0, verified.text + verified.said


def files(world: World) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(world.state) for name in names]
