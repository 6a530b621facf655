"""How good scores and estimates were, computed plainly from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter


def pinball(rows: Sequence[tuple[float, Sequence[float]]], quantiles: Sequence[float]) -> float:
    """Mean pinball loss over outcomes with their estimated quantiles, and over the quantiles."""
    total = sum(
        max(share * (value - said), (share - 1.0) * (value - said))
        for value, estimated in rows
        for share, said in zip(quantiles, estimated, strict=True)
    )
    return total / len(rows) / len(quantiles)


def coverage(rows: Sequence[tuple[float, Sequence[float]]]) -> float:
    """Share of outcomes between the lowest and the highest quantile."""
    return sum(estimated[0] <= value <= estimated[-1] for value, estimated in rows) / len(rows)


def below(rows: Sequence[tuple[float, Sequence[float]]], head: int) -> float:
    """Share of outcomes not above a quantile."""
    return sum(value <= estimated[head] for value, estimated in rows) / len(rows)


def auc(pairs: Sequence[tuple[float, int]]) -> float:
    """Area under the ROC curve of scores with their labels; ties count one half."""
    positives = sum(label for _, label in pairs)
    ranks, seen = 0.0, 0
    for _, tied in groupby(sorted(pairs), key=itemgetter(0)):
        labels = [label for _, label in tied]
        ranks += sum(labels) * (seen + (len(labels) + 1) / 2)
        seen += len(labels)
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(pairs) - positives))


def calibration_error(pairs: Sequence[tuple[float, int]], bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass; equal scores share the mean of their labels."""
    rates: list[tuple[float, float]] = []
    for score, tied in groupby(sorted(pairs), key=itemgetter(0)):
        labels = [label for _, label in tied]
        rates += [(score, sum(labels) / len(labels))] * len(labels)
    count = len(rates)
    parts = [rates[place * count // bins : (place + 1) * count // bins] for place in range(bins)]
    return sum(abs(sum(score - rate for score, rate in part)) for part in parts) / count
