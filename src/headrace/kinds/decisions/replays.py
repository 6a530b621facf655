"""How declared decisions are replayed with another configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.kinds.decisions.replay_again import decide_again
from headrace.kinds.decisions.replay_report import ReplayReport, report_of
from headrace.kinds.decisions.replay_view import report_page, report_plain, report_view
from headrace.replay.options import Options
from headrace.replay.past import Past
from headrace.shard.kinds import Replays

__all__ = ["REPLAYS"]


def _report(
    past: Past,
    settings: DecisionFlowSettings,
    options: Options,
    *,
    learn: bool,
    deciding: Callable[[], AbstractContextManager[Any]],
    drawing: Callable[[], AbstractContextManager[Any]],
) -> ReplayReport:
    del drawing
    with deciding() as progress:
        replayed = decide_again(past, settings, learn=learn, progress=progress)
    return report_of(replayed, past.configurations, settings, options, learn=learn)


def _refused(options: Options) -> tuple[str, str] | None:
    if not options.cost and options.horizon_days is None:
        return None
    named = "--horizon-days" if options.horizon_days is not None else "--review-cost"
    return named, "costs and a horizon are not supported for declared decisions"


REPLAYS: Final = Replays(
    report=_report, plain=report_plain, view=report_view, page=report_page, refused=_refused
)
