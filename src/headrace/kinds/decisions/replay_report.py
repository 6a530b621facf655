"""The report of a replay of declared decisions: what changed, and which of both would have been better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace import __version__
from headrace.config.canonical import digest
from headrace.config.decision_flow import DecisionFlowSettings
from headrace.journal.provenance import numeric_platform
from headrace.kinds.decisions.replay_again import DecisionPairs, DecisionsReplayed
from headrace.operators.decisions.estimate_window import estimate_quality
from headrace.operators.decisions.prequential import OutcomeWindow
from headrace.replay.intervals import Compared, Interval
from headrace.replay.options import Options, warm_up_of
from headrace.replay.past import Recorded

__all__ = ["DecisionReport", "Period", "ReplayReport", "report_of"]

_SCORE_FIGURES: Final = ("auc", "average_precision", "log_loss", "calibration_error", "mean_score")
_ESTIMATE_FIGURES: Final = ("pinball", "coverage", "width", "absolute_error")
Floats = NDArray[np.float64]


class Period(NamedTuple):
    """What is evaluated.

    Attributes
    ----------
    first_ms, last_ms
        Event times of the first and the last decision that both made.
    from_ms
        From which on they are evaluated.
    warm_up_days
        How many days are left out before.
    """

    first_ms: int
    last_ms: int
    from_ms: int
    warm_up_days: int


class DecisionReport(NamedTuple):
    """Of one decision.

    Attributes
    ----------
    compared, changed
        Pairs, and how many have other numbers.
    actions
        How often an action of then became another one: then, now, how often.
    evaluated
        Pairs that were told of, and don't belong to the warm-up.
    quality
        Figures of both sides, by name.
    """

    compared: int
    changed: int
    actions: Sequence[tuple[str, str, int]]
    evaluated: int
    quality: Mapping[str, Compared]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """A replay of declared decisions under another configuration.

    Attributes
    ----------
    replayed
        What came of it.
    decisions
        By name.
    period
        What is evaluated.
    recorded
        The configurations of then.
    settings_digest, model, learn
        Of the new configuration.
    version, platform
        Of the program that decided again.
    """

    replayed: DecisionsReplayed
    decisions: Mapping[str, DecisionReport]
    period: Period
    recorded: Sequence[Recorded]
    settings_digest: str
    model: str
    learn: bool
    version: str
    platform: str


def report_of(
    replayed: DecisionsReplayed,
    recorded: Sequence[Recorded],
    settings: DecisionFlowSettings,
    options: Options,
    *,
    learn: bool,
) -> ReplayReport:
    """Evaluate what a replay has gathered."""
    warm_up, from_ms = warm_up_of(replayed.first_ms, replayed.last_ms, options.warm_up_days)
    period = Period(replayed.first_ms, replayed.last_ms, from_ms, warm_up)
    return ReplayReport(
        replayed=replayed,
        decisions={name: _decision(pairs, from_ms) for name, pairs in replayed.pairs.items()},
        period=period,
        recorded=recorded,
        settings_digest=digest(settings),
        model=replayed.model,
        learn=learn,
        version=__version__,
        platform=numeric_platform(),
    )


def _decision(pairs: DecisionPairs, from_ms: int) -> DecisionReport:
    width = max(len(pairs.levels), 1)
    counts = np.frombuffer(pairs.time_ms, dtype=np.int64) >= from_ms
    old, new = (
        np.frombuffer(side, dtype=np.float64).reshape(-1, width)[counts] for side in (pairs.old, pairs.new)
    )
    values = np.frombuffer(pairs.values, dtype=np.float64)[counts]
    names = _ESTIMATE_FIGURES if pairs.levels else _SCORE_FIGURES
    before, after = (_figures(pairs.levels, side, values) for side in (old, new))
    changed = [
        (*actions, count) for actions, count in pairs.actions.most_common() if actions[0] != actions[1]
    ]
    return DecisionReport(
        compared=pairs.compared,
        changed=pairs.changed,
        actions=changed,
        evaluated=len(values),
        quality={name: _compared(before.get(name), after.get(name)) for name in names},
    )


def _figures(levels: Sequence[float], served: Floats, values: Floats) -> dict[str, Any]:
    if not len(values):
        return {}
    if levels:
        found = estimate_quality(levels, served, values)
        return {} if found is None else found._asdict()
    window = OutcomeWindow(len(values))
    window.extend([(float(score), int(value)) for score, value in zip(served[:, 0], values, strict=True)])
    quality = window.quality()
    return {} if quality is None else quality._asdict()


def _compared(old: float | None, new: float | None) -> Compared:
    """Return both sides, without intervals."""
    difference = None if old is None or new is None else new - old
    return Compared(*(Interval(each, None, None) for each in (old, new, difference)))
