"""River's estimators behind the model contract; River is imported when one is built."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from headrace.operators.models.contract import ModelShape
from headrace.operators.models.fused import log_odds

__all__ = [
    "RiverAdaptiveRandomForest",
    "RiverHalfSpaceTrees",
    "RiverHoeffdingAdaptiveTree",
    "RiverLogisticAdaGrad",
    "RiverLogisticFtrl",
    "RiverLogisticSgd",
]


class _River:
    """Saves an estimator of River's by pickle, bound to River's version; a state directory is trusted."""

    estimator: Any

    def save(self) -> bytes:
        """See `Model.save`."""
        return pickle.dumps((type(self).__name__, version("river"), self._state()), protocol=5)

    def load(self, saved: bytes) -> None:
        """See `Model.load`."""
        name, saved_by, state = pickle.loads(saved)
        if (name, saved_by) != (type(self).__name__, version("river")):
            raise ValueError(
                f"saved by {name} of River {saved_by}, not {type(self).__name__} of River {version('river')}"
            )
        self._restore(state)

    def _state(self) -> Any:
        return self.estimator

    def _restore(self, state: Any) -> None:
        self.estimator = state

    def size_bytes(self) -> int:
        """See `Model.size_bytes`: the pickled size."""
        return len(self.save())


class _RiverLogistic(_River):
    takes: ClassVar[Literal["slots", "values"]] = "slots"
    cheap_explain: ClassVar[bool] = True

    def _build(self, optimizer: Any, base_rate: float, bias_lr: float) -> None:
        from river import linear_model

        self.estimator = linear_model.LogisticRegression(
            optimizer=optimizer, intercept_init=log_odds(base_rate), intercept_lr=bias_lr
        )

    def score(self, features: Sequence[int]) -> float:
        """See `Model.score`."""
        return float(self.estimator.predict_proba_one(dict.fromkeys(features, 1.0))[True])

    def learn(self, features: Sequence[int], label: int) -> None:
        """See `Model.learn`."""
        self.estimator.learn_one(dict.fromkeys(features, 1.0), label)

    def explain(self, features: Sequence[int]) -> list[float]:
        """See `Model.explain`: the weight of each group's active slot."""
        weights = self.estimator.weights
        return [float(weights.get(slot, 0.0)) for slot in features]


class RiverLogisticSgd(_RiverLogistic):
    """River's logistic regression with stochastic gradient descent."""

    def __init__(
        self, shape: ModelShape, *, lr: float = 0.1, base_rate: float = 0.01, bias_lr: float = 0.01
    ) -> None:
        from river import optim

        self._build(optim.SGD(lr), base_rate, bias_lr)


class RiverLogisticAdaGrad(_RiverLogistic):
    """River's logistic regression with AdaGrad."""

    def __init__(
        self,
        shape: ModelShape,
        *,
        lr: float = 0.2,
        eps: float = 1e-8,
        base_rate: float = 0.01,
        bias_lr: float = 0.01,
    ) -> None:
        from river import optim

        self._build(optim.AdaGrad(lr, eps), base_rate, bias_lr)


class RiverLogisticFtrl(_RiverLogistic):
    """River's logistic regression with FTRL-Proximal."""

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
        from river import optim

        self._build(optim.FTRLProximal(alpha, beta, l1, l2), base_rate, bias_lr)


