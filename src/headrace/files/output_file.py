"""Writes lines to a file, a pipe or standard output."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from headrace.config.private_files import open_file
from headrace.errors import HeadraceError, ReaderGone, StateError
from headrace.files.file_bytes import STANDARD

__all__ = ["OutputFile"]


class OutputFile:
    """A file, a pipe or standard output that lines are written to, without a buffer of its own.

    Parameters
    ----------
    path
        A file or a pipe; `-` for standard output.
    append
        Keep what a file holds; else it starts empty.
    fsync
        Wait after every write until the bytes are on the disk.

    Raises
    ------
    HeadraceError
        If it can't be opened.

    Attributes
    ----------
    length : int
        Bytes in the file; for a pipe, bytes written.
    """

    def __init__(self, path: str, *, append: bool = False, fsync: bool = False) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_TRUNC)
        try:
            self._file = 1 if path == STANDARD else open_file(path, flags)
            status = os.fstat(self._file)
        except OSError as error:
            raise HeadraceError(f"{path}: can't be written: {error.strerror}") from error
        self.regular = path != STANDARD and stat.S_ISREG(status.st_mode)
        self._fsync = fsync and self.regular
        self.length = os.lseek(self._file, 0, os.SEEK_END) if self.regular else 0

    def resume(self, length: int) -> None:
        """Cut the file off at a length, and write on from there.

        Raises
        ------
        StateError
            If it is shorter, or no file that can be cut.
        """
        if not self.regular:
            raise StateError(f"{self.path}: is no file; the run can't go on in it")
        if self.length < length:
            raise StateError(f"{self.path}: has {self.length} bytes; the run had written {length}")
        os.ftruncate(self._file, length)
        os.lseek(self._file, length, os.SEEK_SET)
        self.length = length

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, which bring their newlines along.

        Raises
        ------
        HeadraceError
            If they can't be written, as on a full disk; `ReaderGone` when nobody reads standard output.
        """
        left = memoryview(b"".join(lines))
        try:
            while left:
                written = os.write(self._file, left)
                # Counted write by write: if the next one fails, the message says to where the file is good.
                self.length += written
                left = left[written:]
            if self._fsync:
                os.fsync(self._file)
        except BrokenPipeError as error:
            if self.path == STANDARD:
                raise ReaderGone("standard output: its reader has gone") from error
            raise HeadraceError(f"{self.path}: its reader has gone") from error
        except OSError as error:
            raise HeadraceError(
                f"{self.path}: byte {self.length}: can't be written: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file > 1:
            os.close(self._file)
        self._file = -1
