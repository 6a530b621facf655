"""The control channel: commands as files in a folder, taken up between the batches of a reader.

A file holds one command a line and is called `NNNNNNNNNNNN.jsonl`, by a number that grows. To a shard all of
its lines are one batch: they are journalled with the mark of a source of its own, whose offset is the file's
number. So a file that a mark has reached was taken, whatever a crash left lying about, and a run that goes on
before such a mark meets the file at the place where it stood.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from headrace.config.settings import FraudSettings
from headrace.errors import HeadraceError, StateError
from headrace.operators.batches import Batch, Mark
from headrace.operators.commands import Command, Retry, decode_command, encode_command, payload_of
from headrace.operators.files import MergedReader, Progress
from headrace.operators.journal import COMMAND, CONTROL_SOURCE, RETRIED, fsync_directory, write_all

__all__ = [
    "BatchReader",
    "ControlFile",
    "ControlInbox",
    "ControlLimits",
    "ControlledReader",
    "batch_of",
    "control_folder",
    "limits_of",
    "put",
]

_log = logging.getLogger(__name__)
_NAME: Final = re.compile(r"([0-9]{12})\.jsonl")
_REFUSED: Final = "refused"


class ControlLimits(NamedTuple):
    """What the control channel takes.

    Attributes
    ----------
    poll_seconds
        A running flow looks for files so often.
    file_bytes_max
        A longer file is refused.
    files_max
        With so many waiting no further one is put in; as many refused ones are kept.
    """

    poll_seconds: float
    file_bytes_max: int
    files_max: int


def control_folder(state: Path) -> Path:
    """The folder of a state that commands are put into."""
    return state / "control"


def limits_of(settings: FraudSettings) -> ControlLimits:
    """The control channel's limits, as configured."""
    control = settings.control
    return ControlLimits(control.poll_seconds, control.file_bytes_max, control.files_max)


class BatchReader(Protocol):
    """Where a flow's batches come from; `MergedReader` is one."""

    @property
    def ended(self) -> bool:
        """Nothing more will come."""

    @property
    def stream(self) -> bool:
        """Whether the next line is awaited from a pipe."""

    @property
    def progress_by_source(self) -> list[tuple[int, Progress]]:
        """Number and bytes read of each source."""
        ...

    @property
    def progress(self) -> Progress:
        """Bytes read of all sources."""

    def next_batch(self) -> Batch | None:
        """The next lines, None when there are none now."""

    def next_due_s(self) -> float | None:
        """Seconds until the next line is due; None when it is due now or not known."""

    def close(self) -> None:
        """Let go of all files."""


# ---------------------------------------------------------------- files


def _path(directory: Path, number: int) -> Path:
    return directory / f"{number:012d}.jsonl"


