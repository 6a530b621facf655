"""The quantile of an estimate that is promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .verdict import Decider, Verdict, traced

__all__ = ["with_promise"]


def with_promise(
    promise: float | None, given: Mapping[str, float], levels: Sequence[float], then: Decider
) -> Decider:
    """Put what is promised into each verdict.

    Parameters
    ----------
    promise
        The level that is promised; None for none.
    given
        Levels that are declared for a path instead, by `Verdict.counter`.
    levels
        Of the quantiles, in their order.
    then
        Who decides.
    """
    # Looked up here: a level that isn't estimated fails when a policy is put together, not at some event.
    places = {counter: levels.index(level) for counter, level in given.items()}
    usual = None if promise is None else levels.index(promise)

    def decide(
        event: Any, values: Sequence[float], quantiles: Sequence[float], time_ms: int, overdue: bool
    ) -> Verdict:
        verdict = then(event, values, quantiles, time_ms, overdue)
        place = places.get(verdict.counter, usual)
        if place is None:
            return verdict
        # What is usual stands in the configuration; only another level needs to be told.
        trace = verdict.trace if place == usual else traced(verdict, promised=levels[place])
        promised = quantiles[place]
        return Verdict(
            verdict.action, verdict.path, verdict.counter, verdict.codes, None, trace, None, promised
        )

    return decide
