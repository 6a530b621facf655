"""The flow on topics: latency beside a plain hop, throughput beside a bare loop over the same functions.

The broker and whoever sends and reads its outputs share one core; what is measured has another one to itself.
The kinds take turns, and medians are printed. Latency is from handing a payment to the client until the
reader in another process has its decision: two hops and the flow between them. A plain hop is the same with
one topic, its reader on the flow's core. The bare loop reads a topic, decodes, applies and sends, on the
flow's core: no Bytewax, no journal.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import orjson
from _conditions import conditions, fraud_settings, simulated
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace.config.kafka import KafkaSettings
from headrace.journal.records import Kind
from headrace.kafka.cloudevents import Headings
from headrace.kafka.connection import Connection
from headrace.kafka.delivery import message_of
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.read_back import end_offsets
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import EARLIEST, LATEST, Partition
from headrace.kinds.fraud.machine import FraudShard
from headrace.kinds.fraud.messages import payment_message
from headrace.operators.events.decode import decode
from headrace.shard.outgoing import DECISIONS

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from broker import Broker, missing

_PRESET: Final = "handbook-small"
_RATES: Final = (1000, 5000)
_PERCENTILES: Final = (50.0, 99.0, 99.9)
_WARM_SHARE: Final = 0.2
_PATIENCE_S: Final = 120.0
_TICK_S: Final = 0.001
_RATIO_MIN: Final = 0.4
_DECIDED: Final = int(Kind.DECIDED)
_EVENT_ID: Final = re.compile(rb'"event_id":"[^"]*"')


class Cores(NamedTuple):
    """The core of what is measured, and that of everything else."""

    ours: int
    theirs: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the flow is too slow beside the bare loop and that was asked for."""
    options = _parser().parse_args(arguments)
    lacking = missing()
    if lacking:
        print(lacking)
        return 0
    cores = sorted(os.sched_getaffinity(0))
    pinned = Cores(cores[0], cores[-1])
    print(conditions())
    print(f"flow on core {pinned.ours}; broker, sender and reader on core {pinned.theirs}; one partition")
    os.sched_setaffinity(0, {pinned.theirs})
    with TemporaryDirectory() as name, Broker(cpu=pinned.theirs) as broker:
        folder = Path(name)
        with gzip.open(simulated(_PRESET, folder)) as events:
            lines = list(islice((line.rstrip(b"\n") for line in events), options.events))
        payments = [line for line in lines if b'"type":"payment"' in line]
        if not options.throughput_only:
            _latencies(broker, pinned, payments, folder, options)
        print("\n| throughput | events/s | of bare | events | decisions |\n| --- | --- | --- | --- | --- |")
        ratio = min(
            _throughputs(broker, pinned, kind, found, folder, options.rounds)
            for kind, found in (("payments and outcomes", lines), ("payments only", payments))
        )
    if options.check and ratio < _RATIO_MIN:
        print(f"the flow has less than {_RATIO_MIN} of the bare loop's throughput", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--throughput-only", action="store_true", help="leave the latency out")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each rate is sent")
    parser.add_argument("--events", type=int, default=150_000, help="events of the throughput's topic")
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"fail if the flow's ratio to the bare loop is below {_RATIO_MIN}",
    )
    return parser


def _connection(brokers: str) -> Connection:
    return Connection(KafkaSettings(brokers=(brokers,)))


