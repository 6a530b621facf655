"""What the end of a shard's journal says, read from its folder without taking up the state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from headrace.errors import JournalDamaged
from headrace.journal.batches import Mark
from headrace.journal.checkpoint import newest_readable
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import GENESIS, Boundary
from headrace.journal.known_sources import KnownSources
from headrace.journal.provenance import Provenance
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary, start_of

__all__ = ["JournalEnd", "journal_end", "shard_folders"]


@dataclass(frozen=True)
class JournalEnd:
    """The end of a journal.

    Attributes
    ----------
    directory, shard
        The shard's folder and number.
    boundary
        Behind the last whole frame.
    names
        Of the sources that the shard knows, by number.
    sinks
        The newest acknowledged offsets of each output, as they were noted.
    topic_ids
        What the brokers call the topics of these sources, by number; states of earlier versions have none.
    provenance
        The configuration and what else it was last run with; None if nothing was ever noted.
    """

    directory: Path
    shard: int
    boundary: Boundary
    names: Mapping[int, str]
    sinks: Mapping[str, Mapping[str, Any]]
    topic_ids: Mapping[int, str] = field(default_factory=dict)
    provenance: Provenance | None = None

    @property
    def marks(self) -> dict[int, Mark]:
        """How far each source was read."""
        return {mark.source: mark for mark in self.boundary.marks}

    @property
    def fresh(self) -> bool:
        """Whether nothing was ever journalled."""
        return self.boundary == GENESIS


def shard_folders(state: Path, shards: int) -> list[Path]:
    """Return the folders of a state's shards, in the order of their numbers."""
    return [state / f"shard-{number:02}" for number in range(shards)]


def journal_end(directory: Path, shard: int, *, cut_torn_tail: bool) -> JournalEnd:
    """Read the end of a shard's journal; what is needed of the time before it, from its newest checkpoint.

    Parameters
    ----------
    directory
        The shard's folder; it need not be there.
    shard
        The shard's number.
    cut_torn_tail
        Whether the rest of an interrupted write is cut off; only whoever holds the state's lock may.

    Whoever writes the journal may go on meanwhile: what it deletes under the reader's hands is no damage.

    Raises
    ------
    JournalDamaged, StateMismatch
        If the journal can't be read.
    """
    if not directory.is_dir():
        return JournalEnd(directory, shard, GENESIS, {}, {})
    # A running flow begins and deletes segments. What looks like damage is damage only if the folder held the
    # same files before and after; else it is read again.
    while True:
        names = set(os.listdir(directory))
        try:
            return _read(directory, shard, cut_torn_tail=cut_torn_tail)
        except (JournalDamaged, FileNotFoundError):
            if set(os.listdir(directory)) == names:
                raise


def _read(directory: Path, shard: int, *, cut_torn_tail: bool) -> JournalEnd:
    known = KnownSources()
    sinks: dict[str, Mapping[str, Any]] = {}
    provenance: Provenance | None = None
    start = first_boundary(directory)
    checkpoint = newest_readable(directory)
    if checkpoint is not None:
        known.load(checkpoint.header)
        sinks = dict(checkpoint.header.get("sinks", {}))
        provenance = Provenance.of(checkpoint.header)
        start = start_of(directory, checkpoint.segment)
    reader = JournalReader(directory, start, cut_torn_tail=cut_torn_tail)
    for head in reader.heads():
        if head.records and head.ordinal_first == head.ordinal_next:  # so stand the journal's own notes
            for record in read_frame(directory, head.segment, head.position).records:
                if record.kind == Kind.CONTROL:
                    note = orjson.loads(record.input)
                    if note["control"] == "source":
                        known.take(note)
                    elif note["control"] == "sink":
                        sinks[note["output"]] = note
                    elif note["control"] == "config":
                        provenance = Provenance.of(note)
    return JournalEnd(directory, shard, reader.boundary, known.names, sinks, known.topic_ids, provenance)
