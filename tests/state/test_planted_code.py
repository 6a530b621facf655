"""A pickle that somebody put into a checkpoint, or a state of an earlier version: no command runs it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from commands import Ended, headrace, simulated

from headrace.journal.checkpoint import (
    checkpoint_numbers,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from headrace.operators.models.saved import Origin

pytestmark = pytest.mark.integration

MODELS = ("river_logistic_sgd", "river_hoeffding_adaptive_tree")


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def plant(shard: Path, pickled: bytes) -> None:
    """Put a pickle where the model of every checkpoint is, in an envelope that fits."""
    import msgspec

    for number in checkpoint_numbers(shard):
        path = checkpoint_path(shard, number)
        read = read_checkpoint(path)
        version, origin, _ = msgspec.msgpack.decode(read.blobs["model"], type=tuple[int, Origin, bytes])
        assert version == 1
        write_checkpoint(path, read.header, {**read.blobs, "model": origin.seal(pickled)})


@pytest.fixture
def world(request, tmp_path) -> Path:
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(simulated(400)) + b"\n")
    ended = run(tmp_path, request.param)
    assert ended.code == 0, ended.said
    return tmp_path


def run(folder: Path, model: str) -> Ended:
    return headrace(
        *("run", "fraud", "--from", "events.jsonl", "--to", "decisions.jsonl", "--state", "state"),
        *("--set", f"model.name={model}", "--set", "model.parameters={}"),
        folder=folder,
    )


def model_of(world: Path) -> str:
    header = read_checkpoint(checkpoint_path(world / "state/shard-00", newest(world))).header
    return next(name for name in MODELS if name in header["settings"])


def newest(world: Path) -> int:
    return checkpoint_numbers(world / "state/shard-00")[0]


@pytest.mark.parametrize("world", [MODELS[0]], indirect=True)
def test_a_planted_pickle_never_runs(world):
    trace = world / "ran"
    plant(world / "state/shard-00", pickle.dumps(Payload(trace), protocol=5))
    model = model_of(world)
    refused = run(world, model)
    assert refused.code == 7
    assert "was saved as a pickle" in refused.said
    assert "Move the checkpoint-*.ckpt files out" in refused.said
    commands = (
        "state inspect --state state",
        "state backup --state state --to copy.tar",
        "state restore --from copy.tar --state restored",
        "ledger verify --state state",
        "ledger export --state state --to table.jsonl",
        "explain nothing --state state",
        "dead-letters list --state state",
        "control status --state state",
        "control kill-switch on --state state",
        "erase --customer c-1 --state state --wait 1",
        "erase --customer nobody --state state --dry-run",
        "replay --state state --verify",
        f"replay --state state --set model.name={model}",
    )
    for command in commands:
        assert headrace(*command.split(), folder=world).code != 2, command
        assert not trace.exists(), command
    inspected = headrace("state", "inspect", "--state", "state", folder=world)
    assert inspected.code == 0, inspected.said
    assert b"event time" in inspected.out


@pytest.mark.parametrize("world", [MODELS[1]], indirect=True)
def test_the_way_out_of_an_old_state(world):
    """The journal makes the state again, and the run goes on as if nothing had been."""
    shard, model = world / "state/shard-00", model_of(world)
    plant(shard, pickle.dumps({"any": "estimator"}, protocol=5))
    assert run(world, model).code == 7
    for path in shard.glob("checkpoint-*.ckpt"):
        path.rename(world / path.name)
    lines = b"\n".join(simulated(500)) + b"\n"
    (world / "events.jsonl").write_bytes(lines)
    again = run(world, model)
    assert again.code == 0, again.said
    whole = world / "whole"
    whole.mkdir()
    (whole / "events.jsonl").write_bytes(lines)
    assert run(whole, model).code == 0
    assert (world / "decisions.jsonl").read_bytes() == (whole / "decisions.jsonl").read_bytes()
    made, wanted = (
        read_checkpoint(checkpoint_path(each / "state/shard-00", newest(each))) for each in (world, whole)
    )
    assert made.blobs["head"] == wanted.blobs["head"]
