"""Typed settings of the recommend flow's engine: index, candidates, ranker."""

from __future__ import annotations

from pydantic import Field

from headrace.config.base import Settings as _Settings

__all__ = ["EngineSettings"]


class EngineSettings(_Settings):
    """The session index and the candidates that it gives.

    Attributes
    ----------
    items_max
        Items that are known; the one that was idle for longest makes room.
    sessions_max
        Sessions that are remembered.
    session_items_max
        Items of a session's end that are looked at and remembered.
    postings_max
        Newest sessions of an item that are looked at.
    neighbours_max
        Sessions that are most like the present one, and speak for candidates.
    candidates_max
        Items that are ranked.
    shown_max
        Sessions whose last list the ranker can still learn from; each takes up to 4 kB.
    trending_half_life_hours
        After so long a click counts half as much for what is trending.
    """

    items_max: int = Field(default=100_000, ge=1, le=10_000_000)
    sessions_max: int = Field(default=200_000, ge=1, le=10_000_000)
    session_items_max: int = Field(default=12, ge=1, le=100)
    postings_max: int = Field(default=250, ge=10, le=10_000)
    neighbours_max: int = Field(default=100, ge=1, le=10_000)
    candidates_max: int = Field(default=128, ge=20, le=1000)
    shown_max: int = Field(default=20_000, ge=1, le=10_000_000)
    trending_half_life_hours: float = Field(default=24.0, gt=0.0, le=10_000.0)
