"""Payments and outcomes on topics of their own: what a live run decides, a backfill does too."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from topic_worlds import QUICK, Running, World, inputs_in, journalled, messages, send
from worlds import tiny_world

from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

LINES = 1200
MINUTE_MS = 60_000
TYPES = ("payment", "outcome")


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Events in the order of their times, none twice; of equal times, payments come first."""
    events = []
    for line in dict.fromkeys(tiny_world(LINES)):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("type") in TYPES:
            events.append((time_of(line), TYPES.index(event["type"]), line))
    return [line for _, _, line in sorted(events, key=lambda each: each[:2])]


def time_of(line: bytes) -> int:
    from headrace.operators.events.event_times import times_of

    return times_of([line])[0]


def type_of(line: bytes) -> str:
    return json.loads(line)["type"]


class Topics(World):
    """A world with a topic for each type of event."""

    def __init__(self, broker, folder: Path, shards: int = 1) -> None:
        super().__init__(broker, folder, partitions=1, shards=shards)
        self.sources = {
            name: broker.create_topic(f"{name}s-{time.time_ns()}", 1, retention_ms="-1") for name in TYPES
        }

    def put(self, lines: Sequence[bytes]) -> None:
        """Send each to the topic of its type."""
        for name, topic in self.sources.items():
            send(self.brokers, topic, [line for line in lines if type_of(line) == name], 1)

    def start(self, *options: str) -> Running:
        running = Running(
            self.state,
            self.brokers,
            *QUICK,
            *("--set", f"flow.shards={self.shards}", *options),
            sources=list(self.sources.values()),
            to=self.to,
            dead_letters=self.dead_letters,
        )
        self.started.append(running)
        return running


@pytest.fixture
def topics(broker, tmp_path) -> Iterator[Topics]:
    with closing(Topics(broker, tmp_path)) as made:
        yield made


def applied(state: Path) -> list[bytes]:
    """Inputs of the first shard in the order in which it applied them."""
    folder = state / "shard-00"
    frames = JournalReader(folder, first_boundary(folder), cut_torn_tail=False).frames()
    return [record.input for frame in frames for record in frame.records if record.kind != Kind.CONTROL]


def live(world: Topics, portions: Sequence[Sequence[bytes]]) -> None:
    """Send portions to a run that is up; each when those before it are decided."""
    running, sent = world.start(), 0
    for portion in portions:
        world.put(portion)
        sent += len(portion)
        running.wait_for(lambda sent=sent: inputs_in(world.state) >= sent, f"{sent} inputs")
    assert running.stop() == 0, running.said.read_text()


def test_a_backfill_of_topics_that_came_in_order_gives_the_same_bytes(topics, lines):
    """D-ORDER-3: where messages came in the order of their event times."""
    some = lines[:600]
    live(topics, [list(portion) for _, portion in itertools.groupby(some, type_of)])
    assert applied(topics.state) == some
    then = journalled(topics.state, Kind.DECIDED)
    topics.anew("backfill")
    topics.run(len(some))
    assert applied(topics.state) == some
    assert journalled(topics.state, Kind.DECIDED) == then
    topics.check()


def test_a_backfill_differs_by_no_more_than_messages_overtook_each_other(topics, lines):
    """D-ORDER-3: where outcomes overtook the payments, and payments the outcomes, by up to ten minutes."""
    portions = [list(portion) for _, portion in itertools.groupby(lines, ten_minutes)]
    live(topics, portions)
    live_order, live_lines = applied(topics.state), journalled(topics.state, Kind.DECIDED)
    topics.anew("backfill")
    topics.run(len(lines))
    assert applied(topics.state) == lines
    assert live_order != lines, "nothing was overtaken, so that nothing was tried"
    latest = 0
    for line in live_order:
        assert time_of(line) >= latest - 10 * MINUTE_MS
        latest = max(latest, time_of(line))
    was, now = by_payment(live_lines), by_payment(journalled(topics.state, Kind.DECIDED))
    assert was.keys() == now.keys()
    assert len(was) == sum(type_of(line) == "payment" for line in lines)
    assert max(abs(was[each]["score"] - now[each]["score"]) for each in was) < 0.05
    assert sum(was[each]["action"] != now[each]["action"] for each in was) <= len(was) // 50
    topics.check()


