"""How well scores agree with how often the label came: by bins of equal mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Bin", "Reliability", "reliability_of"]


class Bin(NamedTuple):
    """Outcomes with neighbouring scores.

    Attributes
    ----------
    mean_score, rate
        Their mean score, and the share of label 1 among them.
    outcomes
        How many they are, by weight.
    """

    mean_score: float
    rate: float
    outcomes: float


class Reliability(NamedTuple):
    """How well scores agree with how often the label came.

    Attributes
    ----------
    bins
        Of about equal mass, by rising score; equal scores stay together.
    error
        Expected calibration error: the mean distance of a bin's rate from its mean score, by outcomes.
    """

    bins: tuple[Bin, ...]
    error: float


def reliability_of(
    odds: NDArray[np.float64], labels: NDArray[np.int8], weights: NDArray[np.float64], bins: int
) -> Reliability:
    """Return the reliability of scores.

    Parameters
    ----------
    odds, labels, weights
        Scores as log-odds, what came of each (0 or 1), and how many times it counts.
    bins
        How many at most.

    References
    ----------
    Naeini, M. P., Cooper, G. F., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using
    Bayesian binning. AAAI.
    """
    import numpy as np

    total = float(weights.sum())
    if not total:
        return Reliability((), 0.0)
    _, of_each = np.unique(odds, return_inverse=True)
    mass = np.bincount(of_each, weights)
    # Equal scores go together, into the bin in which the middle of them lies.
    middles = np.cumsum(mass) - mass / 2.0
    places = np.minimum((middles * bins / total).astype(np.int64), bins - 1)[of_each]
    scores = 1.0 / (1.0 + np.exp(-odds))
    counts, said, came = (
        np.bincount(places, each, bins).tolist() for each in (weights, weights * scores, weights * labels)
    )
    found = tuple(
        Bin(score / count, ones / count, count)
        for score, ones, count in zip(said, came, counts, strict=True)
        if count
    )
    return Reliability(found, sum(abs(each.mean_score - each.rate) * each.outcomes for each in found) / total)
