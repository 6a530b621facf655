"""The columns of an exported table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from headrace.operators.decisions.detail import DetailLayout
from headrace.operators.recommend.exported import SlateLayout

__all__ = ["EVENT_FIELDS", "Column", "Layout", "Values", "columns_of"]


EVENT_FIELDS: Final = ("customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip", "currency")
"""Fields of an event that have a column of their own, where it has them."""

Values = Sequence[Any] | np.ndarray[Any, Any]
Layout = DetailLayout | SlateLayout


class Column(NamedTuple):
    """A column of the table.

    Attributes
    ----------
    name, kind
        Its name; `text`, `int`, `float`, `time` (milliseconds since the epoch, UTC), `bool`, `json`
        (as text) or `reasons` (a list of objects with `code` and `contribution`).
    meaning
        What stands in it.
    """

    name: str
    kind: str
    meaning: str


_DECISION_COLUMNS: Final = (
    Column("decision_id", "text", "id of the decision"),
    Column("event_id", "text", "id of the event that asked"),
    Column("event_time", "time", "when the event happened"),
    Column("accepted_time", "time", "wall clock when its batch was read"),
    Column("committed_time", "time", "wall clock when its batch was journalled"),
    Column("kind", "text", "what was decided"),
    Column("action", "text", "what was decided to be done"),
    Column("score", "float", "estimated probability, 0 to 1"),
    Column("reasons", "reasons", "codes with their contributions, the strongest first"),
    Column("model", "text", "name of the model, and digest of what it was configured with"),
    Column("shadow_action", "text", "what would have been done, where a policy only watches"),
    Column("policy", "text", "what decided: null for the score alone, else a part of the policy"),
    Column("policy_trace", "json", "what that part says of it"),
    Column("retried", "bool", "whether the input was a dead letter's, given once more"),
    Column("overdue", "bool", "whether the input had waited longer than its limit"),
    *(Column(name, "text", f"the event's `{name}`, where it has one") for name in EVENT_FIELDS),
)
_BASE: Final = (
    "what the contributions are added to, to make the log-odds of the score; null if they were not computed"
)
_OUTCOME_COLUMNS: Final = (
    Column("label", "int", "label of the last outcome about the event, 0 or 1; null without any"),
    Column("outcome_time", "time", "event time of that outcome"),
    Column("outcomes", "int", "how many outcomes about the event the journal holds"),
)
_POSITION_COLUMNS: Final = (
    Column("shard", "text", "name of the shard"),
    Column("segment", "int", "number of the segment"),
    Column("byte", "int", "where the frame starts in it"),
    Column("record", "int", "number of the record in the frame, from 0"),
    Column("sequence", "int", "number of the record in the shard's journal, from 0"),
    Column(
        "ordinal",
        "int",
        "number of the input in the merged order of all sources, on topics in the shard, from 0",
    ),
    Column("source", "text", "name of the source"),
    Column("offset", "int", "byte of the source at which the line starts"),
    Column("line", "int", "number of the line, from 1"),
)
_OF_SCORES: Final = ("score", "shadow_action", "policy_trace")
_LIST_COLUMNS: Final = (
    Column("item_id", "text", "the item that was clicked"),
    Column("items", "json", "the slate, best first: id, score, source, anchor, support, and text"),
    Column("candidates", "int", "how many items were ranked"),
)


def columns_of(layout: Layout) -> list[Column]:
    """Return the columns of a table whose decisions have a layout."""
    if isinstance(layout, SlateLayout):
        shared = [column for column in _DECISION_COLUMNS if column.name not in _OF_SCORES]
        return [*shared, *_LIST_COLUMNS, *_POSITION_COLUMNS]
    return [
        *_DECISION_COLUMNS,
        *_OUTCOME_COLUMNS,
        *(Column(f"feature_{name}", "float", "a feature; null where missing") for name in layout.features),
        Column("base_log_odds", "float", _BASE),
        *(
            Column(f"contribution_{name}", "float", "log-odds; null if not computed")
            for name in layout.inputs
        ),
        *_POSITION_COLUMNS,
    ]
