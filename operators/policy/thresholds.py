"""Scores to actions by thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...config.policy import Action, PolicySettings
from .verdict import Decider, Verdict

__all__ = ["APPROVAL", "act", "by_bounds", "by_thresholds"]

APPROVAL: Final = Verdict("approve", "model", "model")
"""What most payments get: nothing but the score has to be said of it."""
_REVIEW: Final = Verdict("review", "model", "model")
_BLOCK: Final = Verdict("block", "model", "model")


def act(policy: PolicySettings, score: float) -> Action:
    """Return the action for a score, 0 to 1: block and review from their thresholds on, else approve."""
    if score >= policy.block_at:
        return "block"
    return "review" if score >= policy.review_at else "approve"


def by_thresholds(review_at: float, block_at: float) -> Decider:
    """Decide as `act` does."""
    return by_bounds(APPROVAL, ((review_at, _REVIEW), (block_at, _BLOCK)))


def by_bounds(plain: Verdict, bounds: Sequence[tuple[float, Verdict]]) -> Decider:
    """Decide by the last bound that a score reaches.

    Parameters
    ----------
    plain
        What a score below all bounds gets.
    bounds
        Scores with what is decided from them on; scores don't decrease.
    """
    if not bounds:
        return lambda _event, _values, _score, _time_ms, _overdue: plain
    (first, at_first), *further = bounds

    def decide(_event: Any, _values: Sequence[float], score: float, _time_ms: int, _overdue: bool) -> Verdict:
        if score < first:
            return plain
        verdict = at_first
        for bound, reached in further:
            if score >= bound:
                verdict = reached
        return verdict

    return decide
