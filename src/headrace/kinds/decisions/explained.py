"""Why a declared decision was made so: reasons, contributions, features, the policy's path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.config.decision_flow import DecisionFlowSettings, DecisionSettings, EstimateSettings
from headrace.config.decision_policy import DECISION_TEXTS
from headrace.kinds.decisions.building import inputs_for
from headrace.kinds.decisions.detail import DecisionDetail, read_detail
from headrace.ledger.bin_ranges import range_of, range_text
from headrace.ledger.explained import Asked, ExplainedReason, Why, explained_reasons, reasons_shown
from headrace.ledger.sections import Aside, Columns, Fields, Grid, Section, signed_text
from headrace.operators.decisions.detail import base_log_odds, read_trace
from headrace.operators.events.declared import contract_of
from headrace.operators.features import EventFeatures, features_over

__all__ = ["DecidedSo", "Input", "explain"]


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the model.

    Attributes
    ----------
    name, code
        The cross, or feature, and the reason code that it stands for.
    contribution
        What it added; None if that wasn't computed.
    parts
        What it is made of: each bin or category, and what the event had there, in words.
    """

    name: str
    code: str
    contribution: float | None
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DecidedSo:
    """What is told of a declared decision.

    Attributes
    ----------
    features
        Values by name, NaN where missing.
    inputs
        What the model read; empty where the decision failed.
    base
        Of a score: what contributions are added to, so that the sum is the log-odds of the model's own score.
    model_score
        What the model said before calibration; None for an estimate.
    reasons
        The strongest first.
    policy
        The trace of the policy's path, None if there is none.
    """

    features: dict[str, float]
    inputs: tuple[Input, ...]
    base: float | None
    model_score: float | None
    reasons: tuple[ExplainedReason, ...]
    policy: Any


def explain(asked: Asked) -> Why:
    """Tell why a declared decision was made so.

    Raises
    ------
    ValueError
        If what the journal keeps of it isn't as the configuration lays it out.
    """
    settings, decision = asked.settings, asked.decision
    name = decision["kind"]
    detail = read_detail(asked.record.detail)
    if name not in detail.decisions or name not in settings.decisions:
        raise ValueError(f"the journal keeps nothing of the decision {name} on this event")
    event = contract_of(settings.events).decode_one(asked.record.input)
    told = _told(settings, settings.decisions[name], decision, detail.values, detail.decisions[name], event)
    after = () if told.policy is None else (Section("Policy", Fields(told.policy)),)
    unit = _unit(settings.decisions[name])
    return Why(
        told,
        _title(decision),
        before=(
            Section("Reasons", reasons_shown(told.reasons)),
            Section(f"Contributions, {unit}", _contributions(told, failed=_failed(decision))),
            Section("Features", Columns(told.features)),
        ),
        after=after,
    )


def _title(decision: Mapping[str, Any]) -> str:
    if "quantiles" in decision:
        quantiles = ", ".join(f"{level}: {value:.4g}" for level, value in decision["quantiles"].items())
        return f"{quantiles} {decision.get('unit', '')}".rstrip()
    limit = decision.get("limit")
    said = f"score {decision['score']:.4f}" if "score" in decision else "the model failed"
    return said + ("" if limit is None else f", limit {limit:g}")


def _unit(declared: DecisionSettings) -> str:
    return "to the location" if isinstance(declared, EstimateSettings) else "in log-odds"


def _told(
    settings: DecisionFlowSettings,
    declared: DecisionSettings,
    decision: Mapping[str, Any],
    values: Sequence[float],
    kept: DecisionDetail,
    event: Any,
) -> DecidedSo:
    features = features_over(settings, contract_of(settings.events))
    named = dict(zip(features.names_of[declared.on], values, strict=True))
    explained = any(kept.contributions)
    scored = "score" in decision
    return DecidedSo(
        features=named,
        inputs=tuple(_inputs(settings, declared, features, named, kept, event, explained=explained)),
        base=base_log_odds(kept.score, kept.contributions) if explained and scored else None,
        model_score=kept.score if scored else None,
        reasons=explained_reasons(decision["reasons"], {**DECISION_TEXTS, **declared.reasons.texts}),
        policy=read_trace(kept.trace),
    )


def _inputs(
    settings: DecisionFlowSettings,
    declared: DecisionSettings,
    features: EventFeatures,
    values: Mapping[str, float],
    kept: DecisionDetail,
    event: Any,
    *,
    explained: bool,
) -> Iterator[Input]:
    if kept.inputs is None:
        return
    inputs = inputs_for(declared, features)
    # Groups of a feature with several slots at once have one name: what they add is told together.
    together: dict[str, float] = {}
    for name, contribution in zip(inputs.names, kept.contributions, strict=True):
        together[name] = together.get(name, 0.0) + contribution
    for name, contribution in together.items():
        cross = settings.crosses.get(name) if inputs.by_slots else None
        parts = (name,) if cross is None else cross.of
        code = name if cross is None else cross.code or name
        told = tuple(_part(settings, part, values, event) for part in parts)
        yield Input(name, code, contribution if explained else None, told)


def _part(settings: DecisionFlowSettings, name: str, values: Mapping[str, float], event: Any) -> str:
    """Say in which range of a bin a value is, or which category it has."""
    declared = settings.bins.get(name)
    of = name if declared is None else declared.of
    value = values.get(of)
    if value is None:
        return name
    if value != value:
        return f"{name} missing"
    if declared is None:
        feature = settings.features[of]
        # A category's number says nothing to a person; what the event had there does.
        text = getattr(event, feature.value, None) if feature.kind in {"category", "lookup"} else None
        return f"{name} {value:.6g}" if text is None else f"{name} {text!r}"
    return range_text(range_of(name, of, declared.edges, value))


# -- as it is shown


def _failed(decision: Mapping[str, Any]) -> bool:
    """Whether the model said nothing."""
    return "score" not in decision and "quantiles" not in decision


def _contributions(told: DecidedSo, *, failed: bool) -> str | Grid:
    if not told.inputs:
        return "the model failed before it said anything" if failed else "the model reads nothing"
    return Grid(("right", "left", "left"), list(_rows(told)))


def _rows(told: DecidedSo) -> Iterator[tuple[str | Aside, ...]]:
    for each in sorted(told.inputs, key=lambda one: -abs(one.contribution or 0.0)):
        yield signed_text(each.contribution), each.name, "; ".join(each.parts)
    if told.base is not None:
        yield signed_text(told.base), Aside("base"), Aside("what they are added to")
        total = signed_text(told.base + sum(each.contribution or 0.0 for each in told.inputs))
        yield total, "", Aside("sum, the log-odds of the model's score")
