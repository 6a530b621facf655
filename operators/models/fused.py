"""Logistic regression over active slots, fused: one weight a slot, no dictionary, nothing to import.

Each class is the twin of River's `linear_model.LogisticRegression` with the optimizer that it is named after,
on examples whose active slots have the value 1: the same operations in the same order, River's cut-offs
included. Tests hold scores and weights of the two to within 1e-12. River's penalties on the regression itself
(`l1`, `l2` beside the optimizer) are not offered.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from math import exp, log, sqrt
from typing import ClassVar, Literal

import msgspec

from ..compiled.inline import weigher
from .contract import ModelShape
from .saved import Origin

__all__ = [
    "Logistic",
    "LogisticAdaGrad",
    "LogisticFtrl",
    "LogisticSgd",
    "gradient_of",
    "log_odds",
    "probability",
]


# What follows is compiled too: it is given all that it works on, and speaks of no other name of this module.


def log_odds(probability: float) -> float:
    """Return the logarithm of the odds of a probability, cut off at 1e-9 from both ends."""
    # Reasons are differences of log-odds; a score of exactly 0 or 1 must not make them infinite.
    probability = min(max(probability, 1e-9), 1.0 - 1e-9)
    return log(probability / (1.0 - probability))


def probability(log_odds: float) -> float:
    """Return the score that log-odds stand for."""
    # River's: beyond 30 a score is 0 or 1.
    if -30.0 <= log_odds <= 30.0:
        return 1.0 / (1.0 + exp(-log_odds))
    return 1.0 if log_odds > 0.0 else 0.0


def gradient_of(log_odds: float, label: int) -> float:
    """Gradient of the log loss by the log-odds, for an example of a label."""
    rightness = log_odds if label else -log_odds
    # Beyond 18 it is taken for its limit, and the exponential is used as it is, as River does: the twins must
    # agree to 1e-12, also at the ends.
    if -18.0 <= rightness <= 18.0:
        gradient = 1.0 / (exp(rightness) + 1.0)
    else:
        gradient = exp(-rightness) if rightness > 0.0 else 1.0
    return -gradient if label else gradient


def _step_sgd(weights: array[float], slots: Sequence[int], gradient: float, lr: float) -> None:
    step = lr * gradient
    for slot in slots:
        weights[slot] -= step


def _step_adagrad(
    weights: array[float],
    squares: array[float],
    slots: Sequence[int],
    gradient: float,
    lr: float,
    eps: float,
) -> None:
    square = gradient * gradient
    for slot in slots:
        squares[slot] = seen = squares[slot] + square
        weights[slot] -= lr / sqrt(seen + eps) * gradient


def _step_ftrl(
    weights: array[float],
    evidence: array[float],
    squares: array[float],
    slots: Sequence[int],
    gradient: float,
    alpha: float,
    beta: float,
    l1: float,
    l2: float,
) -> None:
    square = gradient * gradient
    for slot in slots:
        # From evidence and squares as they stood before this example, as River does it: what is scored
        # meanwhile stays one step behind.
        pull, seen = evidence[slot], squares[slot]
        root = sqrt(seen)
        if pull > l1:
            weights[slot] = -(1.0 / ((beta + root) / alpha + l2)) * (pull - l1)
        elif pull < -l1:
            weights[slot] = -(1.0 / ((beta + root) / alpha + l2)) * (pull + l1)
        squares[slot] = seen = seen + square
        evidence[slot] = pull + (gradient - (sqrt(seen) - root) / alpha * weights[slot])


def _little_endian(table: array[float]) -> array[float]:
    if sys.byteorder == "big":
        table = table[:]
        table.byteswap()
    return table


def _zeros(count: int) -> array[float]:
    return array("d", bytes(8 * count))


class Logistic:
    """What the three share: weights, the bias started at the base rate, scoring, saving.

    Parameters
    ----------
    shape
        Slots and groups.
    base_rate
        Probability that an untrained model gives. Zero weights without it give 0.5, and a threshold at 0.5
        then blocks everything for ever, as blocked payments bring no outcome.
    intercept_lr
        Learning rate of the bias.

    Attributes
    ----------
    weights
        One for each slot; the array stays the same one.
    intercept
        The bias, log-odds.
    step
        Moves the tables by an example; is given them, the example's slots and gradient, and the rates.
    tables, rates
        Names of the attributes that it is given.
    """

    takes: ClassVar[Literal["slots", "values"]] = "slots"
    cheap_explain: ClassVar[bool] = True
    # Weighing comes first: it raises what there is to raise, as for a slot that there isn't.
    atomic: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True
    step: ClassVar[Callable[..., None]]
    tables: ClassVar[tuple[str, ...]]
    rates: ClassVar[tuple[str, ...]]

    def __init__(self, shape: ModelShape, *, base_rate: float, intercept_lr: float) -> None:
        self.intercept, self.intercept_lr = log_odds(base_rate), intercept_lr
        self.weights = _zeros(shape.slots)
        self._weigh = weigher(len(shape.slot_names))
        self._origin = Origin.over_slots(self, "", shape)

    def _tables(self) -> list[array[float]]:
        return [getattr(self, name) for name in self.tables]

    def score(self, features: Sequence[int]) -> float:
        """See `Model.score`."""
        return self.score_explained(features)[0]

    def score_explained(self, features: Sequence[int]) -> tuple[float, tuple[float, ...]]:
        """See `Model.score_explained`."""
        total, contributions = self._weigh(self.weights, features)
        return probability(total + self.intercept), contributions

    def _step_intercept(self, features: Sequence[int], label: int, weight: float) -> float:
        """Weighted gradient of the log loss by the log-odds, after the bias has moved along it."""
        total, _ = self._weigh(self.weights, features)
        gradient = gradient_of(total + self.intercept, label) * weight
        self.intercept -= self.intercept_lr * gradient
        return gradient

    def explain(self, features: Sequence[int]) -> list[float]:
        """See `Model.explain`: the weight of each group's active slot."""
        return list(self._weigh(self.weights, features)[1])

    def save(self) -> bytes:
        """See `Model.save`: 8 bytes a slot and table, little-endian."""
        tables = [_little_endian(table).tobytes() for table in self._tables()]
        return self._origin.seal(msgspec.msgpack.encode((self.intercept, tables)))

    def load(self, saved: bytes) -> None:
        """See `Model.load`."""
        intercept, written = msgspec.msgpack.decode(self._origin.open(saved), type=tuple[float, list[bytes]])
        own = self._tables()
        if [len(table) for table in written] != [8 * len(table) for table in own]:
            raise ValueError("saved with tables of another length")
        self.intercept = intercept
        for table, bytes_ in zip(own, written, strict=True):
            # Filled in place, since scorers hold these tables, compiled ones their addresses.
            table[:] = _little_endian(array("d", bytes_))

    def size_bytes(self) -> int:
        """See `Model.size_bytes`."""
        return sum(map(sys.getsizeof, self._tables()))


