"""Lets the threads of Kafka's client not interrupt the thread that decides."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["as_batch_work"]


@contextmanager
def as_batch_work() -> Iterator[None]:
    """Let the threads that are started inside have the scheduling policy `SCHED_BATCH`, where there is one.

    Each message that is handed to the client wakes its sending thread. Where the two share a core, as always
    under full load, that thread would take the core away at once and send a request of a single message, and
    the next message would do the same. A thread of this policy doesn't take the core from a running one: it
    waits until the other one has nothing to do or has had its turn, and sends all that has come up to then.
    So requests grow with the load and not with a delay, and on an idle core nothing waits.

    A policy that somebody else has chosen for this process is left alone.

    References
    ----------
    sched(7) of Linux, "SCHED_BATCH: Scheduling batch processes".
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    # Threads inherit it from the one that starts them. A sandbox may forbid to change it.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
