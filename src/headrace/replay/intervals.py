"""Figures of two configurations with intervals by bootstrap, in which what is alike is drawn together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Compared", "Interval", "compared", "drawn", "once"]

_LEVEL: Final = 0.95
_SEED: Final = 20_260_101

Floats = NDArray[np.float64]
Figures = Callable[[Floats], Floats]


class Interval(NamedTuple):
    """A figure with its 95 % confidence interval; None where it isn't defined, or wasn't asked for."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Compared(NamedTuple):
    """One measure of both configurations, and new minus old on the same draws."""

    old: Interval
    new: Interval
    difference: Interval


def once(figures: Figures, clusters: int) -> Floats:
    """Return the figures alone, each cluster counting once, shape (figures, 1)."""
    return figures(np.ones(clusters))[:, np.newaxis]


def drawn(
    figures: Figures,
    clusters: int,
    *,
    resamples: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> Floats:
    """Return the figures, and those of each draw of whole clusters; the draws are the same each time.

    Parameters
    ----------
    figures
        Gives them for a weight of each cluster, shape (clusters,); NaN where one isn't defined.
    clusters
        How many there are.
    resamples
        How many draws.
    progress
        Told of each draw.

    Returns
    -------
    NDArray[np.float64]
        Shape (figures, 1 + resamples).

    References
    ----------
    Efron, Tibshirani: An Introduction to the Bootstrap (1993), chapters 8 and 13.
    Field, Welsh: Bootstrapping clustered data. Journal of the Royal Statistical Society B 69 (2007).
    """
    random = np.random.default_rng(_SEED)
    found = [figures(np.ones(clusters))]
    for _ in range(resamples if clusters else 0):
        # A draw is a number of times for each cluster: figures are then weighted sums, and no rows are
        # copied.
        chosen = random.integers(clusters, size=clusters)
        found.append(figures(np.bincount(chosen, minlength=clusters).astype(np.float64)))
        progress(1)
    return np.stack(found, axis=1)


def compared(names: Sequence[str], found: Floats, *, with_intervals: bool) -> dict[str, Compared]:
    """Percentile intervals, and those of the difference, which is a paired one.

    Draws in which a figure isn't defined are left out of its interval.

    Parameters
    ----------
    names
        Of the measures.
    found
        First all of the old, then all of the new, shape (2 * measures, 1 + resamples); the first column has
        the figures themselves.
    with_intervals
        Whether there are draws to take intervals from.
    """
    # Both sides from the same draws: what varies with the sample varies alike, and falls out of the
    # difference.
    old, new = found[: len(names)], found[len(names) :]
    sides = [[_interval(row, with_intervals) for row in rows] for rows in (old, new, new - old)]
    return {name: Compared(*each) for name, each in zip(names, zip(*sides, strict=True), strict=True)}


def _interval(row: Floats, with_intervals: bool) -> Interval:
    value = None if np.isnan(row[0]) else float(row[0])
    draws = row[1:][~np.isnan(row[1:])]
    if not with_intervals or value is None or not draws.size:
        return Interval(value)
    low, high = np.quantile(draws, [(1.0 - _LEVEL) / 2, (1.0 + _LEVEL) / 2]).tolist()
    return Interval(value, low, high)
