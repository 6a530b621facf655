"""A shard that survives: the state machine with its journal and its checkpoints.

Inputs are applied, journalled, and only then handed on. On opening, the newest readable checkpoint is loaded
and the journal's tail behind it applied again; each decision made again must be the recorded one. Inputs that
a source hands over a second time are not applied again: their recorded outputs are given out.
"""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.config.private_files import make_folder
from headrace.config.tables import RunSettings
from headrace.errors import StateError
from headrace.journal.batches import Batch, Mark
from headrace.journal.checkpoint import Finished
from headrace.journal.known_sources import KnownSources
from headrace.journal.provenance import Provenance
from headrace.journal.records import Record
from headrace.journal.retention import Retired
from headrace.journal.scan import output_of, records_from
from headrace.journal.writer import JournalWriter
from headrace.operators.compiled.twins import TWINS
from headrace.operators.events.contract import Event
from headrace.operators.events.decode import Undecodable
from headrace.operators.events.oversized import CutLine, whole_of
from headrace.shard.attempts import Attempt
from headrace.shard.batch_applier import Applied, BatchApplier, add_output
from headrace.shard.checkpoints import Checkpoints
from headrace.shard.commands import Command, Erase
from headrace.shard.decision_line import each_line
from headrace.shard.kinds import build_machine
from headrace.shard.recovery import CONTROL_NAMES, Recovered, Recovery
from headrace.shard.shard_journal import ShardJournal
from headrace.shard.telemetry import ShardTelemetry, Silent

