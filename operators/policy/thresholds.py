"""Scores to actions by thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...config.policy import Action, PolicySettings
from ..events.contract import Payment
from .verdict import Decider, Verdict

__all__ = ["APPROVAL", "act", "by_thresholds"]

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

    def decide(
        _payment: Payment, _values: Sequence[float], score: float, _time_ms: int, _overdue: bool
    ) -> Verdict:
        if score < review_at:
            return APPROVAL
        return _BLOCK if score >= block_at else _REVIEW

    return decide
