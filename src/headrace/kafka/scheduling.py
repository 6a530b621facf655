"""Lets the threads of Kafka's client not interrupt the thread that decides."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["as_batch_work", "let_work_begin"]

_yield: Final[Callable[[], None]] = getattr(os, "sched_yield", lambda: None)


@contextmanager
def as_batch_work() -> Iterator[None]:
    """Let the threads that are started inside have the scheduling policy `SCHED_BATCH`, where there is one.

    Each message that is handed to the client wakes its sending thread. Where the two share a core, as always
    under full load, that thread would take the core away at once and send a request of a single message, and
    the next message would do the same. A thread of this policy doesn't take the core from a running one: it
    waits until the other one has nothing to do or has had its turn, and sends all that has come up to then.
    So requests grow with the load and not with a delay, and on an idle core nothing waits.

    A policy that somebody else has chosen for this process is left alone. Where the system, its C library or
    a sandbox doesn't let policies be told or changed, nothing happens.

    References
    ----------
    sched(7) of Linux, "SCHED_BATCH: Scheduling batch processes".
    """
    changed = sys.platform == "linux" and _change(os.SCHED_OTHER, os.SCHED_BATCH)
    try:
        yield  # threads inherit the policy from the one that starts them
    finally:
        if changed:
            _change(os.SCHED_BATCH, os.SCHED_OTHER)


def let_work_begin() -> None:
    """Give the core to threads that wait for it, now that there is something for them to do.

    Those of `as_batch_work` would otherwise wait until this one has nothing to do: for a whole further batch,
    if its messages have come already.
    """
    _yield()


def _change(before: int, after: int) -> bool:
    """Give this thread another policy, if it has the one before; whether that was done."""
    with suppress(OSError):
        if os.sched_getscheduler(0) == before:
            os.sched_setscheduler(0, after, os.sched_param(0))
            return True
    return False
