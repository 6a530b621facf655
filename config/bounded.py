"""Reads files that are read whole, up to a size."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

__all__ = ["CONFIG_BYTES_MAX", "read_bounded"]

CONFIG_BYTES_MAX: Final = 4_194_304
"""A larger configuration is refused; it can't say so itself."""


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """Read a file, a pipe or a device to its end.

    Raises
    ------
    OSError
        If it can't be read, or is larger: `EFBIG`, with a text that names the limit.
    """
    with open(path, "rb") as file:
        # One more than is allowed, as a pipe or a device has no size that could be asked beforehand.
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise OSError(errno.EFBIG, f"is larger than {bytes_max} bytes", os.fspath(path))
    return content
