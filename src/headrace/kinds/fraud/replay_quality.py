"""Measures of two configurations' decisions on the same payments, with intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.config.policy import CostSettings
from headrace.replay.intervals import Compared, compared, drawn, once

__all__ = ["MEASURES", "Evaluated", "charges", "compare", "measure", "recall_curve"]

MEASURES: Final = ("precision", "recall", "average_precision", "cost")
_CURVE_POINTS_MAX: Final = 200

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Evaluated(NamedTuple):
    """Payments whose outcome is known, n of them; each array has the shape (n,).

    Attributes
    ----------
    customer
        Number of the customer, from 0; what is resampled together.
    fraud
        The outcome.
    amount
        Units of the flow's currency.
    old_action, new_action
        0 for approve, 1 for review, 2 for block.
    old_score, new_score
        0 to 1.
    """

    customer: Ints
    fraud: Bools
    amount: Floats
    old_action: Ints
    new_action: Ints
    old_score: Floats
    new_score: Floats


def charges(cost: CostSettings, amount: Floats, fraud: Bools) -> Floats:
    """Return what approving, reviewing and blocking cost in the end, given the truth, shape (3, n).

    See Also
    --------
    headrace.operators.policy.cost.expected_costs : The same before the truth is known.
    """
    lost = np.where(fraud, cost.fraud_loss_share * amount + cost.fraud_loss_fixed, 0.0)
    reviewed = cost.review_cost + (1.0 - cost.review_catch_share) * lost
    blocked = np.where(fraud, 0.0, cost.wrong_block_share * amount + cost.wrong_block_cost)
    return np.stack([lost, reviewed, blocked])


def measure(evaluated: Evaluated, cost: CostSettings) -> dict[str, Compared]:
    """All measures without intervals.

    *Precision* is the share of frauds among what is reviewed or blocked, *recall* the share of the frauds
    that is, *average precision* looks at the scores alone, *cost* is in the flow's currency.
    """
    figures = _Figures(evaluated, cost)
    return compared(MEASURES, once(figures.of, figures.customers), with_intervals=False)


def compare(
    evaluated: Evaluated,
    cost: CostSettings,
    *,
    resamples: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> dict[str, Compared]:
    """All measures with intervals by bootstrap, in which customers are drawn, not payments.

    A customer's payments have their amounts and frauds in common, so that intervals from payments drawn one
    by one would be too narrow.

    Parameters
    ----------
    evaluated
        The payments.
    cost
        What right and wrong actions cost.
    resamples
        How many draws.
    progress
        Told of each draw.
    """
    figures = _Figures(evaluated, cost)
    found = drawn(figures.of, figures.customers, resamples=resamples, progress=progress)
    return compared(MEASURES, found, with_intervals=True)


def recall_curve(fraud: Bools, scores: Floats) -> list[tuple[float, float]]:
    """Recall and precision at falling thresholds of the score, at most 200 points."""
    if not fraud.any():
        return []
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    hits = np.cumsum(fraud[order])[last]
    places = np.flatnonzero(np.diff(hits, prepend=0))
    places = places[np.unique(np.linspace(0, places.size - 1, _CURVE_POINTS_MAX).astype(np.int64))]
    recall, precision = hits[places] / hits[-1], hits[places] / (last[places] + 1)
    return list(zip(recall.tolist(), precision.tolist(), strict=True))


# ---------------------------------------------------------------- figures of weighted customers


class _Ranked:
    """Payments by falling score, made ready for the average precision under many weightings.

    Only thresholds at which a fraud comes add to it; the payments between two of them are summed up at once.
    """

    def __init__(self, evaluated: Evaluated, scores: Floats) -> None:
        self._starts = np.zeros(0, dtype=np.int64)
        if not evaluated.fraud.any():
            return
        order = np.argsort(-scores, kind="stable")
        ranked, fraud = scores[order], evaluated.fraud[order]
        last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
        hits = np.cumsum(fraud)[last]
        # Only thresholds that find a fraud add to it; sums over what lies between are made once for each
        # draw.
        ends = last[np.diff(hits, prepend=0) > 0] + 1
        self._starts = np.append(0, ends[:-1])
        used = int(ends[-1])
        self._customer, self._fraud = evaluated.customer[order][:used], fraud[:used].astype(np.float64)

    def average_precision(self, weights: Floats) -> float:
        """Return the average precision when each customer counts as often as the weights say."""
        if not self._starts.size:
            return float("nan")
        counted = weights[self._customer]
        seen = np.cumsum(np.add.reduceat(counted, self._starts))
        gained = np.add.reduceat(counted * self._fraud, self._starts)
        total = gained.sum()
        if not total:
            return float("nan")
        hits = np.cumsum(gained)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return float((gained * precision).sum() / total)


class _Figures:
    """The measures of both configurations, for any weighting of the customers."""

    def __init__(self, evaluated: Evaluated, cost: CostSettings) -> None:
        numbers, customer = np.unique(evaluated.customer, return_inverse=True)
        evaluated = evaluated._replace(customer=customer)
        self.customers = int(numbers.size)
        charged = charges(cost, evaluated.amount, evaluated.fraud)
        every = np.arange(evaluated.fraud.size)
        columns: list[Floats | Bools] = [evaluated.fraud]
        for action in (evaluated.old_action, evaluated.new_action):
            flagged = action > 0
            columns += [flagged & evaluated.fraud, flagged, charged[action, every]]
        # Everything but the ranking is a sum over a customer's payments, so a draw of customers is a product
        # of matrices.
        self._sums = np.stack(
            [np.bincount(customer, weights=column, minlength=self.customers) for column in columns]
        )
        self._ranked = [_Ranked(evaluated, scores) for scores in (evaluated.old_score, evaluated.new_score)]

    def of(self, weights: Floats) -> Floats:
        """Measures in their order, first all of the old, then all of the new; NaN where not defined."""
        frauds, *sides = (self._sums @ weights).tolist()
        found = []
        for side, ranked in enumerate(self._ranked):
            hits, flagged, cost = sides[3 * side : 3 * side + 3]
            precision, recall = _share(hits, flagged), _share(hits, frauds)
            found += [precision, recall, ranked.average_precision(weights), cost]
        return np.array(found)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
