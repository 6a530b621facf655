"""What a shard does with a payment apart from deciding: score it, describe that, and take it in.

A scorer holds what it has found for the payment that it scored last, until the next one. There are two: one
of plain Python, for every model, and a compiled one (`scoring_compiled`) for those that add weights up. Both
work on the same memory and give the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..events.contract import Payment
from ..features import FeatureSet
from ..models import Model
from .attribution_baseline import AttributionBaseline
from .detail import detail_struct
from .pending import Pending

__all__ = ["PlainScorer", "Scorer"]


class Scorer(Protocol):
    """Scores one payment after another.

    Attributes
    ----------
    values
        The features of the payment scored last, NaN where missing.
    contributions
        What each input of the model added to its score, against the attribution baseline, log-odds;
        zeros until `explain` where a model doesn't tell this cheaply.
    """

    values: Sequence[float]
    contributions: Sequence[float]

    def score(self, payment: Payment, time_ms: int) -> float:
        """Return the probability of a fraud, with features as they are at a time; nothing is moved on.

        Raises
        ------
        ArithmeticError, ValueError
            If there is no score.
        """
        ...

    def explain(self) -> None:
        """Find out the contributions, where `score` has not."""
        ...

    def detail(self) -> bytes:
        """Return the fixed part of the decision's detail."""
        ...

    def take(
        self,
        payment: Payment,
        time_ms: int,
        at_ms: int,
        number: int,
        score: float,
        *,
        blocked: bool,
        moves: bool,
    ) -> None:
        """Take in the payment scored last: move its entities' features on, and let it wait for its outcome.

        Parameters
        ----------
        payment, time_ms
            As they were scored.
        at_ms
            The time from which it waits.
        number
            Of the input, in its shard.
        score, blocked
            What was decided.
        moves
            Whether features are moved on; not by a payment whose time isn't accepted.
        """
        ...


class PlainScorer:
    """Scores with any model.

    Parameters
    ----------
    features, model, baseline, pending
        The parts of the shard's state that it works on.
    """

    def __init__(
        self, features: FeatureSet, model: Model, baseline: AttributionBaseline, pending: Pending
    ) -> None:
        self._model = model
        self._takes_slots, self._explained = model.takes == "slots", model.cheap_explain
        self._read, self._update, self._add = features.read, features.update, pending.add
        self._against = baseline.against
        inputs = features.groups if self._takes_slots else features.names
        self._blank = (0.0,) * len(inputs)
        self._pack = detail_struct(
            len(features.groups), features.slots, len(inputs), len(features.names)
        ).pack
        self.values: Sequence[float] = ()
        self.contributions: Sequence[float] = self._blank
        self._slots: tuple[int, ...] = ()
        self._inputs: Sequence[float] = ()
        self._flags = 0
        self._rows: tuple[int, ...] = ()

    def score(self, payment: Payment, time_ms: int) -> float:
        """See `Scorer.score`."""
        self.values, self._slots, self._flags, self._rows = self._read(payment, time_ms)
        self._inputs = inputs = self._slots if self._takes_slots else self.values
        if not self._explained:
            # What a tree's reasons cost, a score for each value, is left until the action is known.
            self.contributions = self._blank
            return self._model.score(inputs)
        score, weights = self._model.score_explained(inputs)
        self.contributions = self._against(weights)
        return score

    def explain(self) -> None:
        """See `Scorer.explain`."""
        if not self._explained:
            self.contributions = tuple(self._model.explain(self._inputs))

    def detail(self) -> bytes:
        """See `Scorer.detail`."""
        return self._pack(*self._slots, *self.contributions, *self.values)

    def take(
        self,
        payment: Payment,
        time_ms: int,
        at_ms: int,
        number: int,
        score: float,
        *,
        blocked: bool,
        moves: bool,
    ) -> None:
        """See `Scorer.take`."""
        rows = self._rows
        if moves:
            rows = self._update(payment, time_ms, self.values, number, rows)
        self._add(payment.event_id, at_ms, number, rows, self._flags, self._inputs, score, blocked)
