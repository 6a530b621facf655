"""Writing to the disk so that it is all there, or an error says which file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["fsync_directory", "name_file", "write_all"]


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of the data, in as many writes as the system wants for it.

    Raises
    ------
    OSError
        If a write fails; part of the data may be written.
    """
    left = memoryview(data)
    # A file takes less than all only for a full disk or a signal; the next write goes on, or raises what was
    # wrong.
    while left:
        written = os.write(fd, left)
        if not written:
            raise OSError(errno.EIO, "a write made no progress")
        left = left[written:]


def name_file(error: BaseException, path: Path) -> None:
    """Have an error of the system name the file, which it doesn't know by its descriptor."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def fsync_directory(directory: Path) -> None:
    """Force a directory's entries to the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
