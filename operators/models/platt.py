"""Platt scaling: an offset and a slope for log-odds, fitted to binned outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log1p
from typing import Final, TypeAlias

from .fused import probability

__all__ = ["Row", "fit", "loss"]

_NEWTON_STEPS: Final = 25
_HALVINGS: Final = 12
_CONVERGED: Final = 1e-9
# As if so many outcomes of middling scores had said that the slope is 1, and hardly any that the offset is 0.
_SLOPE_PRIOR, _OFFSET_PRIOR = 10.0, 1e-3
_SLOPE_MIN: Final = 1e-3

Row: TypeAlias = tuple[float, float, float]
"""Mean log-odds of a bin, weight of its outcomes, and of those with label 1."""


def loss(rows: Sequence[Row], offset: float, slope: float) -> float:
    """Return the log loss of binned outcomes, with a prior around the identity.

    Parameters
    ----------
    rows, offset, slope
        See `fit`.
    """
    found = 0.5 * (_OFFSET_PRIOR * offset * offset + _SLOPE_PRIOR * (slope - 1.0) ** 2)
    for raw, count, positive in rows:
        odds = offset + slope * raw
        found += count * (max(odds, 0.0) + log1p(exp(-abs(odds)))) - positive * odds
    return found


def _newton_step(rows: Sequence[Row], offset: float, slope: float) -> tuple[float, float]:
    """From the loss's gradient and its second derivatives to what to take from offset and slope."""
    by_offset, by_slope = _OFFSET_PRIOR * offset, _SLOPE_PRIOR * (slope - 1.0)
    offsets, both, slopes = _OFFSET_PRIOR, 0.0, _SLOPE_PRIOR
    for raw, count, positive in rows:
        chance = probability(offset + slope * raw)
        error, certainty = count * chance - positive, count * chance * (1.0 - chance)
        by_offset += error
        by_slope += error * raw
        offsets += certainty
        both += certainty * raw
        slopes += certainty * raw * raw
    determinant = offsets * slopes - both * both
    return (
        (slopes * by_offset - both * by_slope) / determinant,
        (offsets * by_slope - both * by_offset) / determinant,
    )


def fit(rows: Sequence[Row], offset: float, slope: float) -> tuple[float, float]:
    """Return the offset and the slope of the least loss, by Newton's method with steps that are halved.

    Parameters
    ----------
    rows
        Mean log-odds of each bin, the weight of its outcomes, and of those with label 1.
    offset, slope
        Where to start.
    """
    least = loss(rows, offset, slope)
    for _ in range(_NEWTON_STEPS):
        of_offset, of_slope = _newton_step(rows, offset, slope)
        share = 1.0
        for _ in range(_HALVINGS):
            tried = (offset - share * of_offset, slope - share * of_slope)
            reached = loss(rows, *tried) if tried[1] >= _SLOPE_MIN else inf
            if reached < least:
                break
            share /= 2.0
        else:
            break
        gained, least = least - reached, reached
        offset, slope = tried
        if gained < _CONVERGED * least:
            break
    return offset, slope
