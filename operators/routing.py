"""Which shard an event belongs to."""

from __future__ import annotations

import zlib

from headrace.operators.codec import Undecodable
from headrace.operators.commands import Command, Erase, KillSwitch, ReloadList, Retry
from headrace.operators.events import Click, Event, Item, Outcome

__all__ = ["shard_of"]


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
    key = event.customer_id
    if key is None:
        if isinstance(event, Outcome):
            return None
        key = event.session_id if isinstance(event, Click) or hasattr(event, "session_id") else None
    return zlib.crc32((key or "").encode()) % shards