class LogisticSgd(Logistic):
    """Logistic regression by stochastic gradient descent.

    Parameters
    ----------
    shape
        Slots and groups.
    lr
        Learning rate.
    base_rate, intercept_lr
        See `Logistic`.

    References
    ----------
    Bottou, L. (2010). Large-scale machine learning with stochastic gradient descent. COMPSTAT.
    """

    step = staticmethod(_step_sgd)
    tables, rates = ("weights",), ("lr",)

    def __init__(
        self, shape: ModelShape, *, lr: float = 0.1, base_rate: float = 0.01, intercept_lr: float = 0.01
    ) -> None:
        super().__init__(shape, base_rate=base_rate, intercept_lr=intercept_lr)
        self.lr = lr

    def learn(self, features: Sequence[int], label: int, weight: float = 1.0) -> None:
        """See `WeightedModel.learn`."""
        _step_sgd(self.weights, features, self._step_intercept(features, label, weight), self.lr)


class LogisticAdaGrad(Logistic):
    """Logistic regression with a learning rate for each slot that falls with what it has seen.

    Parameters
    ----------
    shape
        Slots and groups.
    lr
        Learning rate at the start.
    eps
        Keeps the first division finite.
    base_rate, intercept_lr
        See `Logistic`.

    References
    ----------
    Duchi, J., Hazan, E., Singer, Y. (2011). Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research 12.
    """

    step = staticmethod(_step_adagrad)
    tables, rates = ("weights", "squares"), ("lr", "eps")

    def __init__(
        self,
        shape: ModelShape,
        *,
        lr: float = 0.2,
        eps: float = 1e-8,
        base_rate: float = 0.01,
        intercept_lr: float = 0.01,
    ) -> None:
        super().__init__(shape, base_rate=base_rate, intercept_lr=intercept_lr)
        self.lr, self.eps = lr, eps
        self.squares = _zeros(shape.slots)

    def learn(self, features: Sequence[int], label: int, weight: float = 1.0) -> None:
        """See `WeightedModel.learn`."""
        gradient = self._step_intercept(features, label, weight)
        _step_adagrad(self.weights, self.squares, features, gradient, self.lr, self.eps)


class LogisticFtrl(Logistic):
    """Logistic regression by follow-the-proximally-regularised-leader.

    Parameters
    ----------
    shape
        Slots and groups.
    alpha, beta
        Learning rate of a slot: alpha / (beta + root of its summed squared gradients).
    l1, l2
        Penalties; a slot's weight doesn't move while its evidence is within `l1` of 0.
    base_rate, intercept_lr
        See `Logistic`.

    References
    ----------
    McMahan, H. B. et al. (2013). Ad click prediction: a view from the trenches. KDD.
    """

    step = staticmethod(_step_ftrl)
    tables, rates = ("weights", "evidence", "squares"), ("alpha", "beta", "l1", "l2")

    def __init__(
        self,
        shape: ModelShape,
        *,
        alpha: float = 0.05,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 1.0,
        base_rate: float = 0.01,
        intercept_lr: float = 0.01,
    ) -> None:
        super().__init__(shape, base_rate=base_rate, intercept_lr=intercept_lr)
        self.alpha, self.beta, self.l1, self.l2 = alpha, beta, l1, l2
        self.evidence = _zeros(shape.slots)
        self.squares = _zeros(shape.slots)

    def learn(self, features: Sequence[int], label: int, weight: float = 1.0) -> None:
        """See `WeightedModel.learn`."""
        gradient = self._step_intercept(features, label, weight)
        tables = self.weights, self.evidence, self.squares
        _step_ftrl(*tables, features, gradient, self.alpha, self.beta, self.l1, self.l2)
