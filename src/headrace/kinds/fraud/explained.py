"""Why a payment was decided so: reasons, contributions, features, the policy's path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headrace.config.fraud_flow import FraudSettings
from headrace.config.policy import BUILT_IN_TEXTS
from headrace.ledger.bin_ranges import Range, range_of, range_text
from headrace.ledger.explained import (
    Asked,
    ExplainedOutcome,
    ExplainedReason,
    Why,
    explained_reasons,
    reasons_shown,
)
from headrace.ledger.sections import Aside, Columns, Fields, Grid, Section, signed_text, time_text
from headrace.operators.decisions.detail import DetailLayout, base_log_odds, detail_layout, read_trace

__all__ = ["Cross", "Range", "Scored", "explain"]

_LABELS: Final = {0: "legitimate", 1: "fraud"}


@dataclass(frozen=True, slots=True)
class Cross:
    """The active slot of a cross.

    Attributes
    ----------
    name, code
        The cross, and the reason code that it stands for.
    slot
        Its number among all slots.
    contribution
        What it added to the score, log-odds; None if the model doesn't read crosses.
    ranges
        One for each bin of the cross.
    """

    name: str
    code: str
    slot: int
    contribution: float | None
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is told of a decision on a payment.

    Attributes
    ----------
    features
        Values by name, NaN where missing.
    crosses
        The active slots.
    contributions
        By name of the cross, or of the feature; None if none were computed.
    base
        What they are added to, so that the sum is the log-odds of the score; None without them, or for a
        score of 0 or 1.
    reasons
        The strongest first.
    policy
        The trace of the policy's path, None if there is none.
    """

    features: dict[str, float]
    crosses: tuple[Cross, ...]
    contributions: dict[str, float] | None
    base: float | None
    reasons: tuple[ExplainedReason, ...]
    policy: Any


def explain(asked: Asked) -> Why:
    """Tell why a payment was decided so.

    Raises
    ------
    ValueError
        If what the journal keeps of it isn't as the configuration lays it out.
    """
    told = _scored(asked.settings, asked.decision, asked.record.detail)
    after = () if told.policy is None else (Section("Policy", Fields(told.policy)),)
    return Why(
        told,
        f"score {asked.decision['score']:.4f}",
        before=(
            Section("Reasons", reasons_shown(told.reasons)),
            Section("Contributions, in log-odds", _contributions(told)),
            Section("Features", Columns(told.features)),
        ),
        after=(*after, Section("Outcomes", _outcomes(asked.outcomes))),
    )


def _scored(settings: FraudSettings, decision: Mapping[str, Any], kept: bytes) -> Scored:
    layout = detail_layout(settings)
    detail = layout.read(kept)
    features = dict(zip(layout.features, detail.values, strict=True))
    explained = layout.always_explained or any(detail.contributions)
    contributions = dict(zip(layout.inputs, detail.contributions, strict=True)) if explained else None
    return Scored(
        features=features,
        crosses=tuple(_crosses(settings, layout, detail.slots, features, contributions or {})),
        contributions=contributions,
        base=base_log_odds(decision["score"], detail.contributions) if explained else None,
        reasons=explained_reasons(decision["reasons"], {**BUILT_IN_TEXTS, **settings.reasons.texts}),
        policy=read_trace(detail.trace),
    )


def _crosses(
    settings: FraudSettings,
    layout: DetailLayout,
    slots: Sequence[int],
    features: dict[str, float],
    contributions: dict[str, float],
) -> Iterable[Cross]:
    for group, slot in zip(layout.groups, slots, strict=True):
        ranges = tuple(_range(settings, name, features) for name in settings.crosses[group.name].of)
        yield Cross(group.name, group.code, slot, contributions.get(group.name), ranges)


def _range(settings: FraudSettings, name: str, features: dict[str, float]) -> Range:
    declared = settings.bins[name]
    return range_of(name, declared.of, declared.edges, features[declared.of])


# -- as it is shown


def _contributions(told: Scored) -> str | Grid:
    if told.contributions is None and not told.crosses:
        return "none were computed for this decision"
    return Grid(("right", "left", "left"), list(_contribution_rows(told)))


def _contribution_rows(told: Scored) -> Iterator[tuple[str | Aside, ...]]:
    crosses, given = {cross.name: cross for cross in told.crosses}, told.contributions or {}
    for name in sorted(given or crosses, key=lambda name: -abs(given.get(name, 0.0))):
        ranges = crosses[name].ranges if name in crosses else ()
        yield signed_text(given.get(name)), name, "; ".join(map(range_text, ranges))
    if told.base is not None:
        yield signed_text(told.base), Aside("base"), Aside("what they are added to")
        total = signed_text(told.base + sum(given.values()))
        yield total, "", Aside("sum, the log-odds of the score")


def _outcomes(outcomes: Sequence[ExplainedOutcome]) -> str | Grid:
    rows = [
        (_LABELS.get(each.label, str(each.label)), time_text(each.event_time), each.event_id)
        for each in outcomes
    ]
    return Grid(("left", "left", "left"), rows) if rows else "none so far"
