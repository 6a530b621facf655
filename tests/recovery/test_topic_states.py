"""States that read topics, between two runs: changed, shortened, erased from, of topics made anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_topics import World
from worlds import tiny_world

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return tiny_world(1500)


@pytest.fixture
def world(broker, tmp_path) -> Iterator[World]:
    with closing(World(broker, tmp_path)) as made:
        yield made


def said(world: World) -> str:
    """What all runs of a state have said."""
    return world.state.with_suffix(".said").read_text()


# -- another configuration


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_changed_configuration_is_told_once_and_journalled(world, lines, processes):
    world.send(lines[:200])
    world.run(200, "--processes", processes)
    assert "changed since" not in said(world)
    world.send(lines[200:400])
    world.run(400, "--processes", processes, "--set", "policy.block_at=0.9", "--no-learn")
    told = [line for line in said(world).splitlines() if "changed since" in line]
    assert told == [
        "warning: changed since the last run: policy.block_at: 0.8 → 0.9",
        "warning: changed since the last run: learning (--learn): true → false",
    ]
    world.send(lines[400:500])
    world.run(500, "--processes", processes, "--set", "policy.block_at=0.9", "--no-learn")
    assert said(world).count("changed since") == len(told)
    world.check()
