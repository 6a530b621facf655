"""River's estimators behind the model contract; River is imported when one is built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

from .contract import ModelShape
from .fused import log_odds
from .object_graph import Unsaved, decode_graph, encode_graph
from .saved import Origin

__all__ = [
    "RiverAdaptiveRandomForest",
    "RiverHalfSpaceTrees",
    "RiverHoeffdingAdaptiveTree",
    "RiverLogisticAdaGrad",
    "RiverLogisticFtrl",
    "RiverLogisticSgd",
]

# River's trees look after their memory when the examples seen are a multiple of this. An adaptive tree's
# count of its leaves goes wrong once it has replaced a branch, and then that can divide by zero (River
# 0.26.1): the depth is what limits our trees.
_NEVER: Final = 2**62
# As Python objects; saved they take a tenth of it.
_HALF_SPACE_NODE_BYTES: Final = 256
_MAGIC: Final = b"HRG\x01"
_PICKLE: Final = b"\x80"  # how every pickle of protocol 2 and above begins


def _library() -> str:
    from importlib.metadata import version

    return f"River {version('river')}"


def _finite(found: float) -> float:
    """Return what an estimator says, as a number.

    Raises
    ------
    ArithmeticError
        If it is none: a decision would have `null` for its score, or pass for a sure 0.
    """
    score = float(found)
    # An error of the model, which the caller knows how to meet; as a score it would pass every threshold
    # silently.
    if not math.isfinite(score):
        raise ArithmeticError(f"the model says {score}")
    return score


class _River:
    """Saves an estimator of River's as data, bound to River's version (see `object_graph`)."""

    estimator: Any
    _origin: Origin

    def score_explained(self, features: Sequence[Any]) -> tuple[float, list[float]]:
        """See `Model.score_explained`."""
        model: Any = self
        return model.score(features), model.explain(features)

    def save(self) -> bytes:
        """See `Model.save`."""
        return self._origin.seal(_MAGIC + encode_graph(self._state()))

    def load(self, saved: bytes) -> None:
        """See `Model.load`."""
        body = self._origin.open(saved)
        # Told before anything of it is read, and in words that say what to do.
        if body.startswith(_PICKLE):
            raise ValueError(
                "its state was saved as a pickle, by an earlier version; such a state can run code when it is"
                " read, and isn't read any more. Move the checkpoint-*.ckpt files out of the shard's folder:"
                " where the journal reaches back to its beginning, the next start makes the state from it."
                " Otherwise begin a new state"
            )
        if not body.startswith(_MAGIC):
            raise ValueError("not a saved model")
        state = decode_graph(memoryview(body)[len(_MAGIC) :])
        estimator = self._estimator_of(state)
        if type(estimator) is not type(self.estimator):
            raise Unsaved(f"not a saved model: holds a {type(estimator).__name__}")
        self._restore(state)

    def _state(self) -> Any:
        return self.estimator

    def _restore(self, state: Any) -> None:
        self.estimator = state

    def _estimator_of(self, state: Any) -> Any:
        return state

    def size_bytes(self) -> int:
        """See `Model.size_bytes`: the saved size, which for growing trees is close to it."""
        return len(self.save())


class _RiverLogistic(_River):
    """River's logistic regression over active slots, the bias started at the base rate.

    Parameters
    ----------
    shape
        Slots and groups.
    optimizer
        One of River's.
    base_rate
        Probability that an untrained model gives.
    intercept_lr
        Learning rate of the bias.
    """

    takes: ClassVar[Literal["slots", "values"]] = "slots"
    cheap_explain: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True

    def __init__(self, shape: ModelShape, optimizer: Any, base_rate: float, intercept_lr: float) -> None:
        from river import linear_model

        self._origin = Origin.over_slots(self, _library(), shape)
        self.estimator = linear_model.LogisticRegression(
            optimizer=optimizer, intercept_init=log_odds(base_rate), intercept_lr=intercept_lr
        )

    def score(self, features: Sequence[int]) -> float:
        """See `Model.score`."""
        return _finite(self.estimator.predict_proba_one(dict.fromkeys(features, 1.0))[True])

    def learn(self, features: Sequence[int], label: int, weight: float = 1.0) -> None:
        """See `WeightedModel.learn`."""
        self.estimator.learn_one(dict.fromkeys(features, 1.0), label, weight)

    def explain(self, features: Sequence[int]) -> list[float]:
        """See `Model.explain`: the weight of each group's active slot."""
        weights = self.estimator.weights
        return [float(weights.get(slot, 0.0)) for slot in features]


