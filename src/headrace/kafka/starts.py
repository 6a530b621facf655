"""Where reading a partition begins, and what is said when it can't."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "ACCEPT_LOST_OPTION",
    "EARLIEST",
    "LATEST",
    "START_OPTION",
    "Partition",
    "Start",
    "at_offset",
    "at_time",
    "loss",
    "parse_start",
]

START_OPTION: Final = "--start"
ACCEPT_LOST_OPTION: Final = "--accept-lost"


class Partition(NamedTuple):
    """A partition of a topic.

    Attributes
    ----------
    topic
        The topic's name.
    number
        From 0.
    """

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class Start(NamedTuple):
    """Where reading begins.

    Attributes
    ----------
    kind
        `earliest`, `latest`, `time` (the first message that is not older) or `offset`.
    value
        Milliseconds since the epoch, or the offset.
    """

    kind: Literal["earliest", "latest", "time", "offset"]
    value: int = 0


Range: TypeAlias = tuple[int, int]
EARLIEST: Final = Start("earliest")
LATEST: Final = Start("latest")


def at_offset(offset: int) -> Start:
    """Begin with the message of this offset."""
    return Start("offset", offset)


def at_time(time_ms: int) -> Start:
    """Begin with the first message whose timestamp is not before this time, milliseconds since the epoch."""
    return Start("time", time_ms)


def parse_start(text: str) -> Start:
    """Read `earliest`, `latest`, or a time with its offset from UTC.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> parse_start("earliest")
    Start(kind='earliest', value=0)
    >>> parse_start("2026-03-01T09:30:00Z")
    Start(kind='time', value=1772357400000)
    """
    if text in ("earliest", "latest"):
        return EARLIEST if text == "earliest" else LATEST
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"must be earliest, latest, or a time such as 2026-03-01T09:30:00Z (is {text!r})")
    return at_time(int(moment.timestamp() * 1000))


def loss(partition: Partition, offset: int, held: Range) -> str | None:
    """Return what is wrong with going on at an offset, and what can be done; None if nothing.

    Parameters
    ----------
    partition
        The partition.
    offset
        That is to be read next.
    held
        The first offset that the partition holds, and the one after its last.
    """
    first, end = held
    if first <= offset <= end:
        return None
    what = f"{partition}: offset {offset} is to be read next, but the topic holds {first} to {end}"
    if offset < first:
        return (
            f"{what}; what was before is deleted and was never read ({first - offset} messages)."
            f" {ACCEPT_LOST_OPTION} goes on without it"
        )
    return (
        f"{what}: it was made anew or cut, or this is another cluster. Point to the right one, or"
        f" begin with a new --state, where {START_OPTION} says at which message"
    )
