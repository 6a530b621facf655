"""What another configuration would have changed: decisions, quality and cost, with what can't be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import Any, Final, NamedTuple

import numpy as np

from headrace import __version__
from headrace.config.canonical import digest
from headrace.config.fraud_flow import FraudSettings, of_fraud
from headrace.config.policy import CostSettings
from headrace.journal.provenance import numeric_platform
from headrace.kinds.fraud.replay_changes import Replayed
from headrace.kinds.fraud.replay_quality import Evaluated, charges, compare, measure, recall_curve
from headrace.kinds.fraud.replay_rows import UNKNOWN, Bools, Example, Payments
from headrace.replay.intervals import Compared
from headrace.replay.options import Options, warm_up_of
from headrace.replay.past import Recorded
from headrace.shard.base import DAY_MS

__all__ = [
    "Costs",
    "Matrix",
    "Period",
    "Report",
    "Sides",
    "Unknown",
    "Week",
    "report_of",
]

_WEEK_DAYS: Final = 7
_BLOCK: Final = 2
_REVIEW: Final = 1
_DELAY_SHARE: Final = 0.95


class Period(NamedTuple):
    """Which payments count; times are milliseconds since the epoch.

    Attributes
    ----------
    first_ms, last_ms
        Event times of the first payment and of the last one.
    warm_up_days
        Whole days (UTC) at the beginning that don't count.
    from_ms
        Payments from here on are compared.
    horizon_days, horizon_from
        So old a payment must be to be evaluated; and whether that was `given`, is `legitimate_after_days`, or
        comes from the `delays` of the outcomes: 95 of 100 had come by then.
    until_ms
        Payments up to here are evaluated.
    """

    first_ms: int
    last_ms: int
    warm_up_days: int
    from_ms: int
    horizon_days: int
    horizon_from: str
    until_ms: int


class Sides(NamedTuple):
    """A number for the old configuration and for the new one."""

    old: float
    new: float


class Matrix(NamedTuple):
    """Decisions by old action (rows) and new one (columns): approve, review, block.

    Attributes
    ----------
    payments, amounts
        How many, and their amounts, shape (3, 3).
    changed, changed_amount
        Beside the diagonal.
    """

    payments: list[list[int]]
    amounts: list[list[float]]
    changed: int
    changed_amount: float


class Unknown(NamedTuple):
    """Payments of the evaluated period without an outcome.

    Attributes
    ----------
    stopped, stopped_amount
        Blocked then, so that nobody knows.
    silent, silent_amount
        Let through, but nothing was heard of them.
    assumed_legitimate
        Let through, nothing was heard of them, and by `legitimate_after_days` they count as legitimate: these
        are evaluated.
    not_due
        Younger than the horizon, and how many of them have no outcome yet: none of these is evaluated.
    not_due_without
    """

    stopped: int
    stopped_amount: float
    silent: int
    silent_amount: float
    assumed_legitimate: int
    not_due: int
    not_due_without: int


class Costs(NamedTuple):
    """What right and wrong actions cost, and where the numbers are from."""

    settings: CostSettings
    origin: str


class Week(NamedTuple):
    """Payments evaluated in a week of event time, from a day on, with what either side cost and stopped."""

    from_ms: int
    payments: int
    frauds: int
    cost: Sides
    flagged: Sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is told of a replay under another configuration.

    Attributes
    ----------
    version, platform
        Of this program.
    recorded
        Configurations of the past, in order.
    settings_digest, model
        Of the other configuration.
    currency
        Of the flow.
    period
        Which payments count.
    compared, evaluated, frauds
        Payments that both decided, behind the warm-up; of these with known outcome and old enough; frauds
        among these.
    matrix
        Of the compared ones.
    costs
        What `cost` is counted with.
    quality
        Measures on the evaluated ones, with intervals.
    unknown
        Payments whose outcome isn't known.
    if_legitimate, if_fraud
        Measures when all of these, stopped and silent, were legitimate; and frauds.
    by_amount, by_score
        Examples.
    curves
        Points of recall and precision of the old scores and of the new ones.
    weeks
        The evaluated payments week by week.
    old_shadow, new_shadow
        Whether a configuration only watched; its actions are what it would have done.
    learned_beyond
        Outcomes of payments that the new configuration blocks and the old one let through: the new model was
        taught by them, in production there would have been none.
    reviewed_by_one
        Payments that exactly one configuration gives to a person.
    replayed
        Counts of what is not comparable, and the rest of what was counted.
    """

    version: str
    platform: str
    recorded: Sequence[Recorded]
    settings_digest: str
    model: str
    currency: str
    period: Period
    compared: int
    evaluated: int
    frauds: int
    matrix: Matrix
    costs: Costs
    quality: Mapping[str, Compared]
    unknown: Unknown
    if_legitimate: Mapping[str, Compared]
    if_fraud: Mapping[str, Compared]
    by_amount: Sequence[Example]
    by_score: Sequence[Example]
    curves: Mapping[str, Sequence[tuple[float, float]]]
    weeks: Sequence[Week]
    old_shadow: bool
    new_shadow: bool
    learned_beyond: int
    reviewed_by_one: int
    replayed: Replayed

    @property
    def payments(self) -> int:
        """Payments that both decided."""
        return int(self.replayed.payments.time_ms.size)


