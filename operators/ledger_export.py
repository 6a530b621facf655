"""Exports the decisions of a ledger as a table, one row each, with their outcomes joined.

Columns are documented in docs/ledger-export.md. A shard's journal is walked twice: for its outcomes, of which
only digests, labels and times are kept, and for its decisions, which are written in groups of rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson

from headrace.config.settings import restore
from headrace.errors import StateError
from headrace.operators.checkpoint import checkpoint_numbers, checkpoint_path, read_checkpoint
from headrace.operators.codec import decode_one
from headrace.operators.detail import DetailLayout, detail_layout, read_trace
from headrace.operators.events import Outcome
from headrace.operators.journal import (
    Boundary,
    FrameHead,
    JournalReader,
    Kind,
    Record,
    first_boundary,
)
from headrace.operators.ledger_keys import about_key

__all__ = ["Column", "Exported", "Rows", "Selection", "columns_of", "export"]

_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = int(Kind.APPLIED)
_CONTROL: Final = int(Kind.CONTROL)
_EVENT_FIELDS: Final = ("customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip", "currency")
_GROUP_ROWS: Final = 32_768

Progress = Callable[[int, int], None]
Values = Sequence[Any] | np.ndarray[Any, Any]


class Column(NamedTuple):
    """A column of the table.

    Attributes
    ----------
    name, kind
        Its name; `text`, `int`, `float`, `time` (milliseconds since the epoch, UTC), `json` (as text) or
        `reasons` (a list of objects with `code` and `contribution`).
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
    Column("committed_time", "time", "wall clock when its batch was journalled, where the journal says"),
    Column("kind", "text", "what was decided"),
    Column("action", "text", "what was decided to be done"),
    Column("score", "float", "estimated probability, 0 to 1"),
    Column("reasons", "reasons", "codes with their contributions, the strongest first"),
    Column("model", "text", "name of the model, and digest of what it was configured with"),
    Column("policy", "json", "trace of the policy's path, where there is one"),
    *(Column(name, "text", f"the event's `{name}`, where it has one") for name in _EVENT_FIELDS),
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
    Column("ordinal", "int", "number of the input in the merged order of all sources, from 0"),
    Column("source", "text", "name of the source"),
    Column("offset", "int", "byte of the source at which the line starts"),
    Column("line", "int", "number of the line, from 1"),
)


def columns_of(layout: DetailLayout) -> list[Column]:
    """The columns of a table whose decisions have a layout."""
    return [
        *_DECISION_COLUMNS,
        *_OUTCOME_COLUMNS,
        *(Column(f"feature_{name}", "float", "a feature; null where missing") for name in layout.features),
        *(
            Column(f"contribution_{name}", "float", "log-odds; null if not computed")
            for name in layout.inputs
        ),
        *_POSITION_COLUMNS,
    ]


class Rows(Protocol):
    """Where rows go."""

    def begin(self, columns: Sequence[Column]) -> None:
        """The table has these columns."""

    def write(self, group: dict[str, Values]) -> None:
        """Write a group of rows: for each column its values; None, or NaN in a float column, for null."""

    def end(self) -> None:
        """Write what belongs behind the last row."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which decisions are exported.

    Attributes
    ----------
    from_ms, until_ms
        Event times, milliseconds since the epoch: the first that is wanted, and the first that is not.
    """

    from_ms: int | None = None
    until_ms: int | None = None

    def wants(self, event_time_ms: int) -> bool:
        """Whether a decision of that event time is exported."""
        return (self.from_ms is None or event_time_ms >= self.from_ms) and (
            self.until_ms is None or event_time_ms < self.until_ms
        )


@dataclass(slots=True)
class Exported:
    """How many rows were exported, how many of them with an outcome, and erased records left out."""

    rows: int = 0
    with_outcome: int = 0
    erased: int = 0


