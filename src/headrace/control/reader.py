"""The control channel's files as batches, between those of a reader.

To a shard all lines of a file are one batch. It is journalled with the mark of a source of its own, whose
offset is the file's number; a run that goes on before such a mark meets the file again where it stood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from headrace.control.inbox import ControlFile, ControlInbox
from headrace.errors import StateError
from headrace.files.merged_reader import MergedReader
from headrace.files.progress import Progress
from headrace.journal.batches import Batch, Mark
from headrace.journal.records import COMMAND, CONTROL_SOURCE, RETRIED
from headrace.shard.commands import Command, Retry, payload_of

__all__ = ["BatchReader", "ControlledReader", "batch_of"]


class BatchReader(Protocol):
    """Where a flow's batches come from; `MergedReader` is one."""

    @property
    def ended(self) -> bool:
        """Nothing more will come."""

    @property
    def stream(self) -> bool:
        """Whether the next line is awaited from a pipe."""

    @property
    def progress(self) -> Progress:
        """Bytes read of all sources."""

    @property
    def progress_by_source(self) -> list[tuple[int, Progress]]:
        """Number and bytes read of each source."""
        ...

    def next_batch(self) -> Batch | None:
        """Return the next lines, None when there are none now."""

    def next_due_s(self) -> float | None:
        """Seconds until the next line is due; None when it is due now or not known."""

    def close(self) -> None:
        """Let go of all files."""


def batch_of(
    commands: Sequence[Command],
    lines: Sequence[bytes],
    *,
    ordinal: int,
    number: int,
    marks: tuple[Mark, ...],
    sources: Mapping[str, int],
) -> Batch:
    """Return the batch that carries commands into the shards.

    A retry travels as the bytes that it brings, under the place that they came from, so that what becomes of
    them is told as if they had been read there. If that source isn't known here, their place is in the file.

    Parameters
    ----------
    commands, lines
        What the lines say, and the lines.
    ordinal
        Of the first line.
    number
        Of the file.
    marks
        To be journalled with the batch.
    sources
        Numbers of the sources that the state knows, by name.
    """
    payloads: list[bytes] = []
    places: list[tuple[int, int, int]] = []
    for line, (command, raw) in enumerate(zip(commands, lines, strict=True), start=1):
        retry = command if isinstance(command, Retry) else None
        payloads.append(payload_of(retry) if retry else raw)
        if retry and retry.source in sources:
            places.append((sources[retry.source], retry.offset, retry.line))
        else:
            places.append((CONTROL_SOURCE, number, line))
    return Batch(
        accepted_ms=time.time_ns() // 1_000_000,
        accepted_ns=time.perf_counter_ns(),
        ordinal=ordinal,
        payloads=payloads,
        sources=[place[0] for place in places],
        offsets=[place[1] for place in places],
        lines=[place[2] for place in places],
        marks=marks,
        flags=[RETRIED if isinstance(command, Retry) else COMMAND for command in commands],
    )


class ControlledReader:
    """A reader of sources, with the files of the control channel between its batches.

    Parameters
    ----------
    reader
        The sources.
    inbox
        The control channel.
    sources
        Numbers of the sources that the state knows, by name.
    reached
        Ordinal up to which all shards have journalled; a file before it can go.
    owed
        Ordinal behind the last input that any shard has journalled. What comes before it comes again, and no
        new command comes between.
    again
        Ordinals at which files stood that only some shards may have journalled, with their marks. They come
        again at the same places, before anything new does.

    Attributes
    ----------
    commands : int
        Lines that were taken from the control channel.
    """

    def __init__(
        self,
        reader: MergedReader,
        inbox: ControlInbox,
        *,
        sources: Mapping[str, int],
        reached: Callable[[], int],
        owed: int = 0,
        again: Mapping[int, Mark] | None = None,
    ) -> None:
        self._reader, self.inbox, self._sources, self._reached = reader, inbox, sources, reached
        self._owed, self._again = owed, sorted((again or {}).items())
        self._unsettled: list[tuple[int, int]] = []
        inbox.clear()
        self._look_at = 0.0
        self.commands = 0

    @property
    def ended(self) -> bool:
        """Every source was read to its end, and no command is left."""
        return self._reader.ended

    @property
    def stream(self) -> bool:
        """Whether the next line is awaited from a pipe."""
        return self._reader.stream

    @property
    def progress(self) -> Progress:
        """Bytes read of all sources."""
        return self._reader.progress

    @property
    def progress_by_source(self) -> list[tuple[int, Progress]]:
        """Number and bytes read of each source; commands don't count."""
        return self._reader.progress_by_source

    def next_due_s(self) -> float | None:
        """Seconds until the next line is due; None when it is due now or not known."""
        return self._reader.next_due_s()

    def next_batch(self) -> Batch | None:
        """Return the next commands, or else the next lines; None when there are neither.

        Raises
        ------
        InputError
            As the reader of the sources does.
        StateError
            If an input that only some shards have journalled doesn't come again.
        """
        # Inputs that some shards have journalled come again in the very same batches, with commands where
        # they stood.
        if self._reader.ordinal < self._owed:
            return self._next_owed()
        batch = self._next_commands() if time.monotonic() >= self._look_at else None
        if batch is None:
            batch = self._reader.next_batch()
        if batch is None and self._reader.ended:
            batch = self._next_commands()
        return batch

    def _next_owed(self) -> Batch | None:
        ordinal, mark = self._again[0] if self._again else (None, None)
        if mark is not None and ordinal == self._reader.ordinal:
            del self._again[0]
            return self._batch(self.inbox.read_again(mark))
        batch = self._reader.next_batch(None if ordinal is None else ordinal - self._reader.ordinal)
        if batch is None and self._reader.ended:
            raise StateError(
                f"input {self._reader.ordinal} was read from a source that is not given now:"
                " name the same sources as before the run was killed"
            )
        return batch

    def _next_commands(self) -> Batch | None:
        self._settle()
        file = self.inbox.next_file()
        if file is None:
            self._look_at = time.monotonic() + self.inbox.limits.poll_seconds
            return None
        return self._batch(file)

    def _batch(self, file: ControlFile) -> Batch:
        batch = batch_of(
            file.commands,
            file.lines,
            ordinal=self._reader.ordinal,
            number=file.number,
            marks=(Mark(CONTROL_SOURCE, file.number, len(file.lines), file.crc),),
            sources=self._sources,
        )
        self.inbox.taken = file.number
        self._unsettled.append((file.number, batch.ordinal_next))
        # Commands take ordinals of their own, which shifts all lines behind them: the reader counts on from
        # there.
        self._reader.ordinal = batch.ordinal_next
        self.commands += len(file.lines)
        return batch

    def _settle(self) -> None:
        """Remove the files that all shards have journalled."""
        reached = self._reached()
        for number, ordinal_next in self._unsettled:
            if ordinal_next <= reached:
                self.inbox.remove(number)
        self._unsettled = [each for each in self._unsettled if each[1] > reached]

    def close(self) -> None:
        """Let go of all files."""
        self._settle()
        self._reader.close()
