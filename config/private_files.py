"""Makes files and folders that hold what events say: others may not read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["FILE_MODE", "make_folder", "open_file", "opener"]

FILE_MODE: Final = 0o640
"""Owner and group read; less where the umask says so."""

_FOLDER_MODE: Final = 0o750


def open_file(path: Path | str, flags: int) -> int:
    """Return a descriptor of a file; if `flags` say that it is made, it gets the mode of private files.

    Raises
    ------
    OSError
        As `os.open` does.
    """
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def opener(path: str, flags: int) -> int:
    """Return what the built-in `open` is given as `opener`, so that it makes private files."""
    return open_file(path, flags)


def make_folder(path: Path) -> None:
    """Make a private folder, and private ones above it that are missing; one that is there stays as it is.

    Raises
    ------
    OSError
        If it can't be made, or something else has its name.
    """
    if not path.is_dir():
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
