"""Brings a shard's state back: the newest readable checkpoint, then the journal's tail applied again.

Each decision made again must be the recorded one.
"""

from __future__ import annotations

import os
import time
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.config.canonical import restore
from headrace.config.tables import RunSettings
from headrace.errors import StateError, StateMismatch
from headrace.journal.checkpoint import checkpoint_path, newest_readable
from headrace.journal.frames import GENESIS, Boundary, Frame
from headrace.journal.known_sources import KnownSources
from headrace.journal.provenance import Provenance
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, Kind
from headrace.journal.scan import notes_of
from headrace.journal.segments import first_boundary, start_of
from headrace.operators.compiled.twins import TWINS
from headrace.shard.apply_record import apply_again
from headrace.shard.checkpoint_header import STATE_VERSION, place_of
from headrace.shard.kinds import build_machine, changes_between
from headrace.shard.machine import Machine
from headrace.shard.mismatch import differences, other_version
from headrace.shard.telemetry import ShardTelemetry, Silent

__all__ = ["CONTROL_NAMES", "Recovered", "Recovery"]

CONTROL_NAMES: Final = {CONTROL_SOURCE: "control"}


@dataclass(slots=True)
class Recovered:
    """What is known of a shard once it is opened.

    Attributes
    ----------
    state
        The state machine at the journal's end.
    sources
        The sources by number.
    sinks
        What was noted of each output.
    provenance
        What was in force when the shard was last run; None if it is new.
    position
        Ordinal of the next input.
    replayed
        Inputs that were applied again.
    checkpoint_age_s
        How old the checkpoint is, by the wall clock; 0 if there is none.
    """

    state: Machine
    sources: KnownSources = field(default_factory=KnownSources)
    sinks: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: Provenance | None = None
    position: int = 0
    replayed: int = 0
    checkpoint_age_s: float = 0.0


