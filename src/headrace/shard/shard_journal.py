"""What a shard journals: its inputs, and notes of what must be known besides them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import orjson

from headrace.config.addresses import partition_of
from headrace.config.tables import RunSettings
from headrace.journal.batches import Batch, Mark
from headrace.journal.known_sources import source_note
from headrace.journal.provenance import provenance_now
from headrace.journal.records import NO_SOURCE, Kind, Record, RecordFields
from headrace.journal.retention import keeps_all
from headrace.journal.writer import JournalWriter
from headrace.shard.apply_record import DELIVERED, SUBJECTS
from headrace.shard.checkpoint_header import header_of
from headrace.shard.machine import Machine
from headrace.shard.recovery import Recovered

__all__ = ["ShardJournal"]

_EMPTY_ORDINALS_MAX: Final = 65_536  # a shard that gets no inputs still notes its position so often


class ShardJournal:
    """The end of a shard's journal, with what its notes say.

    Parameters
    ----------
    settings, learn
        The configuration to go on with, and whether the model learns.
    found
        What the notes said when the shard was opened.
    writer
        Where the journal goes on; None for a temporary shard, which keeps nothing.

    Attributes
    ----------
    position
        Ordinal of the next input.
    seen
        Ordinal behind the last batch, of which this shard may have had no input.
    sources, sinks
        The sources by number; what was noted of each output.
    before
        What was in force when the shard was last run; None if it is new.
    """

    def __init__(
        self, settings: RunSettings, found: Recovered, writer: JournalWriter | None, *, learn: bool
    ) -> None:
        self._settings, self._learn, self.writer = settings, learn, writer
        self.sources, self.sinks, self.position = found.sources, found.sinks, found.position
        self.before = self._in_force = found.provenance
        self.seen = 0

    def note(self, note: dict[str, Any]) -> None:
        """Journal a note."""
        self._note_all([note])

    def _note_all(self, notes: Sequence[dict[str, Any]]) -> None:
        """Journal notes as one frame."""
        if self.writer is not None:
            payloads = map(orjson.dumps, notes)
            records = [
                Record(Kind.CONTROL, 0, NO_SOURCE, self.position, 0, 0, payload, b"", b"")
                for payload in payloads
            ]
            self.append(records, self.position)

    def append(self, records: Sequence[Record], ordinal_next: int, marks: Sequence[Mark] = ()) -> None:
        """Journal what comes from no source."""
        assert self.writer is not None
        self.writer.append(
            records,
            ordinal_first=self.position,
            ordinal_next=ordinal_next,
            accepted_ms=time.time_ns() // 1_000_000,
            marks=marks,
        )
        self.position = ordinal_next

    def append_batch(self, batch: Batch, records: list[RecordFields]) -> None:
        """Journal a batch's inputs and what became of them."""
        self.seen = batch.ordinal_next
        if self.writer is not None:
            # What comes through the control channel stands at the same place in every shard's journal.
            empty = not records and not batch.flags
            if empty and batch.ordinal_next - self.position < _EMPTY_ORDINALS_MAX:
                return
            self.writer.append(
                records,
                ordinal_first=max(batch.ordinal, self.position),
                ordinal_next=batch.ordinal_next,
                accepted_ms=batch.accepted_ms,
                marks=batch.marks,
            )
        self.position = batch.ordinal_next

    def note_config(self, state: Machine) -> None:
        """Journal configuration, code and kernel that hold from here on, when they differ from before."""
        provenance = provenance_now(self._settings, learn=self._learn)
        if provenance != self._in_force:
            self.note({"control": "config", **provenance.said()})
            self._in_force = provenance
            state.configure(self._settings, learn=self._learn)

    def note_beginning(self) -> None:
        """Journal again what readers must know, where segments are deleted so that this may be the first."""
        if self._in_force is not None and not keeps_all(self._settings.journal):
            config = {"control": "config", **self._in_force.said()}
            self._note_all([config, *self.sources.notes(), *self.sinks.values()])

    def register(self, number: int, name: str, topic_id: str | None = None) -> None:
        """Give a source its number, and a partition its topic's id; journalled when it is new."""
        since_ms = None
        if partition_of(name) is not None and number not in self.sources.names:
            since_ms = time.time_ns() // 1_000_000
        note = source_note(number, name, topic_id, since_ms)
        if self.sources.take(note):
            self.note(note)

    def note_marks(self, marks: Sequence[Mark]) -> None:
        """Journal how far sources were read, without an input."""
        if self.writer is not None:
            self.append([], self.position, marks)

    def note_sink(self, note: dict[str, Any]) -> None:
        """Journal up to where an output is known to be complete (see `watermarks`)."""
        self.sinks[note["output"]] = note
        self.note(note)

    def note_delivered(self, decision_id: str, delivered: str) -> None:
        """Journal what consumers have in the place of a decision, without whom it is about."""
        try:
            said = {key: value for key, value in orjson.loads(delivered).items() if key not in SUBJECTS}
        except (ValueError, AttributeError):  # somebody else has written it there
            said = {}
        self.note({"control": DELIVERED, "decision_id": decision_id, "decision": said})

    def note_lost(self, name: str, first: int, after: int) -> None:
        """Journal that messages of a partition, up to an offset, were deleted before they were read."""
        self.note({"control": "lost", "source": name, "first": first, "next": after})

    def level(self, position: int) -> None:
        """Go on behind inputs that other shards have and that can't be read again."""
        if position > self.position:
            self.append([], position)

    def header(self) -> dict[str, Any]:
        """Lay out the header of a checkpoint that is taken here."""
        provenance = self._in_force or provenance_now(self._settings, learn=self._learn)
        return header_of(provenance, self.sources, self.sinks)

    @property
    def marks(self) -> dict[int, Mark]:
        """How far each source was read, by its number; none for a temporary shard."""
        return {} if self.writer is None else {mark.source: mark for mark in self.writer.end.marks}