class _Flow:
    """A run of the command line on the core of what is measured."""

    def __init__(self, brokers: str, cores: Cores, folder: Path, source: str, to: str) -> None:
        topics = ["--from", f"kafka:{source}", "--to", f"kafka:{to}", "--dead-letters", f"kafka:{to}-dead"]
        command = [sys.executable, "-m", "headrace", "run", "fraud", *topics, "--state", str(folder / to)]
        self._said = (folder / f"{to}.said").open("w+")
        self._process = subprocess.Popen(
            [*command, "--set", f'kafka.brokers=["{brokers}"]', "--set", "ids.memory_days_max=1"],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            preexec_fn=lambda: os.sched_setaffinity(0, {cores.ours}),  # noqa: PLW1509  # one system call
        )

    def stop(self) -> None:
        """Let it drain."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(_PATIENCE_S):
            self._said.seek(0)
            raise SystemExit(self._said.read())
        self._said.close()


class _Bare:
    """The bare loop in a process on the core of what is measured, until it has seen so many events."""

    def __init__(self, brokers: str, cores: Cores, source: str, to: str, count: int) -> None:
        self._process = _apart(_bare, brokers, source, to, count, cores.ours)
        self._process.start()

    def stop(self) -> None:
        """Wait for its end."""
        self._process.join(_PATIENCE_S)


# -- latency


def _latencies(broker: Broker, cores: Cores, payments: list[bytes], folder: Path, options: Any) -> None:
    print("\n| latency, ms | per second | p50 | p99 | p99.9 |\n| --- | --- | --- | --- | --- |")
    for rate in _RATES:
        found: dict[str, list[list[float]]] = {"plain hop": [], "bare loop": [], "flow": []}
        for turn in range(options.rounds):
            name = f"latency-{rate}-{turn}"
            count = int(rate * options.seconds)
            found["plain hop"].append(_hop(broker, cores, payments, name, rate, count))
            for kind in ("bare loop", "flow"):
                found[kind].append(_through(broker, cores, payments, kind, name, rate, count, folder))
        for kind, rounds in found.items():
            values = [median(each[place] for each in rounds) for place in range(len(_PERCENTILES))]
            print(
                f"| {kind} | {rate:,} | " + " | ".join(f"{value:.2f}" for value in values) + " |", flush=True
            )


def _hop(
    broker: Broker, cores: Cores, payments: list[bytes], name: str, rate: int, count: int
) -> list[float]:
    topic = broker.create_topic(f"{name}-hop")
    sending = _apart(_send_at, broker.brokers, topic, payments, rate, count)
    os.sched_setaffinity(0, {cores.ours})
    try:
        return _read(broker.brokers, topic, count, sending.start)
    finally:
        os.sched_setaffinity(0, {cores.theirs})
        sending.join()


def _through(
    broker: Broker,
    cores: Cores,
    payments: list[bytes],
    kind: str,
    name: str,
    rate: int,
    count: int,
    folder: Path,
) -> list[float]:
    name = f"{name}-{kind.partition(' ')[0]}"
    source, to = broker.create_topic(f"{name}-in"), broker.create_topic(f"{name}-out")
    broker.create_topic(f"{to}-dead")
    if kind == "flow":
        flow: _Flow | _Bare = _Flow(broker.brokers, cores, folder, source, to)
    else:
        flow = _Bare(broker.brokers, cores, source, to, count + 1)
    # The first decision says that it is there.
    _send_at(broker.brokers, source, payments, rate, 1)
    _filled(broker, to, 1)
    sending = _apart(_send_at, broker.brokers, source, payments, rate, count)
    try:
        return _read(broker.brokers, to, count, sending.start)
    finally:
        sending.join()
        flow.stop()


def _apart(work: Callable[..., None], *arguments: Any) -> Any:
    return multiprocessing.get_context("fork").Process(target=work, args=arguments)


def _send_at(brokers: str, topic: str, payments: list[bytes], rate: int, count: int) -> None:
    """Send payments when they are due, each with the moment as its id."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0, "acks": "all"})
    began, sent = time.monotonic(), 0
    while sent < count:
        due = min(count, int((time.monotonic() - began) * rate) + 1)
        for number in range(sent, due):
            stamp = b'"event_id":"%d-%d"' % (time.monotonic_ns(), number)
            producer.produce(topic, _EVENT_ID.sub(stamp, payments[number % len(payments)], count=1))
        sent = due
        producer.poll(0)
        time.sleep(_TICK_S)
    producer.flush(_PATIENCE_S)


