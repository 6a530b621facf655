"""Which shard an event belongs to."""

from __future__ import annotations

import zlib

from headrace.operators.codec import Undecodable
from headrace.operators.commands import Command, Erase, KillSwitch, ReloadList, Retry
from headrace.operators.events import Event, Item, Outcome

__all__ = ["party_of", "shard_of"]


def party_of(event: Event) -> str | None:
    """Whom an event names: its customer, else its session; None where it names neither."""
    if isinstance(event, Item):
        return None
    if event.customer_id is None and not isinstance(event, Outcome):
        return event.session_id
    return event.customer_id


def shard_of(event: Command | Event | Undecodable, shards: int) -> int | None:
    """Number of the shard that keeps the state for an event.

    The key is the customer, else the session. None for an outcome that names no customer: it goes to every
    shard, and the one that knows its payment uses it. The catalogue is everybody's
    too, and so is a command. What can't be decoded goes to the first.
    """
    if isinstance(event, Undecodable):
        return 0
    if isinstance(event, Item | Erase | KillSwitch | ReloadList | Retry):
        return None
    key = party_of(event)
    if key is None and isinstance(event, Outcome):
        return None
    return zlib.crc32((key or "").encode()) % shards
