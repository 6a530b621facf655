"""Typed settings of the recommend flow's engine: index, candidates, ranker."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from .base import Name
from .base import Settings as _Settings

__all__ = ["NETWORK", "EngineSettings", "RankerSettings"]

NETWORK: Final = "network"


class RankerSettings(_Settings):
    """What ranks the candidates. Fixed for the life of a state.

    Attributes
    ----------
    name
        `network`, or one of the models of docs/models.md, which scores each candidate by itself.
    parameters
        The model's; those not given have its own defaults.
    negatives_max
        Of the slate that was shown, how many of the best that weren't clicked such a model learns from.
    """

    name: Name = NETWORK
    parameters: dict[Name, bool | int | float | str] = Field(default_factory=dict)
    negatives_max: int = Field(default=10, ge=1, le=100)


class EngineSettings(_Settings):
    """The session index and the candidates that it gives.

    Attributes
    ----------
    items_max
        Items that are known; the one that was idle for longest makes room.
    posting_blocks_max
        Blocks of up to 13 meetings of sessions with an item that are learned from; each takes 64 bytes.
    chunks_max
        Pieces of sessions, of up to 11 clicks, that are learned from, the newest ones; each takes 64 bytes.
    sessions_max
        Sessions that go on; the one that was idle for longest makes room, and is learned from all the same.
    order_lines_max, order_items_max
        Newest lines of orders that are learned from, each 16 bytes; and different items of one order.
    session_clicks_max
        Clicks of a session's end that are looked at.
    postings_max
        Newest sessions of an item that are looked at.
    neighbours_max
        Sessions that are most like the present one, and speak for candidates.
    candidates_max
        Items that are ranked.
    shown_max
        Sessions whose last slate the ranker can still learn from; each takes 34 bytes a candidate.
    trending_half_life_hours
        After so long a click counts half as much for what is trending.
    """

    items_max: int = Field(default=100_000, ge=1, le=16_000_000)
    posting_blocks_max: int = Field(default=200_000, ge=1, le=50_000_000)
    chunks_max: int = Field(default=400_000, ge=1, le=50_000_000)
    sessions_max: int = Field(default=100_000, ge=1, le=10_000_000)
    order_lines_max: int = Field(default=200_000, ge=1, le=100_000_000)
    order_items_max: int = Field(default=64, ge=2, le=1000)
    session_clicks_max: int = Field(default=64, ge=1, le=128)
    postings_max: int = Field(default=200, ge=10, le=1000)
    neighbours_max: int = Field(default=64, ge=1, le=1000)
    candidates_max: int = Field(default=128, ge=20, le=1024)
    shown_max: int = Field(default=20_000, ge=1, le=10_000_000)
    trending_half_life_hours: float = Field(default=24.0, gt=0.0, le=10_000.0)
