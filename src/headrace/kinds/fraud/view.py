"""How a run that decides on payments is shown: how good it is, what waits, what is left of reviews."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from headrace.config.fraud_flow import FraudSettings
from headrace.shard.kinds import View
from headrace.shard.machine import Machine

__all__ = ["VIEW"]

_REVIEW_DAYS_SHOWN: Final = 7
_NAMES_SHOWN_MAX: Final = 12
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


def _quality(quality: Mapping[str, Any] | None, by: str) -> str:
    if quality is None:
        return f"quality - (no {by} yet)"
    return f"average precision {quality['average_precision']:.3f}, AUC {quality['auc']:.3f} against {by}"


def _evaluated(quality: Mapping[str, Any] | None) -> str:
    if quality is None:
        return ""
    return f" ({quality['frauds']:,} frauds among the last {quality['payments']:,} evaluated)"


def _figures(progress: Any) -> Sequence[tuple[str, str]]:
    quality = progress.quality
    return (
        ("average precision", f"{quality['average_precision']:.3f}" if quality else "-"),
        ("AUC", f"{quality['auc']:.3f}" if quality else "-"),
    )


def _pending(progress: Any) -> tuple[str, str]:
    return "outcomes, pending", f"{progress.outcomes_matched:,}, {progress.pending:,}"


def _outcomes(progress: Any) -> Sequence[str]:
    came = f"{progress.outcomes_matched:,} outcomes matched, {progress.outcomes_unmatched:,} not"
    changed = f"{progress.outcomes_corrected:,} corrections, {progress.outcomes_late:,} too late"
    return (f"{came}; {changed}; {progress.pending:,} payments wait",)


def _ended(settings: FraudSettings, machines: Sequence[Machine]) -> Iterator[str]:
    """Yield what is left of the capacity for reviews: the last days one by one, and all together."""
    capacity = settings.policy.capacity
    unused = _reviews_unused(machines) if capacity else {}
    if capacity and unused:
        last = list(unused.items())[-_REVIEW_DAYS_SHOWN:]
        days = ", ".join(f"{date.fromordinal(_EPOCH_DAY + day)} {left:,}" for day, left in last)
        yield (
            f"reviews unused: {sum(unused.values()):,} on {len(unused):,} days of"
            f" {capacity.reviews_per_day_max:,} each; {days}"
        )


def _reviews_unused(machines: Sequence[Machine]) -> dict[int, int]:
    """Reviews left on each day that had a decision and that a clock has reached, over all shards."""
    from headrace.kinds.fraud.machine import FraudShard
    from headrace.operators.policy.verdict import DAY_MS

    # All shards have the same configuration, so that the first one tells whether there is a capacity at all.
    policies = [machine.policy for machine in machines if isinstance(machine, FraudShard)]
    if not policies or policies[0].unused(0) is None:
        return {}
    last = max(machine.clock.now for machine in machines) // DAY_MS
    days = sorted({day for policy in policies for day in policy.decided_days() if day <= last})
    return {day: sum(policy.unused(day) or 0 for policy in policies) for day in days}


# -- the configuration


def _declared(settings: FraudSettings) -> str:
    return f", {len(settings.features)} features, {len(settings.bins)} bins, {len(settings.crosses)} crosses"


def _described(settings: FraudSettings) -> Sequence[tuple[str, str]]:
    return (
        ("features", _some(list(settings.features))),
        ("crosses", _some(list(settings.crosses))),
        ("policy", _policy(settings)),
    )


def _policy(settings: FraudSettings) -> str:
    policy = settings.policy
    thresholds = f"review at {policy.review_at:g}, block at {policy.block_at:g}"
    declared = {"lists": list(policy.lists), "rules": list(policy.rules)}
    parts = ["least expected cost" if policy.cost else thresholds]
    parts += [f"{kind} {_some(names)}" for kind, names in declared.items() if names]
    parts += ["in shadow: everything is approved"] if policy.shadow else []
    return "; ".join(parts)


def _some(names: list[str]) -> str:
    left = len(names) - _NAMES_SHOWN_MAX
    return ", ".join([*names[:_NAMES_SHOWN_MAX], *([f"and {left} more"] if left > 0 else [])]) or "none"


VIEW: Final = View(
    quality=_quality,
    evaluated=_evaluated,
    figures=_figures,
    pending=_pending,
    with_reasons=True,
    outcomes=_outcomes,
    ended=lambda settings, machines: list(_ended(settings, machines)),
    described=_described,
    declared=_declared,
)