def export(
    directories: Sequence[Path],
    rows: Rows,
    selection: Selection,
    *,
    group_rows: int = _GROUP_ROWS,
    progress: Progress | None = None,
) -> Exported:
    """Export the decisions of some shards, in the order of their journals, shard after shard.

    Parameters
    ----------
    directories
        The shards'.
    rows
        Where they go.
    selection
        Which decisions.
    group_rows
        Rows that are held in memory and written together, about.
    progress
        Told of bytes and records, for each journal twice.

    Raises
    ------
    JournalDamaged
        At the first byte that is not what was written.
    StateError
        If a configuration is not kept or can't be read, or changed the table's columns.
    """
    exported = Exported()
    columns: list[Column] = []
    for directory in directories:
        outcomes = _Outcomes(directory, progress)
        shard = _Shard(directory, outcomes, selection, exported)
        for group in shard.groups(group_rows, progress):
            if not columns:
                columns = columns_of(group.layout)
                rows.begin(columns)
            elif columns != columns_of(group.layout):
                raise StateError(f"{directory}: the features changed on the way; export the parts by --shard")
            values = group.values(columns)
            rows.write(values)
            exported.rows += len(group.rows)
            exported.with_outcome += int(np.count_nonzero(values["outcomes"]))
    if not columns:
        rows.begin(columns_of(_first_layout(directories)))
    return exported


# ---------------------------------------------------------------- outcomes


class _Outcomes:
    """The outcomes of one shard's journal, 24 bytes each, to be found by the event that they are about."""

    def __init__(self, directory: Path, progress: Progress | None) -> None:
        keys, labels, times = array("Q"), array("b"), array("q")
        reader = JournalReader(directory, first_boundary(directory), cut_torn_tail=False)
        for frame in reader.frames():
            for record in frame.records:
                outcome = _outcome(record) if record.kind == _APPLIED else None
                if outcome is not None:
                    keys.append(about_key(outcome.about))
                    labels.append(outcome.label)
                    times.append(outcome.event_time)
            _tell(progress, frame.head)
        self.end: Boundary = reader.boundary
        order = np.argsort(np.array(keys, dtype=np.uint64), kind="stable")
        self._keys = np.array(keys, dtype=np.uint64)[order]
        self._labels = np.array(labels, dtype=np.int8)[order]
        self._times = np.array(times, dtype=np.int64)[order]

    def of(self, event_ids: Sequence[str]) -> dict[str, Values]:
        """The outcome columns of some events."""
        wanted = np.fromiter(map(about_key, event_ids), dtype=np.uint64, count=len(event_ids))
        first = np.searchsorted(self._keys, wanted, side="left")
        counts = np.searchsorted(self._keys, wanted, side="right") - first
        last = first + counts - 1
        return {
            "label": [
                int(self._labels[at]) if count else None for at, count in zip(last, counts, strict=True)
            ],
            "outcome_time": [
                int(self._times[at]) if count else None for at, count in zip(last, counts, strict=True)
            ],
            "outcomes": counts,
        }


def _outcome(record: Record) -> Outcome | None:
    if b"outcome" not in record.input:
        return None
    event = decode_one(record.input, len(record.input))
    return event if isinstance(event, Outcome) else None


def _tell(progress: Progress | None, head: FrameHead) -> None:
    if progress is not None:
        progress(head.position_next - head.position, head.records)


# ---------------------------------------------------------------- decisions


class _Row(NamedTuple):
    head: FrameHead
    number: int
    record: Record
    decision: dict[str, Any]
    source: str | None


class _Group:
    """Rows that are written together; they have one layout."""

    def __init__(self, shard: str, layout: DetailLayout, outcomes: _Outcomes) -> None:
        self.shard, self.layout, self._outcomes = shard, layout, outcomes
        self.rows: list[_Row] = []

    def values(self, columns: Sequence[Column]) -> dict[str, Values]:
        """For each column its values."""
        found = self._decisions() | self._events() | self._positions() | self._details()
        found |= self._outcomes.of([row.decision["event_id"] for row in self.rows])
        return {column.name: found[column.name] for column in columns}

    def _decisions(self) -> dict[str, Values]:
        decisions, heads = [row.decision for row in self.rows], [row.head for row in self.rows]
        plain = ("decision_id", "event_id", "event_time", "kind", "action", "score", "model")
        return {
            **{name: [decision.get(name) for decision in decisions] for name in plain},
            "reasons": [decision.get("reasons", []) for decision in decisions],
            "accepted_time": [head.accepted_ms for head in heads],
            "committed_time": [getattr(head, "committed_ms", None) for head in heads],
        }

    def _events(self) -> dict[str, Values]:
        events = [_fields(row.record.input) for row in self.rows]
        return {name: [event.get(name) for event in events] for name in _EVENT_FIELDS}

    def _positions(self) -> dict[str, Values]:
        rows = self.rows
        return {
            "shard": [self.shard] * len(rows),
            "segment": [row.head.segment for row in rows],
            "byte": [row.head.position for row in rows],
            "record": [row.number for row in rows],
            "sequence": [row.head.seq + row.number for row in rows],
            "ordinal": [row.record.ordinal for row in rows],
            "source": [row.source for row in rows],
            "offset": [row.record.offset for row in rows],
            "line": [row.record.line for row in rows],
        }

    def _details(self) -> dict[str, Values]:
        layout = self.layout
        size, kind = layout.packed.size, np.dtype(list(layout.columns))
        fixed = np.frombuffer(b"".join(row.record.detail[:size] for row in self.rows), dtype=kind)
        contributions = fixed["contributions"].astype(np.float64)
        if not layout.always_explained:
            contributions[~contributions.any(axis=1)] = np.nan
        traces = [read_trace(row.record.detail[size:]) for row in self.rows]
        return {
            "policy": [None if trace is None else orjson.dumps(trace).decode() for trace in traces],
            **{f"feature_{name}": fixed["values"][:, at] for at, name in enumerate(layout.features)},
            **{f"contribution_{name}": contributions[:, at] for at, name in enumerate(layout.inputs)},
        }


