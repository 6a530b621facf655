"""Measures of two configurations' decisions on the same payments, with intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.config.policy import CostSettings

__all__ = ["MEASURES", "Compared", "Interval", "Judged", "charges", "compare", "measure", "recall_curve"]

MEASURES: Final = ("precision", "recall", "average_precision", "cost")
_LEVEL: Final = 0.95
_SEED: Final = 20_260_101
_CURVE_POINTS_MAX: Final = 200

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Judged(NamedTuple):
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


class Interval(NamedTuple):
    """A figure with its 95 % confidence interval; None where it isn't defined, or wasn't asked for."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Compared(NamedTuple):
    """One measure of both configurations, and new minus old on the same payments."""

    old: Interval
    new: Interval
    difference: Interval


def charges(cost: CostSettings, amount: Floats, fraud: Bools) -> Floats:
    """What approving, reviewing and blocking cost in the end, given the truth, shape (3, n).

    See Also
    --------
    headrace.operators.policy.cost.expected_costs : The same before the truth is known.
    """
    lost = np.where(fraud, cost.fraud_loss_share * amount + cost.fraud_loss_fixed, 0.0)
    reviewed = cost.review_cost + (1.0 - cost.review_catch_share) * lost
    blocked = np.where(fraud, 0.0, cost.wrong_block_share * amount + cost.wrong_block_cost)
    return np.stack([lost, reviewed, blocked])


def measure(judged: Judged, cost: CostSettings) -> dict[str, Compared]:
    """All measures without intervals.

    *Precision* is the share of frauds among what is reviewed or blocked, *recall* the share of the frauds
    that is, *average precision* looks at the scores alone, *cost* is in the flow's currency.
    """
    figures = _Figures(judged, cost)
    once = np.ones(figures.customers)
    return _compared(figures.of(once)[:, np.newaxis], with_intervals=False)


def compare(
    judged: Judged,
    cost: CostSettings,
    *,
    resamples: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> dict[str, Compared]:
    """All measures with intervals by bootstrap, in which customers are drawn, not payments.

    A customer's payments have their amounts and frauds in common, so that intervals from payments drawn one
    by one would be too narrow. Old and new are measured on the same draws, which makes the difference a
    paired one. Intervals are percentiles; draws in which a measure isn't defined are left out of its
    interval. The draws are the same each time.

    Parameters
    ----------
    judged
        The payments.
    cost
        What right and wrong actions cost.
    resamples
        How many draws.
    progress
        Told of each draw.

    References
    ----------
    Efron, Tibshirani: An Introduction to the Bootstrap (1993), chapters 8 and 13.
    Field, Welsh: Bootstrapping clustered data. Journal of the Royal Statistical Society B 69 (2007).
    """
    figures, random = _Figures(judged, cost), np.random.default_rng(_SEED)
    customers = figures.customers
    found = [figures.of(np.ones(customers))]
    for _ in range(resamples if customers else 0):
        drawn = random.integers(customers, size=customers)
        found.append(figures.of(np.bincount(drawn, minlength=customers).astype(np.float64)))
        progress(1)
    return _compared(np.stack(found, axis=1), with_intervals=True)


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

    def __init__(self, judged: Judged, scores: Floats) -> None:
        self._starts = np.zeros(0, dtype=np.int64)
        if not judged.fraud.any():
            return
        order = np.argsort(-scores, kind="stable")
        ranked, fraud = scores[order], judged.fraud[order]
        last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
        hits = np.cumsum(fraud)[last]
        ends = last[np.diff(hits, prepend=0) > 0] + 1
        self._starts = np.append(0, ends[:-1])
        used = int(ends[-1])
        self._customer, self._fraud = judged.customer[order][:used], fraud[:used].astype(np.float64)

    def average_precision(self, weights: Floats) -> float:
        """The average precision when each customer counts as often as the weights say."""
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

    def __init__(self, judged: Judged, cost: CostSettings) -> None:
        numbers, customer = np.unique(judged.customer, return_inverse=True)
        judged = judged._replace(customer=customer)
        self.customers = int(numbers.size)
        charged = charges(cost, judged.amount, judged.fraud)
        every = np.arange(judged.fraud.size)
        columns: list[Floats | Bools] = [judged.fraud]
        for action in (judged.old_action, judged.new_action):
            flagged = action > 0
            columns += [flagged & judged.fraud, flagged, charged[action, every]]
        self._sums = np.stack(
            [np.bincount(customer, weights=column, minlength=self.customers) for column in columns]
        )
        self._ranked = [_Ranked(judged, scores) for scores in (judged.old_score, judged.new_score)]

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


def _compared(found: Floats, *, with_intervals: bool) -> dict[str, Compared]:
    """Intervals from figures, shape (2 * measures, 1 + resamples), the first column being the figures."""
    old, new = found[: len(MEASURES)], found[len(MEASURES) :]
    sides = [[_interval(row, with_intervals) for row in rows] for rows in (old, new, new - old)]
    return {name: Compared(*each) for name, each in zip(MEASURES, zip(*sides, strict=True), strict=True)}


def _interval(row: Floats, with_intervals: bool) -> Interval:
    value = None if np.isnan(row[0]) else float(row[0])
    drawn = row[1:][~np.isnan(row[1:])]
    if not with_intervals or value is None or not drawn.size:
        return Interval(value)
    low, high = np.quantile(drawn, [(1.0 - _LEVEL) / 2, (1.0 + _LEVEL) / 2]).tolist()
    return Interval(value, low, high)
