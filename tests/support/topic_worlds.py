"""Runs on topics of a real broker: what goes in, what came out, and what the journals say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary
from headrace.kafka.cloudevents import id_in

PATIENCE_S = 600
SHARDS = 4
QUICK = (
    *("--set", "input.batch_lines_max=16", "--set", "journal.checkpoint_inputs_max=150"),
    *("--set", "kafka.output_offsets_seconds=0.1", "--set", "kafka.settle_ms=200"),
    # On a busy machine brokers take their time.
    *("--set", "kafka.metadata_seconds_max=120", "--set", "kafka.read_back_seconds_max=600"),
    *("--set", "processes.backoff_seconds_max=0.1", "--set", "processes.restarts_max=1000"),
)


class Message(NamedTuple):
    """A message that a topic holds."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    id: str | None
    headers: list[tuple[str, bytes]]


def shard_of(line: bytes, shards: int) -> int:
    """The shard that a line belongs to, by its customer."""
    try:
        key = json.loads(line).get("customer_id")
    except ValueError:
        return 0
    return zlib.crc32((key or "").encode()) % shards


def send(brokers: str, topic: str, lines: Sequence[bytes], partitions: int) -> None:
    """Put lines into a topic, those of one customer into one partition."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5})
    for line in lines:
        while True:
            try:
                partition = shard_of(line, partitions) if partitions > 1 else 0
                producer.produce(topic, line, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0


def messages(brokers: str, topic: str) -> list[Message]:
    """All that a topic holds, by partition and offset."""
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "test", "enable.auto.commit": False}
        | {"isolation.level": "read_uncommitted", "auto.offset.reset": "earliest"}
    )
    try:
        ends = {}
        for partition in consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE_S)
            ends[partition] = high - low
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in ends if ends[each]])
        found: list[Message] = []
        until = time.monotonic() + PATIENCE_S
        while len(found) < sum(ends.values()):
            assert time.monotonic() < until, "the topic can't be read"
            for each in consumer.consume(1000, 0.2):
                assert each.error() is None
                headers = each.headers() or []
                place = each.partition(), each.offset()
                found.append(Message(*place, each.key(), each.value(), id_in(headers), headers))
        return sorted(found, key=lambda each: (each.partition, each.offset))
    finally:
        consumer.close()


def journalled(state: Path, *kinds: Kind) -> list[bytes]:
    """Outputs of these kinds in all journals, without their newlines, by shard."""
    found = []
    for folder in sorted(state.glob("shard-*")):
        for frame in JournalReader(folder, first_boundary(folder), cut_torn_tail=False).frames():
            found += [record.output[:-1] for record in frame.records if record.kind in kinds]
    return found


def inputs_in(state: Path) -> int:
    """How many inputs all journals have."""
    count = 0
    for folder in sorted(state.glob("shard-*")):
        for frame in JournalReader(folder, first_boundary(folder), cut_torn_tail=False).frames():
            count += sum(record.kind != Kind.CONTROL for record in frame.records)
    return count


class Running:
    """The command line on topics, in a process of its own."""

    def __init__(
        self,
        state: Path,
        brokers: str,
        *options: str,
        sources: Sequence[str],
        to: str,
        dead_letters: str,
        flow: str = "fraud",
        plain: bool = False,
        program: Sequence[str] = (sys.executable, "-m", "headrace"),
    ) -> None:
        given = [part for source in sources for part in ("--from", f"kafka:{source}")]
        outputs = ["--to", f"kafka:{to}", "--dead-letters", f"kafka:{dead_letters}"]
        self.said = state.with_suffix(".said")
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [
                    *(*program, "run", flow, *given, *outputs),
                    *("--state", str(state), "--set", f'kafka.brokers=["{brokers}"]', *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NUMBA_DISABLE_JIT": str(int(plain))},
            )

    def stop(self) -> int:
        """Let it drain; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def wait_for(self, reached, what: str) -> None:
        """Wait until something is so, and the process still there."""
        until = time.monotonic() + PATIENCE_S
        while not reached():
            assert self.process.poll() is None, f"it ended: {self.said.read_text()}"
            assert time.monotonic() < until, f"{what}: {self.said.read_text()}"
            time.sleep(0.05)


class World:
    """Topics and a state of a test's own."""

    flow = "fraud"
    program: Sequence[str] = (sys.executable, "-m", "headrace")

    def __init__(self, broker, folder: Path, partitions: int = SHARDS, shards: int = SHARDS) -> None:
        self.brokers, self.shards, self.partitions = broker.brokers, shards, partitions
        self.broker = broker
        stamp = time.time_ns()
        self.source = broker.create_topic(f"in-{stamp}", partitions, retention_ms="-1")
        self.folder = folder
        self.started: list[Running] = []
        self.anew("first")

    def anew(self, name: str) -> None:
        """Another state and other outputs, on the same source."""
        stamp = time.time_ns()
        self.to = self.broker.create_topic(f"out-{stamp}", 2, retention_ms="-1")
        self.dead_letters = self.broker.create_topic(f"dead-{stamp}", 1, retention_ms="-1")
        self.state = self.folder / name

    def send(self, lines: list[bytes]) -> None:
        send(self.brokers, self.source, lines, self.partitions)

    def start(self, *options: str) -> Running:
        running = Running(
            self.state,
            self.brokers,
            *QUICK,
            *("--set", f"flow.shards={self.shards}", *options),
            sources=[self.source],
            to=self.to,
            dead_letters=self.dead_letters,
            flow=self.flow,
            program=self.program,
            # What comes out is the same, and plain Python starts sooner than what was compiled is loaded.
            plain=len(self.started) % 2 == 1,
        )
        self.started.append(running)
        return running

    def close(self) -> None:
        """Leave no process behind, of a test that failed."""
        for running in self.started:
            if running.process.poll() is None:
                running.kill()

    def run(self, inputs: int, *options: str) -> None:
        """Run until the journals have so many inputs, and let it drain."""
        running = self.start(*options)
        running.wait_for(lambda: inputs_in(self.state) >= inputs, f"{inputs} inputs")
        assert running.stop() == 0, running.said.read_text()

    def check(self) -> None:
        """The topics hold what the journals say, each message once."""
        for topic, kind in ((self.to, Kind.DECIDED), (self.dead_letters, Kind.DEAD)):
            found = messages(self.brokers, topic)
            assert [known for known, count in Counter(each.id for each in found).items() if count > 1] == []
            lines = b"\n".join(journalled(self.state, kind)).split(b"\n") if found else []
            assert sorted(each.value for each in found) == sorted(lines)


def size_of(state: Path) -> int:
    """Bytes of all journals."""
    return sum(path.stat().st_size for path in state.glob("shard-*/journal-*.seg"))


def members(world: World) -> list[int]:
    try:
        told = json.loads((world.state / "processes.json").read_bytes())
    except (OSError, ValueError):
        return []
    return [each["pid"] for each in told["processes"]]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(pids: list[int]) -> None:
    """Wait until no process of a killed launcher holds the state's lock any more."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, "members outlived their launcher"
        time.sleep(0.05)
