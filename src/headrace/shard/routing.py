"""Which shard an event belongs to."""

from __future__ import annotations

import zlib

from headrace.config.tables import RunSettings
from headrace.operators.events.contract import Event, Item, Outcome
from headrace.operators.events.declared import party_of
from headrace.operators.events.decode import Undecodable
from headrace.shard.commands import Command, Erase, KillSwitch, ReloadList, Retry, SetClock
from headrace.shard.kinds import Route, kind_of

__all__ = ["keyed", "route_of", "shard_of"]


def keyed(key: str, shards: int) -> int:
    """Return the number of the shard that a key belongs to."""
    # Not `hash()`, which is salted for each process: a key must come to the same shard in every run.
    return zlib.crc32(key.encode()) % shards


def shard_of(event: Command | Event | Undecodable, shards: int) -> int | None:
    """Return the number of the shard that keeps the state for an event.

    The key is the customer, else the session. None for an outcome that names no customer: it goes to every
    shard, and the one that knows its payment uses it. The catalogue is everybody's
    too, and so is a command. What can't be decoded goes to the first.
    """
    if isinstance(event, Undecodable):
        return 0
    if isinstance(event, Item | Erase | KillSwitch | ReloadList | Retry | SetClock):
        return None
    key = party_of(event)
    if key is None and isinstance(event, Outcome):
        return None
    return keyed(key or "", shards)


def route_of(settings: RunSettings) -> Route:
    """Tells which shard of a flow an event belongs to; None for all of them."""
    return kind_of(settings).route(settings)
