"""Makes the program itself fail at one event, as a fault of ours would: halfway through its changes."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
from pathlib import Path

from headrace.shard.deduplication import IdMemory

_CUSTOMIZED = """\
import sys
sys.path.insert(0, {folder!r})
import faulty
faulty.fail_at({event_id!r}, {how!r})
"""


def fail_at(event_id: str, how: str) -> None:
    """From now on this process raises something, or dies, when it takes an event in."""
    add = IdMemory.add

    def added(self: IdMemory, found: str, *given: int) -> None:
        if found == event_id:
            _FAULTS[how]()
        add(self, found, *given)

    IdMemory.add = added  # type: ignore[method-assign]


def _raise() -> None:
    raise ZeroDivisionError("a fault of ours")


def _segfault() -> None:
    faulthandler.disable()  # pytest's own would print where every one of these is, as if something were wrong
    ctypes.string_at(0)


_FAULTS = {
    "raise": _raise,
    "segfault": _segfault,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def customized(folder: Path, event_id: str, how: str) -> str:
    """A folder for PYTHONPATH with which every interpreter fails so."""
    folder.mkdir()
    text = _CUSTOMIZED.format(folder=str(Path(__file__).parent), event_id=event_id, how=how)
    (folder / "sitecustomize.py").write_text(text)
    return str(folder)
