"""SIGTERM and SIGINT, as a run meets them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Stopped", "met_by", "stop_at_once"]


class Stopped(BaseException):
    """The signal has come before a run decides anything: it is to end, with nothing to drain.

    It is no error: whoever handles errors lets it pass.
    """


def stop_at_once() -> None:
    """What to do where there is nothing to drain.

    Raises
    ------
    Stopped
        Always.
    """
    raise Stopped


@contextmanager
def met_by(stop: Callable[[], None], *, for_good: bool = False) -> Iterator[None]:
    """Have `stop` called when one of them comes; `for_good` also afterwards.

    Only the main thread may ask for it.
    """
    before = {
        number: signal.signal(number, lambda _number, _frame: stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items() if not for_good else ():
            signal.signal(number, handler)