class _RiverOverValues(_River):
    """An estimator that reads numeric values; missing ones are left out.

    Until the first label it gives the base rate. Contributions are found by putting each value back to its
    running mean, and are in log-odds.
    """

    takes: ClassVar[Literal["slots", "values"]] = "values"
    cheap_explain: ClassVar[bool] = False

    def __init__(self, shape: ModelShape, base_rate: float) -> None:
        self.names, self.base_rate = shape.value_names, base_rate
        self.seen = [0] * len(self.names)
        self.means = [0.0] * len(self.names)
        self.learnt = 0

    def _state(self) -> Any:
        return self.estimator, self.names, self.seen, self.means, self.learnt

    def _restore(self, state: Any) -> None:
        estimator, names, seen, means, learnt = state
        if names != self.names:
            raise ValueError(f"saved for the values {', '.join(names)}, not {', '.join(self.names)}")
        self.estimator, self.seen, self.means, self.learnt = estimator, seen, means, learnt

    def _given(self, features: Sequence[float]) -> dict[str, float]:
        return {name: value for name, value in zip(self.names, features, strict=True) if value == value}

    def score(self, features: Sequence[float]) -> float:
        """See `Model.score`."""
        return self._probability(self._given(features)) if self.learnt else self.base_rate

    def _probability(self, given: dict[str, float]) -> float:
        found = self.estimator.predict_proba_one(given)
        return min(1.0, max(0.0, float(found.get(True, found.get(1, 0.0))))) if found else self.base_rate

    def learn(self, features: Sequence[float], label: int) -> None:
        """See `Model.learn`."""
        for place, value in enumerate(features):
            if math.isfinite(value):
                self.seen[place] += 1
                self.means[place] += (value - self.means[place]) / self.seen[place]
        self.learnt += 1
        self._learn_given(self._given(features), label)

    def _learn_given(self, given: dict[str, float], label: int) -> None:
        self.estimator.learn_one(given, bool(label))

    def explain(self, features: Sequence[float]) -> list[float]:
        """See `Model.explain`."""
        whole = log_odds(self.score(features))
        found = []
        for place, value in enumerate(features):
            if value != value:
                found.append(0.0)
                continue
            changed = [*features[:place], self.means[place], *features[place + 1 :]]
            found.append(whole - log_odds(self.score(changed)))
        return found


class RiverHoeffdingAdaptiveTree(_RiverOverValues):
    """River's Hoeffding adaptive tree.

    Parameters
    ----------
    shape
        Names of the values.
    grace_period
        Examples between attempts to split a leaf.
    max_size_mib
        Memory limit, MiB; leaves stop splitting there.
    seed
        Of its random choices.
    base_rate
        What it gives before the first label.

    References
    ----------
    Bifet, A., Gavalda, R. (2009). Adaptive learning from evolving data streams. IDA.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        grace_period: int = 200,
        max_size_mib: float = 16.0,
        seed: int = 1,
        base_rate: float = 0.01,
    ) -> None:
        from river import tree

        super().__init__(shape, base_rate)
        self.estimator = tree.HoeffdingAdaptiveTreeClassifier(
            grace_period=grace_period, max_size=max_size_mib, memory_estimate_period=10_000, seed=seed
        )


class RiverAdaptiveRandomForest(_RiverOverValues):
    """River's adaptive random forest.

    Parameters
    ----------
    shape
        Names of the values.
    trees
        How many trees.
    max_size_mib
        Memory limit of one tree, MiB.
    seed
        Of its random choices.
    base_rate
        What it gives before the first label.

    References
    ----------
    Gomes, H. M. et al. (2017). Adaptive random forests for evolving data stream classification. Machine
    Learning 106.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        trees: int = 10,
        max_size_mib: float = 16.0,
        seed: int = 1,
        base_rate: float = 0.01,
    ) -> None:
        from river import forest

        super().__init__(shape, base_rate)
        self.estimator = forest.ARFClassifier(
            n_models=trees, max_size=max_size_mib, memory_estimate_period=10_000, seed=seed
        )


class RiverHalfSpaceTrees(_RiverOverValues):
    """River's half-space trees: an anomaly score, learned from payments that turned out legitimate.

    Values are scaled to 0..1 by the lowest and highest seen. The score is an anomaly score, not a
    probability; thresholds must be set for it.

    Parameters
    ----------
    shape
        Names of the values.
    trees, height, window
        Number of trees, their height, and examples for each of the two windows.
    seed
        Of its random choices.
    base_rate
        What it gives before the first label.

    References
    ----------
    Tan, S. C., Ting, K. M., Liu, T. F. (2011). Fast anomaly detection for streaming data. IJCAI.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        trees: int = 10,
        height: int = 8,
        window: int = 250,
        seed: int = 1,
        base_rate: float = 0.01,
    ) -> None:
        from river import anomaly, preprocessing

        super().__init__(shape, base_rate)
        self.estimator = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(
            n_trees=trees, height=height, window_size=window, seed=seed
        )

    def _given(self, features: Sequence[float]) -> dict[str, float]:
        # Half-space trees split on every value, so that a missing one stands at its mean.
        return {
            name: value if math.isfinite(value) else mean
            for name, value, mean in zip(self.names, features, self.means, strict=True)
        }

    def _probability(self, given: dict[str, float]) -> float:
        return min(1.0, max(0.0, float(self.estimator.score_one(given))))

    def _learn_given(self, given: dict[str, float], label: int) -> None:
        if not label:
            self.estimator.learn_one(given)