def _fields(line: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


class _Shard:
    """The decisions of one shard."""

    def __init__(
        self, directory: Path, outcomes: _Outcomes, selection: Selection, exported: Exported
    ) -> None:
        self.directory, self._outcomes = directory, outcomes
        self._selection, self._exported = selection, exported
        self._sources: dict[int, str] = {}
        self._layout: DetailLayout | None = None

    def groups(self, group_rows: int, progress: Progress | None) -> Iterator[_Group]:
        """Groups of rows, up to where the outcomes were read."""
        end, group = self._outcomes.end, None
        start = first_boundary(self.directory)
        if end == start:
            return
        self._begin(start)
        for frame in JournalReader(self.directory, start, cut_torn_tail=False).frames():
            for number, record in enumerate(frame.records):
                row = self._row(frame.head, number, record)
                if row is None:
                    continue
                if group is not None and (group.layout is not self._layout or len(group.rows) >= group_rows):
                    yield group
                    group = None
                group = group or _Group(self.directory.name, self._known_layout(), self._outcomes)
                group.rows.append(row)
            _tell(progress, frame.head)
            if (frame.head.segment, frame.head.position_next) == (end.segment, end.byte):
                break
        if group is not None:
            yield group

    def _row(self, head: FrameHead, number: int, record: Record) -> _Row | None:
        if record.kind == _CONTROL and not record.erased:
            self._control(orjson.loads(record.input))
        if record.kind != _DECIDED:
            return None
        if record.erased:
            self._exported.erased += 1
            return None
        decision = orjson.loads(record.output)
        if not self._selection.wants(decision["event_time"]):
            return None
        return _Row(head, number, record, decision, self._sources.get(record.source))

    def _control(self, note: dict[str, Any]) -> None:
        if note["control"] == "source":
            self._sources[note["number"]] = note["name"]
        elif note["control"] == "config":
            self._lay_out(note["settings"])

    def _lay_out(self, written: str) -> None:
        try:
            layout = detail_layout(restore(written.encode()))
        except ValueError as error:
            raise StateError(
                f"{self.directory}: a configuration in the journal can't be read: {error}"
            ) from error
        if layout != self._layout:
            self._layout = layout

    def _known_layout(self) -> DetailLayout:
        if self._layout is None:
            raise StateError(f"{self.directory}: the journal has decisions before any configuration")
        return self._layout

    def _begin(self, start: Boundary) -> None:
        """Where the journal's beginning is no longer kept, a checkpoint knows what held at its start."""
        if start.segment > 1 and start.segment in checkpoint_numbers(self.directory):
            header = read_checkpoint(checkpoint_path(self.directory, start.segment)).header
            self._sources = {int(number): name for number, name in header["sources"].items()}
            self._lay_out(header["settings"])


def _first_layout(directories: Sequence[Path]) -> DetailLayout:
    """The layout of the first configuration, for a table without rows."""
    for directory in directories:
        for frame in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames():
            for record in frame.records:
                if record.kind == _CONTROL and not record.erased:
                    note = orjson.loads(record.input)
                    if note["control"] == "config":
                        return detail_layout(restore(note["settings"].encode()))
    raise StateError(f"{directories[0].parent}: nothing was ever journalled here")
