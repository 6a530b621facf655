"""Which state machine decides for which flow."""

from __future__ import annotations

from typing import Any

from headrace.config.settings import FraudSettings, RecommendSettings, RunSettings
from headrace.operators.machine import Machine
from headrace.operators.recommend import shard as recommend
from headrace.operators.shard import FraudShard
from headrace.operators.shard import shape_of as fraud_shape

__all__ = ["build_machine", "shape_of"]


def build_machine(settings: RunSettings, *, shard: int = 0, learn: bool = True) -> Machine:
    """A machine in its first state.

    Parameters
    ----------
    settings
        The configuration; it tells the flow.
    shard
        Its number among the shards of the flow.
    learn
        Whether what it decides with learns.
    """
    if isinstance(settings, RecommendSettings):
        return recommend.RecommendShard(settings, shard=shard, learn=learn)
    assert isinstance(settings, FraudSettings)
    return FraudShard(settings, shard=shard, learn=learn)


def shape_of(settings: RunSettings) -> dict[str, Any]:
    """What a saved state depends on; a state goes on only with a configuration of the same shape."""
    if isinstance(settings, RecommendSettings):
        return recommend.shape_of(settings)
    assert isinstance(settings, FraudSettings)
    return fraud_shape(settings)
