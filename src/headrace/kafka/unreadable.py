"""Finds the end of a batch of messages that the client can't unpack, as it says only where it begins."""

from __future__ import annotations

import time
from typing import Final

from headrace.errors import BrokerUnreachable
from headrace.kafka.client import KafkaError, TopicPartition
from headrace.kafka.connection import Connection
from headrace.kafka.faults import fault_of
from headrace.kafka.starts import Partition

__all__ = ["end_of_batch", "is_unreadable", "size_options"]

_NAMES: Final = frozenset({"_BAD_COMPRESSION", "_BAD_MSG", "_NOT_IMPLEMENTED", "INVALID_MSG"})
_POLL_S: Final = 0.1
_FETCH_BYTES_MAX: Final = 52_428_800
_SPARE_BYTES: Final = 512  # the client wants them between what it asks for and what it takes


def is_unreadable(error: KafkaError) -> bool:
    """Whether an error says that a batch of messages can't be unpacked."""
    return error.name() in _NAMES


def size_options(unpacked_bytes_max: int) -> dict[str, int]:
    """Return the client's options that bound what it takes, and unpacks a batch to where its codec allows."""
    return {
        "receive.message.max.bytes": unpacked_bytes_max,
        "fetch.max.bytes": min(_FETCH_BYTES_MAX, unpacked_bytes_max - _SPARE_BYTES),
    }


def end_of_batch(connection: Connection, partition: Partition, first: int) -> int:
    """Return the offset after the last message of a batch that can't be unpacked.

    Parameters
    ----------
    connection
        To the brokers.
    partition
        Where it stands.
    first
        The offset of its first message, as the client's error has it.

    Raises
    ------
    BrokerUnreachable
        If the brokers don't answer in time.
    """
    step = 1
    # The client names a broken batch by its first offset, never by its end. Each probe costs a consumer and a
    # fetch, so the step doubles until it is outside, and is halved from there.
    while _inside(connection, partition, first, first + step):
        step *= 2
    inside, outside = first + step // 2, first + step
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if _inside(connection, partition, first, middle):
            inside = middle
        else:
            outside = middle
    return outside


def _inside(connection: Connection, partition: Partition, first: int, offset: int) -> bool:
    """Whether a batch, by its first offset, holds another one as well.

    Each time by a consumer of its own: what another was told before must not be taken for the answer.
    """
    seconds_max = connection.settings.metadata_seconds_max
    options = {"enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "error"}
    consumer = connection.consumer({**options, **size_options(connection.settings.unpacked_bytes_max)})
    try:
        consumer.assign([TopicPartition(*partition, offset)])
        until = time.monotonic() + seconds_max
        while time.monotonic() < until:
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None and is_unreadable(error):
                return message.offset() == first
            if error is None or error.code() == KafkaError._PARTITION_EOF or fault_of(error) is not None:  # noqa: SLF001  # the client's name for it
                return False
    finally:
        consumer.close()
    raise BrokerUnreachable(f"{partition}: no answer within {seconds_max:g} seconds")
