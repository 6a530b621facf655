"""Exports the decisions of a ledger as a table, one row each, with their outcomes joined.

Columns are documented in docs/ledger-export.md. A shard's journal is walked twice: for its outcomes, of which
only digests, labels and times are kept, and for its decisions, which are written in groups of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import orjson

from headrace.config.canonical import restore
from headrace.config.tables import RunSettings
from headrace.errors import StateError
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path, read_checkpoint
from headrace.journal.frames import Boundary
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, Kind, Record
from headrace.journal.segments import first_boundary
from headrace.ledger.export_columns import Column, Layout, Values, columns_of
from headrace.ledger.export_outcomes import Outcomes, Progress, tell
from headrace.ledger.export_rows import Group
from headrace.shard.decision_line import lines_of
from headrace.shard.kinds import kind_of

__all__ = ["Exported", "Rows", "Selection", "export"]


_DECIDED: Final = int(Kind.DECIDED)
_CONTROL: Final = int(Kind.CONTROL)
_GROUP_ROWS: Final = 16_384


class Rows(Protocol):
    """Where rows go."""

    def begin(self, columns: Sequence[Column]) -> None:
        """Begin a table with these columns."""

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
        Inputs that were decided on and left out because they were erased.
    gone
        Records of the journals' beginnings that are no longer kept.
    with_outcomes
        Whether the table says what became of the events.
    """

    rows: int = 0
    with_outcome: int = 0
    erased: int = 0
    gone: int = 0
    with_outcomes: bool = True


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
        # Outcomes come after their decisions, so the journal is walked for them first; rows then need no
        # second visit.
        outcomes = Outcomes(directory, progress)
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
            exported.with_outcomes = group.layout.with_outcomes
            exported.with_outcome += int(np.count_nonzero(values.get("outcomes", ())))
    if not columns:
        rows.begin(columns_of(_first_layout(directories)))
    return exported


class _Shard:
    """The decisions of one shard."""

    def __init__(self, directory: Path, outcomes: Outcomes, selection: Selection, exported: Exported) -> None:
        self.directory, self._outcomes = directory, outcomes
        self._selection, self._exported = selection, exported
        self._sources: dict[int, str] = {CONTROL_SOURCE: "control"}
        self._layout: Layout | None = None

    def groups(self, group_rows: int, progress: Progress | None) -> Iterator[Group]:
        """Yield groups of rows, up to where the outcomes were read."""
        end, group = self._outcomes.end, None
        start = first_boundary(self.directory)
        if end == start:
            return
        self._begin(start)
        for frame in JournalReader(self.directory, start, cut_torn_tail=False).frames():
            for number, record in enumerate(frame.records):
                wanted = self._wanted(record)
                if not wanted:
                    continue
                if group is not None and (group.layout is not self._layout or len(group) >= group_rows):
                    yield group
                    group = None
                if group is None:
                    group = Group(self.directory.name, self._known_layout())
                for decision in wanted:
                    group.add(frame.head, number, record, decision, self._sources.get(record.source))
            tell(progress, frame.head)
            # A flow may have written on; decisions behind the outcomes' end would look as if none had come.
            if (frame.head.segment, frame.head.position_next) == (end.segment, end.byte):
                break
        if group is not None:
            yield group

    def _wanted(self, record: Record) -> Sequence[dict[str, Any]]:
        """Return the decisions of a record that are to be exported.

        What a control record says is noted.
        """
        if record.kind == _CONTROL and not record.erased:
            self._control(orjson.loads(record.input))
        if record.kind != _DECIDED:
            return ()
        if record.erased:
            self._exported.erased += 1
            return ()
        decisions: list[dict[str, Any]] = list(map(orjson.loads, lines_of(record.output)))
        return [decision for decision in decisions if self._selection.wants(decision["event_time"])]

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
        # Kept if it is equal: groups end where the layout's object changes, and each restart notes its
        # configuration.
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
    layout: Layout = kind_of(settings).layout(settings)
    return layout


def _first_layout(directories: Sequence[Path]) -> Layout:
    """Return the layout of the first configuration, for a table without rows."""
    for directory in directories:
        for frame in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames():
            for record in frame.records:
                if record.kind == _CONTROL and not record.erased:
                    note = orjson.loads(record.input)
                    if note["control"] == "config":
                        return _layout_of(restore(note["settings"].encode()))
    raise StateError(f"{directories[0].parent}: nothing was ever journalled here")
