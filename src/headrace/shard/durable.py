"""A shard that survives: the state machine with its journal and its checkpoints.

Inputs are applied, journalled, and only then handed on. On opening, the newest readable checkpoint is loaded
and the journal's tail behind it applied again; each decision made again must be the recorded one. Inputs that
a source hands over a second time are not applied again: their recorded outputs are given out.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.config.addresses import partition_of
from headrace.config.canonical import restore
from headrace.config.private_files import make_folder
from headrace.config.tables import RunSettings
from headrace.errors import HeadraceError, InputFailed, StateError, StateMismatch
from headrace.journal.batches import Batch, Mark
from headrace.journal.checkpoint import (
    Finished,
    ForkedWriter,
    checkpoint_path,
    newest_readable,
    prune_checkpoints,
)
from headrace.journal.erasures import Erasures
from headrace.journal.frames import GENESIS, Boundary, Frame
from headrace.journal.keys import configured_keys
from headrace.journal.known_sources import KnownSources, source_note
from headrace.journal.passed_headers import PassedHeaders, with_headers
from headrace.journal.provenance import InForce, in_force_now
from headrace.journal.reader import JournalReader
from headrace.journal.records import (
    COMMAND,
    CONTROL_SOURCE,
    CUT,
    HEADERS,
    NO_SOURCE,
    OVERDUE,
    RETRIED,
    SKIPPED,
    UNREADABLE,
    Kind,
    Record,
    RecordFields,
)
from headrace.journal.retention import Retired, keeps_all, retire
from headrace.journal.scan import notes_of, output_of, records_from
from headrace.journal.segments import first_boundary, start_of
from headrace.journal.writer import JournalWriter
from headrace.operators.events.contract import Event
from headrace.operators.events.decode import Undecodable, unexpected
from headrace.operators.events.oversized import CutLine, whole_of
from headrace.operators.events.unreadable import Unreadable
from headrace.shard.apply_record import DELIVERED, PASSED_OVER, SUBJECTS, apply_again, retried
from headrace.shard.attempts import Attempt
from headrace.shard.commands import Command, Erase
from headrace.shard.kinds import build_machine, shape_of
from headrace.shard.machine import Machine, Position
from headrace.shard.mismatch import differences, other_version
from headrace.shard.telemetry import ShardTelemetry, Silent
from headrace.shard.waiting import by_waiting

__all__ = ["STATE_VERSION", "Applied", "DurableShard"]

_log = logging.getLogger(__name__)
_EMPTY_ORDINALS_MAX: Final = 65_536  # a shard that gets no inputs still notes its position so often
_OVERDUE_EVERY_INPUTS: Final = 16  # so often the clock is read, when there is a limit on waiting
_CAREFUL_BATCHES: Final = 2  # more than a shard has in hand when its process dies
_CONTROL: Final = {CONTROL_SOURCE: "control"}
STATE_VERSION: Final = 2
_DECIDED: Final = int(Kind.DECIDED)
_DEAD: Final = int(Kind.DEAD)


@dataclass(slots=True)
class Applied:
    """What a shard gives out for its part of a batch: lines with the ordinal of the input they answer."""

    decisions: list[tuple[int, bytes]] = field(default_factory=list)
    dead_letters: list[tuple[int, bytes]] = field(default_factory=list)


class DurableShard:
    """One shard of a flow in its directory.

    Parameters
    ----------
    directory
        Of this shard; None for a temporary one that keeps nothing.
    settings
        The configuration to go on with.
    shard
        Its number among the shards of the flow.
    learn
        Whether the model learns.
    telemetry
        Is told how long applying and journalling take.
    needed
        Gives the ordinal that a recovery could go back to, which only who knows the other shards and the
        outputs can tell; not given: no segment is deleted.

    attempt
        Where the run notes which input it is at, if the one before has died.

    Attributes
    ----------
    skips
        Inputs to be passed over, by number of their source and offset there, and how often that was done.
    before
        What was in force when the shard was last run; None if it is new.

    Raises
    ------
    StateMismatch
        If the saved state has another shape than the configuration.
    JournalDamaged, CheckpointDamaged
        If the state can't be read.
    """

    def __init__(
        self,
        directory: Path | None,
        settings: RunSettings,
        *,
        shard: int = 0,
        learn: bool = True,
        telemetry: ShardTelemetry | None = None,
        needed: Callable[[], int] | None = None,
        attempt: Attempt | None = None,
    ) -> None:
        self._needed = needed
        self.attempt, self.skips = attempt, dict[tuple[int, int], int]()
        self._careful_left = 0
        if attempt is not None and attempt.careful:
            self._careful_left = _CAREFUL_BATCHES * settings.input.batch_lines_max
            attempt.takes_care(shard)
        self.retired = Retired()
        self.erased = 0
        self.directory, self.settings, self.learn = directory, settings, learn
        self._telemetry = telemetry or Silent()
        self.shard = shard
        self.sources, self.position, self.replayed = KnownSources(), 0, 0
        self.sinks: dict[str, dict[str, Any]] = {}
        self.checkpoints: list[Finished] = []
        self._recorded: dict[int, Record] = {}
        self._written: InForce | None = None
        self.before: InForce | None = None
        self._since_checkpoint = self._seen = 0
        self._checkpoint_at = time.monotonic()  # the newest one's, where there is one
        self._overdue_ns = _overdue_ns(settings)
        self._journal: JournalWriter | None = None
        self._writer = ForkedWriter()
        self._erase_now = False
        if directory is None:
            self.state: Machine = build_machine(settings, shard=shard, learn=learn)
            self.state.source_names = ChainMap(self.sources.names, _CONTROL)
            return
        make_folder(directory)
        self._erasures = Erasures(directory)
        end = self._recover(directory)
        self._journal = JournalWriter(
            directory,
            end,
            segment_bytes_max=settings.journal.segment_bytes_max,
            fsync=settings.journal.fsync,
        )
        try:
            self._note_config()
            self._resume_erasures(end)
            self._after_recovery()
        except BaseException:
            self._journal.close()
            raise

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each of the configured lists that has one."""
        return self.state.lists

    # -- recovery

    def _recover(self, directory: Path) -> Boundary:
        checkpoint = newest_readable(directory)
        if checkpoint is None:
            self.state = build_machine(self._first_settings(directory), shard=self.shard, learn=self.learn)
            start = first_boundary(directory)
            if start.segment != GENESIS.segment:
                raise StateError(
                    f"{directory}: no checkpoint can be read, and the journal's beginning is gone"
                    f" (it starts with segment {start.segment})"
                )
        else:
            self._load(checkpoint.header, checkpoint.blobs)
            self._checkpoint_at -= _age_s(checkpoint_path(directory, checkpoint.segment))
            start = start_of(directory, checkpoint.segment)
            self._see_place(checkpoint.header, start)
        self.state.source_names = ChainMap(self.sources.names, _CONTROL)
        self.position = start.ordinal
        reader = JournalReader(directory, start, cut_torn_tail=True)
        expected = self._expected(directory, start)
        for frame in reader.frames():
            self._replay(frame)
            self._telemetry.recovering(self.shard, self.replayed, expected)
        return reader.boundary

    def _expected(self, directory: Path, start: Boundary) -> int:
        """How many inputs a recovery from there has to apply again."""
        if isinstance(self._telemetry, Silent):
            return 0
        heads = JournalReader(directory, start, cut_torn_tail=True).heads()
        return sum(head.records for head in heads if head.ordinal_next > head.ordinal_first)

    def _see_place(self, header: Mapping[str, Any], start: Boundary) -> None:
        """See that the journal behind a checkpoint with a keyed digest is the one that was there."""
        if "journal" in header and header["journal"] != _place_of(start):
            raise StateError(
                f"{self.directory}: segment {start.segment} doesn't begin where its checkpoint was taken"
            )

    def _first_settings(self, directory: Path) -> RunSettings:
        """The configuration that the journal starts with, before its first checkpoint.

        Else the present one.
        """
        for note in notes_of(directory, first_boundary(directory)):
            if note["control"] == "config":
                return self._fitting(restore(note["settings"].encode()))
        return self.settings

    def _fitting(self, saved: RunSettings) -> RunSettings:
        was, wanted = saved.flow.kind, self.settings.flow.kind
        # Of another flow all else would differ too.
        found = list(differences(was, wanted, "flow.kind")) or list(
            differences(shape_of(saved), shape_of(self.settings))
        )
        if found:
            raise StateMismatch([f"{self.directory}: {difference}" for difference in found])
        return saved

    def _load(self, header: Mapping[str, Any], blobs: Mapping[str, Any]) -> None:
        if header["version"] != STATE_VERSION:
            raise StateMismatch([other_version(self.directory, header, STATE_VERSION)])
        settings = self._fitting(restore(header["settings"].encode()))
        self.state = build_machine(settings, shard=self.shard, learn=header["learn"])
        try:
            self.state.load(blobs)
        except ValueError as error:
            raise StateMismatch([f"{self.directory}: model: {error}"]) from error
        self._written = InForce.of(header)
        self.sinks = dict(header.get("sinks", {}))
        self.sources.load(header)

    def _replay(self, frame: Frame) -> None:
        for record in frame.records:
            if record.kind == Kind.CONTROL:
                self._replay_control(orjson.loads(record.input))
                continue
            if record.erased:
                raise StateError(
                    f"{self.directory}: input {record.ordinal} was erased and can't be applied again;"
                    " the checkpoint behind it is missing or can't be read"
                )
            kind, line, _ = apply_again(self.state, record)
            self.replayed += 1
            if kind != record.kind or line != record.output:
                raise StateError(
                    f"{self.directory}: segment {frame.head.segment}, byte {frame.head.position}:"
                    f" input {record.ordinal} applied again gives another result than the recorded one"
                )
        self.position = frame.head.ordinal_next
        self.state.graded.clear()

    def _replay_control(self, note: dict[str, Any]) -> None:
        if note["control"] == "config":
            in_force = InForce.of(note)
            if in_force != self._written:  # else a segment's beginning has only said it again
                self._written = in_force
                self.state.configure(restore(in_force.settings), learn=note["learn"])
        elif note["control"] == "source":
            self.sources.take(note)
        elif note["control"] == "sink":
            self.sinks[note["output"]] = note

    # -- notes

    def _note(self, note: dict[str, Any]) -> None:
        self._note_all([note])

    def _note_all(self, notes: Sequence[dict[str, Any]]) -> None:
        """Journal notes as one frame."""
        if self._journal is not None:
            payloads = map(orjson.dumps, notes)
            records = [
                Record(Kind.CONTROL, 0, NO_SOURCE, self.position, 0, 0, payload, b"", b"")
                for payload in payloads
            ]
            self._append(records, self.position)

    def _append(self, records: Sequence[Record], ordinal_next: int, marks: Sequence[Mark] = ()) -> None:
        """Journal what comes from no source."""
        assert self._journal is not None
        self._journal.append(
            records,
            ordinal_first=self.position,
            ordinal_next=ordinal_next,
            accepted_ms=time.time_ns() // 1_000_000,
            marks=marks,
        )
        self.position = ordinal_next

    def _note_config(self) -> None:
        """Journal configuration, code and kernel that hold from here on, when they differ from before."""
        in_force = in_force_now(self.settings, learn=self.learn)
        self.before = self._written
        if in_force != self._written:
            self._note({"control": "config", **in_force.said()})
            self._written = in_force
            self.state.configure(self.settings, learn=self.learn)

    def _note_beginning(self) -> None:
        """Journal again what readers must know, where segments are deleted so that this may be the first."""
        if self._written is not None and not keeps_all(self.settings.journal):
            config = {"control": "config", **self._written.said()}
            self._note_all([config, *self.sources.notes(), *self.sinks.values()])

    def register(self, number: int, name: str, topic_id: str | None = None) -> None:
        """Give a source its number, and a partition its topic's id; journalled when it is new."""
        since_ms = None
        if partition_of(name) is not None and number not in self.sources.names:
            since_ms = time.time_ns() // 1_000_000
        note = source_note(number, name, topic_id, since_ms)
        if self.sources.take(note):
            self._note(note)

    @property
    def erasures_waiting(self) -> int:
        """How many erasures were asked for and are not carried out yet."""
        return 0 if self.directory is None else len(self._erasures.waiting)

    def note_marks(self, marks: Sequence[Mark]) -> None:
        """Journal how far sources were read, without an input."""
        if self._journal is not None:
            self._append([], self.position, marks)

    def note_sink(self, note: dict[str, Any]) -> None:
        """Journal up to where an output is known to be complete (see `watermarks`)."""
        self.sinks[note["output"]] = note
        self._note(note)

    def note_delivered(self, decision_id: str, delivered: str) -> None:
        """Journal what consumers have in the place of a decision, without whom it is about."""
        try:
            said = {key: value for key, value in orjson.loads(delivered).items() if key not in SUBJECTS}
        except (ValueError, AttributeError):  # somebody else has written it there
            said = {}
        self._note({"control": DELIVERED, "decision_id": decision_id, "decision": said})

    def note_lost(self, name: str, first: int, after: int) -> None:
        """Journal that messages of a partition, up to an offset, were deleted before they were read."""
        self._note({"control": "lost", "source": name, "first": first, "next": after})

    @property
    def marks(self) -> dict[int, Mark]:
        """How far each source was read, by its number; none for a temporary shard."""
        return {} if self._journal is None else {mark.source: mark for mark in self._journal.end.marks}

    @property
    def journal(self) -> JournalWriter | None:
        """Where inputs are journalled; None for a temporary shard."""
        return self._journal

    # -- inputs

    def keep_outputs_from(self, ordinal: int) -> None:
        """Keep recorded outputs from an ordinal on, to give them out when their inputs come again."""
        if self.directory is None or ordinal >= self.position:
            return
        self._recorded = {record.ordinal: record for record in records_from(self.directory, ordinal)}

    def level(self, position: int) -> None:
        """Go on behind inputs that other shards have and that can't be read again."""
        if position > self.position:
            self._append([], position)

    def process(
        self, batch: Batch, events: Sequence[Command | Event | Undecodable], places: Sequence[int] | None
    ) -> Applied:
        """Apply a batch's inputs and journal them; then give out what came of them.

        Parameters
        ----------
        batch
            The lines.
        events
            What each line of the batch decodes to.
        places
            Which lines are this shard's; None for all.
        """
        applied = Applied()
        lines: Sequence[int] = range(len(batch.payloads)) if places is None else places
        if batch.ordinal < self.position:
            lines = self._give_out_again(batch, lines, applied)
            if batch.ordinal_next <= self.position:
                return applied
        begun = time.perf_counter_ns()
        records = self._applied(batch, events, lines, applied)
        applied_ns = time.perf_counter_ns()
        self._telemetry.batch("apply", applied_ns - begun, len(records))
        if batch.headers:
            _add_headers(records, lines, batch.headers)
        self._journal_batch(batch, records)
        self._telemetry.batch("journal", time.perf_counter_ns() - applied_ns, len(records))
        if self._careful_left:
            self._take_care(len(records))
        if self._checkpoint_due():
            self.checkpoint()
        return applied

    def _applied(
        self, batch: Batch, events: Sequence[Any], lines: Sequence[int], applied: Applied
    ) -> list[RecordFields]:
        """Apply lines, and give their records.

        Raises
        ------
        InputFailed
            If one makes the program itself fail: the state is then no longer that of any order of inputs.
        """
        one_by_one = batch.flags or self._careful_left or self._skips_any(batch, lines)
        records: list[RecordFields] = []
        try:
            apply = self._apply_one_by_one if one_by_one else self._apply_lines
            apply(batch, events, lines, applied, records)
        except (HeadraceError, OSError, MemoryError):
            raise
        except Exception as error:
            raise self._failed(batch, lines[len(records)], error) from error
        return records

    def _apply_lines(
        self,
        batch: Batch,
        events: Sequence[Any],
        lines: Sequence[int],
        applied: Applied,
        records: list[RecordFields],
    ) -> None:
        apply, first, payloads = self.state.apply, batch.ordinal, batch.payloads
        decide, keep = applied.decisions.append, records.append
        for some, overdue in self._waited(batch, lines):
            flags = OVERDUE if overdue else 0
            for place, position in zip(some, _positions(batch, some), strict=True):
                payload, ordinal = payloads[place], first + place
                kind, out, detail = apply(events[place], payload, position, overdue=overdue)
                source, offset, line = position
                if kind == _DECIDED:
                    decide((ordinal, out))
                elif kind == _DEAD:
                    applied.dead_letters.append((ordinal, out))
                    marked, detail = _marked(payload, flags, detail)
                    keep((kind, marked, source, ordinal, offset, line, payload, out, detail))
                    continue
                keep((kind, flags, source, ordinal, offset, line, payload, out, detail))

    def _waited(self, batch: Batch, lines: Sequence[int]) -> Iterator[tuple[Sequence[int], bool]]:
        """Lines, in portions if there is a limit on waiting, and whether they have waited for longer."""
        limit_ns = self._overdue_ns
        if limit_ns is None:
            yield lines, False
            return
        for at in range(0, len(lines), _OVERDUE_EVERY_INPUTS):
            some = lines[at : at + _OVERDUE_EVERY_INPUTS]
            waited_ns = time.perf_counter_ns() - batch.accepted_ns
            if not batch.since_ms:
                yield some, waited_ns > limit_ns
                continue
            # The longer of both counts, as the wall clock may be set back.
            waited_ms = 0 if waited_ns > limit_ns else limit_ns // 1_000_000
            yield from by_waiting(some, batch.since_ms, time.time_ns() // 1_000_000 - waited_ms)

    def _apply_one_by_one(
        self,
        batch: Batch,
        events: Sequence[Any],
        lines: Sequence[int],
        applied: Applied,
        records: list[RecordFields],
    ) -> None:
        """Apply commands, the inputs of dead letters, what is to be passed over; all, where care is due."""
        for some, overdue in [(lines, False)] if batch.flags else self._waited(batch, lines):
            for place in some:
                event, ordinal, payload = events[place], batch.ordinal + place, batch.payloads[place]
                position = (batch.sources[place], batch.offsets[place], batch.lines[place])
                flags = batch.flags[place] if batch.flags else OVERDUE if overdue else 0
                if self._careful_left and self.attempt is not None:
                    self.attempt.at(self._named(position))
                if self.skips and self._passes_over(position):
                    event, flags = PASSED_OVER, flags | SKIPPED
                if flags & COMMAND and not flags & SKIPPED:
                    self._ask_erasure(event, ordinal)
                    kind, out, detail = self.state.command(event, payload, position)
                else:
                    kind, out, detail = self.state.apply(event, payload, position, overdue=overdue)
                    if flags & RETRIED:
                        kind, out, detail = retried((kind, out, detail))
                _add(applied, ordinal, kind, out)
                if kind == _DEAD:
                    flags, detail = _marked(payload, flags, detail)
                records.append((kind, flags, position[0], ordinal, *position[1:], payload, out, detail))

    # -- inputs that make the program fail

    def _named(self, position: Position) -> str:
        """An input's place as `--skip` takes it."""
        source, offset, _ = position
        return f"{self.state.source_names.get(source, source)}:{offset}"

    def _failed(self, batch: Batch, place: int, error: Exception) -> InputFailed:
        position = (batch.sources[place], batch.offsets[place], batch.lines[place])
        named, raised = self._named(position), traceback.extract_tb(error.__traceback__)[-1]
        if self.attempt is not None:
            self.attempt.failed(named)
        why = f"{unexpected(error).message} ({Path(raised.filename).name}, line {raised.lineno})"
        return InputFailed(named, batch.ordinal + place, f"made the program fail: {why}")

    def _skips_any(self, batch: Batch, lines: Sequence[int]) -> bool:
        skips, sources, offsets = self.skips, batch.sources, batch.offsets
        return bool(skips) and any((sources[place], offsets[place]) in skips for place in lines)

    def _passes_over(self, position: Position) -> bool:
        wanted = position[:2] in self.skips
        if wanted:
            self.skips[position[:2]] += 1
        return wanted

    def _take_care(self, inputs: int) -> None:
        """After a run that died, inputs are applied one by one up to behind those that it had in hand."""
        self._careful_left = max(0, self._careful_left - inputs)
        if self.attempt is not None:
            self.attempt.got_on(self.shard, done=not self._careful_left)
            self._careful_left *= self.attempt.careful

    def _give_out_again(self, batch: Batch, lines: Sequence[int], applied: Applied) -> list[int]:
        """Recorded outputs for lines that were applied before; the other lines are left over.

        Raises
        ------
        StateError
            If another line was recorded under an ordinal: the sources are not those that were read.
        """
        left = []
        for place in lines:
            ordinal = batch.ordinal + place
            if ordinal >= self.position:
                left.append(place)
                continue
            record = self._recorded.pop(ordinal, None)
            if record is None or not _is_of(record, batch.payloads[place]):
                raise StateError(
                    f"{self.directory}: input {ordinal} is not the line that was journalled;"
                    " name the same sources as before the run was killed"
                )
            _add(applied, ordinal, record.kind, output_of(record))
        return left

    def _journal_batch(self, batch: Batch, records: list[RecordFields]) -> None:
        self._seen = batch.ordinal_next
        if self._journal is not None:
            # What comes through the control channel stands at the same place in every shard's journal.
            empty = not records and not batch.flags
            if empty and batch.ordinal_next - self.position < _EMPTY_ORDINALS_MAX:
                return
            self._journal.append(
                records,
                ordinal_first=max(batch.ordinal, self.position),
                ordinal_next=batch.ordinal_next,
                accepted_ms=batch.accepted_ms,
                marks=batch.marks,
            )
        self.position = batch.ordinal_next
        self._since_checkpoint += len(records)

    def graded(self) -> list[Any]:
        """How decisions turned out whose outcomes came since the last call."""
        graded, self.state.graded = self.state.graded, []
        return graded

    # -- checkpoints

    def _after_recovery(self) -> None:
        """Take a checkpoint at once behind a long recovery: else the next one would be longer still."""
        self._since_checkpoint += self.replayed
        if self.replayed >= self.settings.journal.recovery_inputs_max or self._checkpoint_due():
            self.checkpoint()

    def _checkpoint_due(self) -> bool:
        if self._journal is None:
            return False
        finished = self._writer.poll()
        if finished is not None:
            self._finished(finished)
        if self._erase_now:
            return True
        if self._writer.busy or not self._since_checkpoint:
            return False
        limits = self.settings.journal
        return (
            self._since_checkpoint >= limits.checkpoint_inputs_max
            or time.monotonic() - self._checkpoint_at >= limits.checkpoint_seconds
            or self._journal.needs_roll
        )

    def _finished(self, finished: Finished) -> None:
        self.checkpoints.append(finished)
        self._telemetry.checkpointed(finished)
        if not finished.ok:
            _log.warning("%s: %s; the checkpoint before it stays in use", finished.path, finished.why)
        elif self.directory is not None:
            prune_checkpoints(self.directory, self.settings.journal.checkpoints_max)
            self._retire(self.directory)
        self._note_erasures()

    def _retire(self, directory: Path) -> None:
        limits = self.settings.journal
        if keeps_all(limits) or self._needed is None:
            return
        retired = retire(directory, limits, self._needed(), time.time_ns() // 1_000_000)
        if retired.segments:
            self.retired = self.retired.plus(retired)
            _log.info("%s: %d old segments, %d bytes deleted", directory, *retired)

    def checkpoint(self) -> None:
        """Begin a checkpoint at the present position.

        The journal starts a segment, a child writes the state.
        """
        if self._journal is None or self.directory is None:
            return
        if self._writer.busy:  # an erasure doesn't wait for a checkpoint that it would delete
            finished = self._writer.abandon()
            if finished is not None and finished.ok:
                self._finished(finished)
        segment = self._journal.roll()
        place = _place_of(self._journal.end)
        self._note_beginning()
        header = self._header()
        if configured_keys().flag:
            header["journal"] = place
        self._writer.start(
            checkpoint_path(self.directory, segment),
            lambda: (header, self.state.save()),
            lambda wanted: self._erasures.carry_out(segment, wanted),
        )
        self._erase_now = False
        self._since_checkpoint, self._checkpoint_at = 0, time.monotonic()

    def _header(self) -> dict[str, Any]:
        in_force = self._written or in_force_now(self.settings, learn=self.learn)
        return {
            "version": STATE_VERSION,
            **in_force.said(),
            **self.sources.header(),
            **({"sinks": self.sinks} if self.sinks else {}),
        }

    def wait_for_checkpoint(self) -> None:
        """Wait for the one that is being written, if there is one."""
        finished = self._writer.wait()
        if finished is not None:
            self._finished(finished)

    # -- erasures

    def _ask_erasure(self, command: Command, ordinal: int) -> None:
        if isinstance(command, Erase) and self.directory is not None:
            self._erasures.ask(ordinal, command.ordinals.get(self.directory.name, ()))
            self._erase_now = True

    def _resume_erasures(self, end: Boundary) -> None:
        """Go on with what a run that was killed had not finished."""
        self._erasures.resume(end.ordinal)
        self._note_erasures()
        if self._erasures.waiting:
            self.checkpoint()

    def _note_erasures(self) -> None:
        for work in self._erasures.done():
            self._note(work.note())
            self.erased += len(work.ordinals)

    def close(self, *, with_checkpoint: bool = True) -> None:
        """End the shard; a last checkpoint spares the next start the tail."""
        if self._journal is None:
            return
        finished = self._writer.wait()
        if finished is not None:
            self._finished(finished)
        if with_checkpoint and self._seen > self.position:
            # With all shards at one place the next run may go on with other sources.
            self._append([], self._seen)
        failed = finished is not None and not finished.ok
        if with_checkpoint and (self._since_checkpoint or failed or self._erasures.waiting):
            self.checkpoint()
            last = self._writer.wait()
            if last is not None:
                self._finished(last)
        self._journal.close()


def _add_headers(
    records: list[RecordFields], lines: Sequence[int], headers: Mapping[int, PassedHeaders]
) -> None:
    """Let records keep the headers that go on to what goes out, as it may have to be sent again."""
    for at, place in enumerate(lines):
        if place in headers and records[at][0] in (_DECIDED, _DEAD):
            kind, flags, *fields, detail = records[at]
            records[at] = (kind, flags | HEADERS, *fields, with_headers(detail, headers[place]))  # type: ignore[assignment]


def _age_s(path: Path) -> float:
    """Seconds since a file was written, by the wall clock."""
    return max(0.0, time.time() - os.stat(path).st_mtime)


def _is_of(record: Record, payload: bytes) -> bool:
    """Whether a record is of an input; of one that is cut, heads may have been kept in other lengths."""
    if isinstance(payload, CutLine) and record.cut:
        return record.detail == whole_of(payload) or record.erased
    return record.erased or record.input == payload


def _place_of(boundary: Boundary) -> list[Any]:
    """What a segment's head says of all before it."""
    return [boundary.seq, boundary.ordinal, boundary.chain.hex(), [list(mark) for mark in boundary.marks]]


def _overdue_ns(settings: RunSettings) -> int | None:
    wait_ms_max = settings.wait_ms_max
    return None if wait_ms_max is None else wait_ms_max * 1_000_000


def _positions(batch: Batch, places: Sequence[int]) -> Iterable[Position]:
    """Source, offset and line of a batch's lines."""
    sources, offsets, lines = batch.sources, batch.offsets, batch.lines
    if len(places) == len(sources):
        return zip(sources, offsets, lines, strict=True)
    return [(sources[place], offsets[place], lines[place]) for place in places]


def _marked(payload: bytes, flags: int, detail: bytes) -> tuple[int, bytes]:
    """Flags and detail of a dead letter's record, which also say whether its input is not all there."""
    if isinstance(payload, CutLine):
        return flags | CUT, whole_of(payload)
    if isinstance(payload, Unreadable):
        return flags | UNREADABLE, detail
    return flags, detail


def _add(applied: Applied, ordinal: int, kind: int, line: bytes) -> None:
    if kind == _DECIDED:
        applied.decisions.append((ordinal, line))
    elif kind == _DEAD:
        applied.dead_letters.append((ordinal, line))
