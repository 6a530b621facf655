"""Quantiles of recent residuals, at levels that move until as many outcomes lie below as was declared."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Final

import msgspec

__all__ = ["HeldQuantiles", "HeldQuantilesState", "little_endian"]

# Before anything came in: a normal distribution whose mean absolute value is 1. Outcomes take the places of
# its quantiles in an order in which what is left of them stays in balance.
_PRIOR_SIZE: Final = 20
_PRIOR_STRIDE: Final = 7
_PRIOR: Final = tuple(
    NormalDist(0.0, 1.2533141373155003).inv_cdf((place * _PRIOR_STRIDE % _PRIOR_SIZE + 0.5) / _PRIOR_SIZE)
    for place in range(_PRIOR_SIZE)
)
_RESIDUAL_MAX: Final = 1e6
_LEVEL_MIN, _LEVEL_MAX = -1.0, 2.0
_TAIL: Final = 5.0
_WIDTH_MIN: Final = 0.01  # of the residuals, so that a level beyond them goes on where all are the same
_TIE: Final = 1e-9  # a logarithm taken there and back is off by less
_TIES_RATE: Final = 0.01
# Corrections that act only after so many open outcomes must be so much smaller, or they swing (an integrating
# controller with a dead time is stable up to pi / 2 corrections in flight, and well damped up to 1 / e).
_IN_FLIGHT_MAX: Final = 1.0 / 3.0
_LATE_MAX: Final = 0.9


class HeldQuantilesState(msgspec.Struct, frozen=True, array_like=True):
    """What is saved of `HeldQuantiles`."""

    residuals: bytes
    place: int
    levels: tuple[float, ...]
    corrections: tuple[float, ...]
    below: tuple[float, ...]
    tied: tuple[float, ...]


class HeldQuantiles:
    """Quantiles of the last residuals, each at a level of its own that its coverage moves.

    A quantile's level is where it is read among the sorted residuals; it starts at the declared share. After
    each outcome it goes up by `coverage_rate` times the declared share where the outcome was above what had
    been served, and down by `coverage_rate` times the rest where it was below. So in the long run the
    declared share lies below, whatever the residuals do.

    What differs from the source:

    - Each quantile is held for itself, not the interval between two.
    - The residuals are those of the last outcomes, in units of the spread that was expected.
    - Beyond the residuals a quantile goes on in a straight line, not to infinity, and levels end at -1 and 2:
      what is served stays finite, and a target that outruns that isn't covered.
    - Of outcomes that equal what was served, so many count as below that the declared share can be met at
      all. Numbers that are often 0 would else drive a low quantile down for ever.
    - Outcomes that come late tell of errors that may be mended since. With more outcomes open than a third of
      1 / `coverage_rate`, the level is held by what would be served now, and what had been served moves a
      correction on top, so much slower that it doesn't swing, and at most nine tenths of the way to 0 or 1.

    Parameters
    ----------
    quantiles
        Declared shares, between 0 and 1, rising.
    residuals
        How many are kept at most; each takes some 40 bytes.
    coverage_rate
        Step of the levels.

    References
    ----------
    Gibbs, I., Candès, E. (2021). Adaptive conformal inference under distribution shift. NeurIPS.
    """

    def __init__(self, quantiles: Sequence[float], *, residuals: int, coverage_rate: float) -> None:
        self._quantiles, self._size_max, self._rate = tuple(quantiles), residuals, coverage_rate
        heads = len(self._quantiles)
        self._ring = array("d", _PRIOR)
        self._sorted = sorted(_PRIOR)
        self._place = 0
        self._levels, self._corrections = list(self._quantiles), [0.0] * heads
        self._below, self._tied = list(self._quantiles), [0.0] * heads
        self._read: tuple[float, ...] | None = None

    @property
    def levels(self) -> tuple[float, ...]:
        """Where among the residuals each quantile is read now; the declared share, if all is as expected."""
        return tuple(map(_within, self._levels, self._corrections))

    def residuals(self) -> tuple[float, ...]:
        """Return the residual of each quantile, never falling, in units of the expected spread."""
        # Worked out once an outcome, not once an estimate.
        if self._read is None:
            known, places = self._sorted, len(self._sorted)
            found = []
            for level, correction in zip(self._levels, self._corrections, strict=True):
                # Residual i of n stands for the level (i + 0.5) / n, hence the half.
                place = (level + correction) * places - 0.5
                if 0.0 <= place < places - 1:
                    left = int(place)
                    below = known[left]
                    found.append(below + (place - left) * (known[left + 1] - below))
                else:
                    found.append(self._beyond(place))
            # Each level moves by itself, so that two may cross; what is served must not.
            self._read = tuple(sorted(found))
        return self._read

    def _beyond(self, place: float) -> float:
        # The bulk's width says how far a level goes: a single outlier must not.
        known, count = self._sorted, len(self._sorted)
        twentieth = count // 20
        step = _TAIL * (known[-1 - twentieth] - known[twentieth] + _WIDTH_MIN) / count
        return known[0] + place * step if place < 0.0 else known[-1] + (place - count + 1) * step

    def hold(
        self,
        value: float,
        served: Sequence[float] | None,
        residual: float,
        weight: float,
        pending: int,
    ) -> None:
        """Move the levels by an outcome.

        Parameters
        ----------
        value, served
            The outcome, and the quantiles that had gone out for it, target's unit; None if they don't count.
        residual
            Of the outcome against what would be estimated now, in units of the expected spread.
        weight
            How many times it counts.
        pending
            How many decisions went out since, or of how many the outcomes are open.
        """
        rate = min(self._rate * weight, 1.0)
        step = min(rate, _IN_FLIGHT_MAX / (pending + 1)) if served is not None else 0.0
        # The rest, which would be too much to correct that late, moves the levels by what would be served
        # now.
        if step < rate:
            self._hold_now(residual, rate - step)
        if served is not None:
            self._hold_served(value, served, step)
        self._read = None

    def _hold_now(self, residual: float, step: float) -> None:
        """Move the levels by whether the outcome is below what would be served now without a correction."""
        # As many residuals are below a level as it says: no need to look where it is.
        rank = (bisect_left(self._sorted, residual) + 0.5) / len(self._sorted)
        for head, share in enumerate(self._quantiles):
            below = 1.0 if rank < self._levels[head] else 0.0
            self._levels[head] = _within(self._levels[head], step * (share - below))
            correction = self._corrections[head]
            self._corrections[head] = min(max(correction, -_LATE_MAX * share), _LATE_MAX * (1.0 - share))

    def _hold_served(self, value: float, served: Sequence[float], step: float) -> None:
        corrections, levels, slack = self._corrections, self._levels, _TIE * abs(value)
        for head, share in enumerate(self._quantiles):
            over = value - served[head]
            if -slack <= over <= slack:
                counted = self._count_tie(head, share)
            else:
                counted = 1.0 if over < 0.0 else 0.0
                if self._tied[head]:
                    self._count_no_tie(head, counted)
            corrections[head] += step * (share - counted)
            # Stopped where the level stops, or a correction that had gone on would have to come all the way
            # back.
            if not _LEVEL_MIN <= levels[head] + corrections[head] <= _LEVEL_MAX:
                corrections[head] = _within(levels[head], corrections[head]) - levels[head]

    def _count_tie(self, head: int, share: float) -> float:
        """Which share of an outcome counts as below that equals what was served."""
        below, tied = self._below, self._tied
        tied[head] += _TIES_RATE * (1.0 - tied[head])
        below[head] -= _TIES_RATE * below[head]
        # So much of the ties that, with all that is really below, just the declared share counts.
        return min(max((share - below[head]) / tied[head], 0.0), 1.0)

    def _count_no_tie(self, head: int, counted: float) -> None:
        self._below[head] += _TIES_RATE * (counted - self._below[head])
        self._tied[head] -= _TIES_RATE * self._tied[head]

    def add(self, residual: float) -> None:
        """Take in a residual; the oldest goes where there are too many."""
        if not -_RESIDUAL_MAX <= residual <= _RESIDUAL_MAX:
            residual = _RESIDUAL_MAX if residual > 0.0 else -_RESIDUAL_MAX
        ring, known, place = self._ring, self._sorted, self._place
        if place < len(ring):
            # By value: of equal residuals it doesn't matter which one goes.
            del known[bisect_left(known, ring[place])]
            ring[place] = residual
        else:
            ring.append(residual)
        insort(known, residual)
        self._place = place + 1 if place + 1 < self._size_max else 0
        self._read = None

    def state(self) -> HeldQuantilesState:
        """Return what `restore` takes."""
        return HeldQuantilesState(
            little_endian(self._ring).tobytes(),
            self._place,
            *map(tuple, (self._levels, self._corrections, self._below, self._tied)),
        )

    def restore(self, state: HeldQuantilesState) -> None:
        """Take over a state; of more residuals than are kept here, the oldest go.

        Raises
        ------
        ValueError
            If it can't be one, or is of other quantiles; then nothing has changed.
        """
        lists = (state.levels, state.corrections, state.below, state.tied)
        if {len(numbers) for numbers in lists} != {len(self._quantiles)}:
            raise ValueError("saved with another number of quantiles")
        ring = little_endian(array("d", state.residuals))
        if len(ring) < _PRIOR_SIZE or not 0 <= state.place <= len(ring):
            raise ValueError("saved with no possible residuals")
        place = state.place
        if len(ring) > self._size_max:
            ring, place = (ring[place:] + ring[:place])[-self._size_max :], 0
        self._ring, self._sorted, self._place = ring, sorted(ring), place
        self._levels, self._corrections, self._below, self._tied = map(list, lists)
        self._read = None

    def size_bytes(self) -> int:
        """About how much memory it takes, bytes."""
        return sys.getsizeof(self._ring) + sys.getsizeof(self._sorted) + 24 * len(self._sorted)


def _within(level: float, correction: float) -> float:
    level += correction
    if _LEVEL_MIN <= level <= _LEVEL_MAX:
        return level
    return _LEVEL_MIN if level < _LEVEL_MIN else _LEVEL_MAX


def little_endian(table: array[Any]) -> array[Any]:
    """Return a table in the byte order in which states are saved; twice gives the table back."""
    if sys.byteorder == "big":
        table = table[:]
        table.byteswap()
    return table
