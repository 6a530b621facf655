"""Where machine code is kept for later processes, and what is known to be kept there for this machine."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import stat
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

__all__ = ["is_kept", "kernel_folder", "make_room", "note_kept", "only_ours"]

_log = logging.getLogger(__name__)
_SOURCES_MAX: Final = 64  # kept on the disk
_DIGITS: Final = 12
_PROCESSOR: Final = ("model name", "flags", "Features", "CPU part")


def kernel_folder() -> Path | None:
    """Return the folder, made if it isn't there; None if nothing can be kept, or others could write there."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "headrace" / "kernels"
        return folder if only_ours(folder) else None
    except (OSError, RuntimeError):  # nowhere to write, or nobody's home
        return None


@cache
def only_ours(folder: Path) -> bool:
    """Whether nobody but us, and the system, can put files into a folder; one that isn't there yet is made.

    What is loaded from it is run. So neither it nor a folder above it may belong to, or be written by,
    anybody else; but for those above it in which only a file's owner may replace it, as in `/tmp`.

    Raises
    ------
    OSError
        If it can't be made, or looked at.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = folder.resolve()
    # Parents too: who can rename one of them can put another folder in its place.
    for each in (whole, *whole.parents):
        status = each.stat()
        sticky = each != whole and status.st_mode & stat.S_ISVTX
        written = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky
        if written or status.st_uid not in (0, os.geteuid()):
            _log.warning("%s can be written by others: nothing that is compiled is kept in %s", each, folder)
            return False
    return True


def is_kept(name: str) -> bool:
    """Whether a program was compiled for this machine, and kept; looking takes no Numba.

    A note that is wrong costs the start the time of compiling, nothing else.
    """
    folder = kernel_folder()
    return folder is not None and (folder / _note(name)).exists()


def note_kept(name: str) -> None:
    """Note that a program is compiled and kept."""
    folder = kernel_folder()
    if folder is not None:
        try:
            (folder / _note(name)).touch(mode=0o600)
        except OSError as error:
            _log.debug("%s: %s", folder, error)


def _note(name: str) -> str:
    return f"{name}.{_machine()}.kept"


@cache
def _machine() -> str:
    """Return a digest of what machine code depends on beside its source, as Numba's own cache has it."""
    try:
        numba = version("numba"), version("llvmlite")
    except PackageNotFoundError:
        numba = ("", "")
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    processor = [line for line in lines if line.startswith(_PROCESSOR)] or [platform.processor()]
    said = "\0".join((*numba, sys.version, platform.machine(), *processor))
    return hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]


def make_room(folder: Path) -> None:
    """Remove the oldest sources, with what was compiled of them, so that one more is not too many."""
    oldest_first = sorted(folder.glob("*.py"), key=lambda file: file.stat().st_mtime)
    for file in oldest_first[: max(len(oldest_first) - _SOURCES_MAX + 1, 0)]:
        # The notes first: what isn't noted is only compiled once more.
        for kept in (
            *folder.glob(f"{file.stem}.*.kept"),
            file,
            *(folder / "__pycache__").glob(f"{file.stem}.*"),
        ):
            kept.unlink(missing_ok=True)