class RiverLogisticSgd(_RiverLogistic):
    """River's logistic regression with stochastic gradient descent.

    Parameters
    ----------
    shape, lr, base_rate, intercept_lr
        See `LogisticSgd`, its twin.
    """

    def __init__(
        self, shape: ModelShape, *, lr: float = 0.1, base_rate: float = 0.01, intercept_lr: float = 0.01
    ) -> None:
        from river import optim

        super().__init__(shape, optim.SGD(lr), base_rate, intercept_lr)


class RiverLogisticAdaGrad(_RiverLogistic):
    """River's logistic regression with AdaGrad.

    Parameters
    ----------
    shape, lr, eps, base_rate, intercept_lr
        See `LogisticAdaGrad`, its twin.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        lr: float = 0.2,
        eps: float = 1e-8,
        base_rate: float = 0.01,
        intercept_lr: float = 0.01,
    ) -> None:
        from river import optim

        super().__init__(shape, optim.AdaGrad(lr, eps), base_rate, intercept_lr)


class RiverLogisticFtrl(_RiverLogistic):
    """River's logistic regression with FTRL-Proximal.

    Parameters
    ----------
    shape, alpha, beta, l1, l2, base_rate, intercept_lr
        See `LogisticFtrl`, its twin.
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
        intercept_lr: float = 0.01,
    ) -> None:
        from river import optim

        super().__init__(shape, optim.FTRLProximal(alpha, beta, l1, l2), base_rate, intercept_lr)


class _RiverOverValues(_River):
    """An estimator that reads numeric values; missing ones are left out.

    Until it has learned it gives the base rate. A contribution is by how much the score changes, in log-odds,
    against the same example with that value at its running mean; a missing value contributes 0.

    Parameters
    ----------
    shape
        Names of the values.
    estimator
        River's.
    base_rate
        What it gives before it has learned.
    learned_min
        How many examples it must have taken in before its own score counts.
    """

    takes: ClassVar[Literal["slots", "values"]] = "values"
    cheap_explain: ClassVar[bool] = False

    def __init__(self, shape: ModelShape, estimator: Any, base_rate: float, learned_min: int = 1) -> None:
        self._origin = Origin.over_values(self, _library(), shape)
        self.estimator, self.base_rate, self.learned_min = estimator, base_rate, learned_min
        self.names = shape.value_names
        self.learned = 0
        self.seen = [0] * len(self.names)
        self.means = [0.0] * len(self.names)

    def _state(self) -> Any:
        return self.estimator, self.learned, self.seen, self.means

    def _restore(self, state: Any) -> None:
        self.estimator, self.learned, self.seen, self.means = state

    def _estimator_of(self, state: Any) -> Any:
        _, learned, seen, means = state
        if type(learned) is not int or not len(seen) == len(means) == len(self.names):
            raise Unsaved("not a saved model: counts of other values")
        return state[0]

    def _given(self, features: Sequence[float]) -> dict[str, float]:
        named = zip(self.names, features, strict=True)
        return {name: value for name, value in named if math.isfinite(value)}

    def score(self, features: Sequence[float]) -> float:
        """See `Model.score`."""
        if self.learned < self.learned_min:
            return self.base_rate
        # Sums of trees can leave the range by a rounding error.
        return min(1.0, max(0.0, self._probability(self._given(features))))

    def _probability(self, given: dict[str, float]) -> float:
        found = self.estimator.predict_proba_one(given)
        return _finite(found.get(True, 0.0)) if found else self.base_rate

    def learn(self, features: Sequence[float], label: int) -> None:
        """See `Model.learn`."""
        self._count(features)
        self._learn_given(self._given(features), label)

    def _count(self, features: Sequence[float]) -> None:
        self.learned += 1
        for place, value in enumerate(features):
            if math.isfinite(value):
                self.seen[place] += 1
                # A running mean needs no sum, which would lose digits as it grows.
                self.means[place] += (value - self.means[place]) / self.seen[place]

    def _learn_given(self, given: dict[str, float], label: int) -> None:
        self.estimator.learn_one(given, bool(label))

    def explain(self, features: Sequence[float]) -> list[float]:
        """See `Model.explain`: one score for each value that is not missing."""
        whole = log_odds(self.score(features))
        found = [0.0] * len(features)
        for place, value in enumerate(features):
            if math.isfinite(value):
                # What a value adds is told against its mean, not against its absence: trees treat a missing
                # value as something of its own.
                without = [*features[:place], self.means[place], *features[place + 1 :]]
                found[place] = whole - log_odds(self.score(without))
        return found


