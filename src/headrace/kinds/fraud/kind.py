"""What the kind is that decides on payments."""

from __future__ import annotations

from typing import Final

from headrace.config.fraud_flow import FraudSettings
from headrace.config.policy import BUILT_IN_TEXTS
from headrace.kinds.fraud.machine import FraudShard, shape_of
from headrace.kinds.fraud.measures import PAYMENT_METRICS
from headrace.operators.events.contract import Decision
from headrace.operators.events.schemas import schema_of
from headrace.operators.models import unbuilt_model
from headrace.shard.kinds import Kind

__all__ = ["FRAUD"]


def _without_model(settings: FraudSettings, *, learn: bool) -> FraudShard:
    return FraudShard(settings, learn=learn, model=unbuilt_model(settings.model.name))


def _reason_codes(settings: FraudSettings) -> list[str]:
    codes = {each.code for each in settings.crosses.values()}
    codes |= {each.code for each in settings.policy.lists.values()}
    codes |= {each.code for each in settings.policy.rules.values()}
    return sorted(codes | {*BUILT_IN_TEXTS})


FRAUD: Final = Kind(
    machine=FraudShard,
    without_model=_without_model,
    shape_of=shape_of,
    metrics=PAYMENT_METRICS,
    reason_codes=_reason_codes,
    decision_schemas=lambda _settings: {"fraud": schema_of(Decision)},
)
