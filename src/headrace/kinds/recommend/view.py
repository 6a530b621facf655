"""How a run that answers clicks with slates is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace.shard.kinds import View

__all__ = ["VIEW"]


def _quality(quality: Mapping[str, Any] | None, by: str) -> str:
    if quality is None:
        return "quality - (no next click yet)"
    rates = f"HR {quality['hit_rate']:.3f}, MRR {quality['mrr']:.3f}, NDCG {quality['ndcg']:.3f}"
    return f"{rates} against {by}"


def _evaluated(quality: Mapping[str, Any] | None) -> str:
    return "" if quality is None else f" (the last {quality['slates']:,} evaluated)"


def _figures(progress: Any) -> Sequence[tuple[str, str]]:
    quality = progress.quality
    return (("HR, MRR", f"{quality['hit_rate']:.3f}, {quality['mrr']:.3f}" if quality else "-"),)


def _pending(progress: Any) -> tuple[str, str]:
    return "pending slates", f"{progress.pending:,}"


VIEW: Final = View(quality=_quality, evaluated=_evaluated, figures=_figures, pending=_pending)
