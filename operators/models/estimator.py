"""An online estimator of quantiles of a number: where it lies and how far it spreads, by active slots."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import pairwise
from math import exp, isfinite, log, sqrt
from typing import ClassVar, Final, Literal

import msgspec

from ..compiled.inline import weigher
from .contract import PENDING, ModelShape
from .held_quantiles import HeldQuantiles, HeldQuantilesState, little_endian
from .saved import Origin

__all__ = ["LocationScale", "LogLocationScale"]

VALUE_MAX: Final = 1e15
"""Numbers beyond are refused: a double can't tell neighbours there."""
WEIGHT_MAX: Final = 1e6
_ESTIMATE_MAX: Final = 1e18
_LOG_ESTIMATE_MAX: Final = log(_ESTIMATE_MAX)
_SPREAD_MAX: Final = 8.0  # logarithm of a slot's spread over the overall one
_SPREAD_ERROR_MAX: Final = 3.0
_MEAN_CLIPS: Final = 3.0  # times `clip`: what moves the mean
_MEAN_CLIPPED_AFTER: Final = 10
_SCALE_CLIP: Final = 10.0
_SCALE_MIN: Final = 1e-6  # of the mean


class _State(msgspec.Struct, frozen=True, array_like=True):
    learned: int
    mean: float
    scale: float
    held: HeldQuantilesState
    tables: list[bytes]


