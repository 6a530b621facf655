"""What reading a partition gives: messages, how far it is behind, and what was lost."""

from __future__ import annotations

from typing import NamedTuple

from headrace.journal.passed_headers import PassedHeaders
from headrace.kafka.starts import Partition

__all__ = ["Fetched", "Lag", "Lost"]


class Fetched(NamedTuple):
    """Messages of one partition, in order.

    Attributes
    ----------
    partition
        Where they stand.
    payloads
        Their values; `TOMBSTONE` for a message without one.
    offsets
        Their offsets; rising, but not always by one.
    times_ms
        Their timestamps, milliseconds since the epoch; -1 for one without.
    headers
        By offset, headers that go on to what comes of a message.
    appended_after_ms
        A time before which none of them can have been in the partition; 0 if that isn't known.
    past
        Whether they belong to a past that is being caught up with, and not to what comes in live.
    """

    partition: Partition
    payloads: list[bytes]
    offsets: list[int]
    times_ms: list[int]
    headers: dict[int, PassedHeaders]
    appended_after_ms: int = 0
    past: bool = False


class Lag(NamedTuple):
    """How far reading is behind.

    Attributes
    ----------
    messages
        In the partition and not yet handed out; None while its end isn't known, as nothing is heard of the
        broker that leads it.
    seconds
        Age of the last message that was handed out, 0 at the end; None before the first one. Where the end
        isn't known, seconds since it was reached: what came meanwhile has waited for no longer.
    """

    messages: int | None
    seconds: float | None


class Lost(NamedTuple):
    """Messages that were deleted before they were read, and passed over because that was asked for.

    Attributes
    ----------
    partition
        Where they stood.
    first, next
        The first offset that is missing, and the one where reading goes on.
    """

    partition: Partition
    first: int
    next: int
