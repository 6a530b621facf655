"""The action with the least expected cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, TypeAlias

from msgspec import msgpack

from ...config.policy import COST_CODE, Action, CostSettings
from .verdict import Decider, Verdict

__all__ = ["Costs", "by_cost", "cheapest", "cost_trace_writer", "expected_costs"]

Costs: TypeAlias = tuple[float, float, float]
"""Expected costs of approving, reviewing and blocking, in the flow's currency."""

_CODES: Final = (COST_CODE,)
_NUMBER: Final = b"\xcb"  # what comes before the eight bytes of a number in msgpack


def expected_costs(cost: CostSettings) -> Callable[[float, float], Costs]:
    """Return the costs of the three actions, as a function of the score and the amount.

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
    """Return the action with the least cost; of equal ones the one that disturbs the customer least."""
    approve, review, block = costs
    if approve <= review and approve <= block:
        return "approve"
    return "review" if review <= block else "block"


def cost_trace_writer(actions: Sequence[str]) -> tuple[Callable[..., bytes], tuple[bytes, ...]]:
    """Return what lays costs into a trace encoded before, as encoding it each time is slow.

    It takes for each action the bytes that come before its cost, which are returned beside it, and the cost.
    """
    costs = dict.fromkeys(actions, 0.0)
    # Encoded once with zeros, which mark where the numbers go; each decision then packs its doubles.
    start, *others = msgpack.encode({"path": "cost", "costs": costs}).split(_NUMBER + bytes(8))
    parts = tuple(part + _NUMBER for part in (start, *others[:-1]))
    return Struct(">" + "".join(f"{len(part)}sd" for part in parts)).pack, parts


def by_cost(cost: CostSettings) -> Decider:
    """Decide for the least expected cost."""
    costs_of = expected_costs(cost)
    pack, (first, second, third) = cost_trace_writer(("approve", "review", "block"))

    def decide(
        payment: Any, _values: Sequence[float], score: float, _time_ms: int, _overdue: bool
    ) -> Verdict:
        costs = costs_of(score, payment.amount)
        approve, review, block = costs
        action, trace = cheapest(costs), pack(first, approve, second, review, third, block)
        return Verdict(action, "cost", "cost", () if action == "approve" else _CODES, None, trace)

    return decide
