"""Says why a payment was decided so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.config.fraud_flow import FraudSettings
from headrace.operators.decisions import reasons
from headrace.operators.policy import Verdict

__all__ = ["Reasons"]

_BY_SCORE: Final = ("model", "cost", "capacity")  # paths of the policy that look at the score


class Reasons(reasons.Reasons):
    """The reasons of decisions on payments, as they are configured.

    Parameters
    ----------
    value_names
        Of the features' values, in their order.
    by_cross
        Whether contributions are those of crosses, and not of the values themselves.
    """

    def __init__(self, settings: FraudSettings, value_names: Sequence[str], *, by_cross: bool) -> None:
        super().__init__(value_names)
        self._value_names, self._by_cross = value_names, by_cross
        self.take_over(settings)

    def take_over(self, settings: FraudSettings) -> None:
        """Take over a configuration of the same shape."""
        codes = (
            [(cross.code, cross.report_if) for cross in settings.crosses.values()]
            if self._by_cross
            else reasons.codes_of_values(self._value_names)
        )
        self.configure(codes, settings.reasons.count_max, settings.reasons.contribution_min)

    def tell(
        self,
        decision: dict[str, Any],
        verdict: Verdict,
        contributions: Sequence[float] | None,
        values: Sequence[float],
    ) -> Sequence[str]:
        """Add to a decision what isn't said of a plain approval: its path, and reasons; give their codes."""
        explained = (verdict.would or verdict.action) != "approve" and verdict.path in _BY_SCORE
        codes = super().tell(decision, verdict, contributions if explained else None, values)
        if verdict.would is not None:
            decision["shadow_action"] = verdict.would
        return codes
