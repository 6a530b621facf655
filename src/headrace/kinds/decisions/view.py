"""How a run of declared decisions is shown: each decision with its measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.shard.kinds import View

__all__ = ["VIEW", "measures_text"]

_NAMES_SHOWN_MAX: Final = 12
Quality = Mapping[str, Mapping[str, Any]]


def measures_text(figures: Mapping[str, Any]) -> str:
    """Return the measures of one decision in words."""
    if "pinball" in figures:
        covered, meant = figures["coverage"], figures["nominal_coverage"]
        return f"pinball {figures['pinball']:.4g}, coverage {covered:.3f} of {meant:.2g}"
    return f"AUC {figures['auc']:.3f}, average precision {figures['average_precision']:.3f}"


def _quality(quality: Quality | None, by: str) -> str:
    if quality is None:
        return f"quality - (no {by} yet)"
    return "; ".join(f"{name}: {measures_text(figures)}" for name, figures in quality.items())


def _evaluated(quality: Quality | None) -> str:
    if quality is None:
        return ""
    return f" ({sum(figures['evaluated'] for figures in quality.values()):,} evaluated)"


def _figures(progress: Any) -> Sequence[tuple[str, str]]:
    quality: Quality = progress.quality or {}
    return [(name, measures_text(figures)) for name, figures in quality.items()] or [("quality", "-")]


def _pending(progress: Any) -> tuple[str, str]:
    return "waiting for their targets", f"{progress.pending:,}"


def _declared(settings: DecisionFlowSettings) -> str:
    return (
        f", {len(settings.decisions)} decisions, {len(settings.events)} own event types or fields,"
        f" {len(settings.features)} features, {len(settings.crosses)} crosses"
    )


def _described(settings: DecisionFlowSettings) -> Sequence[tuple[str, str]]:
    decisions = [
        (f"decision {name}", _decision(each.kind, each.on, each.model.name, shadow=each.shadow))
        for name, each in settings.decisions.items()
    ]
    return [
        ("events", _some(list(settings.events))),
        ("entities", _some(list(settings.entities))),
        ("features", _some(list(settings.features))),
        ("crosses", _some(list(settings.crosses))),
        *decisions,
    ]


def _decision(kind: str, on: str, model: str, *, shadow: bool) -> str:
    return f"{kind} on {on}, by {model}" + ("; in shadow: it is not sent" if shadow else "")


def _some(names: Sequence[str]) -> str:
    left = len(names) - _NAMES_SHOWN_MAX
    return ", ".join([*names[:_NAMES_SHOWN_MAX], *([f"and {left} more"] if left > 0 else [])]) or "none"


VIEW: Final = View(
    quality=_quality,
    evaluated=_evaluated,
    figures=_figures,
    pending=_pending,
    with_reasons=True,
    described=_described,
    declared=_declared,
)
