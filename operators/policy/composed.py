"""A declared decision's policy as one function, put together once from its settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...config.decision_policy import FALLBACK_CODE, DecisionPolicySettings, PolicyScope
from ...config.policy import DEADLINE_CODE, KILL_SWITCH_CODE
from .capacity import Capacity, days_in, with_capacity
from .expected_costs import by_expected_cost
from .expression import Names
from .ladder import by_ladder, with_limits
from .match import Match, compile_match, with_match
from .paths import always, fixed, with_deadline
from .promise import with_promise
from .thresholds import by_bounds
from .verdict import Decider, Verdict

__all__ = ["Composed", "composed"]


class Composed(NamedTuple):
    """A policy's functions.

    Attributes
    ----------
    plain
        What most events get.
    decide
        `DecisionPolicy.decide`.
    decide_failed
        The same without what the model says: event, features, time, whether overdue, and the last limit.
    """

    plain: Verdict
    decide: Callable[..., Verdict]
    decide_failed: Callable[[Any, Sequence[float], int, bool, float | None], Verdict]


def composed(
    settings: DecisionPolicySettings,
    scope: PolicyScope,
    contents: Mapping[str, Sequence[str]],
    capacities: Mapping[str, Capacity],
    *,
    killed: bool,
) -> Composed:
    """Put a policy together.

    Parameters
    ----------
    settings
        Of the policy.
    scope
        What it may speak of.
    contents
        Entries by the list's name.
    capacities
        By action.
    killed
        Whether the kill switch is on.

    Raises
    ------
    ValueError
        If a rule or a cost names what there isn't.
    """
    match = compile_match(settings.lists, settings.rules, contents, scope.features, _names(settings, scope))
    plain = Verdict(scope.actions[0], "model", "model")
    fallback = always(fixed(settings.fallback or scope.actions[0], "fallback", FALLBACK_CODE))
    # The second is asked where the model failed: a block list holds then, too.
    paths = [
        _path(settings, scope, match, last, killed) for last in (_by_model(settings, scope, plain), fallback)
    ]
    # Around everything, the kill switch included: whatever says an action, no more of it is done than can be.
    if capacities:
        paths = [with_capacity(capacities, path, days_in(settings.zone)) for path in paths]
    decide, failed = paths
    # Around capacities in their turn: an action that is taken instead needs a limit, too.
    if settings.ladder:
        decide, failed = (
            with_limits(settings.ladder, _given(settings, "limit"), scope.actions, path) for path in paths
        )
        return Composed(plain, decide, _without_score(failed))
    promised = _given(settings, "promise")
    if promised or settings.promise is not None:
        decide = with_promise(settings.promise, promised, scope.quantiles, decide)
    return Composed(plain, decide, _without(failed, _missing(scope)))


def _names(settings: DecisionPolicySettings, scope: PolicyScope) -> Names:
    """Return where what the model says stands."""
    if scope.kind == "score":
        # A ladder's deciders are given the score and the entity's last limit as a pair.
        return Names(scope.vocabulary, {"score": "q[0]" if settings.ladder else "q"})
    promised = "nan" if settings.promise is None else f"q[{scope.quantiles.index(settings.promise)}]"
    return Names(scope.vocabulary, {"promise": promised})


def _by_model(settings: DecisionPolicySettings, scope: PolicyScope, plain: Verdict) -> Decider:
    if settings.cost:
        return by_expected_cost(settings.cost, scope.actions, scope.features, Names(scope.vocabulary))
    if settings.ladder:
        return by_ladder(settings.ladder, settings.raise_at_most, scope.actions)
    bounds = settings.thresholds
    reached = [
        (bounds[name], Verdict(name, "model", "model")) for name in scope.actions[1:] if name in bounds
    ]
    return by_bounds(plain, reached)


def _path(
    settings: DecisionPolicySettings, scope: PolicyScope, match: Match | None, last: Decider, killed: bool
) -> Decider:
    """Put what goes before the model in front of it."""
    # In front of lists, rules and deadline alike: whoever pulls the switch must not have to know what else is
    # configured.
    if killed:
        return always(fixed(settings.kill_switch.action or scope.actions[0], "kill_switch", KILL_SWITCH_CODE))
    decide = last if match is None else with_match(match, last)
    # The deadline comes before lists and rules: what is late costs no look-ups any more.
    if settings.deadline is None:
        return decide
    return with_deadline(fixed(settings.deadline.action, "deadline", DEADLINE_CODE), decide)


def _given(settings: DecisionPolicySettings, key: str) -> dict[str, float]:
    """Return what lists and rules declare of a limit or promise, by `Verdict.counter`."""
    declared = {f"list.{name}": getattr(each, key) for name, each in settings.lists.items()}
    declared |= {f"rule.{name}": getattr(each, key) for name, each in settings.rules.items()}
    return {counter: value for counter, value in declared.items() if value is not None}


def _missing(scope: PolicyScope) -> Any:
    """Return what stands for a score or quantiles that there aren't."""
    return math.nan if scope.kind == "score" else (math.nan,) * len(scope.quantiles)


def _without(decide: Decider, missing: Any) -> Callable[..., Verdict]:
    return lambda event, values, time_ms, overdue, _last: decide(event, values, missing, time_ms, overdue)


def _without_score(decide: Callable[..., Verdict]) -> Callable[..., Verdict]:
    return lambda event, values, time_ms, overdue, last: decide(
        event, values, math.nan, time_ms, overdue, last
    )
