"""What models and estimators are to the shard: they read fixed-width features, learn, explain and save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol

__all__ = ["PENDING", "Estimator", "Model", "ModelShape", "WeightedModel"]


@dataclass(frozen=True)
class ModelShape:
    """The widths that a model is built for.

    Attributes
    ----------
    slot_names, group_offsets
        Name and first slot of each one-hot group; one slot of a group is active for each event.
    slots
        Slots of all groups together.
    value_names
        Names of the numeric features.
    """

    slot_names: tuple[str, ...]
    group_offsets: tuple[int, ...]
    slots: int
    value_names: tuple[str, ...]


class Model(Protocol):
    """A binary classifier that learns one example at a time.

    The same examples in the same order give the same scores, whatever the hash seed; what is random in a
    model comes from the seed in its parameters. A model learns with the weights it has when the outcome
    comes, on the features as they were when the decision was made.

    Attributes
    ----------
    takes
        What it reads: the active slot of each group (an index over all groups), or the numeric values (NaN
        where missing).
    cheap_explain
        Whether contributions cost so little that every decision can have them.
    """

    takes: ClassVar[Literal["slots", "values"]]
    cheap_explain: ClassVar[bool]

    def score(self, features: Sequence[float]) -> float:
        """Estimated probability of the positive label, 0 to 1; changes nothing that a later score sees."""
        ...

    def learn(self, features: Sequence[float], label: int) -> None:
        """Take in one example with its label, 0 or 1.

        It may raise anything; unless the class says `atomic = True`, the model is then loaded anew.
        """
        ...

    def explain(self, features: Sequence[float]) -> list[float]:
        """Return what each group, or each value, adds to the score, in log-odds."""
        ...

    def score_explained(self, features: Sequence[float]) -> tuple[float, Sequence[float]]:
        """`score` and `explain` at once."""
        ...

    def save(self) -> bytes:
        """Return the state as bytes."""
        ...

    def load(self, saved: bytes) -> None:
        """Take over a state that `save` gave; on an error the model stays as it was.

        Raises
        ------
        ValueError
            If it isn't such a state, or one of another model, of other features, or of another River.
        """
        ...

    def size_bytes(self) -> int:
        """About how much memory the state takes, bytes."""
        ...


PENDING: Final = 1000
"""Open outcomes that an estimator reckons with when it isn't told."""


class WeightedModel(Model, Protocol):
    """A model whose class says `takes_weights = True`: an example may count for more or less than one."""

    takes_weights: ClassVar[bool]

    def learn(self, features: Sequence[float], label: int, weight: float = 1.0) -> None:
        """See `Model.learn`; the example counts `weight` times, from 0 on."""
        ...


class Estimator(Protocol):
    """Estimates quantiles of a number, and learns one example at a time.

    As for a `Model`: the same examples in the same order give the same estimates.

    Attributes
    ----------
    takes, cheap_explain
        As for a `Model`.
    quantiles
        Declared shares, between 0 and 1, rising: so much of the outcomes is to lie below each estimate.
    """

    takes: ClassVar[Literal["slots", "values"]]
    cheap_explain: ClassVar[bool]
    quantiles: tuple[float, ...]

    def estimate(self, features: Sequence[float]) -> tuple[float, ...]:
        """Return one number for each declared quantile, never falling, all finite, in the target's unit.

        It changes nothing that a later estimate sees, and has something to say before anything was learned.
        """
        ...

    def explained(self, features: Sequence[float]) -> tuple[tuple[float, ...], Sequence[float]]:
        """Return `estimate`, and what each input adds to where the number is expected.

        What an input adds is in the unit in which the estimator adds up: the target's, or its logarithm.
        """
        ...

    def learn(
        self,
        features: Sequence[float],
        value: float,
        served: Sequence[float] | None = None,
        weight: float = 1.0,
        pending: int = PENDING,
    ) -> None:
        """Take in one example with its outcome; what can't be learned leaves the estimator as it was.

        Parameters
        ----------
        features
            As they were when the estimate was made.
        value
            The outcome, in the target's unit.
        served
            The quantiles that had gone out for it: coverage is held for what was served. None if nothing was;
            then for what would be served now.
        weight
            How many times it counts, from 0 on.
        pending
            How many decisions went out since this one, or of how many the outcomes are open; with many of
            them, what was served says little of what is served now. Unless it is said, a guess is made with
            which coverage doesn't swing.

        Raises
        ------
        ValueError
            If the outcome is no number that it can learn, or what was served isn't what it serves.
        """
        ...

    def save(self) -> bytes:
        """Return the state as bytes."""
        ...

    def load(self, saved: bytes) -> None:
        """Take over a state that `save` gave; on an error the estimator stays as it was.

        Raises
        ------
        ValueError
            If it isn't such a state, or one of another estimator, of other features or other quantiles.
        """
        ...

    def size_bytes(self) -> int:
        """About how much memory the state takes, bytes."""
        ...
