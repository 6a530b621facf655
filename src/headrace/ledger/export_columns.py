"""The columns of an exported table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

__all__ = ["Column", "Layout", "Values", "columns_of"]


Values = Sequence[Any] | np.ndarray[Any, Any]


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


class Layout(Protocol):
    """What a kind has of its own in an exported table; two are equal if their tables have the same columns.

    Attributes
    ----------
    without
        Columns that all tables have otherwise, and this one doesn't.
    event_fields
        Fields of the events that have a column of their own, where an event has them.
    columns
        Its own, in their order. They stand behind those of outcomes, and before those that say where a record
        stands.
    with_outcomes
        Whether the table says what became of the events.
    """

    @property
    def without(self) -> Collection[str]:
        """See the class."""
        ...

    @property
    def event_fields(self) -> Sequence[str]:
        """See the class."""
        ...

    @property
    def columns(self) -> Sequence[Column]:
        """See the class."""
        ...

    @property
    def with_outcomes(self) -> bool:
        """See the class."""
        ...

    def kept(self, decision: dict[str, Any], event: dict[str, Any], detail: bytes) -> Any:
        """Return what is held of a row, to make its own columns of."""
        ...

    def values(self, rows: Sequence[Any], shared: Mapping[str, Sequence[Any]]) -> Mapping[str, Values]:
        """Return its own columns.

        Parameters
        ----------
        rows
            What was kept of each row.
        shared
            Columns that all tables have, by name.

        Raises
        ------
        ValueError
            If what the journal keeps of a decision isn't as it should be.
        """
        ...


def columns_of(layout: Layout) -> list[Column]:
    """Return the columns of a table whose decisions have a layout."""
    return [
        *(column for column in _DECISION_COLUMNS if column.name not in layout.without),
        *(Column(name, "text", f"the event's `{name}`, where it has one") for name in layout.event_fields),
        *(_OUTCOME_COLUMNS if layout.with_outcomes else ()),
        *layout.columns,
        *_POSITION_COLUMNS,
    ]
