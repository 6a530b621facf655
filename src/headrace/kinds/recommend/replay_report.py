"""What another configuration would have changed in slates: how many, and how well they foresaw what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace import __version__
from headrace.config.canonical import digest
from headrace.config.recommend_flow import RecommendSettings
from headrace.journal.provenance import numeric_platform
from headrace.kinds.recommend.replay_slates import (
    FOLLOWED,
    GAINED,
    LOST,
    FollowUps,
    SlateExample,
    Slates,
    SlatesReplayed,
)
from headrace.operators.recommend.slates import reciprocal
from headrace.replay.intervals import Compared, compared, drawn
from headrace.replay.options import Options, warm_up_of
from headrace.replay.past import Recorded

__all__ = ["LIST_MEASURES", "Changes", "SlatePeriod", "SlateReport", "slate_report_of"]

LIST_MEASURES: Final = (
    "hit_rate",
    "mrr",
    "ndcg",
    "new_hit_rate",
    "new_mrr",
    "new_ndcg",
    "carts_on_list",
    "orders_on_list",
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class SlatePeriod(NamedTuple):
    """Which slates count; times are milliseconds since the epoch.

    Attributes
    ----------
    first_ms, last_ms
        Event times of the first slate and of the last one.
    warm_up_days
        Whole days (UTC) at the beginning that don't count.
    from_ms
        Slates from here on are compared.
    """

    first_ms: int
    last_ms: int
    warm_up_days: int
    from_ms: int


class Changes(NamedTuple):
    """How much slates differ.

    Attributes
    ----------
    changed, other_items, other_first
        Slates whose order or items differ; whose items do; whose first item does.
    overlap, similarity
        Means over all compared slates: share of the longer one that is on both, and rank-biased overlap; None
        without any.
    """

    changed: int
    other_items: int
    other_first: int
    overlap: float | None
    similarity: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateReport:
    """Everything that is told of a replay of slates under another configuration.

    Attributes
    ----------
    version, platform
        Of this program.
    recorded
        Configurations of the past, in order.
    settings_digest, model, learn
        Of the other configuration; whether its ranker learned.
    period
        Which slates count.
    slates, compared, evaluated, evaluated_new, sessions
        Slates that both made; of these behind the warm-up; of these with a next click in time; of these with
        one on an item that was new to its session; sessions of the evaluated ones.
    followed
        Items put into the cart and ordered after compared slates, by kind.
    changes
        Among the compared ones.
    quality
        Measures on the evaluated ones, with intervals.
    examples
        The largest gains and losses: `gained`, `lost`.
    replayed
        Counts of what is not comparable, and the rest of what was counted.
    """

    version: str
    platform: str
    recorded: Sequence[Recorded]
    settings_digest: str
    model: str
    learn: bool
    period: SlatePeriod
    slates: int
    compared: int
    evaluated: int
    evaluated_new: int
    sessions: int
    followed: Mapping[str, int]
    changes: Changes
    quality: Mapping[str, Compared]
    examples: Mapping[str, Sequence[SlateExample]]
    replayed: SlatesReplayed


def slate_report_of(
    replayed: SlatesReplayed,
    recorded: Sequence[Recorded],
    settings: RecommendSettings,
    options: Options,
    *,
    learn: bool = True,
    progress: Callable[[int], None] = lambda _done: None,
) -> SlateReport:
    """Evaluate what came of making slates again.

    Parameters
    ----------
    replayed
        What came of it.
    recorded
        The configurations of the past.
    settings
        The other configuration.
    options
        What is evaluated, and how; costs and a horizon are not supported here.
    learn
        Whether the other ranker learned.
    progress
        Told of each draw of the bootstrap.
    """
    slates, period = replayed.slates, _period(replayed.slates, options)
    compared_ones = slates.time_ms >= period.from_ms
    evaluated = compared_ones & (slates.old_rank >= 0)
    follow_ups = _of(replayed.follow_ups, replayed.follow_ups.time_ms >= period.from_ms)
    figures = _Figures(_of(slates, evaluated), follow_ups)
    found = drawn(figures.of, figures.sessions, resamples=options.resamples, progress=progress)
    return SlateReport(
        version=__version__,
        platform=numeric_platform(),
        recorded=recorded,
        settings_digest=digest(settings),
        model=replayed.model,
        learn=learn,
        period=period,
        slates=int(slates.time_ms.size),
        compared=int(compared_ones.sum()),
        evaluated=int(evaluated.sum()),
        evaluated_new=int(slates.fresh[evaluated].sum()),
        sessions=int(np.unique(slates.session[evaluated]).size),
        followed={name: int((follow_ups.kind == number).sum()) for number, name in enumerate(FOLLOWED)},
        changes=_changes(_of(slates, compared_ones)),
        quality=compared(LIST_MEASURES, found, with_intervals=True),
        examples={by: _examples(replayed, period, by, options.examples_max) for by in (GAINED, LOST)},
        replayed=replayed,
    )


def _of(columns: Any, chosen: Bools) -> Any:
    """Return the chosen rows of all columns."""
    return type(columns)(*(column[chosen] for column in columns))


def _period(slates: Slates, options: Options) -> SlatePeriod:
    time_ms = slates.time_ms
    first, last = (int(time_ms.min()), int(time_ms.max())) if time_ms.size else (0, 0)
    warm_up, from_ms = warm_up_of(first, last, options.warm_up_days)
    return SlatePeriod(first, last, warm_up, from_ms)


def _changes(slates: Slates) -> Changes:
    some = bool(slates.time_ms.size)
    return Changes(
        int(slates.changed.sum()),
        int(slates.other_items.sum()),
        int(slates.other_first.sum()),
        float(slates.overlap.mean()) if some else None,
        float(slates.similarity.mean()) if some else None,
    )


def _examples(
    replayed: SlatesReplayed, period: SlatePeriod, by: str, examples_max: int
) -> Sequence[SlateExample]:
    """Return the largest ones behind the warm-up."""
    found = chain(*(of.get(by, ()) for of in replayed.examples.values()))
    kept = [each for each in found if each.event_time >= period.from_ms]
    return sorted(kept, key=lambda each: -_moved(each))[:examples_max]


def _moved(example: SlateExample) -> float:
    return abs(reciprocal(example.new_rank) - reciprocal(example.old_rank))


class _Figures:
    """The measures of both configurations, for any weighting of the sessions."""

    def __init__(self, slates: Slates, follow_ups: FollowUps) -> None:
        both = np.concatenate([slates.session, follow_ups.session])
        numbers, cluster = np.unique(both, return_inverse=True)
        self.sessions = int(numbers.size)
        of_slates, of_follow_ups = cluster[: slates.session.size], cluster[slates.session.size :]
        fresh = slates.fresh == 1
        kinds = [follow_ups.kind == number for number in range(len(FOLLOWED))]
        self._counts = self._summed(of_slates, [np.ones(fresh.size), fresh])
        self._follow_counts = self._summed(of_follow_ups, kinds)
        self._sides = []
        for rank, on_slate in ((slates.old_rank, follow_ups.on_old), (slates.new_rank, follow_ups.on_new)):
            gains = _gains(rank)
            evaluated = self._summed(of_slates, [*gains, *(gain * fresh for gain in gains)])
            self._sides.append((evaluated, self._summed(of_follow_ups, [kind * on_slate for kind in kinds])))

    def _summed(self, cluster: Any, columns: Sequence[Any]) -> Floats:
        """Return sums of each session, shape (columns, sessions)."""
        return np.stack([np.bincount(cluster, weights=each, minlength=self.sessions) for each in columns])

    def of(self, weights: Floats) -> Floats:
        """Measures in their order, first all of the old, then all of the new; NaN where not defined."""
        evaluated, fresh = (self._counts @ weights).tolist()
        wholes = np.array([evaluated] * 3 + [fresh] * 3 + (self._follow_counts @ weights).tolist())
        parts = [np.concatenate([slates @ weights, followed @ weights]) for slates, followed in self._sides]
        undefined = np.full(wholes.size, np.nan)
        return np.concatenate(
            [np.divide(part, wholes, out=undefined.copy(), where=wholes > 0) for part in parts]
        )


def _gains(rank: Any) -> list[Floats]:
    """Hit, reciprocal rank and discounted gain of each next click."""
    hit = rank > 0
    place = np.where(hit, rank, 1).astype(np.float64)
    return [hit.astype(np.float64), hit / place, hit / np.log2(1.0 + place)]
