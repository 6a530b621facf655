"""Rows of an exported table that are written together, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from headrace.journal.frames import FrameHead
from headrace.journal.records import Record
from headrace.ledger.export_columns import Column, Layout, Values
from headrace.ledger.export_outcomes import Outcomes

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
_RECORD_FIELDS: Final = (
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
        gathered = (*_DECISION_FIELDS, *layout.event_fields, *_RECORD_FIELDS)
        self._lists: dict[str, list[Any]] = {name: [] for name in gathered}
        self._kept: list[Any] = []
        # Columns are lists that grow together: no object for each row, and no turning of rows into columns in
        # the end.
        self._add = [self._lists[name].append for name in gathered]

    def __len__(self) -> int:
        return len(self._kept)

    def add(
        self, head: FrameHead, number: int, record: Record, decision: dict[str, Any], source: str | None
    ) -> None:
        """Take in a row."""
        event = _fields(record.input)
        values = (
            *[decision.get(name) for name in _DECISION_FIELDS],
            *[event.get(name) for name in self.layout.event_fields],
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
        # What a kind needs of its own is taken out here: the decision itself would hold a whole frame in
        # memory.
        self._kept.append(self.layout.kept(decision, event, record.detail))

    def values(self, columns: Sequence[Column], outcomes: Outcomes) -> dict[str, Values]:
        """For each column its values."""
        found: dict[str, Values] = {**self._lists}
        found |= self.layout.values(self._kept, self._lists)
        if self.layout.with_outcomes:
            found |= outcomes.of(self._lists["event_id"])
        found["shard"] = [self._shard] * len(self)
        return {column.name: found[column.name] for column in columns}


def _fields(line: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
