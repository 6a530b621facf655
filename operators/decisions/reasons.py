"""Says why an event was decided so: the policy's path, and reason codes with their contributions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final, TypeAlias

from ...config.conditions import Condition
from ...config.policy import COMBINATION_CODE
from ..policy import Verdict

__all__ = ["Coded", "Reasons", "codes_of_values"]

Coded: TypeAlias = tuple[str, Sequence[Condition]]
"""A reason code, and what an event must meet for it to be reported, so that its text is true."""

_Comparison: TypeAlias = Callable[[float, float], bool]
_COMPARISONS: Final[dict[str, _Comparison]] = {
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
    "==": eq,
    "!=": ne,
}


def codes_of_values(names: Iterable[str]) -> list[Coded]:
    """Return the codes of a model whose contributions are those of features: their names, reported always."""
    return [(name, ()) for name in names]


class Reasons:
    """The reasons of a decision.

    Parameters
    ----------
    value_names
        Of the features' values, in their order.

    Attributes
    ----------
    codes
        For each contribution its reason code, and on which values that may be reported.
    """

    codes: list[tuple[str, list[tuple[int, _Comparison, float]]]]

    def __init__(self, value_names: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(value_names)}
        self.codes = []

    def configure(self, codes: Iterable[Coded], count_max: int, contribution_min: float) -> None:
        """Take over a configuration.

        Parameters
        ----------
        codes
            One for each contribution, in their order.
        count_max
            Codes with a contribution that are reported, the strongest first.
        contribution_min
            The smallest contribution that is a reason, in the model's unit. Where none is as large, it is
            their combination.
        """
        self._count_max, self._contribution_min = count_max, contribution_min
        self.codes = [
            (code, [(self._places[when.name], _COMPARISONS[when.op], when.number) for when in report_if])
            for code, report_if in codes
        ]

    def tell(
        self,
        decision: dict[str, Any],
        verdict: Verdict,
        contributions: Sequence[float] | None,
        values: Sequence[float],
    ) -> Sequence[str]:
        """Add to a decision what isn't said of a plain one: its path, and reasons; give their codes.

        Parameters
        ----------
        decision
            As it goes out: takes `reasons`, and `policy` where something else than thresholds decided.
        verdict
            What the policy says; its codes come first, without a contribution.
        contributions
            Of the model; None where it had no say.
        values
            The features.
        """
        told: list[dict[str, Any]] = [{"code": code, "contribution": None} for code in verdict.codes]
        if contributions is not None:
            told += self._strongest(contributions, values)
        decision["reasons"] = told
        if verdict.path != "model":
            decision["policy"] = verdict.counter
        return [reason["code"] for reason in told]

    def _strongest(self, contributions: Sequence[float], values: Sequence[float]) -> list[dict[str, Any]]:
        by_code: dict[str, float] = {}
        for (code, report_if), contribution in zip(self.codes, contributions, strict=True):
            if all(holds(values[place], number) for place, holds, number in report_if):
                by_code[code] = by_code.get(code, 0.0) + contribution
        told = [item for item in by_code.items() if item[1] >= self._contribution_min]
        strongest = sorted(told, key=lambda item: -item[1])[: self._count_max]
        # A decision against somebody always says something, even if no single part of it was strong enough.
        if not strongest and self._count_max:
            strongest = [(COMBINATION_CODE, sum(contributions))]
        return [{"code": code, "contribution": round(contribution, 4)} for code, contribution in strongest]
