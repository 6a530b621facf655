"""Which shard an event belongs to where sessions are answered."""

from __future__ import annotations

from headrace.config.recommend_flow import RecommendSettings
from headrace.operators.events.contract import Cart, Click, Event, Order
from headrace.operators.events.decode import Undecodable
from headrace.shard.commands import Command
from headrace.shard.kinds import Route
from headrace.shard.routing import keyed, shard_of

__all__ = ["route_by_session"]


def route_by_session(settings: RecommendSettings) -> Route:
    """Route by session, as far as an event has one; what others learn from goes to all."""
    shards, from_all = settings.flow.shards, settings.flow.learn_from == "all"
    return lambda event: _by_session(event, shards, learns_from_all=from_all)


def _by_session(event: Command | Event | Undecodable, shards: int, *, learns_from_all: bool) -> int | None:
    if isinstance(event, Click | Cart | Order):
        # A cart teaches nobody but its own session; the index of every shard is made of clicks and orders.
        if learns_from_all and not isinstance(event, Cart):
            return None
        if event.session_id is not None:
            return keyed(event.session_id, shards)
    return shard_of(event, shards)
