"""The action with the least expected cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import msgpack

from headrace.config.policy import COST_CODE, Action, CostSettings
from headrace.operators.events import Payment
from headrace.operators.policy.verdict import Decider, Verdict

__all__ = ["Costs", "by_cost", "cheapest", "expected_costs"]

Costs: TypeAlias = tuple[float, float, float]
"""Expected costs of approving, reviewing and blocking, in the flow's currency."""

_CODES: Final = (COST_CODE,)
_encode: Final = msgpack.Encoder().encode


def expected_costs(cost: CostSettings) -> Callable[[float, float], Costs]:
    """The costs of the three actions, as a function of the score and the amount.

    The score is taken as the probability of fraud: costs are only as good as the score is calibrated.

    References
    ----------
    Elkan: The Foundations of Cost-Sensitive Learning, IJCAI 2001.
    Bahnsen, Aouada, Ottersten: Example-Dependent Cost-Sensitive Decision Trees, 2015 (costs by amount).
    """
    loss_share, loss_fixed = cost.fraud_loss_share, cost.fraud_loss_fixed
    wrong_share, wrong_fixed = cost.wrong_block_share, cost.wrong_block_cost
    review, missed = cost.review_cost, 1.0 - cost.review_catch_share

    def costs(score: float, amount: float) -> Costs:
        approve = score * (loss_share * amount + loss_fixed)
        return approve, review + missed * approve, (1.0 - score) * (wrong_share * amount + wrong_fixed)

    return costs


def cheapest(costs: Costs) -> Action:
    """The action with the least cost; of equal ones the one that disturbs the customer least."""
    approve, review, block = costs
    if approve <= review and approve <= block:
        return "approve"
    return "review" if review <= block else "block"


def by_cost(cost: CostSettings) -> Decider:
    """Decide for the least expected cost."""
    costs_of = expected_costs(cost)

    def decide(
        payment: Payment, _values: tuple[float, ...], score: float, _time_ms: int, _overdue: bool
    ) -> Verdict:
        costs = costs_of(score, payment.amount)
        approve, review, block = costs
        action = cheapest(costs)
        trace = _encode({"path": "cost", "costs": {"approve": approve, "review": review, "block": block}})
        return Verdict(action, "cost", "cost", () if action == "approve" else _CODES, None, trace)

    return decide