class Recovery:
    """The opening of one shard.

    Parameters
    ----------
    directory
        The shard's; it exists.
    settings
        The configuration to go on with.
    shard, learn, telemetry
        As `DurableShard` takes them.

    Attributes
    ----------
    found
        What was brought back, once it has `run`.
    """

    found: Recovered

    def __init__(
        self, directory: Path, settings: RunSettings, *, shard: int, learn: bool, telemetry: ShardTelemetry
    ) -> None:
        self._directory, self._settings = directory, settings
        self._shard, self._learn, self._telemetry = shard, learn, telemetry

    def run(self) -> Boundary:
        """Bring the state back, and tell where the journal ends.

        Raises
        ------
        StateMismatch
            If the saved state has another shape than the configuration.
        JournalDamaged, CheckpointDamaged, StateError
            If the state can't be read, or inputs applied again give another result.
        """
        directory = self._directory
        # A damaged checkpoint costs time only: an older one, or none, and more of the journal give the same
        # state.
        checkpoint = newest_readable(directory)
        if checkpoint is None:
            settings = self._first_settings(directory)
            self.found = Recovered(build_machine(settings, shard=self._shard, learn=self._learn))
            start = first_boundary(directory)
            if start.segment != GENESIS.segment:
                raise StateError(
                    f"{directory}: no checkpoint can be read, and the journal's beginning is gone"
                    f" (it starts with segment {start.segment})"
                )
        else:
            self._load(checkpoint.header, checkpoint.blobs)
            self.found.checkpoint_age_s = _age_s(checkpoint_path(directory, checkpoint.segment))
            start = start_of(directory, checkpoint.segment)
            self._see_place(checkpoint.header, start)
        found = self.found
        found.state.source_names = ChainMap(found.sources.names, CONTROL_NAMES)
        found.position = start.ordinal
        reader = JournalReader(directory, start, cut_torn_tail=True)
        expected = self._expected(directory, start)
        twins_changes = TWINS.changes
        for frame in reader.frames():
            if TWINS.changes != twins_changes:
                twins_changes = TWINS.changes
                found.state.take_compiled()
            self._replay(frame)
            self._telemetry.recovering(self._shard, found.replayed, expected)
        return reader.boundary

    def _expected(self, directory: Path, start: Boundary) -> int:
        """How many inputs a recovery from there has to apply again."""
        if isinstance(self._telemetry, Silent):
            return 0
        heads = JournalReader(directory, start, cut_torn_tail=True).heads()
        return sum(head.records for head in heads if head.ordinal_next > head.ordinal_first)

    def _see_place(self, header: Mapping[str, Any], start: Boundary) -> None:
        """See that the journal behind a checkpoint with a keyed digest is the one that was there."""
        if "journal" in header and header["journal"] != place_of(start):
            raise StateError(
                f"{self._directory}: segment {start.segment} doesn't begin where its checkpoint was taken"
            )

    def _first_settings(self, directory: Path) -> RunSettings:
        """Return the configuration that the journal starts with, before its first checkpoint.

        Else the present one.
        """
        for note in notes_of(directory, first_boundary(directory)):
            if note["control"] == "config":
                return self._fitting(restore(note["settings"].encode()))
        return self._settings

    def _fitting(self, saved: RunSettings) -> RunSettings:
        was, wanted = saved.flow.kind, self._settings.flow.kind
        # Of another flow all else would differ too.
        found = list(differences(was, wanted, "flow.kind")) or changes_between(saved, self._settings)
        if found:
            raise StateMismatch([f"{self._directory}: {difference}" for difference in found])
        return saved

    def _load(self, header: Mapping[str, Any], blobs: Mapping[str, Any]) -> None:
        if header["version"] != STATE_VERSION:
            raise StateMismatch([other_version(self._directory, header, STATE_VERSION)])
        settings = self._fitting(restore(header["settings"].encode()))
        self.found = Recovered(build_machine(settings, shard=self._shard, learn=header["learn"]))
        try:
            self.found.state.load(blobs)
        except ValueError as error:
            raise StateMismatch([f"{self._directory}: model: {error}"]) from error
        self.found.provenance = Provenance.of(header)
        self.found.sinks = dict(header.get("sinks", {}))
        self.found.sources.load(header)

    def _replay(self, frame: Frame) -> None:
        for record in frame.records:
            if record.kind == Kind.CONTROL:
                self._replay_control(orjson.loads(record.input))
                continue
            # Its checkpoint was whole when the records were erased (it was read then), so this means later
            # damage.
            if record.erased:
                raise StateError(
                    f"{self._directory}: input {record.ordinal} was erased and can't be applied again;"
                    " the checkpoint behind it is missing or can't be read"
                )
            kind, line, _ = apply_again(self.found.state, record)
            self.found.replayed += 1
            # Compared one by one: a difference is named by the input that brought it about, before it
            # spreads.
            if kind != record.kind or line != record.output:
                raise StateError(
                    f"{self._directory}: segment {frame.head.segment}, byte {frame.head.position}:"
                    f" input {record.ordinal} applied again gives another result than the recorded one"
                )
        self.found.position = frame.head.ordinal_next
        # Measured when it was first applied; and a long tail would else gather every outcome in memory.
        self.found.state.evaluated.clear()

    def _replay_control(self, note: dict[str, Any]) -> None:
        if note["control"] == "config":
            provenance = Provenance.of(note)
            if provenance != self.found.provenance:  # else a segment's beginning has only said it again
                self.found.provenance = provenance
                self.found.state.configure(restore(provenance.settings), learn=note["learn"])
        elif note["control"] == "source":
            self.found.sources.take(note)
        elif note["control"] == "sink":
            self.found.sinks[note["output"]] = note


def _age_s(path: Path) -> float:
    """Seconds since a file was written, by the wall clock."""
    return max(0.0, time.time() - os.stat(path).st_mtime)