def report_of(
    replayed: Replayed,
    recorded: Sequence[Recorded],
    settings: FraudSettings,
    options: Options,
    *,
    progress: Callable[[int], None] = lambda _done: None,
) -> Report:
    """Evaluate what came of deciding again.

    Parameters
    ----------
    replayed
        What came of it.
    recorded
        The configurations of the past.
    settings
        The other configuration.
    options
        What is evaluated, and how.
    progress
        Told of each draw of the bootstrap.
    """
    olds = [of_fraud(each.settings) for each in recorded]
    last, payments = olds[-1], replayed.payments
    period, costs = _period(replayed, last, settings, options), _costs(last, settings, options.cost)
    compared = (payments.time_ms >= period.from_ms) & (payments.time_ms <= replayed.now_ms)
    # A payment whose outcome may still come is left out, or the newest weeks would look like the best ones.
    due = compared & (payments.time_ms <= period.until_ms)
    label, assumed = _assumed(payments, due, last, settings)
    evaluated = due & (label != UNKNOWN)
    known = _evaluated(payments, label, evaluated)
    reviewed_by_one = (payments.old_action == _REVIEW) != (payments.new_action == _REVIEW)
    by_amount, by_score = _examples(replayed, period, options.examples_max)
    return Report(
        version=__version__,
        platform=numeric_platform(),
        recorded=recorded,
        settings_digest=digest(settings),
        model=settings.model.name,
        currency=settings.flow.currency,
        period=period,
        compared=int(compared.sum()),
        evaluated=int(evaluated.sum()),
        frauds=int(known.fraud.sum()),
        matrix=_matrix(payments, compared),
        costs=costs,
        quality=compare(known, costs.settings, resamples=options.resamples, progress=progress),
        unknown=_unknown(payments, label, compared, due, assumed),
        if_legitimate=_if(payments, label, due, 0, costs.settings),
        if_fraud=_if(payments, label, due, 1, costs.settings),
        by_amount=by_amount,
        by_score=by_score,
        weeks=_weeks(payments, evaluated, known, period, costs.settings),
        curves=_curves(known),
        old_shadow=any(each.policy.shadow for each in olds),
        new_shadow=settings.policy.shadow,
        learned_beyond=_learned_beyond(payments, settings),
        reviewed_by_one=int((compared & reviewed_by_one).sum()),
        replayed=replayed,
    )


# ---------------------------------------------------------------- which payments count


def _period(replayed: Replayed, last: FraudSettings, settings: FraudSettings, options: Options) -> Period:
    time_ms = replayed.payments.time_ms
    time_ms = time_ms[time_ms <= replayed.now_ms]
    first, end = (int(time_ms.min()), int(time_ms.max())) if time_ms.size else (0, 0)
    warm_up, from_ms = warm_up_of(first, end, options.warm_up_days)
    horizon, horizon_from = _horizon(replayed, last, settings, options)
    return Period(
        first_ms=first,
        last_ms=end,
        warm_up_days=warm_up,
        from_ms=from_ms,
        horizon_days=horizon,
        horizon_from=horizon_from,
        until_ms=replayed.now_ms - horizon * DAY_MS,
    )


