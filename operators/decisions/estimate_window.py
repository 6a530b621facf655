"""The quality of estimates so far, each evaluated by the number that came after it, in fixed memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EstimateQuality", "EstimateWindow", "estimate_quality"]

_MEDIAN: Final = 0.5


class EstimateQuality(NamedTuple):
    """How well quantiles foretell a number.

    Attributes
    ----------
    estimates
        How many it was computed from.
    pinball
        Mean of the pinball loss over the quantiles, in the number's unit.
    coverage
        Share of the numbers within the lowest and the highest quantile.
    nominal
        What that share is meant to be.
    width
        Mean distance of those two, in the number's unit.
    absolute_error
        Mean distance of the quantile nearest to the median, in the number's unit.
    """

    estimates: int
    pinball: float
    coverage: float
    nominal: float
    width: float
    absolute_error: float


class EstimateWindow:
    """The last estimates that were evaluated.

    Parameters
    ----------
    levels
        Of the quantiles, ascending.
    size
        How many estimates are kept.
    """

    def __init__(self, levels: Sequence[float], size: int) -> None:
        self.levels = tuple(levels)
        self._served: NDArray[np.float64] = np.empty((size, len(levels)))
        self._values: NDArray[np.float64] = np.empty(size)
        self._next = self._count = 0

    def extend(self, evaluated: Iterable[tuple[Sequence[float], float]]) -> None:
        """Evaluate estimates by the numbers that came after them."""
        for served, value in evaluated:
            self._served[self._next], self._values[self._next] = served, value
            self._next = (self._next + 1) % len(self._values)
            self._count = min(self._count + 1, len(self._values))

    def copy(self) -> EstimateWindow:
        """Return the same window, to compute from while this one goes on."""
        twin = EstimateWindow(self.levels, 0)
        twin._served, twin._values = self._served.copy(), self._values.copy()
        twin._next, twin._count = self._next, self._count
        return twin

    def kept(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return quantiles (estimates, levels) and numbers (estimates) that are kept, in no order."""
        return self._served[: self._count], self._values[: self._count]

    def quality(self) -> EstimateQuality | None:
        """Return the quality over the window; None while it is empty."""
        return estimate_quality(self.levels, *self.kept())


def estimate_quality(
    levels: Sequence[float], served: NDArray[np.float64], values: NDArray[np.float64]
) -> EstimateQuality | None:
    """Return the quality of estimates; None without any.

    Parameters
    ----------
    levels
        Of the quantiles, ascending.
    served
        The quantiles, (estimates, levels).
    values
        The numbers that came, (estimates).

    References
    ----------
    Koenker, R. and Bassett, G. (1978). Regression quantiles. Econometrica 46 (the pinball loss).
    """
    if not len(values):
        return None
    level, over = np.asarray(levels), values[:, None] - served
    low, high = served[:, 0], served[:, -1]
    middle = served[:, int(np.argmin(np.abs(level - _MEDIAN)))]
    return EstimateQuality(
        estimates=len(values),
        pinball=float(np.maximum(level * over, (level - 1.0) * over).mean()),
        coverage=float(((low <= values) & (values <= high)).mean()),
        nominal=float(level[-1] - level[0]),
        width=float((high - low).mean()),
        absolute_error=float(np.abs(values - middle).mean()),
    )
