"""Says why a payment was decided so: the policy's path, and reason codes with their contributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from headrace.config.fraud_flow import FraudSettings
from headrace.config.policy import COMBINATION_CODE
from headrace.operators.policy import Verdict

__all__ = ["Reasons"]

_Comparison = Callable[[float, float], bool]
_COMPARISONS: Final[dict[str, _Comparison]] = {
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
    "==": eq,
    "!=": ne,
}
_BY_SCORE: Final = ("model", "cost", "capacity")  # paths of the policy that look at the score


class Reasons:
    """The reasons of decisions, as they are configured.

    Parameters
    ----------
    value_names
        Of the features' values, in their order.
    by_cross
        Whether contributions are those of crosses, and not of the values themselves.

    Attributes
    ----------
    codes
        For each contribution its reason code, and on which values that may be told.
    """

    codes: list[tuple[str, list[tuple[int, _Comparison, float]]]]

    def __init__(self, settings: FraudSettings, value_names: Sequence[str], *, by_cross: bool) -> None:
        self._value_names, self._by_cross = value_names, by_cross
        self.configure(settings)

    def configure(self, settings: FraudSettings) -> None:
        """Take over a configuration of the same shape."""
        self._contribution_min = settings.reasons.contribution_min
        self._count_max = settings.reasons.count_max
        if not self._by_cross:
            self.codes = [(name, []) for name in self._value_names]
            return
        places = {name: place for place, name in enumerate(self._value_names)}
        self.codes = [
            (
                cross.code,
                [(places[when.name], _COMPARISONS[when.op], when.number) for when in cross.report_if],
            )
            for cross in settings.crosses.values()
        ]

    def tell(
        self,
        decision: dict[str, Any],
        verdict: Verdict,
        contributions: Sequence[float],
        values: Sequence[float],
    ) -> Sequence[str]:
        """Add to a decision what isn't said of a plain approval: its path, and reasons; give their codes."""
        told: list[dict[str, Any]] = [{"code": code, "contribution": None} for code in verdict.codes]
        if (verdict.would or verdict.action) != "approve" and verdict.path in _BY_SCORE:
            told += self._strongest(contributions, values)
        decision["reasons"] = told
        if verdict.path != "model":
            decision["policy"] = verdict.counter
        if verdict.would is not None:
            decision["shadow_action"] = verdict.would
        return [reason["code"] for reason in told]

    def _strongest(self, contributions: Sequence[float], values: Sequence[float]) -> list[dict[str, Any]]:
        by_code: dict[str, float] = {}
        for (code, report_if), contribution in zip(self.codes, contributions, strict=True):
            if all(holds(values[place], number) for place, holds, number in report_if):
                by_code[code] = by_code.get(code, 0.0) + contribution
        told = [item for item in by_code.items() if item[1] >= self._contribution_min]
        strongest = sorted(told, key=lambda item: -item[1])[: self._count_max]
        # A decision against the customer always says something, even if no single part of it was strong
        # enough.
        if not strongest and self._count_max:
            strongest = [(COMBINATION_CODE, sum(contributions))]
        return [{"code": code, "contribution": round(contribution, 4)} for code, contribution in strongest]
