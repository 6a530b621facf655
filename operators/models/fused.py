"""Logistic regression over active slots, fused: one weight a slot, no dictionary, nothing to import.

Each class is the twin of River's `linear_model.LogisticRegression` with the optimizer that it is named after, on
examples whose active slots have the value 1: the same operations in the same order, so that scores agree to
rounding.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import ClassVar, Literal

import msgspec

from headrace.operators.models.contract import ModelShape

__all__ = ["LogisticAdaGrad", "LogisticFtrl", "LogisticSgd", "log_odds", "sigmoid"]


def sigmoid(log_odds: float) -> float:
    """The logistic function, without overflow for any float."""
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    grown = math.exp(log_odds)
    return grown / (1.0 + grown)


def log_odds(probability: float) -> float:
    """The logarithm of the odds of a probability, cut off at 1e-9 from both ends."""
    probability = min(max(probability, 1e-9), 1.0 - 1e-9)
    return math.log(probability / (1.0 - probability))


class _Logistic:
    """What the three share: weights, the bias started at the base rate, scoring, saving.

    Parameters
    ----------
    shape
        Slots and groups.
    base_rate
        Probability that an untrained model gives. Zero weights without it give 0.5, and a threshold at 0.5
        then blocks everything for ever, as blocked payments bring no outcome.
    bias_lr
        Learning rate of the bias.
    """

    takes: ClassVar[Literal["slots", "values"]] = "slots"
    cheap_explain: ClassVar[bool] = True

    def __init__(self, shape: ModelShape, *, base_rate: float, bias_lr: float) -> None:
        self.bias, self.bias_lr = log_odds(base_rate), bias_lr
        self.weights = [0.0] * shape.slots
        self.learnt = 0

    def _tables(self) -> list[list[float]]:
        return [self.weights]

    def score(self, features: Sequence[int]) -> float:
        """See `Model.score`."""
        weights, total = self.weights, self.bias
        for slot in features:
            total += weights[slot]
        if total >= 0.0:
            return 1.0 / (1.0 + math.exp(-total))
        grown = math.exp(total)
        return grown / (1.0 + grown)

    def _gradient(self, features: Sequence[int], label: int) -> float:
        """Gradient of the log loss by the log-odds; moves the bias."""
        gradient = self.score(features) - label
        self.bias -= self.bias_lr * gradient
        self.learnt += 1
        return gradient

    def explain(self, features: Sequence[int]) -> list[float]:
        """See `Model.explain`: the weight of each group's active slot."""
        weights = self.weights
        return [weights[slot] for slot in features]

    def save(self) -> bytes:
        """See `Model.save`."""
        tables = [array("d", table).tobytes() for table in self._tables()]
        return msgspec.msgpack.encode((type(self).__name__, self.bias, self.learnt, tables))

    def load(self, saved: bytes) -> None:
        """See `Model.load`."""
        name, bias, learnt, tables = msgspec.msgpack.decode(saved, type=tuple[str, float, int, list[bytes]])
        own = self._tables()
        if name != type(self).__name__ or [len(table) // 8 for table in tables] != [len(table) for table in own]:
            raise ValueError(f"saved by {name} with {len(tables[0]) // 8} slots, not {len(own[0])}")
        self.bias, self.learnt = bias, learnt
        for table, written in zip(own, tables, strict=True):
            table[:] = array("d", written)

    def size_bytes(self) -> int:
        """See `Model.size_bytes`."""
        return sum(sys.getsizeof(table) + 24 * len(table) for table in self._tables())


class LogisticSgd(_Logistic):
    """Logistic regression by stochastic gradient descent.

    Parameters
    ----------
    shape
        Slots and groups.
    lr
        Learning rate.
    base_rate, bias_lr
        See `_Logistic`.

    References
    ----------
    Bottou, L. (2010). Large-scale machine learning with stochastic gradient descent. COMPSTAT.
    """

    def __init__(
        self, shape: ModelShape, *, lr: float = 0.1, base_rate: float = 0.01, bias_lr: float = 0.01
    ) -> None:
        super().__init__(shape, base_rate=base_rate, bias_lr=bias_lr)
        self.lr = lr

    def learn(self, features: Sequence[int], label: int) -> None:
        """See `Model.learn`."""
        gradient, weights = self._gradient(features, label), self.weights
        step = self.lr * gradient
        for slot in features:
            weights[slot] -= step


class LogisticAdaGrad(_Logistic):
    """Logistic regression with a learning rate for each slot that falls with what it has seen.

    Parameters
    ----------
    shape
        Slots and groups.
    lr
        Learning rate at the start.
    eps
        Keeps the first division finite.
    base_rate, bias_lr
        See `_Logistic`.

    References
    ----------
    Duchi, J., Hazan, E., Singer, Y. (2011). Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research 12.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        lr: float = 0.2,
        eps: float = 1e-8,
        base_rate: float = 0.01,
        bias_lr: float = 0.01,
    ) -> None:
        super().__init__(shape, base_rate=base_rate, bias_lr=bias_lr)
        self.lr, self.eps = lr, eps
        self.squares = [0.0] * shape.slots

    def _tables(self) -> list[list[float]]:
        return [self.weights, self.squares]

    def learn(self, features: Sequence[int], label: int) -> None:
        """See `Model.learn`."""
        gradient, weights, squares = self._gradient(features, label), self.weights, self.squares
        square, lr, eps, sqrt = gradient * gradient, self.lr, self.eps, math.sqrt
        for slot in features:
            squares[slot] = seen = squares[slot] + square
            weights[slot] -= lr / sqrt(seen + eps) * gradient


class LogisticFtrl(_Logistic):
    """Logistic regression by follow-the-proximally-regularised-leader.

    Parameters
    ----------
    shape
        Slots and groups.
    alpha, beta
        Learning rate of a slot: alpha / (beta + root of its summed squared gradients).
    l1, l2
        Penalties; a slot whose evidence stays under `l1` keeps the weight 0.
    base_rate, bias_lr
        See `_Logistic`.

    References
    ----------
    McMahan, H. B. et al. (2013). Ad click prediction: a view from the trenches. KDD.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        alpha: float = 0.05,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 1.0,
        base_rate: float = 0.01,
        bias_lr: float = 0.01,
    ) -> None:
        super().__init__(shape, base_rate=base_rate, bias_lr=bias_lr)
        self.alpha, self.beta, self.l1, self.l2 = alpha, beta, l1, l2
        self.z = [0.0] * shape.slots
        self.n = [0.0] * shape.slots

    def _tables(self) -> list[list[float]]:
        return [self.weights, self.z, self.n]

    def learn(self, features: Sequence[int], label: int) -> None:
        """See `Model.learn`."""
        gradient, weights, z, n = self._gradient(features, label), self.weights, self.z, self.n
        for slot in features:
            evidence, seen = z[slot], n[slot]
            if abs(evidence) > self.l1:
                pull = evidence - math.copysign(self.l1, evidence)
                weights[slot] = -(((self.beta + seen**0.5) / self.alpha + self.l2) ** -1) * pull
            step = ((seen + gradient**2) ** 0.5 - seen**0.5) / self.alpha
            z[slot] = evidence + gradient - step * weights[slot]
            n[slot] = seen + gradient**2
