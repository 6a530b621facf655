"""What the kind is that answers clicks with slates."""

from __future__ import annotations

from typing import Final

from headrace.kinds.recommend.machine import EMPTY_REASONS, RecommendShard, shape_of
from headrace.kinds.recommend.measures import SLATE_METRICS
from headrace.operators.events.contract import Recommendation
from headrace.operators.events.schemas import schema_of
from headrace.shard.kinds import Kind

__all__ = ["RECOMMEND"]

RECOMMEND: Final = Kind(
    machine=RecommendShard,
    without_model=RecommendShard,
    shape_of=shape_of,
    metrics=SLATE_METRICS,
    reason_codes=lambda _settings: EMPTY_REASONS,
    decision_schemas=lambda _settings: {"recommend": schema_of(Recommendation)},
)
