"""Rows of an exported table that are written together, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson

from headrace.journal.frames import FrameHead
from headrace.journal.records import Record
from headrace.ledger.export_columns import EVENT_FIELDS, Column, Layout, Values
from headrace.ledger.export_outcomes import Outcomes
from headrace.operators.decisions.detail import read_trace
from headrace.operators.recommend.exported import SlateLayout, list_values

__all__ = ["Group"]


_DECISION_FIELDS: Final = (
    "decision_id",
    "event_id",
    "event_time",
    "kind",
    "action",
    "score",
    "shadow_action",
    "policy",
    "reasons",
    "model",
)
_GATHERED: Final = (
    *_DECISION_FIELDS,
    *EVENT_FIELDS,
    "retried",
    "overdue",
    "accepted_time",
    "committed_time",
    "segment",
    "byte",
    "record",
    "sequence",
    "ordinal",
    "source",
    "offset",
    "line",
)


class Group:
    """Rows that are written together; they have one layout.

    Of a row its values are held, not the objects that they were read from: those would hold whole frames,
    and keep Python's cycle collector busy.
    """

    def __init__(self, shard: str, layout: Layout) -> None:
        self.layout = layout
        self._shard = shard
        self._lists: dict[str, list[Any]] = {name: [] for name in _GATHERED}
        self._details: list[bytes] = []
        self._items: list[list[dict[str, Any]]] = []
        self._clicked: list[str | None] = []
        # Columns are lists that grow together: no object for each row, and no turning of rows into columns in
        # the end.
        self._add = [self._lists[name].append for name in _GATHERED]

    def __len__(self) -> int:
        return len(self._details)

    def add(
        self, head: FrameHead, number: int, record: Record, decision: dict[str, Any], source: str | None
    ) -> None:
        """Take in a row."""
        event = _fields(record.input)
        values = (
            *[decision.get(name) for name in _DECISION_FIELDS],
            *[event.get(name) for name in EVENT_FIELDS],
            record.retried,
            record.overdue,
            head.accepted_ms,
            head.committed_ms,
            head.segment,
            head.position,
            number,
            head.seq + number,
            record.ordinal,
            source,
            record.offset,
            record.line,
        )
        for add, value in zip(self._add, values, strict=True):
            add(value)
        self._details.append(record.detail)
        if isinstance(self.layout, SlateLayout):
            self._items.append(decision["items"])
            self._clicked.append(event.get("item_id"))

    def values(self, columns: Sequence[Column], outcomes: Outcomes) -> dict[str, Values]:
        """For each column its values."""
        found = self._lists | self._unpacked() | outcomes.of(self._lists["event_id"])
        found["shard"] = [self._shard] * len(self)
        return {column.name: found[column.name] for column in columns}

    def _unpacked(self) -> dict[str, Values]:
        layout = self.layout
        if isinstance(layout, SlateLayout):
            return dict(list_values(self._items, self._clicked, self._details))
        size, kind = layout.packed.size, np.dtype(list(layout.columns))
        fixed = np.frombuffer(b"".join(detail[:size] for detail in self._details), dtype=kind)
        contributions = fixed["contributions"].astype(np.float64)
        if not layout.always_explained:
            # All zero says that none were worked out; a model that explains always may well say zero.
            contributions[~contributions.any(axis=1)] = np.nan
        traces = [read_trace(detail[size:]) for detail in self._details]
        return {
            "base_log_odds": _bases(self._lists["score"], contributions),
            "policy_trace": [None if trace is None else orjson.dumps(trace).decode() for trace in traces],
            **{f"feature_{name}": fixed["values"][:, at] for at, name in enumerate(layout.features)},
            **{f"contribution_{name}": contributions[:, at] for at, name in enumerate(layout.inputs)},
        }


def _bases(scores: Sequence[float], contributions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the log-odds of the scores less the contributions.

    NaN without them, and for scores of 0 or 1.
    """
    score = np.array(scores, dtype=np.float64)
    inside = (score > 0.0) & (score < 1.0)
    odds = np.full(len(score), np.nan)
    odds[inside] = np.log(score[inside] / (1.0 - score[inside]))
    return np.asarray(odds - contributions.sum(axis=1))


def _fields(line: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
