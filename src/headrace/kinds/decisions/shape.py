"""What a saved state of a flow of decisions depends on, and what may be added to it and taken from it."""

from __future__ import annotations

from typing import Any

from headrace.config.decision_flow import DecisionFlowSettings, DecisionSettings
from headrace.operators.events.declared import contract_of
from headrace.operators.features import meaning_differences, meaning_of
from headrace.operators.models import MODELS
from headrace.shard.base import version_of
from headrace.shard.mismatch import differences

__all__ = ["changes", "decision_shape", "declared", "shape_of", "versions"]


def shape_of(settings: DecisionFlowSettings) -> dict[str, Any]:
    """Return what a saved state depends on; it goes on only with a configuration of the same shape."""
    kept = settings.model_dump(mode="json", include={"flow", "features"})
    entities = {name: entity.model_dump(mode="json")["key"] for name, entity in settings.entities.items()}
    decisions = {name: decision_shape(settings, name) for name in settings.decisions}
    return {**kept, "entities": entities, "decisions": decisions}


def declared(settings: DecisionFlowSettings) -> dict[str, Any]:
    """Return what the parts of a state machine are built from."""
    events = {name: each.model_dump(mode="json") for name, each in settings.events.items()}
    return {**shape_of(settings), "events": events, "tables": list(settings.tables)}


def decision_shape(settings: DecisionFlowSettings, name: str) -> dict[str, Any]:
    """Return what the state of a decision depends on."""
    decision = settings.decisions[name]
    told = decision.model_dump(mode="json", include={"kind", "on", "quantiles", "unit"})
    target, model = decision.target, decision.model
    joined = None if target is None else {"on": target.on, "join": dict(target.join), "value": target.value}
    if joined is not None and target is not None and target.provisional is not None:
        joined["provisional"] = target.provisional
    # A model of values reads no cross, and one of slots no feature by itself: what isn't read may change.
    of_values = model.name in MODELS and MODELS[model.name].takes == "values"
    return {
        **told,
        "crosses": None if of_values else _crosses(settings, decision),
        "features": _features(settings, decision) if of_values else None,
        "model": model.name,
        "target": joined,
    }


def _crosses(settings: DecisionFlowSettings, decision: DecisionSettings) -> dict[str, Any]:
    """Return the crosses that a decision's model reads, with what makes their slots."""
    names = settings.crosses if decision.crosses is None else decision.crosses
    return {name: _cross(settings, name) for name in settings.crosses if name in names}


def _cross(settings: DecisionFlowSettings, name: str) -> list[Any]:
    parts: list[Any] = []
    for part in settings.crosses[name].of:
        declared_bin = settings.bins.get(part)
        parts.append([part] if declared_bin is None else [part, declared_bin.of, list(declared_bin.edges)])
    return parts


def _features(settings: DecisionFlowSettings, decision: DecisionSettings) -> list[str]:
    return list(settings.features if decision.features is None else decision.features)


def _meaning(settings: DecisionFlowSettings) -> dict[str, Any]:
    """Return what the features' columns mean."""
    types = {name: each.fields for name, each in contract_of(settings.events).types.items()}
    return meaning_of(settings.entities, settings.features, types, settings.tables)


def changes(saved: DecisionFlowSettings, now: DecisionFlowSettings) -> list[str]:
    """Say what a state that was saved under one configuration can't go on with under another.

    What was added starts empty, and what was removed is dropped; only what both declare must be the same.
    """
    then, wanted = shape_of(saved), shape_of(now)
    found = list(differences(then["flow"], wanted["flow"], "flow"))
    found += meaning_differences(_meaning(saved), _meaning(now))
    for name in then["decisions"]:
        if name in wanted["decisions"]:
            found += differences(then["decisions"][name], wanted["decisions"][name], f"decisions.{name}")
    return found


def versions(settings: DecisionFlowSettings) -> dict[str, str]:
    """Name each decision's model with a digest of what it was configured with, as its lines have it."""
    features = {name: each.model_dump(mode="json") for name, each in settings.features.items()}
    entities = shape_of(settings)["entities"]
    return {
        name: version_of(
            decision.model.name,
            [features, entities, decision_shape(settings, name), decision.model.model_dump(mode="json")],
        )
        for name, decision in settings.decisions.items()
    }
