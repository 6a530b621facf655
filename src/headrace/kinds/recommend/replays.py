"""How the kind that answers clicks with slates is replayed with another configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from headrace.config.recommend_flow import RecommendSettings
from headrace.kinds.recommend.replay_report import SlateReport, slate_report_of
from headrace.kinds.recommend.replay_slates import slate_again
from headrace.kinds.recommend.replay_view import report_page, report_plain, report_view
from headrace.replay.options import Options
from headrace.replay.past import Past
from headrace.shard.kinds import Replays

__all__ = ["REPLAYS"]


def _report(
    past: Past,
    settings: RecommendSettings,
    options: Options,
    *,
    learn: bool,
    deciding: Callable[[], AbstractContextManager[Any]],
    drawing: Callable[[], AbstractContextManager[Any]],
) -> SlateReport:
    with deciding() as progress:
        slates = slate_again(
            past, settings, learn=learn, examples_max=options.examples_max, progress=progress
        )
    with drawing() as drawn:
        return slate_report_of(slates, past.configurations, settings, options, learn=learn, progress=drawn)


def _refused(options: Options) -> tuple[str, str] | None:
    if not options.cost and options.horizon_days is None:
        return None
    named = "--horizon-days" if options.horizon_days is not None else "--review-cost"
    return named, "costs and a horizon are not supported for slates"


REPLAYS: Final = Replays(
    report=_report, plain=report_plain, view=report_view, page=report_page, refused=_refused
)
