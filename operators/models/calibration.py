"""Online calibration: from a model's score to a probability that agrees with how often the label came."""

from __future__ import annotations

import sys
from array import array
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .fused import log_odds, probability
from .held_quantiles import little_endian
from .platt import Row, fit, loss
from .reliability import Reliability, reliability_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Calibration"]

_FORMAT: Final = 1
# From -12 to 12 in steps of a tenth, both ends included: a refit's cost is of bins, not of outcomes.
_BINS: Final = 241
_LOG_ODDS_MAX: Final = 12.0
_BINS_PER_LOG_ODDS: Final = 10.0
# Twice the gain in log-likelihood that two parameters make by chance, twice over.
_CHANCE: Final = 4.0
WEIGHT_MAX: Final = 1e6
_SERVED_MAX: Final = log_odds(1.0)  # where log-odds are cut off


class _State(msgspec.Struct, frozen=True, array_like=True):
    format: int
    learned: int
    place: int
    fitted: tuple[float, float, float, float]
    rings: tuple[bytes, ...]


class Calibration:
    """Platt scaling of log-odds over the last outcomes: probability = sigmoid(offset + slope * log-odds).

    Every `refit_every` outcomes the two numbers are fitted anew by Newton's method, to the outcomes kept.
    What is fitted is drawn back to the identity by as much as two numbers fit chance alone (like a
    positive-part James-Stein estimator): a model that is well calibrated stays as it is. Until `label_min`
    outcomes of either label are known, scores come through unchanged. As the slope stays positive, the order
    of scores never changes.

    What differs from Platt's: the input is the log-odds of a probability, so that the identity is among what
    can be fitted; labels aren't smoothed, as there is a prior around the identity; log-odds are fitted by
    bins of 0.1, and beyond 12 as 12.

    Isotonic regression over the same outcomes is not offered: its steps tie scores that the model tells
    apart, so that ranking suffers, and over some thousands of outcomes it is no better calibrated.

    Parameters
    ----------
    outcomes
        How many are kept at most; each takes 13 bytes.
    refit_every
        Outcomes between fits.
    label_min
        So many outcomes of either label must be known.

    References
    ----------
    Platt, J. (1999). Probabilistic outputs for support vector machines and comparisons to regularized
    likelihood methods. Advances in Large Margin Classifiers.
    Niculescu-Mizil, A., Caruana, R. (2005). Predicting good probabilities with supervised learning. ICML.
    James, W., Stein, C. (1961). Estimation with quadratic loss. Berkeley Symposium.
    """

    def __init__(self, *, outcomes: int = 10_000, refit_every: int = 200, label_min: int = 30) -> None:
        self._outcomes, self._refit_every, self._label_min = outcomes, refit_every, label_min
        self.learned = 0
        self.offset, self.slope = 0.0, 1.0
        self._fitted = (0.0, 1.0)
        # Floats of 4 bytes tell log-odds apart to 2e-6, far below the width of a bin.
        self._raw, self._served, self._weights = array("f"), array("f"), array("f")
        self._labels = array("b")
        self._place = 0

    @property
    def is_identity(self) -> bool:
        """Whether scores come through unchanged: too little is known, or they are right as they are."""
        return self.slope == 1.0 and self.offset == 0.0

    def apply(self, score: float) -> float:
        """Return the calibrated probability of a model's score, both 0 to 1; it rises with the score."""
        # Not by `is_identity`: this runs for each score, and asking a property takes longer than comparing
        # twice.
        if self.slope == 1.0 and self.offset == 0.0:
            return score
        return probability(self.offset + self.slope * log_odds(score))

    def learn(self, score: float, label: int, weight: float = 1.0) -> None:
        """Take in an outcome, the oldest goes where there are too many, and fit anew if it is time.

        Parameters
        ----------
        score
            The model's own score when it was decided, 0 to 1.
        label
            What came, 0 or 1.
        weight
            How many times it counts, from 0 on.

        Raises
        ------
        ValueError
            If one of them can't be; then nothing has changed.
        """
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"the score must be from 0 to 1 (is {score!r})")
        if label not in (0, 1):
            raise ValueError(f"the label must be 0 or 1 (is {label!r})")
        if not 0.0 <= weight <= WEIGHT_MAX:
            raise ValueError(f"the weight must be from 0 to {WEIGHT_MAX:g} (is {weight!r})")
        raw = served = log_odds(score)
        if self.slope != 1.0 or self.offset != 0.0:
            served = min(max(self.offset + self.slope * raw, -_SERVED_MAX), _SERVED_MAX)
        place = self._place
        if place < len(self._labels):
            self._raw[place], self._served[place] = raw, served
            self._weights[place], self._labels[place] = weight, label
        else:
            self._raw.append(raw)
            self._served.append(served)
            self._weights.append(weight)
            self._labels.append(label)
        self._place = place + 1 if place + 1 < self._outcomes else 0
        self.learned += 1
        if not self.learned % self._refit_every:
            self._refit()

    def _rings(self) -> tuple[array[Any], ...]:
        return self._raw, self._served, self._weights, self._labels

    def _refit(self) -> None:
        positives = self._labels.count(1)
        if min(positives, len(self._labels) - positives) < self._label_min:
            return
        # From where the last fit ended, not from what is in force, which is drawn towards no change.
        rows = self._binned()
        offset, slope = self._fitted = fit(rows, *self._fitted)
        gain = 2.0 * (loss(rows, 0.0, 1.0) - loss(rows, offset, slope))
        if gain > _CHANCE:
            # The closer the gain is to what chance alone would give, the less of the fit is taken over.
            kept = 1.0 - _CHANCE / gain
            self.offset, self.slope = kept * offset, 1.0 + kept * (slope - 1.0)
        else:
            self.offset, self.slope = 0.0, 1.0

    def _binned(self) -> list[Row]:
        import numpy as np

        raw = np.clip(_doubles(self._raw), -_LOG_ODDS_MAX, _LOG_ODDS_MAX)
        weights, labels = _doubles(self._weights), np.array(self._labels, np.int8)
        places = ((raw + _LOG_ODDS_MAX) * _BINS_PER_LOG_ODDS + 0.5).astype(np.int64)
        sums, known, ones = (
            np.bincount(places, each, _BINS).tolist() for each in (weights * raw, weights, weights * labels)
        )
        bins = zip(sums, known, ones, strict=True)
        return [(total / count, count, positive) for total, count, positive in bins if count]

    def reliability(self, bins: int = 15) -> tuple[Reliability, Reliability]:
        """Return how reliable the model's own scores were over the outcomes kept, and the calibrated ones.

        An outcome's calibrated score is by what had been fitted before it was known.

        Parameters
        ----------
        bins
            How many at most.
        """
        import numpy as np

        weights, labels = _doubles(self._weights), np.array(self._labels, np.int8)
        before, after = (
            reliability_of(_doubles(ring), labels, weights, bins) for ring in (self._raw, self._served)
        )
        return before, after

    def save(self) -> bytes:
        """Return the state as bytes: 13 an outcome, little-endian."""
        rings = tuple(little_endian(ring).tobytes() for ring in self._rings())
        fitted = (self.offset, self.slope, *self._fitted)
        return msgspec.msgpack.encode(_State(_FORMAT, self.learned, self._place, fitted, rings))

    def load(self, saved: bytes) -> None:
        """Take over a state that `save` gave; of more outcomes than are kept here, the oldest go.

        Raises
        ------
        ValueError
            If it isn't such a state; then nothing has changed.
        """
        state = msgspec.msgpack.decode(saved, type=_State)
        if state.format != _FORMAT or len(state.rings) != len(self._rings()):
            raise ValueError(f"saved in format {state.format}, not {_FORMAT}")
        if not all(map(isfinite, state.fitted)) or not min(state.fitted[1], state.fitted[3]) > 0.0:
            raise ValueError("saved with an impossible slope or offset")
        own = zip(self._rings(), state.rings, strict=True)
        rings = [little_endian(array(ring.typecode, bytes_)) for ring, bytes_ in own]
        count = len(rings[0])
        if {len(ring) for ring in rings} != {count} or not 0 <= state.place <= count:
            raise ValueError("saved with outcomes that lack something")
        place = state.place
        if count > self._outcomes:
            # Unrolled first: a ring's oldest outcome stands where the next one would be written.
            rings = [(ring[place:] + ring[:place])[-self._outcomes :] for ring in rings]
            place = 0
        self.learned, self._place = state.learned, place
        self.offset, self.slope, *fitted = state.fitted
        self._fitted = (fitted[0], fitted[1])
        self._raw, self._served, self._weights, self._labels = rings

    def size_bytes(self) -> int:
        """About how much memory the state takes, bytes."""
        return sum(map(sys.getsizeof, self._rings()))


def _doubles(ring: array[float]) -> NDArray[np.float64]:
    import numpy as np

    return np.array(ring, np.float64)
