"""Scores to actions."""

from __future__ import annotations

from typing import Literal

from headrace.config.settings import PolicySettings

__all__ = ["Action", "act"]

Action = Literal["approve", "review", "block"]


def act(policy: PolicySettings, score: float) -> Action:
    """The action for a score, 0 to 1: block and review from their thresholds on, else approve."""
    if score >= policy.block_at:
        return "block"
    return "review" if score >= policy.review_at else "approve"