class RiverHoeffdingAdaptiveTree(_RiverOverValues):
    """River's Hoeffding adaptive tree: splits where the data allow it, replaces branches that got worse.

    Parameters
    ----------
    shape
        Names of the values.
    grace_period
        Examples between attempts to split a leaf.
    depth_max
        Leaves at this depth are not split; they go on counting labels. A tree has at most
        2 ** (depth_max + 1) leaves, some 50 KB each with 8 values.
    seed
        Of its random choices.
    base_rate
        What it gives before it has learned.

    References
    ----------
    Bifet, A., Gavalda, R. (2009). Adaptive learning from evolving data streams. IDA.
    """

    takes_weights: ClassVar[bool] = True

    def __init__(
        self,
        shape: ModelShape,
        *,
        grace_period: int = 200,
        depth_max: int = 8,
        seed: int = 1,
        base_rate: float = 0.01,
    ) -> None:
        from river import tree

        estimator = tree.HoeffdingAdaptiveTreeClassifier(
            grace_period=grace_period, max_depth=depth_max, memory_estimate_period=_NEVER, seed=seed
        )
        super().__init__(shape, estimator, base_rate)

    def learn(self, features: Sequence[float], label: int, weight: float = 1.0) -> None:
        """See `WeightedModel.learn`."""
        self._count(features)
        self.estimator.learn_one(self._given(features), bool(label), w=weight)


class RiverAdaptiveRandomForest(_RiverOverValues):
    """River's adaptive random forest: Hoeffding trees on resampled examples, each replaced when it drifts.

    Parameters
    ----------
    shape
        Names of the values.
    n_models
        How many trees; each may have a second one growing behind it.
    grace_period
        Examples between attempts to split a leaf.
    depth_max
        Leaves at this depth are not split; they go on counting labels.
    seed
        Of its random choices.
    base_rate
        What it gives before it has learned.

    References
    ----------
    Gomes, H. M. et al. (2017). Adaptive random forests for evolving data stream classification. Machine
    Learning 106.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        n_models: int = 10,
        grace_period: int = 50,
        depth_max: int = 8,
        seed: int = 1,
        base_rate: float = 0.01,
    ) -> None:
        from river import forest

        estimator = forest.ARFClassifier(
            n_models=n_models,
            grace_period=grace_period,
            max_depth=depth_max,
            memory_estimate_period=_NEVER,
            seed=seed,
        )
        super().__init__(shape, estimator, base_rate)


class RiverHalfSpaceTrees(_RiverOverValues):
    """River's half-space trees: an anomaly score, learned from what turned out legitimate.

    Values are scaled to 0..1 by the lowest and the highest seen so far. Outcomes with label 1 teach it
    nothing. The score is 1 minus how crowded the example's surroundings were in the last full window: no
    probability, so that the policy's thresholds must be set for it.

    Parameters
    ----------
    shape
        Names of the values.
    n_models, height
        Number of trees, and their height; they are built once, with 2 ** (height + 1) nodes each.
    window
        Legitimate examples in a window; until the first is full, the score is the base rate.
    seed
        Of its random choices.
    base_rate
        What it gives before it has learned.

    References
    ----------
    Tan, S. C., Ting, K. M., Liu, T. F. (2011). Fast anomaly detection for streaming data. IJCAI.
    """

    def __init__(
        self,
        shape: ModelShape,
        *,
        n_models: int = 10,
        height: int = 8,
        window: int = 250,
        seed: int = 1,
        base_rate: float = 0.01,
    ) -> None:
        from river import anomaly, preprocessing

        trees = anomaly.HalfSpaceTrees(n_trees=n_models, height=height, window_size=window, seed=seed)
        super().__init__(shape, preprocessing.MinMaxScaler() | trees, base_rate, learned_min=window)
        self.nodes = n_models << (height + 1)

    def size_bytes(self) -> int:
        """See `Model.size_bytes`: that of the full trees, which the first example builds."""
        return self.nodes * _HALF_SPACE_NODE_BYTES

    def learn(self, features: Sequence[float], label: int) -> None:
        """See `Model.learn`."""
        # Frauds are what must stay unusual to it.
        if not label:
            super().learn(features, label)

    def _given(self, features: Sequence[float]) -> dict[str, float]:
        # The trees split on the names in their first example, so that a missing value stands at its mean.
        return {
            name: value if math.isfinite(value) else mean
            for name, value, mean in zip(self.names, features, self.means, strict=True)
        }

    def _probability(self, given: dict[str, float]) -> float:
        return _finite(self.estimator.score_one(given))

    def _learn_given(self, given: dict[str, float], label: int) -> None:  # noqa: ARG002 - always 0
        self.estimator.learn_one(given)