def by_payment(decisions: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in decisions]
    return {each["event_id"]: each for each in found}


def ten_minutes(line: bytes) -> int:
    return time_of(line) // (10 * MINUTE_MS)


def test_a_topic_that_brings_nothing_holds_nothing_up(topics, lines):
    """D-ORDER-1: neither one that is empty, nor one whose next message waits for an open transaction."""
    payments = [line for line in lines if type_of(line) == "payment"][:300]
    outcomes = [line for line in lines if type_of(line) == "outcome"][:20]
    topics.put(payments[:100])
    running = topics.start("--set", "kafka.merge_wait_ms_max=300")
    running.wait_for(lambda: inputs_in(topics.state) >= 100, "payments beside an empty topic")
    name = topics.sources["outcome"]
    stalled = Producer({"bootstrap.servers": topics.brokers, "transactional.id": name, "log_level": 0})
    stalled.init_transactions(60)
    stalled.begin_transaction()
    stalled.produce(name, outcomes[0], partition=0)
    stalled.flush(60)
    send(topics.brokers, name, outcomes[1:], 1)
    topics.put(payments[100:200])
    running.wait_for(lambda: inputs_in(topics.state) >= 200, "payments beside a topic that is stalled")
    running.wait_for(lambda: len(messages(topics.brokers, topics.to)) >= 200, "their decisions")
    assert inputs_in(topics.state) == 200
    stalled.commit_transaction(60)
    topics.put(payments[200:])
    running.wait_for(lambda: inputs_in(topics.state) >= 300 + len(outcomes), "what was held up")
    assert running.stop() == 0, running.said.read_text()
    topics.check()


def test_outcomes_find_their_payments_with_and_without_a_customer(broker, tmp_path, lines):
    """D-ONCE-1, D-ORDER-1: without one they are read by every shard, and the one with the payment learns."""
    payments = sum(type_of(line) == "payment" for line in lines)
    found = []
    for name, keyed in (("with", True), ("without", False)):
        folder = tmp_path / name
        folder.mkdir()
        with closing(Topics(broker, folder, shards=4)) as world:
            world.put([line if type_of(line) == "payment" else outcome(line, keyed=keyed) for line in lines])
            running = world.start()
            inputs = len(lines) if keyed else payments + 4 * (len(lines) - payments)
            running.wait_for(lambda w=world, n=inputs: inputs_in(w.state) >= n, f"{inputs} inputs")
            assert running.stop() == 0, running.said.read_text()
            assert f"{len(lines) - payments} outcomes matched" in running.said.read_text()
            found.append(sorted(journalled(world.state, Kind.DECIDED)))
            world.check()
    assert found[0] == found[1]
    assert len(found[0]) == payments


def outcome(line: bytes, *, keyed: bool) -> bytes:
    """The outcome with the customer of its payment, or without."""
    event = json.loads(line)
    if not keyed:
        event.pop("customer_id", None)
    assert keyed == ("customer_id" in event)
    return json.dumps(event).encode()


def test_shards_are_spread_over_the_processes(broker, tmp_path, lines):
    """D-ORDER-2: each process has its shards and partitions, and applies what is theirs."""
    with closing(World(broker, tmp_path)) as world:
        world.send(lines)
        running = world.start("--processes", "2", "--metrics-port", "0")
        running.wait_for(lambda: inputs_in(world.state) >= len(lines), "inputs")
        told = json.loads((world.state / "processes.json").read_bytes())["processes"]
        assert [each["shards"] for each in told] == [[0, 2], [1, 3]]
        positions = {}
        for each in told:
            with urllib.request.urlopen(each["metrics"]) as page:
                for line in page.read().decode().splitlines():
                    if line.startswith("headrace_shard_position{"):
                        positions.setdefault(each["process"], []).append(float(line.rsplit(" ", 1)[1]))
        assert running.stop() == 0, running.said.read_text()
        assert sorted(map(len, positions.values())) == [2, 2]
        assert sum(map(sum, positions.values())) == len(lines)
        assert all(min(each) > len(lines) / 10 for each in positions.values())
