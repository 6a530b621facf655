"""What an exported ledger says of decisions on payments: features, contributions, the policy's trace."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from headrace.config.fraud_flow import FraudSettings
from headrace.ledger.export_columns import Column, Values
from headrace.operators.decisions.detail import DetailLayout, detail_layout, read_trace

__all__ = ["ScoredLayout", "layout_of"]

_BASE: Final = (
    "what the contributions are added to, to make the log-odds of the score; null if they were not computed"
)


@dataclass(frozen=True)
class ScoredLayout:
    """How decisions on payments stand in a table.

    Parameters
    ----------
    detail
        How the journal keeps what they were decided by.
    """

    detail: DetailLayout

    with_outcomes = True
    event_fields = ("customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip", "currency")

    @property
    def without(self) -> Collection[str]:
        """None of the columns that others have is missing."""
        return ()

    @property
    def columns(self) -> Sequence[Column]:
        """Features, and what each contributed."""
        return (
            *(
                Column(f"feature_{name}", "float", "a feature; null where missing")
                for name in self.detail.features
            ),
            Column("base_log_odds", "float", _BASE),
            *(
                Column(f"contribution_{name}", "float", "log-odds; null if not computed")
                for name in self.detail.inputs
            ),
        )

    def kept(self, decision: dict[str, Any], event: dict[str, Any], detail: bytes) -> bytes:
        """Hold the detail, which has all of it."""
        del decision, event
        return detail

    def values(self, rows: Sequence[bytes], shared: Mapping[str, Sequence[Any]]) -> Mapping[str, Values]:
        """Return features, contributions and traces."""
        layout = self.detail
        size, kind = layout.packed.size, np.dtype(list(layout.columns))
        fixed = np.frombuffer(b"".join(detail[:size] for detail in rows), dtype=kind)
        contributions = fixed["contributions"].astype(np.float64)
        # Zeros stand for what wasn't computed; a decision whose inputs all add nothing can't be told from it.
        if not layout.always_explained:
            contributions[~contributions.any(axis=1)] = np.nan
        traces = [read_trace(detail[size:]) for detail in rows]
        return {
            "base_log_odds": _bases(shared["score"], contributions),
            "policy_trace": [None if trace is None else orjson.dumps(trace).decode() for trace in traces],
            **{f"feature_{name}": fixed["values"][:, at] for at, name in enumerate(layout.features)},
            **{f"contribution_{name}": contributions[:, at] for at, name in enumerate(layout.inputs)},
        }


def layout_of(settings: FraudSettings) -> ScoredLayout:
    """Return how decisions under a configuration stand in a table."""
    return ScoredLayout(detail_layout(settings))


def _bases(scores: Sequence[float], contributions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the log-odds of the scores less the contributions.

    NaN without them, and for scores of 0 or 1.
    """
    score = np.array(scores, dtype=np.float64)
    inside = (score > 0.0) & (score < 1.0)
    odds = np.full(len(score), np.nan)
    odds[inside] = np.log(score[inside] / (1.0 - score[inside]))
    return np.asarray(odds - contributions.sum(axis=1))
