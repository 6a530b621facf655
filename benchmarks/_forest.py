"""The rival: a random forest on the 15 features of the Fraud Detection Handbook, trained in a batch.

References
----------
Le Borgne, Siblini, Lebichot, Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection,
Practical Handbook, 2022, chapter 3, "Baseline feature transformation", and chapter 5.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from _protocol import DAY_S, Floats, Ints, Payments, Week

__all__ = ["FEATURES", "features", "forest_scores"]

FEATURES: Final = (
    "amount",
    "is weekend",
    "is night",
    *(f"customer {what}, {days} days" for days in (1, 7, 30) for what in ("payments", "mean amount")),
    *(f"merchant {what}, {days} days" for days in (1, 7, 30) for what in ("payments", "risk")),
)

_WINDOWS_DAYS: Final = (1, 7, 30)
_DELAY_S: Final = 7 * DAY_S
_NIGHT_HOUR_LAST: Final = 6
_THURSDAY: Final = 3  # the weekday of the epoch's first day
_SATURDAY: Final = 5


def forest_scores(payments: Payments, table: Floats, week: Week, seed: int = 0) -> Floats:
    """Train on the training week's reported payments and score the test week's.

    Parameters
    ----------
    payments
        All payments, n of them.
    table
        Their features, shape (n, 15).
    week
        What to train on and what to score.
    seed
        The forest's.

    Returns
    -------
    ndarray of shape (k,)
        Share of trees that say fraud, for each payment of the test.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_estimators=100, max_depth=20, random_state=seed, n_jobs=-1)
    forest.fit(table[week.train], payments.fraud[week.train])
    scores: Floats = forest.predict_proba(table[week.test])[:, 1]
    return scores


def features(payments: Payments) -> Floats:
    """Return the 15 features of each payment, in the order of `FEATURES`, shape (n, 15).

    A customer's windows end with the payment itself; a merchant's end seven days before it, and count a fraud
    only when its outcome has come. With outcomes after exactly seven days that is the published definition.
    """
    weekday = (payments.day + _THURSDAY) % 7
    hour = payments.time_s % DAY_S // 3_600
    columns = [payments.amount, weekday >= _SATURDAY, hour <= _NIGHT_HOUR_LAST]
    return np.column_stack([*columns, *_customers(payments), *_merchants(payments)]).astype(np.float64)


class _ByEntity:
    """Counts the payments of a customer or merchant in windows that end some time before each payment."""

    def __init__(self, entity: Ints, time_s: Ints) -> None:
        self.order = np.lexsort((time_s, entity))
        self._entity, self._time_s = entity[self.order], time_s[self.order]
        # Far enough apart that no window reaches into another entity's payments.
        self._apart = int(np.ptp(time_s)) + 100 * DAY_S
        self._key = self._entity * self._apart + self._time_s

    def until(self, before_s: int) -> Ints:
        """For each payment in `order`: where the payments end that are at least so many seconds older."""
        found: Ints = np.searchsorted(self._key, self._key - before_s, side="right")
        return found

    def spread(self, values: Floats) -> Floats:
        """Values in `order`, put back into the order of the payments."""
        back = np.empty_like(values)
        back[self.order] = values
        return back


def _customers(payments: Payments) -> list[Floats]:
    index = _ByEntity(payments.customer, payments.time_s)
    sums = np.concatenate(([0.0], np.cumsum(payments.amount[index.order])))
    end = np.arange(1, payments.time_s.size + 1)
    columns = []
    for days in _WINDOWS_DAYS:
        start = index.until(days * DAY_S)
        count = (end - start).astype(np.float64)
        columns += [index.spread(count), index.spread((sums[end] - sums[start]) / count)]
    return columns


def _merchants(payments: Payments) -> list[Floats]:
    index = _ByEntity(payments.merchant, payments.time_s)
    end = index.until(_DELAY_S)
    columns = []
    for days in _WINDOWS_DAYS:
        count = index.spread((end - index.until(_DELAY_S + days * DAY_S)).astype(np.float64))
        frauds = _known_frauds(payments, _DELAY_S, _DELAY_S + days * DAY_S)
        columns += [count, frauds / np.maximum(count, 1)]
    return columns


def _known_frauds(payments: Payments, end_s: int, start_s: int) -> Floats:
    """For each payment: its merchant's frauds start_s to end_s before it whose outcome had come by then."""
    counts = np.zeros(payments.time_s.size)
    reported = np.flatnonzero(payments.fraud)
    for merchant in np.unique(payments.merchant[reported]):
        frauds = reported[payments.merchant[reported] == merchant]
        rows = np.flatnonzero(payments.merchant == merchant)
        now, then = payments.time_s[rows][:, None], payments.time_s[frauds]
        inside = (then > now - start_s) & (then <= now - end_s) & (payments.reported_s[frauds] <= now)
        counts[rows] = inside.sum(axis=1)
    return counts
