"""The action with the least expected cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, TypeAlias

from msgspec import msgpack

from ...config.policy import COST_CODE, Action, CostSettings
from ..events.contract import Payment
from .verdict import Decider, Verdict

__all__ = ["Costs", "by_cost", "cheapest", "expected_costs"]

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


def _trace_writer() -> Callable[[float, float, float], bytes]:
    """Return a function that lays costs into a trace encoded before, as encoding it each time is slow."""
    costs = {"approve": 0.0, "review": 0.0, "block": 0.0}
    # Encoded once with zeros, which mark where the numbers go; each decision then packs three doubles.
    start, *others = msgpack.encode({"path": "cost", "costs": costs}).split(_NUMBER + bytes(8))
    parts = [part + _NUMBER for part in (start, *others[:-1])]
    first, second, third = parts
    pack = Struct(">" + "".join(f"{len(part)}sd" for part in parts)).pack
    return lambda approve, review, block: pack(first, approve, second, review, third, block)


def by_cost(cost: CostSettings) -> Decider:
    """Decide for the least expected cost."""
    costs_of, trace_of_costs = expected_costs(cost), _trace_writer()

    def decide(
        payment: Payment, _values: Sequence[float], score: float, _time_ms: int, _overdue: bool
    ) -> Verdict:
        costs = costs_of(score, payment.amount)
        action, trace = cheapest(costs), trace_of_costs(*costs)
        return Verdict(action, "cost", "cost", () if action == "approve" else _CODES, None, trace)

    return decide
