"""A state and what holds beside its inputs: configuration, its folder, its shards."""

from __future__ import annotations

import fcntl

import orjson
import pytest
from killing import BATCHES
from state_worlds import again, contents, controls, decided, without_checkpoints
from worlds import World, overrides, payment, stream

from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import segment_numbers, segment_path, start_of
from headrace.journal.verify import verify

pytestmark = pytest.mark.recovery


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
