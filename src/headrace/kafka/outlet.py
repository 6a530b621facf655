"""The brokers as a start sees them: what topics hold, and what is to be added to them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from headrace.kafka.client import OFFSET_END, TopicPartition
from headrace.kafka.cloudevents import Headings
from headrace.kafka.connection import Connection
from headrace.kafka.delivery import message_of
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.read_back import Delivered, end_offsets, held_offsets, read_back
from headrace.kafka.starts import Partition, Start, loss
from headrace.shard.outgoing import Outgoing

__all__ = ["TopicOutlet", "first_offsets", "held_in", "loss_of", "tail_of"]

Held = tuple[int, int]


def held_in(connection: Connection, topic: str) -> dict[int, Held]:
    """For each partition the first offset that it holds, and the one after its last.

    Raises
    ------
    BrokerUnreachable, BrokerRefused, TopicMismatch
        If the brokers don't answer, refuse, or have no such topic.
    """
    consumer = connection.consumer({"enable.auto.commit": False})
    try:
        return held_offsets(connection, consumer, topic)
    finally:
        consumer.close()


def first_offsets(
    connection: Connection, topic: str, partitions: Iterable[int], start: Start, held: Mapping[int, Held]
) -> dict[int, int]:
    """Where partitions begin that were never read.

    Raises
    ------
    BrokerUnreachable, BrokerRefused
        If the brokers don't answer, or refuse.
    """
    wanted = list(partitions)
    if start.kind != "time" or not wanted:
        return {each: held[each][start.kind == "latest"] for each in wanted}
    asked = [TopicPartition(topic, each, start.value) for each in wanted]
    consumer = connection.consumer({"enable.auto.commit": False})
    try:
        found = connection.answer(partial(consumer.offsets_for_times, asked))
    finally:
        consumer.close()
    return {
        each.partition: held[each.partition][1] if each.offset == OFFSET_END else each.offset
        for each in found
    }


def tail_of(connection: Connection, topic: str, messages: int) -> Iterator[Delivered]:
    """Yield the last messages of each partition, so many at most.

    Raises
    ------
    BrokerUnreachable, BrokerRefused, TopicMismatch
        If the brokers don't answer, refuse, or have no such topic.
    """
    held = held_in(connection, topic)
    starts = {number: max(first, end - messages) for number, (first, end) in held.items()}
    yield from read_back(connection, topic, starts)


def loss_of(topic: str, partition: int, offset: int, held: Held) -> str | None:
    """Return what is wrong with reading on at an offset; None if nothing."""
    return loss(Partition(topic, partition), offset, held)


class TopicOutlet:
    """Reads back and sends; what a repair asks of the brokers.

    Parameters
    ----------
    connection
        To the brokers.
    producer
        Sends.
    line_bytes_max
        Dead letters are cut to this length, with their newline; None for no limit.
    """

    def __init__(
        self, connection: Connection, producer: DecisionProducer, line_bytes_max: int | None = None
    ) -> None:
        self._connection, self._producer, self._line_bytes_max = connection, producer, line_bytes_max
        self._headings = Headings(connection.settings.ce_source)
        self._seen: dict[str, tuple[dict[int, int], float]] = {}

    def ends(self, topic: str) -> dict[int, int]:
        """Return the end of each partition."""
        now = end_offsets(self._connection, topic)
        if topic not in self._seen or self._seen[topic][0] != now:
            self._seen[topic] = now, time.monotonic()
        return now

    def wait_until_quiet(self, topic: str, quiet_ms: int) -> None:
        """Wait until a topic hasn't grown for so long."""
        while (left_s := quiet_ms / 1000 - self._quiet_s(topic)) > 0:
            time.sleep(left_s)

    def _quiet_s(self, topic: str) -> float:
        """For how long a topic is known to have grown by nothing."""
        # Taken before the question: the topic may have grown while its answer was on the way.
        asked_s = time.monotonic()
        self.ends(topic)
        return max(asked_s - self._seen[topic][1], 0.0)

    def read_back(self, topic: str, starts: Mapping[int, int], quiet_ms: int) -> Iterator[str]:
        """Ids of the messages from the starts on, once the topic hasn't grown for a while."""
        self.wait_until_quiet(topic, quiet_ms)
        for delivered in read_back(self._connection, topic, starts):
            if delivered.ce_id is not None:
                yield delivered.ce_id

    def values(
        self, topic: str, starts: Mapping[int, int], ids: Collection[str]
    ) -> Iterator[tuple[str, str]]:
        """Of some messages from the starts on, by their ids, the values as text."""
        for delivered in read_back(self._connection, topic, starts, values=True):
            if delivered.ce_id is not None and delivered.ce_id in ids:
                yield delivered.ce_id, delivered.value.decode(errors="replace")

    def send(self, output: str, topic: str, message: Outgoing) -> None:
        """Send one message; waits while too many are under way."""
        self._producer.send(topic, [message_of(output, message, self._headings, self._line_bytes_max)])

    def flush(self) -> None:
        """Wait until everything that was sent stands in its topic."""
        self._producer.flush()
