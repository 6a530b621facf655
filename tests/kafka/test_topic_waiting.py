"""How long payments on topics have waited, as the deadline sees it: since their timestamps."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer
from topic_worlds import PATIENCE_S, World, inputs_in, journalled

from headrace.config.loading import load
from headrace.journal.known_sources import source_note
from headrace.journal.records import Kind
from headrace.shard.durable import DurableShard

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

LIMIT_MS = 400
DEADLINE = (
    *("--set", f"policy.deadline.wait_ms_max={LIMIT_MS}", "--set", 'policy.deadline.action="review"'),
    *("--set", "metrics.port=0"),
)
HOUR_MS = 3_600_000


def payment(number: int) -> bytes:
    fields = {"type": "payment", "event_id": f"p{number}", "event_time": 1_700_000_000_000 + number * 1000}
    more = {"customer_id": f"c{number % 5}", "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    return json.dumps(fields | more).encode()


def put(world: World, numbers: Sequence[int], ago_ms: int = 0) -> None:
    """Send payments, by a clock that is so far behind."""
    producer = Producer({"bootstrap.servers": world.brokers, "linger.ms": 0, "log_level": 0})
    for number in numbers:
        producer.produce(world.source, payment(number), timestamp=int(time.time() * 1000) - ago_ms)
    assert producer.flush(PATIENCE_S) == 0


def paths(state: Path) -> dict[str, str | None]:
    """Which path of the policy decided on each payment."""
    decisions = map(json.loads, journalled(state, Kind.DECIDED))
    return {each["event_id"]: each.get("policy") for each in decisions}


@pytest.fixture
def world(broker, tmp_path) -> Iterator[World]:
    with closing(World(broker, tmp_path, partitions=1, shards=1)) as made:
        yield made


def metrics(world: World) -> dict[str, float]:
    said = world.started[-1].said.read_text()
    address = said.rpartition("http://")[2].split("/")[0]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_backlog_of_a_stopped_flow_has_waited_and_a_backfill_has_not(world):
    """D-WAIT-1, D-WAIT-3."""
    put(world, range(10), ago_ms=HOUR_MS)
    world.run(10, *DEADLINE)
    assert Counter(paths(world.state).values()) == {None: 10}
    put(world, range(10, 20))
    time.sleep(LIMIT_MS / 1000)
    running = world.start(*DEADLINE)
    running.wait_for(lambda: inputs_in(world.state) >= 20, "the backlog")
    assert {number for number, path in paths(world.state).items() if path == "deadline"} == {
        f"p{number}" for number in range(10, 20)
    }
    latency = 'headrace_end_to_end_latency_seconds_{}{{flow="fraud"}}'.format
    running.wait_for(lambda: metrics(world).get(latency("count")) == 10, "all are written")
    seen = metrics(world)
    assert seen[latency("sum")] >= 10 * LIMIT_MS / 1000
    assert seen[f'headrace_topic_timestamp{{flow="fraud",timestamp="create",topic="{world.source}"}}'] == 1
    assert running.stop() == 0


def test_one_producer_with_a_wrong_clock_trips_no_deadline(world):
    """D-WAIT-2: neither of its own messages nor of others'."""
    with closing(DurableShard(world.state / "shard-00", load(None, ("flow.shards=1",)))) as shard:
        # As earlier versions knew a topic: not since when, so that all its messages may have been waited for.
        shard._notes.note(source_note(0, f"kafka:{world.source}/0", None))
    running = world.start(*DEADLINE, "--set", f"policy.deadline.wait_ms_max={HOUR_MS // 10}")
    put(world, [0])
    running.wait_for(lambda: inputs_in(world.state) >= 1, "the first payment")
    # Once the brokers have answered for a second or two, it is known that nothing old can come.
    sent, until = 1, time.monotonic() + PATIENCE_S
    while sent == 1 or paths(world.state)[f"p{sent - 1}"] == "deadline":
        assert time.monotonic() < until, "the wrong clock is accepted"
        put(world, [sent], ago_ms=HOUR_MS)
        sent += 1
        running.wait_for(lambda: inputs_in(world.state) >= sent, "a payment")  # noqa: B023
    put(world, [sent], ago_ms=HOUR_MS)
    put(world, [sent + 1], ago_ms=-HOUR_MS)
    put(world, [sent + 2])
    running.wait_for(lambda: inputs_in(world.state) >= sent + 3, "the last payments")
    assert [paths(world.state)[f"p{number}"] for number in range(sent, sent + 3)] == [None] * 3
    seen = metrics(world)
    assert seen['headrace_message_clock_skew_total{direction="behind",flow="fraud"}'] >= 2
    assert seen['headrace_message_clock_skew_total{direction="ahead",flow="fraud"}'] == 1
    assert running.stop() == 0
