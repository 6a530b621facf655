"""How the kind that decides on payments is replayed with another configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from headrace.config.fraud_flow import FraudSettings
from headrace.kinds.fraud.replay_changes import decide_again
from headrace.kinds.fraud.replay_page import report_page
from headrace.kinds.fraud.replay_report import Report, report_of
from headrace.kinds.fraud.replay_view import report_plain, report_view
from headrace.replay.options import Options
from headrace.replay.past import Past
from headrace.shard.kinds import Replays

__all__ = ["REPLAYS"]


def _report(
    past: Past,
    settings: FraudSettings,
    options: Options,
    *,
    learn: bool,
    deciding: Callable[[], AbstractContextManager[Any]],
    drawing: Callable[[], AbstractContextManager[Any]],
) -> Report:
    with deciding() as progress:
        payments = decide_again(
            past, settings, learn=learn, examples_max=options.examples_max, progress=progress
        )
    with drawing() as drawn:
        return report_of(payments, past.configurations, settings, options, progress=drawn)


REPLAYS: Final = Replays(report=_report, plain=report_plain, view=report_view, page=report_page)
