"""Builds the parts of a flow of decisions from its declarations."""

from __future__ import annotations

from headrace.config.decision_flow import (
    DecisionFlowSettings,
    DecisionSettings,
    EstimateSettings,
    ScoreSettings,
)
from headrace.config.decision_policy import PolicyScope
from headrace.operators.decisions.decision import Decision
from headrace.operators.decisions.estimate import Estimate
from headrace.operators.decisions.inputs import Inputs, inputs_of
from headrace.operators.decisions.judged import FeaturesFed
from headrace.operators.decisions.reasons import Coded, Reasons, codes_of_values
from headrace.operators.decisions.score import Score
from headrace.operators.events.declared import Contract
from headrace.operators.features import EventFeatures
from headrace.operators.models import MODELS, build_estimator
from headrace.operators.policy import DecisionPolicy

__all__ = ["build_decisions", "codes_for", "inputs_for"]


def inputs_for(settings: DecisionSettings, features: EventFeatures) -> Inputs:
    """Say what a decision's model reads."""
    by_slots = isinstance(settings, EstimateSettings) or MODELS[settings.model.name].takes == "slots"
    return inputs_of(
        features.groups_of[settings.on],
        features.names_of[settings.on],
        crosses=settings.crosses,
        features=settings.features,
        by_slots=by_slots,
    )


def build_decisions(
    settings: DecisionFlowSettings, contract: Contract, features: EventFeatures, *, shard: int
) -> dict[str, Decision]:
    """Build the decisions of a shard, as they are before any input, and not configured yet."""
    return {
        name: _decision(name, each, settings, contract, features, shard)
        for name, each in settings.decisions.items()
    }


def codes_for(settings: DecisionFlowSettings, inputs: Inputs) -> list[Coded]:
    """Return the reason codes of what a decision's model reads, in its order."""
    if not inputs.by_slots:
        return codes_of_values(inputs.names)
    crosses = settings.crosses
    return [(crosses[name].code or name, crosses[name].report_if) for name in inputs.names]


def _decision(
    name: str,
    declared: DecisionSettings,
    settings: DecisionFlowSettings,
    contract: Contract,
    features: EventFeatures,
    shard: int,
) -> Decision:
    inputs, names = inputs_for(declared, features), features.names_of[declared.on]
    scope = PolicyScope(
        kind=declared.kind,
        actions=declared.actions,
        features=names,
        fields=contract.types[declared.on].fields,
        quantiles=declared.quantiles if isinstance(declared, EstimateSettings) else (),
    )
    policy = DecisionPolicy(
        name, declared.policy, scope, shadow=declared.shadow, shard=shard, shards=settings.flow.shards
    )
    reasons, fed, entities = Reasons(names), _fed(name, declared.on, features), tuple(settings.entities)
    if isinstance(declared, ScoreSettings):
        return Score(name, declared, inputs, entities, policy, reasons, fed, contract.party)
    model = declared.model
    estimator = build_estimator(model.name, model.parameters, inputs.shape, declared.quantiles)
    return Estimate(name, declared, inputs, entities, policy, reasons, fed, estimator)


def _fed(name: str, on: str, features: EventFeatures) -> FeaturesFed | None:
    """Return what takes in a decision's truth; None where no feature does."""
    label = features.label_of.get(name)
    if label is None:
        return None
    return FeaturesFed(label, features.relabel_of[name], features.conditions_of[on])
