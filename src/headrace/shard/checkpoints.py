"""Takes a shard's checkpoints, and does what waits for them: erasing records, deleting old segments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from headrace.config.tables import RunSettings
from headrace.journal.checkpoint import Finished, ForkedWriter, checkpoint_path, prune_checkpoints
from headrace.journal.erasures import Erasures
from headrace.journal.frames import Boundary
from headrace.journal.keys import configured_keys
from headrace.journal.retention import Retired, keeps_all, retire
from headrace.journal.writer import JournalWriter
from headrace.shard.checkpoint_header import place_of
from headrace.shard.commands import Erase
from headrace.shard.machine import Machine
from headrace.shard.shard_journal import ShardJournal
from headrace.shard.telemetry import ShardTelemetry

__all__ = ["Checkpoints"]

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one shard.

    Parameters
    ----------
    directory
        The shard's.
    settings
        The configuration to go on with.
    journal, writer
        What is journalled, and where; the writer is open.
    state
        The state machine.
    telemetry
        Is told of checkpoints.
    needed
        As `DurableShard` takes it.
    last_at
        When the newest checkpoint was taken, on the monotonic clock.

    Attributes
    ----------
    finished
        Those that this run has taken.
    retired
        What was deleted of the journal.
    erased
        How many records were erased.
    inputs
        How many were applied since the last one.
    """

    def __init__(
        self,
        directory: Path,
        settings: RunSettings,
        journal: ShardJournal,
        writer: JournalWriter,
        state: Machine,
        *,
        telemetry: ShardTelemetry,
        needed: Callable[[], int] | None,
        last_at: float,
    ) -> None:
        self._directory, self._settings, self._journal, self._writer = directory, settings, journal, writer
        self._state, self._telemetry, self._needed, self._last_at = state, telemetry, needed, last_at
        self._forked, self._erasures = ForkedWriter(), Erasures(directory)
        self._erase_now = False
        self.finished: list[Finished] = []
        self.retired, self.erased, self.inputs = Retired(), 0, 0

    @property
    def erasures_waiting(self) -> int:
        """How many erasures were asked for and are not carried out yet."""
        return len(self._erasures.waiting)

    def recovered(self, end: Boundary, replayed: int) -> None:
        """Go on behind a recovery.

        What a run that was killed had not finished erasing goes on; behind a long recovery there is a
        checkpoint at once: else the next one would be longer still.
        """
        # Before anything is appended: work of a command that was never journalled must be found out by the
        # end as it is.
        self._erasures.resume(end.ordinal)
        self._note_erasures()
        if self._erasures.waiting:
            self.take()
        self.inputs += replayed
        if replayed >= self._settings.journal.recovery_inputs_max or self.due():
            self.take()

    def due(self) -> bool:
        """Whether it is time for the next one; takes note of one that is finished."""
        finished = self._forked.poll()
        if finished is not None:
            self._note_finished(finished)
        if self._erase_now:
            return True
        if self._forked.busy or not self.inputs:
            return False
        limits = self._settings.journal
        return (
            self.inputs >= limits.checkpoint_inputs_max
            or time.monotonic() - self._last_at >= limits.checkpoint_seconds
            or self._writer.needs_roll
        )

    def take(self) -> None:
        """Begin one at the present position.

        The journal starts a segment, a child writes the state.
        """
        if self._forked.busy:  # an erasure doesn't wait for a checkpoint that it would delete
            finished = self._forked.abandon()
            if finished is not None and finished.ok:
                self._note_finished(finished)
        # A new segment first, so that the checkpoint's state is exactly what the segments before its own have
        # led to.
        segment = self._writer.roll()
        place = place_of(self._writer.end)
        self._journal.note_beginning()
        header = self._journal.header()
        if configured_keys().flag:
            header["journal"] = place
        self._forked.start(
            checkpoint_path(self._directory, segment),
            lambda: (header, self._state.save()),
            # In the child, as it may copy gigabytes; and only once the checkpoint has its name, as without it
            # the erased records would be needed for a recovery.
            lambda wanted: self._erasures.carry_out(segment, wanted),
        )
        self._erase_now = False
        self.inputs, self._last_at = 0, time.monotonic()

    def wait(self) -> Finished | None:
        """Wait for the one that is being written, if there is one."""
        finished = self._forked.wait()
        if finished is not None:
            self._note_finished(finished)
        return finished

    def take_last(self, waited: Finished | None) -> None:
        """Take one at the end of a run, if that spares the next start anything.

        Parameters
        ----------
        waited
            What was being written when the run ended.
        """
        failed = waited is not None and not waited.ok
        if self.inputs or failed or self._erasures.waiting:
            self.take()
            self.wait()

    def _note_finished(self, finished: Finished) -> None:
        self.finished.append(finished)
        self._telemetry.checkpointed(finished)
        if not finished.ok:
            _log.warning("%s: %s; the checkpoint before it stays in use", finished.path, finished.why)
        else:
            # Checkpoints before segments: what may be deleted of the journal hangs on the oldest one that is
            # kept.
            prune_checkpoints(self._directory, self._settings.journal.checkpoints_max)
            self._retire()
        self._note_erasures()

    def _retire(self) -> None:
        limits = self._settings.journal
        if keeps_all(limits) or self._needed is None:
            return
        retired = retire(self._directory, limits, self._needed(), time.time_ns() // 1_000_000)
        if retired.segments:
            self.retired = self.retired.plus(retired)
            _log.info("%s: %d old segments, %d bytes deleted", self._directory, *retired)

    # -- erasures

    def ask_erasure(self, command: Erase, ordinal: int) -> None:
        """Write down what a command wants erased; the next checkpoint comes at once, and does it."""
        self._erasures.ask(ordinal, command.ordinals.get(self._directory.name, ()))
        self._erase_now = True

    def _note_erasures(self) -> None:
        for work in self._erasures.done():
            self._journal.note(work.note())
            self.erased += len(work.ordinals)
