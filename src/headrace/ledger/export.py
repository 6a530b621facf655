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

from headrace.config.canonical import restore
from headrace.config.fraud_flow import FraudSettings
from headrace.config.tables import RunSettings
from headrace.errors import StateError
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path, read_checkpoint
from headrace.journal.frames import Boundary, FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, Kind, Record
from headrace.journal.segments import first_boundary
from headrace.ledger.keys import about_key
from headrace.operators.decisions.detail import DetailLayout, detail_layout, read_trace
from headrace.operators.events.contract import Outcome
from headrace.operators.events.decode import decode_one
from headrace.operators.recommend.exported import ListLayout, list_values

__all__ = ["Column", "Exported", "Rows", "Selection", "columns_of", "export"]

_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = int(Kind.APPLIED)
_CONTROL: Final = int(Kind.CONTROL)
_EVENT_FIELDS: Final = ("customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip", "currency")
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
    *_EVENT_FIELDS,
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
_GROUP_ROWS: Final = 16_384

Progress = Callable[[int, int], None]
Values = Sequence[Any] | np.ndarray[Any, Any]
Layout = DetailLayout | ListLayout


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
    *(Column(name, "text", f"the event's `{name}`, where it has one") for name in _EVENT_FIELDS),
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
    Column("items", "json", "the list, best first: id, score, source, anchor, support, and text"),
    Column("candidates", "int", "how many items were ranked"),
)


def columns_of(layout: Layout) -> list[Column]:
    """The columns of a table whose decisions have a layout."""
    if isinstance(layout, ListLayout):
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
    """How many rows were exported, how many of them with an outcome, and what is not among them.

    Attributes
    ----------
    rows, with_outcome
        Rows, and those with an outcome.
    erased
        Decisions left out because they were erased.
    gone
        Records of the journals' beginnings that are no longer kept.
    of_lists
        Whether they are lists, which have no outcomes.
    """

    rows: int = 0
    with_outcome: int = 0
    erased: int = 0
    gone: int = 0
    of_lists: bool = False


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
        exported.gone += first_boundary(directory).seq
        outcomes = _Outcomes(directory, progress)
        shard = _Shard(directory, outcomes, selection, exported)
        for group in shard.groups(group_rows, progress):
            if not columns:
                columns = columns_of(group.layout)
                rows.begin(columns)
            elif columns != columns_of(group.layout):
                raise StateError(f"{directory}: the features changed on the way; export the parts by --shard")
            values = group.values(columns, outcomes)
            rows.write(values)
            exported.rows += len(group)
            exported.of_lists = isinstance(group.layout, ListLayout)
            exported.with_outcome += int(np.count_nonzero(values.get("outcomes", ())))
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
        last = (first + counts - 1).tolist()
        return {
            "label": _where(counts, self._labels, last),
            "outcome_time": _where(counts, self._times, last),
            "outcomes": counts,
        }


def _where(counts: Any, values: Any, places: list[int]) -> list[int | None]:
    return [int(values[at]) if count else None for at, count in zip(places, counts.tolist(), strict=True)]


def _outcome(record: Record) -> Outcome | None:
    if b"outcome" not in record.input:
        return None
    event = decode_one(record.input, len(record.input))
    return event if isinstance(event, Outcome) else None


def _tell(progress: Progress | None, head: FrameHead) -> None:
    if progress is not None:
        progress(head.position_next - head.position, head.records)


# ---------------------------------------------------------------- decisions


class _Group:
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
            *[event.get(name) for name in _EVENT_FIELDS],
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
        if isinstance(self.layout, ListLayout):
            self._items.append(decision["items"])
            self._clicked.append(event.get("item_id"))

    def values(self, columns: Sequence[Column], outcomes: _Outcomes) -> dict[str, Values]:
        """For each column its values."""
        found = self._lists | self._unpacked() | outcomes.of(self._lists["event_id"])
        found["shard"] = [self._shard] * len(self)
        return {column.name: found[column.name] for column in columns}

    def _unpacked(self) -> dict[str, Values]:
        layout = self.layout
        if isinstance(layout, ListLayout):
            return dict(list_values(self._items, self._clicked, self._details))
        size, kind = layout.packed.size, np.dtype(list(layout.columns))
        fixed = np.frombuffer(b"".join(detail[:size] for detail in self._details), dtype=kind)
        contributions = fixed["contributions"].astype(np.float64)
        if not layout.always_explained:
            contributions[~contributions.any(axis=1)] = np.nan
        traces = [read_trace(detail[size:]) for detail in self._details]
        return {
            "base_log_odds": _bases(self._lists["score"], contributions),
            "policy_trace": [None if trace is None else orjson.dumps(trace).decode() for trace in traces],
            **{f"feature_{name}": fixed["values"][:, at] for at, name in enumerate(layout.features)},
            **{f"contribution_{name}": contributions[:, at] for at, name in enumerate(layout.inputs)},
        }


