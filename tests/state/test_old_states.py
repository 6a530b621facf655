"""States that earlier versions wrote are gone on with to the same decisions, or refused by name."""

from __future__ import annotations

import platform
import tarfile
from pathlib import Path

import orjson
import pytest
from worlds import World

from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.scan import notes_of
from headrace.journal.segments import first_boundary
from headrace.shard.checkpoint_header import STATE_VERSION

pytestmark = pytest.mark.recovery

STATES = Path(__file__).parent / "states"
READ = ("version-2",)
REFUSED = ("version-1",)


def unpacked(folder: Path, version: str, *, checkpoints: bool) -> World:
    """The state as it was written, with the events that are to follow."""
    with tarfile.open(STATES / version / "state.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    config = ("--config", str(STATES / "config.toml"))
    further = STATES / (version if version in READ else READ[-1]) / "further.jsonl"
    world = World(folder, (further,), config)
    for shard in () if checkpoints else world.shards():
        for number in checkpoint_numbers(shard):
            checkpoint_path(shard, number).unlink()
    return world


def machine_of(world: World) -> str:
    (shard,) = world.shards()
    note = next(note for note in notes_of(shard, first_boundary(shard)) if note["control"] == "config")
    return str(note["kernel"]).split()[1]


def without_scores(line: bytes) -> dict[str, object]:
    decision = orjson.loads(line)
    decision.pop("score")
    decision.pop("customer_id", None)  # not told by the versions that wrote the states
    decision["reasons"] = [reason["code"] for reason in decision["reasons"]]
    return dict(decision)


@pytest.mark.parametrize("version", READ)
@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_state_goes_on_to_the_same_decisions(tmp_path, version, checkpoints):
    world = unpacked(tmp_path, version, checkpoints=checkpoints)
    if not checkpoints and machine_of(world) != platform.machine():
        pytest.skip("scores of another kind of machine may differ in their last digits")
    assert world.run() == 0, world.said
    now, then = world.decisions.read_bytes(), (STATES / version / "decisions.jsonl").read_bytes()
    assert list(map(without_scores, now.splitlines())) == list(map(without_scores, then.splitlines()))
    assert orjson.loads(now.splitlines()[-1])["customer_id"]
    scores = [orjson.loads(line)["score"] for line in then.splitlines()]
    assert [orjson.loads(line)["score"] for line in now.splitlines()] == pytest.approx(scores, rel=1e-9)
    assert len({orjson.loads(line)["action"] for line in then.splitlines()}) == 3


@pytest.mark.parametrize("version", REFUSED)
@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_state_of_another_version_is_refused_by_name_and_left_as_it_is(tmp_path, version, checkpoints):
    world = unpacked(tmp_path, version, checkpoints=checkpoints)
    before = {path: path.read_bytes() for shard in world.shards() for path in shard.iterdir()}
    assert world.run() == 7, world.said
    said = world.said.replace("\n", " ")
    assert ("has state version 1, as Headrace 0.1.0 wrote it" in said) is checkpoints
    assert ("is in journal format 1" in said) is not checkpoints
    assert "go on with the version" in said
    assert {path: path.read_bytes() for shard in world.shards() for path in shard.iterdir()} == before


def test_there_is_a_state_of_this_version():
    assert f"version-{STATE_VERSION}" in READ, "run: python tests/state/states/make.py"
