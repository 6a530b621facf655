"""What Kafka costs on the way in and out: the latency of one hop, how quickly a topic is drained, a restart.

The broker is a process of its own on one core; whoever sends and whoever reads share the others. Where there
is one core only, all share it, and the figures say little. The hop is timed from handing a message to the
client until it is handed out by the reader in another process; both clocks are the machine's monotonic one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from _conditions import conditions
from confluent_kafka import libversion

from headrace.config.kafka import KafkaSettings
from headrace.kafka.connection import Connection
from headrace.kafka.producer import DecisionProducer, ProducerRecord
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import EARLIEST, LATEST, Partition

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from broker import HEAP, Broker, missing

_BYTES: Final = 250
_BATCH: Final = 512
_WARM_SHARE: Final = 0.2
_P50_MS_MAX: Final = 20.0
_DRAIN_MIN: Final = 10_000.0
_STAMP: Final = struct.Struct("<q")
_FILLING: Final = b"x" * (_BYTES - _STAMP.size)
_HEADERS: Final = [("ce_id", b"fraud:p-85c8eebdae63"), ("ce_type", b"headrace.decision.fraud")]


class Drained(NamedTuple):
    """What sending and reading a topic took, per message."""

    sent_per_s: float
    read_per_s: float
    read_cpu_us: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if it is far from what is wanted and that was asked for."""
    options = _parser().parse_args(arguments)
    lacking = missing()
    if lacking:
        print(lacking)
        return 0
    ours, theirs = _cores()
    with _on(ours), Broker(cpu=theirs) as broker:
        print(conditions(), _surroundings(ours, theirs), sep="\n")
        latencies = _hops(broker, options.rate, options.seconds)
        _print_hops(latencies, options.rate)
        drained = _drained(broker, options.messages)
        _print_drained(drained, options.messages)
        print(f"first message after the broker answers again: {_away(broker):.2f} s")
    p50_ms = latencies[len(latencies) // 2]
    if options.check and (p50_ms > _P50_MS_MAX or drained.read_per_s < _DRAIN_MIN):
        print(f"p50 above {_P50_MS_MAX:g} ms, or fewer than {_DRAIN_MIN:,.0f} messages/s", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=1000, help="messages a second while hops are timed")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long hops are timed")
    parser.add_argument("--messages", type=int, default=300_000, help="messages that are drained")
    parser.add_argument("--check", action="store_true", help="fail if it is far from what is wanted")
    return parser


def _cores() -> tuple[set[int], int | None]:
    """Return the cores for what is measured, and the one for the broker."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    return (cores - {max(cores)}, max(cores)) if len(cores) > 1 else (cores, None)


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """Hold this process, and those it starts, to some cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _surroundings(ours: set[int], theirs: int | None) -> str:
    where = f"broker on core {theirs}, client on {sorted(ours)}" if theirs is not None else "no cores chosen"
    return (
        f"librdkafka {libversion()[0]}, one broker (heap {HEAP}, no TLS), {where};"
        f" messages of {_BYTES} bytes, acks=all, idempotent"
    )


def _connection(broker: Broker) -> Connection:
    return Connection(KafkaSettings(brokers=(broker.brokers,)))


def _message() -> ProducerRecord:
    return (None, _STAMP.pack(time.monotonic_ns()) + _FILLING, list(_HEADERS))


# -- hops


def _hops(broker: Broker, rate: int, seconds: float) -> list[float]:
    """Milliseconds from sending to reading, sorted; the first part of the time is left out."""
    topic = broker.create_topic("hops")
    where = Partition(topic, 0)
    reader = PartitionReader(_connection(broker), {where: LATEST})
    count = int(rate * seconds)
    context = multiprocessing.get_context("spawn")
    sender = context.Process(target=_send_at, args=(broker.brokers, topic, rate, count))
    sender.start()
    took: list[float] = []
    while len(took) < count and (sender.is_alive() or not reader.caught_up(where)):
        for fetched in reader.read(_BATCH):
            now = time.monotonic_ns()
            took += [(now - _STAMP.unpack_from(payload)[0]) / 1e6 for payload in fetched.payloads]
    sender.join()
    reader.close()
    if len(took) < count:
        raise SystemExit(f"only {len(took)} of {count} messages came")
    return sorted(took[int(count * _WARM_SHARE) :])


def _send_at(brokers: str, topic: str, rate: int, count: int) -> None:
    """Send one message at a time, each when it is due."""
    producer = DecisionProducer(Connection(KafkaSettings(brokers=(brokers,))))
    began = time.monotonic()
    for number in range(count):
        wait = began + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        producer.send(topic, [_message()])
    producer.flush()
    producer.close()


def _print_hops(latencies: Sequence[float], rate: int) -> None:
    at = {name: latencies[int(len(latencies) * share)] for name, share in _SHARES.items()}
    figures = ", ".join(f"{name} {value:.2f}" for name, value in at.items())
    print(f"hop at {rate:,}/s, {len(latencies):,} messages, ms: {figures}, worst {latencies[-1]:.2f}")


_SHARES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


# -- draining


def _drained(broker: Broker, messages: int) -> Drained:
    """Three rounds over one topic; the median of each figure."""
    topic = broker.create_topic("drained")
    sent_per_s = messages / _fill(broker, topic, messages)
    rounds = [_drain(broker, topic, messages) for _ in range(3)]
    seconds = statistics.median(each for each, _ in rounds)
    cpu_seconds = statistics.median(each for _, each in rounds)
    return Drained(sent_per_s, messages / seconds, cpu_seconds / messages * 1e6)


def _fill(broker: Broker, topic: str, messages: int) -> float:
    producer = DecisionProducer(_connection(broker))
    began = time.perf_counter()
    for first in range(0, messages, _BATCH):
        producer.send(topic, [_message() for _ in range(min(_BATCH, messages - first))])
    producer.flush()
    took = time.perf_counter() - began
    producer.close()
    return took


def _drain(broker: Broker, topic: str, messages: int) -> tuple[float, float]:
    """Seconds, and CPU seconds with those of the client's own threads."""
    began, cpu = time.perf_counter(), time.process_time()
    reader = PartitionReader(_connection(broker), {Partition(topic, 0): EARLIEST})
    left = messages
    while left > 0:
        left -= sum(len(fetched.payloads) for fetched in reader.read(_BATCH))
    took = time.perf_counter() - began, time.process_time() - cpu
    reader.close()
    return took


def _print_drained(drained: Drained, messages: int) -> None:
    print(
        f"{messages:,} messages in one partition: sent {drained.sent_per_s:,.0f}/s, drained"
        f" {drained.read_per_s:,.0f}/s, {drained.read_cpu_us:.2f} us of CPU a message read"
    )


# -- a restart


def _away(broker: Broker) -> float:
    """Seconds from the restarted broker's first answer to the first message read, which waited to be sent."""
    topic = broker.create_topic("away")
    reader = PartitionReader(_connection(broker), {Partition(topic, 0): EARLIEST})
    producer = DecisionProducer(_connection(broker))
    broker.stop()
    producer.send(topic, [_message()])
    came: list[float] = []
    # The broker ends with the thread that starts it, so that it is the reading that gets another.
    reading = threading.Thread(target=_read_one, args=(reader, came))
    reading.start()
    broker.start()
    answered = time.monotonic()
    producer.flush()
    reading.join()
    producer.close()
    return max(came[0] - answered, 0.0)


def _read_one(reader: PartitionReader, came: list[float]) -> None:
    while not reader.read(_BATCH):
        pass
    came.append(time.monotonic())
    reader.close()


if __name__ == "__main__":
    sys.exit(main())
