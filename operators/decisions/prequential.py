"""The quality of scores so far, each evaluated by an outcome that came after it, in fixed memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Counted", "OutcomeWindow", "Prequential", "Quality", "WindowQuality", "quality_of"]

_BINS: Final = 1_200
_LOG_ODDS_MAX: Final = 12.0
_BINS_PER_LOG_ODDS: Final = _BINS / (2 * _LOG_ODDS_MAX)
_SCORE_MIN: Final = 1e-12
_CALIBRATION_BINS: Final = 10
_COUNTED_AT_ONCE: Final = 4_096


Counted = tuple[dict[int, int], dict[int, int]]
"""How many scores are in each bin that has any: of legitimate payments, and of frauds."""


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
    the whole of `window` evaluated scores count. Scores are binned by log-odds, 0.02 each, since most scores
    of rare frauds lie near 0; scores in one bin count as equal.

    Parameters
    ----------
    window
        Evaluated scores that count at most.

    References
    ----------
    Gama, Sebastião, Rodrigues: On evaluating stream learning algorithms. Machine Learning 90 (2013).
    """

    __slots__ = ("_half", "_newer", "_newer_total", "_older", "_waiting")

    def __init__(self, window: int = 100_000) -> None:
        self._half = max(1, window // 2)
        self._newer = _empty()
        self._older = _empty()
        self._newer_total = 0
        self._waiting: list[tuple[float, int]] = []

    def add(self, score: float, label: int) -> None:
        """Evaluate a score (0 to 1) by its label, 1 for a fraud and 0 for a legitimate payment."""
        self.extend([(score, label)])

    def extend(self, evaluated: Sequence[tuple[float, int]]) -> None:
        """Evaluate scores by their labels; they are counted many at once, and when quality is asked for."""
        self._waiting += evaluated
        if len(self._waiting) >= _COUNTED_AT_ONCE:
            self._count()

    def _count(self) -> None:
        waiting, self._waiting = self._waiting, []
        for (_, label), place in zip(waiting, _bins([score for score, _ in waiting]), strict=True):
            # Two halves in place of a ring of scores: memory is fixed, and the window is between one half and
            # both.
            if self._newer_total >= self._half:
                self._older, self._newer, self._newer_total = self._newer, _empty(), 0
            self._newer[label][place] += 1
            self._newer_total += 1

    def counted(self) -> Counted:
        """Return the window's scores, to be evaluated together with those of others (`quality_of`)."""
        legitimate, frauds = self._window()
        return _filled(legitimate), _filled(frauds)

    def quality(self) -> Quality | None:
        """Return the quality over the window.

        None until both a fraud and a legitimate payment were evaluated.
        """
        return _quality(*self._window())

    def _window(self) -> tuple[list[int], list[int]]:
        self._count()
        legitimate, frauds = (
            [newer + older for newer, older in zip(self._newer[label], self._older[label], strict=True)]
            for label in (0, 1)
        )
        return legitimate, frauds


def quality_of(parts: Iterable[Counted]) -> Quality | None:
    """Return the quality over several windows, as if one had evaluated all their scores; None as for one."""
    counts = _empty()
    for part in parts:
        for label in (0, 1):
            for place, count in part[label].items():
                counts[label][place] += count
    return _quality(*counts)


def _quality(legitimate: list[int], frauds: list[int]) -> Quality | None:
    # Both measures come from counts by bin, so that a window costs the same however many scores are in it,
    # and windows of several shards are added up exactly.
    positives, negatives = sum(frauds), sum(legitimate)
    if not positives or not negatives:
        return None
    return Quality(
        _auc(legitimate, frauds) / (positives * negatives),
        _average_precision(legitimate, frauds) / positives,
        positives,
        positives + negatives,
    )


def _filled(counts: list[int]) -> dict[int, int]:
    return {place: count for place, count in enumerate(counts) if count}


def _empty() -> tuple[list[int], list[int]]:
    return [0] * _BINS, [0] * _BINS


def _bins(scores: Sequence[float]) -> list[int]:
    import numpy as np

    clipped = np.clip(np.array(scores, dtype=np.float64), _SCORE_MIN, 1.0 - _SCORE_MIN)
    # Evenly in log-odds: scores of rare frauds crowd near 0, where even bins would tell few of them apart.
    places = (np.log(clipped / (1.0 - clipped)) + _LOG_ODDS_MAX) * _BINS_PER_LOG_ODDS
    found: list[int] = np.clip(places.astype(np.int64), 0, _BINS - 1).tolist()
    return found


def _auc(legitimate: list[int], frauds: list[int]) -> float:
    """How many pairs are in order, ties counted half."""
    pairs, below = 0.0, 0
    for negatives, positives in zip(legitimate, frauds, strict=True):
        pairs += positives * (below + negatives / 2)
        below += negatives
    return pairs


def _average_precision(legitimate: list[int], frauds: list[int]) -> float:
    """Return the sum of precisions, from the highest bin down, one for each fraud."""
    found = seen = 0
    precisions = 0.0
    for negatives, positives in zip(reversed(legitimate), reversed(frauds), strict=True):
        found += positives
        seen += negatives + positives
        if positives:
            precisions += positives * found / seen
    return precisions


class WindowQuality(NamedTuple):
    """How well the scores of a window of outcomes told frauds, and how well they are calibrated.

    Attributes
    ----------
    auc, average_precision
        As in `Quality`, but exact; None while the window lacks frauds or legitimate payments.
    log_loss
        Mean of the negative logarithm of the probability that was given to what came true, in nats.
    calibration_error
        Expected calibration error: over ten equal ranges of the score, the mean distance between the mean
        score and the share of frauds, weighted by payments.
    mean_score, base_rate
        Mean score, and share of frauds; their ratio is 1 when scores are right on the whole.
    frauds, payments
        How many it was computed from.
    """

    auc: float | None
    average_precision: float | None
    log_loss: float
    calibration_error: float
    mean_score: float
    base_rate: float
    frauds: int
    payments: int


class OutcomeWindow:
    """The last outcomes with the scores they evaluate; the quality is computed when it is asked for.

    Parameters
    ----------
    outcomes_max
        Outcomes kept; each takes 16 bytes.

    References
    ----------
    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning. AAAI (2015),
    for the expected calibration error.

    Examples
    --------
    >>> window = OutcomeWindow(3)
    >>> window.extend([(0.9, 0), (0.2, 0), (0.1, 0), (0.8, 1)])
    >>> quality = window.quality()
    >>> quality.auc, quality.payments, round(quality.base_rate, 2)
    (1.0, 3, 0.33)
    """

    __slots__ = ("_outcomes_max", "_ring", "evaluated")

    def __init__(self, outcomes_max: int) -> None:
        import numpy as np  # here already, so that the first one who asks doesn't hold the flow up by it

        del np
        self._outcomes_max = outcomes_max
        self._ring = array("d", bytes(16 * outcomes_max))  # score, label, score, label, ...
        self.evaluated = 0

    def extend(self, evaluated: Sequence[tuple[float, int]]) -> None:
        """Take in scores (0 to 1) and their labels, 1 for a fraud and 0 for a legitimate payment."""
        kept = evaluated[-self._outcomes_max :]
        at = 2 * ((self.evaluated + len(evaluated) - len(kept)) % self._outcomes_max)
        flat = array("d", chain.from_iterable(kept))
        room = len(self._ring) - at
        self._ring[at : at + len(flat)] = flat[:room]
        self._ring[: len(flat[room:])] = flat[room:]
        self.evaluated += len(evaluated)

    def copy(self) -> OutcomeWindow:
        """Return the same window, to compute from while this one goes on."""
        twin = OutcomeWindow(0)
        twin._outcomes_max, twin._ring, twin.evaluated = self._outcomes_max, self._ring[:], self.evaluated
        return twin

    def quality(self) -> WindowQuality | None:
        """Return the quality over the window; None while it is empty."""
        import numpy as np

        held = min(self.evaluated, self._outcomes_max)
        if not held:
            return None
        pairs = np.array(self._ring[: 2 * held]).reshape(-1, 2)
        scores, labels = pairs[:, 0], pairs[:, 1]
        auc, average_precision = _ranked(scores, labels)
        likelihood = np.clip(np.where(labels > 0, scores, 1.0 - scores), _SCORE_MIN, 1.0)
        return WindowQuality(
            auc=auc,
            average_precision=average_precision,
            log_loss=float(-np.log(likelihood).mean()),
            calibration_error=_calibration_error(scores, labels),
            mean_score=float(scores.mean()),
            base_rate=float(labels.mean()),
            frauds=int(labels.sum()),
            payments=held,
        )


def _ranked(
    scores: NDArray[np.float64], labels: NDArray[np.float64]
) -> tuple[float, float] | tuple[None, None]:
    """AUC and average precision; equal scores are one threshold."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    # Payments of one score can't be told apart, so a step of the curve takes all of them at once.
    thresholds = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(labels[order])[thresholds]
    seen = thresholds + 1.0
    frauds, legitimate = found[-1], seen[-1] - found[-1]
    if not frauds or not legitimate:
        return None, None
    recall, false_alarms = found / frauds, (seen - found) / legitimate
    auc = np.trapezoid(np.append(0.0, recall), np.append(0.0, false_alarms))
    return float(auc), float(np.sum(np.diff(recall, prepend=0.0) * found / seen))


def _calibration_error(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    import numpy as np

    bins = np.minimum((scores * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=scores - labels)).sum() / len(scores))
