"""The quality of scores so far, each judged by an outcome that came after it, in fixed memory."""

from __future__ import annotations

from math import log
from typing import Final, NamedTuple

__all__ = ["Prequential", "Quality"]

_BINS: Final = 1_200
_LOG_ODDS_MAX: Final = 12.0
_BINS_PER_LOG_ODDS: Final = _BINS / (2 * _LOG_ODDS_MAX)
_SCORE_MIN: Final = 1e-12


class Quality(NamedTuple):
    """How well scores tell frauds from legitimate payments.

    Attributes
    ----------
    auc
        Area under the ROC curve: the chance that a fraud scores higher than a legitimate payment.
    average_precision
        Mean of the precision at each recall.
    frauds, payments
        How many it was computed from.
    """

    auc: float
    average_precision: float
    frauds: int
    payments: int


class Prequential:
    """Histograms of the scores of frauds and of legitimate payments, over a sliding window.

    The window is two halves: when the newer one is full it becomes the older one, so that between a half and
    the whole of `window` judged scores count. Scores are binned by log-odds, 0.02 each, since most scores of
    rare frauds lie near 0; scores in one bin count as equal.

    Parameters
    ----------
    window
        Judged scores that count at most.

    References
    ----------
    Gama, Sebastião, Rodrigues: On evaluating stream learning algorithms. Machine Learning 90 (2013).
    """

    __slots__ = ("_half", "_newer", "_newer_total", "_older")

    def __init__(self, window: int = 100_000) -> None:
        self._half = max(1, window // 2)
        self._newer = _empty()
        self._older = _empty()
        self._newer_total = 0

    def add(self, score: float, label: int) -> None:
        """Judge a score (0 to 1) by its label, 1 for a fraud and 0 for a legitimate payment."""
        if self._newer_total >= self._half:
            self._older, self._newer, self._newer_total = self._newer, _empty(), 0
        self._newer[label][_bin(score)] += 1
        self._newer_total += 1

    def quality(self) -> Quality | None:
        """The quality over the window; None until both a fraud and a legitimate payment were judged."""
        legitimate, frauds = (
            [newer + older for newer, older in zip(self._newer[label], self._older[label], strict=True)]
            for label in (0, 1)
        )
        positives, negatives = sum(frauds), sum(legitimate)
        if not positives or not negatives:
            return None
        return Quality(
            _auc(legitimate, frauds) / (positives * negatives),
            _average_precision(legitimate, frauds) / positives,
            positives,
            positives + negatives,
        )


def _empty() -> tuple[list[int], list[int]]:
    return [0] * _BINS, [0] * _BINS


def _bin(score: float) -> int:
    score = min(max(score, _SCORE_MIN), 1.0 - _SCORE_MIN)
    place = int((log(score / (1.0 - score)) + _LOG_ODDS_MAX) * _BINS_PER_LOG_ODDS)
    return min(max(place, 0), _BINS - 1)


def _auc(legitimate: list[int], frauds: list[int]) -> float:
    """How many pairs are in order, ties counted half."""
    pairs, below = 0.0, 0
    for negatives, positives in zip(legitimate, frauds, strict=True):
        pairs += positives * (below + negatives / 2)
        below += negatives
    return pairs


def _average_precision(legitimate: list[int], frauds: list[int]) -> float:
    """The sum of precisions, from the highest bin down, one for each fraud."""
    found = seen = 0
    precisions = 0.0
    for negatives, positives in zip(reversed(legitimate), reversed(frauds), strict=True):
        found += positives
        seen += negatives + positives
        if positives:
            precisions += positives * found / seen
    return precisions
