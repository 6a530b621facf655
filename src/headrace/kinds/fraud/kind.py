"""What the kind is that decides on payments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from headrace.config.fraud_flow import FraudSettings
from headrace.kinds.fraud.actions import SHOWN
from headrace.kinds.fraud.messages import payment_message
from headrace.kinds.fraud.refusals import refusals
from headrace.kinds.fraud.view import VIEW
from headrace.shard.kinds import Evaluation, Kind, Personal, Replays, Route, Run, Truth, Window
from headrace.shard.machine import Machine
from headrace.shard.outgoing import DECISION_BYTES_MAX
from headrace.shard.routing import shard_of

__all__ = ["FRAUD"]

_PERSONAL: Final = Personal(keys=("session_id", "device_id", "ip"), about=("payment",))
_LABELS: Final = {
    "action": "`approve`, `review`, `block`",
    "awaited": "`payment` for outcomes that came before theirs, `clock` for those ahead of their time",
    "cause": "`limit` for a limit on the number; `age` for payments, `idle` for entities that weren't seen",
    "code": "the reason codes of the configuration",
    "name": "name of the list or rule in the configuration; empty for other paths",
    "path": "`model`, `cost`, `list`, `rule`, `capacity`, `deadline`, `kill_switch`",
    "result": "of outcomes: `matched`, `corrected`, `repeated`, `too_late` to correct, `assumed` legitimate, "
    "`withheld` as the payment was blocked, `not_learned` as the model raised an error, `unmatched`",
}


def _route(settings: FraudSettings) -> Route:
    shards = settings.flow.shards
    return lambda event: shard_of(event, shards)


# What follows imports what it needs when it is called: models, NumPy, compiled code.


def _machine(settings: FraudSettings, *, shard: int = 0, learn: bool = True) -> Machine:
    from headrace.kinds.fraud.machine import FraudShard

    return FraudShard(settings, shard=shard, learn=learn)


def _without_model(settings: FraudSettings, *, learn: bool) -> Machine:
    from headrace.kinds.fraud.machine import FraudShard
    from headrace.operators.models import unbuilt_model

    return FraudShard(settings, learn=learn, model=unbuilt_model(settings.model.name))


def _shape_of(settings: FraudSettings) -> dict[str, Any]:
    from headrace.kinds.fraud.machine import shape_of

    return shape_of(settings)


def _schemas(_settings: object) -> dict[str, dict[str, Any]]:
    from headrace.operators.events.contract import Decision
    from headrace.operators.events.schemas import schema_of

    return {"fraud": schema_of(Decision)}


def _reason_codes(settings: FraudSettings) -> list[str]:
    from headrace.config.policy import BUILT_IN_TEXTS

    codes = {each.code for each in settings.crosses.values()}
    codes |= {each.code for each in settings.policy.lists.values()}
    codes |= {each.code for each in settings.policy.rules.values()}
    return sorted(codes | {*BUILT_IN_TEXTS})


def _metrics() -> Sequence[Any]:
    from headrace.kinds.fraud.measures import PAYMENT_METRICS

    return PAYMENT_METRICS


def _run(settings: FraudSettings) -> Run:
    from headrace.kinds.fraud.evaluation import ScoredRun

    return ScoredRun(settings)


def _window(outcomes_max: int) -> Window:
    from headrace.operators.decisions.prequential import OutcomeWindow

    return OutcomeWindow(outcomes_max)


def _together(parts: Sequence[Any]) -> dict[str, Any] | None:
    from headrace.kinds.fraud.evaluation import scores_together

    return scores_together(parts)


def _truth(path: Path, rows_max: int) -> Truth:
    from headrace.kinds.fraud.evaluation import answers

    return answers(path, rows_max)


def _explain(asked: Any) -> Any:
    from headrace.kinds.fraud.explained import explain

    return explain(asked)


def _layout(settings: FraudSettings) -> Any:
    from headrace.kinds.fraud.exported import layout_of

    return layout_of(settings)


def _replays() -> Replays:
    from headrace.kinds.fraud.replays import REPLAYS

    return REPLAYS


FRAUD: Final = Kind(
    machine=_machine,
    without_model=_without_model,
    shape_of=_shape_of,
    route=_route,
    asked_by=lambda _: ("payment",),
    names=lambda _: ("fraud",),
    actions=lambda _: SHOWN,
    message=lambda _: payment_message,
    decision_bytes_max=lambda _: DECISION_BYTES_MAX,
    refusals=refusals,
    metrics=_metrics,
    decision_schemas=_schemas,
    reason_codes=_reason_codes,
    labels=_LABELS,
    evaluation=Evaluation(by="outcomes", run=_run, window=_window, together=_together, truth=_truth),
    view=VIEW,
    personal=lambda _: _PERSONAL,
    explain=_explain,
    layout=_layout,
    replays=_replays,
)