def _read(brokers: str, topic: str, count: int, ready: Callable[[], None]) -> list[float]:
    """Percentiles of the time from sending to reading, in milliseconds; the first part is left out."""
    where = Partition(topic, 0)
    reader = PartitionReader(_connection(brokers), {where: LATEST})
    reader.read(2)
    ready()
    took: list[float] = []
    until = time.monotonic() + _PATIENCE_S
    while len(took) < count:
        if time.monotonic() > until:
            raise SystemExit(f"{topic}: only {len(took)} of {count} messages came")
        for fetched in reader.read(1000):
            now = time.monotonic_ns()
            took += [(now - _stamp(payload)) / 1e6 for payload in fetched.payloads]
    reader.close()
    took = sorted(took[int(count * _WARM_SHARE) :])
    return [took[min(len(took) - 1, int(len(took) * percent / 100))] for percent in _PERCENTILES]


def _stamp(payload: bytes) -> int:
    return int(orjson.loads(payload)["event_id"].partition("-")[0])


def _filled(broker: Broker, topic: str, count: int) -> None:
    """Wait until a topic holds so many messages."""
    connection, until = _connection(broker.brokers), time.monotonic() + _PATIENCE_S
    while sum(end_offsets(connection, topic).values()) < count:
        if time.monotonic() > until:
            raise SystemExit(f"{topic}: {count} messages never came")
        time.sleep(0.1)


# -- throughput


def _throughputs(
    broker: Broker, cores: Cores, what: str, lines: list[bytes], folder: Path, rounds: int
) -> float:
    name = what.replace(" ", "-")
    source = broker.create_topic(name)
    producer = Producer({"bootstrap.servers": broker.brokers, "linger.ms": 20})
    for line in lines:
        producer.produce(source, line)
        producer.poll(0)
        if len(producer) > 50_000:
            producer.flush(_PATIENCE_S)
    producer.flush(_PATIENCE_S)
    rates: dict[str, list[float]] = {"bare loop": [], "flow": []}
    for turn in range(rounds):
        bare, flow = broker.create_topic(f"{name}-bare-{turn}"), broker.create_topic(f"{name}-flow-{turn}")
        broker.create_topic(f"{flow}-dead")
        _Bare(broker.brokers, cores, source, bare, len(lines)).stop()
        decided = sum(end_offsets(_connection(broker.brokers), bare).values())
        running = _Flow(broker.brokers, cores, folder, source, flow)
        _filled(broker, flow, decided)
        running.stop()
        for kind, topic in (("bare loop", bare), ("flow", flow)):
            rates[kind].append(len(lines) / _seconds(broker.brokers, topic, decided))
    ratio = median(each / bare for each, bare in zip(rates["flow"], rates["bare loop"], strict=True))
    for kind, found in rates.items():
        share = ratio if kind == "flow" else 1.0
        print(
            f"| {kind}, {what} | {median(found):,.0f} | {share:.2f} | {len(lines):,} | {decided:,} |",
            flush=True,
        )
    return ratio


def _bare(brokers: str, source: str, to: str, count: int, core: int) -> None:
    os.sched_setaffinity(0, {core})
    connection = _connection(brokers)
    settings = fraud_settings()
    shard, producer = FraudShard(settings), DecisionProducer(connection)
    headings = Headings(settings.kafka.ce_source)
    reader = PartitionReader(connection, {Partition(source, 0): EARLIEST})
    done = 0
    while done < count:
        for fetched in reader.read(settings.input.batch_lines_max):
            decoded = decode(fetched.payloads, settings.input.line_bytes_max)
            decided = []
            for event, payload, offset in zip(decoded, fetched.payloads, fetched.offsets, strict=True):
                kind, out, _ = shard.apply(event, payload, (0, offset, 0))
                if kind == _DECIDED:
                    decided.append(payment_message(event, out))
            shard.evaluated.clear()
            producer.send(to, [message_of(DECISIONS, each, headings) for each in decided])
            done += len(decoded)
    producer.flush()
    reader.close()


def _seconds(brokers: str, topic: str, count: int) -> float:
    """Seconds from the first message's timestamp to the last one's."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "benchmark", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    times: list[int] = []
    while len(times) < count:
        times += [each.timestamp()[1] for each in consumer.consume(10_000, 1.0) if each.error() is None]
    consumer.close()
    return (times[count - 1] - times[0]) / 1000


if __name__ == "__main__":
    sys.exit(main())
