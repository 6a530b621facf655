"""SIGTERM and SIGINT, as a run meets them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

__all__ = ["die_with_launcher", "die_with_parent", "end_at_once", "met_by", "pause"]

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)
_SHOW_CURSOR: Final = b"\x1b[?25h"
_LOOK_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1


@contextmanager
def met_by(stop: Callable[[], bool], *, for_good: bool = False) -> Iterator[None]:
    """Have `stop` called when one of them comes; `for_good` also afterwards.

    Where it gives False, the signal is left to whom it went before. Only the main thread may ask for this.
    """
    before = {number: signal.getsignal(number) for number in _NUMBERS}

    def meet(number: int, frame: FrameType | None) -> None:
        if not stop():
            _leave(before[signal.Signals(number)], number, frame)

    for number in _NUMBERS:
        signal.signal(number, meet)
    try:
        yield
    finally:
        # With `for_good` a second signal at the very end meets this handler still, not Python's, which would
        # break off what is being closed.
        for number, handler in before.items() if not for_good else ():
            signal.signal(number, handler)


def _leave(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler != signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal when the parent ends, where it can; 0 for none.

    So a process that is still being loaded doesn't hold the state's lock for a launcher that is gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def die_with_launcher() -> None:
    """Do the same for a process that its launcher tells, on standard input, what to do."""
    die_with_parent()
    standard_input = select.poll()
    standard_input.register(0, select.POLLHUP)
    if standard_input.poll(0):  # the launcher was gone before the kernel could be asked
        os._exit(0)


def end_at_once() -> NoReturn:
    """End the process with exit code 0, where there is nothing to drain.

    It is as good as being killed, which is allowed at any moment. An exception from a signal could come where
    it would be swallowed, or while something is half done that is then tidied up as if it were whole.
    """
    told = b"stopped, as asked\n"
    # By the descriptor: the signal may have come while the stream's own lock was held.
    os.write(2, _SHOW_CURSOR + told if os.isatty(2) else told)
    os._exit(0)


def pause(seconds: float, told: Callable[[], bool]) -> None:
    """Wait so long, or until it is `told` that the wait is to end: a signal that is met ends no sleep."""
    until = time.monotonic() + seconds
    while not told() and (left_s := until - time.monotonic()) > 0:
        time.sleep(min(_LOOK_S, left_s))
