"""Limits by a ladder of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ...config.decision_policy import RAISE_CODE
from .verdict import Decider, Verdict, trace_of, traced

__all__ = ["LimitDecider", "by_ladder", "with_limits"]

LimitDecider: TypeAlias = Callable[..., Verdict]
"""A `Decider` that takes the last limit of the same entity behind, None where there was none."""


def by_ladder(
    rungs: Sequence[tuple[float, float]], raise_at_most: float | None, actions: Sequence[str]
) -> Decider:
    """Decide by the first rung whose bound a score doesn't exceed.

    It is given a score with the last limit of the same entity. A lower limit holds at once; a higher one is
    reached by raises of the factor. After a limit of 0, the smallest of the ladder can be reached.

    Parameters
    ----------
    rungs
        Bounds, increasing, with limits that don't rise; the last has a limit for every score.
    raise_at_most
        The factor; None for any.
    actions
        The first goes with a limit above 0, the last with 0.
    """
    smallest = _smallest(rungs)
    # Made once: but for limited raises, nothing in a verdict depends on the event.
    verdicts = [(bound, _rung(bound, limit, actions)) for bound, limit in rungs]
    highest = verdicts[-1][1]

    def decide(
        _event: Any,
        _values: Sequence[float],
        scored: tuple[float, float | None],
        _time_ms: int,
        _overdue: bool,
    ) -> Verdict:
        score, last = scored
        verdict = next((verdict for bound, verdict in verdicts if score <= bound), highest)
        if raise_at_most is None or last is None:
            return verdict
        # No factor leads away from 0: who was once refused begins at the bottom again.
        most = last * raise_at_most if last > 0.0 else smallest
        limit = verdict.limit or 0.0
        if limit <= most:
            return verdict
        trace = traced(verdict, raised_from=last, raised_to=most)
        return Verdict(verdict.action, "ladder", "ladder", (RAISE_CODE,), None, trace, most)

    return decide


def _smallest(rungs: Sequence[tuple[float, float]]) -> float:
    return min((limit for _, limit in rungs if limit > 0.0), default=0.0)


def _rung(bound: float, limit: float, actions: Sequence[str]) -> Verdict:
    action = actions[0] if limit > 0.0 else actions[-1]
    return Verdict(action, "ladder", "ladder", (), None, trace_of("ladder", bound=bound, limit=limit), limit)


def with_limits(
    rungs: Sequence[tuple[float, float]], given: Mapping[str, float], actions: Sequence[str], then: Decider
) -> LimitDecider:
    """Give each verdict a limit.

    The last action has the limit 0. Where another path than the ladder decided, the limit is the one that is
    declared there, else the last one. Where that isn't above 0, the first action has the ladder's smallest,
    any other 0.

    Parameters
    ----------
    rungs
        Of the ladder.
    given
        Limits that are declared for a path, by `Verdict.counter`.
    actions
        In their order.
    then
        Who decides, given a score with the last limit.
    """
    smallest, first, refusing = _smallest(rungs), actions[0], actions[-1]

    def decide(
        event: Any,
        values: Sequence[float],
        score: float,
        time_ms: int,
        overdue: bool,
        last_limit: float | None = None,
    ) -> Verdict:
        verdict = then(event, values, (score, last_limit), time_ms, overdue)
        if verdict.limit is not None:
            return verdict
        # What decided knows nothing of limits: it must not take one away, nor give more than there was.
        limit = 0.0
        if verdict.action != refusing:
            limit = given.get(verdict.counter) or last_limit or (smallest if verdict.action == first else 0.0)
        trace = traced(verdict, limit=limit)
        return Verdict(verdict.action, verdict.path, verdict.counter, verdict.codes, None, trace, limit)

    return decide