def _numbers(directory: Path) -> list[int]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one sender at a time choose a number."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def put(
    directory: Path, commands: Sequence[Command], limits: ControlLimits, taken: Callable[[], int]
) -> Path:
    """Put commands into the folder, as one file that appears whole and on the disk.

    Parameters
    ----------
    directory
        The state's folder of commands; made if it isn't there.
    commands
        In the order in which they are to be applied, as one batch.
    limits
        Of the channel.
    taken
        Number of the last file that the journals know; asked after the folder was looked at, because a
        running flow journals a file before it removes it.

    Raises
    ------
    StateError
        If too many are waiting, or these are too long for one file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    content = b"".join(encode_command(command) + b"\n" for command in commands)
    if len(content) > limits.file_bytes_max:
        raise StateError(
            f"{directory}: {len(content)} bytes of commands; the limit is {limits.file_bytes_max}"
        )
    with _alone(directory):
        waiting = _numbers(directory)
        if len(waiting) >= limits.files_max:
            raise StateError(
                f"{directory}: {len(waiting)} files are waiting; the limit is {limits.files_max}"
            )
        path = _path(directory, max([taken(), *waiting]) + 1)
        _write(path, content)
    return path


def _write(path: Path, content: bytes) -> None:
    unnamed = path.with_suffix(".tmp")
    fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        write_all(fd, content)
        os.fsync(fd)
        os.replace(unnamed, path)
    except BaseException:
        unnamed.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    fsync_directory(path.parent)


@dataclass(frozen=True)
class ControlFile:
    """A file of commands.

    Attributes
    ----------
    number
        Its number, which gives the order.
    lines
        As they stand in the file.
    commands
        What they say.
    crc
        CRC-32 of the whole file.
    """

    number: int
    lines: Sequence[bytes]
    commands: Sequence[Command]
    crc: int


class ControlInbox:
    """The folder as the running flow sees it.

    Parameters
    ----------
    directory
        The state's folder of commands; it need not be there.
    limits
        Of the channel.
    taken
        Number of the last file that was taken, in the end or by an earlier run.

    Attributes
    ----------
    refused : int
        Files that were moved aside, because they hold anything but commands.
    """

    def __init__(self, directory: Path, limits: ControlLimits, taken: int = 0) -> None:
        self.directory, self.limits, self.taken = directory, limits, taken
        self.refused = 0

    def waiting(self) -> list[int]:
        """Numbers of the files that are still to be taken, ascending."""
        return [number for number in _numbers(self.directory) if number > self.taken]

    def clear(self) -> None:
        """Remove what a run that was killed had journalled, and not yet removed."""
        for number in _numbers(self.directory):
            if number <= self.taken:
                self.remove(number)

    def next_file(self) -> ControlFile | None:
        """The next file; one that is no use is moved aside, with a warning."""
        for number in self.waiting():
            try:
                return self.read(number)
            except HeadraceError as error:
                self._refuse(number, str(error))
        return None

    def read(self, number: int) -> ControlFile:
        """Read one file.

        Raises
        ------
        StateError
            If it is too long, or a line of it is no command.
        """
        path = _path(self.directory, number)
        if path.stat().st_size > self.limits.file_bytes_max:
            raise StateError(f"{path}: longer than {self.limits.file_bytes_max} bytes")
        content = path.read_bytes()
        lines = content.splitlines()
        if not lines:
            raise StateError(f"{path}: is empty")
        commands = [self._command(path, place, line) for place, line in enumerate(lines, start=1)]
        return ControlFile(number, lines, commands, zlib.crc32(content))

    def read_again(self, mark: Mark) -> ControlFile:
        """Read a file that a shard has journalled.

        Raises
        ------
        StateError
            If it is gone, or not what was journalled.
        """
        path = _path(self.directory, mark.offset)
        try:
            file = self.read(mark.offset)
        except FileNotFoundError as error:
            raise StateError(f"{path}: is missing; some shards have journalled it") from error
        if file.crc != mark.crc:
            raise StateError(f"{path}: changed after some shards had journalled it")
        return file

    @staticmethod
    def _command(path: Path, place: int, line: bytes) -> Command:
        try:
            return decode_command(line)
        except ValueError as error:
            raise StateError(f"{path}: line {place}: {error}") from error

    def remove(self, number: int) -> None:
        """Remove a file that the journals have."""
        with suppress(FileNotFoundError):
            _path(self.directory, number).unlink()

    def _refuse(self, number: int, why: str) -> None:
        self.refused += 1
        aside = self.directory / _REFUSED
        aside.mkdir(exist_ok=True)
        path = _path(self.directory, number)
        os.replace(path, aside / path.name)
        for old in _numbers(aside)[: -self.limits.files_max]:
            _path(aside, old).unlink()
        _log.warning("%s; moved to %s, nothing of it was applied", why, aside)


# ---------------------------------------------------------------- batches


def batch_of(
    commands: Sequence[Command],
    lines: Sequence[bytes],
    *,
    ordinal: int,
    number: int,
    marks: tuple[Mark, ...],
    sources: Mapping[str, int],
) -> Batch:
    """The batch that carries commands into the shards.

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
        again: Mapping[int, Mark],
    ) -> None:
        self._reader, self.inbox, self._sources, self._reached = reader, inbox, sources, reached
        self._again = sorted(again.items())
        self._unsettled: list[tuple[int, int]] = []
        inbox.clear()
        self._look_at = 0.0
        self.commands = 0

    @property
    def ended(self) -> bool:
        """Every source was read to its end, and no command is left."""
        return self._reader.ended and not self._again

    @property
    def stream(self) -> bool:
        """Whether the next line is awaited from a pipe."""
        return self._reader.stream

    @property
    def progress_by_source(self) -> list[tuple[int, Progress]]:
        """Number and bytes read of each source; commands don't count."""
        return self._reader.progress_by_source

    @property
    def progress(self) -> Progress:
        """Bytes read of all sources."""
        return self._reader.progress

    def next_due_s(self) -> float | None:
        """Seconds until the next line is due; None when it is due now or not known."""
        return self._reader.next_due_s()

    def next_batch(self) -> Batch | None:
        """The next commands, or else the next lines; None when there are neither.

        Raises
        ------
        InputError
            As the reader of the sources does.
        StateError
            If a file that was partly journalled is no longer there.
        """
        if self._again:
            return self._next_again()
        batch = self._next_commands() if time.monotonic() >= self._look_at else None
        if batch is None:
            batch = self._reader.next_batch()
        if batch is None and self._reader.ended:
            batch = self._next_commands()
        return batch

    def _next_again(self) -> Batch | None:
        ordinal, mark = self._again[0]
        left = ordinal - self._reader.ordinal
        if left:
            batch = self._reader.next_batch(left)
            if batch is None and self._reader.ended:
                raise StateError(
                    f"input {self._reader.ordinal} was read from a source that is not given now:"
                    " name the same sources as before"
                )
            return batch
        del self._again[0]
        return self._batch(self.inbox.read_again(mark))

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
