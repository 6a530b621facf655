"""A decision that estimates quantiles of a number, whose interval holds its coverage online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...config.decision_flow import EstimateSettings
from ..models import Estimator, NotLearned
from ..policy import DecisionPolicy
from .decision import Decision
from .inputs import Inputs
from .judged import FeaturesFed, Judged
from .reasons import Reasons
from .waiting import WaitingRow

__all__ = ["Estimate"]


class Estimate(Decision):
    """Quantiles from an estimator; the policy promises one of them, or follows rules over them.

    Parameters
    ----------
    name, settings, inputs, entities, policy, fed
        See `Decision`.
    reasons
        Says why, by the inputs' contributions.
    estimator
        Gives the quantiles.
    """

    settings: EstimateSettings

    def __init__(
        self,
        name: str,
        settings: EstimateSettings,
        inputs: Inputs,
        entities: Sequence[str],
        policy: DecisionPolicy,
        reasons: Reasons,
        fed: FeaturesFed | None,
        estimator: Estimator,
    ) -> None:
        self.estimator = estimator
        self._decided_since = 0
        self._names = [format(level, "g") for level in settings.quantiles]
        super().__init__(name, settings, inputs, entities, len(settings.quantiles), policy, reasons, fed)

    @property
    def levels(self) -> tuple[float, ...]:
        """See `Decision.levels`."""
        return self.settings.quantiles

    def _judge(
        self, event: Any, values: Sequence[float], slots: Sequence[int], day_ms: int, overdue: bool
    ) -> Judged:
        inputs = self.inputs.pick(values, slots)
        quantiles, weights = self.estimator.explained(inputs)
        contributions = self.baseline.against(weights)
        verdict = self.policy.decide(event, values, quantiles, day_ms, overdue)
        fields: dict[str, Any] = {
            "quantiles": dict(zip(self._names, quantiles, strict=True)),
            "unit": self.settings.unit,
        }
        if verdict.promise is not None:
            fields["promise"] = verdict.promise
        said: dict[str, Any] = {}
        told = self.policy.wants_reasons(verdict)
        codes = self.reasons.tell(said, verdict, contributions if told else None, values)
        return Judged(verdict, fields, said, codes, inputs, 0.0, quantiles, contributions)

    def _learn(self, place: int, row: WaitingRow, value: float) -> None:
        self._decided_since = self.waiting.next - place - 1
        super()._learn(place, row, value)

    def _teach(self, row: WaitingRow, value: float) -> None:
        try:
            self.estimator.learn(row.inputs, value, row.served, pending=self._decided_since)
        except MemoryError:
            raise
        except Exception as error:
            raise NotLearned(error) from error

    def _save_model(self) -> dict[str, bytes]:
        return {"model": self.estimator.save()}

    def _load_model(self, blobs: Mapping[str, bytes]) -> None:
        self.estimator.load(blobs["model"])
