"""What ranking gives: candidates of a session, best first."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NotRanked", "Ranked"]


class NotRanked(Exception):
    """A model in the ranker's place raised something while it scored; its cause says what."""


class Ranked(NamedTuple):
    """Candidates of a session, best first.

    Attributes
    ----------
    items
        Their numbers.
    scores
        The share that the ranker gives each of them among all candidates, 0 to 1.
    sources
        Which of `kernels.SOURCE_NAMES` speaks most for it.
    anchors
        The item of the session that this source goes out from; -1 for none.
    support
        In how many recent sessions, or how many times, it was seen so.
    candidates
        How many items were ranked.
    """

    items: list[int]
    scores: list[float]
    sources: list[int]
    anchors: list[int]
    support: list[int]
    candidates: int
