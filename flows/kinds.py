"""Where kinds of decision are made known: whoever runs or reads flows imports this, and nothing else does."""

from __future__ import annotations

from headrace.shard.kinds import Kind, register

from ..config.flow_kinds import SHIPPED_FLOWS
from ..config.tables import RunSettings

__all__: list[str] = []


def _fraud() -> Kind:
    from headrace.kinds.fraud.kind import FRAUD

    return FRAUD


def _fraud_settings() -> type[RunSettings]:
    from ..config.fraud_flow import FraudSettings

    return FraudSettings


def _recommend() -> Kind:
    from headrace.kinds.recommend.kind import RECOMMEND

    return RECOMMEND


def _recommend_settings() -> type[RunSettings]:
    from ..config.recommend_flow import RecommendSettings

    return RecommendSettings


def _decisions() -> Kind:
    from headrace.kinds.decisions.kind import DECISIONS

    return DECISIONS


def _decisions_settings() -> type[RunSettings]:
    from ..config.decision_flow import DecisionFlowSettings

    return DecisionFlowSettings


# The first is what a configuration is of that names none.
register(
    "fraud",
    _fraud,
    settings=_fraud_settings,
    shipped={name: SHIPPED_FLOWS / f"{name}.toml" for name in ("fraud", "fraud-sessions")},
)
register(
    "recommend",
    _recommend,
    settings=_recommend_settings,
    shipped={"recommend": SHIPPED_FLOWS / "recommend.toml"},
)
# What is decided stands in its file alone: there is none that it lies over.
register("decisions", _decisions, settings=_decisions_settings, shipped={})
