"""The control channel: commands as files in a folder of the state.

A file holds one command a line and is called `NNNNNNNNNNNN.jsonl`, by a number that grows. The journals keep
the number of the last one that was taken, so that a file is never taken twice, whatever a crash leaves lying
about.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import UNSET

from headrace.config.private_files import make_folder, open_file
from headrace.config.tables import RunSettings
from headrace.errors import HeadraceError, StateError
from headrace.journal.batches import Mark
from headrace.journal.disk import fsync_directory, write_all
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE
from headrace.journal.segments import segment_numbers, start_of
from headrace.operators.events.timestamps import time_text
from headrace.shard.commands import (
    Command,
    Erase,
    KillSwitch,
    ReloadList,
    SetClock,
    decode_command,
    encode_command,
)

__all__ = [
    "ControlFile",
    "ControlInbox",
    "ControlLimits",
    "control_folder",
    "limits_of",
    "put",
    "refused_files",
    "summary_of",
    "taken_of",
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
    """Return the folder of a state that commands are put into."""
    return state / "control"


def refused_files(directory: Path) -> list[Path]:
    """Files that a flow has moved aside, oldest first."""
    aside = directory / _REFUSED
    return [_path(aside, number) for number in _numbers(aside)]


def limits_of(settings: RunSettings) -> ControlLimits:
    """Return the control channel's limits, as configured."""
    control = settings.control
    return ControlLimits(control.poll_seconds, control.file_bytes_max, control.files_max)


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
    fd = open_file(directory / "lock", os.O_RDWR | os.O_CREAT)
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
    make_folder(directory)
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
        # Above what was taken as well: a number must never come again, or a flow would pass the file over as
        # known.
        path = _path(directory, max([taken(), *waiting]) + 1)
        _write(path, content)
    return path


def _write(path: Path, content: bytes) -> None:
    unnamed = path.with_suffix(".tmp")
    for left in path.parent.glob("*.tmp"):  # by a sender that was killed; one at a time is here
        left.unlink()
    fd = open_file(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
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
        """Return the next file; one that is no use is moved aside, with a warning."""
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
        commands = [self._command(path, index, line) for index, line in enumerate(lines, start=1)]
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
        make_folder(aside)
        path = _path(self.directory, number)
        # The folder must not be blocked by one broken file; what is moved aside is bounded in number too.
        os.replace(path, aside / path.name)
        for old in _numbers(aside)[: -self.limits.files_max]:
            _path(aside, old).unlink()
        _log.warning("%s; moved to %s, nothing of it was applied", why, aside)


def taken_of(state: Path) -> int:
    """Return the number of the last file that any shard has journalled; 0 for none.

    Raises
    ------
    JournalDamaged, StateMismatch
        If a journal can't be read.
    """
    return max((_taken(directory) for directory in sorted(state.glob("shard-*"))), default=0)


def _taken(directory: Path) -> int:
    numbers = segment_numbers(directory)
    if not numbers:
        return 0
    reader = JournalReader(directory, start_of(directory, numbers[-1]), cut_torn_tail=False)
    for _ in reader.heads():
        pass
    return next((mark.offset for mark in reader.boundary.marks if mark.source == CONTROL_SOURCE), 0)


def summary_of(commands: Sequence[Command]) -> str:
    """Commands in a few words."""
    counted = Counter(_words(command) for command in commands)
    return ", ".join(words if count == 1 else f"{words} ({count} times)" for words, count in counted.items())


def _words(command: Command) -> str:
    if isinstance(command, KillSwitch):
        of = "" if command.decision is UNSET else f" of {command.decision}"
        return f"kill switch{of} {'on' if command.on else 'off'}"
    if isinstance(command, ReloadList):
        return f"list {command.name} with {len(command.entries)} entries"
    if isinstance(command, SetClock):
        return f"clock to {time_text(command.to_ms).decode()}"
    return "erasure of a customer" if isinstance(command, Erase) else "retry of a dead letter"