def _horizon(
    replayed: Replayed, last: FraudSettings, settings: FraudSettings, options: Options
) -> tuple[int, str]:
    if options.horizon_days is not None:
        return options.horizon_days, "given"
    after = _legitimate_after(last, settings)
    if after is not None:
        return ceil(after), "legitimate_after_days"
    delays = np.sort(replayed.delays_ms)
    if not delays.size:
        return 0, "delays"
    # The 95th percentile, not the longest: one outcome that came after months would leave no payment to
    # evaluate.
    longest = int(delays[min(delays.size - 1, int(_DELAY_SHARE * delays.size))])
    return max(1, -(-longest // DAY_MS)), "delays"


def _legitimate_after(last: FraudSettings, settings: FraudSettings) -> float | None:
    """After how many days silence means legitimate: as the new configuration says, else as the old one."""
    new, old = settings.outcomes.legitimate_after_days, last.outcomes.legitimate_after_days
    return old if new is None else new


def _assumed(payments: Payments, due: Bools, last: FraudSettings, settings: FraudSettings) -> tuple[Any, int]:
    """Labels, with silence taken for legitimate where a configuration says so; and how many these are."""
    if _legitimate_after(last, settings) is None:
        return payments.label, 0
    assumed = due & (payments.label == UNKNOWN) & ~payments.stopped
    return np.where(assumed, 0, payments.label), int(assumed.sum())


def _evaluated(payments: Payments, label: Any, of: Bools) -> Evaluated:
    return Evaluated(
        payments.customer[of],
        label[of] == 1,
        payments.amount[of],
        payments.old_action[of],
        payments.new_action[of],
        payments.old_score[of],
        payments.new_score[of],
    )


# ---------------------------------------------------------------- parts


def _unknown(payments: Payments, label: Any, compared: Bools, due: Bools, assumed: int) -> Unknown:
    unknown = label == UNKNOWN
    stopped, silent = due & unknown & payments.stopped, due & unknown & ~payments.stopped
    not_due = compared & ~due
    return Unknown(
        stopped=int(stopped.sum()),
        stopped_amount=float(payments.amount[stopped].sum()),
        silent=int(silent.sum()),
        silent_amount=float(payments.amount[silent].sum()),
        assumed_legitimate=assumed,
        not_due=int(not_due.sum()),
        not_due_without=int((not_due & unknown).sum()),
    )


def _curves(known: Evaluated) -> dict[str, list[tuple[float, float]]]:
    return {
        "old": recall_curve(known.fraud, known.old_score),
        "new": recall_curve(known.fraud, known.new_score),
    }


def _matrix(payments: Payments, of: Bools) -> Matrix:
    cell = 3 * payments.old_action[of] + payments.new_action[of]
    counts = np.bincount(cell, minlength=9).reshape(3, 3)
    amounts = np.bincount(cell, weights=payments.amount[of], minlength=9).reshape(3, 3)
    return Matrix(
        counts.tolist(),
        amounts.astype(np.float64).tolist(),
        int(counts.sum() - np.trace(counts)),
        float(amounts.sum() - np.trace(amounts)),
    )


def _costs(last: FraudSettings, settings: FraudSettings, given: Mapping[str, float]) -> Costs:
    """Return the new configuration's costs, else the old one's, else the defaults.

    Given numbers go before.
    """
    sides = (("new", settings.policy.cost), ("old", last.policy.cost), ("default", CostSettings()))
    origin, cost = next((origin, cost) for origin, cost in sides if cost is not None)
    if given:
        origin = f"{origin}, and given: {', '.join(given)}"
    return Costs(CostSettings(**{**cost.model_dump(), **given}), origin)


def _if(payments: Payments, label: Any, due: Bools, unknown: int, cost: CostSettings) -> dict[str, Compared]:
    """Measures on all payments that are due, when those of unknown outcome have a label."""
    return measure(_evaluated(payments, np.where(label == UNKNOWN, unknown, label), due), cost)


def _learned_beyond(payments: Payments, settings: FraudSettings) -> int:
    if settings.outcomes.withhold_blocked or settings.policy.shadow:
        return 0
    blocked = (payments.new_action == _BLOCK) & ~payments.stopped
    return int((blocked & (payments.label != UNKNOWN)).sum())


def _examples(replayed: Replayed, period: Period, examples_max: int) -> tuple[list[Example], list[Example]]:
    """Return the largest changes behind the warm-up."""
    days = [of for day, of in replayed.examples.items() if day * DAY_MS >= period.from_ms]
    by_amount = sorted(chain(*(of["amount"] for of in days)), key=lambda each: -each.amount)
    moved = [each for each in chain(*(of["score"] for of in days)) if _score_change(each)]
    by_score = sorted(moved, key=lambda each: -_score_change(each))
    return by_amount[:examples_max], by_score[:examples_max]


def _score_change(example: Example) -> float:
    return abs(float(example.new["score"]) - float(example.old["score"]))


def _weeks(
    payments: Payments, evaluated: Bools, known: Evaluated, period: Period, cost: CostSettings
) -> list[Week]:
    if not known.fraud.size:
        return []
    week_ms = _WEEK_DAYS * DAY_MS
    week = (payments.time_ms[evaluated] - period.from_ms) // week_ms
    charged, every = charges(cost, known.amount, known.fraud), np.arange(known.fraud.size)

    def sums(column: Any) -> Any:
        return np.bincount(week, weights=column).tolist()

    sides = [
        (sums(charged[action, every]), sums(action > 0)) for action in (known.old_action, known.new_action)
    ]
    (old_cost, old_flagged), (new_cost, new_flagged) = sides
    count, frauds = np.bincount(week).tolist(), sums(known.fraud)
    return [
        Week(
            period.from_ms + number * week_ms,
            count[number],
            int(frauds[number]),
            Sides(old_cost[number], new_cost[number]),
            Sides(old_flagged[number], new_flagged[number]),
        )
        for number in range(len(count))
        if count[number]
    ]