def _bases(scores: Sequence[float], contributions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The log-odds of the scores less the contributions; NaN without them, and for scores of 0 or 1."""
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


class _Shard:
    """The decisions of one shard."""

    def __init__(
        self, directory: Path, outcomes: _Outcomes, selection: Selection, exported: Exported
    ) -> None:
        self.directory, self._outcomes = directory, outcomes
        self._selection, self._exported = selection, exported
        self._sources: dict[int, str] = {CONTROL_SOURCE: "control"}
        self._layout: Layout | None = None

    def groups(self, group_rows: int, progress: Progress | None) -> Iterator[_Group]:
        """Groups of rows, up to where the outcomes were read."""
        end, group = self._outcomes.end, None
        start = first_boundary(self.directory)
        if end == start:
            return
        self._begin(start)
        for frame in JournalReader(self.directory, start, cut_torn_tail=False).frames():
            for number, record in enumerate(frame.records):
                decision = self._wanted(record)
                if decision is None:
                    continue
                if group is not None and (group.layout is not self._layout or len(group) >= group_rows):
                    yield group
                    group = None
                if group is None:
                    group = _Group(self.directory.name, self._known_layout())
                group.add(frame.head, number, record, decision, self._sources.get(record.source))
            _tell(progress, frame.head)
            if (frame.head.segment, frame.head.position_next) == (end.segment, end.byte):
                break
        if group is not None:
            yield group

    def _wanted(self, record: Record) -> dict[str, Any] | None:
        """The decision of a record, if it is one to be exported; what a control record says is noted."""
        if record.kind == _CONTROL and not record.erased:
            self._control(orjson.loads(record.input))
        if record.kind != _DECIDED:
            return None
        if record.erased:
            self._exported.erased += 1
            return None
        decision: dict[str, Any] = orjson.loads(record.output)
        return decision if self._selection.wants(decision["event_time"]) else None

    def _control(self, note: dict[str, Any]) -> None:
        if note["control"] == "source":
            self._sources[note["number"]] = note["name"]
        elif note["control"] == "config":
            self._lay_out(note["settings"])

    def _lay_out(self, written: str) -> None:
        try:
            layout = _layout_of(restore(written.encode()))
        except ValueError as error:
            raise StateError(
                f"{self.directory}: a configuration in the journal can't be read: {error}"
            ) from error
        if layout != self._layout:
            self._layout = layout

    def _known_layout(self) -> Layout:
        if self._layout is None:
            raise StateError(f"{self.directory}: the journal has decisions before any configuration")
        return self._layout

    def _begin(self, start: Boundary) -> None:
        """Where the journal's beginning is no longer kept, a checkpoint knows what held at its start."""
        if start.segment > 1 and start.segment in checkpoint_numbers(self.directory):
            header = read_checkpoint(checkpoint_path(self.directory, start.segment)).header
            self._sources |= {int(number): name for number, name in header["sources"].items()}
            self._lay_out(header["settings"])


def _layout_of(settings: RunSettings) -> Layout:
    return detail_layout(settings) if isinstance(settings, FraudSettings) else ListLayout()


def _first_layout(directories: Sequence[Path]) -> Layout:
    """The layout of the first configuration, for a table without rows."""
    for directory in directories:
        for frame in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames():
            for record in frame.records:
                if record.kind == _CONTROL and not record.erased:
                    note = orjson.loads(record.input)
                    if note["control"] == "config":
                        return _layout_of(restore(note["settings"].encode()))
    raise StateError(f"{directories[0].parent}: nothing was ever journalled here")
