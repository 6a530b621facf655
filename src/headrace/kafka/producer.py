"""Sends messages so that each is taken once and in order, or it is known that it wasn't."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from headrace.errors import BrokerError, DeliveryFailed
from headrace.kafka.client import KafkaError, KafkaException, Message
from headrace.kafka.cloudevents import Headers
from headrace.kafka.connection import Connection
from headrace.kafka.faults import error_in
from headrace.kafka.scheduling import let_work_begin

__all__ = ["DecisionProducer", "ProducerRecord", "Sent"]

_WAIT_S: Final = 0.1
_STATISTICS_MS: Final = 1000
_ANY_PARTITION: Final = -1
_BATCH_BYTES_MAX: Final = 1_000_000
Told: TypeAlias = "Callable[[KafkaError | None, Message], None]"


ProducerRecord: TypeAlias = tuple[bytes | None, bytes, Headers]
"""A message to be sent: key, value, and headers, names with their bytes.

Messages of one key go to one partition, the one that Kafka's own clients choose; without a key to any.
"""


class _Statistics(msgspec.Struct, gc=False):
    msg_size: int = 0


_decoder: Final = msgspec.json.Decoder(_Statistics)


class Sent(NamedTuple):
    """Counts since the start.

    Attributes
    ----------
    sent
        Messages handed to the client.
    delivered, failed
        Of them, those that the brokers have confirmed, and those that they have not taken.
    waits
        How often sending had to wait, because too much was undelivered.
    """

    sent: int
    delivered: int
    failed: int
    waits: int

    @property
    def pending(self) -> int:
        """Messages of which it isn't known yet."""
        return self.sent - self.delivered - self.failed


class DecisionProducer:
    """An idempotent producer: what the client sends again on its own isn't there twice.

    A message that could not be delivered is an error at the next call; there is no going on after it, as
    those behind it may have been.

    Parameters
    ----------
    connection
        To the brokers.
    waiting
        Called again and again while sending waits.
    batch_bytes_max
        The topics take no larger batches; None if that isn't known.

    Attributes
    ----------
    queued_bytes : int
        Bytes of messages that wait to be acknowledged, as the client has told it last, about once a second.

    Raises
    ------
    BrokerUnreachable, BrokerRefused
        If no broker answers within `metadata_seconds_max`, or one refuses.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        waiting: Callable[[], None] = lambda: None,
        batch_bytes_max: int | None = None,
    ) -> None:
        self._connection, self._waiting = connection, waiting
        self._batch_bytes_max = min(batch_bytes_max or _BATCH_BYTES_MAX, _BATCH_BYTES_MAX)
        self._sent = self._delivered = self._failed = self._waits = 0
        self._failure: BrokerError | None = None
        self.queued_bytes = 0
        self._producer = connection.producer(self._options())
        connection.probe(self._producer)

    def _options(self) -> dict[str, Any]:
        settings = self._connection.settings
        return {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": settings.linger_ms,
            "partitioner": "murmur2_random",
            "message.max.bytes": settings.message_bytes_max,
            # A broker evaluates the batch as a whole.
            "batch.size": self._batch_bytes_max,
            "queue.buffering.max.messages": settings.send_queue_messages_max,
            "queue.buffering.max.kbytes": settings.send_queue_bytes_max // 1024,
            "statistics.interval.ms": _STATISTICS_MS,
            "stats_cb": self._statistics,
            "delivery.timeout.ms": int(settings.delivery_seconds_max * 1000),
        }

    def _statistics(self, told: str) -> None:
        """Take in what the client tells of itself, JSON."""
        self.queued_bytes = _decoder.decode(told).msg_size

    def send(
        self,
        topic: str,
        messages: Iterable[ProducerRecord],
        delivered: Callable[[int, int], None] | None = None,
    ) -> None:
        """Hand messages over, and wait only while too many are undelivered.

        Parameters
        ----------
        topic
            Where to.
        messages
            In the order in which those of one key are to stand there.
        delivered
            Called with partition and offset of each, once it stands there.

        Raises
        ------
        DeliveryFailed
            If a message is too large, or one sent before could not be delivered.
        """
        self._raise()
        told, produce = self._telling(topic, delivered), self._produce
        for message in messages:
            try:
                produce(topic, message, told)
            # The client's queue is full. To wait here is what holds reading back.
            except BufferError:
                self._wait(topic, message, told)
            self._sent += 1
        let_work_begin()
        self.poll()

    def _produce(self, topic: str, message: ProducerRecord, told: Told) -> None:
        key, value, headers = message
        try:
            # By their places, as names cost time: any partition, who is told, no one else, the present time.
            self._producer.produce(topic, value, key, _ANY_PARTITION, told, None, 0, headers)
        except KafkaException as exception:
            raise self._unsent(topic, message, error_in(exception)) from None

    def _wait(self, topic: str, message: ProducerRecord, told: Told) -> None:
        """Wait until there is room; it comes, since what isn't delivered in time fails."""
        self._waits += 1
        while True:
            self._producer.poll(_WAIT_S)
            self._waiting()
            self._raise()
            with suppress(BufferError):
                return self._produce(topic, message, told)

    def _unsent(self, topic: str, message: ProducerRecord, error: KafkaError) -> BrokerError:
        limit = self._connection.settings.message_bytes_max
        what = f"{topic}: a message of {len(message[1])} bytes can't be sent (message_bytes_max is {limit})"
        return self._connection.fault(error, what)

    def _telling(self, topic: str, delivered: Callable[[int, int], None] | None) -> Told:
        # Called for each message: what it needs is at hand.
        def told(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._undelivered(topic, error)
                return
            self._delivered += 1
            if delivered is not None:
                delivered(message.partition(), message.offset())  # type: ignore[arg-type]  # it has both

        return told

    def _undelivered(self, topic: str, error: KafkaError) -> None:
        self._failed += 1
        if self._failure is None:
            what = f"{topic}: a message was not delivered"
            self._failure = DeliveryFailed(self._connection.redact(f"{what}: {error.str()}"))

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def poll(self) -> None:
        """Take in what was delivered meanwhile, without waiting.

        Raises
        ------
        DeliveryFailed
            If a message could not be delivered.
        """
        self._producer.poll(0)
        self._raise()

    def flush(self, seconds: float | None = None) -> None:
        """Wait until everything is delivered.

        Parameters
        ----------
        seconds
            At most so long; None for `delivery_seconds_max`.

        Raises
        ------
        DeliveryFailed
            If a message could not be delivered, or not in this time.
        """
        limit = self._connection.settings.delivery_seconds_max if seconds is None else seconds
        until = time.monotonic() + limit
        while (left := self._producer.flush(min(_WAIT_S, max(until - time.monotonic(), 0.0)))) > 0:
            self._raise()
            if time.monotonic() >= until:
                raise DeliveryFailed(f"{left} messages were not delivered within {limit:g} seconds")
        self._raise()

    @property
    def counts(self) -> Sent:
        """What became of the messages so far."""
        return Sent(self._sent, self._delivered, self._failed, self._waits)

    def close(self) -> None:
        """Give up what isn't delivered yet; `flush` comes before."""
        # Else the client's end waits for what can't be delivered. Purged messages report as failed, which
        # `poll` takes in.
        self._producer.purge()
        self._producer.poll(0)
