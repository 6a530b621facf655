"""What declared decisions look like to their consumers: JSON Schemas, and the codes of reasons."""

from __future__ import annotations

from typing import Any, Final

from headrace.config.decision_flow import DecisionFlowSettings, DecisionSettings, EstimateSettings
from headrace.config.decision_policy import DECISION_TEXTS
from headrace.operators.events.contract import VERSION, Reason
from headrace.operators.events.declared import contract_of
from headrace.operators.events.schemas import schema_of

__all__ = ["decision_schemas", "reason_codes"]

_PARTIES: Final = ("customer_id", "session_id")
_TEXT: Final = {"type": "string"}
_FAILED: Final = "Left out where the model failed."


def decision_schemas(settings: DecisionFlowSettings) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each decision that goes out, by its name; those in shadow don't."""
    return {
        name: _schema(name, declared, settings)
        for name, declared in settings.decisions.items()
        if not declared.shadow
    }


def reason_codes(settings: DecisionFlowSettings) -> list[str]:
    """Return all codes that the reasons of decisions may have."""
    codes = {*DECISION_TEXTS, *settings.features}
    codes |= {cross.code or name for name, cross in settings.crosses.items()}
    for declared in settings.decisions.values():
        codes |= {each.code for each in declared.policy.lists.values()}
        codes |= {each.code for each in declared.policy.rules.values()}
    return sorted(codes)


def _schema(name: str, declared: DecisionSettings, settings: DecisionFlowSettings) -> dict[str, Any]:
    party, party_required = _party(declared, settings)
    estimates, always = _estimates(declared)
    properties = {
        "decision_id": _told(_TEXT, "The decision's name and the event's id, joined by a colon."),
        "event_id": _told(_TEXT, "The event that asked."),
        **party,
        "event_time": _told({"type": "integer"}, "The event's time, milliseconds since the epoch, UTC."),
        "kind": _told({"enum": [name]}, "What is decided."),
        "action": _told({"enum": list(declared.actions)}, "What to do."),
        **estimates,
        "reasons": _told({"type": "array", "items": _reason()}, "The strongest first."),
        "model": _told(_TEXT, "Name of the model and digest of what it was configured with."),
        "version": _told({"enum": [VERSION]}, "Version of the contract."),
        "policy": _told(
            _TEXT,
            "What decided, when it wasn't what the model says against thresholds: `list.NAME`, `rule.NAME`,"
            " `cost`, `ladder`, `capacity`, `deadline`, `fallback` or `kill_switch`. Else left out.",
        ),
        "retried": _told(
            {"type": "boolean"},
            "True for a dead letter's input that was given once more, and decided as of then; else left out.",
        ),
    }
    common = ["decision_id", "event_id", "event_time", "kind", "action", "reasons", "model", "version"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "".join(part.capitalize() for part in name.split("_")),
        "description": f"What goes out as {name} for an event of the type {declared.on}.",
        "type": "object",
        "properties": properties,
        "required": [each for each in properties if each in {*common, *party_required, *always}],
    }


def _told(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


def _reason() -> dict[str, Any]:
    """Return the schema of a reason, as it stands inside of another."""
    return {key: value for key, value in schema_of(Reason).items() if key != "$schema"}


def _party(
    declared: DecisionSettings, settings: DecisionFlowSettings
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the field that says whom a decision is about, and whether it is always there."""
    fields = contract_of(settings.events).types[declared.on].fields
    for name in _PARTIES:
        if name in fields:
            said = _told(_TEXT, "Whom the decision is about: the event's.")
            return {name: said}, (name,) if fields[name].required else ()
    return {}, ()


def _estimates(declared: DecisionSettings) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields that a decision's kind has beside, and those that are always there."""
    policy = declared.policy
    if isinstance(declared, EstimateSettings):
        levels = [format(level, "g") for level in declared.quantiles]
        quantiles = {
            "type": "object",
            "properties": {level: {"type": "number"} for level in levels},
            "required": levels,
        }
        found = {
            "quantiles": _told(quantiles, f"By level, in {declared.unit}. {_FAILED}"),
            "unit": _told({"enum": [declared.unit]}, f"What the numbers are told in. {_FAILED}"),
        }
        promised = [policy.promise, *(each.promise for each in policy.lists.values())]
        promised += [each.promise for each in policy.rules.values()]
        if any(level is not None for level in promised):
            found["promise"] = _told({"type": "number"}, "What is promised: one of the quantiles.")
        return found, ()
    score = {"type": "number", "minimum": 0.0, "maximum": 1.0}
    found = {"score": _told(score, f"Estimated probability that the target is 1, calibrated. {_FAILED}")}
    if policy.ladder is None:
        return found, ()
    found["limit"] = _told({"type": "number", "minimum": 0.0}, "How much is granted.")
    return found, ("limit",)
