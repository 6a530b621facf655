"""What the kind is that answers clicks with slates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.config.recommend_flow import RecommendSettings
from headrace.kinds.recommend.messages import slate_bytes_max, slate_message
from headrace.kinds.recommend.routing import route_by_session
from headrace.kinds.recommend.view import VIEW
from headrace.shard.kinds import Action, Evaluation, Kind, Personal, Replays, Run, Window
from headrace.shard.machine import Machine

__all__ = ["RECOMMEND"]

_ACTIONS: Final = (Action("recommend", "good"), Action("none", "caution"))
_PERSONAL: Final = Personal(keys=("session_id", "device_id", "ip"), about=("payment",))
_LABELS: Final = {
    "action": "of slates `recommend`, and `none` for an empty one",
    "entity": "`item` where slates are made",
    "event": "`cart`, `order`",
    "item": "`from` the session's last slate, or `beside` it",
    "items": "`shown` on slates, `clicked`",
    "origin": "source of candidates: `neighbours`, `recent_neighbours`, `next_clicks`, `later_clicks`,"
    " `session`, `bought_together`, `trending`, `new`",
    "reason": "of empty slates `no_candidates`, `kill_switch`, `deadline`, `ranker_failed`",
    "rule": "what a rule did to an item: `own`, `capped`, `filled`, `new`, `explored`",
}


# What follows imports what it needs when it is called: NumPy, compiled code.


def _machine(settings: RecommendSettings, *, shard: int = 0, learn: bool = True) -> Machine:
    from headrace.kinds.recommend.machine import RecommendShard

    return RecommendShard(settings, shard=shard, learn=learn)


def _shape_of(settings: RecommendSettings) -> dict[str, Any]:
    from headrace.kinds.recommend.machine import shape_of

    return shape_of(settings)


def _schemas(_settings: object) -> dict[str, dict[str, Any]]:
    from headrace.operators.events.contract import Recommendation
    from headrace.operators.events.schemas import schema_of

    return {"recommend": schema_of(Recommendation)}


def _reason_codes(_settings: RecommendSettings) -> Sequence[str]:
    from headrace.kinds.recommend.machine import EMPTY_REASONS

    return EMPTY_REASONS


def _metrics() -> Sequence[Any]:
    from headrace.kinds.recommend.measures import SLATE_METRICS

    return SLATE_METRICS


def _run(settings: RecommendSettings) -> Run:
    from headrace.kinds.recommend.evaluation import SlatesRun

    return SlatesRun(settings)


def _window(slates_max: int) -> Window:
    from headrace.operators.recommend.slates import SlateWindow

    return SlateWindow(slates_max)


def _together(parts: Sequence[Any]) -> dict[str, Any] | None:
    from headrace.kinds.recommend.evaluation import slates_together

    return slates_together(parts)


def _explain(asked: Any) -> Any:
    from headrace.kinds.recommend.explained import explain

    return explain(asked)


def _layout(settings: RecommendSettings) -> Any:
    from headrace.kinds.recommend.exported import SlateLayout

    del settings
    return SlateLayout()


def _replays() -> Replays:
    from headrace.kinds.recommend.replays import REPLAYS

    return REPLAYS


RECOMMEND: Final = Kind(
    machine=_machine,
    without_model=_machine,
    shape_of=_shape_of,
    route=route_by_session,
    asked_by=lambda _: ("click",),
    names=lambda _: ("recommend",),
    actions=lambda _: _ACTIONS,
    message=lambda _: slate_message,
    decision_bytes_max=slate_bytes_max,
    metrics=_metrics,
    decision_schemas=_schemas,
    reason_codes=_reason_codes,
    labels=_LABELS,
    evaluation=Evaluation(by="next clicks", run=_run, window=_window, together=_together),
    view=VIEW,
    personal=lambda _: _PERSONAL,
    explain=_explain,
    layout=_layout,
    replays=_replays,
)