__all__ = ["DurableShard"]


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
        opened_at = time.monotonic()
        self.directory, self.settings, self.learn, self.shard = directory, settings, learn, shard
        self.attempt = attempt
        self._telemetry = telemetry = telemetry or Silent()
        self._recorded: dict[int, Record] = {}
        self._checkpoints: Checkpoints | None = None
        if directory is None:
            found, writer = Recovered(build_machine(settings, shard=shard, learn=learn)), None
            found.state.source_names = ChainMap(found.sources.names, CONTROL_NAMES)
        else:
            make_folder(directory)
            recovery = Recovery(directory, settings, shard=shard, learn=learn, telemetry=telemetry)
            end = recovery.run()
            found = recovery.found
            writer = JournalWriter(
                directory,
                end,
                segment_bytes_max=settings.journal.segment_bytes_max,
                fsync=settings.journal.fsync,
            )
        self.state, self.replayed = found.state, found.replayed
        self._twins_changes = TWINS.changes
        self.state.take_compiled()  # what came to be there while the state was taken up
        self._notes = ShardJournal(settings, found, writer, learn=learn)
        self._applier = BatchApplier(
            self.state, settings, shard=shard, attempt=attempt, on_erase=self._ask_erasure
        )
        if directory is None or writer is None:
            return
        try:
            self._notes.note_config(self.state)
            self._checkpoints = Checkpoints(
                directory,
                settings,
                self._notes,
                writer,
                self.state,
                telemetry=telemetry,
                needed=needed,
                last_at=opened_at - found.checkpoint_age_s,
            )
            self._checkpoints.recovered(end, found.replayed)
        except BaseException:
            writer.close()
            raise

    # -- what is known of it

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each of the configured lists that has one."""
        return self.state.lists

    @property
    def position(self) -> int:
        """Ordinal of the next input."""
        return self._notes.position

    @property
    def sources(self) -> KnownSources:
        """The sources by number."""
        return self._notes.sources

    @property
    def sinks(self) -> Mapping[str, dict[str, Any]]:
        """What was noted last of each output."""
        return self._notes.sinks

    @property
    def before(self) -> Provenance | None:
        """What was in force when the shard was last run; None if it is new."""
        return self._notes.before

    @property
    def marks(self) -> dict[int, Mark]:
        """How far each source was read, by its number; none for a temporary shard."""
        return self._notes.marks

    @property
    def journal(self) -> JournalWriter | None:
        """Where inputs are journalled; None for a temporary shard."""
        return self._notes.writer

    @property
    def skips(self) -> dict[tuple[int, int], int]:
        """Inputs to be passed over, by number of their source and offset there; how often that was done."""
        return self._applier.skips

    @skips.setter
    def skips(self, skips: dict[tuple[int, int], int]) -> None:
        self._applier.skips = skips

    @property
    def checkpoints(self) -> Sequence[Finished]:
        """Those that this run has taken."""
        return () if self._checkpoints is None else self._checkpoints.finished

    @property
    def retired(self) -> Retired:
        """What this run has deleted of the journal."""
        return Retired() if self._checkpoints is None else self._checkpoints.retired

    @property
    def erased(self) -> int:
        """How many records this run has erased."""
        return 0 if self._checkpoints is None else self._checkpoints.erased

    @property
    def erasures_waiting(self) -> int:
        """How many erasures were asked for and are not carried out yet."""
        return 0 if self._checkpoints is None else self._checkpoints.erasures_waiting

    # -- notes

    def register(self, number: int, name: str, topic_id: str | None = None) -> None:
        """Give a source its number, and a partition its topic's id; journalled when it is new."""
        self._notes.register(number, name, topic_id)

    def note_marks(self, marks: Sequence[Mark]) -> None:
        """Journal how far sources were read, without an input."""
        self._notes.note_marks(marks)

    def note_sink(self, note: dict[str, Any]) -> None:
        """Journal up to where an output is known to be complete (see `acknowledged`)."""
        self._notes.note_sink(note)

    def note_delivered(self, decision_id: str, delivered: str) -> None:
        """Journal what consumers have in the place of a decision, without whom it is about."""
        self._notes.note_delivered(decision_id, delivered)

    def note_lost(self, name: str, first: int, after: int) -> None:
        """Journal that messages of a partition, up to an offset, were deleted before they were read."""
        self._notes.note_lost(name, first, after)

    def level(self, position: int) -> None:
        """Go on behind inputs that other shards have and that can't be read again."""
        self._notes.level(position)

    # -- inputs

    def keep_outputs_from(self, ordinal: int) -> None:
        """Keep recorded outputs from an ordinal on, to give them out when their inputs come again."""
        if self.directory is None or ordinal >= self.position:
            return
        self._recorded = {record.ordinal: record for record in records_from(self.directory, ordinal)}

    def process(
        self, batch: Batch, events: Sequence[Command | Event | Undecodable], indices: Sequence[int] | None
    ) -> Applied:
        """Apply a batch's inputs and journal them; then give out what came of them.

        Parameters
        ----------
        batch
            The lines.
        events
            What each line of the batch decodes to.
        indices
            Which lines are this shard's; None for all.

        Raises
        ------
        InputFailed
            If an input makes the program itself fail.
        """
        applied, notes = Applied(), self._notes
        lines: Sequence[int] = range(len(batch.payloads)) if indices is None else indices
        if batch.ordinal < notes.position:
            lines = self._give_out_again(batch, lines, applied)
            if batch.ordinal_next <= notes.position:
                return self._line_by_line(applied)
        # Both twins give the same bytes; but what one holds of an input in hand the other doesn't know.
        if TWINS.changes != self._twins_changes:
            self._twins_changes = TWINS.changes
            self.state.take_compiled()
        begun = time.perf_counter_ns()
        records = self._applier.apply(batch, events, lines, applied)
        applied_ns = time.perf_counter_ns()
        self._telemetry.batch("apply", applied_ns - begun, len(records))
        # From here on the batch counts: `applied` is given out only when its frame is written.
        notes.append_batch(batch, records)
        self._telemetry.batch("journal", time.perf_counter_ns() - applied_ns, len(records))
        self._applier.journalled(len(records))
        if self._checkpoints is not None:
            self._checkpoints.inputs += len(records)
            # Behind the append: a checkpoint begins a segment, and the state it holds must be that of the
            # journal's end.
            if self._checkpoints.due():
                self._checkpoints.take()
        return self._line_by_line(applied)

    def _line_by_line(self, applied: Applied) -> Applied:
        """Let decisions go out one by one, where an input may lead to several."""
        # Here, once for files and topics: whatever comes behind counts, sorts, keys and sends single
        # decisions.
        # To look through the lines of those that never do would cost a hundredth of what deciding costs.
        if self.state.several:
            applied.decisions = each_line(applied.decisions)
        return applied

    def _give_out_again(self, batch: Batch, lines: Sequence[int], applied: Applied) -> list[int]:
        """Return recorded outputs for lines that were applied before; the other lines are left over.

        Raises
        ------
        StateError
            If another line was recorded under an ordinal: the sources are not those that were read.
        """
        left = []
        for index in lines:
            ordinal = batch.ordinal + index
            if ordinal >= self.position:
                left.append(index)
                continue
            # Taken out as they are used, so that they don't stay in memory once the shards are level again.
            record = self._recorded.pop(ordinal, None)
            if record is None or not _is_of(record, batch.payloads[index]):
                raise StateError(
                    f"{self.directory}: input {ordinal} is not the line that was journalled;"
                    " name the same sources as before the run was killed"
                )
            add_output(applied, ordinal, record.kind, output_of(record))
        return left

    def _ask_erasure(self, command: Erase, ordinal: int) -> None:
        if self._checkpoints is not None:
            self._checkpoints.ask_erasure(command, ordinal)

    def evaluated(self) -> list[Any]:
        """How decisions turned out whose outcomes came since the last call."""
        evaluated = self.state.evaluated.copy()  # the list itself is the machine's, and parts of it hold it
        self.state.evaluated.clear()
        return evaluated

    # -- checkpoints

    def checkpoint(self) -> None:
        """Begin a checkpoint at the present position.

        The journal starts a segment, a child writes the state.
        """
        if self._checkpoints is not None:
            self._checkpoints.take()

    def wait_for_checkpoint(self) -> None:
        """Wait for the one that is being written, if there is one."""
        if self._checkpoints is not None:
            self._checkpoints.wait()

    def close(self, *, with_checkpoint: bool = True) -> None:
        """End the shard; a last checkpoint spares the next start the tail."""
        if self._checkpoints is None or self.journal is None:
            return
        waited = self._checkpoints.wait()
        if with_checkpoint:
            # With all shards at one place the next run may go on with other sources.
            self.level(self._notes.seen)
            self._checkpoints.take_last(waited)
        self.journal.close()


def _is_of(record: Record, payload: bytes) -> bool:
    """Whether a record is of an input; of one that is cut, heads may have been kept in other lengths."""
    if isinstance(payload, CutLine) and record.cut:
        return record.detail == whole_of(payload) or record.erased
    return record.erased or record.input == payload