class LocationScale:
    """Quantiles of a number around a location; location and spread are sums of weights over active slots.

    A quantile is the location plus the spread times a quantile of the last residuals. So residuals may have
    any distribution, and inputs may say that an estimate is more or less sure. At which level among the
    residuals a quantile is read is moved by outcomes, until as many lie below what had been served as was
    declared.

    The location learns by AdaGrad from errors in units of their running mean, clipped, so that neither the
    target's unit nor a few wild numbers matter; the spread's logarithm by AdaGrad from how large errors are
    against what was expected. The running mean moves before the weights, AdaGrad's sums start at 1 and
    forget, and the learning rates are divided among the inputs: what these say together moves as fast whether
    there are two or twenty. (A Kalman filter with a diagonal covariance learns rare inputs faster, and is
    much slower to follow inputs whose numbers move.)

    Parameters
    ----------
    shape
        Slots and groups.
    quantiles
        Declared shares, between 0 and 1, rising.
    location_lr, spread_lr
        Where the learning rates start, divided among the groups.
    mean_rate
        Least share of an error by which the running means move.
    memory
        Examples of a slot after which a squared gradient counts 1/e.
    clip
        Errors beyond so many mean absolute errors move the locations no further.
    residuals
        Recent residuals that the quantiles are taken from; a high or low quantile needs some dozens of them
        beyond itself.
    coverage_rate
        Step of a quantile's level after each outcome, and about the reciprocal of how many outcomes coverage
        needs to come back after a change.
    initial
        What is estimated before anything was learned, target's unit.

    References
    ----------
    Gibbs, I., Candès, E. (2021). Adaptive conformal inference under distribution shift. NeurIPS.
    (`HeldQuantiles` says what differs.)
    Duchi, J., Hazan, E., Singer, Y. (2011). Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research 12.
    """

    takes: ClassVar[Literal["slots", "values"]] = "slots"
    cheap_explain: ClassVar[bool] = True
    # What may raise comes before what changes.
    atomic: ClassVar[bool] = True

    def __init__(
        self,
        shape: ModelShape,
        quantiles: Sequence[float],
        *,
        location_lr: float = 1.5,
        spread_lr: float = 0.4,
        mean_rate: float = 0.005,
        memory: float = 5000.0,
        clip: float = 3.0,
        residuals: int = 1000,
        coverage_rate: float = 0.005,
        initial: float = 0.0,
    ) -> None:
        groups = max(len(shape.slot_names), 1)
        self.quantiles = checked_quantiles(quantiles)
        # An example moves one weight a group, and their sum is what counts: divided, the sum moves by the
        # rate.
        self._location_lr, self._spread_lr = location_lr / groups, spread_lr / groups
        self._mean_rate, self._keep, self._clip = mean_rate, 1.0 - 1.0 / memory, clip
        self.learned = 0
        self.mean = self._transformed(initial)
        self.scale = self._scale_at(self.mean)
        # Lists: an array's numbers are made anew each time, which takes twice as long as the arithmetic.
        self.weights, self._squares = [0.0] * shape.slots, [1.0] * shape.slots
        self.spreads, self._spread_squares = [0.0] * shape.slots, [1.0] * shape.slots
        self.held = HeldQuantiles(self.quantiles, residuals=residuals, coverage_rate=coverage_rate)
        self._weigh = weigher(len(shape.slot_names))
        origin = Origin.over_slots(self, "", shape)
        shares = tuple(f"quantile {share!r}" for share in self.quantiles)
        self._origin = msgspec.structs.replace(origin, reads=(*origin.reads, *shares))

    def _transformed(self, value: float) -> float:
        return value

    def _scale_at(self, location: float) -> float:
        return max(abs(location), 1.0) / 2.0

    def _served(self, location: float, spread: float) -> tuple[float, ...]:
        top = _ESTIMATE_MAX
        return tuple([min(max(location + spread * at, -top), top) for at in self.held.residuals()])

    def estimate(self, features: Sequence[int]) -> tuple[float, ...]:
        """See `Estimator.estimate`."""
        return self.explained(features)[0]

    def explained(self, features: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `Estimator.explained`."""
        total, contributions = self._weigh(self.weights, features)
        wider, _ = self._weigh(self.spreads, features)
        spread = self.scale * _relative_spread(wider)
        return self._served(self.mean + total, spread), contributions

    def learn(
        self,
        features: Sequence[int],
        value: float,
        served: Sequence[float] | None = None,
        weight: float = 1.0,
        pending: int = PENDING,
    ) -> None:
        """See `Estimator.learn`."""
        self._check(value, served, weight)
        total, _ = self._weigh(self.weights, features)
        wider, _ = self._weigh(self.spreads, features)
        if not weight:
            return
        target = self._transformed(value)
        self.learned += 1
        if self.learned == 1:
            # There is no error yet: what was estimated before came from the configuration.
            self.mean, self.scale = target, self._scale_at(target)
            return
        relative = _relative_spread(wider)
        error = target - self.mean - total
        if self.learned <= pending + 1:
            served = None  # before anything was learned: it says nothing of what is to be held
        self.held.hold(value, served, error / (self.scale * relative), weight, pending)
        self._move_running_means(error, weight)
        residual = error / (self.scale * relative)
        self.held.add(residual)
        # Against the mean as it is by now: weights are for what the mean leaves.
        self._step(features, target - self.mean - total, abs(residual) - 1.0, weight)

    def _check(self, value: float, served: Sequence[float] | None, weight: float) -> None:
        if not -VALUE_MAX <= value <= VALUE_MAX:
            raise ValueError(f"the number must be from {-VALUE_MAX:g} to {VALUE_MAX:g} (is {value!r})")
        if not 0.0 <= weight <= WEIGHT_MAX:
            raise ValueError(f"the weight must be from 0 to {WEIGHT_MAX:g} (is {weight!r})")
        if served is not None:
            if len(served) != len(self.quantiles):
                raise ValueError(f"{len(served)} quantiles were served, not {len(self.quantiles)}")
            # Infinite or no numbers: so is their sum, and where it only overflows, they are none of ours.
            if not isfinite(sum(served)):
                raise ValueError(f"what was served must be finite (is {list(served)!r})")

    def _move_running_means(self, error: float, weight: float) -> None:
        seen, scale, size = self.learned, self.scale, abs(error)
        if seen > _MEAN_CLIPPED_AFTER:
            rate = self._mean_rate if self._mean_rate * seen >= 1.0 else 1.0 / seen
            farthest = _MEAN_CLIPS * self._clip * scale
            if size > farthest:
                error = farthest if error > 0.0 else -farthest
            # After outcomes that were all the same, the next one is no outlier: it says what the unit is.
            if size > _SCALE_CLIP * scale > _SCALE_CLIP * self._scale_min():
                size = _SCALE_CLIP * scale
            of_scale = rate
        else:
            # The first outcome had no error, so that of errors there is one fewer.
            rate, of_scale = max(self._mean_rate, 1.0 / seen), max(self._mean_rate, 1.0 / (seen - 1))
        self.mean += min(rate * weight, 1.0) * error
        self.scale = max(scale + min(of_scale * weight, 1.0) * (size - scale), self._scale_min())

    def _scale_min(self) -> float:
        return max(_SCALE_MIN * abs(self.mean), sys.float_info.min)

    def _step(self, features: Sequence[int], error: float, wider: float, weight: float) -> None:
        """Step along both gradients.

        Parameters
        ----------
        features, weight
            See `learn`.
        error
            Of the location.
        wider
            By how much the error was larger than expected, times what was expected.
        """
        scale, clip, keep = self.scale, self._clip, self._keep
        gradient = error / scale
        if not -clip <= gradient <= clip:
            gradient = clip if gradient > 0.0 else -clip
        gradient *= weight
        square, step = gradient * gradient, self._location_lr * gradient * scale
        # Cut off above alone: it can't be less than -1, as a residual's size isn't below 0.
        gradient = weight * (min(_SPREAD_ERROR_MAX, wider))
        spread_square, spread_step = gradient * gradient, self._spread_lr * gradient
        weights, squares = self.weights, self._squares
        spreads, spread_squares = self.spreads, self._spread_squares
        for slot in features:
            squares[slot] = seen = squares[slot] * keep + square
            weights[slot] += step / sqrt(seen)
            spread_squares[slot] = seen = spread_squares[slot] * keep + spread_square
            spreads[slot] += spread_step / sqrt(seen)

    def _tables(self) -> list[list[float]]:
        return [self.weights, self._squares, self.spreads, self._spread_squares]

    def save(self) -> bytes:
        """See `Estimator.save`: 32 bytes a slot, 8 a residual, little-endian."""
        tables = [little_endian(array("d", table)).tobytes() for table in self._tables()]
        state = _State(self.learned, self.mean, self.scale, self.held.state(), tables)
        return self._origin.seal(msgspec.msgpack.encode(state))

    def load(self, saved: bytes) -> None:
        """See `Estimator.load`."""
        state = msgspec.msgpack.decode(self._origin.open(saved), type=_State)
        own = self._tables()
        if [len(table) for table in state.tables] != [8 * len(table) for table in own]:
            raise ValueError("saved with tables of another length")
        self.held.restore(state.held)
        self.learned, self.mean, self.scale = state.learned, state.mean, state.scale
        for table, bytes_ in zip(own, state.tables, strict=True):
            table[:] = little_endian(array("d", bytes_)).tolist()

    def size_bytes(self) -> int:
        """See `Estimator.size_bytes`."""
        number = sys.getsizeof(0.0)
        return sum(sys.getsizeof(t) + number * len(t) for t in self._tables()) + self.held.size_bytes()


class LogLocationScale(LocationScale):
    """As `location_scale`, of the logarithm of a number that is never negative: errors count by their ratio.

    It suits times, amounts and counts. What an input adds is in the logarithm: 0.1 is about 10 %.

    Parameters
    ----------
    shape, quantiles, location_lr, spread_lr, mean_rate, memory, clip, residuals, coverage_rate, initial
        See `LocationScale`.
    offset
        Added before the logarithm is taken, target's unit. Numbers well below it count by their difference.
    """

    def __init__(
        self,
        shape: ModelShape,
        quantiles: Sequence[float],
        *,
        location_lr: float = 1.5,
        spread_lr: float = 0.4,
        mean_rate: float = 0.005,
        memory: float = 5000.0,
        clip: float = 3.0,
        residuals: int = 1000,
        coverage_rate: float = 0.005,
        initial: float = 0.0,
        offset: float = 1.0,
    ) -> None:
        self._offset = offset
        super().__init__(
            shape,
            quantiles,
            location_lr=location_lr,
            spread_lr=spread_lr,
            mean_rate=mean_rate,
            memory=memory,
            clip=clip,
            residuals=residuals,
            coverage_rate=coverage_rate,
            initial=max(initial, 0.0),
        )

    def _transformed(self, value: float) -> float:
        return log(value + self._offset)

    def _scale_at(self, location: float) -> float:  # noqa: ARG002 - a ratio has no unit
        return 0.5

    def _check(self, value: float, served: Sequence[float] | None, weight: float) -> None:
        if value < 0.0:
            raise ValueError(f"the number must not be negative (is {value!r})")
        super()._check(value, served, weight)

    def _served(self, location: float, spread: float) -> tuple[float, ...]:
        offset, top = self._offset, _LOG_ESTIMATE_MAX
        residuals = self.held.residuals()
        return tuple([max(exp(min(location + spread * at, top)) - offset, 0.0) for at in residuals])


def checked_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the declared shares.

    Raises
    ------
    ValueError
        If there are none, or they aren't between 0 and 1, or don't rise.
    """
    shares = tuple(map(float, quantiles))
    rising = all(one < other for one, other in pairwise(shares))
    if not shares or not rising or not shares[0] > 0.0 or not shares[-1] < 1.0:
        raise ValueError(f"quantiles must be between 0 and 1 and rise (are {list(shares)})")
    return shares


def _relative_spread(wider: float) -> float:
    if -_SPREAD_MAX <= wider <= _SPREAD_MAX:
        return exp(wider)
    return exp(_SPREAD_MAX if wider > 0.0 else -_SPREAD_MAX)
