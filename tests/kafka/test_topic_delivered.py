"""Decisions that come out otherwise than they were delivered, once a state has lost its end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from topic_payments import payment, put
from topic_worlds import World, inputs_in, messages

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

# So low that all are reviewed.
OTHERWISE = ("--set", "policy.review_at=0.0001")


@pytest.fixture
def world(broker, tmp_path) -> Iterator[World]:
    with closing(World(broker, tmp_path, partitions=1, shards=1)) as made:
        yield made


def explained(world: World, decision_id: str) -> dict:
    options = ["explain", decision_id, "--state", str(world.state), "--json"]
    done = subprocess.run([sys.executable, "-m", "headrace", *options], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_what_was_delivered_otherwise_is_said_counted_and_explained(world):
    """D-REPAIR-4."""
    put(world, [payment(number) for number in range(5)])
    world.run(5)
    shutil.copytree(world.state, world.folder / "kept")
    put(world, [payment(number) for number in range(5, 8)])
    world.run(8)
    before = messages(world.brokers, world.to)
    shutil.rmtree(world.state)
    (world.folder / "kept").rename(world.state)
    running = world.start(*OTHERWISE)
    running.wait_for(lambda: inputs_in(world.state) >= 8, "all inputs")
    assert running.stop() == 0, running.said.read_text()
    assert messages(world.brokers, world.to) == before
    assert "decisions come out otherwise than they were delivered" in running.said.read_text()
    assert "fraud:p5 first" in " ".join(running.said.read_text().split())
    found = explained(world, "fraud:p6")
    assert found["decision"]["action"] == "review"
    assert (found["delivered"]["action"], "customer_id" in found["delivered"]) == ("approve", False)
    assert explained(world, "fraud:p3")["delivered"] is None
