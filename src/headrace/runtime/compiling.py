"""Has what a run decides with compiled beside it, so that it can begin at once.

Machine code is compiled by a process of its own, which keeps it on the disk: a thread of this one would hold
Python's lock for seconds. Then a thread loads it, and shards take it over between two batches.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import IO, Any, Final

from headrace.config.canonical import canonical
from headrace.config.tables import RunSettings
from headrace.errors import HeadraceError
from headrace.operators.compiled.kept import kernel_folder
from headrace.operators.compiled.twins import TWINS
from headrace.shard.kinds import build_machine

__all__ = ["compiled_beside", "compiling_alone"]

_log = logging.getLogger(__name__)
_LOOK_EVERY_S: Final = 0.05
_SAID_BYTES_MAX: Final = 2000
_NICE: Final = 10
_LOCK: Final = "compiling.lock"
# A process that a run leaves to its end; nobody waits for it.
_LEFT: Final[list[subprocess.Popen[bytes]]] = []


@contextmanager
def compiled_beside(settings: RunSettings) -> Iterator[None]:
    """Let a run begin with plain Python where its machine code isn't there, and have that compiled beside it.

    When the run ends first, compiling goes on to its end for the next one.

    Parameters
    ----------
    settings
        The configuration of the run.
    """
    compiling = _Compiling(settings)
    with TWINS.plain_first(compiling.begin):
        try:
            yield
        finally:
            compiling.leave()


@contextmanager
def compiling_alone() -> Iterator[None]:
    """Wait until nobody else compiles on this machine, so that nothing is compiled twice; take it easy."""
    os.nice(_NICE)
    folder = kernel_folder()
    if folder is None:
        yield
        return
    with open(folder / _LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Compiling:
    def __init__(self, settings: RunSettings) -> None:
        self._settings, self._began = settings, time.monotonic()
        self._thread: Thread | None = None
        self._left = Event()

    def begin(self) -> None:
        """Begin; from here on all goes on in a thread."""
        _log.warning("machine code isn't compiled yet: plain Python decides until it is, to the same bytes")
        self._thread = Thread(target=self._work, name="compiling", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """End the thread; a process that is still compiling is left to it."""
        self._left.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            # What can't be kept has to be compiled here, however long this holds the others up.
            if kernel_folder() is None or self._by_another_process():
                with TWINS.at_once():
                    build_machine(self._settings, learn=False)
                if gc.get_freeze_count():
                    gc.freeze()  # the collector passes over the compiler's objects too
            if self._left.is_set():
                return
        except Exception as error:  # noqa: BLE001  # whatever it is, the plain twin goes on
            why = str(error) or type(error).__name__
            TWINS.failed(why)
            _log.warning("machine code can't be compiled, and plain Python goes on deciding: %s", why)
        else:
            TWINS.ready()
            seconds = time.monotonic() - self._began
            _log.warning("machine code is compiled, after %.1f s, and decides from here on", seconds)

    def _by_another_process(self) -> bool:
        """Have everything compiled and kept; whether the run still goes on then.

        Raises
        ------
        HeadraceError
            If that process fails, or takes too long.
        """
        limit_s = self._settings.processes.compile_seconds_max
        with TemporaryFile() as given, TemporaryFile() as said:
            given.write(canonical(self._settings))
            given.seek(0)
            process = subprocess.Popen(  # the program itself
                [sys.executable, "-P", "-m", "headrace", "warm", "--recorded"],
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # what interrupts the run must not leave it half done
            )
            while process.poll() is None:
                if self._left.wait(_LOOK_EVERY_S):
                    _LEFT.append(process)
                    return False
                if time.monotonic() - self._began > limit_s:
                    process.kill()
                    process.wait()
                    raise HeadraceError(f"it takes longer than {limit_s:g} s (processes.compile_seconds_max)")
            if process.returncode:
                raise HeadraceError(f"it ended with {process.returncode}{_tail(said)}")
        return True


def _tail(said: IO[Any]) -> str:
    """Return the last line that a process has said."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _SAID_BYTES_MAX))
    lines = said.read().decode(errors="replace").splitlines()
    return f": {lines[-1]}" if lines else ""
