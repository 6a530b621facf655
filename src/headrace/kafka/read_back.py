"""Reads back what a topic holds, to know after a crash what was delivered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from headrace.errors import BrokerUnreachable, OffsetLost, TopicMismatch
from headrace.kafka.client import Consumer, Message, OffsetSpec, TopicPartition
from headrace.kafka.cloudevents import id_in
from headrace.kafka.connection import Connection
from headrace.kafka.faults import fault_of
from headrace.kafka.starts import Partition, loss

__all__ = ["Delivered", "end_offsets", "held_offsets", "read_back"]

_AT_ONCE: Final = 10_000
_POLL_S: Final = 0.1
_ONE_BY_ONE_MAX: Final = 8
_OPTIONS: Final[dict[str, Any]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 5,
    # What another's open transaction holds back must not hide what was delivered.
    "isolation.level": "read_uncommitted",
}


class Delivered(NamedTuple):
    """A message that a topic holds.

    Attributes
    ----------
    partition, offset
        Where it stands.
    ce_id
        Its CloudEvents id; None without one.
    value
        Its value, where that was asked for.
    """

    partition: int
    offset: int
    ce_id: str | None
    value: bytes = b""


def end_offsets(connection: Connection, topic: str) -> dict[int, int]:
    """For each partition the offset after its last message.

    Raises
    ------
    BrokerUnreachable, BrokerRefused, TopicMismatch
        If the brokers don't answer, refuse, or have no such topic.
    """
    consumer = connection.consumer(_OPTIONS)
    try:
        return {number: end for number, (_, end) in held_offsets(connection, consumer, topic).items()}
    finally:
        consumer.close()


def read_back(
    connection: Connection, topic: str, from_offsets: Mapping[int, int], *, values: bool = False
) -> Iterator[Delivered]:
    """All messages from some offsets up to the ends that the partitions have when reading begins.

    Parameters
    ----------
    connection
        To the brokers.
    topic
        The topic.
    from_offsets
        For each partition where to begin; those left out are read from their first message on, and so is one
        whose messages before that are deleted by now.
    values
        Whether the messages' values are wanted.

    Yields
    ------
    Delivered
        Each partition's messages in order, the partitions mixed.

    Raises
    ------
    OffsetLost
        If a partition ends before the offset to begin with: it is another topic than it was.
    BrokerUnreachable, BrokerRefused, TopicMismatch
        If the brokers don't answer, refuse, or have no such topic; or if the next message doesn't come within
        `read_back_seconds_max`.
    """
    consumer = connection.consumer(_OPTIONS)
    try:
        held = held_offsets(connection, consumer, topic)
        starts = {number: max(from_offsets.get(number, 0), first) for number, (first, _) in held.items()}
        _raise_losses(topic, starts, held)
        ends = {number: end for number, (_, end) in held.items() if starts[number] < end}
        consumer.assign([TopicPartition(topic, number, starts[number]) for number in ends])
        yield from _up_to(connection, consumer, topic, ends, values=values)
    finally:
        consumer.close()


def held_offsets(connection: Connection, consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """For each partition its first offset, and the one after its last."""
    count = connection.probe(consumer).get(topic)
    if count is None:
        raise TopicMismatch([f"{topic}: there is no such topic"])
    # A few are asked for by the consumer that is open anyway; an admin client sets up connections of its own.
    if count > _ONE_BY_ONE_MAX:
        return _held_by_many(connection, topic, count)
    return {
        number: connection.answer(partial(consumer.get_watermark_offsets, TopicPartition(topic, number)))
        for number in range(count)
    }


def _held_by_many(connection: Connection, topic: str, count: int) -> dict[int, tuple[int, int]]:
    """Return the same by one request for all partitions of a broker, which for many is quicker."""
    places, admin = [TopicPartition(topic, number) for number in range(count)], connection.admin()

    def ask(spec: OffsetSpec, seconds: float) -> list[int]:
        asked = admin.list_offsets(dict.fromkeys(places, spec), request_timeout=seconds)
        return [asked[place].result(seconds + 1).offset for place in places]

    specs: list[OffsetSpec] = [OffsetSpec.earliest(), OffsetSpec.latest()]  # type: ignore[no-untyped-call]
    firsts, ends = (connection.answer(partial(ask, spec)) for spec in specs)
    return dict(enumerate(zip(firsts, ends, strict=True)))


def _raise_losses(topic: str, starts: Mapping[int, int], held: Mapping[int, tuple[int, int]]) -> None:
    losses = [loss(Partition(topic, number), start, held[number]) for number, start in starts.items()]
    if any(losses):
        raise OffsetLost([text for text in losses if text])


def _up_to(
    connection: Connection, consumer: Consumer, topic: str, ends: dict[int, int], *, values: bool
) -> Iterator[Delivered]:
    limit = connection.settings.read_back_seconds_max
    heard = time.monotonic()
    while ends:
        first = consumer.poll(_POLL_S)
        if first is None:
            # A limit of silence, not of the whole: a long topic takes the time it takes.
            if time.monotonic() - heard > limit:
                raise BrokerUnreachable(f"{topic}: nothing more could be read back for {limit:g} seconds")
            continue
        heard = time.monotonic()
        for message in (first, *consumer.consume(_AT_ONCE, 0)):
            yield from _delivered(connection, topic, message, ends, values=values)


def _delivered(
    connection: Connection, topic: str, message: Message, ends: dict[int, int], *, values: bool
) -> Iterator[Delivered]:
    error, number, offset = message.error(), message.partition(), message.offset()
    if number is None or offset is None:
        number = offset = -1
    if error is None and number in ends:
        value = (message.value() or b"") if values else b""
        yield Delivered(number, offset, id_in(message.headers()), value)
        offset += 1
    elif error is not None and fault_of(error) is not None:
        raise connection.fault(error, f"{topic}[{number}]")
    # At the end of a partition the client gives its end in place of a message.
    if offset >= ends.get(number, offset + 1):
        del ends[number]
