"""Runs on topics in which nothing is of use don't end with 0, once they are told to stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from topic_worlds import Running, World, inputs_in, send

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]


def event(kind: str, number: int, **more: object) -> bytes:
    known = {"type": kind, "event_id": f"{kind}-{number}", "event_time": 1_700_000_000_000 + number}
    return json.dumps(known | more).encode()


def payment(number: int) -> bytes:
    return event("payment", number, customer_id="c", merchant_id="m", amount=1.0, currency="EUR")


USELESS = [
    b"words",
    b"more words",
    *(event("order", number, order_id="o", customer_id="c", items=[]) for number in range(3)),
]


@pytest.fixture
def world(broker, tmp_path) -> Iterator[World]:
    with closing(World(broker, tmp_path, partitions=2, shards=2)) as made:
        yield made


def stopped(world: World, inputs: int, *options: str) -> tuple[int, str]:
    """Exit code of a run that is told to stop once the journals have so many inputs, and what it said."""
    said = world.state.with_suffix(".said")
    before = len(said.read_text()) if said.exists() else 0
    running: Running = world.start(*options)
    running.wait_for(lambda: inputs_in(world.state) >= inputs, f"{inputs} inputs")
    return running.stop(), running.said.read_text()[before:]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_could_use_nothing_does_not_end_with_0(world, processes):
    """D-DRAIN-4."""
    many = ("--processes", str(processes))
    for line in USELESS:
        send(
            world.brokers, world.source, [line, line.replace(b"order-", b"other-").replace(b'"c"', b'"d"')], 2
        )
    code, said = stopped(world, 10, *many)
    assert code == 15, said
    assert (
        "none of the 10 inputs could be used (4 invalid_json, 6 of types that fraud has no use for)" in said
    )
    assert f"kafka:{world.dead_letters} says of each why" in said

    world.send([payment(1), b"words again"])
    assert stopped(world, 12, *many)[0] == 0
    world.send([b"nothing but words"])
    code, said = stopped(world, 13, *many)  # what came before was of use
    assert code == 0, said


def test_a_run_to_which_nothing_came_ends_with_0(world):
    """D-DRAIN-4."""
    world.send([b"words"])
    assert stopped(world, 1)[0] == 15
    before = len(world.state.with_suffix(".said").read_text())
    running = world.start()
    running.wait_for(lambda: "0 events/s" in running.said.read_text()[before:], "its first words")
    assert running.stop() == 0
