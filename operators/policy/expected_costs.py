"""The declared action with the least expected cost."""

from __future__ import annotations

from collections.abc import Sequence

from ...config.decision_policy import ActionCost, DecisionCost
from ...config.policy import COST_CODE
from .compiled import function_of
from .cost import cost_trace_writer
from .expression import Names, number_source
from .verdict import Decider, Verdict

__all__ = ["by_expected_cost", "expected_cost"]


def expected_cost(cost: ActionCost, score: float, value: float) -> float:
    """Return what an action is expected to cost.

    The score is taken as the probability of 1: costs are only as good as the score is calibrated.

    Parameters
    ----------
    cost
        Of the action.
    score
        0 to 1.
    value
        What shares are of.

    References
    ----------
    Elkan: The Foundations of Cost-Sensitive Learning, IJCAI 2001.
    Bahnsen, Aouada, Ottersten: Example-Dependent Cost-Sensitive Decision Trees, 2015 (costs by amount).
    """
    if_1 = cost.fixed_if_1 + cost.share_if_1 * value
    if_0 = cost.fixed_if_0 + cost.share_if_0 * value
    return cost.fixed + cost.share * value + score * if_1 + (1.0 - score) * if_0


def by_expected_cost(
    cost: DecisionCost, actions: Sequence[str], features: Sequence[str], names: Names
) -> Decider:
    """Decide for the least expected cost; of equal ones for the first action.

    Parameters
    ----------
    cost
        Of the actions that can be chosen.
    actions
        All of the decision, in their order.
    features, names
        Numbers that the costs can depend on.

    Raises
    ------
    ValueError
        If they depend on another.
    """
    # Written out as arithmetic of a few lines, as a loop over the actions takes several times as long.
    chosen = [name for name in actions if name in cost.actions]
    pack, parts = cost_trace_writer(chosen)
    scope = {
        "verdict": Verdict,
        "pack": pack,
        "actions": chosen,
        "codes": [() if name == actions[0] else (COST_CODE,) for name in chosen],
        **{f"b{place}": part for place, part in enumerate(parts)},
    }
    lines = ["x = 0.0" if cost.of is None else f"x = {number_source(cost.of, features, names)}"]
    lines += [f"if x != x: x = {cost.missing_as!r}", "n = 1.0 - q"]
    lines += [f"c{place} = {_source(cost.actions[name])}" for place, name in enumerate(chosen)]
    # Less, and not at most, leaves a tie to the earlier action.
    lines += ["i = 0", "least = c0"]
    for place in range(1, len(chosen)):
        lines += [f"if c{place} < least:", f"    i = {place}", f"    least = c{place}"]
    told = ", ".join(f"b{place}, c{place}" for place in range(len(chosen)))
    lines += [f"return verdict(actions[i], 'cost', 'cost', codes[i], None, pack({told}))"]
    return function_of("decide", "p, v, q, _time_ms, _overdue", lines, scope)


def _source(cost: ActionCost) -> str:
    """Write `expected_cost` without what is 0."""
    # Terms of 0 aren't written: most costs have one or two of the six. Numbers are written by `repr`, which
    # reads back as the same double, and in the order in which `expected_cost` adds them.
    terms = [
        _sum(cost.fixed, cost.share),
        *(
            f"{factor} * ({inner})"
            for factor, inner in (
                ("q", _sum(cost.fixed_if_1, cost.share_if_1)),
                ("n", _sum(cost.fixed_if_0, cost.share_if_0)),
            )
            if inner
        ),
    ]
    return " + ".join(term for term in terms if term) or "0.0"


def _sum(fixed: float, share: float) -> str:
    return " + ".join([*([repr(fixed)] if fixed else []), *([f"{share!r} * x"] if share else [])])
