"""What the kind is whose events and decisions are declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.kinds.decisions.messages import decision_bytes_max, message_of, route_by_party
from headrace.kinds.decisions.view import VIEW
from headrace.operators.events.declared import contract_of
from headrace.shard.kinds import Action, Evaluation, Kind, Personal, Replays, Run, Window
from headrace.shard.machine import Machine

__all__ = ["DECISIONS"]

_LABELS: Final = {
    "action": "the actions that are declared",
    "awaited": "`decision` for what came before its decision, `clock` for what is ahead of its time",
    "cause": "`limit` for a limit on the number; `age` for decisions, `idle` for entities that weren't seen",
    "code": "the reason codes of the configuration",
    "decision": "the name of the decision",
    "name": "name of the list or rule in the configuration; empty for other paths",
    "path": "`model`, `cost`, `ladder`, `list`, `rule`, `capacity`, `deadline`, `fallback`, `kill_switch`",
    "result": "`matched`, `corrected`, `repeated`, `too_late`, `assumed` as nothing came in time, `missing`"
    " where the value or the key isn't there, `not_learned` as the model raised an error, `unmatched`",
}


def _asked_by(settings: DecisionFlowSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.on for each in settings.decisions.values()))


def _actions(settings: DecisionFlowSettings) -> list[Action]:
    """Return all actions; the last of a decision with several stops something, those between need a look."""
    tones: dict[str, Action] = {}
    for each in settings.decisions.values():
        last = len(each.actions) - 1
        for at, name in enumerate(each.actions):
            tone = "good" if not at else "bad" if at == last else "caution"
            tones.setdefault(name, Action(name, tone))  # type: ignore[arg-type]  # one of the three
    return list(tones.values())


def _personal(settings: DecisionFlowSettings) -> Personal:
    """Return what names a customer: the fields of each type that say whom it is about, and personal ones."""
    contract = contract_of(settings.events)
    keys = [
        field.name
        for of in contract.types.values()
        for field in of.fields.values()
        if field.type == "id" and (field.personal or field.name in of.party) and field.name != "customer_id"
    ]
    return Personal(keys=tuple(dict.fromkeys(keys)), about=_asked_by(settings))


# What follows imports what it needs when it is called: models, NumPy, compiled code.


def _machine(settings: DecisionFlowSettings, *, shard: int = 0, learn: bool = True) -> Machine:
    from headrace.kinds.decisions.machine import DecisionShard

    return DecisionShard(settings, shard=shard, learn=learn)


def _shape_of(settings: DecisionFlowSettings) -> dict[str, Any]:
    from headrace.kinds.decisions.shape import shape_of

    return shape_of(settings)


def _changes(saved: DecisionFlowSettings, now: DecisionFlowSettings) -> list[str]:
    from headrace.kinds.decisions.shape import changes

    return changes(saved, now)


def _schemas(settings: DecisionFlowSettings) -> dict[str, dict[str, Any]]:
    from headrace.kinds.decisions.schemas import decision_schemas

    return decision_schemas(settings)


def _reason_codes(settings: DecisionFlowSettings) -> list[str]:
    from headrace.kinds.decisions.schemas import reason_codes

    return reason_codes(settings)


def _metrics() -> Sequence[Any]:
    from headrace.kinds.decisions.measures import DECISION_METRICS

    return DECISION_METRICS


def _run(settings: DecisionFlowSettings) -> Run:
    from headrace.kinds.decisions.evaluation import DecisionsRun

    return DecisionsRun(settings)


def _window(outcomes_max: int) -> Window:
    from headrace.kinds.decisions.evaluation import window_of

    return window_of(outcomes_max)


def _together(parts: Sequence[Any]) -> dict[str, Any] | None:
    from headrace.kinds.decisions.evaluation import decisions_together

    return decisions_together(parts)


def _explain(asked: Any) -> Any:
    from headrace.kinds.decisions.explained import explain

    return explain(asked)


def _layout(settings: DecisionFlowSettings) -> Any:
    from headrace.kinds.decisions.exported import layout_of

    return layout_of(settings)


def _replays() -> Replays:
    from headrace.kinds.decisions.replays import REPLAYS

    return REPLAYS


DECISIONS: Final = Kind(
    machine=_machine,
    without_model=_machine,
    shape_of=_shape_of,
    changes=_changes,
    route=route_by_party,
    asked_by=_asked_by,
    names=lambda settings: tuple(settings.decisions),
    actions=_actions,
    message=message_of,
    decision_bytes_max=decision_bytes_max,
    metrics=_metrics,
    decision_schemas=_schemas,
    reason_codes=_reason_codes,
    labels=_LABELS,
    evaluation=Evaluation(by="targets", run=_run, window=_window, together=_together),
    view=VIEW,
    personal=_personal,
    explain=_explain,
    layout=_layout,
    replays=_replays,
)
